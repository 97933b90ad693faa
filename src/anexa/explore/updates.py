"""Explanation of the numbers of an optimizer step of one weight, by AdamW or Muon.

The equations are those of `anexa.engines.optimizers.OptimizerConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from anexa.engines.optimizers import (
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.explore.rule import Array, Index
from anexa.explore.terms import Explanation, NumberReference, Term, TermQuantity


@dataclass(frozen=True)
class WeightUpdate:
    """The update of one weight by an optimizer step: its state before the step, and its gradient.

    Attributes:
        name: name of the weight.
        optimizer: configuration of the optimizer.
        step: number of the step, from 1.
        learning_rate: learning rate of the step.
        norm: global gradient norm, before clipping.
        weight: weight before the step.
        grad: gradient of the weight, before clipping.
        m: optimizer's mean of the gradients before the step; None in the first step.
        v: optimizer's mean of the squared gradients before the step; None in the first step, and if
            Muon updates the weight.
    """

    name: str
    optimizer: OptimizerConfig
    step: int
    learning_rate: float
    norm: float
    weight: Array
    grad: Array
    m: Array | None = None
    v: Array | None = None

    def numbers(self, index: Index, incremental: bool) -> dict[TermQuantity, Any]:
        """Compute all numbers of a step of AdamW for one element, in the precision of the weight.

        Args:
            index: index of the element.
            incremental: whether means are updated as m + (1−β) (g − m), or as β m + (1−β) g.

        Returns:
            The numbers of `tensors` at the index, as NumPy scalars.
        """

        def element(tensor: Array | None) -> Array | None:
            # An array of one element: NumPy before version 2 would turn a float32 into a float64.
            return None if tensor is None else tensor[tuple(slice(i, i + 1) for i in index)]

        w, g, m, v = map(element, (self.weight, self.grad, self.m, self.v))
        assert w is not None
        assert g is not None
        found = replace(self, weight=w, grad=g, m=m, v=v).tensors(incremental)
        return {key: x.reshape(-1)[0] for key, x in found.items()}

    def tensors(self, incremental: bool) -> dict[TermQuantity, Array]:
        """Compute all numbers of a step of AdamW, as tensors in the precision of the weight.

        Args:
            incremental: whether means are updated as m + (1−β) (g − m), as the engines `numpy`,
                `numba` and `torch` do, or as β m + (1−β) g, as `scalar` and `lists` do: they round
                differently.

        Returns:
            The tensors "clipped", "m", "v", "update" and "new", as in `terms.NumberReference`, each
            in the shape of the weight.
        """
        config, w = self.optimizer, self.weight
        m = np.zeros_like(w) if self.m is None else self.m
        v = np.zeros_like(w) if self.v is None else self.v
        g = config.clip_factor(self.norm) * self.grad
        if incremental:
            m = m + (1 - config.beta1) * (g - m)
            v = v + (1 - config.beta2) * (g * g - v)
        else:
            m = config.beta1 * m + (1 - config.beta1) * g
            v = config.beta2 * v + (1 - config.beta2) * (g * g)
        m_bias, v_bias = config.bias_corrections(self.step)
        update = (m / m_bias) / (np.sqrt(v / v_bias) + config.eps)
        new = config.decay_factor(w.shape, self.learning_rate) * w - self.learning_rate * update
        return {"clipped": g, "m": m, "v": v, "update": update, "new": new}


def explain_update(
    step: WeightUpdate, index: Index, quantity: TermQuantity, incremental: bool = True
) -> Explanation:
    """Explain a number of a step of AdamW.

    Args:
        step: state of the weight before the step, and its gradient.
        index: index of the element.
        quantity: the number: "new", "update", "m", "v" or "clipped".
        incremental: whether means are updated as m + (1−β) (g − m), or as β m + (1−β) g.

    Returns:
        The number as a function of a sum of terms.

    Raises:
        ValueError: if `quantity` is not a number of a step of AdamW.
    """
    config, numbers = step.optimizer, step.numbers(index, incremental)
    m_bias, v_bias = config.bias_corrections(step.step)

    def term(
        part: TermQuantity, value: Any, factor: float, other: TermQuantity | None = None
    ) -> Term:
        source = None if other is None else NumberReference(step.name, index, other)
        product = float(value) * factor
        return Term(NumberReference(step.name, index, part), float(value), factor, product, source)

    def before(moment: Array | None) -> float:
        return 0.0 if moment is None else float(moment[index])

    g = float(numbers["clipped"])
    if quantity == "clipped":
        equation = _clipping(config)
        terms = [term("gradient", step.grad[index], config.clip_factor(step.norm))]
    elif quantity == "m":
        equation = "m' = β₁ m + (1 − β₁) g'"
        terms = [term("m", before(step.m), config.beta1), term("clipped", g, 1 - config.beta1)]
    elif quantity == "v":
        equation = "v' = β₂ v + (1 − β₂) g'²"
        square = term("clipped", g, (1 - config.beta2) * g, "clipped")
        terms = [term("v", before(step.v), config.beta2), square]
    elif quantity == "update":
        equation = "u = (m' / (1 − β₁ᵗ)) / (√(v' / (1 − β₂ᵗ)) + ε)"
        factor = 1 / (m_bias * (sqrt(float(numbers["v"]) / v_bias) + config.eps))
        terms = [term("m", numbers["m"], factor, "v")]
    elif quantity == "new":
        equation = "w' = (1 − r λ) w − r u"
        decay = config.decay_factor(step.weight.shape, step.learning_rate)
        terms = [
            term("value", step.weight[index], decay),
            term("update", numbers["update"], -step.learning_rate),
        ]
    else:
        raise ValueError(f"{quantity} is no number of a step")
    target = NumberReference(step.name, index, quantity)
    ordered = tuple(sorted(terms, key=lambda term: -abs(term.contribution)))
    return Explanation(target, float(numbers[quantity]), equation, ordered)


def _clipping(config: OptimizerConfig) -> str:
    """Return the equation of the clipped gradient, in symbols."""
    if not config.max_grad_norm:
        return "g' = g, for this run does not clip gradients"
    return "g' = g · min(1, max_grad_norm / (|g| + 1e-6))"


@dataclass(frozen=True)
class NewtonSchulz:
    """One iteration of Muon's orthogonalization, X' = a X + (b A + c A²) X with A = X Xᵀ.

    Attributes:
        before: X; in the first iteration, the matrix n of `MuonStep.nesterov` divided by its norm.
        after: X'.
    """

    before: Array
    after: Array

    @property
    def singular_values(self) -> tuple[Array, Array]:
        """Singular values of X and of X', each (min(rows, columns),), the largest first."""
        old, new = (np.linalg.svd(x, compute_uv=False) for x in (self.before, self.after))
        return old, new


