"""The rules of attention: rotary positions, scores, softmax, and the mean of the values."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, sqrt

import numpy as np

from anexa.explore.rule import (
    ONE,
    Array,
    Constant,
    Elements,
    Index,
    Indices,
    Rule,
    Sum,
    Terms,
    all_indices,
    gather,
    stack_indices,
)


class Rotary(Rule):
    """Rotary positions: a point (x[i], x[i + R]) of a head turned by the angle of its position.

    The columns of a head from 2R on are not turned. The input is x, (B, T, C).

    Args:
        cos: cos α, (B, T, R).
        sin: sin α, (B, T, R).
        head_dim: width of a head, D.

    Attributes:
        half: number of points that are turned, R.
    """

    equation = "y[i] = x[i] cos α − x[i + R] sin α,  y[i + R] = x[i + R] cos α + x[i] sin α"
    gradients = ("dx = g turned back, by −α",)

    def __init__(
        self, inputs: Sequence[Array], output: Array, cos: Array, sin: Array, head_dim: int
    ) -> None:
        super().__init__(inputs, output)
        self.cos, self.sin, self.half, self.head_dim = cos, sin, cos.shape[-1], head_dim
        half = "D/2" if 2 * self.half == head_dim else str(self.half)
        self.equation = self.equation.replace("R", half)

    def rotation_terms(self, index: Index, direction: int) -> tuple[Indices, Array]:
        """Write an element of the turned tensor as a sum of elements of the other one.

        Args:
            index: index of the element.
            direction: 1 for the rotation by α, −1 for the rotation back.

        Returns:
            The indices of N elements, shape (N, axes), and their factors, cos α and ± sin α, shape
            (N,). N is 2, or 1 with the factor 1 in a column that is not turned.
        """
        b, t, c = index
        i = c % self.head_dim
        if i >= 2 * self.half:
            return stack_indices(*index), ONE
        first = i < self.half
        other = c + self.half if first else c - self.half
        sine = self.sin[b, t, i % self.half] * (-direction if first else direction)
        return stack_indices(b, t, [c, other]), np.array([self.cos[b, t, i % self.half], sine])

    def terms(self, index: Index) -> Sum:
        indices, factors = self.rotation_terms(index, 1)
        return Sum((Terms(Elements(0, indices), factors),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        return self.rotation_terms(index, -1)

    def constants(self, index: Index) -> dict[str, Constant]:
        b, t, c = index
        i = c % self.head_dim
        if i >= 2 * self.half:
            return {}
        at = b, t, i % self.half
        return {"α": Constant(atan2(self.sin[at], self.cos[at]))}

    def slope_constants(self, source: int, index: Index, grads: Array) -> dict[str, Constant]:
        return self.constants(index)


class AttentionScores(Rule):
    """Attention scores: the similarity of a query and a key in one head; −∞ for a masked key.

    The inputs are the queries, (B, T, C), and the keys, (B, S, width of all heads of keys); the
    output is (B, H, T, S). Masked are the keys after the query, and the keys before its window.

    Args:
        n_head: number of heads of queries; the number of heads of keys follows from the widths.
        scale: factor of the products, such as 1/√D.
        window: number of last keys that a query attends to; None: all keys up to its own token.

    Attributes:
        head_dim: width of a head, D.
        shared: number of heads of queries that share a head of keys.
    """

    equation = "S[t, s] = Σ q[t, d] k[s, d] / √D"
    gradients = ("dq[t] = Σ dS[t, s] k[s] / √D", "dk[s] = Σ dS[t, s] q[t] / √D")

    def __init__(
        self,
        inputs: Sequence[Array],
        output: Array,
        n_head: int,
        scale: float,
        window: int | None,
    ) -> None:
        super().__init__(inputs, output)
        self.head_dim = inputs[0].shape[-1] // n_head
        self.shared = inputs[0].shape[-1] // inputs[1].shape[-1]
        self.scale, self.window = scale, output.shape[-1] if window is None else window
        if scale != 1 / sqrt(self.head_dim):
            factor = "" if scale == 1 else f"{scale:g} "
            self.equation = f"S[t, s] = {factor}Σ q[t, d] k[s, d]"
            self.gradients = (
                f"dq[t] = {factor}Σ dS[t, s] k[s]",
                f"dk[s] = {factor}Σ dS[t, s] q[t]",
            )

    def terms(self, index: Index) -> Sum:
        b, h, t, s = index
        if not t - self.window < s <= t:
            return Sum((), offset=-np.inf)
        d = np.arange(self.head_dim)
        key = Elements(1, stack_indices(b, s, h // self.shared * self.head_dim + d))
        query = Elements(0, stack_indices(b, t, h * self.head_dim + d))
        return Sum((Terms(query, gather(self.inputs[1], key.indices) * self.scale, key),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        b, position, c = index
        head, d = divmod(c, self.head_dim)
        if source == 0:
            keys = np.arange(max(0, position + 1 - self.window), position + 1)
            column = head // self.shared * self.head_dim + d
            slopes = self.inputs[1][b, keys, column] * self.scale
            return stack_indices(b, head, position, keys), slopes
        length = min(self.output.shape[-2] - position, self.window)
        h, t = all_indices(self.shared, length)
        h, t = h + head * self.shared, t + position
        slopes = self.inputs[0][b, t, h * self.head_dim + d] * self.scale
        return stack_indices(b, h, t, position), slopes

    def slope_elements(self, source: int, index: Index) -> Elements:
        b, h, t, s = self.slopes(source, index)[0].T
        if source == 0:
            return Elements(
                1, stack_indices(b, s, h // self.shared * self.head_dim + index[2] % self.head_dim)
            )
        return Elements(0, stack_indices(b, t, h * self.head_dim + index[2] % self.head_dim))


class LogSumExp(Rule):
    """Logarithm of the sum of the exponentials of a row: Z, without the last axis of the input."""

    equation = "Z = log Σ e^(x[v])"

    def terms(self, index: Index) -> Sum:
        row = self.inputs[0][index]
        elements = Elements(0, stack_indices(*index, np.flatnonzero(row > -np.inf)))
        ones = np.ones(len(elements.indices))
        return Sum((Terms(elements, ones),), inner="exp", outer="log", shift=float(row.max()))


class Softmax(Rule):
    """Softmax: the share of an element in the sum of the exponentials of its row.

    The logarithm of the sum, Z, is an auxiliary: an intermediate result that the terms refer to.
    """

    equation = "P[s] = e^(S[s] − Z)"
    gradients = ("dS[i] = Σ dP[s] P[s] ((i = s) − P[i])",)

    def terms(self, index: Index) -> Sum:
        if self.inputs[0][index] == -np.inf:
            return Sum((), offset=-np.inf, outer="exp")
        score = Terms(Elements(0, stack_indices(*index)), ONE)
        return Sum((score, Terms(Elements(1, stack_indices(*index[:-1])), -ONE)), outer="exp")

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        p_S = self.output[index[:-1]]
        slopes_S = -p_S * p_S[index[-1]]
        slopes_S[index[-1]] += p_S[index[-1]]
        seen = np.flatnonzero(p_S > 0)
        return stack_indices(*index[:-1], seen), slopes_S[seen]

    def slope_constants(self, source: int, index: Index, grads: Array) -> dict[str, Constant]:
        own = Elements(len(self.inputs) + len(self.auxiliaries), stack_indices(*index))
        return {"P[i]": Constant(float(self.output[index]), own)}


class AttentionOutput(Rule):
    """Output of attention in one head: the values of earlier tokens, weighted by the pattern.

    The inputs are the attention pattern P, (B, H, T, S), and the values v, (B, S, width of all
    heads of values).

    Args:
        window: number of last keys that a query attends to; None: all keys up to its own token.

    Attributes:
        head_dim: width of a head, D.
        shared: number of heads of queries that share a head of values.
    """

    equation = "y[t] = Σ P[t, s] v[s]"
    gradients = ("dP[t, s] = Σ g[t, d] v[s, d]", "dv[s] = Σ P[t, s] g[t]")

    def __init__(self, inputs: Sequence[Array], output: Array, window: int | None) -> None:
        super().__init__(inputs, output)
        self.head_dim = output.shape[-1] // inputs[0].shape[1]
        self.shared = output.shape[-1] // inputs[1].shape[-1]
        self.window = inputs[0].shape[-1] if window is None else window

    def terms(self, index: Index) -> Sum:
        b, t, c = index
        head, d = divmod(c, self.head_dim)
        keys = np.arange(max(0, t + 1 - self.window), t + 1)
        values = Elements(1, stack_indices(b, keys, head // self.shared * self.head_dim + d))
        pattern = Elements(0, stack_indices(b, head, t, keys))
        return Sum((Terms(values, gather(self.inputs[0], pattern.indices), pattern),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        p_BHTS, v_BSC = self.inputs
        d = np.arange(self.head_dim)
        if source == 0:
            b, head, t, s = index
            if not t - self.window < s <= t:  # a key that is not seen
                return np.empty((0, 3), np.intp), np.empty(0)
            first = head // self.shared * self.head_dim
            return stack_indices(b, t, head * self.head_dim + d), v_BSC[b, s, first + d]
        b, s, c = index
        head, column = divmod(c, self.head_dim)
        heads, positions = all_indices(self.shared, min(p_BHTS.shape[-2] - s, self.window))
        heads, positions = heads + head * self.shared, positions + s
        outputs = stack_indices(b, positions, heads * self.head_dim + column)
        return outputs, p_BHTS[b, heads, positions, s]

    def slope_elements(self, source: int, index: Index) -> Elements:
        b, t, c = self.slopes(source, index)[0].T
        if source == 0:
            head = index[1] // self.shared
            return Elements(1, stack_indices(b, index[3], head * self.head_dim + c % self.head_dim))
        return Elements(0, stack_indices(b, c // self.head_dim, t, index[1]))
