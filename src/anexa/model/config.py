"""Configuration of a model: its architecture and its sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from anexa.errors import AnexaError, short_repr
from anexa.model.rotary import RopeScaling


class SizeRules(Protocol):
    """Constraints of an architecture on the sizes of its models; `Architecture` implements it."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Attributes of `ModelConfig` with the same value in all models of the architecture."""

    @property
    def validate(self) -> Callable[[ModelConfig], None]:
        """Function that raises AnexaError for sizes that the architecture cannot have."""


SIZE_RULES: dict[str, SizeRules] = {}  # by model_type; filled by `anexa.model.architectures`

MAX_SIZE = 2**40  # sizes must be smaller: products of a few sizes can then still be printed


@dataclass(frozen=True)
class ModelConfig:
    """The architecture and the sizes of a model.

    Attributes:
        model_type: name of the architecture, a key of `anexa.model.architectures.ARCHITECTURES`.
        vocab_size: number of token ids, V.
        block_size: context length in tokens, T.
        n_embd: width of the residual stream, C.
        n_head: number of attention heads.
        n_layer: number of transformer blocks.
        norm_eps: number added to the variance in normalizations (ε), between 0 and 1, exclusive.
        n_kv_head: number of heads of keys and values, each shared by n_head / n_kv_head query heads
            (grouped-query attention, Ainslie et al., 2023); 0 becomes n_head.
        n_inner: width inside the MLP; 0 becomes 4 x n_embd.
        rope_theta: base of the wavelengths of rotary positions (RoPE).
        tie_word_embeddings: whether the output head is the embedding table.
        head_dim: width of an attention head, D; 0 becomes n_embd / n_head.
        rope_scaling: scaling of the frequencies of rotary positions; None if there is none.
        attention_bias: whether the projections of attention have biases.
        mlp_bias: whether the projections of the MLP have biases.
        attention_windows: for each layer the number of tokens, up to its own, that a token attends
            to; 0: all tokens up to its own. (): all in all layers.
        partial_rotary_factor: fraction of the columns of a head that rotary positions rotate.
        use_parallel_residual: whether the MLP of a block reads the residual stream before attention
            has been added to it (gpt_neox).
        lora_rank: rank of the adapters (LoRA, Hu et al., 2021) beside the matrices of the blocks;
            0: no adapters. Only models that are being trained have them.

    An architecture may fix attributes from `n_kv_head` on: other values that are given for them are
    replaced without an error. See `Architecture.fixed`.

    Raises:
        AnexaError: if the architecture is unknown, or cannot have these sizes.
    """

    model_type: str
    vocab_size: int
    block_size: int
    n_embd: int
    n_head: int
    n_layer: int
    norm_eps: float = 1e-5
    n_kv_head: int = 0
    n_inner: int = 0
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = True
    head_dim: int = 0
    rope_scaling: RopeScaling | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_windows: tuple[int, ...] = ()
    partial_rotary_factor: float = 1.0
    use_parallel_residual: bool = True
    lora_rank: int = 0

    def __post_init__(self) -> None:
        if self.model_type not in SIZE_RULES:
            known = ", ".join(SIZE_RULES)
            raise AnexaError(f"the model type {self.model_type!r} is not one of {known}")
        rules = SIZE_RULES[self.model_type]
        for name, value in rules.fixed.items():
            object.__setattr__(self, name, value)
        self._check_sizes("vocab_size", "block_size", "n_embd", "n_head", "n_layer")
        if self.n_kv_head == 0:
            object.__setattr__(self, "n_kv_head", self.n_head)
        if self.n_inner == 0:
            object.__setattr__(self, "n_inner", 4 * self.n_embd)
        if self.head_dim == 0:
            if self.n_embd % self.n_head:
                raise AnexaError(
                    f"a width (n_embd) of {self.n_embd} cannot be shared by {self.n_head} heads "
                    "(n_head): n_embd must be a multiple of n_head"
                )
            object.__setattr__(self, "head_dim", self.n_embd // self.n_head)
        self._check_sizes("n_kv_head", "n_inner", "head_dim")
        if self.n_head % self.n_kv_head:
            raise AnexaError(
                f"{self.n_head} heads (n_head) cannot share {self.n_kv_head} heads of keys and "
                "values (n_kv_head): n_head must be a multiple of n_kv_head"
            )
        self._check_windows()
        rules.validate(self)
        if not 0 <= self.lora_rank <= self.n_embd:
            raise AnexaError(
                f"the rank of adapters must be from 1 to n_embd, {self.n_embd}, not "
                f"{self.lora_rank}"
            )
        if not (isinstance(self.norm_eps, float) and 0 < self.norm_eps < 1):
            raise AnexaError(f"norm_eps must be between 0 and 1, not {short_repr(self.norm_eps)}")

    def _check_sizes(self, *fields: str) -> None:
        for field in fields:
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise AnexaError(
                    f"{field} must be a whole number of at least 1, not {short_repr(value)}"
                )
            if value >= MAX_SIZE:
                raise AnexaError(f"{field} is {short_repr(value)}, larger than in any model")

    def _check_windows(self) -> None:
        windows = tuple(self.attention_windows)  # a list, if read from JSON
        if windows and len(windows) != self.n_layer:
            raise AnexaError(
                f"attention_windows must have a number for each of {self.n_layer} layers, not "
                f"{len(windows)}"
            )
        if not all(type(n) is int and 0 <= n < MAX_SIZE for n in windows):
            raise AnexaError(
                f"attention_windows must be whole numbers of at least 0, not {short_repr(windows)}"
            )
        object.__setattr__(self, "attention_windows", windows if any(windows) else ())

    def attention_window(self, layer: int) -> int | None:
        """Return the number of tokens that a token attends to in a layer; None: no limit."""
        return self.attention_windows[layer] or None if self.attention_windows else None

    @property
    def rotary_dim(self) -> int:
        """Number of columns of a head that rotary positions rotate, R, rounded toward 0."""
        return int(self.head_dim * self.partial_rotary_factor)
