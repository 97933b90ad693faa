"""Operations that compute nothing: they write down what an architecture asks for.

The letters in the names of shapes are those of `anexa.model.operations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from anexa.graph.drawing import MINUS, TIMES, number

Shape = tuple[int | str, ...]  # "T": as many as there are tokens


@dataclass(frozen=True)
class Symbol:
    """A grid of numbers of which only this is known.

    Attributes:
        shape: its sizes.
        step: the number of the step that makes it; None for a weight.
        weight: a weight's name.
        remark: what was done to the weight.
    """

    shape: Shape
    step: int | None = None
    weight: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Step:
    """An operation that was asked for.

    Attributes:
        title: its name.
        inputs: the numbers of the steps it takes from, and what it takes each result for.
        weights: the name of each weight it uses, and what else to say of it.
        notes: other lines.
        shape: of the result; None where it is not a grid of numbers.
    """

    title: str
    inputs: tuple[tuple[int, str], ...] = ()
    weights: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    shape: Shape | None = None


@dataclass
class Recorder:
    """`anexa.model.operations.Operations` on symbols; see there for what each operation does."""

    steps: list[Step] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def record(
        self,
        title: str,
        inputs: Sequence[Symbol],
        shape: Shape | None,
        *,
        labels: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Symbol:
        """Write down a step; its result has this shape."""
        names = [*labels, *[""] * len(inputs)]
        weights = []
        for symbol in inputs:
            if symbol.weight:
                sizes = symbol.shape[::-1] if symbol.remark else symbol.shape  # as it is stored
                tied = ", used again" if symbol.weight in self.used else ""
                weights.append((symbol.weight, f"{shape_text(sizes)}{symbol.remark}{tied}"))
                self.used.add(symbol.weight)
        steps = [
            (symbol.step, name) for symbol, name in zip(inputs, names) if symbol.step is not None
        ]
        self.steps.append(Step(title, tuple(steps), tuple(weights), tuple(notes), shape))
        return Symbol(shape or (), len(self.steps) - 1)

    def embedding(self, table_VC: Symbol, tokens_T: Symbol) -> Symbol:
        """See `Operations`."""
        return self.record("embedding", [table_VC, tokens_T], (*tokens_T.shape, table_VC.shape[1]))

    def positions(self, x_TC: Symbol, table_SC: Symbol, start: int) -> Symbol:  # noqa: ARG002
        """See `Operations`."""
        return self.record("positions", [x_TC, table_SC], x_TC.shape)

    def add(self, x: Symbol, y: Symbol) -> Symbol:
        """See `Operations`."""
        return self.record("add", [x, y], x.shape)

    def transpose(self, w: Symbol) -> Symbol:
        """See `Operations`; a weight stays one, so that it is shown where it is used."""
        if w.weight:
            return Symbol(w.shape[::-1], weight=w.weight, remark="" if w.remark else ", transposed")
        return self.record("transpose", [w], w.shape[::-1])

    def linear(self, x_TC: Symbol, weight_OC: Symbol, bias_O: Symbol | None = None) -> Symbol:
        """See `Operations`."""
        inputs = [x_TC, weight_OC] if bias_O is None else [x_TC, weight_OC, bias_O]
        return self.record("linear", inputs, (*x_TC.shape[:-1], weight_OC.shape[0]))

    def split(self, x_TC: Symbol, parts: int) -> tuple[Symbol, ...]:
        """See `Operations`."""
        *rows, width = x_TC.shape
        notes = [f"{parts} groups of columns, each"]
        part = self.record("split", [x_TC], (*rows, int(width) // parts), notes=notes)
        return (part,) * parts

    def layer_norm(self, x_TC: Symbol, gain_C: Symbol, bias_C: Symbol, eps: float) -> Symbol:
        """See `Operations`."""
        notes = [f"ε = {number(eps)}"]
        return self.record("layer_norm", [x_TC, gain_C, bias_C], x_TC.shape, notes=notes)

    def rms_norm(self, x_TC: Symbol, gain_C: Symbol | None, eps: float) -> Symbol:
        """See `Operations`."""
        inputs = [x_TC] if gain_C is None else [x_TC, gain_C]
        return self.record("rms_norm", inputs, x_TC.shape, notes=[f"ε = {number(eps)}"])

    def rotary(self, x_TC: Symbol, head_dim: int, start: int, theta: float) -> Symbol:  # noqa: ARG002
        """See `Operations`."""
        notes = [f"heads of {head_dim}, θ = {number(theta)}"]
        return self.record("rotary", [x_TC], x_TC.shape, notes=notes)

    def attention(
        self,
        q_TC: Symbol,
        k_TC: Symbol,
        v_TC: Symbol,
        n_head: int,
        past: Any,  # noqa: ARG002
    ) -> Symbol:
        """See `Operations`."""
        heads = f"{n_head} heads of {int(q_TC.shape[-1]) // n_head}, causal"
        inputs = [q_TC, k_TC, v_TC]
        return self.record("attention", inputs, q_TC.shape, labels="qkv", notes=[heads])

    def dropout(self, x: Symbol) -> Symbol:
        """Nothing to see: it is not part of the function."""
        return x

    def gelu(self, x: Symbol) -> Symbol:
        """See `Operations`."""
        return self.record("gelu", [x], x.shape)

    def relu(self, x: Symbol) -> Symbol:
        """See `Operations`."""
        return self.record("relu", [x], x.shape)

    def swiglu(self, gate: Symbol, up: Symbol) -> Symbol:
        """See `Operations`."""
        return self.record("swiglu", [gate, up], gate.shape, labels=["gate", "up"])

    def cross_entropy(self, logits_TV: Symbol, targets_T: Symbol, loss_denominator: int) -> Symbol:  # noqa: ARG002
        """See `Operations`."""
        inputs, labels = [logits_TV, targets_T], ["logits", "targets"]
        notes = [f"mean of {MINUS}log p(target)"]
        return self.record("cross_entropy", inputs, (), labels=labels, notes=notes)


def shape_text(shape: Shape) -> str:
    """Such as "T × 128"."""
    return f" {TIMES} ".join(map(str, shape)) or "one number"