def newton_schulz(matrix: Array) -> list[NewtonSchulz]:
    """Compute the iterations that set all singular values of a matrix to about 1.

    Args:
        matrix: matrix to orthogonalize, `MuonStep.nesterov`, (rows, columns); of a weight with
            fused matrices, the part for one of them.

    Returns:
        The `NEWTON_SCHULZ_STEPS` iterations, each with the matrix before and after it.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    x = matrix / (np.sqrt((matrix * matrix).sum()) + NORM_EPS)
    found = []
    for _ in range(NEWTON_SCHULZ_STEPS):
        # The smaller of X Xᵀ and Xᵀ X is enough: both products give the same matrix.
        if x.shape[0] <= x.shape[1]:
            gram = x @ x.T
            after = a * x + (b * gram + c * gram @ gram) @ x
        else:
            gram = x.T @ x
            after = a * x + x @ (b * gram + c * gram @ gram)
        found.append(NewtonSchulz(x, after))
        x = after
    return found


@dataclass(frozen=True)
class MuonStep:
    """All numbers of a step of Muon, as matrices, in the precision of the weight.

    Attributes:
        clipped: the gradient after clipping, g'.
        m: mean of the gradients after the step.
        nesterov: what is orthogonalized, n = μ m' + (1 − μ) g'.
        iterations: Newton-Schulz iterations of each fused matrix.
        update: approximately orthogonal matrix U; the fused matrices side by side.
        scale: factor of U besides the learning rate, 0.2 √max(rows, columns).
        new: weight after the step.
    """

    clipped: Array
    m: Array
    nesterov: Array
    iterations: tuple[list[NewtonSchulz], ...]
    update: Array
    scale: float
    new: Array


def muon_step(step: WeightUpdate, num_fused: int) -> MuonStep:
    """Return all matrices of a step of Muon for one weight, from its gradient to the new weight.

    Args:
        step: state of the weight before the step, and its gradient.
        num_fused: number of matrices that the weight holds side by side.
    """
    config = step.optimizer
    clipped = config.clip_factor(step.norm) * step.grad
    before = np.zeros_like(clipped) if step.m is None else step.m
    m = before + (1 - config.momentum) * (clipped - before)
    nesterov = config.momentum * m + (1 - config.momentum) * clipped
    matrices = np.split(nesterov, num_fused, axis=1)
    iterations = tuple(newton_schulz(matrix) for matrix in matrices)
    update = np.concatenate([steps[-1].after for steps in iterations], axis=1)
    scale = muon_scale(*matrices[0].shape)
    decay = config.decay_factor(step.weight.shape, step.learning_rate)
    new = decay * step.weight - step.learning_rate * scale * update
    return MuonStep(clipped, m, nesterov, iterations, update, scale, new)


def explain_muon(
    step: WeightUpdate, index: Index, quantity: TermQuantity, num_fused: int
) -> Explanation:
    """Explain a number of a step of Muon.

    An element of U depends on the whole matrix: its terms are those of the last iteration,
    Σ M[i, k] X[k, j] with M = a + b A + c A², and their sources are elements of X.

    Args:
        step: state of the weight before the step, and its gradient.
        index: index of the element, (row, column).
        quantity: the number: "new", "update", "m" or "clipped".
        num_fused: number of matrices that the weight holds side by side.

    Returns:
        The number as a function of a sum of terms.

    Raises:
        ValueError: if `quantity` is not a number of a step of Muon.
    """
    config, found = step.optimizer, muon_step(step, num_fused)
    i, j = index

    def term(part: TermQuantity, value: Any, factor: float) -> Term:
        return Term(
            NumberReference(step.name, index, part), float(value), factor, float(value) * factor
        )

    if quantity == "clipped":
        value, equation = found.clipped[index], _clipping(config)
        terms = [term("gradient", step.grad[index], config.clip_factor(step.norm))]
    elif quantity == "m":
        value, equation = found.m[index], "m' = μ m + (1 − μ) g'"
        before = 0.0 if step.m is None else step.m[index]
        terms = [
            term("m", before, config.momentum),
            term("clipped", found.clipped[index], 1 - config.momentum),
        ]
    elif quantity == "update":
        value = found.update[index]
        equation = "U = a X + (b A + c A²) X with A = X Xᵀ, in the last of 5 iterations"
        width = step.weight.shape[1] // num_fused
        last = found.iterations[j // width][-1].before
        a, b, c = NEWTON_SCHULZ_COEFFICIENTS
        gram = last @ last.T
        factors = (b * gram + c * gram @ gram)[i]
        factors[i] += a
        terms = [
            Term(NumberReference(f"{step.name}.X", (k, j)), float(x), float(f), float(x) * float(f))
            for k, (x, f) in enumerate(zip(last[:, j % width], factors))
        ]
    elif quantity == "new":
        value, equation = found.new[index], "w' = (1 − r λ) w − r · 0.2 √max(rows, columns) · U"
        decay = config.decay_factor(step.weight.shape, step.learning_rate)
        terms = [
            term("value", step.weight[index], decay),
            term("update", found.update[index], -step.learning_rate * found.scale),
        ]
    else:
        raise ValueError(f"{quantity} is no number of a step of Muon")
    ordered = tuple(sorted(terms, key=lambda term: -abs(term.contribution)))
    return Explanation(NumberReference(step.name, index, quantity), float(value), equation, ordered)
