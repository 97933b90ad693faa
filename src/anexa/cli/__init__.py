"""The command line: one module a command, which parses and shows; the work is done elsewhere."""
