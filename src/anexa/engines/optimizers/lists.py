"""The optimizers in plain Python, for the engines whose numbers are floats."""

from __future__ import annotations

from math import sqrt

from anexa.engines.nested import as_weight, flatten, nest
from anexa.engines.operations.matrices import Matrix, matmul, matmul_transposed, transpose
from anexa.engines.optimizers import (
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

Numbers = dict[str, list[float]]  # a list of floats for each weight


class ListsOptimizer:
    """An `OptimizerConfig` and its moments. See there for the equations."""

    def __init__(self, optimizer: OptimizerConfig, config: ModelConfig) -> None:
        self._optimizer = optimizer
        self._matrices = optimizer.muon_weights(config)
        self._shapes = optimizer.state_shapes(config)
        self._moments: Numbers = {}
        self._step = 0

    def update(self, weights: Numbers, grads: Numbers, rate: float) -> tuple[Numbers, float]:
        """The weights after a step, and the length of the gradients together."""
        norm = sqrt(sum(g * g for grad in grads.values() for g in grad))
        factor = self._optimizer.clip_factor(norm)
        self._step += 1
        after = {}
        for name, w in weights.items():
            move = self._muon if name in self._matrices else self._adam
            moved = move(name, [factor * g for g in grads[name]])
            decay = self._optimizer.decay(self._shapes[f"m.{name}"], rate)
            after[name] = [decay * wi - rate * ui for wi, ui in zip(w, moved)]
        return after, norm

    def state(self) -> Weights:
        """A copy of the moments, as `Engine.optimizer_state` gives them."""
        return {key: as_weight(values, self._shapes[key]) for key, values in self._moments.items()}

    def resume(self, state: Weights, step: int) -> None:
        """The inverse of `state`."""
        self._step = step
        self._moments = {key: list(weight.data) for key, weight in state.items()}

    def _average(self, key: str, beta: float, values: list[float]) -> list[float]:
        """A moment after one more step: β times itself + (1−β) times the values."""
        before = self._moments.get(key) or [0.0] * len(values)
        after = [beta * a + (1 - beta) * value for a, value in zip(before, values)]
        self._moments[key] = after
        return after

    def _adam(self, name: str, g: list[float]) -> list[float]:
        m = self._average(f"m.{name}", self._optimizer.beta1, g)
        v = self._average(f"v.{name}", self._optimizer.beta2, [gi * gi for gi in g])
        m_bias, v_bias = self._optimizer.corrections(self._step)
        eps = self._optimizer.eps
        return [(mi / m_bias) / (sqrt(vi / v_bias) + eps) for mi, vi in zip(m, v)]

    def _muon(self, name: str, g: list[float]) -> list[float]:
        momentum, parts = self._optimizer.momentum, self._matrices[name]
        m = self._average(f"m.{name}", momentum, g)
        ahead = [momentum * mi + (1 - momentum) * gi for mi, gi in zip(m, g)]
        rows: Matrix = nest(ahead, self._shapes[f"m.{name}"])
        columns = len(rows[0]) // parts
        scale = muon_scale(len(rows), columns)
        moved: Matrix = [[] for _ in rows]
        for part in range(parts):
            piece = [row[part * columns : (part + 1) * columns] for row in rows]
            for row, piece_row in zip(moved, orthogonal(piece)):
                row += [scale * u for u in piece_row]
        return flatten(moved)


def orthogonal(x: Matrix) -> Matrix:
    """A matrix with the same singular vectors, and singular values of about 1.

    X ← X / |X|, then five times X ← a X + (b A + c A²) X where A = X Xᵀ.
    """
    if len(x) > len(x[0]):  # the smaller of X Xᵀ and Xᵀ X is enough
        return transpose(orthogonal(transpose(x)))
    a, b, c = NEWTON_SCHULZ
    norm = sqrt(sum(xi * xi for row in x for xi in row)) + NORM_EPS
    x = [[xi / norm for xi in row] for row in x]
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = matmul_transposed(x, x)
        square = matmul_transposed(gram, gram)  # which is symmetric
        polynomial = [[b * g + c * s for g, s in zip(*rows)] for rows in zip(gram, square)]
        x = [[a * xi + yi for xi, yi in zip(*rows)] for rows in zip(x, matmul(polynomial, x))]
    return x
