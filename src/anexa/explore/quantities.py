"""The quantities of a tensor in a `Scene`: value, gradient, moments, update, and differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import safetensors.numpy

from anexa.errors import UsageError, one_line
from anexa.explore.replay import as_array
from anexa.explore.rule import Array, Index
from anexa.explore.scene import Scene
from anexa.explore.session import OpenFolder, Session, run_with_timeout
from anexa.explore.trace import Trace
from anexa.explore.updates import WeightUpdate, muon_step

# Quantity of a tensor; `read_tensor` says what each is.
QuantityName: TypeAlias = Literal[
    "value", "gradient", "change", "difference", "m", "v", "clipped", "update"
]
MOMENTS: tuple[QuantityName, ...] = ("m", "v")  # what the optimizer keeps of each weight


def quantities_of(session: Session, scene: Scene, name: str) -> tuple[QuantityName, ...]:
    """List the quantities that are known for a tensor, apart from "difference".

    Args:
        session: session of the page, with the open model folders.
        scene: scene of the tensor.
        name: name of the tensor.

    Returns:
        The names of the quantities, "value" first.

    Raises:
        AnexaError: if the scene cannot be computed (see `Session.trace`), or has no such tensor.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS` of `session.py`.
    """
    folder, trace = session.folder(scene.folder), session.trace(scene)
    _check_tensor(trace, name)
    found: list[QuantityName] = ["value"]
    if name in trace.grads:
        found.append("gradient")
    if scene.step is None or name in trace.nodes:
        return tuple(found)
    run = folder.require_replay()
    comes_from_a_step = scene.step > run.first_step  # the values before any step have no change
    if comes_from_a_step:
        found.append("change")
    moments = run_with_timeout(run.state(scene.step)).moments
    found += [moment for moment in MOMENTS if f"{moment}.{name}" in moments]
    is_trained = name in run.optimizer.trainable(run.model_config)
    if comes_from_a_step and is_trained and not run.config.optimizer.dropout:
        found += ["clipped", "update"]
    return tuple(found)


def check_quantity(session: Session, scene: Scene, name: str, quantity: QuantityName) -> None:
    """Check that a quantity is known for a tensor; the error message says why it is not.

    Args:
        session: session of the page, with the open model folders.
        scene: scene of the tensor.
        name: name of the tensor.
        quantity: quantity other than "difference".

    Raises:
        UsageError: if the quantity is not known, or there is no such tensor.
        AnexaError: if the scene cannot be computed: see `Session.trace`.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    if quantity in quantities_of(session, scene, name):
        return
    folder, step = session.folder(scene.folder), scene.step
    what = f"{name} has no {quantity}"
    if quantity == "gradient":
        raise UsageError(f"{name} is an intermediate result without a gradient")
    if name in session.trace(scene).nodes:
        raise UsageError(f"{what}: only the weights of a run after a step have one")
    if folder.replay is None:
        raise UsageError(f"{what}: {folder.no_steps_reason}")
    if step is None:
        raise UsageError(f"{what} without a step: choose one on the loss curve")
    optimizer, config = folder.replay.optimizer, folder.replay.model_config
    if quantity != "change" and name not in optimizer.trainable(config):
        raise UsageError(f"{what}: this weight is frozen in the run")
    if quantity == "v" and name in optimizer.muon_weights(config):
        raise UsageError(f"{what}: Muon keeps only the mean of the gradients")
    if step == folder.replay.first_step:
        raise UsageError(
            f"{what} at step {step}, with which the history begins: choose a later one"
        )
    raise UsageError(f"{what}: the run has dropout, so the gradients of its steps are not known")


def read_tensor(
    session: Session, scene: Scene, name: str, quantity: QuantityName, versus: Scene
) -> Array:
    """Return a quantity of all elements of a tensor.

    Args:
        session: session of the page, with the open model folders.
        scene: scene of the tensor.
        name: name of the tensor.
        quantity: the quantity: "value"; "gradient", dL/d(value) in the scene. Of the optimizer step
            that led to the scene's weights: "change", the weights after the step minus the weights
            before it; "clipped", the gradient after clipping; "m" and "v", the moments after the
            step; "update", what is subtracted, before the learning rate and Muon's scale:
            (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) for AdamW, the matrix U for Muon.
            "difference": the value in `scene` minus the value in `versus`.
        versus: scene whose values a "difference" subtracts; other quantities ignore it.

    Returns:
        Array in the shape of the tensor; it may be shared with the cache, so do not change it.

    Raises:
        AnexaError: if a scene cannot be computed or has no such tensor, the tensor has no such
            quantity, or it has another shape in `versus`.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    trace = session.trace(scene)
    if quantity == "difference":
        other = value_to_compare(session, scene, name, versus)
        return subtract_tensor(trace.values[name], other)
    check_quantity(session, scene, name, quantity)
    if quantity == "value":
        return trace.values[name]
    if quantity == "gradient":
        return trace.grads[name]
    assert scene.step is not None
    return _read_of_run(session.folder(scene.folder), scene.step, name, quantity)


def _check_tensor(trace: Trace, name: str) -> None:
    if name not in trace.values:
        raise UsageError(f"there is no tensor {one_line(name)} in this model")


def value_to_compare(session: Session, scene: Scene, name: str, versus: Scene) -> Array:
    """Return the value that a "difference" subtracts: that of a tensor in `versus`.

    Raises:
        AnexaError: if a scene cannot be computed or has no such tensor, or the tensor has another
            shape in `versus`.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    trace = session.trace(scene)
    _check_tensor(trace, name)
    other = session.trace(versus).values.get(name)
    if other is None:
        raise UsageError(f"the scene to compare with has no {name}")
    if other.shape != trace.values[name].shape:
        raise UsageError(f"{name} has another shape in the scene to compare with")
    return other


def _read_of_run(folder: OpenFolder, step: int, name: str, quantity: QuantityName) -> Array:
    """Return a quantity of a weight of a run after a step.

    It has the precision of the run; a "change" is float64.

    Args:
        folder: open model folder.
        step: number of completed steps.
        name: name of the weight.
        quantity: quantity, as in `read_tensor`.
    """
    run = folder.require_replay()
    if quantity == "change":
        before = as_array(run_with_timeout(run.state(step - 1)).weights[name]).astype(np.float64)
        return as_array(run_with_timeout(run.state(step)).weights[name]) - before
    if quantity in MOMENTS:
        return as_array(run_with_timeout(run.state(step)).moments[f"{quantity}.{name}"])
    update = update_of(folder, step, name)
    fused = update.optimizer.muon_weights(folder.config).get(name, 0)
    if fused:
        found = muon_step(update, fused)
        return found.clipped if quantity == "clipped" else found.update
    tensors = update.tensors(run.incremental)
    return tensors["clipped" if quantity == "clipped" else "update"]


def element_of_run(
    folder: OpenFolder, step: int, name: str, index: Index, quantity: QuantityName = "value"
) -> float:
    """Return an element of a weight of a run, or of its moments "m" or "v", after a step.

    Raises:
        AnexaError: if the run has no such step, its steps cannot be repeated, or there is no such
            weight or moment after the step.
        ReplayNeeded: if repeating the step takes longer than `MAX_WAIT_SECONDS`.
    """
    frame = run_with_timeout(folder.require_replay().state(step))
    is_value = quantity == "value"
    kept = frame.weights.get(name) if is_value else frame.moments.get(f"{quantity}.{name}")
    if kept is None:
        raise UsageError(f"the run has no {quantity} of {one_line(name)} after step {step}")
    return float(as_array(kept)[index])


def update_of(folder: OpenFolder, step: int, name: str) -> WeightUpdate:
    """Compute the update of one weight by an optimizer step of a run.

    Raises:
        AnexaError: if there is no such weight or step, the weight is frozen, the run has dropout,
            or its steps cannot be repeated.
        ReplayNeeded: if repeating the earlier steps takes longer than `MAX_WAIT_SECONDS`.
    """
    return run_with_timeout(folder.require_replay().update(step, name))


def subtract_tensor(here: Array, there: Array) -> Array:
    """Return `here` − `there`, of one shape; equal elements differ by 0, infinite ones too."""
    difference = np.zeros_like(here)
    with np.errstate(invalid="ignore", over="ignore"):
        np.subtract(here, there, out=difference, where=here != there)
    return difference


def encode_tensors(tensors: Mapping[str, Array]) -> bytes:
    """Return the content of a safetensors file with tensors, by their names."""
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors.numpy.save(arrays)
