"""The kernels of a program: what each instruction computes, in the Python that Numba compiles.

The functions are never called as they stand here: a copy of each is compiled, once for all programs
of a precision (`anexa.engines.program.specialize`).

- A kernel's positional arguments are pointers: first what it reads, then what it writes, in the
  order of the instruction; then `rows`, the number of rows N; and in a kernel that tells sequences
  apart, `length`, the number of rows of each sequence.
- Behind `*` are its settings. `x_width` and `x_stride` are the number of columns of array `x`, and
  how many numbers its rows are apart; `x_width` is 0 if an optional array is absent. All others are
  settings of the instruction. Only `tile` is a constant: there is a copy for each value.
- `for c, count in tiles(n, LANES)` visits columns 0 to n in groups of LANES; the last group may be
  smaller, and is read and written through a mask.
- L is the loss, g the derivative of L in the output, as in `anexa.engines.operations.numpy`.
"""
