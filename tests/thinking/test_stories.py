from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations
from typing import get_args

import pytest

from anexa.model.question import normalize_question
from anexa.thinking.expressions import parse_expression
from anexa.thinking.splits import Split
from anexa.thinking.stories import NAMES, THINGS, Story, draw_story
from anexa.thinking.story_templates import TEMPLATES
from tests.thinking.reading import calculate, read_story

SPLITS: tuple[Split, ...] = get_args(Split)


@pytest.fixture(scope="module")
def stories() -> dict[Split, list[Story]]:
    """Stories of each split, with two and three operations."""
    rng = random.Random(3)
    counts: dict[Split, int] = {"training": 2_000, "validation": 60, "test": 200}
    return {
        split: [draw_story(rng, operations, split) for _ in range(n) for operations in (2, 3)]
        for split, n in counts.items()
    }


def needed(story: Story) -> list[int]:
    """Return the numbers of a story that its formula has, in the order of their letters."""
    template = TEMPLATES[story.template]
    return [
        number
        for letter, number in zip(template.letters, story.numbers)
        if letter in template.formula
    ]


def test_stories_hold_out_numbers_and_names(stories: dict[Split, list[Story]]) -> None:
    groups = [stories[split] for split in SPLITS]
    for what in ("numbers", "names"):
        sides = [
            {
                tuple(sorted(needed(one))) if what == "numbers" else (one.template, one.name)
                for one in group
            }
            for group in groups
        ]
        assert not any(one & other for one, other in combinations(sides, 2))
    for group in (groups[0], groups[2]):
        assert {one.template for one in group} == set(range(len(TEMPLATES)))
    assert {one.name for one in groups[0]} == set(NAMES)
    assert {one.things for one in groups[0]} == set(THINGS)


def test_unneeded_numbers_do_not_change_the_split(stories: dict[Split, list[Story]]) -> None:
    seen = 0
    for story in stories["test"]:
        template = TEMPLATES[story.template]
        for i, letter in enumerate(template.letters):
            if letter not in template.formula:
                changed = (*story.numbers[:i], story.numbers[i] + 1, *story.numbers[i + 1 :])
                assert (
                    Story(story.template, story.name, story.things, changed).splits == story.splits
                )
                seen += 1
    assert seen > 20


def test_calculations_follow_from_the_text(stories: dict[Split, list[Story]]) -> None:
    for story in (one for group in stories.values() for one in group[:300]):
        template = TEMPLATES[story.template]
        formula = template.formula
        for letter, number in zip(template.letters, story.numbers):
            formula = formula.replace(letter, str(number))
        assert story.calculation == parse_expression(formula, 3)
        value = calculate(formula)
        assert value >= 0
        assert value.denominator == 1
        assert max(story.numbers) < 1000
        assert read_story(story.question) == story
        assert normalize_question(story.question) == story.question


def test_no_operation_of_a_story_is_negative_or_inexact(stories: dict[Split, list[Story]]) -> None:
    for story in stories["training"][:1000]:
        text = str(story.calculation)
        while re.search(r"[-+*/]", text):
            pair = re.search(r"\(([^()]+)\)", text)
            inner = pair[1] if pair else text
            first = re.search(r"\d+[*/]\d+", inner) or re.match(r"\d+[-+]\d+", inner)
            assert first, text
            value = calculate(first[0])
            assert value >= 0
            assert value.denominator == 1
            start = (pair.start(1) if pair else 0) + first.start()
            text = text[:start] + str(value) + text[start + len(first[0]) :]
            text = re.sub(r"\((\d+)\)", r"\1", text)


def test_templates_have_each_number_once() -> None:
    for template in TEMPLATES:
        places = Counter(re.findall(r"{(\w+)}", template.text))
        letters = [place for place in places if len(place) == 1]
        assert sorted(letters) == list(template.letters)
        assert {places[letter] for letter in letters} == {1}
        formula = Counter(re.findall("[a-e]", template.formula))
        assert set(formula) <= set(letters)
        assert set(formula.values()) == {1}
        assert template.num_operations == len(formula) - 1
        assert places["name"] >= 1
        assert places["things"] >= 1
        assert template.text.endswith("?")


def test_templates_have_all_operations_and_unneeded_numbers() -> None:
    for operations in (2, 3):
        formulas = [one.formula for one in TEMPLATES if one.num_operations == operations]
        assert {sign for formula in formulas for sign in re.findall("[-+*/]", formula)} == {*"+-*/"}
        assert len(set(formulas)) >= 8
    unneeded = [one for one in TEMPLATES if len(one.letters) > one.num_operations + 1]
    assert {one.num_operations for one in unneeded} == {3}
    assert len(unneeded) >= 4
    assert len({one.text for one in TEMPLATES}) == len(TEMPLATES)


def test_multipliers_and_divisors_are_small(stories: dict[Split, list[Story]]) -> None:
    for story in stories["training"]:
        for factor in re.findall(r"[*/](\d+)", str(story.calculation)):
            assert 2 <= int(factor) <= 9
