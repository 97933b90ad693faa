"""Adam: its settings, for every engine, and its arithmetic in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field

from anexa.engines.nested import as_weight
from anexa.model.weights import Weights


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction (Kingma and Ba, 2015, algorithm 1).

    m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²,
    w ← w − rate · (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε)  at step t = 1, 2, …
    """

    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8

    def corrections(self, step: int) -> tuple[float, float]:
        """1−β₁ᵗ and 1−β₂ᵗ: what m and v still lack after t steps, because they began at 0."""
        return 1 - self.beta1**step, 1 - self.beta2**step


@dataclass
class AdamLists:
    """Adam's moments as lists of floats, one list for each weight."""

    adam: Adam
    step: int = 0
    m: dict[str, list[float]] = field(default_factory=dict)
    v: dict[str, list[float]] = field(default_factory=dict)

    def update(self, name: str, w: list[float], g: list[float], rate: float) -> list[float]:
        """The new numbers of one weight; `step` counts from 1 and is advanced by the caller."""
        b1, b2, eps = self.adam.beta1, self.adam.beta2, self.adam.eps
        m = self.m.get(name) or [0.0] * len(w)
        v = self.v.get(name) or [0.0] * len(w)
        m = self.m[name] = [b1 * mi + (1 - b1) * gi for mi, gi in zip(m, g)]
        v = self.v[name] = [b2 * vi + (1 - b2) * gi * gi for vi, gi in zip(v, g)]
        m_bias, v_bias = self.adam.corrections(self.step)
        return [
            wi - rate * (mi / m_bias) / ((vi / v_bias) ** 0.5 + eps) for wi, mi, vi in zip(w, m, v)
        ]

    def state(self, shapes: dict[str, tuple[int, ...]]) -> Weights:
        """A copy of the moments, as `Engine.optimizer_state` gives them."""
        moments = {f"m.{name}": values for name, values in self.m.items()}
        moments |= {f"v.{name}": values for name, values in self.v.items()}
        return {name: as_weight(values, shapes[name[2:]]) for name, values in moments.items()}

    def resume(self, state: Weights, step: int) -> None:
        """The inverse of `state`."""
        self.step = step
        self.m = {key[2:]: list(w.data) for key, w in state.items() if key.startswith("m.")}
        self.v = {key[2:]: list(w.data) for key, w in state.items() if key.startswith("v.")}
