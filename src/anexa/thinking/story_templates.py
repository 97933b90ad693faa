"""Templates of word problems: texts with fields, and what is to be calculated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Template:
    """Template of a word problem with two or three operations.

    Attributes:
        text: format string with fields for the name, the things, and the numbers a to e.
        formula: the calculation that the story asks for, with the letters of its numbers. A number
            that is only in the text, often e, is not needed. Numbers are drawn so that the result
            of each operation is whole and not negative.
    """

    text: str
    formula: str

    @cached_property
    def num_operations(self) -> int:
        """Number of operations in the formula."""
        return len(re.findall(r"[-+*/]", self.formula))

    @cached_property
    def letters(self) -> str:
        """Letters of the numbers in the text, in alphabetical order."""
        return "".join(sorted(re.findall(r"{([a-e])}", self.text)))

    @cached_property
    def needed_indices(self) -> tuple[int, ...]:
        """Indices in `letters` of the numbers that are in the formula."""
        return tuple(i for i, letter in enumerate(self.letters) if letter in self.formula)

    @cached_property
    def small_letters(self) -> str:
        """Letters of multipliers and divisors, which are numbers from 2 to 9 in the corpus."""
        return "".join(re.findall(r"[*/]([a-e])", self.formula))


# All templates; `Story.template` is an index in them.
TEMPLATES = (
    Template(
        "{name} has {a} {things}, buys {b} more and gives away {c}. "
        "How many {things} does {name} have now?",
        "a+b-c",
    ),
    Template(
        "{name} finds {a} {things} on Monday, {b} on Tuesday and {c} on Friday. "
        "How many {things} is that in all?",
        "a+b+c",
    ),
    Template(
        "There were {a} {things} in a shop. {name} took {b} and a friend took {c}. "
        "How many {things} are left?",
        "a-b-c",
    ),
    Template(
        "{name} had {a} {things}, lost {b} and then found {c}. How many {things} does {name} have?",
        "a-b+c",
    ),
    Template(
        "A box holds {a} {things}. {name} fills {b} boxes and has {c} {things} more. "
        "How many {things} are there?",
        "a*b+c",
    ),
    Template(
        "{name} packs {a} {things} in each of {b} bags and then sells {c} {things}. "
        "How many {things} remain?",
        "a*b-c",
    ),
    Template(
        "{name} makes {a} {things} in the morning and {b} in the evening, for {c} days. "
        "How many {things} is that?",
        "(a+b)*c",
    ),
    Template(
        "Of {a} {things} in a row {b} are broken, and {name} has {c} such rows. "
        "How many {things} are whole?",
        "(a-b)*c",
    ),
    Template(
        "On a bus there are {a} {things}. {name} brings {b} more in and takes {c} out. "
        "How many {things} are on the bus?",
        "a+b-c",
    ),
    Template(
        "{name} needs {a} {things}, has {b} at home and gets {c} as a present. "
        "How many {things} are still missing?",
        "a-b-c",
    ),
    Template(
        "{name} reads about {a} {things}, then {b}, then {c}. "
        "How many {things} are these together?",
        "a+b+c",
    ),
    Template(
        "{name} sells {a} {things} of a stock of {b} in each of {c} shops. "
        "How many {things} are left in all?",
        "(b-a)*c",
    ),
    Template(
        "{name} shares {a} {things} equally among {b} friends. One of them already has {c}. "
        "How many {things} does this friend have now?",
        "a/b+c",
    ),
    Template(
        "{name} has {a} {things}, keeps {b} and shares the rest equally among {c} friends. "
        "How many {things} does each friend get?",
        "(a-b)/c",
    ),
    Template(
        "{name} has {a} {things}, buys {b} more, gives away {c} and then finds {d}. "
        "How many {things} does {name} have now?",
        "a+b-c+d",
    ),
    Template(
        "{name} is {e} years old and has {a} {things} in each of {b} bags. {name} gives away {c} "
        "{things} and gets {d} back. How many {things} does {name} have now?",
        "a*b-c+d",
    ),
    Template(
        "{name} makes {a} {things} in the morning and {b} in the evening, for {c} days, and then "
        "buys {d} more. How many {things} are there now?",
        "(a+b)*c+d",
    ),
    Template(
        "{name} puts {a} {things} in each of {b} bags and {c} in each of {d} baskets. "
        "How many {things} is that in all?",
        "a*b+c*d",
    ),
    Template(
        "There are {a} {things} in a red bag and {b} in a blue one. {name} takes {c} of them and "
        "shares the rest equally among {d} friends. How many {things} does each friend get?",
        "(a+b-c)/d",
    ),
    Template(
        "{name} spreads {a} {things} equally over {b} tables and adds {c} to every table. "
        "How many {things} are on {d} such tables?",
        "(a/b+c)*d",
    ),
    Template(
        "{name} needs {a} {things} and has {b}. A friend brings {c} in each of {d} bags. "
        "How many {things} are still missing?",
        "a-b-c*d",
    ),
    Template(
        "A train with {e} wagons carries {a} {things}. At the first stop {name} takes out {b} and "
        "puts in {c}, at the second stop {d} are taken out. How many {things} are left?",
        "a-b+c-d",
    ),
    Template(
        "{name} walks {e} minutes to the market, buys {a} {things} from one man and {b} from "
        "another, gets {c} as a present and loses {d} on the way. "
        "How many {things} does {name} bring home?",
        "a+b+c-d",
    ),
    Template(
        "{name} sells {a} {things} of a stock of {b} in each of {c} shops and gives away {d} of "
        "those that are left. How many {things} remain?",
        "(b-a)*c-d",
    ),
    Template(
        "{name} packs {a} {things} into bags of {b} each, sells {c} of the bags and gets {d} bags "
        "from a friend. How many bags does {name} have?",
        "a/b-c+d",
    ),
    Template(
        "In a house with {e} windows {name} has {a} {things}, keeps {b} and shares the rest "
        "equally among {c} friends. One friend gets {d} more. "
        "How many {things} does this friend have?",
        "(a-b)/c+d",
    ),
    Template(
        "{name} lays out {a} {things} in each of {b} rows, {c} beside them and {d} on a chair. "
        "How many {things} are these together?",
        "a*b+c+d",
    ),
)
