"""Arithmetic problems: question, thought and answer; and the tasks that they belong to."""

from __future__ import annotations

import random
from dataclasses import dataclass

from anexa.thinking.splits import Split, split_of
from anexa.thinking.stories import draw_story
from anexa.thinking.thoughts import ThoughtStep, steps_of

MAX_DIGITS = 8  # of an operand of a sum or a difference, in training
MAX_FACTOR_DIGITS = 4  # of a factor, in training


@dataclass(frozen=True)
class Problem:
    """A question, with the correct thought and answer.

    Attributes:
        question: the user's message.
        thought: the lines that lead to the answer, separated by line breaks; empty for a refusal.
        answer: the assistant's answer.
    """

    question: str
    thought: str
    answer: str


@dataclass(frozen=True)
class Task:
    """A kind of problem: an operation on operands of a given length, or stories.

    Attributes:
        operation: "+", "-", "*", or "story".
        left: number of digits of the longer operand.
        right: number of digits of the other operand; None: any number up to `left`.
    """

    operation: str
    left: int = 0
    right: int | None = None

    def __str__(self) -> str:
        if self.operation == "*":
            return f"{self.left}x{self.right}"
        return "story" if self.operation == "story" else f"{self.operation} {self.left}"


TASKS = (
    *(Task("+", digits) for digits in range(1, MAX_DIGITS + 1)),
    *(Task("-", digits) for digits in range(1, MAX_DIGITS + 1)),
    *(Task("*", m, n) for m in range(1, MAX_FACTOR_DIGITS + 1) for n in range(1, m + 1)),
    Task("story"),
)


def is_held_out(task: Task) -> bool:
    """Whether problems of a task are held out: all tasks but those on single digits."""
    return task.left != 1


def draw(task: Task, rng: random.Random, split: Split = "training") -> Problem:
    """Draw a problem of a task from a split.

    Held-out problems have uniformly distributed digits; for training, difficult digits are more
    frequent.

    Raises:
        ValueError: if the split is held out, and no problem of the task is.
    """
    if split != "training" and not is_held_out(task):
        raise ValueError(f"no {task} is held out")
    while True:
        if task.operation == "story":
            story = draw_story(rng, split)
            question, steps = story.question, story.steps
        else:
            a, b = _operands(task, rng, uniform=split != "training")
            if split_of(task.operation, a, b) != split:
                continue
            question, steps = f"{a}{task.operation}{b}", _steps(task.operation, a, b)
        if split != "training" or not any(map(_gives_away, steps)):
            return _problem(question, steps)


def problem(operation: str, a: int, b: int) -> Problem:
    """Make the problem of calculating `a` operation `b`."""
    return _problem(f"{a}{operation}{b}", _steps(operation, a, b))


def _steps(operation: str, a: int, b: int) -> list[ThoughtStep]:
    """Write out the steps; in a product, the longer factor comes first."""
    first, second = (b, a) if operation == "*" and len(str(b)) > len(str(a)) else (a, b)
    return steps_of(operation, first, second)


def _problem(question: str, steps: list[ThoughtStep]) -> Problem:
    return Problem(question, "\n".join(step.text for step in steps), str(steps[-1].value))


def _gives_away(step: ThoughtStep) -> bool:
    """Whether a step is itself a held-out problem, which training would reveal."""
    return step.operation != "?" and split_of(step.operation, step.a, step.b) != "training"


def _operands(task: Task, rng: random.Random, uniform: bool) -> tuple[int, int]:
    """Draw two operands in random order, with uniform or with difficult digits."""
    right = task.right
    if right is None:
        # In half of the cases both are long; else hardly any sum would use the leftmost columns.
        right = task.left if rng.random() < 0.5 else rng.randint(1, task.left)
    a, b = (_number(rng, digits, uniform) for digits in (task.left, right))
    if not uniform and rng.random() < (0.2 if task.operation == "-" else 0.05):
        if task.operation == "-" and rng.random() < 0.5:  # alike up to some digit
            end = 10 ** rng.randint(1, len(str(a)))
            b = a - a % end + rng.randrange(end)
        elif task.right is None and rng.random() < 0.5:  # nines and a one: a long carry
            b = 10 ** len(str(a)) - 1 - a + rng.randint(0, 2)
            b = b if len(str(b)) <= MAX_DIGITS else a
        elif task.right in (None, task.left):
            b = a
    return (a, b) if rng.random() < 0.5 else (b, a)


def _number(rng: random.Random, digits: int, uniform: bool) -> int:
    least = 10 ** (digits - 1) if digits > 1 else 0
    if uniform or rng.random() < 0.7:
        return rng.randrange(least, 10**digits)
    some = rng.choice(("09", "01", "059", "019", "0", "9"))
    number = 0
    for _ in range(digits):
        digit = int(rng.choice(some)) if rng.random() < 0.8 else rng.randrange(10)
        number = 10 * number + digit
    return number if number >= least else number + least * rng.randint(1, 9)
