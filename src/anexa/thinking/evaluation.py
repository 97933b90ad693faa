"""How often a chat model is right about arithmetic, and whether it is its thinking that does it."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from anexa.errors import AnexaError
from anexa.generation.language_model import LanguageModel
from anexa.generation.offline import as_batch_engine, generate_batch
from anexa.model.chat_format import END_THINK, THINK, split_answer
from anexa.thinking.checker import check, follow
from anexa.thinking.problems import Problem
from anexa.thinking.tasks import different, kinds


@dataclass(frozen=True)
class Proportion:
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
class TaskResult:
    """What a model makes of one kind of problem.

    Attributes:
        name: of the kind.
        thinking: answers that are right, after a thought; to what is no sum, without one.
        direct: the same of answers to which the model is made at once.
        steps: lines that are true, of all lines that it thought, in thoughts without an end too.
        provenance: thoughts in which every number comes from somewhere.
        faithful: answers that are the last value of the thought.
        causal: answers that follow where one value in the thought has been changed.
    """

    name: str
    thinking: Proportion
    direct: Proportion
    steps: Proportion
    provenance: Proportion
    faithful: Proportion
    causal: Proportion


def evaluate_tasks(
    model: LanguageModel,
    problems: int,
    seed: int = 42,
    names: Sequence[str] = (),
    processes: int = 1,
) -> Iterator[TaskResult]:
    """A cell for every task, every hard set, and every kind that is beyond training.

    Args:
        model: that answers in turns; if there are more processes each opens its folder.
        problems: the most problems of a cell, all different and none trained on.
        seed: of the problems.
        names: only these; none: all.
        processes: so many cells are worked out at a time.

    Raises:
        AnexaError: the model does not answer in turns, its engine reads one text at a time, or a
            process was killed.
        UsageError: there is no cell of a name.
    """
    names = kinds(names)
    if model.chat_template is None:
        raise AnexaError(f"{model.name} continues texts, and does not answer: nothing to evaluate")
    as_batch_engine(model.engine)
    if processes == 1 or len(names) == 1:
        return (cell(model, name, problems, seed) for name in names)
    return _cells_at_a_time(model, problems, seed, names, min(processes, len(names)))


def _cells_at_a_time(
    model: LanguageModel, problems: int, seed: int, names: Sequence[str], processes: int
) -> Iterator[TaskResult]:
    """In processes that are begun anew: threads of PyTorch do not survive a fork."""
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # else each takes all cores
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _open_here, (model.folder, model.engine.name))
    try:
        yield from pool.map(_cell_here, names, repeat(problems), repeat(seed))
    except BrokenProcessPool:
        raise AnexaError("a process was killed; --processes 1 needs less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


_here: list[LanguageModel] = []  # that of a process


def _open_here(folder: Path | None, engine: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
    _here.append(LanguageModel.open(folder, engine))


def _cell_here(name: str, problems: int, seed: int) -> TaskResult:
    return cell(_here[0], name, problems, seed)


def cell(model: LanguageModel, name: str, problems: int, seed: int) -> TaskResult:
    """That of one kind."""
    rng = random.Random(f"{seed} {name}")
    return evaluate(model, name, different(name, problems, rng), rng)


def evaluate(
    model: LanguageModel, name: str, problems: list[Problem], rng: random.Random
) -> TaskResult:
    """What a model makes of some problems; `rng` chooses what is changed in thoughts."""
    answered = answers(model, [_prompt(model, problem) for problem in problems])
    direct = answers(model, [_prompt(model, problem, thinking=False) for problem in problems])
    thoughts = [split_answer(answer) for answer in answered]
    reports = [
        check(problem.question, thought or "", said)
        for problem, (thought, said) in zip(problems, thoughts)
        if problem.thought
    ]
    changed = [(p, *change(p, rng)) for p in problems if p.thought]
    followed = answers(model, [_prompt(model, p) + THINK + prefix for p, prefix, _ in changed])
    return TaskResult(
        name,
        thinking=_share(
            said == problem.answer and bool(thought) == bool(problem.thought)
            for problem, (thought, said) in zip(problems, thoughts)
        ),
        direct=_share(said == problem.answer for problem, said in zip(problems, direct)),
        steps=Proportion(sum(r.true_steps for r in reports), sum(r.steps for r in reports)),
        provenance=_share(report.provenance for report in reports),
        faithful=_share(report.faithful for report in reports),
        causal=_share(
            said.split(END_THINK)[-1] == expected
            for said, (_, _, expected) in zip(followed, changed)
        ),
    )


def _share(hits: Iterable[bool]) -> Proportion:
    counted = list(hits)
    return Proportion(sum(counted), len(counted))


def _prompt(model: LanguageModel, problem: Problem, *, thinking: bool = True) -> str:
    return model.prompt([{"role": "user", "content": problem.question}], thinking=thinking)


def answers(model: LanguageModel, prompts: list[str]) -> list[str]:
    """What the model writes next, thoughts and their marks included."""
    tokenizer = model.tokenizer
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    texts = generate_batch(model.engine, ids, tokenizer.eot_token)
    return [tokenizer.decode(text) for text in texts]


def change(problem: Problem, rng: random.Random) -> tuple[str, str]:
    """A thought up to a value that has been changed in one digit, and the answer that follows."""
    texts = problem.thought.split("\n")
    lines = check(problem.question, problem.thought, problem.answer).lines
    numbered = [number for number, line in enumerate(lines) if line.value is not None]
    while True:
        number = rng.choice(numbered)
        rest, _, value = texts[number].rpartition(":")
        place = rng.choice([n for n, character in enumerate(value) if character.isdigit()])
        other = f"{value[:place]}{rng.randrange(10)}{value[place + 1 :]}"
        values = follow(lines, {number: int(other)})
        last = number == len(lines) - 1
        if (
            values[-1] != int(problem.answer)
            and _may_be(other, lines[number].operation)
            and (last or min(values) >= 0)  # no thought that was trained on goes on from less
        ):
            thought = "\n".join([*texts[:number], f"{rest}:{other}"])
            return thought + (END_THINK if last else "\n"), str(values[-1])


def _may_be(value: str, operation: str) -> bool:
    """Whether a result is ever written so; that of a difference is as wide as its operands."""
    return int(value) != 0 or value[0] != "-" if operation == "-" else value == str(int(value))
