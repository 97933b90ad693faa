"""The optimizers on PyTorch tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from anexa.engines.distributed import distribute_like, full_tensor
from anexa.engines.optimizers import (
    CLIP_EPS,
    NEWTON_SCHULZ_COEFFICIENTS,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig


class TorchOptimizer:
    """AdamW and Muon on tensors with a `grad`; `OptimizerConfig` has the equations.

    PyTorch's fused AdamW updates all its weights in one call. Muon updates all matrices of one
    size together: batched products cost a small model half of what single products do.

    Args:
        optimizer: configuration of the optimizer.
        config: architecture and sizes of the model.
        weights: weights by name; the trainable ones are updated in place.
        product_dtype: precision of Muon's matrix products.
    """

    def __init__(
        self,
        optimizer: OptimizerConfig,
        config: ModelConfig,
        weights: Mapping[str, Tensor],
        product_dtype: torch.dtype,
    ) -> None:
        self._optimizer = optimizer
        self._product_dtype = product_dtype
        self._weights = {name: weights[name] for name in optimizer.trainable(config)}
        self._num_fused = optimizer.muon_weights(config)
        self._m: dict[str, Tensor] = {}
        self._muon_groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for name, num_fused in self._num_fused.items():
            self._muon_groups[(*weights[name].shape, num_fused)].append(name)

    @cached_property
    def _adam(self) -> torch.optim.AdamW | None:
        """PyTorch's AdamW optimizer; None if Muon updates all trainable weights.

        It is created at its first use, as that takes about a second.
        """
        optimizer = self._optimizer
        adam_weights = [w for name, w in self._weights.items() if name not in self._num_fused]
        matrices = [weight for weight in adam_weights if weight.dim() == 2]
        vectors = [weight for weight in adam_weights if weight.dim() != 2]
        if not adam_weights:
            return None
        groups = [(matrices, optimizer.weight_decay), (vectors, 0.0)]
        return torch.optim.AdamW(
            [{"params": group, "weight_decay": decay} for group, decay in groups if group],
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
            fused=True,
        )

    def zero_grad(self) -> None:
        """Delete the gradients of the trainable weights: `grad` becomes None."""
        for weight in self._weights.values():
            weight.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> Tensor:
        """Update the weights, all of which need a `grad`; clipping scales the gradients in place.

        Returns:
            The norm of all gradients together before clipping, over the shards of all processes, as
            a scalar.
        """
        grads = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        norm = full_tensor(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
        if self._optimizer.max_grad_norm:
            factor = torch.clamp(self._optimizer.max_grad_norm / (norm + CLIP_EPS), max=1.0)
            torch._foreach_mul_(grads, factor)
        if self._adam is not None:
            for group in self._adam.param_groups:
                group["lr"] = learning_rate
            self._adam.step()
        for names in self._muon_groups.values():
            self._muon(names, learning_rate)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Return the moments, named as in `Engine.optimizer_state`; empty before the first step.

        They are not copies: the next step changes them. Those of sharded weights are sharded.
        """
        moments = {f"m.{name}": m for name, m in self._m.items()}
        for name, weight in self._weights.items():
            adam = self._adam.state.get(weight) if self._adam is not None else None
            if adam:
                moments |= {f"m.{name}": adam["exp_avg"], f"v.{name}": adam["exp_avg_sq"]}
        return moments

    def load_state(self, state: Mapping[str, Tensor], step: int) -> None:
        """Restore the moments of all trainable weights that `state` returned after `step` steps.

        Args:
            state: full tensors, without shards; the next step changes them in place.
            step: number of steps that the optimizer had taken, for the bias correction of AdamW.
        """
        for name, weight in self._weights.items():
            if name in self._num_fused:
                self._m[name] = distribute_like(state[f"m.{name}"], weight)
                continue
            assert self._adam is not None
            self._adam.state[weight] = {
                "step": torch.tensor(float(step), device=weight.device),
                "exp_avg": distribute_like(state[f"m.{name}"], weight),
                "exp_avg_sq": distribute_like(state[f"v.{name}"], weight),
            }

    def _muon(self, names: list[str], learning_rate: float) -> None:
        """Update all weights of one shape by Muon, in one batch of matrices."""
        momentum, num_fused = self._optimizer.momentum, self._num_fused[names[0]]
        weights = [self._weights[name] for name in names]
        grads = [weight.grad for weight in weights if weight.grad is not None]
        m = [self._m.setdefault(name, torch.zeros_like(self._weights[name])) for name in names]
        torch._foreach_lerp_(m, grads, 1 - momentum)
        nesterov = torch.stack([full_tensor(x) for x in torch._foreach_lerp(grads, m, momentum)])
        matrices = torch.cat(nesterov.chunk(num_fused, dim=2))
        fused = torch.cat(orthogonalize(matrices, self._product_dtype).chunk(num_fused), dim=2)
        torch._foreach_mul_(weights, self._optimizer.decay_factor(weights[0].shape, learning_rate))
        scale = learning_rate * muon_scale(*matrices.shape[1:])
        updates = [distribute_like(update, w) for update, w in zip(fused.unbind(), weights)]
        torch._foreach_add_(weights, updates, alpha=-scale)


def orthogonalize(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return N matrices with the singular vectors of x, (N, m, n), and singular values of about 1.

    This is the Newton-Schulz iteration: X ← X / |X|, the Frobenius norm, then five times
    X ← a X + (b A + c A²) X where A = X Xᵀ. The result has the shape and the dtype of x. Only the
    iteration is in `dtype`: it tolerates the rounding of bfloat16.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    y: Tensor = (x / (torch.linalg.matrix_norm(x)[:, None, None] + NORM_EPS)).to(dtype)
    y = y.mT if tall else y
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = y @ y.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        y = torch.baddbmm(y, polynomial, y, beta=a)
    y = y.mT if tall else y
    return y.to(x.dtype)
