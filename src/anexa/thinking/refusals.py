"""Requests that the thinking model cannot answer, with the answers that it is trained to give.

The requests are words, single numbers, unsupported operations, operands that are far too long, and
divisions by zero, all answered with a refusal; and numbers without an operation, answered with a
question which operation is meant.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

from anexa.model.question import normalize_question
from anexa.thinking.answers import BY_ZERO_REFUSAL
from anexa.thinking.phrasings import COMMAND_PHRASINGS, FRAMES, SIGN_WORDS, phrase_comparison
from anexa.thinking.problems import (
    MAX_DIGITS,
    MAX_DIVIDEND_DIGITS,
    MAX_DIVISOR_DIGITS,
    MAX_FACTOR_DIGITS,
)
from anexa.thinking.thoughts import LARGER

# Refusals: the request is no arithmetic; it has an unsupported operation, or too many operations;
# or it has operands that are too long.
NOT_ARITHMETIC_REFUSAL = "I work out sums, such as 347*86, and stories about them."
UNSUPPORTED_REFUSAL = "I work out up to three operations, each +, -, * or /, on whole numbers."
TOO_LARGE_REFUSAL = (
    f"That is too large for me: I work out up to {MAX_DIGITS} digits for + and -, "
    f"{MAX_FACTOR_DIGITS} by {MAX_FACTOR_DIGITS} for *, and {MAX_DIVIDEND_DIGITS} by "
    f"{MAX_DIVISOR_DIGITS} for /."
)

# Minimum sizes of the training requests that are refused as too large, well above the sizes that
# `anexa eval` measures beyond training: digits of the longer operand, by operation;
TOO_MANY_DIGITS = {"+": 48, "-": 48, "/": 32, "?": 48}
TOO_MANY_FACTS = 300  # for a product: digits of one factor times digits of the other
TOO_MANY_CHAIN_DIGITS = 12  # digits of a number in a calculation with several operations

MAX_LISTED_NUMBERS = 4  # numbers without an operation that are answered with a question

_WORDS = (
    "a about and answer apples are best blue book bread brother buy can capital car cat city "
    "code color come cook day do dog draw explain film five for France friend from game garden "
    "give good green hello help hi house how hundred I in is it joke learn like live make many "
    "me minus moon morning mountain movie much music my name night no of one please plus poem "
    "rain red river say school sea seven short sing sister sleep song star story summer sun tell "
    "ten thank thanks that the think this three time times to today tomorrow train translate "
    "travel tree twelve two weather what when where which who why will winter with write yes you "
    "your"
).split()
_UNSUPPORTED_FORMS = (
    "{a}:{b}", "{a}%{b}", "{a}^{b}", "{a}**{b}", "{a}//{b}", "{a}<{b}", "{a}>{b}",
    "{a} mod {b}", "{a} to the power of {b}", "{a} percent of {b}", "{a}% of {b}",
    "sqrt({a})", "sqrt {a}", "square root of {a}", "half of {a}", "log({a})", "{a}!", "{a} squared",
    "{a}.{b}+{c}", "{a}-{b}.{c}", "{a}.{b}*{c}", "{a}/{b}.{c}", "{a},{b}+{c}",
    "-{a}+{b}", "-{a}-{b}", "-{a}*{b}", "-{a}/{b}", "{a}+-{b}", "{a}--{b}", "{a}*-{b}", "{a}/-{b}",
    "{a}+", "{a}-", "{a}*", "{a}/", "+{a}", "-{a}", "*{a}", "/{a}", "({a}+{b}", "{a}*{b})", "({a})",
    "{a}+{b}+{c}+{d}+{e}", "{a}+{b}-{c}+{d}-{e}", "{a}-{b}-{c}-{d}-{e}", "{a}*{b}*{c}*{d}*{e}",
    "{a}*{b}+{c}*{d}-{e}", "{a}+{b}/{c}-{d}*{e}", "({a}+{b})*({c}-{d})/{e}",
    "{a}+{b}*({c}-{d}+{e})",
    "{a} + {b} + {c} + {d} + {e}", "{a}+{b}+{c}+{d}+{e}+{f}", "{a}*({b}-{c})+{d}-{e}*{f}",
    "x+{a}={b}", "{a}x={b}", "{a}+{b}={c}",
)  # fmt: skip


def draw_unanswerable_request(rng: random.Random) -> tuple[str, str]:
    """Draw a request that the model cannot answer.

    Returns:
        The request, and the answer: a refusal, or a question as from `clarifying_question`.
    """
    kinds = (_words, _letters, _digits, _unsupported, _too_large, _listed, _by_zero)
    while True:
        (kind,) = rng.choices(kinds, (6, 2, 2, 7, 6, 5, 1))
        text, answer = kind(rng)
        if normalize_question(text) == text:  # the model only sees normalized questions
            return text, answer


def clarifying_question(numbers: Sequence[int]) -> str:
    """Return the question which operation on the numbers is meant: `Do you mean 1+2, 1-2, …?`."""
    *first, last = (sign.join(map(str, numbers)) for sign in "+-*/")
    return f"Do you mean {', '.join(first)} or {last}?"


def _words(rng: random.Random) -> tuple[str, str]:
    words = [rng.choice(_WORDS) for _ in range(rng.randint(1, 8))]
    numbers = rng.choice((0, 0, 0, 0, 1, 1, 1, 2)) if len(words) > 3 else rng.choice((0, 0, 1))
    for _ in range(numbers):
        index = rng.choice([i for i in range(len(words) + 1) if not _is_beside_number(words, i)])
        words.insert(index, str(_number(rng, rng.randint(1, 4))))
    text = " ".join(words)
    text = text.capitalize() if rng.random() < 0.5 else text
    return text + rng.choice(("", "", "?", "!", ".")), NOT_ARITHMETIC_REFUSAL


def _is_beside_number(words: list[str], index: int) -> bool:
    """Return whether one of the two words before or after an index in `words` is a number."""
    return any(word.isdigit() for word in words[max(0, index - 2) : index + 2])


def _letters(rng: random.Random) -> tuple[str, str]:
    letters = string.ascii_letters + string.punctuation + " "
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 30))), NOT_ARITHMETIC_REFUSAL


def _digits(rng: random.Random) -> tuple[str, str]:
    return str(_number(rng, rng.randint(1, rng.choice((4, 12, 40, 400))))), NOT_ARITHMETIC_REFUSAL


def _unsupported(rng: random.Random) -> tuple[str, str]:
    numbers = {name: _number(rng, rng.randint(1, rng.choice((1, 2, 3, 8)))) for name in "abcdef"}
    text = rng.choice(_UNSUPPORTED_FORMS).format(**numbers)
    return _framed(text, rng), UNSUPPORTED_REFUSAL


def _too_large(rng: random.Random) -> tuple[str, str]:
    sign = rng.choice("+-*/?c")
    most = rng.choice((60, 60, 100, 400))
    if sign == "*":
        short = rng.randint(1, 40)
        least = -(-TOO_MANY_FACTS // short)
        digits = [rng.randint(least, max(least, most)), short]
    elif sign == "c":
        digits = [rng.randint(TOO_MANY_CHAIN_DIGITS, most), *(rng.randint(1, 12) for _ in "ab")]
    else:
        digits = [rng.randint(TOO_MANY_DIGITS[sign], most), rng.randint(1, 40)]
    if sign != "/":
        rng.shuffle(digits)
    numbers = [_number(rng, count) for count in digits]
    if sign == "?":
        return phrase_comparison(LARGER, numbers[0], numbers[1], rng), TOO_LARGE_REFUSAL
    signs = [rng.choice("+-*") if sign == "c" else sign for _ in numbers[1:]]
    space = rng.choice(("", "", " "))
    text = str(numbers[0])
    for each, number in zip(signs, numbers[1:]):
        text += f"{space}{each}{space}{number}"
    return _framed(text, rng), TOO_LARGE_REFUSAL


def _listed(rng: random.Random) -> tuple[str, str]:
    """Draw two or more numbers without an operation; the answer asks which operation is meant."""
    count = rng.choice((2, 2, 2, 2, 3, MAX_LISTED_NUMBERS))
    most = 8 if count == 2 else 4
    numbers = [_number(rng, rng.randint(1, most)) for _ in range(count)]
    separator = rng.choice((" ", " ", " ", ", ", " and "))
    return separator.join(map(str, numbers)) + rng.choice(("", "", "?")), clarifying_question(
        numbers
    )


def _by_zero(rng: random.Random) -> tuple[str, str]:
    number = rng.randrange(10 ** rng.randint(1, 8))
    if rng.random() < 0.2:
        phrasings = [phrasing for phrasing in COMMAND_PHRASINGS if phrasing.operation == "/"]
        return rng.choice(phrasings).text.format(a=number, b=0), BY_ZERO_REFUSAL
    sign = rng.choice(("/", "/", " / ", *(f" {word} " for word in SIGN_WORDS["/"])))
    return _framed(f"{number}{sign}0", rng), BY_ZERO_REFUSAL


def _framed(text: str, rng: random.Random) -> str:
    return rng.choice(FRAMES).format(text) if rng.random() < 0.25 else text


def _number(rng: random.Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)
