"""Evaluation of a thinking model: accuracy with and without thoughts, and checked thoughts."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from anexa.engines.device import available_cpus
from anexa.errors import AnexaError
from anexa.generation.language_model import LanguageModel
from anexa.generation.offline import generate_batch
from anexa.generation.sampling_params import RANGES
from anexa.model.chat_format import END_THINK, THINK, split_answer
from anexa.ranges import Range
from anexa.thinking.checker import check, parse_value
from anexa.thinking.problems import Problem
from anexa.thinking.questions import parse_question
from anexa.thinking.tasks import draw_distinct_problems, resolve_task_names
from anexa.thinking.thoughts import REMAINING_SEPARATOR, split_remaining

MAX_PROBLEMS = 10**6  # limit on the number of problems per task


@dataclass(frozen=True)
class Proportion:
    """Proportion of successes in a number of trials.

    Attributes:
        hits: number of successes.
        count: number of trials.
    """

    hits: int
    count: int

    @property
    def value(self) -> float:
        """The fraction from 0 to 1; NaN if the count is 0."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the fraction, (low, high) (Wilson, 1927).

        If the count is 0, it is (0.0, 1.0).
        """
        n, z = self.count, 1.96
        if not n:
            return 0.0, 1.0
        middle = (self.value + z * z / (2 * n)) / (1 + z * z / n)
        half = (
            z / (1 + z * z / n) * math.sqrt(self.value * (1 - self.value) / n + z * z / (4 * n * n))
        )
        # Rounding could exclude the value itself if it is 0 or 1.
        return min(self.value, max(0.0, middle - half)), max(self.value, min(1.0, middle + half))


@dataclass(frozen=True)
class TaskResult:
    """Results of a model on one task.

    Attributes:
        name: name of the task.
        thinking: correct answers that follow a thought (refusals: without a thought), among all.
        direct: correct answers if an empty thought in the prompt prevents thinking, among all.
        steps: true lines (`ThoughtLine.true`) among the lines of all thoughts, unfinished thoughts
            included.
        sourced: thoughts in which every operand is a number of the question or the value of an
            earlier line, among all problems that need a thought.
        faithful: answers that follow from the last value of the thought, among the same problems.
        causal: an intervention, to test whether the answer depends on the thought: one value of a
            correct thought is changed (`change_one_value`), and the model continues. Answers that
            follow from the changed value, among all that were changed.
    """

    name: str
    thinking: Proportion
    direct: Proportion
    steps: Proportion
    sourced: Proportion
    faithful: Proportion
    causal: Proportion


def evaluate_tasks(
    model: LanguageModel,
    num_problems: int,
    seed: int = 42,
    names: Sequence[str] = (),
    num_processes: int | None = 1,
) -> Iterator[TaskResult]:
    """Evaluate a chat model on tasks and hard test sets, with greedy decoding.

    The arguments are checked at once; the evaluation begins when the first result is asked for.
    Several processes inherit OMP_NUM_THREADS and OPENBLAS_NUM_THREADS: these environment variables
    are set to 1 in this process too, unless they are set already.

    Args:
        model: a chat model; with several processes, each opens the model's folder.
        num_problems: maximum number of problems per task, from 1 to `MAX_PROBLEMS`; all are
            different, and held out.
        seed: random seed of the problems.
        names: names of the tasks; empty for all but `tasks.MENTAL_TASK`.
        num_processes: number of tasks that are evaluated in parallel, at least 1; None: one for
            each core.

    Returns:
        An iterator over the result of each task, in order.

    Raises:
        AnexaError: if the model has no chat template; in the iteration, if a process was killed.
        UsageError: if a task name is unknown, or a number is out of range.
    """
    num_processes = available_cpus() if num_processes is None else num_processes
    Range(int, ge=1, le=MAX_PROBLEMS).check("--problems", num_problems)
    Range(int, ge=1).check("--processes", num_processes)
    RANGES["seed"].check("--seed", seed)
    names = resolve_task_names(names)
    if model.chat_template is None:
        raise AnexaError(f"{model.name} has no chat template: evaluation needs a chat model")
    if num_processes == 1 or len(names) == 1:
        return (evaluate_task(model, name, num_problems, seed) for name in names)
    return _evaluate_in_parallel(model, num_problems, seed, names, min(num_processes, len(names)))


def _evaluate_in_parallel(
    model: LanguageModel, num_problems: int, seed: int, names: Sequence[str], num_processes: int
) -> Iterator[TaskResult]:
    """Evaluate in spawned processes: PyTorch's threads do not survive a fork."""
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(
            f"{library}_NUM_THREADS", "1"
        )  # otherwise every process uses all cores
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        num_processes, context, _open_in_worker, (model.folder, model.engine.name)
    )
    try:
        yield from pool.map(_evaluate_in_worker, names, repeat(num_problems), repeat(seed))
    except BrokenProcessPool:
        raise AnexaError("a worker process was killed: --processes 1 needs less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


_worker_model: list[LanguageModel] = []  # the model of this worker process


def _open_in_worker(folder: Path | None, engine: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it silently
    _worker_model.append(LanguageModel.open(folder, engine))


def _evaluate_in_worker(name: str, num_problems: int, seed: int) -> TaskResult:
    return evaluate_task(_worker_model[0], name, num_problems, seed)


def evaluate_task(model: LanguageModel, name: str, num_problems: int, seed: int) -> TaskResult:
    """Evaluate a model on one task.

    Args:
        model: a chat model.
        name: name of the task, as from `resolve_task_names`.
        num_problems: maximum number of problems, all different.
        seed: random seed of the problems.

    Returns:
        The results, as proportions.
    """
    rng = random.Random(f"{seed} {name}")
    return evaluate_problems(model, name, draw_distinct_problems(name, num_problems, rng), rng)


def evaluate_problems(
    model: LanguageModel, name: str, problems: list[Problem], rng: random.Random
) -> TaskResult:
    """Evaluate a model on given problems.

    Args:
        model: a chat model.
        name: name of the task, for the result.
        problems: the problems; those without a thought count in `thinking` and `direct` only.
        rng: random generator for the values that are changed (`TaskResult.causal`).
    """
    answered = complete(model, [_prompt(model, problem) for problem in problems])
    direct = complete(model, [_prompt(model, problem, thinking=False) for problem in problems])
    thoughts = [split_answer(answer) for answer in answered]
    reports = [
        check(problem.question, thought or "", said)
        for problem, (thought, said) in zip(problems, thoughts)
        if problem.thought
    ]
    changes = [(p, change_one_value(p, rng)) for p in problems if p.thought]
    changed = [(problem, *change) for problem, change in changes if change]
    followed = complete(model, [_prompt(model, p) + THINK + prefix for p, prefix, _ in changed])
    return TaskResult(
        name,
        thinking=_proportion(
            said == problem.answer and bool(thought) == bool(problem.thought)
            for problem, (thought, said) in zip(problems, thoughts)
        ),
        direct=_proportion(said == problem.answer for problem, said in zip(problems, direct)),
        steps=Proportion(sum(r.num_true_steps for r in reports), sum(r.num_steps for r in reports)),
        sourced=_proportion(report.sourced for report in reports),
        faithful=_proportion(report.faithful for report in reports),
        causal=_proportion(
            said.split(END_THINK)[-1] == expected
            for said, (_, _, expected) in zip(followed, changed)
        ),
    )


def _proportion(hits: Iterable[bool]) -> Proportion:
    counted = list(hits)
    return Proportion(sum(counted), len(counted))


def _prompt(model: LanguageModel, problem: Problem, *, thinking: bool = True) -> str:
    return model.render_prompt([{"role": "user", "content": problem.question}], thinking=thinking)


def complete(model: LanguageModel, prompts: list[str]) -> list[str]:
    """Generate the greedy continuation of each prompt, up to the end of the answer or the context.

    Returns:
        The texts, in the order of the prompts. They contain special tokens, such as `</think>`, but
        not the token that ends an answer; "" for a prompt that is longer than the context.
    """
    tokenizer = model.tokenizer
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    texts = generate_batch(model.engine, ids, tokenizer.eot_token_id)
    return [tokenizer.decode(text) for text in texts]


def change_one_value(problem: Problem, rng: random.Random) -> tuple[str, str] | None:
    """Replace one digit of one value in the thought of a problem.

    The changed value has the format of the training data, and leads to another answer.

    Args:
        problem: a problem with a thought.
        rng: source of the choices of line, digit and replacement.

    Returns:
        The thought up to and including the changed value, followed by `</think>`, or by ":=" if it
        is not the last value; and the answer that results if the rest of the thought is computed
        from it. None if no change leads to another answer, the question must be refused, or it asks
        for another number of steps than the thought has.
    """
    asked = parse_question(problem.question)
    texts = problem.thought.split("\n")
    if asked.is_refused or len(texts) != len(asked.steps):
        return None
    true_values = asked.compute().values
    numbers = [*range(len(texts))]
    rng.shuffle(numbers)
    for number in numbers:
        before, _, value = split_remaining(texts[number])[0].rpartition(":")
        changes = list(_changes(value))
        rng.shuffle(changes)
        for changed in changes:
            values, answer, is_refused = asked.compute({number: parse_value(changed)})
            if is_refused:  # the steps after the division have no values
                continue
            is_negative = any(values[step] < 0 <= true for step, true in true_values.items())
            if is_negative and number < len(texts) - 1:
                continue  # training has no negative values in stories
            if answer != problem.answer:
                thought = "\n".join([*texts[:number], f"{before}:{changed}"])
                is_last = number == len(texts) - 1
                return thought + (END_THINK if is_last else REMAINING_SEPARATOR), answer
    return None


def _changes(value: str) -> Iterator[str]:
    """Yield well-formed values with one digit of `value` replaced."""
    for index, character in enumerate(value):
        for other in "0123456789" if character.isdigit() else "":
            changed = f"{value[:index]}{other}{value[index + 1 :]}"
            if other != character and _is_well_formed(changed):
                yield changed


def _is_well_formed(value: str) -> bool:
    """Return whether a value has no leading zero, no negative zero and no remainder 0."""
    return not re.search(r"^-?[A-Z]0.|^-[A-Z]0$|R 0", value)
