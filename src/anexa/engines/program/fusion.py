"""Fusion: rules that rewrite a program so that it computes the same in fewer, larger instructions.

A rule is a function that looks for one match in a program, rewrites the program there, and returns
whether it did. It may change instructions and arrays freely, and may leave instructions that are no
longer needed: the rule `remove_unused` removes them. To add a rule, write such a function and
append it to `RULES`. It can use:

- `producer_consumer_pairs(program, "transpose", "pack")`: an instruction, and the one that reads
  what it writes;
- `only_reader(program, value)`: the instruction that reads an array, if no other one does;
- `program.producers()`, `program.consumers()`: the instructions that write and read each array;
- `value.move_into(whole, column)`: the array becomes columns of another one, in all instructions;
- `may_be_columns(program, value)`: whether all kernels that use an array support that.

Every array is written by one instruction, or in parts by several in a row, before it is read. So
an instruction may be moved down the list, if it still comes before those that read its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from anexa.engines.program.operations import tile_width
from anexa.engines.program.program import ROWS, Instruction, Program, Value
from anexa.engines.program.specialize import parameter_names
from anexa.engines.program.writer import array_names, kernels

# Maximum elements of a weight that stays in the processor's first cache in a product.
MAX_UNPACKED_ELEMENTS = 4096

Rule: TypeAlias = Callable[[Program], bool]
"""Rewrites the first match in a program; returns whether there was one."""


def producer_consumer_pairs(
    program: Program, first: str, second: str
) -> Iterator[tuple[Instruction, Instruction]]:
    """Yield pairs of instructions of which the second reads a whole output array of the first.

    Args:
        program: program to search.
        first: name of the kernel of the first instruction.
        second: name of the kernel of the second instruction.
    """
    producers = program.producers()
    for instruction in program.instructions:
        if instruction.kernel == second:
            for value in instruction.reads:
                producer = producers.get(id(value))
                if producer is not None and producer.kernel == first:
                    yield producer, instruction


def only_reader(program: Program, value: Value) -> Instruction | None:
    """Return the instruction that reads an array, or columns of it, if there is exactly one.

    It is None if none or several do, or if the array is a result of the program.
    """
    readers = program.consumers().get(id(value.root), [])
    return readers[0] if len(readers) == 1 and not is_result(program, value) else None


def is_result(program: Program, value: Value) -> bool:
    """Return whether an array, or one that shares its memory, is a result of the program."""
    return any(result.root is value.root for result in program.results.values())


def may_be_columns(program: Program, value: Value) -> bool:
    """Return whether a computed array may become a range of columns of another array.

    That is so if each kernel that uses the array has a setting for the stride of its rows.
    """
    if value.kind != "computed" or value.base is not None or is_result(program, value):
        return False
    for instruction in program.instructions:
        names, constants = (
            array_names(instruction.kernel),
            parameter_names(kernels()[instruction.kernel])[1],
        )
        for name, used in zip(names, (*instruction.inputs, *instruction.outputs), strict=True):
            if used is not None and used.root is value and f"{name}_stride" not in constants:
                return False
    return True


def remove(program: Program, instructions: Iterable[Instruction]) -> bool:
    """Remove instructions from a program, in place.

    Returns:
        True, which a rule returns that has changed the program.
    """
    for instruction in [*instructions]:
        program.instructions.remove(instruction)
    return True


def remove_unused(program: Program) -> bool:
    """Rule: remove an instruction whose outputs are neither read nor results."""
    consumers = program.consumers()
    for instruction in program.instructions:
        outputs = instruction.outputs
        if outputs and not any(id(v.root) in consumers or is_result(program, v) for v in outputs):
            return remove(program, [instruction])
    return False


def pack_transposed(program: Program) -> bool:
    """Rule: pack a transposed weight directly, as packing reads a weight in either order.

    pack(transpose(w)) = pack_columns(w).
    """
    for transpose, pack in producer_consumer_pairs(program, "transpose", "pack"):
        pack.kernel, pack.inputs = "pack_columns", transpose.inputs
        return True
    return False


def cancel_transposes(program: Program) -> bool:
    """Rule: replace the transpose of a transposed weight by the weight, in whatever reads it.

    transpose(transpose(w)) = w. GPT-2 stores its weights as dx needs them.
    """
    for first, second in producer_consumer_pairs(program, "transpose", "transpose"):
        (w,), (same,) = first.reads, second.outputs
        if not is_result(program, same):
            for instruction in program.instructions:
                instruction.inputs = tuple(w if v is same else v for v in instruction.inputs)
            return remove(program, [second])
    return False


def untranspose_outer(program: Program) -> bool:
    """Rule: compute the gradient of a transposed weight in the order in which the weight is stored.

    transpose(outer(g, x)) = outer(x, g).
    """
    for outer, transpose in producer_consumer_pairs(program, "outer", "transpose"):
        transpose.kernel, transpose.inputs = "outer", outer.inputs[::-1]
        transpose.settings = {"tile": tile_width(transpose.outputs[0].width)}
        return True
    return False


def fuse_residual(program: Program) -> bool:
    """Rule: add a residual to the sums of a product while they are in registers.

    In add(x, product(…)), x becomes an input of the product.
    """
    producers = program.producers()
    for add in program.instructions:
        if add.kernel != "add":
            continue
        for value, other in (add.inputs[::-1], add.inputs):
            assert value is not None
            product = producers.get(id(value))
            if (
                product is not None
                and product.kernel == "product"
                and product.inputs[3] is None
                and only_reader(program, value) is add
                and value is not other
            ):
                add.kernel, add.settings = "product", product.settings
                add.inputs = (*product.inputs[:3], other)
                return True
    return False


def merge_products(program: Program) -> bool:
    """Rule: compute several products of one array as one, with the weights side by side.

    These are q, k and v, or gate and up.
    """
    by_input: dict[int, list[Instruction]] = {}
    for instruction in program.instructions:
        if instruction.kernel == "product" and instruction.inputs[3] is None:
            by_input.setdefault(id(instruction.inputs[0]), []).append(instruction)
    for products in by_input.values():
        biases = [product.inputs[2] for product in products]
        if (
            len(products) > 1
            and len({bias is None for bias in biases}) == 1
            and all(may_be_columns(program, product.outputs[0]) for product in products)
        ):
            _join_products(program, products)
            return True
    return False


def _join_products(program: Program, products: Sequence[Instruction]) -> None:
    """Replace products of one input by a single one, at the index of the first.

    Args:
        program: program to change.
        products: instructions that read the same array.
    """
    x, packed, bias, _ = products[0].inputs
    assert packed is not None
    n_in, n_out = int(packed.shape[1]), sum(product.outputs[0].width for product in products)
    tile = tile_width(n_out)
    packed, y = program.computed((-(-n_out // tile), n_in, tile)), program.computed((ROWS, n_out))
    if bias is not None:
        bias = program.computed((n_out,))
    new, first = [], 0
    for product in products:
        value, part_of_bias = product.outputs[0], product.inputs[2]
        new += _packed_parts(program, product, packed, first)
        if bias is not None:
            new.append(Instruction("copy", (part_of_bias,), (bias.columns(first, value.width),)))
        value.move_into(y, first)
        first += value.width
    new.append(Instruction("product", (x, packed, bias, None), (y,), {"tile": tile}))
    index = program.instructions.index(products[0])
    program.instructions[index:index] = new
    remove(program, products)


def _packed_parts(
    program: Program, product: Instruction, packed: Value, first: int
) -> list[Instruction]:
    """Return instructions that pack the weight of a product into a larger one, at `first`.

    Args:
        program: program to change.
        product: product whose weight is packed.
        packed: array of the larger packed weight.
        first: index of the first output of the product in it.
    """
    parts = []
    for pack in program.instructions:
        if product.inputs[1] in pack.outputs:
            settings = {"tile": packed.width, "first": pack.settings["first"] + first}
            parts.append(Instruction(pack.kernel, pack.inputs, (packed,), settings))
    return parts


def remove_copies(program: Program) -> bool:
    """Rule: write an array directly to the columns that it would be copied to.

    This removes the instruction copy(x).
    """
    for copy in program.instructions:
        if copy.kernel != "copy":
            continue
        (value,), (part,) = copy.reads, copy.outputs
        if part.base is not None and value.has_rows and may_be_columns(program, value):
            value.move_into(part.base, part.column)
            return remove(program, [copy])
    return False


def unpack_small_weights(program: Program) -> bool:
    """Rule: read the rows of a small weight in place, instead of packing it.

    product(x, pack_columns(w)) = product(x, w). A weight of more than `MAX_UNPACKED_ELEMENTS` is
    packed: a product reads it once for each block of rows, and faster if it is packed.
    """
    for pack, product in producer_consumer_pairs(program, "pack_columns", "product"):
        (w,) = pack.reads
        n_in, n_out = map(int, w.shape)
        is_whole = product.reads[0].width == n_in and product.outputs[0].width == n_out
        if is_whole and w.base is None and n_in * n_out <= MAX_UNPACKED_ELEMENTS:
            x, _, bias, added = product.inputs
            product.inputs = x, w, bias, added
            return True
    return False


# The rules of `fuse`, in the order in which they are tried.
RULES: list[Rule] = [
    remove_unused,
    cancel_transposes,
    pack_transposed,
    untranspose_outer,
    remove_copies,
    fuse_residual,
    merge_products,
    unpack_small_weights,
]


def fuse(program: Program, rules: Sequence[Rule] = RULES) -> None:
    """Apply rules to a program, in place, until no rule applies any more.

    Args:
        program: program to change.
        rules: rules, in the order in which they are tried; default: `RULES`.
    """
    while any(rule(program) for rule in rules):
        pass
