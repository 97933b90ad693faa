"""What one architecture has to say for itself."""

from __future__ import annotations

import importlib.resources
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from anexa.errors import AnexaError
from anexa.model.config import ModelConfig
from anexa.model.operations import Operations, Tensor


@dataclass(frozen=True)
class Parameter:
    """A weight, and how it starts.

    Attributes:
        shape: of the array.
        std: it starts as draws from N(mean, std), or as `mean` throughout where this is 0.
        mean: see there.
        matrices: how many matrices between two activations it is, side by side; 0 for embeddings,
            the head, gains and biases.
    """

    shape: tuple[int, ...]
    std: float = 0.0
    mean: float = 0.0
    num_fused: int = 0


class Forward(Protocol):
    """The function itself, from tokens to logits."""

    def __call__(
        self,
        ops: Operations[Tensor],
        config: ModelConfig,
        weights: dict[str, Tensor],
        tokens_T: Any,
        start: Any = 0,
        kv_cache: Sequence[Any] | None = None,
    ) -> Tensor:
        """The logits (T, V) of what follows each token.

        Args:
            ops: the engine's operations.
            config: the sizes.
            weights: the engine's own arrays, by Hugging Face's names.
            tokens_T: token ids, in the engine's own form.
            start: the position of the first token, or a tuple with that of each sequence.
            past: for each layer what attention keeps of earlier tokens; None when there are none.
        """


@dataclass(frozen=True)
class Architecture:
    """A function and its names in the world.

    Attributes:
        parameters: name, shape and start of every weight, in order.
        forward: the function.
        to_json: the `config.json` that transformers reads.
        from_json: its inverse; raises AnexaError for what this architecture cannot be.
        table: the name of the embedding table, which may be the output head too.
        prefix: what all names of weights but the head's begin with; files may leave it out.
        buffers: matches the names, without the prefix, of what old files have besides weights:
            masks and tables that can be worked out.
        module: the file with its code for transformers, beside this one, if that has none.
    """

    parameters: Callable[[ModelConfig], dict[str, Parameter]]
    forward: Forward
    to_json: Callable[[ModelConfig], dict[str, Any]]
    from_json: Callable[[dict[str, Any]], ModelConfig]
    table: str
    prefix: str = ""
    buffers: re.Pattern[str] | None = None
    module: str | None = None

    def code(self) -> dict[str, bytes]:
        """The files of a model folder that only transformers runs: their names and contents."""
        if self.module is None:
            return {}
        name = f"{self.module}.py"
        return {name: (importlib.resources.files(__package__) / name).read_bytes()}


def required(json: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    """The values of `json` under this project's names; `keys` maps those to the file's names.

    Raises:
        AnexaError: a key is missing.
    """
    missing = [key for key in keys.values() if key not in json]
    if missing:
        raise AnexaError(f"config.json lacks {', '.join(missing)}")
    return {ours: json[theirs] for ours, theirs in keys.items()}


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value out of JSON is a number that a float can be."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # false of not-a-number too
