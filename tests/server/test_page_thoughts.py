"""Thoughts on the web page: how they fold, where lines break, their marks, column arithmetic."""

from __future__ import annotations

import json
import random
import re
from itertools import accumulate
from typing import Any

import pytest

from anexa.thinking.expressions import Calculation, evaluate, parse_expression
from anexa.thinking.problems import TASKS, Problem, draw_problem, make_problem
from anexa.thinking.thoughts import COMPARISONS, LARGER, comparison_sign, write_step
from tests.server.browser import answered, ask, picture

pytestmark = pytest.mark.slow


OPERATIONS = ("+", "-", "*", "/", *COMPARISONS)
# The carry out of a column, of the carry into it and its two digits.
CARRY = {
    "+": lambda carried, digits: (digits[0] + digits[1] + carried) // 10,
    "-": lambda carried, digits: int(digits[0] - digits[1] - carried < 0),
}
LONG = make_problem("*", 987654321, 123456789)
CHAIN = Problem(
    "(1-5)*30",
    "\n".join(step.text for step in evaluate(Calculation("*", Calculation("-", 1, 5), 30))),
    "-120",
)


def show(page: Any, *problems: Problem, answers: tuple[str, ...] = ()) -> None:
    """Show problems with their thoughts as a conversation that the page has kept."""
    turns = []
    for number, one in enumerate(problems):
        answer = answers[number] if number < len(answers) else one.answer
        checked = page.evaluate(
            """async body => (await fetch("/check", {
                method: "POST",
                headers: {"Content-Type": "application/json"},
                body: JSON.stringify(body),
            })).json()""",
            {"question": one.question, "thought": one.thought, "answer": answer},
        )
        turns += [
            {"role": "user", "content": one.question},
            {
                "role": "assistant",
                "content": answer,
                "reasoning": one.thought,
                "thinkingSeconds": 1.25,
                "check": checked,
            },
        ]
    page.evaluate("turns => localStorage.setItem('anexa.conversation', turns)", json.dumps(turns))
    page.reload()
    answered(page, len(problems))


def parsed(page: Any, lines: list[str]) -> list[Any]:
    """Each line as a step with its sentences, its carries and its conclusion."""
    found: list[Any] = page.evaluate(
        """async lines => {
            const { parseStep, explain, carries, conclude } = await import("/page/columns.js");
            return lines.map(parseStep).map(step =>
                step && [step, explain(step), carries(step), conclude(step)]);
        }""",
        lines,
    )
    return found


def test_steps_are_explained_as_column_arithmetic(page: Any) -> None:
    """The digits that are written are those of the value, and the carries those of the sum."""
    rng = random.Random(1)
    operands = [
        (rng.randrange(10 ** rng.randint(1, 9)), rng.randrange(1, 10**7)) for _ in range(99)
    ]
    steps = [write_step(rng.choice(OPERATIONS), *pair, rng.randrange(26)) for pair in operands]
    for step, (found, sentences, carries, conclusion) in zip(
        steps, parsed(page, [step.text for step in steps])
    ):
        assert (found["operation"], int(found["left"]), int(found["right"])) == step[1:4]
        covered = [index for sentence in sentences for index in sentence["facts"]]
        assert covered == [*range(len(found["facts"]))]
        texts = [sentence["text"] for sentence in sentences]
        if step.operation in COMPARISONS:
            sign = comparison_sign(step.a, step.b)
            assert texts[0].endswith(sign + " " + texts[0][-1])
            found_number = f"{step.value} is {'larger' if step.operation == LARGER else 'smaller'}"
            assert conclusion == f"so {'they are equal' if sign == '=' else found_number}"
            continue
        written = [match[1] for text in texts if (match := re.search(r"write (\d+)", text))]
        digits = written if step.operation == "/" else reversed(written)
        assert int("".join(digits)) == abs(step.value)
        value = str(step.value).replace("-", "−")
        value += f" R {step.remainder}" if step.remainder else ""
        assert conclusion.endswith(f" = {value}")
        if step.operation in CARRY:
            numbers = [found["left"], found["right"]]
            large, small = reversed(numbers) if step.value < 0 else numbers
            columns = [*zip(map(int, reversed(large)), map(int, reversed(small)))]
            expected = [*accumulate(columns[:-1], CARRY[step.operation], initial=0)]
            assert carries == "".join(str(c or " ") for c in reversed(expected))


