"""The named operations, one module an engine, to be read side by side."""
