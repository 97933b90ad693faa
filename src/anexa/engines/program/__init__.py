"""The compiler of the numba engine: from a function over named operations to machine code.

1. `operations`: operations for tracing. An architecture's forward function that is run with
   them becomes a `program`: a flat list of instructions on arrays. The rules of the tape append the
   instructions of the gradients.
2. `memory`: arrays that are not needed at the same time share memory.
3. `writer`: writes the program as the source of one function, and the source of the kernels
   (`kernels`) that it calls, for one precision (`specialize`).
4. `build`: loads machine code from the cache (`code_cache`), or has it compiled (`compilation`) in
   processes of their own (`compiler`), by Numba and LLVM. Kernels compute with `vectors`.
"""
