"""Names of the axes of tensors, and of the places on them: token 3 "r", channel 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from anexa.explore.reading import is_special, token_text
from anexa.explore.rule import Index
from anexa.explore.session import OpenFolder, token_ids
from anexa.explore.trace import LOGITS, Trace
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer

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

ACTIVATIONS: dict[int, tuple[Axis, ...]] = {
    0: (),
    2: ("sequence", "token"),
    3: ("sequence", "token", "channel"),
    4: ("sequence", "head", "query", "key"),
}


def axes_of(config: ModelConfig, trace: Trace, name: str) -> tuple[Axis, ...]:
    """Name the axes of a tensor of a trace."""
    axes = trace.values[name].ndim
    if name in trace.nodes and not name.endswith(".T"):
        if name == LOGITS or name.endswith(".probabilities"):
            return "sequence", "token", "vocabulary"
        if name.endswith("attention.log_sum"):
            return "sequence", "head", "token"
        return ACTIVATIONS[axes]
    own = weight_axes(config, name.removesuffix(".T"), axes)
    return own[::-1] if name.endswith(".T") else own


def weight_axes(config: ModelConfig, name: str, axes: int) -> tuple[Axis, ...]:
    """Name the axes of a weight."""
    kind = architecture(config)
    if axes == 1:
        return ("channel",)
    if name == kind.positions:
        return "position", "channel"
    if name in (kind.embedding, "lm_head.weight"):
        return "vocabulary", "channel"
    return ("input", "output") if config.model_type == "gpt2" else ("output", "input")


class Places:
    """Names the places of tensors of one trace.

    Args:
        folder: the model folder.
        trace: the trace.
    """

    def __init__(self, folder: OpenFolder, trace: Trace) -> None:
        self._config, self._tokenizer, self._trace = folder.config, folder.tokenizer, trace
        self._ids = token_ids(trace.batch)

    def of(self, name: str, index: Index) -> list[str]:
        """Name the places of an element, one for each axis; an axis of a single sequence has none.

        Args:
            name: name of the tensor.
            index: index of the element.
        """
        axes = axes_of(self._config, self._trace, name)
        sequence = index[0] if axes[:1] == ("sequence",) else 0
        return [
            self._place(axis, i, sequence)
            for axis, i in zip(axes, index)
            if axis != "sequence" or len(self._ids) > 1
        ]

    def label(self, name: str, index: Index) -> str:
        """Name an element in one line: `h.0.gelu · token 3 "r" · channel 5`."""
        return " · ".join([name, *self.of(name, index)])

    def _place(self, axis: Axis, i: int, sequence: int) -> str:
        if axis in ("token", "query", "key"):
            ids = self._ids[sequence]
            named = f'{axis} {i} "{token_text(self._tokenizer, ids[i])}"' if i < len(ids) else ""
            return named or f"{axis} {i} (padding)"
        if axis == "vocabulary":
            return f'"{token_text(self._tokenizer, i)}"'
        return f"{axis} {i}"


def tokens_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[dict[str, object]]:
    """Describe tokens for the page: id, text, and whether it is a special token."""
    return [
        {"id": i, "text": token_text(tokenizer, i), "special": is_special(tokenizer, i)}
        for i in ids
    ]
