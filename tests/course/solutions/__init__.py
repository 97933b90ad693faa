"""Solutions of the exercises: right ones, and what learners typically write instead.

Each module is named like that of the exercise, and has `RIGHT`, the text of a right solution, and
`WRONG`, the mistakes.
"""

from __future__ import annotations

from importlib import import_module

from tests.course.solution import Wrong

_MODULES = {
    1: "tokens",
    2: "bigrams",
    3: "cross_entropy",
    4: "chain_rule",
    5: "linear",
    6: "attention",
    7: "norm",
    8: "whole_file",
    9: "gradient_check",
    10: "adam",
    11: "swiglu",
    12: "decoding",
    13: "rotary",
    14: "heads",
    15: "teachers",
    16: "thoughts",
    17: "model_folder",
}
_SOLUTIONS = {n: import_module(f"{__name__}.{name}") for n, name in _MODULES.items()}

RIGHT: dict[int, str] = {n: module.RIGHT for n, module in _SOLUTIONS.items()}
WRONG: dict[int, Wrong] = {n: module.WRONG for n, module in _SOLUTIONS.items()}
