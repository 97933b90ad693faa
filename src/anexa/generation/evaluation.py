"""How often a chat model is right about arithmetic, and whether it is its thinking that does it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anexa.data.arithmetic.checker import check
from anexa.data.arithmetic.hard import BEYOND, HARD
from anexa.data.arithmetic.problems import TASKS, Problem, Task, draw, is_tested
from anexa.errors import AnexaError, UsageError
from anexa.generation.language_model import LanguageModel
from anexa.generation.rows import continuations
from anexa.model.chat import END_THINK, THINK, ask, split_answer

DRAWS = 20  # for one more problem; then there are no others


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        """From 0 to 1; of nothing it is no number."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies with 95 % certainty (Wilson, 1927)."""
        n, z = self.count, 1.96
        if not n:
            return 0.0, 1.0
        middle = (self.value + z * z / (2 * n)) / (1 + z * z / n)
        half = (
            z / (1 + z * z / n) * math.sqrt(self.value * (1 - self.value) / n + z * z / (4 * n * n))
        )
        # Rounding could leave a share of all or nothing just outside.
        return min(self.value, max(0.0, middle - half)), max(self.value, min(1.0, middle + half))


@dataclass(frozen=True)
class Cell:
    """What a model makes of one kind of problem.

    Attributes:
        name: of the kind.
        thinking: answers that are right.
        direct: the same of answers without a thought.
        steps: lines that are true, of all lines that it thought.
        provenance: thoughts in which every number comes from somewhere.
        faithful: answers that are the last value of the thought.
        causal: answers that follow where one value in the thought has been changed.
    """

    name: str
    thinking: Share
    direct: Share
    steps: Share
    provenance: Share
    faithful: Share
    causal: Share


def cells(
    model: LanguageModel, problems: int, seed: int = 42, names: Sequence[str] = ()
) -> Iterator[Cell]:
    """A cell for every task, every hard set, and every kind that is beyond training.

    Args:
        model: that answers in turns.
        problems: the most problems of a cell, all different and none trained on.
        seed: of the problems.
        names: only these; none: all.

    Raises:
        AnexaError: the model does not answer in turns, or its engine reads one text at a time.
        UsageError: there is no cell of a name.
    """
    if model.chat_template is None:
        raise AnexaError(f"{model.name} continues texts, and does not answer: nothing to evaluate")
    for name, some, rng in kinds(problems, seed, names):
        yield evaluate(model, name, some, rng)


def kinds(
    problems: int, seed: int, names: Sequence[str] = ()
) -> Iterator[tuple[str, list[Problem], random.Random]]:
    """The name of each kind, its held-out problems, and a generator for what else is drawn."""
    drawers = {str(task): _drawer(task) for task in TASKS if is_tested(task)} | HARD | BEYOND
    for name in names:
        if name not in drawers:
            raise UsageError(f"there is no task {name!r}: choose from {', '.join(drawers)}")
    for name in names or drawers:
        drawn = drawers[name]
        rng = random.Random(f"{seed} {name}")
        yield name, _different(drawn, problems, rng), rng


def evaluate(model: LanguageModel, name: str, problems: list[Problem], rng: random.Random) -> Cell:
    """What a model makes of some problems; `rng` chooses what is changed in thoughts."""
    thought = answers(model, [_prompt(model, problem) for problem in problems])
    direct = answers(model, [_prompt(model, problem, thinking=False) for problem in problems])
    reports = [
        check(problem.question, *split_answer(answer)) for problem, answer in zip(problems, thought)
    ]
    changed = [_change(problem, rng) for problem in problems]
    followed = answers(
        model, [_prompt(model, p) + THINK + prefix for p, (prefix, _) in zip(problems, changed)]
    )
    n = len(problems)
    return Cell(
        name,
        thinking=Share(sum(split_answer(a)[1] == p.answer for a, p in zip(thought, problems)), n),
        direct=Share(sum(a == p.answer for a, p in zip(direct, problems)), n),
        steps=Share(sum(r.true_steps for r in reports), sum(r.steps for r in reports)),
        provenance=Share(sum(r.provenance for r in reports), n),
        faithful=Share(sum(r.faithful for r in reports), n),
        causal=Share(
            sum(a.split(END_THINK)[-1] == expected for a, (_, expected) in zip(followed, changed)),
            n,
        ),
    )


def _drawer(task: Task) -> Callable[[random.Random], Problem]:
    return lambda rng: draw(task, rng, test=True)


def _different(
    drawn: Callable[[random.Random], Problem], count: int, rng: random.Random
) -> list[Problem]:
    """So many problems, or as many as there are."""
    found: dict[str, Problem] = {}
    misses = 0
    while len(found) < count and misses < DRAWS * (len(found) + 1):
        problem = drawn(rng)
        misses += problem.question in found
        found[problem.question] = problem
    return list(found.values())


def _prompt(model: LanguageModel, problem: Problem, *, thinking: bool = True) -> str:
    assert model.chat_template is not None
    return ask(model.chat_template, problem.question, thinking=thinking)


def answers(model: LanguageModel, prompts: list[str]) -> list[str]:
    """What the model writes next, thoughts and their marks included."""
    tokenizer = model.tokenizer
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    texts = continuations(model.engine, ids, tokenizer.boundary)
    return [tokenizer.decode(text) for text in texts]


def _change(problem: Problem, rng: random.Random) -> tuple[str, str]:
    """A thought up to a value that has been changed in one digit, and the answer that follows.

    Parts of a product are only ever added up, so a change in any of them is one in the answer. Of
    other thoughts it is the last value that is changed.
    """
    lines = problem.thought.split("\n")
    product = "*" in problem.question
    number = rng.randrange(len(lines)) if product else len(lines) - 1
    rest, _, value = lines[number].rpartition(":")
    digits = [place for place, character in enumerate(value) if character.isdigit()]
    place = rng.choice(digits)
    # A number does not begin with 0, and a negative one is none at all.
    least = 1 if place == digits[0] else 0
    digit = rng.choice([d for d in range(least, 10) if str(d) != value[place]])
    other = f"{value[:place]}{digit}{value[place + 1 :]}"
    thought = "\n".join([*lines[:number], f"{rest}:{other}"])
    end = END_THINK if number == len(lines) - 1 else "\n"
    return thought + end, str(int(problem.answer) + int(other) - int(value))
