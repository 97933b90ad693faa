"""The optimizers on PyTorch tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from anexa.engines.distributed import distribute_like, full_tensor
from anexa.engines.optimizers import (
    CLIP_EPS,
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    NORM_EPS,
    OptimizerConfig,
    muon_scale,
)
from anexa.model.config import ModelConfig


class TorchOptimizer:
    """AdamW and Muon on tensors that have a `grad`; `OptimizerConfig` has the equations.

    PyTorch's fused AdamW is one call for all weights. Muon's matrices of one size are moved
    together: batched products cost a small model half of what one product after another does.
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
        self._weights = dict(weights)
        self._matrices = optimizer.muon_weights(config)
        self._m: dict[str, Tensor] = {}
        self._alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for name, parts in self._matrices.items():
            self._alike[(*weights[name].shape, parts)].append(name)
        by_adam = [weight for name, weight in weights.items() if name not in self._matrices]
        decayed, others = ([w for w in by_adam if (w.dim() == 2) == wide] for wide in (True, False))
        groups = [(decayed, optimizer.weight_decay), (others, 0.0)]
        self._adam = torch.optim.AdamW(
            [{"params": some, "weight_decay": decay} for some, decay in groups if some],
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
            fused=True,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self._weights.values():
            weight.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> Tensor:
        """Move the weights; gives the length of the gradients together, on their device."""
        grads = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        norm = full_tensor(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
        if self._optimizer.max_grad_norm:
            factor = torch.clamp(self._optimizer.max_grad_norm / (norm + CLIP_EPS), max=1.0)
            torch._foreach_mul_(grads, factor)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        for names in self._alike.values():
            self._muon(names, rate)
        return norm

    def state(self) -> dict[str, Tensor]:
        """The moments, as `Engine.optimizer_state` names them; empty before the first step."""
        moments = {f"m.{name}": m for name, m in self._m.items()}
        for name, weight in self._weights.items():
            adam = self._adam.state.get(weight)
            if adam:
                moments |= {f"m.{name}": adam["exp_avg"], f"v.{name}": adam["exp_avg_sq"]}
        return moments

    def resume(self, state: Mapping[str, Tensor], step: int) -> None:
        """The inverse of `state`."""
        for name, weight in self._weights.items():
            if name in self._matrices:
                self._m[name] = distribute_like(state[f"m.{name}"], weight)
                continue
            self._adam.state[weight] = {
                "step": torch.tensor(float(step), device=weight.device),
                "exp_avg": distribute_like(state[f"m.{name}"], weight),
                "exp_avg_sq": distribute_like(state[f"v.{name}"], weight),
            }

    def _muon(self, names: list[str], rate: float) -> None:
        """Move weights of one shape."""
        momentum, parts = self._optimizer.momentum, self._matrices[names[0]]
        weights = [self._weights[name] for name in names]
        grads = [weight.grad for weight in weights if weight.grad is not None]
        m = [self._m.setdefault(name, torch.zeros_like(self._weights[name])) for name in names]
        torch._foreach_lerp_(m, grads, 1 - momentum)
        ahead = torch.stack([full_tensor(x) for x in torch._foreach_lerp(grads, m, momentum)])
        pieces = torch.cat(ahead.chunk(parts, dim=2))
        moved = torch.cat(orthogonal(pieces, self._product_dtype).chunk(parts), dim=2)
        torch._foreach_mul_(weights, self._optimizer.decay(weights[0].shape, rate))
        scale = rate * muon_scale(*pieces.shape[1:])
        moves = [distribute_like(move, w) for move, w in zip(moved.unbind(), weights)]
        torch._foreach_add_(weights, moves, alpha=-scale)


def orthogonal(x: Tensor, dtype: torch.dtype) -> Tensor:
    """As `anexa.engines.optimizers.lists.orthogonal`, for a stack of matrices (N, rows, columns).

    The products are in `dtype`: the iteration forgives the rounding of bfloat16.
    """
    a, b, c = NEWTON_SCHULZ
    tall = x.shape[1] > x.shape[2]
    y: Tensor = (x / (torch.linalg.matrix_norm(x)[:, None, None] + NORM_EPS)).to(dtype)
    y = y.mT if tall else y
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = y @ y.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        y = torch.baddbmm(y, polynomial, y, beta=a)
    y = y.mT if tall else y
    return y.to(x.dtype)