def test_facts_are_explained_in_words(page: Any) -> None:
    product, division = parsed(page, [write_step("*", 347, 86).text, write_step("/", 992, 37).text])
    assert [sentence["text"] for sentence in product[1]] == [
        "7 × 6 = 42: write 2, carry 4",
        "7 × 8 + 4 = 60, 4 × 6 + 60 = 84: write 4, carry 8",
        "4 × 8 + 8 = 40, 3 × 6 + 40 = 58: write 8, carry 5",
        "3 × 8 + 5 = 29: write 29",
    ]
    assert division[1][0]["text"].startswith("1 × 37 = 37, 2 × 37 = 74, 3 × 37 = 111")
    assert [sentence["text"] for sentence in division[1][1:]] == [
        "begin with 9",
        "9 is less than 37: write 0, 9 left",
        "bring down 9: 99",
        "3 × 37 = 111 is too large",
        "2 × 37 = 74, 99 − 74 = 25: write 2, 25 left",
        "bring down 2: 252",
        "8 × 37 = 296 is too large",
        "7 × 37 = 259 is too large",
        "6 × 37 = 222, 252 − 222 = 30: write 6, 30 left",
    ]
    assert division[3] == "so 992 ÷ 37 = 26 R 30"


def test_what_remains_is_in_the_conclusion(page: Any) -> None:
    calculation = parse_expression("100-(4-(3*4+5))*2/1", 3)
    assert calculation
    steps = parsed(page, [step.text for step in evaluate(calculation)])
    assert [step[3] for step in steps] == [
        "so 3 × 4 = 12, and 100 − (4 − (12 + 5)) × 2 ÷ 1 remains",
        "so 12 + 5 = 17, and 100 − (4 − 17) × 2 ÷ 1 remains",
        "so 4 − 17 = −13, and 100 − (−13) × 2 ÷ 1 remains",
        "so −(13 × 2) = −26, and 100 − (−26) ÷ 1 remains",
        "so −(26 ÷ 1) = −26, and 100 − (−26) remains",
        "so 100 + 26 = 126",
    ]
    lines = {
        "A6?>a6:A:6=6:A6": "so they are equal",
        "A6?>a6:A:6=6:A7": "so 7 is larger",
        "A6?<a7:A:6<7:-A6:=A6+A7": "so −6 is smaller, and 6 + 7 remains",
        CHAIN.thought.split("\n")[1]: "so −(4 × 30) = −120",
    }
    assert [step[3] for step in parsed(page, [*lines])] == [*lines.values()]


def test_other_text_is_no_step(page: Any) -> None:
    lines = [
        "",
        "hm",
        "A7*a6",
        "A7*a6:A7*a6+0=42;A2",
        "a:b:c",
        "A1+a1::",
        "A4?a9:A:4<9:<",
        "-(A4?>a9):A:4<9:A9",
        "A1+a1:x:2",
        "<b>:<b>:<b>",
    ]
    assert parsed(page, lines) == [None] * len(lines)


def test_any_damaged_thought_is_shown(page: Any) -> None:
    """Facts of another kind stand as they are."""
    rng = random.Random(1)
    lines = []
    for _ in range(300):
        text = rng.choice(draw_problem(rng.choice(TASKS), rng).thought.split("\n") or [""])
        place = rng.randrange(len(text) + 1)
        lines.append(text[:place] + rng.choice("0A,:;+*<>?") + text[place + 1 :])
    for one in parsed(page, lines):
        if one:
            covered = [index for sentence in one[1] for index in sentence["facts"]]
            assert covered == [*range(len(one[0]["facts"]))]


