"""The kernels of a program: what each instruction computes, in the Python that Numba compiles.

The functions are never called as they stand here: `anexa.engines.program.writer` writes a copy of
each into the source of a program, with its constants in place of the names after `*`.

- A kernel's positional arguments are pointers: first what it reads, then what it writes, in the
  order of the instruction; then `rows`, the number of rows N.
- `x_width` and `x_stride` are the number of columns of array `x`, and how many numbers its rows are
  apart; `x_width` is 0 if an optional array is absent. All other constants are the settings of the
  instruction.
- `for c, count in tiles(n, LANES)` visits columns 0 to n in groups of LANES; the last group may be
  smaller, and `count` is a constant in either case.
- L is the loss, g the derivative of L in the output, as in `anexa.engines.operations.numpy`.
"""
