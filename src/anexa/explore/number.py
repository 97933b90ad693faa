"""One number of a scene: its value, its equation, its terms, and where each of them can be seen.

A number is of one of three kinds. Activations and gradients belong to the scene's own
computation. The weights of a run, and the optimizer's moments, belong to the step that led to them.
A change or a difference is one of these minus another.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from anexa.errors import UsageError
from anexa.explore.code import CodeLines, source_of, update_source
from anexa.explore.places import Places
from anexa.explore.quantities import QuantityName
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import OpenFolder, Session, hurry
from anexa.explore.terms import Explanation, Quantity, Reference, explain, explain_gradient
from anexa.explore.trace import Trace
from anexa.explore.updates import Update, explain_muon, explain_update, muon_step
from anexa.model.architectures import architecture

MAX_TERMS = 200  # listed terms of a number; the sum of all others is given


@dataclass(frozen=True)
class Link:
    """A number that can be shown: a change of the page's address.

    Attributes:
        tensor: name of the tensor.
        index: index of the element.
        quantity: kind of number.
        step: step of the scene; None: that of the present scene.
        batch: whether the input is the training batch of the step after `step`.
        label: the number in words.
    """

    tensor: str
    index: Index
    quantity: QuantityName = "value"
    step: int | None = None
    batch: bool = False
    label: str = ""


@dataclass(frozen=True)
class LinkedTerm:
    """A term of a number, as `anexa.explore.terms.Term`, with links instead of references."""

    to: Link | None
    value: float
    factor: float
    contribution: float
    factor_to: Link | None


@dataclass(frozen=True)
class Number:
    """A number, and where it comes from.

    Attributes:
        link: the number itself.
        value: its value.
        places: the place on each axis, in words.
        equation: the equation in symbols; empty if there are no terms.
        note: a sentence: where a number without terms comes from.
        terms: the largest terms.
        num_terms: number of all terms.
        rest: sum of the terms that are not listed.
        offset: constant inside the outer function.
        outer: outer function, as in `Explanation`.
        shift: constant outside of it.
        rebuilt: the number, computed from all terms; None if there are none.
        dtype: precision in which the number was computed.
        code: lines that compute it.
        uses: outputs that the element is used in.
        singular_values: of a weight that Muon updates: the largest and the smallest singular value
            before each iteration and after the last.
        others: values of the element's other quantities.
    """

    link: Link
    value: float
    places: tuple[str, ...]
    equation: str = ""
    note: str = ""
    terms: tuple[LinkedTerm, ...] = ()
    num_terms: int = 0
    rest: float = 0.0
    offset: float = 0.0
    outer: str = ""
    shift: float = 0.0
    rebuilt: float | None = None
    dtype: str = "float64"
    code: CodeLines | None = None
    uses: tuple[Link, ...] = ()
    singular_values: tuple[tuple[float, float], ...] = ()
    others: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def explain_number(
    session: Session, scene: Scene, tensor: str, index: Index, quantity: QuantityName, versus: Scene
) -> Number:
    """Explain a number.

    Args:
        session: the open folders.
        scene: the scene.
        tensor: name of a tensor.
        index: index of the element.
        quantity: kind of number.
        versus: scene that a "difference" subtracts.

    Raises:
        AnexaError: if there is no such number.
    """
    explainer = _Explainer(session, scene, tensor, index)
    if quantity == "difference":
        return explainer.difference(versus)
    if quantity == "gradient":
        return explainer.gradient()
    if explainer.is_of_run and (quantity != "value" or not scene.edits):
        return explainer.of_step(quantity)
    if quantity != "value":
        raise UsageError(
            f"{tensor} has no {quantity}: only a weight of a run that keeps its steps has one"
        )
    return explainer.value_of_scene()


class _Explainer:
    """Explains the quantities of one element.

    Args:
        session: the open folders.
        scene: the scene.
        tensor: name of a tensor.
        index: index of the element.
    """

    def __init__(self, session: Session, scene: Scene, tensor: str, index: Index) -> None:
        self.session, self.scene, self.tensor, self.index = session, scene, tensor, index
        self.folder: OpenFolder = session.folder(scene.folder)
        self.trace: Trace = session.trace(scene)
        self.places = Places(self.folder, self.trace)
        self._explained = explain(self.trace, tensor, index)  # checks the tensor and the index
        self.is_weight = tensor not in self.trace.nodes
        self.is_of_run = self.is_weight and scene.step is not None

    def value_of_scene(self) -> Number:
        """Explain an activation, or say where a weight comes from."""
        if not self.is_weight:
            code = source_of(self.trace.nodes[self.tensor].rule)
            return self._number("value", self._explained, code)
        note = (
            "A weight: it comes from training. "
            + (self.folder.no_steps or "Choose a step on the loss curve to see what made it.")
            if not self.scene.edits
            else "A weight, with the switches that are set."
        )
        return self._plain("value", self._explained.value, note)

    def gradient(self) -> Number:
        """Explain a gradient."""
        if self.tensor not in self.trace.grads:
            raise UsageError(f"{self.tensor} is an intermediate result without a gradient")
        found = explain_gradient(self.trace, self.tensor, self.index)
        consumers = self.trace.consumers[self.tensor]
        code = source_of(consumers[0][0].rule, "backward") if consumers else None
        return self._number("gradient", found, code)

    def of_step(self, quantity: QuantityName) -> Number:
        """Explain a number of a run's weight by the step that led to it."""
        step, run = self.scene.step, self.folder.run
        assert step is not None
        if step == run.first_step:
            return self._first(quantity)
        update = hurry(run.update(step, self.tensor))
        if quantity == "change":
            return self._change(update, step)
        fused = update.optimizer.muon_weights(self.folder.config).get(self.tensor, 0)
        asked: Quantity = "new" if quantity == "value" else quantity
        if fused and quantity == "v":
            raise UsageError(f"{self.tensor} has no v: Muon keeps only the mean of the gradients")
        if fused:
            found = explain_muon(update, self.index, asked, fused)
        else:
            found = explain_update(update, self.index, asked, run.incremental)
        code, dtype = update_source(asked), update.weight.dtype.name
        number = self._number(quantity, found, code, step, dtype)
        return replace(number, singular_values=singular_values(update, self.index, fused))

    def difference(self, versus: Scene) -> Number:
        """Explain the difference of a value between two scenes."""
        other = self.session.trace(versus)
        theirs = explain(other, self.tensor, self.index).value
        mine = self._explained.value
        here = self._link(Reference(self.tensor, self.index))
        there = Link(self.tensor, self.index, "value", versus.step, versus.kind == "batch", "there")
        return replace(
            self._plain("difference", mine - theirs, ""),
            equation="Δ = here − there",
            terms=(
                LinkedTerm(here, mine, 1.0, mine, None),
                LinkedTerm(there, theirs, -1.0, -theirs, None),
            ),
            num_terms=2,
            rebuilt=mine - theirs,
        )

    def _first(self, quantity: QuantityName) -> Number:
        if quantity != "value":
            raise UsageError(
                f"the {quantity} of a weight belongs to a step: the history begins with step "
                f"{self.scene.step}"
            )
        if self.scene.step:
            note = f"The history begins with step {self.scene.step}: what led to it was not kept."
        else:
            parameter = architecture(self.folder.config).parameters(self.folder.config)[self.tensor]
            seed = self.folder.run.config.run.seed
            drawn = f"drawn from N({parameter.mean:g}, {parameter.std:g}²) with seed {seed}"
            note = f"An initial weight, {drawn if parameter.std else 'a constant'}."
        return self._plain("value", self._explained.value, note)

    def _change(self, update: Update, step: int) -> Number:
        before, after = float(update.weight[self.index]), self._explained.value
        old = Link(self.tensor, self.index, "value", step - 1, label=f"value after step {step - 1}")
        new = Link(self.tensor, self.index, "value", step, label=f"value after step {step}")
        return replace(
            self._plain("change", after - before, ""),
            equation="Δw = w' − w",
            terms=(
                LinkedTerm(new, after, 1.0, after, None),
                LinkedTerm(old, before, -1.0, -before, None),
            ),
            num_terms=2,
            rebuilt=after - before,
        )

    def _plain(self, quantity: QuantityName, value: float, note: str) -> Number:
        reference = Reference(self.tensor, self.index)
        return Number(
            replace(self._link(reference), quantity=quantity),
            value,
            tuple(self.places.of(self.tensor, self.index)),
            note=note,
            uses=self._uses(),
            others=self._others(),
        )

    def _number(
        self,
        quantity: QuantityName,
        found: Explanation,
        code: CodeLines | None,
        step: int | None = None,
        dtype: str = "float64",
    ) -> Number:
        terms = [
            LinkedTerm(
                self._link(term.source, step, is_before=True)
                if term.source.tensor in self.trace.values
                else None,
                term.value,
                term.factor,
                term.contribution,
                self._link(term.factor_source, step) if term.factor_source else None,
            )
            for term in found.terms[:MAX_TERMS]
        ]
        return replace(
            self._plain(quantity, found.value, ""),
            equation=found.equation,
            terms=tuple(terms),
            num_terms=len(found.terms),
            rest=math.fsum(term.contribution for term in found.terms[MAX_TERMS:]),
            offset=found.offset,
            outer=found.outer,
            shift=found.shift,
            rebuilt=found.rebuilt,
            dtype=dtype,
            code=code,
        )

    def _link(self, reference: Reference, step: int | None = None, is_before: bool = False) -> Link:
        """Make the link to a number.

        Args:
            reference: the number.
            step: the training step that the number belongs to; None: it belongs to the scene.
            is_before: whether a weight or a moment is the one before the step.
        """
        tensor, index, quantity = reference.tensor, reference.index, reference.quantity
        label = self.places.label(tensor, index)
        if step is None:
            kind: QuantityName = "gradient" if quantity == "gradient" else "value"
            return Link(tensor, index, kind, label=label)
        if quantity == "gradient":
            return Link(tensor, index, "gradient", step - 1, True, f"gradient in step {step}")
        at = step - 1 if is_before and quantity in ("value", "m", "v") else step
        shown: QuantityName = "value" if quantity == "new" else quantity
        words = {
            "value": "weight",
            "m": "m",
            "v": "v",
            "clipped": "clipped gradient",
            "update": "update",
        }
        after = "in" if shown in ("clipped", "update") else "after"
        return Link(tensor, index, shown, at, label=f"{words[shown]} {after} step {at}")

    def _uses(self) -> tuple[Link, ...]:
        """Link to the outputs that the element is used in directly, the first ones."""
        found = []
        for node, position in self.trace.consumers[self.tensor]:
            indices, _ = node.rule.slopes(position, self.index)
            found += [
                self._link(Reference(node.name, tuple(i))) for i in indices[:MAX_TERMS].tolist()
            ]
        return tuple(found[:MAX_TERMS])

    def _others(self) -> dict[str, float]:
        others = {"value": self._explained.value}
        if self.tensor in self.trace.grads:
            others["gradient"] = float(self.trace.grads[self.tensor][self.index])
        return others


def singular_values(
    update: Update, index: Index, num_fused: int
) -> tuple[tuple[float, float], ...]:
    """List the largest and the smallest singular value along Muon's iterations; empty for AdamW.

    Args:
        update: the step.
        index: index of an element, which chooses one of the fused matrices.
        num_fused: number of fused matrices; 0 for AdamW.
    """
    if not num_fused:
        return ()
    steps = muon_step(update, num_fused).iterations[index[1] * num_fused // update.weight.shape[1]]
    found = [steps[0].singular_values[0], *(step.singular_values[1] for step in steps)]
    return tuple((float(values[0]), float(values[-1])) for values in found)
