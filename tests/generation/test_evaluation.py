from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data.arithmetic.problems import Problem, Task, draw
from anexa.errors import AnexaError
from anexa.generation.evaluation import Cell, Share, evaluate
from anexa.model.chat import END_THINK, THINK
from tests.generation.oracle import Answerer, oracle, thinks


def judged(answerer: Answerer, task: Task, count: int = 20) -> Cell:
    rng = random.Random(3)
    problems = [draw(task, rng, test=True) for _ in range(count)]
    return evaluate(oracle(answerer), str(task), problems, rng)


@pytest.mark.parametrize(("task", "lines"), [(Task("+", 4), 1), (Task("-", 6), 2)])
def test_whoever_thinks_the_truth_is_always_right(task: Task, lines: int) -> None:
    cell = judged(thinks, task)
    whole = Share(20, 20)
    assert (cell.thinking, cell.provenance, cell.faithful, cell.causal) == (whole,) * 4
    assert cell.steps == Share(20 * lines, 20 * lines)
    assert cell.direct.hits <= 1, "which is 7, always"


def test_a_wrong_step_a_wrong_answer_and_a_thought_without_use_are_told_apart() -> None:
    def one_more(problem: Problem, said: str) -> str:
        return thinks(problem, said) + ("1" if not said.startswith(THINK + END_THINK) else "")

    def knows(problem: Problem, said: str) -> str:
        """Says what is true, whatever it thinks."""
        thought, closed, _ = said.partition(END_THINK)
        return (thought if closed else f"{THINK}1+1:1+1+0=03:3") + END_THINK + problem.answer

    wrong = judged(one_more, Task("+", 3))
    assert (wrong.thinking.hits, wrong.faithful.hits, wrong.causal.hits) == (0, 0, 0)
    assert wrong.steps.value == wrong.provenance.value == 1
    lucky = judged(knows, Task("+", 3))
    assert (lucky.thinking.value, lucky.direct.value) == (1, 1)
    assert (lucky.steps.hits, lucky.provenance.hits, lucky.faithful.hits) == (0, 0, 0)
    assert lucky.causal.hits == 0


def test_thoughts_that_never_end_are_wrong_and_have_an_end() -> None:
    def ponders(_problem: Problem, said: str) -> str:
        return said + "0" if said else THINK

    cell = judged(ponders, Task("+", 2), count=2)
    assert (cell.thinking.hits, cell.direct.hits, cell.steps.count) == (0, 0, 0)


@given(st.integers(0, 300), st.integers(1, 300))
def test_intervals_hold_the_share_and_narrow(hits: int, count: int) -> None:
    share = Share(min(hits, count), count)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    wide = Share(share.hits * 4, count * 4).interval
    assert wide[1] - wide[0] < high - low


def test_intervals_are_those_of_the_book() -> None:
    assert Share(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert math.isnan(Share(0, 0).value)


def test_a_model_that_does_not_answer_is_not_evaluated() -> None:
    from anexa.generation.evaluation import cells

    model = oracle(thinks)
    model.chat_template = None
    with pytest.raises(AnexaError, match="does not answer"):
        next(cells(model, 3))
