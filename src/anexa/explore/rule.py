"""The base of all rules: how an operation computes one number, and the slopes that lead to it.

A `Rule` belongs to one application of an operation. `terms` writes an element of the output as a
sum, and `slopes` lists the partial derivatives that lead from one element of an input to the
output; the chain rule over the slopes gives every gradient.

Indices are arrays of shape (N, axes): one row for each of N elements. Suffixes of names are those
of `anexa.model.operations`; tensors have the axis B of the batch in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Indices: TypeAlias = npt.NDArray[np.intp]
Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Elements:
    """N elements of one input of a rule.

    Attributes:
        source: position of the tensor among the rule's inputs, then its auxiliaries.
        indices: their indices, (N, axes).
    """

    source: int
    indices: Indices


@dataclass(frozen=True)
class Terms:
    """N terms of a sum: element times factor each.

    Attributes:
        elements: the elements.
        factors: the factors, (N,).
        factor_elements: the elements that the factors are, or are computed from; None if the
            factors are constants.
    """

    elements: Elements
    factors: Array
    factor_elements: Elements | None = None


@dataclass(frozen=True)
class Sum:
    """An element of an output: shift + outer(offset + Σ factor · inner(element)).

    Attributes:
        terms: the terms.
        offset: constant inside the outer function.
        inner: function of the elements: the identity, e^(x − shift), or (x − `center`)².
        outer: function of the sum.
        shift: constant outside of the outer function.
        center: the mean that "square" subtracts.
    """

    terms: tuple[Terms, ...]
    offset: float = 0.0
    inner: Literal["", "exp", "square"] = ""
    outer: Literal["", "exp", "log", "sqrt"] = ""
    shift: float = 0.0
    center: float = 0.0


class Rule:
    """One application of an operation: the base of all rules.

    Args:
        inputs: the differentiable inputs.
        output: the output.
        auxiliaries: intermediate results that `terms` may refer to; the slopes of the inputs
            include the way through them.
    """

    equation: str = ""  # of a rule with several forms: that of this application
    gradient: ClassVar[str] = ""

    def __init__(
        self, inputs: Sequence[Array], output: Array, auxiliaries: Sequence[Array] = ()
    ) -> None:
        self.inputs, self.output, self.auxiliaries = list(inputs), output, list(auxiliaries)

    def terms(self, index: Index) -> Sum:
        """Write an element of the output as a sum over elements of the inputs."""
        raise NotImplementedError

    def slopes(self, source: int, index: Index) -> tuple[Indices, Array]:
        """List the output elements that depend on an input element, and ∂output/∂input of each.

        Args:
            source: position of the tensor among the inputs.
            index: index of the element.

        Returns:
            The indices, (N, axes of the output), and the derivatives, (N,).
        """
        raise NotImplementedError

    def slope_elements(self, source: int, index: Index) -> Elements | None:  # noqa: ARG002
        """List the elements that the slopes are, or are computed from; None if it is not one each.

        Args:
            source: position of the tensor among the inputs.
            index: index of the element.
        """
        return None


def rows(*axes: Any) -> Indices:
    """Stack index arrays into rows, (N, axes); single numbers are repeated."""
    return np.stack(np.broadcast_arrays(*(np.atleast_1d(axis) for axis in axes)), axis=-1).astype(
        np.intp
    )


def pick(tensor: Array, indices: Indices) -> Array:
    """Read the elements at N indices, (N,)."""
    found: Array = np.broadcast_to(tensor[tuple(indices.T)], len(indices))  # a scalar has no axes
    return found


def every(*sizes: int) -> tuple[Indices, ...]:
    """List all indices of axes of these sizes, one flat array for each axis."""
    return tuple(np.indices(sizes).reshape(len(sizes), -1))


ONE = np.ones(1)
