"""Arithmetic problems (question, thought and answer), and the tasks that group them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from anexa.thinking.answers import answer_of, solve
from anexa.thinking.chains import draw_chain
from anexa.thinking.operands import draw_operands
from anexa.thinking.phrasings import write_comparison
from anexa.thinking.splits import Split, computes_held_out, split_of
from anexa.thinking.stories import draw_story
from anexa.thinking.thoughts import COMPARISONS, LARGER, SMALLER, ThoughtStep, write_step

# Maximum sizes of problems in training.
MAX_DIGITS = 20  # digits of an operand of a sum, difference or comparison, and of the longer factor
MAX_FACTOR_DIGITS = 9  # digits of the shorter factor
MAX_PRODUCT_FACTS = 81  # digits of one factor times digits of the other
MAX_DIVIDEND_DIGITS, MAX_DIVISOR_DIGITS = 8, 2  # digits of the operands of a division
MAX_LONG_DIVIDEND_DIGITS = 20  # digits of a dividend whose divisor has one digit

INEXACT_FRACTION = 0.03  # of the chains in training, which are refused because of a division
SMALLER_FRACTION = 0.3  # of the drawn comparisons, which ask for the smaller number


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
    """A kind of problem: one operation on operands of given lengths, or several operations.

    `str(task)` is its name, such as `+ 8`, `3x2`, `8/2`, `chain 3`, `story` or `compare 4`.

    Attributes:
        operation: "+", "-", "*", "/", "?" for a comparison, "chain" for a calculation with several
            operations, or "story".
        left_size: number of digits of the longer operand, or of the dividend; number of operations
            of a chain or a story.
        right_size: number of digits of the other operand; None if it is drawn from 1 to
            `left_size`, and for a chain or a story.
    """

    operation: str
    left_size: int
    right_size: int | None = None

    def __str__(self) -> str:
        if self.right_size is not None:
            return f"{self.left_size}{'x' if self.operation == '*' else '/'}{self.right_size}"
        if self.operation == "story" and self.left_size == 2:
            return "story"
        return f"{'compare' if self.operation == '?' else self.operation} {self.left_size}"


# All tasks that training problems are drawn from.
TASKS = (
    *(Task(sign, digits) for sign in "+-?" for digits in range(1, MAX_DIGITS + 1)),
    *(
        Task("*", m, n)
        for m in range(1, MAX_DIGITS + 1)
        for n in range(1, min(m, MAX_FACTOR_DIGITS) + 1)
        if m * n <= MAX_PRODUCT_FACTS
    ),
    *(
        Task("/", m, n)
        for m in range(1, MAX_DIVIDEND_DIGITS + 1)
        for n in range(1, MAX_DIVISOR_DIGITS + 1)
    ),
    *(Task("/", m, 1) for m in range(MAX_DIVIDEND_DIGITS + 1, MAX_LONG_DIVIDEND_DIGITS + 1)),
    *(Task(kind, operations) for kind in ("chain", "story") for operations in (2, 3)),
)


def has_held_out(task: Task) -> bool:
    """Return whether a task has held-out problems: all tasks but those on single digits have."""
    return max(task.left_size, task.right_size or 0) > 1


def draw_problem(
    task: Task, rng: random.Random, split: Split = "training", ones_letter: int = 0
) -> Problem:
    """Draw a problem of a task from a split.

    Held-out problems have uniformly distributed digits; for training, difficult digits are more
    frequent, and no step of a thought computes a held-out problem.

    Args:
        task: the task.
        rng: random generator.
        split: split that the problem belongs to.
        ones_letter: index of the letter of the ones in the thought, 0 for A.

    Raises:
        ValueError: if the split is not "training", and the task has no held-out problems.
    """
    if split != "training" and not has_held_out(task):
        raise ValueError(f"no {task} is held out")
    while True:
        drawn = _draw(task, rng, split, ones_letter)
        if drawn and (split != "training" or not any(map(computes_held_out, drawn[1]))):
            question, steps, answer = drawn
            return Problem(question, write_thought(steps), answer)


def make_problem(operation: str, a: int, b: int) -> Problem:
    """Make the problem of calculating a+b, a-b, a*b or a/b, or of comparing a and b.

    Args:
        operation: "+", "-", "*", "/", `LARGER` or `SMALLER`.
        a: the first operand.
        b: the second operand; not 0 in a division.
    """
    step = write_step(operation, a, b)
    return Problem(_question(operation, a, b), step.text, answer_of(step))


def write_thought(steps: list[ThoughtStep]) -> str:
    """Join the lines of steps to the text of a thought."""
    return "\n".join(step.text for step in steps)


def _question(operation: str, a: int, b: int) -> str:
    return write_comparison(operation, a, b) if operation in COMPARISONS else f"{a}{operation}{b}"


def _draw(
    task: Task, rng: random.Random, split: Split, ones_letter: int
) -> tuple[str, list[ThoughtStep], str] | None:
    """Draw a question, the steps of its thought, and its answer; None if in another split."""
    is_training = split == "training"
    if task.operation == "story":
        story = draw_story(rng, task.left_size, split)
        return (story.question, *solve(story.calculation, ones_letter))
    if task.operation == "chain":
        is_exact = not is_training or rng.random() > INEXACT_FRACTION
        chain = draw_chain(task.left_size, rng, split, exact=is_exact)
        return (str(chain), *solve(chain, ones_letter))
    a, b = draw_operands(
        task.operation, task.left_size, task.right_size, rng, uniform=not is_training
    )
    if split_of(task.operation, a, b) != split:
        return None
    operation = task.operation
    if operation == "?":
        operation = SMALLER if rng.random() < SMALLER_FRACTION else LARGER
    step = write_step(operation, a, b, ones_letter)
    return _question(operation, a, b), [step], answer_of(step)
