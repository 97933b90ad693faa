"""The exercises: right solutions are accepted, and typical wrong ones are told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from anexa.course.exercises import EXERCISES
from tests.course.solutions import RIGHT, STUDENT, WRONG, by_hand, check_text, said

MISTAKES = [(chapter, name) for chapter, mistakes in WRONG.items() for name in mistakes]


@pytest.mark.parametrize("chapter", EXERCISES)
@pytest.mark.parametrize("student", ["", "Ada", "Grace Hopper", "Žofie"])
def test_right_solution_is_accepted(chapter: int, student: str, tmp_path: Path) -> None:
    report = check_text(by_hand(chapter, student) + RIGHT[chapter], chapter, tmp_path, student)
    assert report.is_right, said(report)
    assert len(report.passed) == report.count


@pytest.mark.parametrize(("chapter", "name"), MISTAKES)
def test_typical_mistake_is_rejected_with_its_reason(
    chapter: int, name: str, tmp_path: Path
) -> None:
    right, wrong, reason = WRONG[chapter][name]
    assert RIGHT[chapter].count(right) == 1
    report = check_text(by_hand(chapter) + RIGHT[chapter].replace(right, wrong), chapter, tmp_path)
    assert not report.is_right
    assert reason in said(report)


@pytest.mark.parametrize("chapter", EXERCISES)
def test_every_exercise_has_three_mistakes(chapter: int) -> None:
    assert len(WRONG[chapter]) >= 3


@pytest.mark.parametrize("chapter", EXERCISES)
def test_students_have_numbers_of_their_own(chapter: int) -> None:
    exercise = EXERCISES[chapter]
    names = ["", STUDENT, "Grace", "Emmy"]
    assert len({exercise.numbers(chapter, name) for name in names}) == len(names)
    assert exercise.questions(chapter, "ada ") == exercise.questions(chapter, STUDENT)


@pytest.mark.parametrize("chapter", EXERCISES)
def test_another_students_numbers_are_rejected(chapter: int, tmp_path: Path) -> None:
    text = by_hand(chapter, "Grace") + RIGHT[chapter]
    report = check_text(text, chapter, tmp_path)
    assert report.failed is not None
    assert report.failed.call == "by_hand"
