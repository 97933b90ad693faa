"""The rules of all operations but attention, rotary positions and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, prod, sqrt

import numpy as np

from anexa.engines.operations.normal_distribution import normal_cdf
from anexa.explore.rule import (
    ONE,
    Array,
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
    gradient = "dx = g"

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
    gradient = "dE[i] = Σ g[t] over the t whose token is i"

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
    """Position embedding: an element plus the position table's element for its position."""

    equation = "y[t] = x[t] + P[t]"
    gradient = "dx = g,  dP[t] = Σ g[b, t] over the sequences b"

    def terms(self, index: Index) -> Sum:
        _, t, c = index
        position = Terms(Elements(1, stack_indices(t, c)), ONE)
        return Sum((Terms(Elements(0, stack_indices(*index)), ONE), position))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        if source == 0:
            return stack_indices(*index), ONE
        t, c = index
        if t >= self.output.shape[1]:  # no sequence is that long
            return np.empty((0, 3), np.intp), np.empty(0)
        sequences = np.arange(len(self.output))
        return stack_indices(sequences, t, c), np.ones(len(sequences))


class Add(Rule):
    """Sum of two tensors, element by element."""

    equation = "z = x + y"
    gradient = "dx = g,  dy = g"

    def terms(self, index: Index) -> Sum:
        return Sum(tuple(Terms(Elements(source, stack_indices(*index)), ONE) for source in (0, 1)))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        return stack_indices(*index), ONE


class Linear(Rule):
    """Linear layer: a row of x times a row of the weight matrix."""

    equation = "y[o] = Σ x[c] W[o, c]"
    gradient = "dx[c] = Σ g[o] W[o, c],  dW[o, c] = Σ g[t, o] x[t, c],  db[o] = Σ g[t, o]"

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


class Mean(Rule):
    """Mean of a row, as in LayerNorm."""

    equation = "μ = Σ x[c] / C"

    def terms(self, index: Index) -> Sum:
        width = self.inputs[0].shape[-1]
        row = Elements(0, stack_indices(*index, np.arange(width)))
        return Sum((Terms(row, np.full(width, 1 / width)),))


class Deviation(Rule):
    """Standard deviation of a row, σ, or without a mean its root mean square, ρ.

    The output is (B, T), or (B, T, G) for rows of G groups of columns, each with its own ρ.

    Args:
        eps: ε, which is added under the root sign.

    Attributes:
        eps: ε.
        width: number of columns of a row, or of a group, C.
    """

    equation = "ρ = √(Σ x[c]² / C + ε)"

    def __init__(
        self, inputs: Sequence[Array], output: Array, eps: float, auxiliaries: Sequence[Array] = ()
    ) -> None:
        super().__init__(inputs, output, auxiliaries)
        self.eps, self.width = eps, inputs[0].shape[-1] // prod(output.shape[2:])
        if auxiliaries:
            self.equation = "σ = √(Σ (x[c] − μ)² / C + ε)"

    def terms(self, index: Index) -> Sum:
        b, t, *group = index
        columns = sum(group) * self.width + np.arange(self.width)
        center = float(self.auxiliaries[0][index]) if self.auxiliaries else 0.0
        squares = Terms(
            Elements(0, stack_indices(b, t, columns)), np.full(self.width, 1 / self.width)
        )
        return Sum((squares,), self.eps, inner="square", outer="sqrt", center=center)


