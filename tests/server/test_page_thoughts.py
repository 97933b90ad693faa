"""Thoughts on the web page: where their lines break, their marks, and column arithmetic."""

from __future__ import annotations

import random
import re
from itertools import accumulate
from typing import Any

import pytest

from anexa.thinking.problems import MAX_DIGITS, MAX_FACTOR_DIGITS
from anexa.thinking.thoughts import ThoughtStep, steps_of
from tests.server.browser import answered, ask, picture

pytestmark = [pytest.mark.slow, pytest.mark.alone]


# The carry out of a column, of the carry into it and its two digits.
CARRY = {
    "+": lambda carried, digits: (digits[0] + digits[1] + carried) // 10,
    "*": lambda carried, digits: (digits[0] * digits[1] + carried) // 10,
    "-": lambda carried, digits: int(digits[0] - digits[1] - carried < 0),
}


def drawn_steps(rng: random.Random) -> list[ThoughtStep]:
    """The steps of a random problem."""
    operation = rng.choice("+-*")
    digits = MAX_FACTOR_DIGITS if operation == "*" else MAX_DIGITS
    a, b = (rng.randrange(10 ** rng.randint(1, digits)) for _ in range(2))
    return steps_of(operation, a, b)


def test_steps_are_explained_as_column_arithmetic(page: Any) -> None:
    """What is written, column by column, is the value; and the carries are those of the sum."""
    rng = random.Random(1)
    steps = [step for _ in range(300) for step in drawn_steps(rng)]
    found = page.evaluate(
        """async lines => {
            const { parseStep, explain, carries } = await import("/page/columns.js");
            return lines.map(parseStep).map(step =>
                [step, step.facts.map((_, index) => explain(step, index)), carries(step)]);
        }""",
        [step.text for step in steps],
    )
    for step, (parsed, sentences, carries) in zip(steps, found):
        assert parsed["operation"] == step.operation
        assert len(sentences) == len(parsed["facts"])
        if step.operation == "?":
            assert sentences[-1].replace(" ", "") == parsed["facts"][-1]
            continue
        written = [re.search(r"write (\d+)", one)[1] for one in sentences]  # type: ignore[index]
        zeros = parsed["right"][1:] if step.operation == "*" else ""
        assert int("".join(reversed(written)) + zeros) == abs(step.value)
        left, right = parsed["left"], parsed["right"]
        per_column = right[0] * len(left) if step.operation == "*" else right
        columns = [*zip(map(int, reversed(left)), map(int, reversed(per_column)))]

        expected = [*accumulate(columns[:-1], CARRY[step.operation], initial=0)]
        assert carries == "".join(str(c or " ") for c in reversed(expected))


def test_other_text_is_no_step(page: Any) -> None:
    lines = ["", "hm", "347*6", "347*6:7*6+0=42", "a:b:c", "1+1::", "1+1:x:2", "<b>:<b>:<b>"]
    assert page.evaluate(
        """async lines => {
            const { parseStep } = await import("/page/columns.js");
            return lines.map(parseStep);
        }""",
        lines,
    ) == [None] * len(lines)


def test_thought_is_shown_as_columns_at_a_click(page: Any) -> None:
    ask(page, "347*86")
    answered(page)
    toggle = page.get_by_role("button", name="Show as column arithmetic")
    assert toggle.get_attribute("aria-pressed") == "false"
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    sums = page.locator(".paper-sum")
    assert sums.nth(0).locator("div").all_text_contents() == [" 24 ", " 347", "×  6", "2082"]
    assert sums.nth(2).locator("div").all_text_contents() == [
        "    1  ",
        "  02082",
        "+ 27760",
        "  29842",
    ]
    assert page.locator(".facts").first.locator("li").all_text_contents() == [
        "7 × 6 = 42: write 2, carry 4",
        "4 × 6 + 4 = 28: write 8, carry 2",
        "3 × 6 + 2 = 20: write 20",
        "so 347 × 6 = 2082",
    ]
    picture(page, "page-columns")
    toggle.click()
    assert page.locator(".paper-sum").count() == 0


def test_lines_break_between_facts_and_never_inside_a_number(page: Any) -> None:
    """Each piece that ends in a comma or a colon is whole on its line, on a phone too."""
    page.set_viewport_size({"width": 360, "height": 640})
    ask(page, "9876*5432")
    answered(page)
    pieces = page.locator(".steps .unbroken").evaluate_all(
        "all => all.map(one => [one.textContent, one.getClientRects().length, one.offsetHeight])"
    )
    assert len(pieces) > 40
    assert all(re.fullmatch(r"[^,:]+[,:]?", text) for text, _, _ in pieces)
    assert len({(boxes, height) for _, boxes, height in pieces}) == 1
    height = page.locator(".steps li").first.evaluate(
        "one => parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert pieces[0][2] < 1.5 * height


def test_true_steps_that_prove_nothing_are_not_green(page: Any) -> None:
    """A factor of five digits is beyond the model: it leaves one out, and calculates correctly."""
    ask(page, "347*86")
    answered(page)
    ask(page, "12345*6")
    answered(page, 2)
    assert page.locator(".verdict").nth(1).inner_text() == (
        "✗ the one step is true, but does not lead from the question to the answer: "
        '1234 in "1234*6" comes from nowhere'
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
    assert "804,608 parameters" in page.locator(".size").inner_text()
    assert "runs on this computer" in page.locator(".size").inner_text()
    examples = page.locator(".examples button")
    assert examples.count() == 3
    for index, answer in enumerate(("29842", "4525", "41")):
        examples.nth(index).click()
        answered(page)
        assert page.locator(".assistant .content").inner_text() == answer
        assert page.locator(".verdict").inner_text().startswith("✓ ")
        page.get_by_role("button", name="New").click()
    assert page.locator("#context-label").inner_text() == "Context 0 of 512"
