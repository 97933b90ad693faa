"""Reverse-mode differentiation over whole operations, for the engines that have none built in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Generic, TypeVar

Tensor = TypeVar("Tensor")


class Operation(ABC, Generic[Tensor]):
    """One application of a named operation: its equation, and the gradient derived from it.

    Settings go to `__init__`, tensors to `forward`, which keeps on `self` what `backward` needs.
    """

    @abstractmethod
    def forward(self, *inputs: Any) -> Any:
        """The output, or a tuple of outputs."""

    @abstractmethod
    def backward(self, *grads: Any) -> tuple[Tensor, ...]:
        """dL/d(input) for every input, from dL/d(output) for every output."""


@dataclass
class TapeEntry(Generic[Tensor]):
    """A line of the tape: what was applied to what, and what came out."""

    operation: Operation[Tensor]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Tape(Generic[Tensor]):
    """Runs operations, remembers them, and plays them backwards.

    It is the `anexa.model.operations.Operations` of an engine whose operations are the classes of
    a module: `Embedding`, `Linear`, ….

    Attributes:
        records: what was run, in order; empty where `recording` is off, as in inference.
    """

    def __init__(
        self,
        operations: ModuleType | SimpleNamespace,
        add: Callable[[Tensor, Tensor], Tensor],
        recording: bool = True,
    ) -> None:
        self._operations = operations
        self._add = add
        self._recording = recording
        self.records: list[TapeEntry[Tensor]] = []

    def backward(self, loss: Tensor, one: Tensor) -> dict[int, Tensor]:
        """The chain rule, from the last record to the first.

        Args:
            loss: what to differentiate: an output on this tape.
            one: dL/dL, as a tensor.

        Returns:
            dL/dt for every tensor t on the tape, by `id(t)`. The tape keeps its tensors alive, so
            the ids stay theirs.
        """
        grads = {id(loss): one}
        for record in reversed(self.records):
            of_outputs = [grads[id(output)] for output in record.outputs]
            of_inputs = record.operation.backward(*of_outputs)
            for tensor, its_grad in zip(record.inputs, of_inputs):
                before = grads.get(id(tensor))
                grads[id(tensor)] = its_grad if before is None else self._add(before, its_grad)
        return grads

    def _run(self, name: str, *inputs: Tensor, settings: tuple[Any, ...] = ()) -> Tensor:
        operation: Operation[Tensor] = getattr(self._operations, name)(*settings)
        output: Tensor = operation.forward(*inputs)
        if self._recording:
            self.records.append(TapeEntry(operation, inputs, (output,)))
        return output

    # The operations, as `anexa.model.operations.Operations` describes them.

    def embedding(self, table_VC: Tensor, tokens_T: Any) -> Tensor:
        return self._run("Embedding", table_VC, settings=(tokens_T,))

    def positions(self, x_TC: Tensor, table_SC: Tensor, start: Any) -> Tensor:
        return self._run("Positions", x_TC, table_SC, settings=(start,))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self._run("Add", x, y)

    def transpose(self, w: Tensor) -> Tensor:
        return self._run("Transpose", w)

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        inputs = (x_TC, weight_OC) if bias_O is None else (x_TC, weight_OC, bias_O)
        return self._run("Linear", *inputs)

    def split(self, x_TC: Tensor, parts: int) -> tuple[Tensor, ...]:
        operation = self._operations.Split(parts)
        outputs: tuple[Tensor, ...] = operation.forward(x_TC)
        if self._recording:
            self.records.append(TapeEntry(operation, (x_TC,), outputs))
        return outputs

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
        return self._run("LayerNorm", x_TC, gain_C, bias_C, settings=(eps,))

    def rms_norm(self, x_TC: Tensor, eps: float, gain_C: Tensor | None = None) -> Tensor:
        inputs = (x_TC,) if gain_C is None else (x_TC, gain_C)
        return self._run("RMSNorm", *inputs, settings=(eps,))

    def rotary(self, x_TC: Tensor, head_dim: int, start: Any, theta: float) -> Tensor:
        return self._run("Rotary", x_TC, settings=(head_dim, start, theta))

    def attention(
        self, q_TC: Tensor, k_TC: Tensor, v_TC: Tensor, n_head: int, kv_cache: Any
    ) -> Tensor:
        return self._run("Attention", q_TC, k_TC, v_TC, settings=(n_head, kv_cache))

    def dropout(self, x: Tensor) -> Tensor:
        return x  # only PyTorch's engine has it

    def gelu(self, x: Tensor) -> Tensor:
        return self._run("GELU", x)

    def relu(self, x: Tensor) -> Tensor:
        return self._run("ReLU", x)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        return self._run("SwiGLU", gate, up)

    def cross_entropy(self, logits_TV: Tensor, targets_T: Any, divisor: Any) -> Tensor:
        return self._run("CrossEntropy", logits_TV, settings=(targets_T, divisor))
