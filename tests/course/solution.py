"""A reader's file: its solution of an exercise, and what the check says about it."""

from __future__ import annotations

import json
from pathlib import Path

from anexa.course.checking import CheckResult, check
from anexa.course.exercises import EXERCISES

STUDENT = "Ada"

# By a name of the mistake: a text that the right solution has once, what a learner writes in its
# place, and a part of the reason that the check gives.
Wrong = dict[str, tuple[str, str, str]]


def by_hand(chapter: int, student: str = STUDENT) -> str:
    """The line of a solution with what its student computes by hand."""
    question = EXERCISES[chapter].questions(chapter, student)[0]
    return f"by_hand = {question.expected!r}\n"


def check_text(text: str, chapter: int, folder: Path, student: str = STUDENT) -> CheckResult:
    """Check a solution that is given as a text."""
    file = folder / "mine.py"
    file.write_text(text, encoding="utf-8")
    return check(chapter, file, student)


def said(report: CheckResult) -> str:
    """Return the problem and the reason of a report, which the learner reads, as JSON."""
    return json.dumps([report.problem, report.why], ensure_ascii=False)
