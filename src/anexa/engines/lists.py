"""Rung 2: nested lists of floats: what a tensor library does, with every loop written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anexa.engines.batch import Batch
from anexa.engines.nested import flatten, nest
from anexa.engines.operations import lists as operations
from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.operations.matrices import Nested, SequencePositions, add
from anexa.engines.optimizers.lists import Numbers
from anexa.engines.pure_python import PurePythonEngine
from anexa.engines.tape import Tape, operations_of


class ListsTape(Tape[Nested], operations=operations_of(operations)):
    """A tape of operations on nested lists."""


class ListsEngine(PurePythonEngine):
    """Engine on nested lists, in float64, with a tape of operations for each sequence.

    `Engine` documents its methods, and `PurePythonEngine` the arguments.
    """

    name = "lists"

    def tape(
        self,
        inputs: Sequence[int],
        targets: Sequence[int],
        loss_denominator: float,
        positions: SequencePositions = 0,
        recording: bool = True,
    ) -> tuple[ListsTape, list[float]]:
        """Compute the loss of one sequence, and record its operations.

        Args:
            inputs: T token ids.
            targets: T token ids to predict; `IGNORE_INDEX` where there is none.
            loss_denominator: divisor of the sum of the losses of all tokens.
            positions: position of the first token, or of each token; default: 0, 1, 2, …
            recording: whether operations are recorded for `Tape.backward`; default: they are.

        Returns:
            The tape, and the loss, its last output, as a list of one number.
        """
        tape = ListsTape(recording)
        logits_TV = self._forward(tape.ops, self.config, self._nested, inputs, positions)
        return tape, tape.ops.cross_entropy(logits_TV, targets, loss_denominator)

    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        ops = HeadlessOperations(ListsTape(recording=False).ops, self._nested[self._head]).ops
        x_TC: list[list[float]] = self._forward(ops, self.config, self._nested, tokens)
        return x_TC

    def loss(self, batch: Batch) -> float:
        loss = 0.0
        for sequence in batch.sequences():
            loss += self.tape(*sequence, recording=False)[1][0]
        return loss

    def _set_numbers(self, numbers: Numbers) -> None:
        super()._set_numbers(numbers)
        self._nested: dict[str, Nested] = {
            name: nest(numbers[name], shape) for name, shape in self._shapes.items()
        }

    def _logits(
        self, tokens: Sequence[int], start: int = 0, kv_cache: Sequence[Any] | None = None
    ) -> list[list[float]]:
        ops = ListsTape(recording=False).ops
        logits_TV: list[list[float]] = self._forward(
            ops, self.config, self._nested, tokens, start, kv_cache
        )
        return logits_TV

    def _backward(self, batch: Batch) -> tuple[float, Numbers]:
        loss = 0.0
        sums: dict[str, Nested] = {}
        for sequence in batch.sequences():
            tape, output = self.tape(*sequence)
            loss += output[0]
            grads = tape.backward(output, [1.0])
            for name in self._trainable:
                grad = grads[id(self._nested[name])]
                sums[name] = add(sums[name], grad) if name in sums else grad
        return loss, {name: flatten(grad) for name, grad in sums.items()}
