"""The optimizers: AdamW, and Muon for the matrices inside the blocks.

This module has their settings and equations; the modules `lists`, `numpy` and `torch` compute them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from anexa.model.architectures import Parameter, get_architecture
from anexa.model.architectures.base import is_adapter
from anexa.model.config import ModelConfig

# The odd quintic p(s) = a s + b s³ + c s⁵ whose iterates push every singular value in (0, 1] into
# about (0.7, 1.2): steep at 0, where speed is needed, and not exact at 1, where it is not.
# The numbers are Keller Jordan's (https://kellerjordan.github.io/posts/muon/).
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5  # number of iterations of the polynomial
NORM_EPS = 1e-7  # added to the norm of a matrix, by which it is divided before the iteration
CLIP_EPS = 1e-6  # added to the gradient norm in clipping, as in `torch.nn.utils.clip_grad_norm_`


@dataclass(frozen=True)
class OptimizerConfig:
    """Configuration of the optimizer; in the equations g is the gradient, r the learning rate.

    *AdamW* (Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019), at step t = 1, 2, …:
    m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²,
    w ← (1 − r λ) w − r · (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε).

    *Muon* (Jordan et al., 2024), for the matrices inside the blocks only:
    m ← μ m + (1−μ) g,  U = orthogonalize(μ m + (1−μ) g),
    w ← (1 − r λ) w − r · 0.2 √max(rows, columns) · U.
    `orthogonalize` sets all singular values to about 1. The factor (Liu et al., 2025, equation 4)
    makes the update as large as Adam's usually is, so that one learning rate serves both.

    Attributes:
        beta1: decay β₁ of AdamW's mean of gradients, from 0 to below 1.
        beta2: decay β₂ of AdamW's mean of squared gradients, from 0 to below 1.
        eps: number ε added to AdamW's denominator.
        weight_decay: weight decay λ of matrices (embeddings too), not of gains and biases.
        max_grad_norm: maximum global gradient norm (over all weights together); larger gradients
            are scaled down to it; 0: no clipping.
        name: optimizer: muon (Muon for the matrices inside the blocks, AdamW for all other
            weights) or adamw (AdamW for all weights).
        momentum: decay μ of Muon's mean of gradients, from 0 to below 1.
        dropout: fraction of activations set to 0 in training, drawn anew at each step, from 0 to
            below 1 (Srivastava et al., 2014); needs the torch engine.
    """

    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float = 0.0
    name: Literal["muon", "adamw"] = "adamw"
    momentum: float = 0.95
    dropout: float = 0.0

    def bias_corrections(self, step: int) -> tuple[float, float]:
        """Return 1−β₁ᵗ and 1−β₂ᵗ, which correct the bias of m and v after t = `step` steps."""
        return 1 - self.beta1**step, 1 - self.beta2**step

    def decay_factor(self, shape: tuple[int, ...], learning_rate: float) -> float:
        """Return the factor of weight decay for a weight: 1 − r λ for a matrix, 1 for a vector."""
        return 1 - learning_rate * self.weight_decay if len(shape) == 2 else 1.0

    def clip_factor(self, norm: float) -> float:
        """Return the factor that scales gradients down to a norm of `max_grad_norm`; at most 1.

        Args:
            norm: global norm of the gradients, over all weights together.

        Returns:
            The factor; 1 if `max_grad_norm` is 0.
        """
        return min(1.0, self.max_grad_norm / (norm + CLIP_EPS)) if self.max_grad_norm else 1.0

    def muon_weights(self, config: ModelConfig) -> dict[str, int]:
        """List the weights that Muon updates.

        Returns:
            The number of matrices that are fused side by side in each weight, by the name of the
            weight; {} if the optimizer is not "muon".
        """
        if self.name != "muon":
            return {}
        fused = {name: parameter.num_fused for name, parameter in self.trainable(config).items()}
        return {name: num_fused for name, num_fused in fused.items() if num_fused}

    def trainable(self, config: ModelConfig) -> dict[str, Parameter]:
        """Return the weights that are trained, by name, in the architecture's order.

        The other weights are frozen: they keep their values, have no gradient, no moments and no
        weight decay, and do not count in the gradient norm. Of a model with adapters, only these
        are trained.
        """
        parameters = get_architecture(config).parameters(config)
        if not config.lora_rank:
            return parameters
        return {name: p for name, p in parameters.items() if is_adapter(name)}

    def state_shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the moments by name.

        "m." + the name of a weight is the mean of its gradients; "v." + name, only of weights that
        AdamW updates, that of their squares.
        """
        shapes = {}
        matrices = self.muon_weights(config)
        for name, parameter in self.trainable(config).items():
            for moment in "m" if name in matrices else "mv":
                shapes[f"{moment}.{name}"] = parameter.shape
        return shapes


@dataclass(frozen=True)
class PartialOptimizerConfig(OptimizerConfig):
    """Configuration of an optimizer that trains only some of the weights.

    Attributes:
        frozen: names of the weights that keep their values.
    """

    frozen: frozenset[str] = frozenset()

    @classmethod
    def freeze(cls, optimizer: OptimizerConfig, frozen: frozenset[str]) -> PartialOptimizerConfig:
        """Return a copy of a configuration with which some weights are not trained.

        Args:
            optimizer: configuration to copy.
            frozen: names of the weights that keep their values.
        """
        names = [field.name for field in fields(OptimizerConfig)]
        return cls(**{name: getattr(optimizer, name) for name in names}, frozen=frozen)

    def trainable(self, config: ModelConfig) -> dict[str, Parameter]:
        """Return the weights that are trained and not in `frozen`, in the architecture's order."""
        parameters = super().trainable(config)
        return {name: p for name, p in parameters.items() if name not in self.frozen}


def muon_scale(rows: int, columns: int) -> float:
    """Return the scale of Muon's update of a matrix: 0.2 √max(rows, columns)."""
    return float(0.2 * max(rows, columns) ** 0.5)
