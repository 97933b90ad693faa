"""Stories: word problems with two or three operations, on numbers of up to three digits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache, cached_property

from anexa.thinking.expressions import Calculation, RefusedDivision, evaluate, parse_expression
from anexa.thinking.splits import Split, split_by_hash, split_of_numbers
from anexa.thinking.story_templates import TEMPLATES, Template

# First names of the persons in the stories.
NAMES = (
    "Ada Alan Amir Anna Ben Carl Clara David Dora Elena Emma Erik Eva Finn Grace Hana Hugo Ida "
    "Ines Ivan Jack Jana Jonas Julia Karim Lara Leo Lina Lucas Maria Max Mia Milo Nina Noah Nora "
    "Omar Oscar Paul Rosa Sam Sara Sofia Tom Vera Zoe"
).split()
# Objects that are counted in the stories.
THINGS = (
    "apples balls beads books boxes buttons candles cards chairs coins cups eggs flowers keys "
    "lamps leaves marbles nuts oranges pages pears pencils pens plates shells spoons stamps stars "
    "stickers stones tickets toys"
).split()
# A number of a story is at least 2, and less than a random one of these limits.
NUMBER_LIMITS = (10, 100, 100, 1000, 1000, 1000)
SMALL_LIMITS = (10,)  # for multipliers and divisors
UNNEEDED_LIMITS = (100,)  # for numbers that the answer does not need, such as an age


@dataclass(frozen=True)
class Story:
    """A word problem.

    Attributes:
        template: index in `TEMPLATES`.
        name: the person in the story.
        things: the objects that are counted.
        numbers: the numbers of the template, in the order of its letters.
    """

    template: int
    name: str
    things: str
    numbers: tuple[int, ...]

    @property
    def question(self) -> str:
        """The text of the story."""
        return TEMPLATES[self.template].text.format(
            name=self.name, things=self.things, **self._by_letter
        )

    @cached_property
    def calculation(self) -> Calculation:
        """The calculation that the story asks for: the template's formula with its numbers."""
        formula = TEMPLATES[self.template].formula
        text = "".join(str(self._by_letter.get(character, character)) for character in formula)
        calculation = parse_expression(text, max_digits=max(map(len, map(str, self.numbers))))
        assert calculation
        return calculation

    @property
    def splits(self) -> tuple[Split, Split]:
        """The split of the needed numbers, and the split of the pair of name and template."""
        needed = (self.numbers[i] for i in TEMPLATES[self.template].needed_indices)
        return split_of_numbers("story", needed), _split_of_name(self.template, self.name)

    @property
    def _by_letter(self) -> dict[str, int]:
        return dict(zip(TEMPLATES[self.template].letters, self.numbers))


@cache
def _split_of_name(template: int, name: str) -> Split:
    return split_by_hash(f"story {template} {name}", test_fraction=0.1)


@cache
def _settings(num_operations: int, split: Split) -> list[tuple[int, str]]:
    """List the pairs (index of a template, name) of a split."""
    return [
        (number, name)
        for number, template in enumerate(TEMPLATES)
        for name in NAMES
        if template.num_operations == num_operations and _split_of_name(number, name) == split
    ]


def draw_story(rng: random.Random, num_operations: int, split: Split) -> Story:
    """Draw a story whose intermediate values and answer are whole and not negative.

    Args:
        rng: random generator.
        num_operations: number of operations, 2 or 3.
        split: split of its needed numbers, and of the pair of name and template.
    """
    number, name = rng.choice(_settings(num_operations, split))
    template, things = TEMPLATES[number], rng.choice(THINGS)
    limits = [_limits(template, letter) for letter in template.letters]
    while True:
        numbers = tuple(rng.randrange(2, rng.choice(below)) for below in limits)
        if split_of_numbers("story", [numbers[i] for i in template.needed_indices]) == split:
            story = Story(number, name, things, numbers)
            if _is_natural(story.calculation):
                return story


def _limits(template: Template, letter: str) -> tuple[int, ...]:
    """Return the limits from which an upper limit of a number of a story is drawn."""
    if letter in template.small_letters:
        return SMALL_LIMITS
    return NUMBER_LIMITS if letter in template.formula else UNNEEDED_LIMITS


def _is_natural(calculation: Calculation) -> bool:
    """Return whether all intermediate values and the result are whole and not negative."""
    try:
        steps = evaluate(calculation)
    except RefusedDivision:
        return False
    return not steps[-1].remainder and min(step.value for step in steps) >= 0
