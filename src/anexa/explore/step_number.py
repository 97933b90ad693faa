"""A number of a run's step: AdamW's or Muon's explanation of it, its constants and its code."""

from __future__ import annotations

from anexa.explore.code import CodeLines, adamw_code, muon_code
from anexa.explore.quantities import QuantityName
from anexa.explore.rule import Index
from anexa.explore.terms import Explanation, TermQuantity
from anexa.explore.updates import WeightUpdate, explain_muon, explain_update, muon_step

# Name in an `Explanation` of each quantity of an optimizer step, by its name on the page.
QUANTITY_NAMES: dict[QuantityName, TermQuantity] = {
    "value": "new",
    "m": "m",
    "v": "v",
    "clipped": "clipped",
    "update": "update",
}


def explain_step(
    update: WeightUpdate, index: Index, quantity: QuantityName, num_fused: int, incremental: bool
) -> Explanation:
    """Explain a number of an optimizer step, AdamW's or Muon's.

    Args:
        update: state of the weight before the step, and its gradient.
        index: index of the element.
        quantity: "value" (after the step), "m", "v", "clipped" or "update".
        num_fused: number of matrices that Muon finds in the weight; 0 for AdamW.
        incremental: whether means are updated as m + (1−β) (g − m), or as β m + (1−β) g.

    Returns:
        The number as a function of a sum of terms.
    """
    if num_fused:
        return explain_muon(update, index, QUANTITY_NAMES[quantity], num_fused)
    return explain_update(update, index, QUANTITY_NAMES[quantity], incremental)


def step_code(quantity: QuantityName, num_fused: int) -> CodeLines:
    """Return the code that computes a number of an optimizer step.

    Args:
        quantity: "value" (after the step), "m", "v", "clipped" or "update".
        num_fused: number of matrices that Muon finds in the weight; 0 for AdamW.
    """
    return (
        muon_code(QUANTITY_NAMES[quantity]) if num_fused else adamw_code(QUANTITY_NAMES[quantity])
    )


def constants_of(
    update: WeightUpdate, index: Index, quantity: QuantityName, num_fused: int, incremental: bool
) -> dict[str, float]:
    """Return the constants in the equation of a number of an optimizer step.

    Args:
        update: state of the weight before the step, and its gradient.
        index: index of the element.
        quantity: "value" (after the step), "m", "v", "clipped" or "update".
        num_fused: number of matrices that Muon finds in the weight; 0 for AdamW.
        incremental: whether means are updated as m + (1−β) (g − m), or as β m + (1−β) g.

    Returns:
        The constants by symbol; empty if the equation has none.
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
    """List the singular values of a matrix along Muon's iterations; empty for AdamW.

    Args:
        update: state of the weight before the step, and its gradient.
        index: index of an element, which chooses one of the fused matrices.
        num_fused: number of matrices that Muon finds in the weight; 0 for AdamW.

    Returns:
        The singular values before each iteration and after the last, the largest first.
    """
    if not num_fused:
        return ()
    steps = muon_step(update, num_fused).iterations[index[1] * num_fused // update.weight.shape[1]]
    found = [steps[0].singular_values[0], *(step.singular_values[1] for step in steps)]
    return tuple(tuple(values.tolist()) for values in found)
