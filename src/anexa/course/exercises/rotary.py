"""Chapter 13: rotary positions, compared with the engine `lists`, and tried in a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask

Vector = list[float]
Turn = Callable[[Vector, int, float], Vector]  # function with the arguments and result of `turn`

TOLERANCE = 1e-12  # Question.tolerance of most questions
ANNA = [10, 0, 5, 5, 0]  # token ids for a small Llama: BOS, a, n, n, a
# Question.why, here and below: sentences for answers that are no typical mistake.
WHY = (
    "The pair of numbers i and i + half is turned by the angle position · frequency i. In a model "
    "with other angles, nothing that training has learned about distances would be true."
)
WHY_FREQUENCIES = (
    "Frequency i is the base to the power of −2 · i / size. If frequencies are wrong, the hands of "
    "the clock run at other speeds than in training."
)
WHY_DISTANCE = (
    "The score of a query and a key must depend on their distance alone: the same at the positions "
    "3 and 1 as at 13 and 11. A turn keeps the length of each pair, and the angle between two."
)
WHY_BACK = "A turn by the opposite angle must undo the turn: it is also its gradient."
WHY_MODEL = (
    "Single calls were right, and in the model they are not: a turn must depend on nothing but the "
    "arguments of the call."
)


def frequencies(size: int, base: float) -> Vector:
    """Return base^(−2i / size) for i below size / 2: the radians per position of each pair."""
    from anexa.model.rotary import rotary_frequencies

    return list(rotary_frequencies(size, base))


def turn(x: Vector, position: int, base: float) -> Vector:
    """Rotate pair i of a vector by position · frequency i radians, by the engine `lists`.

    Args:
        x: vector of an even length n; numbers i and i + n / 2 are pair i.
        position: position of the token, from 0.
        base: base of the frequencies, as in `frequencies`.

    Returns:
        A new vector.
    """
    from anexa.engines.operations.lists import Rotary

    found = Rotary().forward([x], len(x), position, tuple(frequencies(len(x), base)))
    return list(map(float, found[0]))


def ask_rotary(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file; three questions use its `turn` several times.

    Raises:
        MissingName: if the file does not define a name that the question needs.
        TypeError: if its `turn` returns a number or nothing in one of the three questions.
    """

    def turned(x: Vector, position: int, base: float) -> Vector:
        result = ask(names, "turn", (list(x), position, base))
        if not isinstance(result, Iterable):
            raise TypeError(f"turn returns {result!r}, and should return a list")
        return list(result)

    if call == "distance":
        return score_differences(turned, *arguments)
    if call == "back":
        x, position, base = arguments
        return turned(turned(x, position, base), -position, base)
    if call == "model":
        return model_logits(turned)
    return ask(names, call, arguments)


def score_differences(turn: Turn, q: Vector, k: Vector, base: float) -> Vector:
    """Compute how much a score changes if query and key move on together.

    Returns:
        Three numbers. With s(m, n), the dot product of `q` at position m and `k` at n, they are
        s(13, 11) − s(3, 1) and s(103, 101) − s(3, 1). The third one is the score of `q` with itself
        at position 5 minus that at position 0. All are 0 if `turn` is right.
    """

    def score(other: Vector, m: int, n: int) -> float:
        return sum(a * b for a, b in zip(turn(q, m, base), turn(other, n, base)))

    first = score(k, 3, 1)
    moved = [score(k, 13, 11) - first, score(k, 103, 101) - first]
    return [*moved, score(q, 5, 5) - score(q, 0, 0)]


