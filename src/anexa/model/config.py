"""What a model's function is: its architecture and its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anexa.errors import AnexaError, UsageError


@dataclass(frozen=True)
class ModelConfig:
    """The architecture and the sizes of a model.

    Attributes:
        model_type: the architecture: a key of `anexa.model.architectures.ARCHITECTURES`.
        vocab_size: number of different tokens, V.
        block_size: the context: the most tokens the model can look at, T.
        n_embd: width of the residual stream, C.
        n_head: attention heads; each is n_embd / n_head wide.
        n_layer: transformer blocks.
        norm_eps: what the normalisations add to a variance.

    Raises:
        AnexaError: sizes that no model can have.
    """

    model_type: str
    vocab_size: int
    block_size: int
    n_embd: int
    n_head: int
    n_layer: int
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for field in ("vocab_size", "block_size", "n_embd", "n_head", "n_layer"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise AnexaError(f"{field} must be a whole number of at least 1, not {value!r}")
        if self.n_embd % self.n_head:
            raise AnexaError(
                f"a width (n_embd) of {self.n_embd} cannot be shared by {self.n_head} heads "
                "(n_head): the one must be a multiple of the other"
            )
        if not (isinstance(self.norm_eps, float) and 0 < self.norm_eps < 1):
            raise AnexaError(f"norm_eps must be between 0 and 1, not {self.norm_eps!r}")


@dataclass(frozen=True)
class Preset:
    """A model that is known to train well, and how: everything but the vocabulary.

    Attributes:
        summary: one line for the user.
        batch_size: rows of `block_size` tokens in a step.
        learning_rate: Adam's, at its highest.
        betas: Adam's decay rates.
        warmup: the share of the run in which the learning rate rises.
        steps: how long a run is if the user does not say.
    """

    summary: str
    sizes: dict[str, Any]
    batch_size: int
    learning_rate: float
    betas: tuple[float, float]
    warmup: float
    steps: int

    def config(self, vocab_size: int) -> ModelConfig:
        """The configuration, once the vocabulary is known."""
        return ModelConfig(vocab_size=vocab_size, **self.sizes)


PRESETS = {
    # The original's numbers: one document a step, and a rate that only falls.
    "microgpt": Preset(
        summary="the model of microgpt.py: 4,192 parameters on 26 letters",
        sizes={
            "model_type": "microgpt",
            "block_size": 16,
            "n_embd": 16,
            "n_head": 4,
            "n_layer": 1,
        },
        batch_size=1,
        learning_rate=0.01,
        betas=(0.85, 0.99),
        warmup=0.0,
        steps=1000,
    ),
    # From the sweep in docs/experiments.md: on a CPU many small steps beat few large ones.
    "anexa": Preset(
        summary="GPT-2 with about 0.8 million parameters",
        sizes={
            "model_type": "gpt2",
            "block_size": 128,
            "n_embd": 128,
            "n_head": 4,
            "n_layer": 4,
        },
        batch_size=8,
        learning_rate=4e-3,
        betas=(0.9, 0.99),
        warmup=0.15,
        steps=2000,
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