class Norm(Rule):
    """LayerNorm: a row minus its mean, divided by its deviation; times the gain, plus the bias.

    Without a mean it is RMSNorm, and without gains γ = 1. The auxiliaries are the deviation and,
    in LayerNorm, the mean. The slope has a direct part, γ[j] / σ for i = j, and the parts through
    the mean, −γ[j] / (C σ), and through the deviation, −γ[j] n[i] n[j] / (C σ). A row that is
    longer than the gains is made of groups of C columns, each with its own deviation.

    Attributes:
        centered: whether the mean is subtracted, as in LayerNorm.
        gain_C: gains γ, (C,); 1 without gains.
        width: number of gains, C.
        grouped: whether a row has groups of columns, each with its own deviation.
        n_BTC: the normalized rows n, without gain and bias, in the shape of the input.
    """

    equation = "y[c] = x[c] / ρ"
    gradient = "dx[i] = Σ g[j] γ[j] ((i = j) − 1/C − n[i] n[j] / C) / σ,  dγ = Σ g n,  dβ = Σ g"

    def __init__(
        self, inputs: Sequence[Array], output: Array, auxiliaries: Sequence[Array]
    ) -> None:
        super().__init__(inputs, output, auxiliaries)
        self.centered = len(auxiliaries) == 2
        if len(inputs) > 1:
            self.equation = "y[c] = γ[c] x[c] / ρ"
        if self.centered:
            self.equation = "y[c] = γ[c] (x[c] − μ) / σ + β[c]"
        mean_BT = auxiliaries[1] if self.centered else np.zeros(inputs[0].shape[:2])
        self.gain_C = inputs[1] if len(inputs) > 1 else np.ones(inputs[0].shape[-1])
        self.width = len(self.gain_C)
        self.grouped = auxiliaries[0].ndim == 3
        deviations = auxiliaries[0] if self.grouped else auxiliaries[0][..., None]
        self.n_BTC = (inputs[0] - mean_BT[..., None]) / np.repeat(deviations, self.width, axis=-1)

    def deviation_index(self, index: Index) -> Index:
        """Return the index of the deviation by which an element of the input is divided."""
        b, t, c = index
        return (b, t, c // self.width) if self.grouped else (b, t)

    def terms(self, index: Index) -> Sum:
        b, t, c = index
        at, gain = self.deviation_index(index), self.gain_C[[c % self.width]]
        factor = gain / self.auxiliaries[0][at]
        first = len(self.inputs)  # position of the deviation
        deviation = Elements(first, stack_indices(*at))
        found = [Terms(Elements(0, stack_indices(*index)), factor, deviation)]
        if self.centered:
            found.append(Terms(Elements(first + 1, stack_indices(b, t)), -factor, deviation))
            found.append(Terms(Elements(2, stack_indices(c)), ONE))
        return Sum(tuple(found))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        if source == 0:
            b, t, c = index
            i = c % self.width
            columns = c - i + np.arange(self.width)
            n_C = self.n_BTC[b, t, columns]
            slopes_C = -n_C * n_C[i] - (1 if self.centered else 0)
            slopes_C = slopes_C / self.width
            slopes_C[i] += 1
            slopes_C *= self.gain_C
            deviation = self.auxiliaries[0][self.deviation_index(index)]
            return stack_indices(b, t, columns), slopes_C / deviation
        (c,) = index
        *batch, row = self.n_BTC.shape
        sequences, positions, groups = all_indices(*batch, row // self.width)
        columns = groups * self.width + c
        slopes = (
            self.n_BTC[sequences, positions, columns] if source == 1 else np.ones(len(positions))
        )
        return stack_indices(sequences, positions, columns), slopes


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
    gradient = "dx = g ((1 + tanh u) / 2 + x (1 − tanh² u) u' / 2)"

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
    gradient = "dx = g (Φ(x) + x e^(−x² / 2) / √(2π))"

    def factor(self, x: Array) -> Array:
        return normal_cdf(x)

    def slope(self, x: Array) -> Array:
        slope: Array = normal_cdf(x) + x * np.exp(-0.5 * x * x) / sqrt(2 * pi)
        return slope


class ReLU(Curve):
    """ReLU: x where it is positive, else 0."""

    equation = "y = max(0, x)"
    gradient = "dx = g where x > 0, else 0"

    def factor(self, x: Array) -> Array:
        return (x > 0).astype(x.dtype)

    slope = factor


class SwiGLU(Rule):
    """SwiGLU: one half of the hidden layer, times SiLU of the other half, the gate a."""

    equation = "y = b a σ(a)"
    gradient = "da = g b σ(a) (1 + a (1 − σ(a))),  db = g a σ(a)"

    def terms(self, index: Index) -> Sum:
        gate = self.inputs[0][index].reshape(1)
        own = stack_indices(*index)
        return Sum((Terms(Elements(1, own), gate * sigmoid(gate), Elements(0, own)),))

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        gate, up = (x[index].reshape(1) for x in self.inputs)
        sigma = sigmoid(gate)
        slope = up * sigma * (1 + gate * (1 - sigma)) if source == 0 else gate * sigma
        return stack_indices(*index), slope


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
    gradient = "dz[t, v] = (p[t, v] − (v = target)) / N"

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
        p = np.exp(self.inputs[0][index] - self.auxiliaries[0][b, t])
        slope = (p - (v == self.targets_BT[b, t])) / self.denominator_BT[b, t]
        return np.empty((1, 0), np.intp), slope.reshape(1)
