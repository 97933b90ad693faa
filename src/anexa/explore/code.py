"""The lines of this project's code that compute a number."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from anexa.engines.operations import numpy as operations
from anexa.engines.optimizers.numpy import NumpyOptimizer, orthogonalize
from anexa.engines.tape import AnyOperation
from anexa.explore import attention_rules, norm_rules, rules
from anexa.explore.rule import Rule
from anexa.explore.terms import TermQuantity


@dataclass(frozen=True)
class CodeLines:
    """A function of this project, as its lines of code.

    Attributes:
        file: path of its file, relative to the repository, with slashes.
        first_line: number of its first line, from 1.
        text: its lines, without common indentation.
    """

    file: str
    first_line: int
    text: str


# Operation that computes the output of a rule, for rules whose type determines it.
OPERATIONS: dict[type[Rule], AnyOperation] = {
    rules.Embedding: operations.Embedding,
    rules.Positions: operations.Positions,
    rules.Add: operations.Add,
    rules.Linear: operations.Linear,
    norm_rules.Mean: operations.LayerNorm,
    rules.GELU: operations.GELU,
    rules.GELUErf: operations.GELUErf,
    rules.ReLU: operations.ReLU,
    rules.SwiGLU: operations.SwiGLU,
    rules.CrossEntropy: operations.CrossEntropy,
    attention_rules.Rotary: operations.Rotary,
    attention_rules.AttentionScores: operations.Attention,
    attention_rules.AttentionOutput: operations.Attention,
}


def operation_of(rule: Rule) -> AnyOperation:
    """Return the operation of the engine `numpy` that computes the output of a rule."""
    if isinstance(rule, rules.Identity):
        return operations.Transpose if rule.columns is None else operations.Split
    if isinstance(rule, norm_rules.Norm):
        return operations.LayerNorm if rule.centered else operations.RMSNorm
    if isinstance(rule, norm_rules.Deviation):
        return operations.LayerNorm if rule.auxiliaries else operations.RMSNorm
    if isinstance(rule, (attention_rules.LogSumExp, attention_rules.Softmax)):
        scores = rule.inputs[0]  # (B, H, T, S), or logits, (B, T, V)
        return operations.Attention if scores.ndim == 4 else operations.CrossEntropy
    return OPERATIONS[type(rule)]


def operation_code(
    source: Rule | AnyOperation, direction: Literal["forward", "backward"] = "forward"
) -> CodeLines:
    """Return the code that computes an operation, in the engine `numpy`.

    Args:
        source: operation, or rule whose output it computes.
        direction: "forward" for the output, "backward" for the gradients of the inputs.
    """
    operation = operation_of(source) if isinstance(source, Rule) else source
    return _lines(getattr(operation, direction))


def adamw_code(quantity: TermQuantity) -> CodeLines:
    """Return the code of AdamW that computes a number of an optimizer step.

    Args:
        quantity: the number: "new", "update", "m", "v" or "clipped".
    """
    part = NumpyOptimizer._adam if quantity in ("m", "v", "update") else NumpyOptimizer.step
    return _lines(part)


def muon_code(quantity: TermQuantity) -> CodeLines:
    """Return the code of Muon that computes a number of an optimizer step.

    Args:
        quantity: the number: "new", "update", "m" or "clipped".
    """
    if quantity == "update":
        return _lines(orthogonalize)
    return _lines(NumpyOptimizer._muon if quantity == "m" else NumpyOptimizer.step)


@cache  # Python's tokenizer finds the end of the function, which takes milliseconds
def _lines(function: Callable[..., Any]) -> CodeLines:
    lines, first_line = inspect.getsourcelines(function)
    file = f"src/{function.__module__.replace('.', '/')}.py"
    return CodeLines(file, first_line, textwrap.dedent("".join(lines)))
