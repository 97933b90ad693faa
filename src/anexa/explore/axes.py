"""Names for the axes of tensors and for indices on them, such as `token 3 "r"` or `channel 5`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from anexa.explore.reading import is_special, token_text
from anexa.explore.rule import Index
from anexa.explore.session import OpenFolder, token_ids
from anexa.explore.trace import LOGITS, Trace
from anexa.graph.model_graph import record_operations
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer

# Name of an axis; "input" and "output" are the features of a linear layer.
Axis: TypeAlias = Literal[
    "sequence",
    "head",
    "token",
    "query",
    "key",
    "channel",
    "vocabulary",
    "position",
    "input",
    "output",
]

# Axes of an activation, by their number; `axes_of` has the exceptions.
ACTIVATIONS: dict[int, tuple[Axis, ...]] = {
    0: (),
    2: ("sequence", "token"),
    3: ("sequence", "token", "channel"),
    4: ("sequence", "head", "query", "key"),
}


def axes_of(config: ModelConfig, trace: Trace, name: str) -> tuple[Axis, ...]:
    """Return the name of each axis of a tensor in a trace; empty for a scalar.

    Args:
        config: configuration of the model.
        trace: computation with the tensor.
        name: name of the tensor, a key of `trace.values`; that of a transposed weight ends in ".T".
    """
    num_axes = trace.values[name].ndim
    if name in trace.nodes and not name.endswith(".T"):
        if name == LOGITS or name.endswith(".probabilities"):
            return "sequence", "token", "vocabulary"
        if name.endswith("attention.log_sum"):
            return "sequence", "head", "token"
        if name.endswith(".scale") and num_axes == 3:  # a norm of each head
            return "sequence", "token", "head"
        return ACTIVATIONS[num_axes]
    own = weight_axes(config, name.removesuffix(".T"), num_axes)
    return own[::-1] if name.endswith(".T") else own


def weight_axes(config: ModelConfig, name: str, num_axes: int) -> tuple[Axis, ...]:
    """Return the name of each axis of a weight.

    Args:
        config: configuration of the model.
        name: name of the weight.
        num_axes: number of its axes, 1 or 2.
    """
    own = get_architecture(config)
    if num_axes == 1:
        return ("channel",)
    if name == own.positions:
        return "position", "channel"
    if name in (own.embedding, own.head(config)):
        return "vocabulary", "channel"
    return ("input", "output") if name in _transposed_weights(config) else ("output", "input")


@lru_cache(maxsize=8)
def _transposed_weights(config: ModelConfig) -> frozenset[str]:
    """Return the names of the weights that are stored (in, out), and transposed for `linear`."""
    weights = (weight for step in record_operations(config) for weight in step.weights)
    return frozenset(name for name, remark in weights if "transposed" in remark)


class IndexNames:
    """Namer of the indices of elements, for the tensors of one trace.

    Args:
        folder: folder of the model, whose tokenizer names tokens.
        trace: trace that the tensors belong to.
    """

    def __init__(self, folder: OpenFolder, trace: Trace) -> None:
        self._config, self._tokenizer, self._trace = folder.config, folder.tokenizer, trace
        self._ids = token_ids(trace.batch)

    def names(self, name: str, index: Index) -> list[str]:
        """Return a name for each index of an element: `token 3 "r"`, `channel 5`.

        The sequence is not named if the batch has only one.

        Args:
            name: name of the tensor.
            index: index of the element.
        """
        axes = axes_of(self._config, self._trace, name)
        sequence = index[0] if axes[:1] == ("sequence",) else 0
        return [
            self._name(axis, i, sequence)
            for axis, i in zip(axes, index)
            if axis != "sequence" or len(self._ids) > 1
        ]

    def label(self, name: str, index: Index) -> str:
        """Return the name of an element in one line: `h.0.gelu · token 3 "r" · channel 5`."""
        return " · ".join([name, *self.names(name, index)])

    def _name(self, axis: Axis, i: int, sequence: int) -> str:
        if axis in ("token", "query", "key"):
            ids = self._ids[sequence]
            named = f'{axis} {i} "{token_text(self._tokenizer, ids[i])}"' if i < len(ids) else ""
            return named or f"{axis} {i} (padding)"
        if axis == "vocabulary":
            return f'"{token_text(self._tokenizer, i)}"'
        return f"{axis} {i}"


def tokens_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[dict[str, object]]:
    """Describe tokens for the page: "id", "text", and "special", whether it is a special token."""
    return [
        {"id": i, "text": token_text(tokenizer, i), "special": is_special(tokenizer, i)}
        for i in ids
    ]
