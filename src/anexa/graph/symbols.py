"""Symbolic tensors, and operations on them that compute only shapes and record themselves.

The letters of the shape suffixes are those of `anexa.model.operations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from anexa.graph.drawing import MINUS, TIMES, format_number

Shape = tuple[int | str, ...]  # "T" is the number of tokens


@dataclass(frozen=True)
class SymbolicTensor:
    """A symbolic tensor: a shape and the operation or weight that it comes from.

    Attributes:
        shape: sizes of its axes.
        step: index of the operation that computes it; None for a weight.
        weight: name of a weight; empty for the result of an operation.
        is_transposed: whether the weight is used transposed; its shape is shown as it is stored.
    """

    shape: Shape
    step: int | None = None
    weight: str = ""
    is_transposed: bool = False


@dataclass(frozen=True)
class RecordedOperation:
    """An operation of a traced architecture: a step of the computation.

    Attributes:
        title: name of the operation.
        inputs: for each input that is not a weight, the index of the operation that computes it,
            and a label, "" for none.
        weights: for each weight its name, and its shape as text with a remark, such as ", used
            again".
        notes: other lines to show.
        shape: the shape of the result; None if the result is no tensor.
    """

    title: str
    inputs: tuple[tuple[int, str], ...] = ()
    weights: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    shape: Shape | None = None


@dataclass
class Recorder:
    """Recorder of the operations of an architecture, which run on symbols and compute only shapes.

    It implements `anexa.model.operations.Operations`, where arguments and shapes are described.
    `dropout` records nothing, and `transpose` only that of a result: a weight's is shown where the
    weight is used.

    Attributes:
        steps: the recorded operations, in order.
        used: the names of the weights that operations have used.
    """

    steps: list[RecordedOperation] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def record(
        self,
        title: str,
        inputs: Sequence[SymbolicTensor],
        shape: Shape | None,
        *,
        labels: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> SymbolicTensor:
        """Append an operation to `steps`, and the names of its weights to `used`.

        Args:
            title: the name of the operation.
            inputs: symbolic tensors that the operation reads, weights included.
            shape: the shape of the result; None if the result is no tensor.
            labels: labels of the first inputs; those of weights are not shown.
            notes: other lines to show.

        Returns:
            Symbolic tensor of the result, with shape () if `shape` is None.
        """
        names = [*labels, *[""] * len(inputs)]
        weights = []
        for symbol in inputs:
            if symbol.weight:
                sizes = symbol.shape[::-1] if symbol.is_transposed else symbol.shape
                transposed = ", transposed" if symbol.is_transposed else ""
                reuse = ", used again" if symbol.weight in self.used else ""
                weights.append((symbol.weight, f"{format_shape(sizes)}{transposed}{reuse}"))
                self.used.add(symbol.weight)
        steps = [
            (symbol.step, name) for symbol, name in zip(inputs, names) if symbol.step is not None
        ]
        self.steps.append(
            RecordedOperation(title, tuple(steps), tuple(weights), tuple(notes), shape)
        )
        return SymbolicTensor(shape or (), len(self.steps) - 1)

    def embedding(self, table_VC: SymbolicTensor, tokens_T: SymbolicTensor) -> SymbolicTensor:
        return self.record("embedding", [table_VC, tokens_T], (*tokens_T.shape, table_VC.shape[1]))

    def positions(
        self, x_TC: SymbolicTensor, table_SC: SymbolicTensor, positions: int
    ) -> SymbolicTensor:
        return self.record("positions", [x_TC, table_SC], x_TC.shape)

    def add(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
        return self.record("add", [x, y], x.shape)

    def transpose(self, w: SymbolicTensor) -> SymbolicTensor:
        if w.weight:  # shown at the operation that uses the transposed weight
            return SymbolicTensor(w.shape[::-1], weight=w.weight, is_transposed=not w.is_transposed)
        return self.record("transpose", [w], w.shape[::-1])

    def linear(
        self, x_TC: SymbolicTensor, weight_OC: SymbolicTensor, bias_O: SymbolicTensor | None = None
    ) -> SymbolicTensor:
        inputs = [x_TC, weight_OC] if bias_O is None else [x_TC, weight_OC, bias_O]
        return self.record("linear", inputs, (*x_TC.shape[:-1], weight_OC.shape[0]))

    def split(
        self, x_TC: SymbolicTensor, parts: int, groups: int = 1
    ) -> tuple[SymbolicTensor, ...]:
        *rows, width = x_TC.shape
        notes = [f"{parts} groups of columns, each"]
        if groups > 1:
            notes = [f"{parts} parts of each of {groups} heads, each"]
        part = self.record("split", [x_TC], (*rows, int(width) // parts), notes=notes)
        return (part,) * parts

    def layer_norm(
        self, x_TC: SymbolicTensor, gain_C: SymbolicTensor, bias_C: SymbolicTensor, eps: float
    ) -> SymbolicTensor:
        notes = [f"ε = {format_number(eps)}"]
        return self.record("layer_norm", [x_TC, gain_C, bias_C], x_TC.shape, notes=notes)

    def rms_norm(
        self, x_TC: SymbolicTensor, gain_C: SymbolicTensor | None, eps: float
    ) -> SymbolicTensor:
        inputs = [x_TC] if gain_C is None else [x_TC, gain_C]
        notes = [f"ε = {format_number(eps)}"]
        if gain_C is not None and gain_C.shape[0] != x_TC.shape[-1]:
            notes.insert(0, f"heads of {gain_C.shape[0]}, each by itself")
        return self.record("rms_norm", inputs, x_TC.shape, notes=notes)

    def rotary(
        self, x_TC: SymbolicTensor, head_dim: int, positions: int, frequencies: tuple[float, ...]
    ) -> SymbolicTensor:
        first, last = format_number(frequencies[0]), format_number(frequencies[-1])
        notes = [f"heads of {head_dim}, frequencies {first} to {last}"]
        if 2 * len(frequencies) < head_dim:
            notes.append(f"of the first {2 * len(frequencies)} columns of each head")
        return self.record("rotary", [x_TC], x_TC.shape, notes=notes)

    def attention(
        self,
        q_TC: SymbolicTensor,
        k_TC: SymbolicTensor,
        v_TC: SymbolicTensor,
        n_head: int,
        kv_cache: Any,
        scale: float | None = None,
        window: int | None = None,
    ) -> SymbolicTensor:
        notes = [f"{n_head} heads of {int(q_TC.shape[-1]) // n_head}, causal"]
        if window is not None:
            notes.append(f"to the last {window:,} tokens")
        if scale is not None:
            notes.append(f"scores {TIMES} {format_number(scale)}")
        inputs = [q_TC, k_TC, v_TC]
        return self.record("attention", inputs, q_TC.shape, labels="qkv", notes=notes)

    def dropout(self, x: SymbolicTensor) -> SymbolicTensor:
        return x  # not a part of the function: only training has dropout

    def gelu(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.record("gelu", [x], x.shape)

    def gelu_erf(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.record("gelu_erf", [x], x.shape)

    def relu(self, x: SymbolicTensor) -> SymbolicTensor:
        return self.record("relu", [x], x.shape)

    def swiglu(self, gate: SymbolicTensor, up: SymbolicTensor) -> SymbolicTensor:
        return self.record("swiglu", [gate, up], gate.shape, labels=["gate", "up"])

    def cross_entropy(
        self, logits_TV: SymbolicTensor, targets_T: SymbolicTensor, loss_denominator: int
    ) -> SymbolicTensor:
        inputs, labels = [logits_TV, targets_T], ["logits", "targets"]
        notes = [f"mean of {MINUS}log p(target)"]
        return self.record("cross_entropy", inputs, (), labels=labels, notes=notes)


def format_shape(shape: Shape) -> str:
    """Format a shape, as in "T × 128"; that of a scalar as "one number"."""
    return f" {TIMES} ".join(map(str, shape)) or "one number"
