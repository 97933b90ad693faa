"""The named operations, in one module for each engine, to be read side by side."""
