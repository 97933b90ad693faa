"""The optimizers in plain Python, for the engines scalar and lists."""

from __future__ import annotations

from math import sqrt

from anexa.engines.nested import flatten, nest, to_weight
from anexa.engines.operations.matrices import Matrix, matmul, matmul_transposed, transpose
from anexa.engines.optimizers import (
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

Numbers = dict[str, list[float]]  # the numbers of each weight, row by row


class ListsOptimizer:
    """AdamW and Muon on nested lists, with their moments; `OptimizerConfig` has the equations.

    Args:
        optimizer: configuration of the optimizer.
        config: architecture and sizes of the model.
    """

    def __init__(self, optimizer: OptimizerConfig, config: ModelConfig) -> None:
        self._optimizer = optimizer
        self._num_fused = optimizer.muon_weights(config)  # only the weights that Muon updates
        self._shapes = optimizer.state_shapes(config)
        self._moments: Numbers = {}
        self._step = 0

    def update(
        self, weights: Numbers, grads: Numbers, learning_rate: float
    ) -> tuple[Numbers, float]:
        """Compute the weights after one step of the optimizer, which updates its moments.

        Args:
            weights: numbers of each weight by name.
            grads: gradient of each trainable weight by name.
            learning_rate: learning rate of the step.

        Returns:
            The new weights, in a new dict, and the global gradient norm before clipping.
        """
        norm = sqrt(sum(g * g for grad in grads.values() for g in grad))  # of trainable weights
        factor = self._optimizer.clip_factor(norm)
        self._step += 1
        new_weights = dict(weights)
        for name in grads:
            w = weights[name]
            compute_update = self._muon if name in self._num_fused else self._adam
            update = compute_update(name, [factor * g for g in grads[name]])
            decay = self._optimizer.decay_factor(self._shapes[f"m.{name}"], learning_rate)
            new_weights[name] = [decay * wi - learning_rate * ui for wi, ui in zip(w, update)]
        return new_weights, norm

    def state(self) -> Weights:
        """Copy the moments: "m." and "v." + the name of a weight; empty before the first step."""
        return {key: to_weight(values, self._shapes[key]) for key, values in self._moments.items()}

    def load_state(self, state: Weights, step: int) -> None:
        """Restore the moments that `state` returned after `step` steps."""
        self._step = step
        self._moments = {key: list(weight.data) for key, weight in state.items()}

    def _update_moment(self, key: str, beta: float, values: list[float]) -> list[float]:
        """Set a moment to β times itself + (1−β) times the values, and return it."""
        old = self._moments.get(key) or [0.0] * len(values)
        new = [beta * a + (1 - beta) * value for a, value in zip(old, values)]
        self._moments[key] = new
        return new

    def _adam(self, name: str, g: list[float]) -> list[float]:
        m = self._update_moment(f"m.{name}", self._optimizer.beta1, g)
        v = self._update_moment(f"v.{name}", self._optimizer.beta2, [gi * gi for gi in g])
        m_bias, v_bias = self._optimizer.bias_corrections(self._step)
        eps = self._optimizer.eps
        return [(mi / m_bias) / (sqrt(vi / v_bias) + eps) for mi, vi in zip(m, v)]

    def _muon(self, name: str, g: list[float]) -> list[float]:
        momentum, num_fused = self._optimizer.momentum, self._num_fused[name]
        m = self._update_moment(f"m.{name}", momentum, g)
        nesterov = [momentum * mi + (1 - momentum) * gi for mi, gi in zip(m, g)]
        fused: Matrix = nest(nesterov, self._shapes[f"m.{name}"])
        columns = len(fused[0]) // num_fused
        scale = muon_scale(len(fused), columns)
        update: Matrix = [[] for _ in fused]
        for start in range(0, num_fused * columns, columns):
            matrix = [row[start : start + columns] for row in fused]
            for update_row, row in zip(update, orthogonalize(matrix)):
                update_row += [scale * u for u in row]
        return flatten(update)


def orthogonalize(x: Matrix) -> Matrix:
    """Return a matrix with the singular vectors of x, (m, n), and singular values of about 1.

    X ← X / |X|, then five times X ← a X + (b A + c A²) X where A = X Xᵀ.
    """
    if len(x) > len(x[0]):  # the smaller of X Xᵀ and Xᵀ X is enough
        return transpose(orthogonalize(transpose(x)))
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    norm = sqrt(sum(xi * xi for row in x for xi in row)) + NORM_EPS
    x = [[xi / norm for xi in row] for row in x]
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = matmul_transposed(x, x)
        square = matmul_transposed(gram, gram)  # which is symmetric
        polynomial = [[b * g + c * s for g, s in zip(*rows)] for rows in zip(gram, square)]
        x = [[a * xi + yi for xi, yi in zip(*rows)] for rows in zip(x, matmul(polynomial, x))]
    return x
