"""Blocks of vectors in code for Numba: accumulators of several independent sums.

A processor starts an addition before the previous one is finished, unless it needs the result of
the previous one. So a `Block` holds several vectors, its rows, to which numbers are added
independently: the outputs of several rows of a product, or parts of one long sum.

The functions are intrinsics: they can be called in compiled code only. `p` and `factors` are
pointers to numbers, strides are in numbers, and `count` is the number of lanes that are read or
written. In the docstrings, p[j : + count] are the `count` numbers from p[j] on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from anexa.engines.program.vectors import (
    Vector,
    address_of,
    call_llvm,
    generate_load,
    generate_store,
    in_all_lanes,
    shuffle,
)


class Block(types.Type):
    """Numba type of a block: a fixed number of vectors of one type.

    Args:
        vector: type of each vector.
        rows: number of vectors.
    """

    def __init__(self, vector: Vector, rows: int) -> None:
        self.vector, self.rows = vector, rows
        super().__init__(name=f"Block({vector.name}, {rows})")


@register_model(Block)
class BlockModel(models.PrimitiveModel):
    """Numba data model of a block: an LLVM array of vectors, which LLVM splits up."""

    def __init__(self, manager: Any, block: Block) -> None:
        vector = manager.lookup(block.vector).get_value_type()
        super().__init__(manager, block, ir.ArrayType(vector, block.rows))


def _map_rows(builder: Any, block: Any, value: Any, change: Callable[[Any, Any], Any]) -> Any:
    """Generate a block whose row i is `change(i, row)`; i is a constant of LLVM.

    Args:
        builder: LLVM's builder, which appends instructions.
        block: block whose type the new one has.
        value: block with the rows.
        change: function of i and row i.
    """
    for i in range(block.rows):
        row = builder.extract_value(value, i)
        changed = change(ir.Constant(ir.IntType(64), i), row)
        value = builder.insert_value(value, changed, i)
    return value


@intrinsic(prefer_literal=True)
def repeat(_typing: Any, vector: Any, ROWS: Any) -> Any:
    """Return a block with the same vector in each of ROWS rows, a constant in the source."""
    block = Block(vector, ROWS.literal_value)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        undefined = ir.Constant(context.get_value_type(block), ir.Undefined)
        return _map_rows(builder, block, undefined, lambda _i, _row: args[0])

    return block(vector, ROWS), generate


@intrinsic(prefer_literal=True)
def row_of(_typing: Any, block: Any, i: Any) -> Any:
    """Return row `i` of a block, a vector; `i` is a constant in the source."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.extract_value(args[0], i.literal_value)

    return block.vector(block, i), generate


