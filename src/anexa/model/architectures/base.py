"""What one architecture has to say for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
    matrices: int = 0


class Forward(Protocol):
    """The function itself, from tokens to logits."""

    def __call__(
        self,
        ops: Operations[Tensor],
        config: ModelConfig,
        weights: dict[str, Tensor],
        tokens_T: Any,
        start: Any = 0,
        past: Sequence[Any] | None = None,
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
    """

    parameters: Callable[[ModelConfig], dict[str, Parameter]]
    forward: Forward
    to_json: Callable[[ModelConfig], dict[str, Any]]
    from_json: Callable[[dict[str, Any]], ModelConfig]


def required(json: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    """The values of `json` under this project's names; `keys` maps those to the file's names.

    Raises:
        AnexaError: a key is missing.
    """
    missing = [key for key in keys.values() if key not in json]
    if missing:
        raise AnexaError(f"config.json lacks {', '.join(missing)}")
    return {ours: json[theirs] for ours, theirs in keys.items()}
