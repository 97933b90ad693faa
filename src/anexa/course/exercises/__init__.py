"""The exercises of the course, by the number of their chapter."""

from __future__ import annotations

from anexa.course.exercise import Exercise
from anexa.course.exercises import tokens

EXERCISES: dict[int, Exercise] = {
    1: tokens.EXERCISE,
}
