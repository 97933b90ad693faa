"""A program computes the same after fusion as before.

The programs are executed by a small interpreter. It knows the kernels that rules take apart; every
other kernel is a fixed function of its inputs that nobody could guess, so that a rule that changed
what it reads would change the result.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.engines.program.fusion import RULES, Rule, fuse
from anexa.engines.program.program import ROWS, Instruction, Program, Value
from anexa.engines.program.trace import inference_program, training_program
from anexa.model.config import ModelConfig

Array = npt.NDArray[np.float64]
N = 3  # rows
ARCHITECTURES = ["gpt2", "llama", "microgpt"]


def pack(w: Array, out: Array, *, tile: int, first: int) -> None:
    rows = np.arange(first, first + len(w))
    end = -(-rows[-1] // tile) * tile
    for row in range(rows[-1] + 1, end):
        out[row // tile, :, row % tile] = 0
    out[rows // tile, :, rows % tile] = w


def product(
    x: Array, packed: Array, bias: Array | None, added: Array | None, out: Array, **_: Any
) -> None:
    if packed.ndim == 2:
        weight = np.ascontiguousarray(packed.T)  # the layout of the others: the same roundings
    else:
        weight = packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[: out.shape[1]]
    out[:] = x @ weight.T
    out += 0 if bias is None else bias
    out += 0 if added is None else added


def transpose(w: Array, out: Array) -> None:
    out[:] = w.T


def outer(g: Array, x: Array, out: Array, tile: int) -> None:  # noqa: ARG001
    out[:] = g.T @ x


def add(x: Array, y: Array, out: Array) -> None:
    out[:] = x + y


def copy(x: Array, out: Array) -> None:
    out[:] = x


KNOWN: dict[str, Callable[..., None]] = {
    "pack": pack,
    "pack_columns": lambda w, out, **settings: pack(w.T, out, **settings),
    "product": product,
    "transpose": transpose,
    "outer": outer,
    "add": add,
    "copy": copy,
}


class Interpreter:
    """Executes a program; inputs and weights are drawn by name.

    Args:
        program: the program.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._arrays: dict[int, Array] = {}
        self._state = 0.0  # what instructions without outputs have written

    def run(self) -> dict[str, Array]:
        for instruction in self._program.instructions:
            inputs = [None if v is None else self._array(v) for v in instruction.inputs]
            outputs = [self._array(value) for value in instruction.outputs]
            if instruction.kernel in KNOWN:
                KNOWN[instruction.kernel](*inputs, *outputs, **instruction.settings)
            else:
                self._guess(instruction, inputs, outputs)
        return {name: self._array(value) for name, value in self._program.results.items()}

    def _array(self, value: Value) -> Array:
        root = value.root
        if id(root) not in self._arrays:
            shape = [N if size == ROWS else int(size) for size in root.shape]
            rng = np.random.default_rng(zlib.crc32(root.name.encode()))
            drawn = rng.normal(size=shape)
            self._arrays[id(root)] = np.full(shape, np.nan) if root.kind == "computed" else drawn
        return self._arrays[id(root)][..., value.first_column :][..., : value.width]

    def _guess(
        self, instruction: Instruction, inputs: Sequence[Array | None], outputs: Sequence[Array]
    ) -> None:
        seed = zlib.crc32(f"{instruction.kernel} {instruction.settings}".encode())
        rng = np.random.default_rng(seed)
        mixed: Any = self._state
        for array in inputs:
            if array is not None and array.size:
                weights = rng.normal(size=array.size) / array.size**0.5
                mixed = mixed + np.sin(array).ravel() @ weights
        if not outputs:
            self._state = float(mixed)
        for out in outputs:
            out[:] = np.sin(mixed + rng.normal(size=out.shape))


def weight_program(shape: tuple[int, int]) -> tuple[Program, Value, Value]:
    program = Program()
    return program, program.weight("w", shape), program.input("x", (ROWS, shape[1]))


