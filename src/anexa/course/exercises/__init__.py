"""The exercises of the course, by the number of their chapter.

A module for each exercise draws its questions, and computes the right results and those of typical
mistakes. Its functions are the attributes of its `Exercise`.
"""

from __future__ import annotations

from anexa.course.exercise import Exercise
from anexa.course.exercises import (
    adam,
    attention,
    bigrams,
    chain_rule,
    cross_entropy,
    decoding,
    gradient_check,
    heads,
    linear,
    model_folder,
    norm,
    rotary,
    swiglu,
    teachers,
    thoughts,
    tokens,
    whole_file,
)

EXERCISES: dict[int, Exercise] = {
    1: tokens.EXERCISE,
    2: bigrams.EXERCISE,
    3: cross_entropy.EXERCISE,
    4: chain_rule.EXERCISE,
    5: linear.EXERCISE,
    6: attention.EXERCISE,
    7: norm.EXERCISE,
    8: whole_file.EXERCISE,
    9: gradient_check.EXERCISE,
    10: adam.EXERCISE,
    11: swiglu.EXERCISE,
    12: decoding.EXERCISE,
    13: rotary.EXERCISE,
    14: heads.EXERCISE,
    15: teachers.EXERCISE,
    16: thoughts.EXERCISE,
    17: model_folder.EXERCISE,
}