@intrinsic
def add_outer(_typing: Any, block: Any, p: Any, stride: Any, vector: Any) -> Any:
    """Return a block plus the outer product of numbers and a vector.

    The number p[i · stride], times the vector, is added to each row i.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value, pointer, step, factor = args
        llvm_type = context.get_value_type(vector)

        def added(i: Any, row: Any) -> Any:
            number = builder.load(builder.gep(pointer, [builder.mul(step, i)]))
            terms = [in_all_lanes(builder, number, llvm_type), factor, row]
            return call_llvm(builder, "fmuladd", vector, llvm_type, terms)

        return _map_rows(builder, block, value, added)

    return block(block, p, types.int64, vector), generate


@intrinsic(prefer_literal=True)
def add_scaled_rows(
    _typing: Any, block: Any, factors: Any, factor_stride: Any, p: Any, stride: Any, count: Any
) -> Any:
    """Return a block plus rows of numbers in memory, each times a factor of its own.

    factors[i · factor_stride] · p[i · stride : + count] is added to each row i.
    """
    vector = block.vector

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value, factor_pointer, factor_step, pointer, step, lanes = args
        llvm_type = context.get_value_type(vector)

        def added(i: Any, row: Any) -> Any:
            address = builder.gep(factor_pointer, [builder.mul(factor_step, i)])
            factor = in_all_lanes(builder, builder.load(address), llvm_type)
            row_address = address_of(context, builder, pointer, builder.mul(step, i), vector)
            numbers = generate_load(context, builder, row_address, vector, lanes, count)
            return call_llvm(builder, "fmuladd", vector, llvm_type, [factor, numbers, row])

        return _map_rows(builder, block, value, added)

    return block(block, factors, types.int64, p, types.int64, count), generate


@intrinsic(prefer_literal=True)
def add_rows(_typing: Any, block: Any, p: Any, stride: Any, count: Any) -> Any:
    """Return a block plus rows of numbers in memory.

    p[i · stride : + count] is added to each row i.
    """
    vector = block.vector

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value, pointer, step, lanes = args

        def added(i: Any, row: Any) -> Any:
            address = address_of(context, builder, pointer, builder.mul(step, i), vector)
            loaded = generate_load(context, builder, address, vector, lanes, count)
            return builder.fadd(row, loaded)

        return _map_rows(builder, block, value, added)

    return block(block, p, types.int64, count), generate


@intrinsic(prefer_literal=True)
def store_rows(_typing: Any, p: Any, stride: Any, block: Any, count: Any) -> Any:
    """Write the first `count` lanes of each row i to p[i · stride:]."""
    vector = block.vector

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, step, value, lanes = args
        for i in range(block.rows):
            offset = builder.mul(step, ir.Constant(step.type, i))
            address = address_of(context, builder, pointer, offset, vector)
            row = builder.extract_value(value, i)
            generate_store(context, builder, row, address, vector, lanes, count)
        return context.get_dummy_value()

    return types.void(p, types.int64, block, count), generate


@intrinsic(prefer_literal=True)
def load_rows(_typing: Any, p: Any, stride: Any, rows: Any, count: Any, LANES: Any) -> Any:
    """Read a square block, of LANES rows and lanes, from rows of numbers in memory.

    Row i is p[i · stride : + count], and 0 in lanes from `count` on. Rows from `rows` on are copies
    of row `rows` − 1, so that nothing behind it is read.
    """
    vector = Vector(p.dtype, LANES.literal_value)
    block = Block(vector, vector.lanes)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, step, end, lanes, _ = args
        last = builder.sub(end, ir.Constant(end.type, 1))

        def loaded(i: Any, _row: Any) -> Any:
            offset = builder.mul(step, _smaller(builder, i, last))
            address = address_of(context, builder, pointer, offset, vector)
            return generate_load(context, builder, address, vector, lanes, count)

        undefined = ir.Constant(context.get_value_type(block), ir.Undefined)
        return _map_rows(builder, block, undefined, loaded)

    return block(p, types.int64, types.int64, count, LANES), generate


@intrinsic
def store_first_rows(_typing: Any, p: Any, stride: Any, block: Any, rows: Any) -> Any:
    """Write the first `rows` rows of a block, at least one, each row i to p[i · stride:]."""
    vector = block.vector

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, step, value, end = args
        last = builder.sub(end, ir.Constant(end.type, 1))
        lanes = types.literal(vector.lanes)
        for i in reversed(range(block.rows)):  # rows after `last` go to its place before it
            offset = builder.mul(step, _smaller(builder, ir.Constant(end.type, i), last))
            address = address_of(context, builder, pointer, offset, vector)
            row = builder.extract_value(value, i)
            generate_store(context, builder, row, address, vector, None, lanes)
        return context.get_dummy_value()

    return types.void(p, types.int64, block, types.int64), generate


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@intrinsic
def transposed(_typing: Any, block: Any) -> Any:
    """Return the transpose of a square block, whose number of rows is a power of two.

    In each round, rows a distance d apart swap tiles of d x d numbers, for d = 1, 2, 4 and so on.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        size, distance = block.rows, 1
        rows = [builder.extract_value(args[0], i) for i in range(size)]
        while distance < size:
            keep = [i & distance == 0 for i in range(size)]
            low = [i if kept else size + i - distance for i, kept in enumerate(keep)]
            high = [i + distance if kept else size + i for i, kept in enumerate(keep)]
            for i in range(size):
                if keep[i]:
                    pair = rows[i], rows[i + distance]
                    rows[i] = shuffle(builder, *pair, low)
                    rows[i + distance] = shuffle(builder, *pair, high)
            distance *= 2
        value = ir.Constant(context.get_value_type(block), ir.Undefined)
        for i, row in enumerate(rows):
            value = builder.insert_value(value, row, i)
        return value

    return block(block), generate
