"""Vectors of numbers in code for Numba: what a kernel computes with.

A `Vector` is a value of LLVM's vector type: it lives in registers, however many of them the
processor needs for its lanes. So a kernel says itself what is computed side by side, and in which
order numbers are added up; nothing is left to the vectorizer of the compiler, and a row has the
same bits whatever rows are beside it.

The intrinsics can be called in compiled code only. `p` is a pointer to numbers, offsets and counts
are in numbers, and `LANES` is a constant in the source. `count` need not be one; if it is, and
equal to the number of lanes, reading and writing need no mask. The intrinsics are built from
functions that generate code: these take Numba's context, LLVM's builder, which appends
instructions, and values of LLVM.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

INT32 = ir.IntType(32)  # LLVM's type of indices of lanes; counts of lanes are int64


class Vector(types.Type):
    """Numba type of a vector of numbers, which lives in registers; two of one type have + - * /.

    Args:
        dtype: type of its numbers, float32 or float64.
        lanes: number of its lanes.
    """

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """Numba data model of a vector: an LLVM vector with the same number of lanes."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, vector.lanes))


def address_of(context: Any, builder: Any, pointer: Any, offset: Any, vector: Vector) -> Any:
    """Generate the address of the vector that starts at pointer[offset]."""
    address = builder.gep(pointer, [offset])
    return builder.bitcast(address, context.get_value_type(vector).as_pointer())


def _alignment(context: Any, vector: Vector) -> int:
    return int(context.get_abi_sizeof(context.get_value_type(vector.dtype)))


def _lane_numbers(numbers: list[int | None]) -> ir.Constant:
    elements = [ir.Constant(INT32, ir.Undefined if n is None else n) for n in numbers]
    return ir.Constant(ir.VectorType(INT32, len(numbers)), elements)


def call_llvm(builder: Any, name: str, vector: Vector, llvm_type: Any, args: list[Any]) -> Any:
    """Generate the call of an intrinsic of LLVM that computes lane by lane, such as "sqrt".

    The result and all arguments are of `llvm_type`, LLVM's type of `vector`.
    """
    full_name = f"llvm.{name}.{_suffix(vector)}"
    function_type = ir.FunctionType(llvm_type, [llvm_type] * len(args))
    function = cgutils.get_or_insert_function(builder.module, function_type, full_name)
    return builder.call(function, args)


def generate_load(
    context: Any, builder: Any, address: Any, vector: Vector, count: Any, count_type: Any
) -> Any:
    """Generate the reading of the first `count` lanes of a vector; the others are 0, and not read.

    Args:
        context: Numba's context.
        builder: LLVM's builder.
        address: address of the vector, as `address_of` returns it.
        vector: type of the vector.
        count: value of the number of lanes; not used if `count_type` is the literal of all lanes.
        count_type: Numba type of `count`; a literal if it is a constant.
    """
    if _is_all(count_type, vector):
        return builder.load(address, align=_alignment(context, vector))
    zeros = ir.Constant(context.get_value_type(vector), None)
    mask = _first(builder, count, vector.lanes)
    alignment = ir.Constant(INT32, _alignment(context, vector))
    function_type = ir.FunctionType(zeros.type, [address.type, INT32, mask.type, zeros.type])
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.masked.load.{_suffix(vector)}.p0"
    )
    return builder.call(function, [address, alignment, mask, zeros])


def generate_store(
    context: Any,
    builder: Any,
    value: Any,
    address: Any,
    vector: Vector,
    count: Any,
    count_type: Any,
) -> None:
    """Generate the writing of the first `count` lanes of a vector.

    The arguments are those of `generate_load`, and `value`: the vector to write.
    """
    if _is_all(count_type, vector):
        builder.store(value, address, align=_alignment(context, vector))
        return
    mask = _first(builder, count, vector.lanes)
    alignment = ir.Constant(INT32, _alignment(context, vector))
    function_type = ir.FunctionType(ir.VoidType(), [value.type, address.type, INT32, mask.type])
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.masked.store.{_suffix(vector)}.p0"
    )
    builder.call(function, [value, address, alignment, mask])


