"""Chapter 16: the first wrong part of a thought, and the answer that follows from a wrong digit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question
from anexa.model.place_marks import place_letter
from anexa.thinking.checker import check
from anexa.thinking.thoughts import write_expression, write_step, write_value

_WHY_FIRST = (
    "Return the first wrong part as it is written: the expression if its numbers are not those of "
    "the question, or a fact, or the value; None if nothing is wrong."
)
_SKIPPED = {
    "numbers": (
        "Every fact is true, but the thought is about another question. So both numbers of the "
        "expression belong to the check."
    ),
    "equation": "This fact is false: the sum on its left is not the number on its right.",
    "carry": (
        "The equation is true, but what it carries is not what the fact before has left over: a "
        "true equation at the wrong place is a wrong step."
    ),
    "digits": (
        "The equation is true, but it adds other digits than those of the expression: a true "
        "equation at the wrong place is a wrong step."
    ),
    "value": "All facts are true, but the value has not exactly the digits that they give.",
}
_LAST = "Something is wrong there, too, but this is not the first wrong part."
_LETTERS = "The value has a letter before each digit, and its ones come last: C1B2A5 is 125."
_ONES_FIRST = "In an expression the ones come first: A8B5 is 58."
_PADDED = "The shorter number is filled up with zeros: a7b0 is 7, as in the question."

_WHY_GO_ON = (
    "The model copies: the digits of a new fact from the expression, its carry from the fact "
    "before, and the digits of the value from the right sides of all facts, whatever they say."
)
_TRUE = (
    "This is the true sum. The model does not calculate the given facts again: it copies the "
    "digits behind the equals sign, wrong ones included."
)
_GO_ON = {
    "no_carry": "The carry is missing: it is the first digit of the result of the fact before.",
    "no_front": "The carry of the last fact is missing: it is the first digit of the value.",
    "reversed": "The first fact has the ones, so its digit comes last in the answer.",
    "whole": (
        "Each fact gives one digit of the value, the last one of its result: the other is carried."
    ),
    "highest_first": _ONES_FIRST,
}
_NO_FACTS = "There may be no fact yet: then nothing is carried."


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a sum and the beginning of its thought, with a wrong carry in the first fact, as a text,
    and the question for the answer that follows from it.
    """
    while True:
        a, b = _numbers(rng, 3)
        expression, [first, *_] = _start(a, b)
        facts = [_flip_carry(first)]
        right, wrong = _go_on(expression, facts), _wrong_answers(expression, facts)
        if len({*wrong.values(), right, a + b}) == len(wrong) + 2:
            break
    text = (
        f"question: {a}+{b}\n"
        f"thought:  {expression}:{facts[0]},\n"
        "The model goes on from there. Its answer: ?"
    )
    why = "Write the missing facts first, each with the carry of the fact before, then the value."
    return text, Question(BY_HAND, (), right, why, mistakes=_mistakes(a + b, wrong, right))


def questions(rng: Random) -> list[Question]:
    """Draw the questions: beginnings of thoughts, and thoughts to check, two of them right."""
    return [*_draw_beginnings(rng), *_draw_checks(rng)]


def _draw_checks(rng: Random) -> list[Question]:
    a, b = _numbers(rng, 3)
    expression, facts = _start(a, b)
    c, d = rng.randrange(10, 100), rng.randrange(100, 1000)
    value = write_value(a + b)
    wrong_value = f"{value[:-5]}{_other(value[-5], rng)}{value[-4:]}"  # of the hundreds
    other_front = value[2:] if len(value) == 8 else f"D1{value}"
    i = rng.randrange(1, 3)
    false = [*facts[: i - 1], _change_result(facts[i - 1], rng)]
    wrong_facts = [
        false,
        [*facts[: i - 1], _flip_carry(facts[i - 1])],
        [*facts[:i], _flip_own_carry(facts[i])],
        *([*facts[:i], moved] for moved in _change_digits(facts[i], rng)),
    ]
    return [
        _check(a, b, write_step("+", a, b).text),
        _check(d, c, write_step("+", d, c).text),
        *(_check(a, b, _finish(expression, found)) for found in wrong_facts),
        *(
            _check(a, b, f"{expression}:{','.join(facts)}:{wrong}")
            for wrong in (wrong_value, other_front)
        ),
        *(_check(a, b, write_step("+", *others).text) for others in _change_numbers(a, b, rng)),
        _check(a, b, f"{expression}:{','.join([*false, *facts[i:]])}:{wrong_value}"),
    ]


