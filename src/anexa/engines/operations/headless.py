"""Operations with which a forward function returns hidden states instead of logits."""

from __future__ import annotations

from typing import Any, Generic, cast

from anexa.model.operations import Operations, Tensor


class HeadlessOperations(Generic[Tensor]):
    """The operations of an engine without the product with the output head.

    That product is the last operation of every forward function, which so returns the head's input:
    the hidden states after the last norm, (T, C), like `hidden_states[-1]` in transformers.
    All other operations are those of the engine.

    Args:
        ops: operations of the engine.
        head_VC: weight of the output head; if it is tied, the embedding table.
    """

    def __init__(self, ops: Operations[Tensor], head_VC: Tensor) -> None:
        self._ops, self._head_VC = ops, head_VC

    @property
    def ops(self) -> Operations[Tensor]:
        """Return this object itself, typed as `Operations` for an architecture's `forward`."""
        return cast("Operations[Tensor]", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    def linear(self, x_TC: Tensor, weight_OC: Tensor, bias_O: Tensor | None = None, /) -> Tensor:
        """Compute x Wᵀ + b, (T, O); if the weight is the object `head_VC`, return x instead."""
        if weight_OC is self._head_VC:
            return x_TC
        return self._ops.linear(x_TC, weight_OC, bias_O)