@intrinsic(prefer_literal=True)
def load(_typing: Any, p: Any, offset: Any, count: Any, LANES: Any) -> Any:
    """Read a vector from p[offset :]: `count` numbers, and 0 in the other lanes."""
    vector = Vector(p.dtype, LANES.literal_value)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        address = address_of(context, builder, args[0], args[1], vector)
        return generate_load(context, builder, address, vector, args[2], count)

    return vector(p, types.int64, count, LANES), generate


@intrinsic(prefer_literal=True)
def store(_typing: Any, p: Any, offset: Any, vector: Any, count: Any) -> Any:
    """Write the first `count` lanes of a vector to p[offset :]."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        address = address_of(context, builder, args[0], args[1], vector)
        generate_store(context, builder, args[2], address, vector, args[3], count)
        return context.get_dummy_value()

    return types.void(p, types.int64, vector, count), generate


def _is_all(count: Any, vector: Vector) -> bool:
    """Return whether a count is known when the code is compiled, as that of all lanes."""
    return isinstance(count, types.Literal) and count.literal_value == vector.lanes


def _suffix(vector: Vector) -> str:
    """Return the name of a vector's type in the names of LLVM's intrinsics."""
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"


def _first(builder: Any, count: Any, lanes: int) -> Any:
    """Generate a mask that is true in the lanes before lane `count`."""
    numbers = ir.Constant(ir.VectorType(ir.IntType(64), lanes), [*range(lanes)])
    undefined = ir.Constant(numbers.type, ir.Undefined)
    first = builder.insert_element(undefined, count, ir.Constant(INT32, 0))
    counts = builder.shuffle_vector(first, undefined, _lane_numbers([0] * lanes))
    return builder.icmp_signed("<", numbers, counts)


def shuffle(builder: Any, low: Any, high: Any, lanes: list[int]) -> Any:
    """Generate a vector of the given lanes of two vectors; `high`'s are numbered after `low`'s."""
    return builder.shuffle_vector(low, high, _lane_numbers([*lanes]))


def in_all_lanes(builder: Any, number: Any, llvm_type: Any) -> Any:
    """Generate a vector, of `llvm_type`, with the same number in all lanes."""
    undefined = ir.Constant(llvm_type, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, undefined, _lane_numbers([0] * llvm_type.count))


@intrinsic(prefer_literal=True)
def full(_typing: Any, p: Any, number: Any, LANES: Any) -> Any:
    """Return a vector with the number in all lanes, in the precision of the numbers at `p`."""
    vector = Vector(p.dtype, LANES.literal_value)
    plain = types.unliteral(number)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = context.cast(builder, args[1], plain, p.dtype)
        return in_all_lanes(builder, value, context.get_value_type(vector))

    return vector(p, plain, LANES), generate


@intrinsic
def fma(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, lane by lane, rounded once where the processor can."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return call_llvm(builder, "fmuladd", a, context.get_value_type(a), args)

    return a(a, b, c), generate


@intrinsic
def square_roots(_typing: Any, a: Any) -> Any:
    """Return the square root of each lane, √a."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return call_llvm(builder, "sqrt", a, context.get_value_type(a), args)

    return a(a), generate


@intrinsic
def round_even(_typing: Any, a: Any) -> Any:
    """Round to the nearest whole number, lane by lane; halves to the even one."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return call_llvm(builder, "rint", a, context.get_value_type(a), args)

    return a(a), generate


@intrinsic
def maximum(_typing: Any, a: Any, b: Any) -> Any:
    """Return the larger number, lane by lane; NaN where `a` is NaN, and `a` where `b` is NaN."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[1], args[0]), args[1], args[0])

    return a(a, b), generate


@intrinsic
def minimum(_typing: Any, a: Any, b: Any) -> Any:
    """Return the smaller number, lane by lane; NaN where `a` is NaN, and `a` where `b` is NaN."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[1], args[0]), args[1], args[0])

    return a(a, b), generate


@intrinsic
def where_positive(_typing: Any, a: Any, b: Any) -> Any:
    """Return `b` in the lanes where a > 0, else 0."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        zeros = ir.Constant(context.get_value_type(a), None)
        return builder.select(builder.fcmp_ordered(">", args[0], zeros), args[1], zeros)

    return a(a, b), generate


