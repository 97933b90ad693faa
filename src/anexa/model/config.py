"""What a model's function is: its architecture and its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from anexa.errors import AnexaError, short_repr

LARGEST = 2**40  # of any size: products of a few of them are still numbers that can be shown


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
        n_kv_head: heads of keys and values, each shared by n_head / n_kv_head heads of queries
            (Ainslie et al., 2023); 0 means, and becomes, as many as n_head.
        n_inner: width inside the MLP; 0 means, and becomes, 4 x n_embd.
        rope_theta: base of the rotary positions' wavelengths.
        tie_word_embeddings: whether the output head is the embedding table itself.

    The last four are `llama`'s to choose; the other architectures have them fixed.

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
    n_kv_head: int = 0
    n_inner: int = 0
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        self._check_sizes("vocab_size", "block_size", "n_embd", "n_head", "n_layer")
        fixed = self.model_type != "llama"
        if fixed or self.n_kv_head == 0:
            object.__setattr__(self, "n_kv_head", self.n_head)
        if fixed or self.n_inner == 0:
            object.__setattr__(self, "n_inner", 4 * self.n_embd)
        self._check_sizes("n_kv_head", "n_inner")
        if self.n_embd % self.n_head:
            raise AnexaError(
                f"a width (n_embd) of {self.n_embd} cannot be shared by {self.n_head} heads "
                "(n_head): the one must be a multiple of the other"
            )
        if self.n_head % self.n_kv_head:
            raise AnexaError(
                f"{self.n_head} heads (n_head) cannot share {self.n_kv_head} heads of keys and "
                "values (n_kv_head): the one must be a multiple of the other"
            )
        if self.model_type == "llama" and self.head_dim % 2:
            raise AnexaError(
                f"rotary positions need heads of an even width, and {self.n_embd} / {self.n_head} "
                f"is {self.head_dim}"
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
            if value >= LARGEST:
                raise AnexaError(f"{field} is {short_repr(value)}: no model is so large")

    @property
    def head_dim(self) -> int:
        """Width of a head, D."""
        return self.n_embd // self.n_head
