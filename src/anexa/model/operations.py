"""The operations that architectures are written in, and that engines implement.

The forward function of an architecture (`gpt2.py`, `llama.py`, `microgpt.py`) calls these
operations; every engine implements them. Their equations and gradients are in
`anexa.engines.operations`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

Tensor = TypeVar("Tensor")

IGNORE_INDEX = -100  # label of a token that has no loss, as in PyTorch and transformers


class Operations(Protocol[Tensor]):
    """The operations that an engine offers to an architecture.

    `Tensor` is the engine's own type: a nested list, an array or a tensor. Activations are (T, C);
    an engine that computes batches has (B, T, C). Tensors come first and are positional only; the
    settings that follow have no gradient.

    B batch, T time, C width, O output width, H heads, D head width, V vocabulary, S keys (cached
    tokens + T), or rows of the table of positions.
    """

    def embedding(self, table_VC: Tensor, /, tokens_T: Any) -> Tensor:
        """Look up row `tokens_T[t]` of the table for every t: (T, C)."""

    def positions(self, x_TC: Tensor, table_SC: Tensor, /, positions: Any) -> Tensor:
        """Add to each row of x the row of the table at the position of its token: (T, C).

        `positions` is the position of the first token, which the others follow, or a sequence with
        the position of each of the T tokens. An engine that computes batches takes a number for all
        sequences alike, or an entry for each sequence: either of these.
        """

    def add(self, x: Tensor, y: Tensor, /) -> Tensor:
        """Add two tensors of one shape, element by element."""

    def transpose(self, w: Tensor, /) -> Tensor:
        """Swap the rows and columns of a matrix."""

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None, /) -> Tensor:
        """Multiply x by the transposed weight and add the bias: x Wᵀ + b, (T, O)."""

    def split(self, x_TC: Tensor, /, parts: int, groups: int = 1) -> tuple[Tensor, ...]:
        """Cut the columns into `parts` equal parts: (T, C / parts) each.

        With several `groups` of columns (heads, in GPT-NeoX), each group is cut, and part i
        consists of the i-th part of each group.
        """

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, /, eps: float) -> Tensor:
        """Normalize each row to mean 0 and variance 1, multiply by the gain, add the bias."""

    def rms_norm(self, x_TC: Tensor, gain_C: Tensor | None, /, eps: float) -> Tensor:
        """Divide each row by its root mean square, and multiply by the gain, if there is one.

        If the gain is shorter than the row, the row is cut into groups of its length (heads, in
        Qwen3), and each group is normalized on its own. In microgpt there is no gain.
        """

    def rotary(
        self, x_TC: Tensor, /, head_dim: int, positions: Any, frequencies: tuple[float, ...]
    ) -> Tensor:
        """Rotate each head of a row by angles that grow with the position of its token.

        `frequencies` are the R angles between neighboring positions, in radians, at most D/2; the
        first 2R columns of each head are rotated (in GPT-NeoX not all D). `positions` is
        as in the method of this name.
        """

    def attention(
        self,
        q_TC: Tensor,
        k_TC: Tensor,
        v_TC: Tensor,
        /,
        n_head: int,
        kv_cache: Any,
        scale: float | None = None,
        window: int | None = None,
    ) -> Tensor:
        """Compute causal attention in `n_head` heads, which are groups of columns: (T, C).

        Keys and values may have fewer heads; each then serves several neighboring query heads.
        `kv_cache` is a layer's cache of earlier keys and values, to which the new ones are
        appended; None without a cache. `scale` is the positive factor of the scores, 1 / √D by
        default, and 1 in GPT-Neo. A query attends to the last `window` keys, that of its own token
        included, in the local layers of GPT-Neo; None: to all keys up to it.
        """

    def dropout(self, x: Tensor, /) -> Tensor:
        """In training, set a random fraction of x to 0; an engine without dropout returns x."""

    def gelu(self, x: Tensor, /) -> Tensor:
        """Apply the GELU in its tanh approximation, element by element: x Φ(x).

        Φ is the distribution function of the standard normal distribution, approximated.
        """

    def gelu_erf(self, x: Tensor, /) -> Tensor:
        """Apply the exact GELU, element by element: x Φ(x), computed with the error function."""

    def relu(self, x: Tensor, /) -> Tensor:
        """Apply the ReLU, element by element: max(0, x)."""

    def swiglu(self, gate: Tensor, up: Tensor, /) -> Tensor:
        """Multiply `up` by SiLU of `gate`, element by element: gate σ(gate) up.

        σ is the logistic function.
        """

    def cross_entropy(self, logits_TV: Tensor, /, targets_T: Any, loss_denominator: Any) -> Tensor:
        """Compute the cross-entropy loss: the sum of −log p(target) / loss_denominator, in nats.

        Targets that are `IGNORE_INDEX` are left out. The denominator is a number, or for a batch an
        array with one per sequence, (B, 1). The result is a scalar.
        """
