"""The optimizers on NumPy arrays."""

from __future__ import annotations

import numpy as np

from anexa.engines.operations.numpy import Array
from anexa.engines.optimizers import (
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig


class NumpyOptimizer:
    """An `OptimizerConfig` and its moments. See there for the equations.

    Adam's weights are moved as one vector: a few operations, however many weights there are.
    """

    def __init__(
        self, optimizer: OptimizerConfig, config: ModelConfig, weights: dict[str, Array]
    ) -> None:
        self._optimizer = optimizer
        self._matrices = optimizer.muon_weights(config)
        self._by_adam = [name for name in weights if name not in self._matrices]
        self._weights = weights
        self._step = 0
        self._m = {name: np.zeros_like(weights[name]) for name in self._matrices}
        self._adam_m = np.zeros_like(self._vector(weights))
        self._adam_v = np.zeros_like(self._adam_m)

    def step(self, grads: dict[str, Array], rate: float) -> float:
        """Move the weights, in place; gives the length of the gradients together."""
        norm = float(np.sqrt(sum(float((g * g).sum()) for g in grads.values())))
        factor = self._optimizer.clip_factor(norm)
        self._step += 1
        if self._optimizer.weight_decay:
            for w in self._weights.values():
                w *= self._optimizer.decay(w.shape, rate)
        moved = self._views(self._adam(factor * self._vector(grads)))
        moved |= {name: self._muon(name, factor * grads[name]) for name in self._matrices}
        for name, w in self._weights.items():
            w -= rate * moved[name]
        return norm

    def state(self) -> dict[str, Array]:
        """The moments, as `Engine.optimizer_state` names them; empty before the first step."""
        if not self._step:
            return {}
        m = self._views(self._adam_m) | self._m
        v = self._views(self._adam_v)
        return {f"m.{key}": x for key, x in m.items()} | {f"v.{key}": x for key, x in v.items()}

    def resume(self, state: dict[str, Array], step: int) -> None:
        """The inverse of `state`."""
        self._step = step
        self._m = {name: state[f"m.{name}"] for name in self._matrices}
        self._adam_m = self._vector({name: state[f"m.{name}"] for name in self._by_adam})
        self._adam_v = self._vector({name: state[f"v.{name}"] for name in self._by_adam})

    def _adam(self, g: Array) -> Array:
        optimizer = self._optimizer
        self._adam_m += (1 - optimizer.beta1) * (g - self._adam_m)
        self._adam_v += (1 - optimizer.beta2) * (g * g - self._adam_v)
        m_bias, v_bias = optimizer.corrections(self._step)
        moved: Array = (self._adam_m / m_bias) / (np.sqrt(self._adam_v / v_bias) + optimizer.eps)
        return moved

    def _muon(self, name: str, g: Array) -> Array:
        momentum, m = self._optimizer.momentum, self._m[name]
        m += (1 - momentum) * (g - m)
        ahead = momentum * m + (1 - momentum) * g
        pieces = np.split(ahead, self._matrices[name], axis=1)
        scale = muon_scale(*pieces[0].shape)
        return scale * np.concatenate([orthogonal(piece) for piece in pieces], axis=1)

    def _vector(self, arrays: dict[str, Array]) -> Array:
        """All numbers of the weights that Adam moves."""
        return np.concatenate([arrays[name].ravel() for name in self._by_adam])

    def _views(self, vector: Array) -> dict[str, Array]:
        """The inverse of `_vector`, without a copy."""
        shapes = {name: self._weights[name].shape for name in self._by_adam}
        ends = np.cumsum([self._weights[name].size for name in self._by_adam])
        pieces = np.split(vector, ends[:-1])
        return {name: x.reshape(shape) for (name, shape), x in zip(shapes.items(), pieces)}


def orthogonal(x: Array) -> Array:
    """See `anexa.engines.optimizers.lists.orthogonal`."""
    if x.shape[0] > x.shape[1]:
        return orthogonal(x.T).T
    a, b, c = NEWTON_SCHULZ
    x = x / (np.sqrt((x * x).sum()) + NORM_EPS)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
