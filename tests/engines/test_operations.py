"""Unit tests of the operations of `lists` and `numpy`.

Forward is compared with the other engine, backward with central differences of forward.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.engines import IGNORE_INDEX
from anexa.engines.lists import ListsTape
from anexa.engines.numpy import ArrayTape
from anexa.engines.operations import lists, numpy
from anexa.engines.tape import Tape, operations_of
from anexa.model.operations import Operations
from tests.engines.helpers import OPERATION_MODULES

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Application:
    """An operation with its settings, and the numbers to apply it to.

    Attributes:
        name: the name of the operation.
        inputs: the tensors.
        batched: for each tensor, whether its first axis is B, of which `lists`, an engine of one
            sequence at a time, takes the first element.
        settings: the settings, without `tokens`.
        tokens: token ids (B, T) that are the first setting, if any.
    """

    name: str
    inputs: tuple[Numbers, ...]
    batched: tuple[bool, ...]
    settings: tuple[Any, ...] = ()
    tokens: npt.NDArray[np.int64] | None = None


Rng = np.random.Generator


def embedding(rng: Rng, b: int, t: int) -> Application:
    tokens = rng.integers(0, 4, (b, t))  # 5 rows: one is never looked up
    return Application("embedding", (rng.normal(size=(5, 3)),), (False,), tokens=tokens)


def positions(rng: Rng, b: int, t: int) -> Application:
    start = int(rng.integers(0, 3))
    inputs = rng.normal(size=(b, t, 3)), rng.normal(size=(start + t + 1, 3))
    return Application("positions", inputs, (True, False), (start,))


def add(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(size=(b, t, 3)), rng.normal(size=(b, t, 3))
    return Application("add", inputs, (True, True))


def transpose(rng: Rng, _b: int, t: int) -> Application:
    return Application("transpose", (rng.normal(size=(t, 3)),), (False,))


def linear(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(size=(b, t, 3)), rng.normal(size=(4, 3))
    return Application("linear", inputs, (True, False))


def linear_with_bias(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(size=(b, t, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    return Application("linear", inputs, (True, False, False))


def split(rng: Rng, b: int, t: int) -> Application:
    parts = int(rng.integers(1, 4))
    return Application("split", (rng.normal(size=(b, t, 2 * parts)),), (True,), (parts,))


def split_of_groups(rng: Rng, b: int, t: int) -> Application:
    parts, groups = (int(n) for n in rng.integers(1, 4, 2))
    x = rng.normal(size=(b, t, 2 * parts * groups))
    return Application("split", (x,), (True,), (parts, groups))


def layer_norm(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(1, 2, size=(b, t, 5)), rng.normal(size=5), rng.normal(size=5)
    return Application("layer_norm", inputs, (True, False, False), (0.1,))


def rms_norm(rng: Rng, b: int, t: int) -> Application:
    return Application("rms_norm", (rng.normal(1, 2, size=(b, t, 5)),), (True,), (None, 0.1))


def rms_norm_with_gain(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(1, 2, size=(b, t, 5)), rng.normal(size=5)
    return Application("rms_norm", inputs, (True, False), (0.1,))


def rms_norm_of_heads(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(1, 2, size=(b, t, 3 * int(rng.integers(1, 4)))), rng.normal(size=3)
    return Application("rms_norm", inputs, (True, False), (0.1,))


def rotary(rng: Rng, b: int, t: int) -> Application:
    head_dim, heads = 2 * int(rng.integers(1, 3)), int(rng.integers(1, 4))
    start = int(rng.integers(0, 5))
    x = rng.normal(size=(b, t, head_dim * heads))
    return Application("rotary", (x,), (True,), (head_dim, start, tuple(rng.random(head_dim // 2))))


def partial_rotary(rng: Rng, b: int, t: int) -> Application:
    """Rotation of the first columns of each head."""
    head_dim, heads, start = 5, int(rng.integers(1, 4)), int(rng.integers(0, 5))
    x = rng.normal(size=(b, t, head_dim * heads))
    frequencies = tuple(rng.random(int(rng.integers(1, 3))))
    return Application("rotary", (x,), (True,), (head_dim, start, frequencies))


def shared_attention(rng: Rng, b: int, t: int) -> Application:
    """Grouped-query attention."""
    n_kv_head, shared = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    q = rng.normal(size=(b, t, 2 * n_kv_head * shared))
    k, v = (rng.normal(size=(b, t, 2 * n_kv_head)) for _ in range(2))
    return Application("attention", (q, k, v), (True, True, True), (n_kv_head * shared, None))


def attention(rng: Rng, b: int, t: int) -> Application:
    n_head = int(rng.integers(1, 4))
    q, k, v = (rng.normal(size=(b, t, 2 * n_head)) for _ in range(3))
    return Application("attention", (q, k, v), (True, True, True), (n_head, None))


def local_attention(rng: Rng, b: int, t: int) -> Application:
    """Attention in a window, with a scale of its own."""
    n_head, window = (int(n) for n in rng.integers(1, 4, 2))
    q, k, v = (rng.normal(size=(b, t, 2 * n_head)) for _ in range(3))
    return Application("attention", (q, k, v), (True, True, True), (n_head, None, 0.9, window))


def off_the_kink(rng: Rng, b: int, t: int) -> Numbers:
    """Numbers at least 0.1 from 0, where ReLU has no derivative."""
    x: Numbers = rng.uniform(0.1, 3, (b, t, 3)) * rng.choice([-1, 1], (b, t, 3))
    return x


def relu(rng: Rng, b: int, t: int) -> Application:
    return Application("relu", (off_the_kink(rng, b, t),), (True,))


def gelu(rng: Rng, b: int, t: int) -> Application:
    return Application("gelu", (rng.normal(0, 2, size=(b, t, 3)),), (True,))


def gelu_erf(rng: Rng, b: int, t: int) -> Application:
    return Application("gelu_erf", (rng.normal(0, 2, size=(b, t, 3)),), (True,))


def swiglu(rng: Rng, b: int, t: int) -> Application:
    inputs = rng.normal(0, 2, size=(b, t, 3)), rng.normal(size=(b, t, 3))
    return Application("swiglu", inputs, (True, True))


def cross_entropy(rng: Rng, b: int, t: int) -> Application:
    targets = rng.integers(0, 4, (b, t))
    targets[rng.random((b, t)) < 0.3] = IGNORE_INDEX
    count = int(rng.integers(1, 9))
    logits = rng.normal(0, 2, size=(b, t, 4))
    return Application("cross_entropy", (logits,), (True,), (count,), targets)


MAKERS = [
    embedding,
    positions,
    add,
    transpose,
    linear,
    linear_with_bias,
    split,
    split_of_groups,
    layer_norm,
    rms_norm,
    rms_norm_with_gain,
    rms_norm_of_heads,
    rotary,
    partial_rotary,
    attention,
    shared_attention,
    local_attention,
    relu,
    gelu,
    gelu_erf,
    swiglu,
    cross_entropy,
]


def parameters_of(function: Callable[..., Any]) -> list[tuple[str, Any, bool]]:
    """Name, kind and optionality of each parameter but `self`.

    Names without their shape: those of one tensor differ between an engine with and one without an
    axis for the batch.
    """
    _, *parameters = inspect.signature(function).parameters.values()
    return [(p.name.rpartition("_")[0] or p.name, p.kind, p.default is p.empty) for p in parameters]


@pytest.mark.parametrize("tape_type", [ListsTape, ArrayTape])
def test_a_tape_has_the_methods_of_the_protocol(tape_type: type[Tape[Any]]) -> None:
    """A type checker would compare them, if the methods were written out."""
    protocol = {
        name: parameters_of(method)
        for name, method in vars(Operations).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    operations = {name: parameters_of(cls.forward) for name, cls in tape_type.operations.items()}
    assert operations | {"dropout": parameters_of(tape_type.dropout)} == protocol
    assert all(callable(getattr(tape_type, name)) for name in protocol)


@pytest.mark.parametrize("module", OPERATION_MODULES)
def test_every_operation_is_tested(module: ModuleType) -> None:
    made = {maker(np.random.default_rng(0), 1, 1).name for maker in MAKERS}
    assert {operation.name for operation in operations_of(module)} == made


class Applied:
    """An operation of an engine, with NumPy arrays as inputs and outputs."""

    def __init__(self, module: ModuleType, application: Application) -> None:
        self.lists = module is lists
        tokens = application.tokens
        if tokens is not None and self.lists:
            tokens = tokens[0]
        first = () if tokens is None else (tokens.tolist() if self.lists else tokens,)
        self.settings = (*first, *application.settings)
        (self.make,) = [cls for cls in operations_of(module) if cls.name == application.name]
        self.inputs = [
            x[0] if self.lists and batched else x
            for x, batched in zip(application.inputs, application.batched)
        ]

    def to_engine(self, x: Numbers) -> Any:
        return x.tolist() if self.lists else x.copy()

    def forward(self, inputs: list[Numbers]) -> tuple[Any, list[Numbers]]:
        """The operation, so that it can go backward, and its outputs."""
        operation = self.make()
        outputs = operation.forward(*map(self.to_engine, inputs), *self.settings)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return operation, [np.array(output, np.float64) for output in outputs]

    def projection(self, inputs: list[Numbers], directions: list[Numbers]) -> float:
        """All outputs as one number."""
        _, outputs = self.forward(inputs)
        return float(sum((y * d).sum() for y, d in zip(outputs, directions)))


@pytest.mark.parametrize("module", OPERATION_MODULES)
@pytest.mark.parametrize("maker", MAKERS)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), b=st.integers(1, 3), t=st.integers(1, 4))
def test_backward_equals_central_differences_of_forward(
    maker: Callable[[Rng, int, int], Application], module: ModuleType, seed: int, b: int, t: int
) -> None:
    rng = np.random.default_rng(seed)
    applied = Applied(module, maker(rng, b, t))
    operation, outputs = applied.forward(applied.inputs)
    directions = [rng.normal(size=y.shape) for y in outputs]
    grads = operation.backward(*map(applied.to_engine, directions))
    assert len(grads) == len(applied.inputs)

    step = 1e-5
    for i, (x, grad) in enumerate(zip(applied.inputs, grads)):
        slopes = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = [y.copy() for y in applied.inputs]
                moved[i][place] += sign * step
                ends.append(applied.projection(moved, directions))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.array(grad), slopes, rtol=1e-5, atol=1e-6, strict=True)


@pytest.mark.parametrize("maker", MAKERS)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), t=st.integers(1, 5))
def test_lists_and_numpy_agree(
    maker: Callable[[Rng, int, int], Application], seed: int, t: int
) -> None:
    rng = np.random.default_rng(seed)
    application = maker(rng, 1, t)
    results = []
    for module in (lists, numpy):
        applied = Applied(module, application)
        operation, outputs = applied.forward(applied.inputs)
        directions = [np.cos(np.arange(1, y.size + 1)).reshape(y.shape) for y in outputs]
        grads = operation.backward(*map(applied.to_engine, directions))
        results.append([np.array(x, np.float64).ravel() for x in (*outputs, *grads)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("module", OPERATION_MODULES)
@pytest.mark.parametrize("maker", MAKERS)
def test_operation_does_not_change_its_arguments(
    maker: Callable[[Rng, int, int], Application], module: ModuleType
) -> None:
    """The tape passes one gradient to several operations and uses inputs more than once."""
    rng = np.random.default_rng(0)
    applied = Applied(module, maker(rng, 2, 3))
    inputs = [applied.to_engine(x) for x in applied.inputs]
    operation = applied.make()
    outputs = operation.forward(*inputs, *applied.settings)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    before = [np.array(y, np.float64) for y in outputs]
    directions = [rng.normal(size=y.shape) for y in before]
    grads = [applied.to_engine(d) for d in directions]
    operation.backward(*grads)
    for now, then in zip((*inputs, *outputs, *grads), (*applied.inputs, *before, *directions)):
        np.testing.assert_array_equal(now, then)


def test_numpy_keeps_float32() -> None:
    """A float64 array would halve the speed of everything after it."""
    for maker in MAKERS:
        application = maker(np.random.default_rng(0), 2, 3)
        applied = Applied(numpy, application)
        operation, inputs = applied.make(), [x.astype(np.float32) for x in application.inputs]
        outputs = operation.forward(*inputs, *applied.settings)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        grads = operation.backward(*(np.ones_like(y) for y in outputs))
        dtypes = {str(x.dtype) for x in (*outputs, *grads)}
        assert dtypes == {"float32"}, application.name
