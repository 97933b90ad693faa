"""The optimizers on NumPy arrays."""

from __future__ import annotations

import numpy as np

from anexa.engines.operations.arrays import Array
from anexa.engines.optimizers import (
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig


class NumpyOptimizer:
    """AdamW and Muon on arrays, with their moments; `OptimizerConfig` has the equations.

    AdamW updates its weights as one vector: a few operations, however many weights there are.

    Args:
        optimizer: configuration of the optimizer.
        config: architecture and sizes of the model.
        weights: arrays of the model's weights; `step` updates the trainable ones in place.
    """

    def __init__(
        self, optimizer: OptimizerConfig, config: ModelConfig, weights: dict[str, Array]
    ) -> None:
        self._optimizer = optimizer
        self._num_fused = optimizer.muon_weights(config)
        self._names = [*optimizer.trainable(config)]
        self._adam_names = [name for name in self._names if name not in self._num_fused]
        self._weights = weights
        self._step = 0
        self._m: dict[str, Array] = {}  # the moments are made at the first step

    def step(self, grads: dict[str, Array], learning_rate: float) -> float:
        """Update the weights and moments in place; return the gradient norm before clipping.

        Args:
            grads: gradient of each trainable weight by name; not changed.
            learning_rate: learning rate of the step.

        Returns:
            The global norm, over all trainable weights together.
        """
        if not self._step:
            self._m = {name: np.zeros_like(self._weights[name]) for name in self._num_fused}
            self._adam_m = np.zeros_like(self._vector(self._weights))
            self._adam_v = np.zeros_like(self._adam_m)
        norm = float(np.sqrt(sum(float((g * g).sum()) for g in grads.values())))
        factor = self._optimizer.clip_factor(norm)
        self._step += 1
        if self._optimizer.weight_decay:
            for name in self._names:
                w = self._weights[name]
                w *= self._optimizer.decay_factor(w.shape, learning_rate)
        updates = self._views(self._adam(factor * self._vector(grads)))
        updates |= {name: self._muon(name, factor * grads[name]) for name in self._num_fused}
        for name in self._names:
            w = self._weights[name]
            w -= learning_rate * updates[name]
        return norm

    def state(self) -> dict[str, Array]:
        """Return the moments, named as in `Engine.optimizer_state`; empty before the first step.

        They are not copies: the next step changes them.
        """
        if not self._step:
            return {}
        m = self._views(self._adam_m) | self._m
        v = self._views(self._adam_v)
        return {f"m.{key}": x for key, x in m.items()} | {f"v.{key}": x for key, x in v.items()}

    def load_state(self, state: dict[str, Array], step: int) -> None:
        """Restore the moments and the number of steps.

        Args:
            state: moments that `state` returned after one or more steps; later steps may change
                these arrays.
            step: number of steps that the optimizer had taken.
        """
        self._step = step
        self._m = {name: state[f"m.{name}"] for name in self._num_fused}
        self._adam_m = self._vector({name: state[f"m.{name}"] for name in self._adam_names})
        self._adam_v = self._vector({name: state[f"v.{name}"] for name in self._adam_names})

    def _adam(self, g: Array) -> Array:
        optimizer = self._optimizer
        self._adam_m += (1 - optimizer.beta1) * (g - self._adam_m)
        self._adam_v += (1 - optimizer.beta2) * (g * g - self._adam_v)
        m_bias, v_bias = optimizer.bias_corrections(self._step)
        update: Array = (self._adam_m / m_bias) / (np.sqrt(self._adam_v / v_bias) + optimizer.eps)
        return update

    def _muon(self, name: str, g: Array) -> Array:
        return muon_update(self._m[name], g, self._optimizer.momentum, self._num_fused[name])

    def _vector(self, arrays: dict[str, Array]) -> Array:
        """Concatenate the arrays of the weights that AdamW updates."""
        parts = [arrays[name].ravel() for name in self._adam_names]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _views(self, vector: Array) -> dict[str, Array]:
        """Split a vector into arrays by weight, without a copy: the inverse of `_vector`."""
        shapes = {name: self._weights[name].shape for name in self._adam_names}
        ends = np.cumsum([self._weights[name].size for name in self._adam_names])
        pieces = np.split(vector, ends[:-1])
        return {name: x.reshape(shape) for (name, shape), x in zip(shapes.items(), pieces)}


def muon_update(m: Array, g: Array, momentum: float, num_fused: int) -> Array:
    """Compute Muon's update of a weight, without the learning rate and the weight decay.

    Args:
        m: exponential moving average of the gradients, which is updated in place.
        g: gradient of the weight, clipped; the same shape as `m`.
        momentum: decay μ of the average.
        num_fused: number of matrices side by side in the weight, along its columns, which are
            updated separately.

    Returns:
        The update, in the shape of the weight; the weight changes by −learning rate times it.
    """
    m += (1 - momentum) * (g - m)
    nesterov = momentum * m + (1 - momentum) * g
    matrices = np.split(nesterov, num_fused, axis=1)
    scale = muon_scale(*matrices[0].shape)
    return scale * np.concatenate([orthogonalize(x) for x in matrices], axis=1)


def orthogonalize(x: Array) -> Array:
    """Return a matrix with the singular vectors of x, (m, n), and singular values of about 1.

    This is the Newton-Schulz iteration: X ← X / |X|, then five times X ← a X + (b A + c A²) X where
    A = X Xᵀ, with the coefficients `NEWTON_SCHULZ_COEFFICIENTS`.
    """
    if x.shape[0] > x.shape[1]:
        return orthogonalize(x.T).T
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    x = x / (np.sqrt((x * x).sum()) + NORM_EPS)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