def test_a_long_thought_is_folded_to_a_line(page: Any) -> None:
    show(page, make_problem("+", 12, 30), LONG, CHAIN)
    summaries = page.locator("summary")
    assert summaries.all_inner_texts() == [
        "Thought for 1.3 s · 1 step, 2 facts, all true",
        "Thought for 1.3 s · 1 step, 81 facts, all true",
        "Thought for 1.3 s · 2 steps, 4 facts, all true",
    ]
    lists = page.locator(".steps")
    assert [lists.nth(i).is_visible() for i in range(3)] == [True, False, True]
    picture(page, "page-folded")
    summaries.nth(1).click()
    assert lists.nth(1).is_visible()
    assert page.locator(".steps").nth(1).inner_text() == LONG.thought
    page.get_by_role("button", name="Show as column arithmetic").nth(2).click()
    assert lists.nth(1).is_visible(), "what was opened stays open"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, "page-unfolded")


def test_a_folded_thought_opens_as_columns(page: Any) -> None:
    show(page, LONG)
    page.get_by_role("button", name="Show as column arithmetic").click()
    assert page.locator(".facts li").count() == 18
    assert page.locator(".paper-sum div").all_inner_texts()[-1].strip() == LONG.answer


def test_a_mistake_is_in_the_summary(page: Any) -> None:
    wrong = make_problem("+", 12, 30)
    wrong = Problem(wrong.question, wrong.thought.replace("1+3+0=04", "1+3+0=05"), "42")
    show(page, wrong, make_problem("+", 3, 4), answers=("42", "8"))
    assert page.locator("summary").all_inner_texts() == [
        "Thought for 1.3 s · 1 step, 2 facts, not all true",
        "Thought for 1.3 s · 1 step, 1 fact",
    ]
    assert page.locator(".verdict").all_inner_texts() == [
        "✗ 1+3+0 is 4, not 05",
        "✗ the one step is true, but does not lead from the question to the answer: "
        'the answer "8" is not "7"',
    ]


def test_thought_is_shown_as_columns_at_a_click(page: Any) -> None:
    show(page, make_problem("-", 478, 5003))
    toggle = page.get_by_role("button", name="Show as column arithmetic")
    assert toggle.get_attribute("aria-pressed") == "false"
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    assert page.locator(".paper-sum div").all_text_contents() == [
        "  111 ",
        "  5003",
        "− 0478",
        "  4525",
    ]
    assert page.locator(".facts").first.locator("li").all_text_contents() == [
        "0 < 5",
        "13 − 8 = 5: write 5, borrow 1",
        "10 − 7 − 1 = 2: write 2, borrow 1",
        "10 − 4 − 1 = 5: write 5, borrow 1",
        "5 − 0 − 1 = 4: write 4",
        "so 478 − 5003 = −4525",
    ]
    toggle.click()
    assert page.locator(".paper-sum").count() == 0


def test_columns_of_a_product(page: Any) -> None:
    """Set ANEXA_PICTURES=docs/pictures to make the picture of the docs."""
    show(page, make_problem("*", 347, 86))
    page.get_by_role("button", name="Show as column arithmetic").click()
    assert page.locator(".paper-sum div").all_text_contents() == ["  347", "×  86", "29842"]
    picture(page, "page-columns")


