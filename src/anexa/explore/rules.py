"""The rules of lookups, sums, matrix products, activation functions and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

import numpy as np

from anexa.engines.operations.normal_distribution import normal_cdf
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
    stack_indices,
)


class Identity(Rule):
    """An operation whose output elements are single elements of the input: split, transpose.

    Args:
        columns: columns of x that the output of a split has; None means the transpose.
    """

    equation = "y = x"
    gradients = ("dx = g",)

    def __init__(
        self, inputs: Sequence[Array], output: Array, columns: Indices | None = None
    ) -> None:
        super().__init__(inputs, output)
        self.columns = columns  # of a split: columns of x that the output has; None: the transpose

    def terms(self, index: Index) -> Sum:
        source = index[::-1]
        if self.columns is not None:
            source = *index[:-1], int(self.columns[index[-1]])
        return Sum((Terms(Elements(0, stack_indices(*source)), ONE),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        if self.columns is None:
            return stack_indices(*index[::-1]), ONE
        found = np.flatnonzero(self.columns == index[-1])  # one, or none
        if len(found):
            return stack_indices(*index[:-1], int(found[0])), ONE
        return np.empty((0, len(index)), np.intp), np.empty(0)


class Embedding(Rule):
    """Embedding lookup: the row of the table that belongs to the token.

    Args:
        tokens_BT: token ids, (B, T).
    """

    equation = "y[t] = E[token[t]]"
    gradients = ("dE[i] = Σ g[t] over the t whose token is i",)

    def __init__(self, inputs: Sequence[Array], output: Array, tokens_BT: Indices) -> None:
        super().__init__(inputs, output)
        self.tokens_BT = tokens_BT

    def terms(self, index: Index) -> Sum:
        b, t, c = index
        return Sum((Terms(Elements(0, stack_indices(self.tokens_BT[b, t], c)), ONE),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        row, c = index
        b, t = np.nonzero(self.tokens_BT == row)
        return stack_indices(b, t, c), np.ones(len(b))


class Positions(Rule):
    """Position embedding: an element plus the position table's element for its position.

    Args:
        positions: position of each token, (B, T).
    """

    equation = "y[t] = x[t] + P[t]"
    gradients = ("dx = g", "dP[t] = Σ g[b, t] over the sequences b")

    def __init__(self, inputs: Sequence[Array], output: Array, positions: Indices) -> None:
        super().__init__(inputs, output)
        self._positions = positions
        if (positions != np.arange(positions.shape[1])).any():  # with gaps
            self.equation = "y[t] = x[t] + P[p],  p the position of token t"
            self.gradients = ("dx = g", "dP[p] = Σ g over the tokens at position p")

    def terms(self, index: Index) -> Sum:
        b, t, c = index
        position = Terms(Elements(1, stack_indices(self._positions[b, t], c)), ONE)
        return Sum((Terms(Elements(0, stack_indices(*index)), ONE), position))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        if source == 0:
            return stack_indices(*index), ONE
        position, c = index
        sequences, tokens = np.nonzero(self._positions == position)
        return stack_indices(sequences, tokens, c), np.ones(len(sequences))


class Add(Rule):
    """Sum of two tensors, element by element."""

    equation = "z = x + y"
    gradients = ("dx = g", "dy = g")

    def terms(self, index: Index) -> Sum:
        return Sum(tuple(Terms(Elements(source, stack_indices(*index)), ONE) for source in (0, 1)))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        return stack_indices(*index), ONE


class Linear(Rule):
    """Linear layer: a row of x times a row of the weight matrix."""

    equation = "y[o] = Σ x[c] W[o, c]"
    gradients = ("dx[c] = Σ g[o] W[o, c]", "dW[o, c] = Σ g[t, o] x[t, c]", "db[o] = Σ g[t, o]")

    def __init__(
        self, inputs: Sequence[Array], output: Array, auxiliaries: Sequence[Array] = ()
    ) -> None:
        super().__init__(inputs, output, auxiliaries)
        if len(inputs) > 2:
            self.equation += " + b[o]"

    def terms(self, index: Index) -> Sum:
        b, t, o = index
        x_BTC, weight_OC, *bias = self.inputs
        columns = np.arange(x_BTC.shape[-1])
        weight = Elements(1, stack_indices(o, columns))
        products = Terms(Elements(0, stack_indices(b, t, columns)), weight_OC[o], weight)
        return Sum((products, *(Terms(Elements(2, stack_indices(o)), ONE) for _ in bias)))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        x_BTC, weight_OC = self.inputs[:2]
        if source == 0:
            b, t, c = index
            return stack_indices(b, t, np.arange(len(weight_OC))), weight_OC[:, c]
        sequences, positions = all_indices(*x_BTC.shape[:2])
        if source == 1:
            o, c = index
            return stack_indices(sequences, positions, o), x_BTC[sequences, positions, c]
        return stack_indices(sequences, positions, *index), np.ones(len(positions))

    def slope_elements(self, source: int, index: Index) -> Elements | None:
        x_BTC, weight_OC = self.inputs[:2]
        if source == 0:
            return Elements(1, stack_indices(np.arange(len(weight_OC)), index[-1]))
        if source == 1:
            return Elements(0, stack_indices(*all_indices(*x_BTC.shape[:2]), index[1]))
        return None


class Curve(Rule):
    """Activation function of one number, y = x f(x), element by element: GELU and ReLU."""

    def __init__(self, inputs: Sequence[Array], output: Array) -> None:
        super().__init__(inputs, output)

    def factor(self, x: Array) -> Array:
        """Compute the factor f(x) of N inputs, (N,)."""
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """Compute the derivative dy/dx at N inputs, (N,)."""
        raise NotImplementedError

    def terms(self, index: Index) -> Sum:
        x = self.inputs[0][index].reshape(1)
        return Sum((Terms(Elements(0, stack_indices(*index)), self.factor(x)),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        return stack_indices(*index), self.slope(self.inputs[0][index].reshape(1))


class GELU(Curve):
    """GELU, x Φ(x), with the tanh approximation of Φ."""

    equation = "y = x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³)"
    gradients = ("dx = g ((1 + tanh u) / 2 + x (1 − tanh² u) u' / 2)",)

    def factor(self, x: Array) -> Array:
        phi: Array = (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
        return phi

    def slope(self, x: Array) -> Array:
        phi = self.factor(x)
        slope: Array = phi + 2 * x * phi * (1 - phi) * sqrt(2 / pi) * (1 + 0.134145 * x * x)
        return slope


class GELUErf(Curve):
    """Exact GELU, x Φ(x), with the standard normal distribution function Φ."""

    equation = "y = x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2"
    gradients = ("dx = g (Φ(x) + x e^(−x² / 2) / √(2π))",)

    def factor(self, x: Array) -> Array:
        return normal_cdf(x)

    def slope(self, x: Array) -> Array:
        slope: Array = normal_cdf(x) + x * np.exp(-0.5 * x * x) / sqrt(2 * pi)
        return slope


class ReLU(Curve):
    """ReLU: x where it is positive, else 0."""

    equation = "y = max(0, x)"
    gradients = ("dx = g where x > 0, else 0",)

    def factor(self, x: Array) -> Array:
        return (x > 0).astype(x.dtype)

    slope = factor


class SwiGLU(Rule):
    """SwiGLU: one half of the hidden layer, times SiLU of the other half, the gate a."""

    equation = "y = b a σ(a)"
    gradients = ("da = g b σ(a) (1 + a (1 − σ(a)))", "db = g a σ(a)")

    def terms(self, index: Index) -> Sum:
        gate = self.inputs[0][index].reshape(1)
        own = stack_indices(*index)
        return Sum((Terms(Elements(1, own), gate * sigmoid(gate), Elements(0, own)),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        gate, up = (x[index].reshape(1) for x in self.inputs)
        sigma = sigmoid(gate)
        slope = up * sigma * (1 + gate * (1 - sigma)) if source == 0 else gate * sigma
        return stack_indices(*index), slope

    def slope_constants(self, source: int, index: Index, grads: Array) -> dict[str, Constant]:
        own = stack_indices(*index)
        return {
            symbol: Constant(float(x[index]), Elements(i, own))
            for i, (symbol, x) in enumerate(zip("ab", self.inputs))
        }


def sigmoid(x: Array) -> Array:
    """Compute the logistic function, 1 / (1 + e^−x), element by element.

    It does not overflow.
    """
    result: Array = np.tanh(x * 0.5) * 0.5 + 0.5
    return result


class CrossEntropy(Rule):
    """Cross-entropy loss: the mean of Z − z[target] over all tokens with a target.

    The auxiliaries (intermediate results that the terms refer to) are Z = log Σ e^z and the
    probabilities p.

    Args:
        targets_BT: id of the token that follows each token, (B, T); negative for a token without a
            loss.
        denominator_BT: divisor of each token's loss, (B, T).
    """

    equation = "L = Σ (Z[t] − z[t, target]) / N"
    gradients = ("dz[t, v] = (p[t, v] − (v = target)) / N",)

    def __init__(
        self,
        inputs: Sequence[Array],
        output: Array,
        auxiliaries: Sequence[Array],
        targets_BT: Indices,
        denominator_BT: Array,
    ) -> None:
        super().__init__(inputs, output, auxiliaries)
        self.targets_BT, self.denominator_BT = targets_BT, denominator_BT

    def terms(self, index: Index) -> Sum:
        b, t = np.nonzero(self.targets_BT >= 0)
        shares = 1 / self.denominator_BT[b, t]
        target = Elements(0, stack_indices(b, t, self.targets_BT[b, t]))
        return Sum((Terms(Elements(1, stack_indices(b, t)), shares), Terms(target, -shares)))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        b, t, v = index
        if self.targets_BT[b, t] < 0:
            return np.empty((0, 0), np.intp), np.empty(0)
        p = self._probability(index)
        slope = (p - (v == self.targets_BT[b, t])) / self.denominator_BT[b, t]
        return np.empty((1, 0), np.intp), slope.reshape(1)

    def slope_constants(self, source: int, index: Index, grads: Array) -> dict[str, Constant]:
        target = int(self.targets_BT[index[:2]])
        if target < 0:
            return {}
        return {
            "p": Constant(float(self._probability(index)), Elements(2, stack_indices(*index))),
            "target": Constant(target),
            "N": Constant(float(self.denominator_BT[index[:2]])),
        }

    def _probability(self, index: Index) -> Array:
        p: Array = np.exp(self.inputs[0][index] - self.auxiliaries[0][index[:2]])
        return p
