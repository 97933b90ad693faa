"""Rung 4: PyTorch. The same function on tensors, with PyTorch's autograd."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from anexa.engines.adam import Adam
from anexa.engines.operations.torch import LayerCache, TorchOperations
from anexa.engines.protocol import Batch, Cache
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights


class TorchEngine:
    """An `anexa.engines.protocol.Engine` on tensors, float32 or float64."""

    name = "torch"

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        adam: Adam,
        dtype: str = "float32",
    ) -> None:
        self.config = config
        self.dtype = dtype
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._forward = architecture(config).forward
        self._ops = TorchOperations()
        self._weights = {
            name: self._tensor(weight).requires_grad_() for name, weight in weights.items()
        }
        self._optimizer = torch.optim.Adam(
            self._weights.values(), betas=(adam.beta1, adam.beta2), eps=adam.eps, fused=True
        )

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        """See `Engine`, here and below."""
        with torch.inference_mode():
            tokens_BT = torch.tensor([list(tokens)])
            logits_BTV = self._forward(self._ops, self.config, self._weights, tokens_BT)
            return cast("list[list[float]]", logits_BTV[0].tolist())

    def loss(self, batch: Batch) -> float:
        with torch.inference_mode():
            return self._loss(batch).item()

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss = self._backward(batch)
        return loss, {name: _weight(cast(Tensor, w.grad)) for name, w in self._weights.items()}

    def train_step(self, batch: Batch, learning_rate: float) -> float:
        loss = self._backward(batch)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        return loss

    def new_cache(self) -> Cache:
        config = self.config
        shape = (1, config.n_kv_head, config.block_size, config.head_dim)
        empty = torch.empty(shape, dtype=self._dtype)
        return Cache([LayerCache(empty) for _ in range(config.n_layer)])

    def next_logits(self, tokens: Sequence[int], cache: Cache) -> Sequence[float]:
        with torch.inference_mode():
            tokens_BT = torch.tensor([list(tokens)])
            logits_BTV = self._forward(
                self._ops, self.config, self._weights, tokens_BT, cache.length, cache.layers
            )
            cache.length += len(tokens)
            return cast("Sequence[float]", logits_BTV[0, -1].numpy())

    def weights(self) -> Weights:
        return {name: _weight(w) for name, w in self._weights.items()}

    def optimizer_state(self) -> Weights:
        states = {name: self._optimizer.state[w] for name, w in self._weights.items()}
        moments = (("m", "exp_avg"), ("v", "exp_avg_sq"))
        return {
            f"{prefix}.{name}": _weight(state[key])
            for prefix, key in moments
            for name, state in states.items()
            if state
        }

    def resume(self, state: Weights, step: int) -> None:
        for name, w in self._weights.items():
            self._optimizer.state[w] = {
                "step": torch.tensor(float(step)),
                "exp_avg": self._tensor(state[f"m.{name}"]),
                "exp_avg_sq": self._tensor(state[f"v.{name}"]),
            }

    def _loss(self, batch: Batch) -> Tensor:
        inputs_BT = torch.frombuffer(batch.inputs, dtype=torch.int64).view(batch.shape)
        targets_BT = torch.frombuffer(batch.targets, dtype=torch.int64).view(batch.shape)
        logits_BTV = self._forward(self._ops, self.config, self._weights, inputs_BT)
        return self._ops.cross_entropy(logits_BTV, targets_BT, batch.count)

    def _backward(self, batch: Batch) -> float:
        """The loss; every weight's `grad` is its derivative in it."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _tensor(self, weight: Weight) -> Tensor:
        """A copy of a weight, in the engine's precision."""
        kind = torch.float32 if weight.data.typecode == "f" else torch.float64
        flat = torch.frombuffer(weight.data, dtype=kind)
        return flat.view(weight.shape).to(self._dtype, copy=True)


def _weight(tensor: Tensor) -> Weight:
    """A copy of a tensor, in the form that all engines understand."""
    code = "f" if tensor.dtype == torch.float32 else "d"
    data = tensor.detach().contiguous().numpy().tobytes()
    return Weight(tuple(tensor.shape), array(code, data))
