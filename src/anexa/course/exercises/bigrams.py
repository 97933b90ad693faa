"""Chapter 2: the loss of counted pairs of letters, compared with sums of exact fractions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

SYMBOLS = 27  # the letters, and the dot at both ends of a name
TOLERANCE = 1e-9  # Question.tolerance
# Question.why of the losses.
WHY = (
    "A loss is compared with other losses: if it is off in the ninth digit, something else has "
    "been counted, or averaged in another way."
)


def bigram_loss(
    train: Sequence[str],
    test: Sequence[str],
    *,
    dots: str = "..",
    test_dots: str = "..",
    added: int = 1,
    symbols: int = SYMBOLS,
    by_name: bool = False,
    dots_per_name: int = 1,
) -> float:
    """Return the mean of −ln p(next symbol | symbol) over the pairs of symbols in the test names.

    p(b | a) = (n(ab) + 1) / (n(a) + 27), where n counts in the training names. Fractions are exact,
    and `math.fsum` rounds once.

    Args:
        train: names to count in.
        test: names to predict.
        dots: symbols before and after a training name: ".."; ". " or " ." for the mistake of a
            dot at one end only.
        test_dots: the same for the test names.
        added: number that is added to each count, the 1 in the equation.
        symbols: number of symbols that may follow, the 27 in the equation.
        by_name: whether the result is the mean of the means of the names.
        dots_per_name: dots of a training name that count as followed by a letter.

    Raises:
        ValueError: if `added` is 0, and a pair of the test names is not in the training names.
        ZeroDivisionError: if `added` is 0, and the first symbol of a pair is not in them.
    """
    pairs = Counter(pair for name in train for pair in pairwise(_dotted(name, dots)))
    totals: Counter[str] = Counter()
    for (first, _), count in pairs.items():
        totals[first] += count * (dots_per_name if first == "." else 1)
    means, losses = [], []
    for name in test:
        own = []
        for pair in pairwise(_dotted(name, test_dots)):
            p = Fraction(pairs[pair] + added, totals[pair[0]] + added * symbols)
            own.append(math.log(p.denominator) - math.log(p.numerator))
        losses += own
        means.append(math.fsum(own) / len(own))
    chosen = means if by_name else losses
    return math.fsum(chosen) / len(chosen)


def _dotted(name: str, dots: str) -> str:
    return f"{dots[0]}{name}{dots[1]}".strip()


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw five short names, as a text, and the question for the probability of a pair."""
    consonants, vowels = rng.sample("bdklmnrst", 3), rng.sample("aeio", 2)
    syllables = [consonant + vowel for consonant in consonants for vowel in vowels]
    names = ["".join(rng.sample(syllables, 2)) for _ in range(5)]
    first = Counter("".join(names)).most_common(1)[0][0]
    pairs = Counter(pair for name in names for pair in pairwise(f".{name}."))
    follows = {b: count for (a, b), count in pairs.items() if a == first}
    second = max(follows, key=lambda letter: (follows[letter], letter))
    after, total = follows[second], sum(follows.values())
    question = Question(
        BY_HAND,
        (),
        (after + 1) / (total + SYMBOLS),
        f"Add one to each of the {SYMBOLS} counts: to this one, and so {SYMBOLS} to their sum.",
        TOLERANCE,
        (
            Mistake("This is the share without adding one to each count.", after / total),
            Mistake(_ADDED_ONCE, (after + 1) / (total + 1)),
        ),
    )
    return f"names: {' '.join(names)}\np({second} | {first}) = ?", question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: known names, a name with new pairs, then many held-out names."""
    names = rng.sample(first_names(), 400)
    short, long = min(names, key=len), max(names, key=len)
    return [
        _question(names[:7], names[3:7]),
        _question([short], [long]),
        _question(names[:300], names[300:]),
    ]


_BEGIN = "The first letter is a prediction, too: “.” and then “n”."
_END = "The end of a name is a prediction, too: “na” and then “.”"
_ADDED_ONCE = (
    "One is added to each of 27 counts, so their sum grows by 27: else the probabilities add up to "
    "more than 1."
)


def _question(train: list[str], test: list[str]) -> Question:
    right = bigram_loss(train, test)
    symbols = sum(len(name) + 1 for name in test)
    mistakes: list[tuple[Any, str]] = [
        (bigram_loss(train, test, dots=". ", test_dots=". "), _END),
        (bigram_loss(train, test, test_dots=". "), _END),
        (bigram_loss(train, test, dots=". "), _END),
        (bigram_loss(train, test, dots=" .", test_dots=" ."), _BEGIN),
        (bigram_loss(train, test, test_dots=" ."), _BEGIN),
        (bigram_loss(train, test, dots=" ."), _BEGIN),
        (right / math.log(2), "This is in bits, by log2; the chapter uses the natural logarithm."),
        (
            right / math.log(10),
            "This is by log10; the chapter uses the natural logarithm, math.log.",
        ),
        (-right, "The logarithm of a probability is negative, and a loss is its opposite."),
        (right * symbols, "This is the sum; the mean does not grow with the number of names."),
        (right * symbols / len(test), "The mean is over all predictions, not over names."),
        (bigram_loss(train, test, by_name=True), _BY_NAME),
        (_unsmoothed(train, test), "Add one to each of the 27 counts: this has nothing added."),
        (bigram_loss(train, test, symbols=1), _ADDED_ONCE),
        (bigram_loss(train, test, symbols=26), "There are 27 symbols: 26 letters and the dot."),
        (bigram_loss([*train, *test], test), _PEEKED),
        (bigram_loss(train, test, dots_per_name=2), _DOTS),
    ]
    raised = [
        Mistake(_UNSEEN, raises=name) for name in ("ValueError", "KeyError", "ZeroDivisionError")
    ]
    found = [Mistake(reason, result) for result, reason in mistakes if abs(result - right) > 1e-6]
    return Question("loss", (train, test), right, WHY, TOLERANCE, (*found, *raised))


def _unsmoothed(train: list[str], test: list[str]) -> float:
    """Return the loss with nothing added to the counts; infinite if a pair was never counted."""
    try:
        return bigram_loss(train, test, added=0)
    except (ValueError, ZeroDivisionError):
        return math.inf


_BY_NAME = (
    "Every prediction counts the same: the mean of each name's mean gives the letters of short "
    "names more weight."
)
_DOTS = "Nothing follows the dot at the end of a name: only the one at its beginning begins a pair."
_PEEKED = "The test names have been counted, too: then the loss says nothing about new names."
_UNSEEN = (
    "A pair that was never counted has no place in a dictionary, and log(0) has no value: add one "
    "to each of the 27 counts, also to those that are 0."
)

EXERCISE = Exercise(by_hand, questions)
