from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.chat_format import END_THINK, THINK
from anexa.thinking.evaluation import Proportion, TaskResult, change_one_value, evaluate_problems
from anexa.thinking.problems import Problem, Task, draw
from anexa.thinking.refusals import UNSUPPORTED
from tests.generation.oracle import Answerer, oracle, thinks


def at_once(said: str) -> str:
    """Model that answers at once, after the thought in the prompt if there is one."""
    thought, closed, _ = said.partition(END_THINK)
    return thought + closed if closed else ""


def judged(answerer: Answerer, task: Task, count: int = 20) -> TaskResult:
    rng = random.Random(3)
    problems = [draw(task, rng, "test") for _ in range(count)]
    return evaluate_problems(oracle(answerer), str(task), problems, rng)


@pytest.mark.parametrize(
    ("task", "lines"), [(Task("+", 4), 1), (Task("-", 6), 2), (Task("*", 3, 1), 1)]
)
def test_a_model_with_true_thoughts_has_full_scores(task: Task, lines: int) -> None:
    cell = judged(thinks, task)
    whole = Proportion(20, 20)
    assert (cell.thinking, cell.provenance, cell.faithful, cell.causal) == (whole,) * 4
    assert cell.steps == Proportion(20 * lines, 20 * lines)
    assert cell.direct.hits <= 1, "which is 7, always"


def test_a_changed_part_of_a_product_changes_the_expected_answer() -> None:
    cell = judged(thinks, Task("*", 4, 3))
    assert (cell.thinking, cell.causal) == (Proportion(20, 20), Proportion(20, 20))


def test_a_changed_value_of_a_story_changes_the_expected_answer() -> None:
    text = "Ada has 12 pens, buys 9 more and gives away 20. How many pens does Ada have now?"
    thought = "12+09:2+9+0=11,1+0+1=02:21\n21?20:2=2,1>0:>\n21-20:01-0-0=1,02-2-0=0:01"
    changes = {
        change_one_value(Problem(text, thought, "1"), random.Random(seed)) for seed in range(200)
    }
    firsts = (20, *range(22, 30), *range(31, 92, 10))
    lasts = (0, *range(2, 10), *range(11, 92, 10))
    assert changes == {
        *((f"12+09:2+9+0=11,1+0+1=02:{n}\n", str(n - 20)) for n in firsts),
        *((f"{thought[:-2]}{n:02}{END_THINK}", str(n)) for n in lasts),
    }


def test_changed_values_are_always_well_formed() -> None:
    thought = "3?5:3<5:<\n-(5-3):05-3-0=2:-2"
    changes = {
        change_one_value(Problem("3-5", thought, "-2"), random.Random(seed)) for seed in range(200)
    }
    assert {answer for _, answer in changes} == {f"-{n}" for n in (1, *range(3, 10))}


def test_wrong_steps_wrong_answers_and_unused_thoughts_are_distinguished() -> None:
    def one_more(problem: Problem, said: str) -> str:
        return thinks(problem, said) + ("1" if not said.startswith(THINK + END_THINK) else "")

    def knows(problem: Problem, said: str) -> str:
        """Answer correctly, whatever the thought."""
        thought, closed, _ = said.partition(END_THINK)
        return (thought if closed else f"{THINK}1+1:1+1+0=03:3") + END_THINK + problem.answer

    wrong = judged(one_more, Task("+", 3))
    assert (wrong.thinking.hits, wrong.faithful.hits, wrong.causal.hits) == (0, 0, 0)
    assert wrong.steps.value == wrong.provenance.value == 1
    lucky = judged(knows, Task("+", 3))
    assert (lucky.thinking.value, lucky.direct.value) == (1, 1)
    assert (lucky.steps.hits, lucky.provenance.hits, lucky.faithful.hits) == (0, 0, 0)
    assert lucky.causal.hits == 0


def test_an_answer_without_a_thought_does_not_count_as_thinking() -> None:
    def recites(problem: Problem, said: str) -> str:
        return at_once(said) + problem.answer

    cell = judged(recites, Task("+", 3))
    assert (cell.thinking.hits, cell.direct.hits) == (0, 20)


def test_refusals_are_correct_without_a_thought() -> None:
    def knows(_problem: Problem, said: str) -> str:
        return at_once(said) + UNSUPPORTED

    problems = [Problem(f"{n}*2", "", UNSUPPORTED) for n in range(5)]
    cell = evaluate_problems(oracle(knows), "no sum", problems, random.Random(1))
    assert (cell.thinking, cell.direct, cell.steps, cell.causal) == (
        Proportion(5, 5), Proportion(5, 5), Proportion(0, 0), Proportion(0, 0)
    )  # fmt: skip


def test_endless_thoughts_are_cut_off_and_count_as_wrong() -> None:
    def ponders(_problem: Problem, said: str) -> str:
        return said + "0" if said else THINK

    cell = judged(ponders, Task("+", 2), count=2)
    assert (cell.thinking.hits, cell.direct.hits, cell.steps) == (0, 0, Proportion(0, 2))


@given(st.integers(0, 300), st.integers(1, 300))
def test_intervals_contain_the_proportion_and_narrow(hits: int, count: int) -> None:
    share = Proportion(min(hits, count), count)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    wide = Proportion(share.hits * 4, count * 4).interval
    assert wide[1] - wide[0] < high - low


def test_intervals_equal_published_values() -> None:
    assert Proportion(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Proportion(0, 20).interval == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert math.isnan(Proportion(0, 0).value)


def test_model_without_chat_template_is_refused() -> None:
    from anexa.thinking.evaluation import evaluate_tasks

    model = oracle(thinks)
    model.chat_template = None
    with pytest.raises(AnexaError, match="has no chat template"):
        next(evaluate_tasks(model, 3))
