"""The rules of LayerNorm and RMSNorm, and of the mean and the deviation that they divide by."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

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
    stack_indices,
)


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
    gradients: tuple[str, ...] = ("dx[i] = Σ g[j] ((i = j) − n[i] n[j] / C) / ρ with n = x / ρ",)

    def __init__(
        self, inputs: Sequence[Array], output: Array, auxiliaries: Sequence[Array]
    ) -> None:
        super().__init__(inputs, output, auxiliaries)
        self.centered = len(auxiliaries) == 2
        if len(inputs) > 1:
            self.equation = "y[c] = γ[c] x[c] / ρ"
            self.gradients = (
                "dx[i] = Σ g[j] γ[j] ((i = j) − n[i] n[j] / C) / ρ with n = x / ρ",
                "dγ[c] = Σ g[t, c] n[t, c] with n = x / ρ",
            )
        if self.centered:
            self.equation = "y[c] = γ[c] (x[c] − μ) / σ + β[c]"
            self.gradients = (
                "dx[i] = Σ g[j] γ[j] ((i = j) − 1/C − n[i] n[j] / C) / σ with n = (x − μ) / σ",
                "dγ[c] = Σ g[t, c] n[t, c] with n = (x − μ) / σ",
                "dβ[c] = Σ g[t, c]",
            )
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

    def constants(self, index: Index) -> dict[str, Constant]:
        c, at = index[-1] % self.width, self.deviation_index(index)
        deviation = Elements(len(self.inputs), stack_indices(*at))
        found = {"σ" if self.centered else "ρ": Constant(float(self.auxiliaries[0][at]), deviation)}
        if len(self.inputs) > 1:
            found["γ"] = Constant(float(self.gain_C[c]), Elements(1, stack_indices(c)))
        return found

    def slope_constants(self, source: int, index: Index, grads: Array) -> dict[str, Constant]:
        """Return for an element of the input the parts of its gradient, which add up to it."""
        if source:
            return {}
        b, t, c = index
        i = c % self.width
        columns = c - i + np.arange(self.width)
        n_C, grads_C = self.n_BTC[b, t, columns], grads[b, t, columns] * self.gain_C
        deviation = float(self.auxiliaries[0][self.deviation_index(index)])
        found = {"direct part": grads_C[i] / deviation}
        if self.centered:
            found["part through μ"] = -grads_C.mean() / deviation
        symbol = "σ" if self.centered else "ρ"
        found[f"part through {symbol}"] = -n_C[i] * (grads_C * n_C).mean() / deviation
        return {name: Constant(float(part)) for name, part in found.items()}

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
