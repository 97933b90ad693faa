from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.chat_format import END_THINK, THINK
from anexa.thinking.answers import solve
from anexa.thinking.checker import check
from anexa.thinking.evaluation import Proportion, TaskResult, change_one_value, evaluate_problems
from anexa.thinking.expressions import Calculation
from anexa.thinking.problems import Problem, Task, draw_problem, make_problem
from anexa.thinking.refusals import UNSUPPORTED_REFUSAL
from anexa.thinking.thoughts import LARGER, REMAINING_SEPARATOR
from tests.generation.oracle import Answerer, oracle, thinks


def at_once(said: str) -> str:
    """Model that answers at once, after the thought in the prompt if there is one."""
    thought, closed, _ = said.partition(END_THINK)
    return thought + closed if closed else ""


def judged(answerer: Answerer, task: Task, count: int = 10, block_size: int = 2560) -> TaskResult:
    rng = random.Random(3)
    problems = [draw_problem(task, rng, "test") for _ in range(count)]
    return evaluate_problems(oracle(answerer, block_size), str(task), problems, rng)


@pytest.mark.parametrize(
    ("task", "lines"),
    [
        (Task("+", 4), 1),
        (Task("-", 6), 1),
        (Task("*", 3, 2), 1),
        (Task("/", 4, 1), 1),
        (Task("?", 4), 1),
        (Task("chain", 2), 2),
        (Task("story", 3), 3),
    ],
    ids=str,
)
def test_a_model_with_true_thoughts_has_full_scores(task: Task, lines: int) -> None:
    cell = judged(thinks, task)
    whole = Proportion(10, 10)
    assert (cell.thinking, cell.sourced, cell.faithful) == (whole,) * 3
    # The answer to equal numbers, which are compared once, does not depend on the value.
    assert cell.causal == (Proportion(9, 9) if task.operation == "?" else whole)
    assert cell.steps == Proportion(10 * lines, 10 * lines)
    assert cell.direct.hits <= 1, "which is 7, always"


def changes_of(problem: Problem) -> set[tuple[str, str]]:
    """All changes that are made."""
    changes = {change_one_value(problem, random.Random(seed)) for seed in range(300)}
    return {change for change in changes if change}


def test_a_changed_value_of_a_story_changes_the_expected_answer() -> None:
    text = "Ada has 12 pens, buys 9 more and gives away 20. How many pens does Ada have now?"
    first = "A2B1+a9b0:A:2+9+0=11,B:1+0+1=02:"
    thought = f"{first}B2A1:=B2A1-B2A0\nA1B2-a0b2:B:2=2,A:1>0,A:01-0-0=1,B:02-2-0=0:A1"
    assert check(text, thought, "1").all_true
    firsts = (20, *range(22, 30), *range(31, 92, 10))
    assert changes_of(Problem(text, thought, "1")) == {
        *((f"{first}B{n // 10}A{n % 10}:=", str(n - 20)) for n in firsts),
        *((f"{thought[:-1]}{n}{END_THINK}", str(n)) for n in (0, *range(2, 10))),
    }


def test_changed_values_are_always_well_formed() -> None:
    thought = "A3-a5:A:3<5,A:05-3-0=2:-A2"
    changes = changes_of(Problem("3-5", thought, "-2"))
    assert {answer for _, answer in changes} == {f"-{n}" for n in (1, *range(3, 10))}
    changes = changes_of(make_problem("/", 992, 37))
    expected = {f"{n} R 30" for n in (16, *range(20, 30), *range(36, 97, 10)) if n != 26}
    expected |= {f"26 R {n}" for n in (*range(31, 40), *range(10, 91, 10)) if n != 30}
    assert {answer for _, answer in changes} == expected


def test_the_value_of_a_comparison_is_changed_unless_the_numbers_are_equal() -> None:
    larger = make_problem(LARGER, 2, 3)
    assert changes_of(larger) == {
        (f"{larger.thought[:-1]}{digit}{END_THINK}", digit) for digit in "012456789"
    }
    assert change_one_value(make_problem(LARGER, 3, 3), random.Random(1)) is None


def test_a_value_in_the_middle_is_changed_to_one_of_as_many_digits() -> None:
    chain = Calculation("/", Calculation("-", 31, 21), 5)
    steps, answer = solve(chain)
    thought = "\n".join(step.text for step in steps)
    changes = changes_of(Problem(str(chain), thought, answer))
    starts = {
        text[:-2].rpartition(":")[2] for text, _ in changes if text.endswith(REMAINING_SEPARATOR)
    }
    assert starts == {f"B{n // 10}A{n % 10}" for n in (11, *range(12, 20), *range(20, 91, 10))}


def test_a_refusal_after_a_thought_has_no_value_to_change() -> None:
    steps, answer = solve(Calculation("+", Calculation("/", 7, 2), 3))
    refused = Problem("7/2+3", steps[0].text, answer)
    assert change_one_value(refused, random.Random(1)) is None


def test_wrong_steps_wrong_answers_and_unused_thoughts_are_distinguished() -> None:
    def one_more(problem: Problem, said: str) -> str:
        return thinks(problem, said) + ("1" if not said.startswith(THINK + END_THINK) else "")

    def knows(problem: Problem, said: str) -> str:
        """Answer correctly, whatever the thought."""
        thought, closed, _ = said.partition(END_THINK)
        return (thought if closed else f"{THINK}A1+a1:A:1+1+0=03:A3") + END_THINK + problem.answer

    wrong = judged(one_more, Task("+", 3))
    assert (wrong.thinking.hits, wrong.faithful.hits, wrong.causal.hits) == (0, 0, 0)
    assert wrong.steps.value == wrong.sourced.value == 1
    lucky = judged(knows, Task("+", 3))
    assert (lucky.thinking.value, lucky.direct.value) == (1, 1)
    assert (lucky.steps.hits, lucky.sourced.hits, lucky.faithful.hits) == (0, 0, 0)
    assert lucky.causal.hits == 0


def test_an_answer_without_a_thought_does_not_count_as_thinking() -> None:
    def recites(problem: Problem, said: str) -> str:
        return at_once(said) + problem.answer

    cell = judged(recites, Task("+", 3))
    assert (cell.thinking.hits, cell.direct.hits) == (0, 10)


def test_refusals_are_correct_without_a_thought() -> None:
    def knows(_problem: Problem, said: str) -> str:
        return at_once(said) + UNSUPPORTED_REFUSAL

    problems = [Problem(f"{n}*2", "", UNSUPPORTED_REFUSAL) for n in range(5)]
    cell = evaluate_problems(oracle(knows), "no sum", problems, random.Random(1))
    assert (cell.thinking, cell.direct, cell.steps, cell.causal) == (
        Proportion(5, 5), Proportion(5, 5), Proportion(0, 0), Proportion(0, 0)
    )  # fmt: skip


def test_endless_thoughts_are_cut_off_and_count_as_wrong() -> None:
    def ponders(_problem: Problem, said: str) -> str:
        return said + "0" if said else THINK

    cell = judged(ponders, Task("+", 2), count=2, block_size=200)
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


def test_a_change_that_makes_a_later_division_inexact_is_not_made() -> None:
    chain = Calculation("*", Calculation("/", Calculation("-", 31, 21), 5), 3)
    steps, answer = solve(chain)
    thought = "\n".join(step.text for step in steps)
    changes = changes_of(Problem(str(chain), thought, answer))
    firsts = {text[:-2].rpartition(":")[2] for text, _ in changes if "\n" not in text}
    assert firsts == {f"B{n // 10}A{n % 10}" for n in (15, *range(20, 91, 10))}