@intrinsic
def first_lanes(_typing: Any, a: Any, count: Any, b: Any) -> Any:
    """Return `a` in the lanes before lane `count`, and `b` in the others."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(_first(builder, args[1], a.lanes), args[0], args[2])

    return a(a, types.int64, b), generate


@intrinsic
def power_of_two(_typing: Any, a: Any) -> Any:
    """Return 2^a, lane by lane, for whole numbers whose result is neither 0 nor infinite."""
    mantissa, bias = (23, 127) if a.dtype.bitwidth == 32 else (52, 1023)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(a.dtype.bitwidth), a.lanes)
        exponent = builder.add(
            builder.fptosi(args[0], integers), ir.Constant(integers, [bias] * a.lanes)
        )
        bits = builder.shl(exponent, ir.Constant(integers, [mantissa] * a.lanes))
        return builder.bitcast(bits, context.get_value_type(a))

    return a(a), generate


def _reduce(join: Callable[[Any, Any, Any], Any]) -> Any:
    """Create an intrinsic that joins the halves of a vector until one number is left."""

    @intrinsic
    def reduce(_typing: Any, a: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            value, lanes = args[0], a.lanes
            while lanes > 1:
                assert lanes % 2 == 0, "the lanes of a sum are a power of two"
                lanes //= 2
                undefined = ir.Constant(value.type, ir.Undefined)
                low = builder.shuffle_vector(value, undefined, _lane_numbers([*range(lanes)]))
                high = builder.shuffle_vector(
                    value, undefined, _lane_numbers([*range(lanes, 2 * lanes)])
                )
                value = join(builder, low, high)
            return builder.extract_element(value, ir.Constant(INT32, 0))

        return a.dtype(a), generate

    return reduce


# total(a): sum of all lanes: the upper half is added to the lower, until one number is left.
# largest(a): largest number of the lanes, undefined if one is NaN. Lanes are a power of two.
total = _reduce(lambda builder, low, high: builder.fadd(low, high))
largest = _reduce(
    lambda builder, low, high: builder.select(builder.fcmp_unordered(">", high, low), high, low)
)


@intrinsic
def at(_typing: Any, p: Any, offset: Any) -> Any:
    """Return the pointer to p[offset]."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return p(p, types.int64), generate


@intrinsic
def atomic_increment(_typing: Any, p: Any, offset: Any) -> Any:
    """Add 1 to the int64 at p[offset], which threads share, and return its old value.

    Atomic and sequentially consistent.
    """

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        address = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", address, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(p, types.int64), generate


@intrinsic
def atomic_load(_typing: Any, p: Any, offset: Any) -> Any:
    """Read the int64 at p[offset], which threads share; sequentially consistent."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "seq_cst", 8)

    return types.int64(p, types.int64), generate


def pointer_to(dtype: types.Type) -> Any:
    """Create the intrinsic that turns an address in bytes into a pointer to numbers of `dtype`."""

    @intrinsic
    def pointer(_typing: Any, address: Any) -> Any:
        result = types.CPointer(dtype)

        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(result))

        return result(types.int64), generate

    return pointer


class _OfTwoVectors(AbstractTemplate):
    """Typing rule of an arithmetic operator: two vectors of one type give a vector of that type."""

    def generic(self, args: Any, _keywords: Any) -> Any:
        """Return the signature; None if the arguments are not two vectors of one type."""
        if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


def _define_operator(python_operator: Callable[..., Any], name: str) -> None:
    """Define an operator of Python on vectors, by an instruction of LLVM.

    Args:
        python_operator: operator, such as `operator.add`.
        name: name of the method of LLVM's builder.
    """
    infer_global(python_operator)(type(f"Vector_{name}", (_OfTwoVectors,), {}))

    @lower_builtin(python_operator, Vector, Vector)
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)


_define_operator(operator.add, "fadd")
_define_operator(operator.sub, "fsub")
_define_operator(operator.mul, "fmul")
_define_operator(operator.truediv, "fdiv")
