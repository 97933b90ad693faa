"""The view of one number: its value, its equation, its terms, and links to other numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from anexa.explore.code import CodeLines
from anexa.explore.curves import SampledCurve
from anexa.explore.quantities import QuantityName
from anexa.explore.rule import Index


@dataclass(frozen=True)
class Link:
    """Link to the view of a number: the fields of the page's address that change.

    Attributes:
        tensor: name of the tensor.
        index: index of the element.
        quantity: quantity of the element.
        label: text of the link: the name of the number.
        folder: id of the folder; None means that of the current scene.
        step: step of the scene; None means that of the current scene, −1 the weights in the
            folder.
        batch: whether the input is the training batch of the step after `step`; False means the
            input of the current scene.
        unedited: whether the switches of the current scene are left out.
    """

    tensor: str
    index: Index
    quantity: QuantityName = "value"
    label: str = ""
    folder: int | None = None
    step: int | None = None
    batch: bool = False
    unedited: bool = False


@dataclass(frozen=True)
class LinkedTerm:
    """A term of the sum that explains a number, with links to the numbers in it.

    Attributes:
        to: link to the number in the term; None if it has no view.
        value: value of that number.
        factor: factor of the number; for a gradient the slope ∂(output)/∂(number).
        contribution: value of the term.
        factor_to: link to the number that the factor is equal to, or computed from; None if there
            is none.
    """

    to: Link | None
    value: float
    factor: float
    contribution: float
    factor_to: Link | None = None


@dataclass(frozen=True)
class NumberView:
    """View of a number: its value and its explanation.

    Attributes:
        link: link to this view.
        value: the number.
        index_names: name of the index on each axis, from `IndexNames.names`.
        quantities: all quantities that the element has in the scene.
        equation: the equation in symbols; empty if there are no terms.
        note: a sentence about the origin of a number without terms; empty for others.
        terms: the terms with the largest magnitudes, the largest first; at most `MAX_TERMS`.
        num_terms: number of all terms.
        rest: sum of the terms that are not listed; 0 if all are.
        offset: constant inside the outer function.
        inner: function that is applied to the value of each term: "exp", e^(x − shift); "square",
            (x − center)²; empty: the value itself.
        outer: function that is applied to the sum: "exp", "log" or "sqrt"; empty: the sum itself.
        shift: constant that is added to the outer function.
        center: the mean that the inner function "square" subtracts.
        constants: the numbers of the equation that are not terms, by symbol.
        constant_links: links to the numbers that constants are equal to, by symbol.
        rebuilt: the number, recomputed from all terms; None if it has no terms.
        dtype: precision in which the number was computed: "float32" or "float64".
        code: lines of code that compute the number; None without such, as for a difference.
        uses: links to the first numbers that are computed from it directly; at most `MAX_TERMS`.
        num_uses: number of all numbers that are computed from it directly.
        curve: curve of the activation function whose output the number is; None for others.
        singular_values: of a weight that Muon updates: the singular values before each iteration
            and after the last one, the largest first; empty for others.
        others: values of the element's quantities that are known without computation, and of the
            quantity shown, by name.
    """

    link: Link
    value: float
    index_names: tuple[str, ...]
    quantities: tuple[QuantityName, ...]
    equation: str = ""
    note: str = ""
    terms: tuple[LinkedTerm, ...] = ()
    num_terms: int = 0
    rest: float = 0.0
    offset: float = 0.0
    inner: str = ""
    outer: str = ""
    shift: float = 0.0
    center: float = 0.0
    constants: dict[str, float] = field(default_factory=dict)
    constant_links: dict[str, Link] = field(default_factory=dict)
    rebuilt: float | None = None
    dtype: str = "float64"
    code: CodeLines | None = None
    uses: tuple[Link, ...] = ()
    num_uses: int = 0
    curve: SampledCurve | None = None
    singular_values: tuple[tuple[float, ...], ...] = ()
    others: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Convert the view to a dict for JSON, nested views included."""
        return asdict(self)
