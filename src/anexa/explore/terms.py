"""Explanation of one number: its equation, and the terms that it is computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from anexa.errors import AnexaError, short_repr
from anexa.explore.rule import Array, Constant, Elements, Index, Sum, gather
from anexa.explore.trace import Trace, TraceNode

# Quantity of an element; `NumberReference` says what each is.
TermQuantity: TypeAlias = Literal["value", "gradient", "clipped", "m", "v", "update", "new"]


@dataclass(frozen=True)
class NumberReference:
    """Reference to a number: to an element of a tensor, or to a quantity of that element.

    Attributes:
        tensor: name of a tensor.
        index: index of an element.
        quantity: "value" of the element, or its "gradient", dL/d(element). Of an optimizer step:
            "clipped", the gradient after clipping; "m" and "v", the moments; "update"; "new", the
            value after the step.
    """

    tensor: str
    index: Index
    quantity: TermQuantity = "value"


@dataclass(frozen=True)
class Term:
    """One term of the sum that a number is a function of.

    Attributes:
        source: reference to the number in the term.
        value: value of that number.
        factor: factor of the number; for a gradient the slope ∂(output)/∂(number).
        contribution: value of the term.
        factor_source: reference to the number that the factor is equal to, or computed from; None
            if the factor is a constant.
    """

    source: NumberReference
    value: float
    factor: float
    contribution: float
    factor_source: NumberReference | None = None


@dataclass(frozen=True)
class Explanation:
    """A number as a function of a sum: value = shift + outer(offset + Σ contribution).

    The contribution of a term is factor · inner(value).

    Attributes:
        target: reference to the number.
        value: the number, as the engine computed it.
        equation: the equation in symbols; empty for a weight.
        terms: the terms, sorted by the magnitude of their contributions, the largest first; empty
            for a weight.
        offset: constant inside the outer function.
        inner: "exp", e^(x − shift); "square", (x − center)²; empty: the value itself.
        outer: "exp", "log" or "sqrt"; empty: the sum itself.
        shift: constant that is added to the value of the outer function.
        center: the mean that "square" subtracts.
        constants: numbers of the equation that are not terms, by symbol.
        constant_sources: references to the numbers that the constants are equal to, by symbol;
            without those that are equal to none.
    """

    target: NumberReference
    value: float
    equation: str
    terms: tuple[Term, ...]
    offset: float = 0.0
    inner: str = ""
    outer: str = ""
    shift: float = 0.0
    center: float = 0.0
    constants: dict[str, float] = field(default_factory=dict)
    constant_sources: dict[str, NumberReference] = field(default_factory=dict)

    @property
    def rebuilt(self) -> float:
        """The number, recomputed from its terms; may be infinite or NaN."""
        total = exact_sum((self.offset, *(term.contribution for term in self.terms)))
        with np.errstate(all="ignore"):
            return float(self.shift + OUTER[self.outer](total))


# Outer function by its name in `Explanation.outer`.
OUTER: dict[str, Callable[[float], float]] = {
    "": float,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}


def exact_sum(numbers: Iterable[float]) -> float:
    """Return the sum of numbers, rounded only once; the sum of ∞ and −∞ is NaN."""
    listed = list(numbers)
    return math.fsum(listed) if all(map(math.isfinite, listed)) else sum(listed)


def explain(trace: Trace, tensor: str, index: Index) -> Explanation:
    """Explain an element of a tensor by the numbers that it was computed from.

    A weight has no terms: it comes from training.

    Args:
        trace: computation with the tensor.
        tensor: name of the tensor.
        index: index of the element.

    Returns:
        The element as a function of a sum.

    Raises:
        AnexaError: if there is no such tensor or element.
    """
    _check(trace.values, tensor, index)
    target, value = NumberReference(tensor, index), float(trace.values[tensor][index])
    node = trace.nodes.get(tensor)
    if node is None:
        return Explanation(target, value, "", ())
    found = node.rule.terms(index)
    terms = _sorted(_forward_terms(trace, node, found))
    return Explanation(
        target,
        value,
        node.rule.equation,
        terms,
        found.offset,
        found.inner,
        found.outer,
        found.shift,
        found.center,
        *_constants(node, node.rule.constants(index)),
    )


def explain_gradient(trace: Trace, tensor: str, index: Index) -> Explanation:
    """Explain dL/d(element) by the chain rule: Σ dL/d(output) · ∂(output)/∂(element).

    The sum runs over all outputs that the element is used in, of every operation that uses it.

    Args:
        trace: computation with the tensor.
        tensor: name of the tensor.
        index: index of the element.

    Returns:
        The gradient as a sum.

    Raises:
        AnexaError: if there is no such tensor or element, or the tensor has no gradient.
    """
    _check(trace.grads, tensor, index)
    target = NumberReference(tensor, index, "gradient")
    terms = list[Term]()
    constants, constant_sources = dict[str, float](), dict[str, NumberReference]()
    for node, position in trace.consumers[tensor]:
        indices, slopes = node.rule.slopes(position, index)
        grads = gather(trace.grads[node.name], indices)
        numbers, named = _constants(
            node, node.rule.slope_constants(position, index, trace.grads[node.name])
        )
        for symbol, number in numbers.items():  # two norms, as in GPT-NeoX, have the same parts
            constants[symbol] = constants.get(symbol, 0.0) + number
        constant_sources |= named
        factors = _references(node.sources, node.rule.slope_elements(position, index), len(slopes))
        terms += [
            Term(NumberReference(node.name, tuple(j), "gradient"), g, slope, g * slope, factor)
            for j, g, slope, factor in zip(
                indices.tolist(), grads.tolist(), slopes.tolist(), factors
            )
        ]
    value = float(trace.grads[tensor][index])
    if not trace.consumers[tensor]:  # the loss itself
        return Explanation(target, value, "dL/dL = 1", (), offset=1.0)
    return Explanation(
        target,
        value,
        gradient_equation(trace, tensor),
        _sorted(terms),
        constants=constants,
        constant_sources=constant_sources,
    )


def gradient_equation(trace: Trace, tensor: str) -> str:
    """Return the equation of a tensor's gradient, in symbols.

    Args:
        trace: computation with the tensor.
        tensor: name of the tensor.

    Returns:
        The equations of the operations that use the tensor, each once, with "; " between them;
        empty if no operation uses it.
    """
    equations = (node.rule.gradients[i] for node, i in trace.consumers[tensor])
    return "; ".join(dict.fromkeys(equations))


def _forward_terms(trace: Trace, node: TraceNode, found: Sum) -> Iterator[Term]:
    names = node.sources
    for terms in found.terms:
        tensor = names[terms.elements.source]
        values = gather(trace.values[tensor], terms.elements.indices)
        contributions = terms.factors * _inner(found, values)
        factor_sources = list(_references(names, terms.factor_elements, len(values)))
        yield from (
            Term(NumberReference(tensor, tuple(i)), value, factor, contribution, source)
            for i, value, factor, contribution, source in zip(
                terms.elements.indices.tolist(),
                values.tolist(),
                terms.factors.tolist(),
                contributions.tolist(),
                factor_sources,
            )
        )


def _constants(
    node: TraceNode, found: dict[str, Constant]
) -> tuple[dict[str, float], dict[str, NumberReference]]:
    """Return the values of constants by symbol, and references to what they are equal to."""
    names, sources = (*node.sources, *node.related), dict[str, NumberReference]()
    for symbol, constant in found.items():
        for reference in _references(names, constant.element, 1):
            if reference:
                sources[symbol] = reference
    return {symbol: constant.value for symbol, constant in found.items()}, sources


def _inner(found: Sum, values: Array) -> Array:
    if found.inner == "exp":
        exps: Array = np.exp(values - found.shift)
        return exps
    return (values - found.center) ** 2 if found.inner == "square" else values


def _references(
    names: tuple[str, ...], elements: Elements | None, count: int
) -> Iterator[NumberReference | None]:
    if elements is None:
        yield from [None] * count
    else:
        yield from (
            NumberReference(names[elements.source], tuple(i)) for i in elements.indices.tolist()
        )


def _sorted(terms: Iterable[Term]) -> tuple[Term, ...]:
    def size(term: Term) -> float:
        return math.inf if math.isnan(term.contribution) else abs(term.contribution)

    return tuple(sorted(terms, key=size, reverse=True))


def _check(tensors: dict[str, Array], tensor: str, index: Index) -> None:
    if tensor not in tensors:
        raise AnexaError(f"there is no tensor {short_repr(tensor)} in this computation")
    shape = tensors[tensor].shape
    if len(index) != len(shape) or any(not 0 <= i < n for i, n in zip(index, shape)):
        raise AnexaError(f"{tensor} has the shape {shape}: it has no element {short_repr(index)}")
