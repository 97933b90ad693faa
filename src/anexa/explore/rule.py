"""Base class of all rules, which explain single elements of the output of an operation.

A `Rule` belongs to one application of an operation. `terms` writes an element of the output as a
sum over elements of the inputs; `slopes` lists the partial derivatives of the output with respect
to one element of an input. The chain rule over the slopes gives every gradient.

Indices are arrays of shape (N, axes): one row for each of N elements. Suffixes of names are those
of `anexa.model.operations`; tensors have the axis B of the batch in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]  # float32 or float64
Indices: TypeAlias = npt.NDArray[np.intp]  # such as the indices of N elements, (N, axes)
Index: TypeAlias = tuple[int, ...]  # of one element: an integer for each axis


@dataclass(frozen=True)
class Elements:
    """N elements of one input tensor of a rule.

    Attributes:
        source: position of the tensor in the list of the rule's inputs and then its auxiliaries.
        indices: indices of the elements, shape (N, axes).
    """

    source: int
    indices: Indices


@dataclass(frozen=True)
class Terms:
    """N terms of a sum; each term is an element of an input times a factor.

    Attributes:
        elements: elements of the input.
        factors: factors, shape (N,).
        factor_elements: N elements that the factors are equal to, or computed from, one for each
            factor; None if the factors are constants.
    """

    elements: Elements
    factors: Array
    factor_elements: Elements | None = None


@dataclass(frozen=True)
class Sum:
    """An element of an output: shift + outer(offset + Σ factor · inner(element)).

    Attributes:
        terms: the terms in the sum.
        offset: constant inside the outer function.
        inner: function of the elements: "", the identity; "exp", e^(x − shift); "square",
            (x − center)².
        outer: function of the sum; "" is the identity.
        shift: constant that is added to the value of the outer function.
        center: the mean that "square" subtracts.
    """

    terms: tuple[Terms, ...]
    offset: float = 0.0
    inner: Literal["", "exp", "square"] = ""
    outer: Literal["", "exp", "log", "sqrt"] = ""
    shift: float = 0.0
    center: float = 0.0


@dataclass(frozen=True)
class Constant:
    """A number of an equation that is not a term of its sum.

    Attributes:
        value: the number.
        element: the element that it is equal to; None if there is none. Its `source` counts the
            inputs, the auxiliaries and then `TraceNode.related`.
    """

    value: float
    element: Elements | None = None


class Rule:
    """Base class of all rules, which explain one application of an operation.

    Args:
        inputs: differentiable input tensors.
        output: output tensor.
        auxiliaries: intermediate results that `terms` may refer to. They are not inputs: the
            slopes of an input include its effect through them.

    Attributes:
        inputs: differentiable input tensors.
        output: output tensor.
        auxiliaries: intermediate results.
        equation: equation of the output, in symbols.
        gradients: equation of the gradient of each input, in symbols: g is the gradient of the
            output, dx that of x.
    """

    equation: str = ""
    gradients: tuple[str, ...] = ()

    def __init__(
        self, inputs: Sequence[Array], output: Array, auxiliaries: Sequence[Array] = ()
    ) -> None:
        self.inputs, self.output, self.auxiliaries = list(inputs), output, list(auxiliaries)

    def terms(self, index: Index) -> Sum:
        """Write an element of the output as a sum over elements of the inputs and auxiliaries."""
        raise NotImplementedError

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        """List the output elements that depend on an input element, and ∂output/∂input of each.

        Args:
            source: number of the tensor among the inputs.
            index: index of the element.

        Returns:
            The indices of N output elements, shape (N, axes of the output), and the derivatives,
            shape (N,); N is 0 if no output element depends on the input element.
        """
        raise NotImplementedError

    def constants(self, index: Index) -> dict[str, Constant]:  # noqa: ARG002
        """Return the numbers in the equation of an output element that are not terms, by symbol."""
        return {}

    def slope_constants(
        self,
        source: int,  # noqa: ARG002
        index: Index,  # noqa: ARG002
        grads: Array,  # noqa: ARG002
    ) -> dict[str, Constant]:
        """Return numbers in the equation of the gradient of an input element, by symbol.

        Args:
            source: number of the tensor among the inputs.
            index: index of the element.
            grads: dL/d(output), in the shape of the output.
        """
        return {}

    def slope_elements(self, source: int, index: Index) -> Elements | None:  # noqa: ARG002
        """List the elements that the slopes are equal to, or computed from.

        The order is that of `slopes`.

        Args:
            source: number of the tensor among the inputs.
            index: index of the element.

        Returns:
            The elements; None if the slopes are constants, or a slope is computed from several
            elements.
        """
        return None


def stack_indices(*axes: Any) -> Indices:
    """Stack one index array for each axis, to shape (N, axes); a single number is repeated.

    The arrays are broadcast: their lengths are N or 1, and N may be 0.
    """
    lengths = {len(axis) for axis in axes if np.ndim(axis)}
    count = 0 if 0 in lengths else max(lengths, default=1)
    found = np.empty((count, len(axes)), np.intp)
    for column, axis in enumerate(axes):
        found[:, column] = axis
    return found


def gather(tensor: Array, indices: Indices) -> Array:
    """Return the elements of a tensor at N indices, shape (N,)."""
    found: Array = tensor[tuple(indices.T)]
    return found if found.ndim else np.broadcast_to(found, len(indices))  # a scalar has no axes


def all_indices(*sizes: int) -> tuple[Indices, ...]:
    """Return the indices of all elements of a tensor, a flat array for each axis."""
    return tuple(np.indices(sizes).reshape(len(sizes), -1))


ONE = np.ones(1)  # the factor or slope of a single element, 1
