"""The small set of operations that every architecture is written in.

An architecture (`gpt2.py`, `microgpt.py`) says which operation follows which; an engine says how
each one is computed. The equation and the gradient of each operation stand beside its code in
`anexa.engines`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

Tensor = TypeVar("Tensor")


class Operations(Protocol[Tensor]):
    """What an engine offers to an architecture.

    `Tensor` is the engine's own kind of number grid. Activations have T rows of C numbers (an
    engine that computes several sequences at once puts B in front). B batch, T time, C width,
    H heads, V vocabulary, S = past + T.
    """

    def embedding(self, table_VC: Tensor, tokens_T: Any) -> Tensor:
        """Row `tokens[t]` of the table, for every t."""

    def positions(self, x_TC: Tensor, table_SC: Tensor, start: Any) -> Tensor:
        """Add row `start + t` of the table to row t.

        An engine that computes several sequences at once also takes a tuple, with a start of each.
        """

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y, element by element."""

    def transpose(self, w: Tensor) -> Tensor:
        """Rows become columns."""

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """x Wᵀ + b."""

    def split(self, x_TC: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Cut the columns into `parts` equal groups."""

    def layer_norm(self, x_TC: Tensor, gain_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
        """Each row with mean 0 and variance 1, then scaled and shifted."""

    def rms_norm(self, x_TC: Tensor, eps: float, gain_C: Tensor | None = None) -> Tensor:
        """Each row divided by its root mean square, then scaled."""

    def rotary(self, x_TC: Tensor, head_dim: int, start: Any, theta: float) -> Tensor:
        """Row t of each head turned by angles that grow with its position, `start` + t."""

    def attention(
        self, q_TC: Tensor, k_TC: Tensor, v_TC: Tensor, n_head: int, kv_cache: Any
    ) -> Tensor:
        """Causal attention in `n_head` groups of columns.

        Keys and values may have fewer groups, each for several neighbouring heads of queries.
        `kv_cache` holds one layer's earlier keys and values and takes the new ones in; None: none.
        """

    def dropout(self, x: Tensor) -> Tensor:
        """x; in training, if the engine is told to, with some of it at random set to 0."""

    def gelu(self, x: Tensor) -> Tensor:
        """x Φ(x), with the tanh approximation of Φ."""

    def relu(self, x: Tensor) -> Tensor:
        """max(0, x)."""

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        """gate σ(gate) up, with the logistic function σ."""

    def cross_entropy(self, logits_TV: Tensor, targets_T: Any, divisor: Any) -> Tensor:
        """Sum of −log p(target) / divisor over all targets but `IGNORE`: in nats.

        The divisor is a number, or of several rows one for each, in the engine's own form.
        """
