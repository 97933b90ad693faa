"""Stories: word problems with two operations, on numbers of up to three digits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from anexa.thinking.splits import Split, split_at
from anexa.thinking.thoughts import ThoughtStep, steps_of

NAMES = (
    "Ada Alan Amir Anna Ben Carl Clara David Dora Elena Emma Erik Eva Finn Grace Hana Hugo Ida "
    "Ines Ivan Jack Jana Jonas Julia Karim Lara Leo Lina Lucas Maria Max Mia Milo Nina Noah Nora "
    "Omar Oscar Paul Rosa Sam Sara Sofia Tom Vera Zoe"
).split()
THINGS = (
    "apples balls beads books boxes buttons candles cards chairs coins cups eggs flowers keys "
    "lamps leaves marbles nuts oranges pages pears pencils pens plates shells spoons stamps stars "
    "stickers stones tickets toys"
).split()
LIMITS = (10, 100, 100, 1000, 1000, 1000)  # numbers of a story are below one of them


@dataclass(frozen=True)
class Template:
    """Template of a word problem whose result is (a first b) second c.

    Attributes:
        text: format string with fields for the name, the things and the numbers.
        first: the operation on a and b; "r-" is b - a.
        second: the operation on that result and c.
    """

    text: str
    first: str
    second: str


TEMPLATES = (
    Template(
        "{name} has {a} {things}, buys {b} more and gives away {c}. "
        "How many {things} does {name} have now?",
        "+",
        "-",
    ),
    Template(
        "{name} finds {a} {things} on Monday, {b} on Tuesday and {c} on Friday. "
        "How many {things} is that in all?",
        "+",
        "+",
    ),
    Template(
        "There were {a} {things} in a shop. {name} took {b} and a friend took {c}. "
        "How many {things} are left?",
        "-",
        "-",
    ),
    Template(
        "{name} had {a} {things}, lost {b} and then found {c}. How many {things} does {name} have?",
        "-",
        "+",
    ),
    Template(
        "A box holds {a} {things}. {name} fills {b} boxes and has {c} {things} more. "
        "How many {things} are there?",
        "*",
        "+",
    ),
    Template(
        "{name} packs {a} {things} in each of {b} bags and then sells {c} {things}. "
        "How many {things} remain?",
        "*",
        "-",
    ),
    Template(
        "{name} makes {a} {things} in the morning and {b} in the evening, for {c} days. "
        "How many {things} is that?",
        "+",
        "*",
    ),
    Template(
        "Of {a} {things} in a row {b} are broken, and {name} has {c} such rows. "
        "How many {things} are whole?",
        "-",
        "*",
    ),
    Template(
        "On a bus there are {a} {things}. {name} brings {b} of them in and puts {c} out. "
        "How many {things} are on the bus?",
        "+",
        "-",
    ),
    Template(
        "{name} needs {a} {things}, has {b} at home and gets {c} as a present. "
        "How many {things} are still missing?",
        "-",
        "-",
    ),
    Template(
        "{name} reads about {a} {things}, then {b}, then {c}. "
        "How many {things} are these together?",
        "+",
        "+",
    ),
    Template(
        "{name} sells {a} {things} of a stock of {b} in each of {c} shops. "
        "How many {things} are left in all?",
        "r-",
        "*",
    ),
)


@dataclass(frozen=True)
class Story:
    """A word problem.

    Attributes:
        template: index in `TEMPLATES`.
        name: the person in the story.
        things: the objects that are counted.
        numbers: a, b and c of the template.
    """

    template: int
    name: str
    things: str
    numbers: tuple[int, int, int]

    @property
    def question(self) -> str:
        """The text of the story."""
        a, b, c = self.numbers
        text = TEMPLATES[self.template].text
        return text.format(name=self.name, things=self.things, a=a, b=b, c=c)

    @property
    def first(self) -> list[ThoughtStep]:
        """The steps of the first operation."""
        operation = TEMPLATES[self.template].first
        a, b, _ = self.numbers
        return steps_of("-", b, a) if operation == "r-" else steps_of(operation, a, b)

    @property
    def steps(self) -> list[ThoughtStep]:
        """All steps of the thought that solves the story."""
        first = self.first
        return first + steps_of(TEMPLATES[self.template].second, first[-1].value, self.numbers[2])

    @property
    def splits(self) -> tuple[Split, Split]:
        """The split of the three numbers, and that of the name in this template."""
        numbers = " ".join(map(str, sorted(self.numbers)))
        return split_at(f"story {numbers}", test=0.02), _split_of_name(self.template, self.name)


@cache
def _split_of_name(template: int, name: str) -> Split:
    return split_at(f"story {template} {name}", test=0.1)


def _below(rng: random.Random, limit: int) -> int:
    """Draw `rng.randrange(limit)`, in half the time: a held-out story takes hundreds of draws."""
    bits = limit.bit_length()
    number = rng.getrandbits(bits)
    while number >= limit:
        number = rng.getrandbits(bits)
    return number


def draw_story(rng: random.Random, split: Split) -> Story:
    """Draw a story without negative values; in a held-out one, numbers and name are held out."""
    while True:
        number = _below(rng, len(TEMPLATES))
        template = TEMPLATES[number]
        a = 2 + _below(rng, LIMITS[_below(rng, len(LIMITS))] - 2)
        b = 2 + _below(rng, LIMITS[_below(rng, len(LIMITS))] - 2)
        c = 2 + _below(rng, LIMITS[_below(rng, len(LIMITS))] - 2)
        if template.first == "*":
            b = 2 + _below(rng, 8)
        if template.second == "*":
            c = 2 + _below(rng, 8)
        name, things = NAMES[_below(rng, len(NAMES))], THINGS[_below(rng, len(THINGS))]
        if _split_of_name(number, name) != split:  # most held-out draws end here: it is cached
            continue
        story = Story(number, name, things, (a, b, c))
        if story.splits != (split, split):
            continue
        if story.first[-1].value >= 0 and story.steps[-1].value >= 0:
            return story
