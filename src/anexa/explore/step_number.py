"""A number of a run's step: AdamW's or Muon's explanation of it, its constants and its code."""

from __future__ import annotations

from anexa.explore.code import CodeLines, muon_source, update_source
from anexa.explore.quantities import QuantityName
from anexa.explore.rule import Index
from anexa.explore.terms import Explanation, Quantity
from anexa.explore.updates import WeightUpdate, explain_muon, explain_update, muon_step

NAMES: dict[QuantityName, Quantity] = {
    "value": "new",
    "m": "m",
    "v": "v",
    "clipped": "clipped",
    "update": "update",
}


def explain_step(
    update: WeightUpdate, index: Index, quantity: QuantityName, num_fused: int, incremental: bool
) -> Explanation:
    """Explain a number of a step.

    Args:
        update: the step.
        index: index of the element.
        quantity: "value" (after the step), "m", "v", "clipped" or "update".
        num_fused: number of matrices that Muon finds in the weight; 0 for AdamW.
        incremental: as in `WeightUpdate.tensors`.
    """
    if num_fused:
        return explain_muon(update, index, NAMES[quantity], num_fused)
    return explain_update(update, index, NAMES[quantity], incremental)


def step_source(quantity: QuantityName, num_fused: int) -> CodeLines:
    """Return the code that computes a number of a step; arguments as in `explain_step`."""
    return muon_source(NAMES[quantity]) if num_fused else update_source(NAMES[quantity])


def constants_of(
    update: WeightUpdate, index: Index, quantity: QuantityName, num_fused: int, incremental: bool
) -> dict[str, float]:
    """Return the numbers in the equation of a step that are no terms, by symbol.

    Arguments as in `explain_step`.
    """
    config, matrix = update.optimizer, len(update.weight.shape) == 2
    if quantity == "clipped":
        limit = config.max_grad_norm
        return {"|g|": update.norm, "max_grad_norm": limit} if limit else {}
    if quantity == "value":
        return {"r": update.learning_rate, "λ": config.weight_decay if matrix else 0.0}
    if num_fused:
        return {"μ": config.momentum} if quantity == "m" else {}
    if quantity == "m":
        return {"β₁": config.beta1}
    if quantity == "v":
        return {"β₂": config.beta2}
    v = float(update.numbers(index, incremental)["v"])
    return {"v'": v, "β₁": config.beta1, "β₂": config.beta2, "t": update.step, "ε": config.eps}


def singular_values(
    update: WeightUpdate, index: Index, num_fused: int
) -> tuple[tuple[float, ...], ...]:
    """List the singular values along Muon's iterations; empty for AdamW.

    Arguments as in `explain_step`; the index chooses one of the fused matrices.
    """
    if not num_fused:
        return ()
    steps = muon_step(update, num_fused).iterations[index[1] * num_fused // update.weight.shape[1]]
    found = [steps[0].singular_values[0], *(step.singular_values[1] for step in steps)]
    return tuple(tuple(values.tolist()) for values in found)