def _draw_beginnings(rng: Random) -> list[Question]:
    def given(count: int, change: Callable[[str], str]) -> Callable[[list[str]], list[str]]:
        return lambda facts: [*facts[: count - 1], change(facts[count - 1])]

    def change(fact: str) -> str:
        return _change_result(fact, rng)

    return [
        _beginning(rng, 2, lambda _facts: []),
        _beginning(rng, 3, given(1, change)),
        _beginning(rng, 3, given(2, _flip_carry)),
        _beginning(rng, 4, lambda facts: [facts[0], change(facts[1]), *facts[2:]]),
        _beginning(rng, 5, given(2, lambda fact: _change_digit(fact, rng))),
        _beginning(rng, 7, given(4, lambda fact: _flip_carry(change(fact)))),
    ]


def _check(a: int, b: int, thought: str) -> Question:
    """Ask for the first wrong part of a thought."""
    question = f"{a}+{b}"
    right, [value] = _first_wrong(question, thought), re.findall("[A-Z0-9]+$", thought)
    expression, first, _ = re.split("[:,](?=[A-Z])", thought, maxsplit=2)
    parts = _wrong_parts(question, thought)
    if right is None:
        is_padded = len(str(a)) != len(str(b))
        mistakes = [
            Mistake(_LETTERS, value),
            Mistake(_PADDED if is_padded else _ONES_FIRST, expression),
            Mistake(_ONES_FIRST, first),
        ]
    else:
        [kind, *_] = parts.values()
        mistakes = [Mistake(_SKIPPED[kind], None)]
        mistakes += [Mistake(_LAST, part) for part in parts if part != right]
    arguments, label = (question, thought), f"first_wrong({question!r}, {thought!r})"
    return Question("first_wrong", arguments, right, _WHY_FIRST, 0.0, tuple(mistakes), label)


def _first_wrong(question: str, thought: str) -> str | None:
    """Return the first wrong part of a thought of one line, as Anexa's own checker finds it."""
    [line] = check(question, thought, "").lines
    expression, _, rest = line.text.partition(":")
    if any(operand.source == "nowhere" for operand in line.operands):
        return expression
    wrong = [fact.text for fact in line.facts if not (fact.true and fact.fits)]
    if not line.matches_facts or not line.is_correct:
        wrong.append(rest.rpartition(":")[2])
    return wrong[0] if wrong else None


def _wrong_parts(question: str, thought: str) -> dict[str, str]:
    """Return the wrong parts of a thought of one line, each with what is wrong, by `_SKIPPED`."""
    expression, *facts = re.split("[:,](?=[A-Z])", thought)
    value, wrong = facts.pop(), dict[str, str]()
    x, y = _digits(expression)
    if [int(x[::-1]), int(y[::-1])] != [int(number) for number in question.split("+")]:
        wrong[expression] = "numbers"
    carry = 0
    for fact, p, q in zip(facts, x, y):
        left, right, carried, result = _equation(fact)
        if left + right + carried != result:
            wrong[fact] = "equation"
        elif carried != carry:
            wrong[fact] = "carry"
        elif (left, right) != (int(p), int(q)):
            wrong[fact] = "digits"
        carry = result // 10
    if value != write_value(_go_on(expression, facts)):
        wrong[value] = "value"
    return wrong


def _beginning(rng: Random, digits: int, change: Callable[[list[str]], list[str]]) -> Question:
    """Ask for the answer that follows from a thought whose first facts are given."""
    while True:
        a, b = _numbers(rng, digits)
        expression, facts = _start(a, b)
        given = change(facts)
        right, wrong = _go_on(expression, given), _wrong_answers(expression, given)
        telling = set(_GO_ON)
        if len(given) == len(facts):  # no fact is left to be written
            telling -= {"no_carry", "highest_first"}
        answers = {wrong[kind] for kind in telling} - {right}
        if len(answers) == len(telling) and (not given or right != a + b):
            break
    return Question(
        "go_on",
        (expression, given),
        right,
        _WHY_GO_ON,
        0.0,
        _mistakes(a + b, wrong, right),
        f"go_on({expression!r}, {given})",
    )


def _mistakes(true: int, wrong: dict[str, int], right: int) -> tuple[Mistake, ...]:
    found = [Mistake(_TRUE, true), *(Mistake(_GO_ON[kind], wrong[kind]) for kind in wrong)]
    found.append(Mistake(_NO_FACTS, raises="IndexError"))
    return tuple(one for one in found if one.raises or one.result != right)


def _wrong_answers(expression: str, facts: Sequence[str]) -> dict[str, int]:
    return {kind: _go_on(expression, facts, kind) for kind in _GO_ON}


