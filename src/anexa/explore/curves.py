"""Sampled curves of activation functions (GELU, ReLU, SwiGLU), with the number that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anexa.explore import rules
from anexa.explore.rule import Array, Index, Rule

NUM_POINTS = 129  # odd: 0, where ReLU has its corner, is one of them
MIN_HALF_WIDTH = 4.0  # the inputs of a curve are from −4 to 4 at least


@dataclass(frozen=True)
class SampledCurve:
    """Sampled curve of a function of one variable.

    Attributes:
        name: name of the function.
        input: symbol of its input in the equation.
        x: inputs, in rising order.
        y: outputs.
        point: the input and the output of the number that is shown.
        slope: dy/dx at the point.
    """

    name: str
    input: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    point: tuple[float, float]
    slope: float


def curve_of(rule: Rule, index: Index) -> SampledCurve | None:
    """Sample the activation function that computes an element.

    For SwiGLU, y = b a σ(a), the curve is a function of the gate a, with the b of the element.

    Args:
        rule: rule of the operation.
        index: index of the element of its output.

    Returns:
        The curve; None if the rule is no activation function, or if the input or the output of the
        element is not finite.
    """
    if isinstance(rule, rules.Curve):
        return _sample(rule, index, "x", lambda x: x * rule.factor(x))
    if isinstance(rule, rules.SwiGLU):
        b = float(rule.inputs[1][index])
        return _sample(rule, index, "a", lambda a: b * a * rules.sigmoid(a))
    return None


def _sample(
    rule: Rule, index: Index, symbol: str, function: Callable[[Array], Array]
) -> SampledCurve | None:
    x, y = float(rule.inputs[0][index]), float(rule.output[index])
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    half_width = max(MIN_HALF_WIDTH, 1.25 * abs(x))
    grid = np.linspace(-half_width, half_width, NUM_POINTS)
    _, slopes = rule.slopes(0, index)
    name = type(rule).__name__
    return SampledCurve(
        name, symbol, tuple(grid.tolist()), tuple(function(grid).tolist()), (x, y), float(slopes[0])
    )