def packed_product(program: Program, x: Value, w: Value, tile: int = 16) -> Value:
    n_out, n_in = map(int, w.shape)
    packing = {"tile": tile, "first": 0}
    (packed,) = program.emit("pack", (w,), (-(-n_out // tile), n_in, tile), **packing)
    return program.emit("product", (x, packed, None, None), (ROWS, n_out), tile=tile)[0]


def same(make: Callable[[], Program], rules: Sequence[Rule] = RULES) -> Program:
    """Check that a program computes the same after fusion; return it."""
    before, after = make(), make()
    fuse(after, rules)
    expected, actual = Interpreter(before).run(), Interpreter(after).run()
    assert expected.keys() == actual.keys()
    for name, array in expected.items():
        assert np.isfinite(array).all()
        np.testing.assert_allclose(
            actual[name], array, rtol=0, atol=1e-8
        )  # the functions amplify roundings
    return after


def kernel_names(program: Program) -> list[str]:
    return [instruction.kernel for instruction in program.instructions]


sizes = st.integers(1, 40)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(
    head_dim=st.integers(1, 9), heads=st.integers(1, 3), vocab_size=sizes, layers=st.integers(1, 2)
)
@settings(max_examples=10, deadline=None)
def test_inference_program(
    architecture: str, head_dim: int, heads: int, vocab_size: int, layers: int
) -> None:
    width = 2 * head_dim * heads
    config = ModelConfig(architecture, vocab_size, 8, width, heads, layers)
    fused = same(lambda: inference_program(config))
    assert not {"add", "transpose"} & {
        instruction.kernel for instruction in fused.instructions[3:]
    }, "residuals are added in products, and weights are packed as they are stored"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(half=st.integers(1, 5), heads=st.integers(1, 2), vocab_size=sizes)
@settings(max_examples=5, deadline=None)
def test_training_program(architecture: str, half: int, heads: int, vocab_size: int) -> None:
    config = ModelConfig(architecture, vocab_size, 8, 2 * half * heads, heads, 1)
    fused = kernel_names(same(lambda: training_program(config)))
    assert "transpose" not in fused
    assert "copy" not in fused, "dq, dk and dv are written side by side"
    forward, backward = 5, {"gpt2": 5, "llama": 8, "microgpt": 7}[architecture]
    assert fused.count("product") == forward + backward


@given(widths=st.lists(sizes, min_size=2, max_size=4), n_in=sizes, has_bias=st.booleans())
@settings(deadline=None)
def test_products_of_one_input_become_one(widths: list[int], n_in: int, has_bias: bool) -> None:
    def make() -> Program:
        program = Program()
        x = program.input("x", (ROWS, n_in))
        for i, width in enumerate(widths):
            w = program.weight(f"w{i}", (width, n_in))
            y = packed_product(program, x, w)
            if has_bias:
                bias, last = program.weight(f"b{i}", (width,)), program.instructions[-1]
                last.inputs = (*last.inputs[:2], bias, None)
            (program.results[f"y{i}"],) = program.emit("relu", (y,), y.shape)
        return program

    fused = same(make)
    assert kernel_names(fused).count("product") == 1


@given(n_out=sizes, n_in=sizes)
@settings(deadline=None)
def test_transposes_disappear(n_out: int, n_in: int) -> None:
    def make() -> Program:
        program, w, x = weight_program((n_out, n_in))
        (transposed,) = program.emit("transpose", (w,), (n_in, n_out))
        (back,) = program.emit("transpose", (transposed,), (n_out, n_in))
        y = packed_product(program, x, back)
        program.results["dx"] = packed_product(program, y, transposed)
        (dw,) = program.emit("outer", (y, x), (n_out, n_in), tile=16)
        (program.results["w"],) = program.emit("transpose", (dw,), (n_in, n_out))
        return program

    assert "transpose" not in kernel_names(same(make))


@given(widths=st.lists(sizes, min_size=1, max_size=4))
@settings(deadline=None)
def test_copies_into_a_larger_array_disappear(widths: list[int]) -> None:
    def make() -> Program:
        program = Program()
        whole = program.computed((ROWS, sum(widths)))
        column = 0
        for i, width in enumerate(widths):
            (y,) = program.emit("relu", (program.input(f"x{i}", (ROWS, width)),), (ROWS, width))
            program.emit_into("copy", (y,), whole.columns(column, width))
            column += width
        program.results["y"] = whole
        return program

    assert kernel_names(same(make)) == ["relu"] * len(widths)


@given(n_out=sizes, n_in=sizes)
@settings(deadline=None)
def test_the_rows_of_a_small_weight_are_read_in_place(n_out: int, n_in: int) -> None:
    def make() -> Program:
        program, w, x = weight_program((n_in, n_out))
        (transposed,) = program.emit("transpose", (w,), (n_out, n_in))
        y = program.input("y", (ROWS, n_in))
        program.results["y"] = packed_product(program, y, transposed)
        (program.results["x"],) = program.emit("relu", (x,), x.shape)
        return program

    assert kernel_names(same(make)) == ["product", "relu"]


def test_a_large_weight_is_packed() -> None:
    def make() -> Program:
        program, w, _ = weight_program((65, 64))
        (transposed,) = program.emit("transpose", (w,), (64, 65))
        y = program.input("y", (ROWS, 65))
        program.results["y"] = packed_product(program, y, transposed)
        return program

    assert kernel_names(same(make)) == ["pack_columns", "product"]


def test_results_and_arrays_with_several_readers_stay() -> None:
    def make() -> Program:
        program, w, x = weight_program((5, 5))
        program.results["y"] = y = packed_product(program, x, w)
        program.results["z"] = packed_product(program, x, w)
        program.results["sum"] = program.emit("add", (y, x), y.shape)[0]
        program.results["double"] = program.emit("add", (y, y), y.shape)[0]
        return program

    assert kernel_names(same(make)) == kernel_names(make())


def test_listing_of_a_block() -> None:
    config = ModelConfig("llama", 11, 8, 4, 1, 1)
    program = inference_program(config)
    fuse(program)
    lines = [line for line in program.listing() if " = pack(" not in line]
    assert (
        lines
        == """%1 (N, 4) = embedding(model.embed_tokens.weight, tokens)
%2 (N, 4), %3 (N, 1) = rms_norm(%1, model.layers.0.input_layernorm.weight, eps=1e-05)
%31 (N, 12) = product(%2, %30, tile=16)
%6 (N, 4) = rotary(%31[0:4], cos, sin, positions, head_dim=4, sign=1)
%9 (N, 4) = rotary(%31[4:8], cos, sin, positions, head_dim=4, sign=1)
append_to_cache(%9, %31[8:12], caches, positions, head_dim=4, layer=0)
wait_for_rows(progress, layer=0)
%12 (N, 4) = attend(%6, caches, positions, layer=0, head_dim=4, scale=0.5, window=0, kv_width=4)
%15 (N, 4) = product(%12, %13, %1, tile=16)
%16 (N, 4), %17 (N, 1) = rms_norm(%15, model.layers.0.post_attention_layernorm.weight, eps=1e-05)
%33 (N, 32) = product(%16, %32, tile=32)
%22 (N, 16) = swiglu(%33[0:16], %33[16:32])
%25 (N, 4) = product(%22, %23, %15, tile=16)
%26 (N, 4), %27 (N, 1) = rms_norm(%25, model.norm.weight, eps=1e-05)
%29 (N, 11) = product(%26, %28, tile=16)
return %29 as logits""".splitlines()
    )
