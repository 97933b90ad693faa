"""True thoughts of all kinds are true for the checker, and damaged ones never are."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from anexa.model.place_marks import PLACE_LETTERS
from anexa.thinking.answers import BY_ZERO_REFUSAL, EQUAL_ANSWER, INEXACT_REFUSAL, answer_of, solve
from anexa.thinking.checker import ThoughtReport, check
from anexa.thinking.expressions import Calculation
from anexa.thinking.phrasings import write_comparison
from anexa.thinking.problems import TASKS, Problem, Task, draw_problem
from anexa.thinking.thoughts import (
    COMPARISONS,
    LARGER,
    REMAINING_SEPARATOR,
    compute,
    write_step,
)
from tests.examples import is_thorough
from tests.thinking.test_checker import EXAMPLES

seeds = st.integers(0, 2**32)
tasks = st.sampled_from(TASKS)
problems = st.builds(lambda task, seed: draw_problem(task, random.Random(seed)), tasks, seeds)
chains = st.builds(
    lambda operations, seed: draw_problem(Task("chain", operations), random.Random(seed)),
    st.sampled_from((2, 3)),
    seeds,
)
worked_out = (problems | chains).filter(lambda one: bool(one.thought))  # 5/0 needs no thought
operations = st.sampled_from(("+", "-", "*", "/", *COMPARISONS))
numbers = st.integers(1, 40).flatmap(lambda digits: st.integers(0, 10**digits - 1))
ones_letters = st.integers(0, len(PLACE_LETTERS) - 1)
CHARACTERS = "0123456789ABCEZabcez+-*/?<=>:;,() R\n"


def agrees(report: ThoughtReport) -> bool:
    """Return whether the report is all true, which `first_error` must confirm."""
    assert report.all_true == (report.first_error is None)
    return report.all_true


def ask(operation: str, a: int, b: int) -> str:
    return write_comparison(operation, a, b) if operation in COMPARISONS else f"{a}{operation}{b}"


@given(operations, numbers, numbers, ones_letters)
def test_lines_with_any_operands_are_true(operation: str, a: int, b: int, ones_letter: int) -> None:
    assume(operation != "/" or b)
    step = write_step(operation, a, b, ones_letter)
    report = check(ask(operation, a, b), step.text, answer_of(step))
    assert agrees(report)
    assert report.solves_question
    assert [line.operation for line in report.lines] == [operation]
    assert (report.lines[0].value, report.lines[0].remainder) == compute(operation, a, b)


small_chains = st.recursive(
    st.integers(0, 9),
    lambda node: st.builds(Calculation, st.sampled_from("+-*/"), node, node),
    max_leaves=4,
).filter(lambda node: isinstance(node, Calculation))


@given(small_chains)
@example(Calculation("+", Calculation("-", 0, 2), Calculation("-", 7, 5)))
@example(Calculation("+", 2, Calculation("/", Calculation("-", 1, 4), 3)))
@example(Calculation("*", Calculation("/", 3, 3), Calculation("+", Calculation("-", 4, 5), 7)))
def test_true_thoughts_about_questions_of_unknown_phrasing_are_true(chain: Calculation) -> None:
    """With small numbers, a value is often a number of the question too, or its opposite."""
    steps, answer = solve(chain)
    assume(answer not in (BY_ZERO_REFUSAL, INEXACT_REFUSAL))
    question = f"There are {' and '.join(map(str, chain.numbers))} pens, and well?"
    report = check(question, "\n".join(step.text for step in steps), answer)
    assert report.expected is None
    assert agrees(report)


@given(small_chains, st.data())
def test_any_changed_character_of_what_remains_is_detected(
    chain: Calculation, data: st.DataObject
) -> None:
    """Also for a question of unknown phrasing, by the lines after it."""
    steps, answer = solve(chain)
    assume(len(steps) > 1 and answer not in (BY_ZERO_REFUSAL, INEXACT_REFUSAL))
    thought = "\n".join(step.text for step in steps)
    written, first, rest = thought.partition(REMAINING_SEPARATOR)
    remaining, newline, after = rest.partition("\n")
    place = data.draw(st.integers(0, len(remaining) - 1))
    new = data.draw(st.sampled_from(["", *CHARACTERS]))
    changed = remaining[:place] + new + remaining[place + 1 :]
    assume(changed != remaining)
    question = f"There are {' and '.join(map(str, chain.numbers))} pens, and well?"
    assert agrees(check(question, thought, answer))
    changed_thought = f"{written}{first}{changed}{newline}{after}"
    assert not agrees(check(question, changed_thought, answer))


repetitive_chains = st.recursive(
    st.integers(1, 3),
    lambda node: st.builds(Calculation, st.sampled_from("+-*/"), node, node),
    max_leaves=4,
).filter(lambda node: isinstance(node, Calculation))
ONES = Calculation("*", Calculation("+", 1, 1), Calculation("+", 1, 1))
OPPOSITE = Calculation("*", Calculation("-", 1, 3), Calculation("-", 3, 1))
INEXACT_LATE = Calculation("+", Calculation("*", 1, 2), Calculation("/", 3, 2))
INEXACT_TWICE = Calculation("-", Calculation("/", 3, 2), Calculation("/", 3, 2))
DIVIDED_BY_ZERO = Calculation("/", 3, Calculation("-", 2, 2))
BY_ZERO_LATE = Calculation("+", Calculation("*", 1, 2), DIVIDED_BY_ZERO)
BY_ZERO_EARLY = Calculation("+", DIVIDED_BY_ZERO, Calculation("*", 1, 2))
BY_ZERO_BEFORE_INEXACT = Calculation("+", DIVIDED_BY_ZERO, Calculation("/", 3, 2))


def operations_of(
    node: Calculation | int,
    rest: Callable[[Calculation | int], Calculation | int] = lambda new: new,
) -> Iterator[tuple[str, int, int, Callable[[int], Calculation | int]]]:
    """Yield the operations on two numbers, and for each a function from value to what remains.

    `rest` returns what the whole calculation is if something else stands for the node.
    """
    if isinstance(node, int):
        return
    operation, left, right = node.operation, node.left, node.right
    if isinstance(left, int) and isinstance(right, int):
        yield operation, left, right, rest
    yield from operations_of(left, lambda new: rest(Calculation(operation, new, right)))
    yield from operations_of(right, lambda new: rest(Calculation(operation, left, new)))


def all_thoughts(node: Calculation, answer: str) -> set[tuple[str, ...]]:
    """List the thoughts that lead from a calculation to its answer, in any order of brackets.

    The operands of sums and products are in any order too. A thought may end at any division that
    is refused because of its remainder; before a division by zero, all that comes before it has to
    be worked out.
    """
    operation, _, divisor, _ = next(operations_of(node))
    if answer == BY_ZERO_REFUSAL and operation == "/" and divisor == 0:
        return {()}
    thoughts: set[tuple[str, ...]] = set()
    for operation, a, b, rest in operations_of(node):
        if operation == "/" and b == 0:
            continue
        ways = [(operation, a, b)]
        if operation in "+*":
            ways.append((operation, b, a))
        elif operation == "-" and (a < 0) != (b < 0):
            ways.append(("+", -b, a))  # -5-12 is written as -(5+12), and so may be -(12+5)
        step = write_step(operation, a, b)
        after = rest(step.value)
        if step.remainder and (isinstance(after, Calculation) or min(a, b) < 0):
            if answer != INEXACT_REFUSAL:
                continue
            after = 0
        for way in ways:
            turned = write_step(*way)
            if isinstance(after, Calculation):
                text = turned.add_remaining(str(after)).text
                thoughts |= {(text, *others) for others in all_thoughts(after, answer)}
            else:
                thoughts.add((turned.text,))
    return thoughts


@given(small_chains | repetitive_chains, st.data())
@example(ONES, None)
@example(OPPOSITE, None)
@example(INEXACT_LATE, None)
@example(INEXACT_TWICE, None)
@example(BY_ZERO_LATE, None)
@example(BY_ZERO_EARLY, None)
@example(BY_ZERO_BEFORE_INEXACT, None)
def test_the_lines_may_be_in_any_order_that_the_brackets_allow(
    chain: Calculation, data: st.DataObject | None
) -> None:
    steps, answer = solve(chain)
    assume(steps)  # 5/0 needs no thought
    thoughts = sorted(all_thoughts(chain, answer))
    for lines in thoughts if data is None else [data.draw(st.sampled_from(thoughts))]:
        report = check(str(chain), "\n".join(lines), answer)
        assert agrees(report), lines
        assert report.solves_question
        if answer not in (BY_ZERO_REFUSAL, INEXACT_REFUSAL):
            question = f"There are {' and '.join(map(str, chain.numbers))} pens, and well?"
            assert agrees(check(question, "\n".join(lines), answer)), lines


@given(repetitive_chains, st.data())
@example(ONES, None)
@example(OPPOSITE, None)
@example(INEXACT_TWICE, None)
@example(BY_ZERO_LATE, None)
@example(BY_ZERO_EARLY, None)
@example(BY_ZERO_BEFORE_INEXACT, None)
def test_lines_of_several_orders_are_true_together_only_if_they_are_one_order(
    chain: Calculation, data: st.DataObject | None
) -> None:
    steps, answer = solve(chain)
    assume(steps)  # 5/0 needs no thought
    thoughts = all_thoughts(chain, answer)
    lines = sorted({line for thought in thoughts for line in thought})
    count = len(chain.numbers) - 1
    if data is None:
        mixtures = [mixed for n in range(1, count + 2) for mixed in product(lines, repeat=n)]
        if len(mixtures) > 500 and not is_thorough():
            # A seventh of them: 7 is prime to the number of lines, so each is at each place.
            mixtures = [*thoughts, *mixtures[::7]]
    else:
        mixtures = [
            tuple(data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=count + 1)))
            for _ in range(10)
        ]
    for mixed in mixtures:
        is_right = agrees(check(str(chain), "\n".join(mixed), answer))
        assert is_right == (mixed in thoughts), mixed


@given(small_chains | repetitive_chains, st.data())
def test_any_changed_character_of_a_thought_in_any_order_is_detected(
    chain: Calculation, data: st.DataObject
) -> None:
    steps, answer = solve(chain)
    assume(steps)  # 5/0 needs no thought
    thought = "\n".join(data.draw(st.sampled_from(sorted(all_thoughts(chain, answer)))))
    position = data.draw(st.integers(0, len(thought) - 1))
    new = data.draw(st.sampled_from(["", *CHARACTERS]))
    changed = thought[:position] + new + thought[position + 1 :]
    assume(changed.strip("\n") != thought)
    assert not agrees(check(str(chain), changed, answer))


@given(st.sampled_from(sorted(COMPARISONS)), numbers, numbers, ones_letters)
@example(LARGER, 30, 30, 0)
def test_a_comparison_of_unknown_phrasing_says_which_number_it_looks_for(
    operation: str, a: int, b: int, ones_letter: int
) -> None:
    step = write_step(operation, a, b, ones_letter)
    question = f"There are {a} pens here and {b} there."
    answers = [
        answer
        for answer in (str(a), str(b), EQUAL_ANSWER)
        if check(question, step.text, answer).all_true
    ]
    assert answers == [answer_of(step)]


signed_sums = st.tuples(st.sampled_from("+-"), numbers, numbers)


@given(signed_sums, signed_sums, st.sampled_from("+-*/"), ones_letters)
def test_lines_with_negative_values_are_true(
    one: tuple[str, int, int], other: tuple[str, int, int], operation: str, ones_letter: int
) -> None:
    chain = Calculation(operation, Calculation(*one), Calculation(*other))
    steps, answer = solve(chain, ones_letter)
    report = check(str(chain), "\n".join(step.text for step in steps), answer)
    assert agrees(report)
    assert [line.value for line in report.lines] == [step.value for step in steps]


@given(problems)
def test_thoughts_of_the_generators_are_true(one: Problem) -> None:
    report = check(one.question, one.thought, one.answer)
    assert agrees(report)
    assert report.expected == one.answer
    assert report.solves_question


@given(worked_out, st.data())
def test_any_changed_character_is_detected(one: Problem, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(one.thought) - 1))
    new = data.draw(st.sampled_from(["", *CHARACTERS, "x", "٣", " "]))
    rest = data.draw(st.sampled_from([one.thought[place:], one.thought[place + 1 :]]))
    changed = one.thought[:place] + new + rest
    assume(changed.strip("\n") != one.thought)
    assert not agrees(check(one.question, changed, one.answer))


@pytest.mark.parametrize("example", EXAMPLES[:-1], ids=[example[0] for example in EXAMPLES[:-1]])
def test_every_changed_character_of_the_examples_is_detected(
    example: tuple[str, str, str],
) -> None:
    question, thought, answer = example
    for place, character in enumerate(thought):
        others = CHARACTERS if len(thought) < 40 else "0aA,:" if character.isalnum() else "-1\n"
        for new in {*others, ""} - {character}:
            changed = thought[:place] + new + thought[place + 1 :]
            assert not agrees(check(question, changed, answer)), changed


@given(problems, st.text(alphabet="-0123456789 R."))
def test_another_answer_is_not_faithful(one: Problem, answer: str) -> None:
    assume(answer.strip() != one.answer)
    report = check(one.question, one.thought, answer)
    assert not report.faithful
    assert not agrees(report)


@given(worked_out, st.data())
def test_no_line_and_no_fact_can_be_left_out(one: Problem, data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from("\n,"))
    pieces = one.thought.split(separator)
    del pieces[data.draw(st.integers(0, len(pieces) - 1))]
    assert not agrees(check(one.question, separator.join(pieces), one.answer))


@given(worked_out, st.data())
def test_no_line_and_no_fact_can_be_repeated(one: Problem, data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from("\n,"))
    pieces = one.thought.split(separator)
    place = st.integers(0, len(pieces) - 1)
    pieces.insert(data.draw(place), pieces[data.draw(place)])
    assert not agrees(check(one.question, separator.join(pieces), one.answer))


@given(problems, st.data())
def test_no_facts_can_be_swapped(one: Problem, data: st.DataObject) -> None:
    pieces = one.thought.split(",")
    place = st.integers(0, len(pieces) - 1)
    i, j = data.draw(place), data.draw(place)
    pieces[i], pieces[j] = pieces[j], pieces[i]
    swapped = ",".join(pieces)
    assert agrees(check(one.question, swapped, one.answer)) == (swapped == one.thought)


@given(st.lists(st.integers(0, 999), min_size=4, max_size=4), st.permutations(range(3)))
def test_lines_must_follow_the_lines_that_they_use(operands: list[int], order: list[int]) -> None:
    a, b, c, d = operands
    chain = Calculation("*", Calculation("+", a, b), Calculation("+", c, d))
    lines = [write_step("+", a, b), write_step("+", c, d), write_step("*", a + b, c + d)]
    remaining = {
        (): str(chain),
        (0,): f"{a + b}*({c}+{d})",
        (1,): f"({a}+{b})*{c + d}",
        (0, 1): f"{a + b}*{c + d}",
    }
    texts = [
        lines[line].add_remaining(remaining.get(tuple(sorted(order[: place + 1])), str(chain))).text
        for place, line in enumerate(order[:-1])
    ]
    thought = "\n".join([*texts, lines[order[-1]].text])
    # The sums are as true in another order; their product comes last.
    assert agrees(check(str(chain), thought, str((a + b) * (c + d)))) == (order[-1] == 2)


@given(tasks, seeds, seeds)
def test_the_thought_of_another_problem_is_not_true(task: Task, one: int, other: int) -> None:
    asked, given_ = (draw_problem(task, random.Random(seed)) for seed in (one, other))
    assume(given_.thought)
    assume(
        sorted(re.findall(r"\d+", asked.question)) != sorted(re.findall(r"\d+", given_.question))
    )
    assert not agrees(check(asked.question, given_.thought, given_.answer))
    assert not agrees(check(asked.question, given_.thought, asked.answer))


@given(numbers, numbers, st.permutations("+-*/"))
def test_the_thought_of_another_operation_is_not_true(a: int, b: int, signs: list[str]) -> None:
    assume(b and signs[0] != signs[1])
    step = write_step(signs[1], a, b)
    assert not agrees(check(f"{a}{signs[0]}{b}", step.text, answer_of(step)))
    turned = write_step("-", b, a)
    assert agrees(check(f"{a}-{b}", turned.text, answer_of(turned))) == (a == b)


texts = st.text() | st.text(alphabet=CHARACTERS, max_size=200)


@given(texts, texts, texts)
def test_check_never_raises(question: str, thought: str, answer: str) -> None:
    agrees(check(question, thought, answer))


@given(
    st.lists(
        st.from_regex(r"\A(-\()?(A[0-9]|A[0-9]B[1-9])([-+*/]|\?[<>]?)(a[0-9]|a[0-9]b[1-9])\)?:[A-C0-9:+<=>,]{0,9}:(-?[A-C][0-9]|[<=>])\Z")
    ),
    texts | st.sampled_from(["1+2", "(1-3)*2", "Which is larger, 1 or 2?", "7/2+3"]),
)  # fmt: skip
def test_check_never_raises_on_malformed_lines(lines: list[str], question: str) -> None:
    report = check(question, "\n".join(lines), "0")
    agrees(report)
    assert report.num_steps == len(lines)
    assert not report.all_true or not lines