@pytest.mark.parametrize(
    ("dividend", "divisor", "rows"),
    [
        (992, 37, ["      26 R 30", "37 ) 992", "    −74", "     252", "    −222", "      30"]),
        # Zeros of the quotient subtract nothing; what is left is shown with all digits after it.
        (6012, 6, ["    1002", "6 ) 6012", "   −6", "      12", "     −12", "       0"]),
        (600, 6, ["    100", "6 ) 600", "   −6", "      0"]),
        (3, 47, ["     0 R 3", "47 ) 3"]),
    ],
)
def test_a_division_is_written_as_on_paper(
    page: Any, dividend: int, divisor: int, rows: list[str]
) -> None:
    show(page, make_problem("/", dividend, divisor))
    page.get_by_role("button", name="Show as column arithmetic").click()
    assert page.locator(".paper-sum div").all_text_contents() == rows


def test_what_remains_is_a_piece_of_its_line(page: Any) -> None:
    """The piece includes the sign `:=`, also while the line is being generated."""
    whole, _ = CHAIN.thought.split("\n")
    show(page, Problem(CHAIN.question, f"{whole}\n{whole.partition('(-A4)')[0]}", "-120"))
    pieces = ["A1-a5:", "A:1<5,", "A:05-1-0=4:", "-A4"]
    spans = page.locator(".steps span").all_text_contents()
    assert spans == [*pieces, ":=(-A4)*B3A0", *pieces, ":="]


def test_lines_break_between_facts_and_never_inside_a_number(page: Any) -> None:
    """Each fact is whole on its line, on a phone too."""
    page.set_viewport_size({"width": 360, "height": 640})
    show(page, make_problem("*", 9876, 5432))
    pieces = page.locator(".steps .unbroken").evaluate_all(
        "all => all.map(one => [one.textContent, one.getClientRects().length, one.offsetHeight])"
    )
    assert len(pieces) == 18
    assert all(re.fullmatch(r"[^,]+,?", text) for text, _, _ in pieces)
    assert len({(boxes, height) for _, boxes, height in pieces}) == 1
    height = page.locator(".steps li").first.evaluate(
        "one => parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert pieces[0][2] < 1.5 * height
    show(page, make_problem("+", 10**19, 10**20 - 1))
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_true_steps_that_prove_nothing_are_not_green(page: Any) -> None:
    sourceless = Problem("12345*6", make_problem("*", 1234, 6).thought, "7404")
    show(page, make_problem("*", 347, 86), sourceless)
    assert page.locator(".verdict").nth(1).inner_text() == (
        "✗ the one step is true, but does not lead from the question to the answer: "
        '1234 in "A4B3C2D1*a6" comes from nowhere'
    )
    green = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    mark = "one => getComputedStyle(one, '::before').color"
    color = "one => getComputedStyle(one).color"
    right, wrong = (page.locator(".assistant").nth(index) for index in (0, 1))
    assert right.locator(".verdict").evaluate(color) == green
    assert right.locator(".steps li").first.evaluate(mark) == green
    assert wrong.locator(".verdict").evaluate(color) != green
    assert wrong.locator(".steps li").evaluate(mark) != green
    assert wrong.locator(".steps li").get_attribute("data-mark") == "?"


def test_empty_page_invites(page: Any) -> None:
    """Its examples are answered at a click; it says how large the model is, and where it runs."""
    assert "parameters" in page.locator(".size").inner_text()
    assert "runs on this computer" in page.locator(".size").inner_text()
    examples = page.locator(".examples button")
    assert examples.count() == 3
    for index, answer in enumerate(("29842", "4525", "41")):
        examples.nth(index).click()
        answered(page)
        assert page.locator(".assistant .content").inner_text() == answer
        assert page.locator(".verdict").inner_text().startswith("✓ ")
        page.get_by_role("button", name="New").click()
    assert page.locator("#context-label").inner_text() == "Context 0 of 2,560"


def test_a_long_thought_is_folded_while_it_is_written(page: Any) -> None:
    """Its summary counts the steps."""
    ask(page, LONG.question)
    page.get_by_text("Thinking … 1 step, ").wait_for()
    answered(page)
    assert not page.locator(".steps").is_visible()
    assert page.locator(".assistant .content").inner_text() == LONG.answer