def _go_on(expression: str, facts: Sequence[str], kind: str = "") -> int:
    """Return the answer that follows from the beginning of a thought about a sum.

    Args:
        expression: the two numbers, with letters.
        facts: the facts that are written already.
        kind: mistake, as in `_GO_ON`; empty: none.
    """
    x, y = _digits(expression)
    if kind == "highest_first":
        x, y = x[::-1], y[::-1]
    results = list[int]()
    for i, (p, q) in enumerate(zip(x, y)):
        carry = 0 if kind == "no_carry" or not results else results[-1] // 10
        results.append(_equation(facts[i])[3] if i < len(facts) else int(p) + int(q) + carry)
    if kind == "whole":
        return int("".join(f"{result:02}" for result in reversed(results)))
    digits = "".join(str(result % 10) for result in results)
    front = "" if kind == "no_front" else str(results[-1] // 10)
    return int(front + (digits if kind == "reversed" else digits[::-1]))


def _finish(expression: str, facts: list[str]) -> str:
    """Return the thought with the given facts, finished without another mistake."""
    x, y = _digits(expression)
    found = list(facts)
    for i in range(len(found), len(x)):
        carry = _equation(found[-1])[3] // 10
        total = int(x[i]) + int(y[i]) + carry
        found.append(f"{place_letter(i)}:{x[i]}+{y[i]}+{carry}={total:02}")
    return f"{expression}:{','.join(found)}:{write_value(_go_on(expression, found))}"


def _numbers(rng: Random, digits: int) -> tuple[int, int]:
    """Draw two numbers with digits from 1 to 8, whose ones carry; the first is no palindrome."""
    while True:
        a, b = (int("".join(rng.choice("12345678") for _ in range(digits))) for _ in range(2))
        carries = [_equation(fact)[3] // 10 for fact in _start(a, b)[1]]
        if carries[0] and str(a)[0] != str(a)[-1]:
            return a, b


def _start(a: int, b: int) -> tuple[str, list[str]]:
    """Return the expression of a sum, and its facts."""
    expression, rest = write_step("+", a, b).text.split(":", 1)
    assert expression == write_expression("+", a, b)
    return expression, rest.rpartition(":")[0].split(",")


def _digits(expression: str) -> tuple[str, str]:
    """Return the digits of the two numbers of an expression, ones first."""
    left, right = expression.split("+")
    return left[1::2], right[1::2]


def _equation(fact: str) -> tuple[int, int, int, int]:
    """Return the two digits, the carry and the result of a fact of a sum."""
    left, right, carry, result = map(int, re.findall("[0-9]+", fact))
    return left, right, carry, result


def _change_result(fact: str, rng: Random) -> str:
    """Return a fact with another last digit."""
    return fact[:-1] + _other(fact[-1], rng)


def _flip_carry(fact: str) -> str:
    """Return a fact with the other first digit of its result."""
    return f"{fact[:-2]}{1 - int(fact[-2])}{fact[-1]}"


def _flip_own_carry(fact: str) -> str:
    """Return a true fact that adds the other carry."""
    left, right, carry, _ = _equation(fact)
    return _true_fact(fact[0], left, right, 1 - carry)


def _change_digit(fact: str, rng: Random) -> str:
    """Return a true fact with another first digit."""
    left, right, carry, _ = _equation(fact)
    return _true_fact(fact[0], int(_other(str(left), rng)), right, carry)


def _change_digits(fact: str, rng: Random) -> list[str]:
    """Return true facts with another first digit, another second one, and two of the same sum."""
    left, right, carry, _ = _equation(fact)
    pairs = [(x, left + right - x) for x in range(10) if 0 <= left + right - x < 10]
    others = rng.choice([pair for pair in pairs if not {left, right} & {*pair}])
    return [
        _change_digit(fact, rng),
        _true_fact(fact[0], left, int(_other(str(right), rng)), carry),
        _true_fact(fact[0], *others, carry),
    ]


def _true_fact(letter: str, left: int, right: int, carry: int) -> str:
    return f"{letter}:{left}+{right}+{carry}={left + right + carry:02}"


def _change_numbers(a: int, b: int, rng: Random) -> list[tuple[int, int]]:
    """Return the numbers with other tens: of the first, of the second, and with the same sum."""

    def moved(number: int) -> int:
        tens = number // 10 % 10
        return number + 10 * (int(_other(str(tens), rng)) - tens)

    step = -10 if b == a + 10 else 10  # else the two numbers would only be exchanged
    return [(moved(a), b), (a, moved(b)), (a + step, b - step)]


def _other(digit: str, rng: Random) -> str:
    return rng.choice([one for one in "12345678" if one != digit])


EXERCISE = Exercise(by_hand, questions)
