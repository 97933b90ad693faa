"""Problems: what is asked, the thought that answers it, and which of them are never trained on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from anexa.thinking.splits import Split, split_of
from anexa.thinking.stories import draw_story
from anexa.thinking.thoughts import Step, steps_of

MOST_DIGITS = 8  # of the operands of sums and differences
MOST_FACTOR = 4  # digits of a factor


@dataclass(frozen=True)
class Problem:
    """A question and its answer.

    Attributes:
        question: what the user says.
        thought: the lines that lead to the answer, one below the other; empty if there are none.
        answer: what the assistant says in the end.
    """

    question: str
    thought: str
    answer: str


@dataclass(frozen=True)
class Task:
    """A kind of problem, or "story".

    Attributes:
        operation: "+", "-", "*", or "story".
        left: digits of the longer operand.
        right: digits of the other; None: any number up to `left`.
    """

    operation: str
    left: int = 0
    right: int | None = None

    def __str__(self) -> str:
        if self.operation == "*":
            return f"{self.left}x{self.right}"
        return "story" if self.operation == "story" else f"{self.operation} {self.left}"


TASKS = (
    *(Task("+", digits) for digits in range(1, MOST_DIGITS + 1)),
    *(Task("-", digits) for digits in range(1, MOST_DIGITS + 1)),
    *(Task("*", m, n) for m in range(1, MOST_FACTOR + 1) for n in range(1, m + 1)),
    Task("story"),
)


def is_held_out(task: Task) -> bool:
    """Whether any problem of a task is: none of those with single digits."""
    return task.left != 1


def draw(task: Task, rng: random.Random, part: Split = "training") -> Problem:
    """A problem: one to train on, or one that is held out, in which all digits are alike likely."""
    if part != "training" and not is_held_out(task):
        raise ValueError(f"no {task} is held out")
    while True:
        if task.operation == "story":
            story = draw_story(rng, part)
            question, steps = story.question, story.steps
        else:
            a, b = _operands(task, rng, plain=part != "training")
            if split_of(task.operation, a, b) != part:
                continue
            question, steps = f"{a}{task.operation}{b}", _steps(task.operation, a, b)
        if part != "training" or not any(map(_gives_away, steps)):
            return _problem(question, steps)


def problem(operation: str, a: int, b: int) -> Problem:
    """`a` operation `b`."""
    return _problem(f"{a}{operation}{b}", _steps(operation, a, b))


def _steps(operation: str, a: int, b: int) -> list[Step]:
    """In a product the longer factor is thought of as the first."""
    first, second = (b, a) if operation == "*" and len(str(b)) > len(str(a)) else (a, b)
    return steps_of(operation, first, second)


def _problem(question: str, steps: list[Step]) -> Problem:
    return Problem(question, "\n".join(step.text for step in steps), str(steps[-1].value))


def _gives_away(step: Step) -> bool:
    """Whether a step is a problem that is held out; a comparison is part of the next step's."""
    return step.operation != "?" and split_of(step.operation, step.a, step.b) != "training"


def _operands(task: Task, rng: random.Random, plain: bool) -> tuple[int, int]:
    """Two numbers, in any order; unless `plain`, some with the digits that are hard."""
    right = task.right
    if right is None:
        # Both are long in half of the cases: else columns far to the left would be seldom seen.
        right = task.left if rng.random() < 0.5 else rng.randint(1, task.left)
    a, b = (_number(rng, digits, plain) for digits in (task.left, right))
    if not plain and rng.random() < (0.2 if task.operation == "-" else 0.05):
        if task.operation == "-" and rng.random() < 0.5:  # alike up to some digit
            end = 10 ** rng.randint(1, len(str(a)))
            b = a - a % end + rng.randrange(end)
        elif task.right is None and rng.random() < 0.5:  # nines and a one: a long carry
            b = 10 ** len(str(a)) - 1 - a + rng.randint(0, 2)
            b = b if len(str(b)) <= MOST_DIGITS else a
        elif task.right in (None, task.left):
            b = a
    return (a, b) if rng.random() < 0.5 else (b, a)


def _number(rng: random.Random, digits: int, plain: bool) -> int:
    least = 10 ** (digits - 1) if digits > 1 else 0
    if plain or rng.random() < 0.7:
        return rng.randrange(least, 10**digits)
    some = rng.choice(("09", "01", "059", "019", "0", "9"))
    number = 0
    for _ in range(digits):
        digit = int(rng.choice(some)) if rng.random() < 0.8 else rng.randrange(10)
        number = 10 * number + digit
    return number if number >= least else number + least * rng.randint(1, 9)