def model_logits(turn: Turn) -> Vector:
    """Return the logits after the last token of `ANNA`, of a small Llama that rotates by `turn`."""
    from anexa.engines.lists import ListsTape
    from anexa.engines.nested import nest
    from anexa.engines.tape import Operation
    from anexa.engines.verification import example_model_and_batch
    from anexa.model.architectures import get_architecture

    config, weights, _ = example_model_and_batch("llama")

    class Rotary(Operation[Any], name="rotary"):
        def forward(self, x_TC: Any, /, head_dim: int, start: int, *_: Any) -> Any:
            return [
                [
                    number
                    for i in range(0, len(row), head_dim)
                    for number in turn(row[i : i + head_dim], start + t, config.rope_theta)
                ]
                for t, row in enumerate(x_TC)
            ]

        def backward(self, *grads: Any) -> tuple[Any, ...]:
            raise NotImplementedError  # only the logits are asked for

    class ReadersTape(ListsTape, operations=[Rotary]):
        pass

    nested = {name: nest(weight.data, weight.shape) for name, weight in weights.items()}
    ops = ReadersTape(recording=False).ops
    logits: Any = get_architecture(config).forward(ops, config, nested, ANNA, 0, None)
    return list(map(float, logits[-1]))


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a pair, a position and a frequency, as a text, and the question for the turned pair."""
    x = [float(rng.choice([-4, -3, -2, 2, 3, 4])) for _ in range(2)]
    position, frequency = rng.choice([(2, 0.5), (3, 0.5), (4, 0.5), (2, 0.25), (6, 0.25)])
    angle = position * frequency
    right = [round(number, 4) for number in _pair(x[0], x[1], angle)]
    mistakes = (
        Mistake(_DEGREES, _pair(x[0], x[1], math.radians(angle))),
        Mistake(_OTHER_WAY, _pair(x[0], x[1], -angle)),
        Mistake(_NO_MINUS, [x[0] * math.cos(angle) + x[1] * math.sin(angle), right[1]]),
        Mistake(
            "The angle is the position times the frequency.", _pair(x[0], x[1], float(position))
        ),
        Mistake("The angle is the position times the frequency.", _pair(x[0], x[1], frequency)),
    )
    why = "The first number is a · cos − b · sin, the second one b · cos + a · sin."
    text = f"pair: {[int(number) for number in x]}\nposition: {position}, frequency: {frequency}"
    return text + "\nthe turned pair: ?", Question(BY_HAND, (), right, why, 0.006, mistakes)


def _pair(a: float, b: float, angle: float) -> Vector:
    sin, cos = math.sin(angle), math.cos(angle)
    return [a * cos - b * sin, b * cos + a * sin]


def questions(rng: Random) -> list[Question]:
    """Draw the questions: frequencies, what turns are for, turned vectors, and a whole model."""

    def vector(size: int) -> Vector:
        return [rng.choice([-1, 1]) * round(rng.uniform(0.3, 2), 3) for _ in range(size)]

    base = rng.choice([50.0, 100.0, 200.0])
    far, x = rng.randrange(20, 400), vector(8)
    label = f"turn(turn({x}, {far}, {base}), -{far}, {base})"
    return [
        _frequencies(4, base),
        _frequencies(8, 10_000.0),
        _distance(vector(4), vector(4), base),
        _turn(vector(2), rng.randrange(1, 4), base),
        _turn(vector(6), 0, base),
        _turn(vector(6), rng.randrange(2, 9), base),
        _turn(vector(8), far, 10_000.0),
        Question("back", (x, far, base), x, WHY_BACK, 1e-9, label=label),
        Question(
            "model",
            (),
            model_logits(turn),
            WHY_MODEL,
            1e-9,
            label="the logits of a model with your rotary positions in it",
        ),
    ]


_DEGREES = "Angles are in radians, the measure of math.cos and math.sin: here they are in degrees."
_OTHER_WAY = (
    "This turns in the other direction. The distances are kept, but published models were trained "
    "with a · cos − b · sin."
)
_NO_MINUS = (
    "Exactly one of the two signs is a minus, that before b · sin: else it is no turn, and the "
    "length of the pair changes."
)
_SAME = "The second number of a pair is b · cos + a · sin: here cos and sin are exchanged."
_NEIGHBORS = (
    "The pairs are i and i + half, not neighbors. Both are good turns, but Llama's weights in the "
    "format of transformers are made for i and i + half."
)
_OVERWRITTEN = (
    "The second number of a pair is computed from the first one before the turn. Here it has been "
    "overwritten: keep both first."
)
_BY_ELEMENT = "Both numbers of a pair have the same angle: there is one frequency for each pair."
_FROM_1 = "Positions are counted from 0: the first token is not turned."
_SIZE = "Divide by the whole size: the power is −2 · i / size."
_NO_TWO = "The 2 is missing: the power is −2 · i / size."
_POSITIVE = "The power has a minus: the first pair turns fastest, and the others more slowly."
_TOO_MANY = "There is one frequency for each pair: half as many as the vector has numbers."
_LINEAR = "−2 · i / size is the power of the base, and not a factor: base ** (−2 · i / size)."
_ADDED = "The position is added here: it has to turn the vector."


def _frequencies(size: int, base: float) -> Question:
    half = size // 2
    wrong = [
        (_NO_TWO, [base ** (-i / size) for i in range(half)]),
        (_SIZE, [base ** (-2 * i / half) for i in range(half)]),
        (_POSITIVE, [base ** (2 * i / size) for i in range(half)]),
        (_TOO_MANY, [base ** (-2 * i / size) for i in range(size)]),
        (_TOO_MANY, [base ** (-i / size) for i in range(size)]),
        (_LINEAR, [1 / base * -2 * i / size for i in range(half)]),
        ("i is counted from 0.", [base ** (-2 * (i + 1) / size) for i in range(half)]),
    ]
    mistakes = tuple(Mistake(why, result) for why, result in wrong)
    right = frequencies(size, base)
    return Question("frequencies", (size, base), right, WHY_FREQUENCIES, TOLERANCE, mistakes)


def _turn(x: Vector, position: int, base: float) -> Question:
    right = turn(x, position, base)
    wrong = [(why, one(x, position, base)) for why, one in _WRONG_TURNS]
    mistakes = [
        Mistake(why, result)
        for why, result in wrong
        if any(abs(a - b) > 1e-9 for a, b in zip(result, right))
    ]
    return Question("turn", (x, position, base), right, WHY, TOLERANCE, tuple(mistakes))


def _distance(q: Vector, k: Vector, base: float) -> Question:
    wrong = [(why, score_differences(one, q, k, base)) for why, one in _WRONG_TURNS]
    mistakes = [Mistake(why, found) for why, found in wrong if max(map(abs, found)) > 1e-6]
    label = f"scores of the query {q} and the key {k} that move on together: their differences"
    right = [0.0, 0.0, 0.0]
    return Question("distance", (q, k, base), right, WHY_DISTANCE, 1e-9, tuple(mistakes), label)


def _variant(formula: Callable[[float, float, float, float], tuple[float, float]]) -> Turn:
    """Return a function that turns the pairs by a formula of a, b, cos and sin."""

    def turned(x: Vector, position: int, base: float) -> Vector:
        half = len(x) // 2
        pairs = [
            formula(a, b, math.cos(position * f), math.sin(position * f))
            for a, b, f in zip(x[:half], x[half:], frequencies(len(x), base))
        ]
        return [a for a, _ in pairs] + [b for _, b in pairs]

    return turned


def _neighbors(x: Vector, position: int, base: float) -> Vector:
    y = turn(x[::2] + x[1::2], position, base)
    half = len(x) // 2
    return [number for pair in zip(y[:half], y[half:]) for number in pair]


def _by_element(x: Vector, position: int, base: float) -> Vector:
    half = len(x) // 2
    angles = [position * base ** (-i / len(x)) for i in range(len(x))]
    rotated = [-b for b in x[half:]] + x[:half]
    return [a * math.cos(w) + b * math.sin(w) for a, b, w in zip(x, rotated, angles)]


_WRONG_TURNS: list[tuple[str, Turn]] = [
    (_NO_MINUS, _variant(lambda a, b, cos, sin: (a * cos + b * sin, b * cos + a * sin))),
    (_NO_MINUS, _variant(lambda a, b, cos, sin: (a * cos - b * sin, b * cos - a * sin))),
    (_SAME, _variant(lambda a, b, cos, sin: (a * cos - b * sin, a * cos + b * sin))),
    (
        _OVERWRITTEN,
        _variant(lambda a, b, cos, sin: (a * cos - b * sin, b * cos + (a * cos - b * sin) * sin)),
    ),
    (_BY_ELEMENT, _by_element),
    (_ADDED, lambda x, position, _base: [number + position for number in x]),
    (_DEGREES, lambda x, position, base: _degrees(x, position, base)),
    (_OTHER_WAY, lambda x, position, base: turn(x, -position, base)),
    (_NEIGHBORS, _neighbors),
    (_FROM_1, lambda x, position, base: turn(x, position + 1, base)),
]


def _degrees(x: Vector, position: int, base: float) -> Vector:
    half = len(x) // 2
    angles = [math.radians(position * f) for f in frequencies(len(x), base)]
    pairs = [_pair(a, b, angle) for a, b, angle in zip(x[:half], x[half:], angles)]
    return [a for a, _ in pairs] + [b for _, b in pairs]


EXERCISE = Exercise(by_hand, questions, ask_rotary)
