"""Explanation of one number of a scene: its value, equation and terms, with links to the terms.

A number is of one of three kinds. Activations and gradients belong to the scene's own
computation. The weights of a run, and the optimizer's moments, belong to the step that led to them
(`step_number`). A change or a difference is one of these minus another.
"""

from __future__ import annotations

from dataclasses import replace

from anexa.explore.axes import IndexNames
from anexa.explore.code import CodeLines, operation_code
from anexa.explore.curves import SampledCurve, curve_of
from anexa.explore.number_view import Link, LinkedTerm, NumberView
from anexa.explore.quantities import (
    MOMENTS,
    QuantityName,
    check_quantity,
    element_of_run,
    quantities_of,
    update_of,
    value_to_compare,
)
from anexa.explore.replay import as_array
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import Session, run_with_timeout
from anexa.explore.step_number import constants_of, explain_step, singular_values, step_code
from anexa.explore.terms import (
    Explanation,
    NumberReference,
    Term,
    exact_sum,
    explain,
    explain_gradient,
)
from anexa.model.architectures import get_architecture

# Maximum number of terms listed (of all further terms only the sum is given), and of uses listed.
MAX_TERMS = 200


def explain_number(
    session: Session, scene: Scene, tensor: str, index: Index, quantity: QuantityName, versus: Scene
) -> NumberView:
    """Explain a number of a scene: where it comes from, and which numbers are computed from it.

    Args:
        session: session of the page, with the open model folders.
        scene: scene of the number.
        tensor: name of the tensor.
        index: index of the element.
        quantity: quantity of the element, as in `read_tensor`.
        versus: scene whose value a "difference" subtracts; other quantities ignore it.

    Returns:
        The view of the number.

    Raises:
        AnexaError: if a scene cannot be computed, there is no such tensor or element, the element
            has no such quantity, or the tensor has another shape in `versus`.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    explainer = _Explainer(session, scene, tensor, index)
    if quantity == "difference":
        return explainer.difference(versus)
    check_quantity(session, scene, tensor, quantity)
    if quantity == "gradient":
        return explainer.gradient()
    if quantity != "value" or explainer.comes_from_a_step:
        return explainer.of_step(quantity)
    return explainer.value_of_scene()


class _Explainer:
    """Explainer of the quantities (value, gradient, moments, …) of one element of a tensor.

    Args:
        session: session of the page, with the open model folders.
        scene: scene of the tensor.
        tensor: name of a tensor.
        index: index of the element.

    Attributes:
        comes_from_a_step: whether the element is a weight of a run, as it was after a step.
    """

    def __init__(self, session: Session, scene: Scene, tensor: str, index: Index) -> None:
        self._session, self._scene, self._tensor, self._index = session, scene, tensor, index
        self._folder, self._trace = session.folder(scene.folder), session.trace(scene)
        self._index_names = IndexNames(self._folder, self._trace)
        self._explained = explain(self._trace, tensor, index)  # checks the tensor and the index
        self._is_weight = tensor not in self._trace.nodes
        self.comes_from_a_step = self._is_weight and scene.step is not None and not scene.edits

    def value_of_scene(self) -> NumberView:
        """Explain an activation by its operation, or a weight by the step that led to it."""
        if not self._is_weight:
            rule = self._trace.nodes[self._tensor].rule
            curve = curve_of(rule, self._index)
            return self._number("value", self._explained, operation_code(rule), curve=curve)
        if self._scene.edits:
            note = "A weight, with the switches that are set."
        elif self._folder.replay:
            note = "A weight: it comes from training. Choose a step to see what made it."
        else:
            note = f"A weight: it comes from training, but {self._folder.no_steps_reason}."
        dtype = as_array(self._folder.model.weights[self._tensor]).dtype.name
        return replace(self._plain("value", self._explained.value, note), dtype=dtype)

    def gradient(self) -> NumberView:
        """Explain a gradient by the chain rule: a sum over the numbers that use the element."""
        found = explain_gradient(self._trace, self._tensor, self._index)
        code, curve = None, None
        for node, position in self._trace.consumers[self._tensor][:1]:
            code = operation_code(node.rule, "backward")
            curve = curve_of(node.rule, self._index) if position == 0 else None
        return self._number("gradient", found, code, curve=curve)

    def of_step(self, quantity: QuantityName) -> NumberView:
        """Explain a quantity of a weight of a run by the optimizer step that led to it."""
        run, step = self._folder.require_replay(), self._scene.step
        assert step is not None
        if quantity == "change":
            return self._change(step)
        is_trained = self._tensor in run.optimizer.trainable(run.model_config)
        if step == run.first_step or run.config.optimizer.dropout or not is_trained:
            return self._kept(quantity, step, is_trained)
        update = update_of(self._folder, step, self._tensor)
        fused = update.optimizer.muon_weights(self._folder.config).get(self._tensor, 0)
        found = explain_step(update, self._index, quantity, fused, run.incremental)
        code, dtype = step_code(quantity, fused), update.weight.dtype.name
        if quantity in ("value", *MOMENTS):  # the run may have rounded it in another way
            kept = element_of_run(self._folder, step, self._tensor, self._index, quantity)
            found = replace(found, value=kept)
        return replace(
            self._number(quantity, found, code, step),
            dtype=dtype,
            constants=constants_of(update, self._index, quantity, fused, run.incremental),
            singular_values=singular_values(update, self._index, fused),
        )

    def difference(self, versus: Scene) -> NumberView:
        """Explain the difference of a value between the scene and another one."""
        tensor, scene = self._tensor, self._scene
        other = value_to_compare(self._session, scene, tensor, versus)
        there = Link(
            tensor,
            self._index,
            label=f"{tensor} there",
            folder=versus.folder if versus.folder != scene.folder else None,
            step=None if versus.step == scene.step else -1 if versus.step is None else versus.step,
            unedited=versus.edits != scene.edits,
        )
        here = replace(self._link(NumberReference(tensor, self._index)), label=f"{tensor} here")
        return self._minus(
            "difference", here, self._explained.value, there, float(other[self._index])
        )

    def _change(self, step: int) -> NumberView:
        new, old = (
            Link(self._tensor, self._index, label=f"value after step {s}", step=s, unedited=True)
            for s in (step, step - 1)
        )
        after, before = (
            element_of_run(self._folder, s, self._tensor, self._index) for s in (step, step - 1)
        )
        return self._minus("change", new, after, old, before)

    def _minus(
        self, quantity: QuantityName, here: Link, value: float, there: Link, other: float
    ) -> NumberView:
        """Explain a difference of two numbers by these.

        Args:
            quantity: quantity that the difference is shown as.
            here: link to the first number.
            value: the first number.
            there: link to the number that is subtracted.
            other: the number that is subtracted.
        """
        equation = "Δw = w' − w" if quantity == "change" else "Δ = here − there"
        terms = (
            LinkedTerm(here, value, 1.0, value),
            LinkedTerm(there, other, -1.0, -other),
        )
        difference = 0.0 if value == other else value - other  # as in windows: of masks too
        found = replace(self._plain(quantity, difference, ""), equation=equation, terms=terms)
        return replace(found, num_terms=2, rebuilt=difference)

    def _kept(self, quantity: QuantityName, step: int, is_trained: bool) -> NumberView:
        """Describe a weight or moment that no step explains, with a note that says why."""
        run, config = self._folder.require_replay(), self._folder.config
        value = element_of_run(self._folder, step, self._tensor, self._index, quantity)
        if not is_trained:
            note = (
                "This weight is frozen in the run: it is that of the model that the run started "
                "from."
            )
        elif step > run.first_step:
            note = "The run has dropout: the gradients that led to this number were not kept."
        elif step:
            note = f"The history begins with step {step}: what led to this number was not kept."
        elif run.config.finetune.from_:
            note = "An initial weight, that of the model that the run started from."
        else:
            parameter = get_architecture(config).parameters(config)[self._tensor]
            mean, std, seed = parameter.mean, parameter.std, run.config.run.seed
            source = f"drawn from N({mean:g}, {std:g}²) with seed {seed}"
            note = f"An initial weight, {source if std else 'a constant'}."
        dtype = as_array(run_with_timeout(run.state(step)).weights[self._tensor]).dtype.name
        return replace(self._plain(quantity, value, note), dtype=dtype)

    def _plain(self, quantity: QuantityName, value: float, note: str) -> NumberView:
        """Build the view of a number without an explanation."""
        link = replace(self._link(NumberReference(self._tensor, self._index)), quantity=quantity)
        uses, num_uses = self._uses()
        return NumberView(
            link,
            value,
            tuple(self._index_names.names(self._tensor, self._index)),
            quantities_of(self._session, self._scene, self._tensor),
            note=note,
            uses=uses,
            num_uses=num_uses,
            others=self._others() | {quantity: value},
        )

    def _number(
        self,
        quantity: QuantityName,
        found: Explanation,
        code: CodeLines | None,
        step: int | None = None,
        curve: SampledCurve | None = None,
    ) -> NumberView:
        """Build the view of a number from its explanation."""
        is_before = quantity != "update"  # an update is computed from the moments after the step
        terms = [
            LinkedTerm(
                self._link(term.source, step, is_before)
                if term.source.tensor in self._trace.values
                else None,
                term.value,
                term.factor,
                term.contribution,
                self._factor_link(term, step),
            )
            for term in found.terms[:MAX_TERMS]
        ]
        return replace(
            self._plain(quantity, found.value, ""),
            equation=found.equation,
            terms=tuple(terms),
            num_terms=len(found.terms),
            rest=exact_sum(term.contribution for term in found.terms[MAX_TERMS:]),
            offset=found.offset,
            inner=found.inner,
            outer=found.outer,
            shift=found.shift,
            center=found.center,
            constants=found.constants,
            constant_links={
                symbol: self._link(source) for symbol, source in found.constant_sources.items()
            },
            rebuilt=found.rebuilt,
            code=code,
            curve=curve,
        )

    def _factor_link(self, term: Term, step: int | None) -> Link | None:
        """Build the link to the number that a factor is equal to, or computed from."""
        reference = term.factor_source
        if reference is None:
            return None
        link = self._link(reference, step)
        is_gradient = reference.quantity == "gradient"
        tensors = self._trace.grads if is_gradient else self._trace.values
        is_own = step is None and tensors[reference.tensor][reference.index] == term.factor
        return link if is_own else replace(link, label=f"from {link.label}")

    def _link(
        self, reference: NumberReference, step: int | None = None, is_before: bool = False
    ) -> Link:
        """Build the link to the view of a number.

        Args:
            reference: reference to the number.
            step: training step that the number belongs to; None if it belongs to the scene.
            is_before: whether a weight or a moment is meant as it was before the step.
        """
        tensor, index, quantity = reference.tensor, reference.index, reference.quantity
        if step is None:
            label = self._index_names.label(tensor, index)
            if quantity == "gradient":
                return Link(tensor, index, "gradient", f"gradient of {label}")
            return Link(tensor, index, "value", label)
        if quantity == "gradient":
            label = f"gradient in step {step}"
            return Link(tensor, index, "gradient", label, step=step - 1, batch=True, unedited=True)
        at = step - 1 if is_before and quantity in ("value", "m", "v") else step
        shown: QuantityName = "value" if quantity == "new" else quantity
        label = f"{STEP_WORDS[shown]} step {at}"
        return Link(tensor, index, shown, label, step=at, unedited=True)

    def _uses(self) -> tuple[tuple[Link, ...], int]:
        """List the numbers that are computed from the element directly.

        Returns:
            Links to the first of them, and the number of all.
        """
        found, count = list[Link](), 0
        for node, position in self._trace.consumers[self._tensor]:
            indices, _ = node.rule.slopes(position, self._index)
            count += len(indices)
            listed = indices[: MAX_TERMS - len(found)].tolist()
            found += [self._link(NumberReference(node.name, tuple(i))) for i in listed]
        return tuple(found), count

    def _others(self) -> dict[str, float]:
        others: dict[str, float] = {"value": self._explained.value}
        if self._tensor in self._trace.grads:
            others["gradient"] = float(self._trace.grads[self._tensor][self._index])
        if self._is_weight and self._scene.step is not None:
            moments = run_with_timeout(
                self._folder.require_replay().state(self._scene.step)
            ).moments
            kept = {name: moments.get(f"{name}.{self._tensor}") for name in MOMENTS}
            others |= {name: float(as_array(x)[self._index]) for name, x in kept.items() if x}
        return others


# Beginnings of the labels of links to a quantity of a weight; "step N" follows.
STEP_WORDS: dict[QuantityName, str] = {
    "value": "weight after",
    "m": "m after",
    "v": "v after",
    "clipped": "clipped gradient in",
    "update": "update in",
}
