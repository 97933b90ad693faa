"""Requests that the thinking model cannot answer, and its refusals.

The requests are words, single numbers, unsupported operations, and operands that are far too long.
"""

from __future__ import annotations

import random
import string

from anexa.thinking.problems import MAX_DIGITS, MAX_FACTOR_DIGITS

NOT_ARITHMETIC = "I work out sums, such as 347*86, and stories about them."
UNSUPPORTED = "I work out one +, - or * of two whole numbers at a time."
TOO_LARGE = (
    f"That is too large for me: I work out up to {MAX_DIGITS} digits for + and -, and up to "
    f"{MAX_FACTOR_DIGITS} for *."
)

_WORDS = (
    "a about and answer are best blue book bread brother buy can capital car cat city code colour "
    "come cook day do dog draw explain film for France friend from game garden give good green "
    "hello help hi house how I in is it joke learn like live make me moon morning mountain movie "
    "music my name night no of please poem rain red river say school sea short sing sister sleep "
    "song star story summer sun tell thank thanks that the think this time to tree today tomorrow "
    "translate train travel weather what when where which who why will winter with write yes you "
    "your"
).split()
_UNSUPPORTED_FORMS = (
    "{a}/{b}", "{a} / {b}", "{a}:{b}", "{a}%{b}", "{a}^{b}", "{a}**{b}", "{a}//{b}", "{a}<{b}",
    "{a} divided by {b}", "{a} mod {b}", "{a} to the power of {b}", "{a} percent of {b}",
    "sqrt({a})", "sqrt {a}", "square root of {a}", "half of {a}", "log({a})", "{a}!", "{a} squared",
    "{a}.{b}+{c}", "{a}-{b}.{c}", "{a}.{b}*{c}", "{a},{b}+{c}", "-{a}+{b}", "-{a}-{b}", "-{a}*{b}",
    "{a}+-{b}", "{a}--{b}", "{a}*-{b}", "{a}+", "{a}-", "{a}*", "+{a}", "-{a}", "*{a}",
    "{a}+{b}+{c}", "{a}+{b}-{c}", "{a}-{b}-{c}", "{a}*{b}*{c}", "{a}*{b}+{c}", "{a}+{b}*{c}",
    "{a} + {b} + {c}", "{a} - {b} + {c}", "{a} * {b} - {c}", "({a}+{b})*{c}", "{a}*({b}-{c})",
    "{a} plus {b} plus {c}", "{a} minus {b} times {c}", "x+{a}={b}", "{a}x={b}", "{a}+{b}={c}",
)  # fmt: skip


def unanswerable_request(rng: random.Random) -> tuple[str, str]:
    """Draw a request that the model cannot answer, and the refusal."""
    (kind,) = rng.choices((_words, _letters, _digits, _unsupported, _too_large), (6, 2, 2, 6, 4))
    return kind(rng)


def _words(rng: random.Random) -> tuple[str, str]:
    words = [rng.choice(_WORDS) for _ in range(rng.randint(1, 8))]
    if rng.random() < 0.3:
        words.insert(rng.randint(0, len(words)), str(_number(rng, rng.randint(1, 4))))
    text = " ".join(words)
    text = text.capitalize() if rng.random() < 0.5 else text
    return text + rng.choice(("", "", "?", "!", ".")), NOT_ARITHMETIC


def _letters(rng: random.Random) -> tuple[str, str]:
    letters = string.ascii_letters + string.punctuation + " "
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 30))), NOT_ARITHMETIC


def _digits(rng: random.Random) -> tuple[str, str]:
    return str(_number(rng, rng.randint(1, rng.choice((4, 12, 40, 400))))), NOT_ARITHMETIC


def _unsupported(rng: random.Random) -> tuple[str, str]:
    a, b, c = (_number(rng, rng.randint(1, rng.choice((1, 2, 3, 8)))) for _ in range(3))
    text = rng.choice(_UNSUPPORTED_FORMS).format(a=a, b=b, c=c)
    return (f"What is {text}?" if rng.random() < 0.2 else text), UNSUPPORTED


def _too_large(rng: random.Random) -> tuple[str, str]:
    sign = rng.choice("+-*")
    # At least two digits too many: `anexa eval` measures calculations with one digit too many.
    least = (MAX_FACTOR_DIGITS if sign == "*" else MAX_DIGITS) + 2
    digits = [rng.randint(least, rng.choice((12, 20, 40, 100, 400))), rng.randint(1, 40)]
    rng.shuffle(digits)
    a, b = (_number(rng, n) for n in digits)
    return rng.choice(("{a}{s}{b}", "{a} {s} {b}", "What is {a}{s}{b}?")).format(
        a=a, s=sign, b=b
    ), TOO_LARGE


def _number(rng: random.Random, digits: int) -> int:
    return rng.randrange(10 ** (digits - 1), 10**digits)
