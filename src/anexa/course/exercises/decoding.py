"""Chapter 12: sampling, and attention with a cache, compared with `generation` and `lists`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask
from anexa.course.exercises.cross_entropy import softmax

Vector = list[float]
Matrix = list[Vector]  # rows: a vector for each token
Piece = tuple[int, Matrix, Matrix, Matrix]  # number of the text, queries, keys, values

TOLERANCE = 1e-12  # Question.tolerance of most questions
# Question.why, here and below.
WHY = (
    "Divide the logits by the temperature, take softmax, keep the top_k likeliest, then the fewest "
    "likeliest that reach top_p of the rest, each time with a sum of 1 again. A token too many may "
    "spoil a text, and one too few makes all texts alike."
)
WHY_CACHE = (
    "With a cache, attention must give what it gives without one: else the model that writes is "
    "not the model that was trained."
)


def ask_decoding(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file; `attend` is called for one piece after another.

    Its first argument is then a dict that is the cache of the piece's text, empty at first.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call != "attend":
        return ask(names, call, arguments)
    caches: dict[int, dict[str, Any]] = {}
    outputs = []
    for text, *vectors in arguments[0]:
        given = [[list(row) for row in rows] for rows in vectors]
        outputs.append(ask(names, call, (caches.setdefault(text, {}), *given)))
    return outputs


def sampled(
    logits: Vector, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Vector:
    """Return the probability of each token, by the sampler of `anexa.generation`.

    Args:
        logits: logits of the tokens.
        temperature: number that the logits are divided by; 0: the likeliest token has 1.
        top_k: number of tokens to keep; None: all.
        top_p: sum of the probabilities to keep.
    """
    import numpy as np

    from anexa.generation.sampling import probabilities
    from anexa.generation.sampling_params import SamplingParams

    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
    return [float(p) for p in probabilities(np.array([logits]), [params])[0]]


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw probabilities, a top-p and a random number, as a text, and the question for the token.

    It asks for the number of tokens that are kept and the largest probability, too.
    """
    while True:
        cuts = sorted(rng.sample(range(1, 20), 4))
        p = [(b - a) / 20 for a, b in zip([0, *cuts], [*cuts, 20])]
        top, r = rng.choice([0.62, 0.73, 0.83]), rng.randrange(2, 98) / 100
        kept = sampled([math.log(pi) for pi in p], top_p=top)
        count = sum(pi > 0 for pi in kept)
        right = [count, round(max(kept), 4), _draw(kept, r)]
        ends = [abs(sum(kept[:i]) - r) for i in range(6)]
        depends = right[2] != _draw(p, r)  # the token, on top-p
        if len(set(p)) == 5 and count in (2, 3, 4) and min(ends) > 0.02 and depends:
            break
    order = sorted(range(5), key=lambda i: -p[i])
    in_order = [kept[i] for i in order]
    one_less = [pi if i in order[: count - 1] else 0.0 for i, pi in enumerate(p)]
    less = [pi / sum(one_less) for pi in one_less]
    mistakes = (
        Mistake(_NOT_RESCALED, [count, max(p), _draw([pi * (k > 0) for pi, k in zip(p, kept)], r)]),
        Mistake(_NOT_RESCALED, [count, max(p), right[2]]),
        Mistake(_WITHOUT, [count - 1, max(less), _draw(less, r)]),
        Mistake(_BY_SIZE, [*right[:2], order[_draw(in_order, r)]]),
        Mistake(_BY_SIZE, [*right[:2], _draw(in_order, r)]),
        Mistake("Tokens are counted from 0.", [*right[:2], right[2] + 1]),
        Mistake("This token is drawn from all, without top-p.", [*right[:2], _draw(p, r)]),
    )
    why = "Keep the fewest likeliest tokens that reach top-p, divide by their sum, then draw."
    text = f"probabilities: {p}\ntop-p: {top}, random number: {r}"
    last = "\ntokens that are kept, the largest probability, and the token that is drawn: ?"
    return text + last, Question(BY_HAND, (), right, why, 0.006, mistakes)


def _draw(probabilities: Vector, r: float) -> int:
    total = 0.0
    for token, probability in enumerate(probabilities):
        total += probability
        if r < total:
            return token
    return len(probabilities) - 1


def questions(rng: Random) -> list[Question]:
    """Draw the questions: texts in pieces, then temperature, top-k and top-p."""

    def logits() -> Vector:
        return [round(rng.uniform(-3, 3), 3) for _ in range(6)]

    def piece(text: int, count: int) -> Piece:
        q, k, v = (
            [[round(rng.uniform(-2, 2), 3) for _ in range(4)] for _ in range(count)] for _ in "qkv"
        )
        return text, q, k, v

    equal = [1.5, 0.25, 1.5, -1.0, 1.5]
    rng.shuffle(equal)
    one_by_one = [piece(0, 1) for _ in range(4)]
    in_pieces = [piece(0, 3), piece(0, 2), piece(0, 1)]
    in_turn = [piece(i % 2, 1 + i % 3) for i in range(6)]
    warm = rng.choice([0.5, 0.6, 2.0, 3.0])
    return [
        _attend([], one_by_one, "token by token"),
        _attend(one_by_one, in_pieces, "in pieces of 3, 2 and 1 tokens"),
        _attend(one_by_one + in_pieces, in_turn, "two texts in turn"),
        _probabilities(logits(), warm, None, 1.0),
        _probabilities(logits(), 1.0, 3, 1.0),
        _draw_cut(rng, 1.0, None),
        _draw_cut(rng, 1.0, 4),
        _draw_cut(rng, warm, None),
        _probabilities(equal, 1.0, 2, 1.0),
        _probabilities([2.0 + abs(z) for z in logits()], 0.001, None, 1.0),
        _probabilities(equal, 0.0, None, 1.0),
    ]


def _draw_cut(rng: Random, temperature: float, top_k: int | None) -> Question:
    """Draw a question in which top-p is a matter of the right order, and nearly no rounding."""
    while True:
        logits = [round(rng.uniform(-2, 2), 3) for _ in range(6)]
        top_p = rng.choice([0.6, 0.7, 0.8])
        scaled = [z / temperature for z in logits]
        right = sampled(logits, temperature, top_k, top_p)
        early = _without(scaled, cut(logits, None, top_p))
        others = [cut(scaled, top_k, top_p, mistake=one) for one in ("all", "smallest", "size")]
        p = sorted(softmax(scaled), reverse=True)[:top_k]
        ends = [sum(p[: i + 1]) / sum(p) for i in range(len(p))]
        found = [*([others[0]] if top_k else []), *([early] if temperature != 1 else [])]
        if (
            all(not _equal(one, right) for one in found + others[1:])
            and sum(one > 0 for one in right) >= 2
            and min(abs(end - top_p) for end in ends) > 0.01
        ):
            return _probabilities(logits, temperature, top_k, top_p)


_TIMES = "Divide the logits by the temperature: here they are multiplied."
_AFTER = (
    "Probabilities that are divided by the temperature are the same again after the division by "
    "their sum: divide the logits, before softmax."
)
_NOT_RESCALED = (
    "Divide by the sum of those that are kept. Else their probabilities add up to less than 1, and "
    "a draw may find no token."
)
_WITHOUT = (
    "The token that reaches top-p is kept, too. Without it, a model that is sure of one token "
    "would have nothing left."
)
_BY_SIZE = (
    "The place in the list is the number of the token: put the probabilities back in the order of "
    "the tokens, or other tokens are drawn."
)
_SMALLEST = "These are the least likely tokens, and the likeliest are asked for."
_P_FIRST = "The order is temperature, top-k, top-p: here top-p comes before the temperature."
_OF_ALL = (
    "Top-p looks at the tokens that top-k has kept, after their probabilities add up to 1 again: "
    "here it has those from before."
)
_TIES = (
    "Two logits are equal, and top_k is a number of tokens, not a smallest logit: the lower number "
    "is kept."
)
_HIGHER = (
    "Of two equal logits, the lower number comes first: sort by the negative logit, as in the "
    "chapter, and do not reverse the order."
)
_NONE = "top_k may be None: then it cuts nothing off."
_OVERFLOW = (
    "Large logits overflow: subtract the largest one before the division by the temperature, as in "
    "chapter 3."
)
_ZERO = (
    "With a temperature of 0, the likeliest token has the probability 1. One cannot divide by 0."
)
_GREEDY_TIES = (
    "Several logits are equal: with a temperature of 0, the token with the lowest number is taken, "
    "and the others have the probability 0."
)


def cut(logits: Vector, top_k: int | None, top_p: float, *, mistake: str = "") -> Vector:
    """Return the softmax of logits with its tail cut off, with a mistake.

    Args:
        logits: logits, after the temperature.
        top_k: number of tokens to keep; None: all.
        top_p: sum of the probabilities to keep.
        mistake: "sum" for no division by the sum, "without" for no token that reaches `top_p`,
            "all" for `top_p` before `top_k`, "ties" for more than `top_k` tokens if logits are
            equal, "higher" for the higher number of two equal logits, "smallest" for the least
            likely, "size" for results in the order of size; empty: none.
    """
    p = softmax(logits)
    order = sorted(range(len(p)), key=lambda i: p[i] if mistake == "smallest" else -p[i])
    if mistake == "higher":
        order = sorted(range(len(p)), key=lambda i: p[i])[::-1]
    k = len(p) if top_k is None else top_k
    kept = order if mistake == "all" else order[:k]
    if mistake == "ties":
        kept = [i for i in order if logits[i] >= logits[order[k - 1]]]
    whole, total, nucleus = sum(p[i] for i in kept), 0.0, []
    for i in kept:
        total += p[i] / whole
        if mistake != "without" or total < top_p or top_p == 1:
            nucleus.append(i)
        if total >= top_p and top_p < 1:
            break
    nucleus = nucleus if mistake == "ties" else nucleus[:k]
    last = 1.0 if mistake == "sum" else sum(p[i] for i in nucleus) or 1.0
    result = [p[i] / last if i in nucleus else 0.0 for i in range(len(p))]
    return [result[i] for i in order] if mistake == "size" else result


def _without(logits: Vector, probabilities: Vector) -> Vector:
    """Return the softmax of the logits whose tokens have a probability."""
    return softmax([z if p > 0 else -math.inf for z, p in zip(logits, probabilities)])


def _equal(one: Vector, other: Vector) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(one, other))


def _probabilities(logits: Vector, temperature: float, top_k: int | None, top_p: float) -> Question:
    right = sampled(logits, temperature, top_k, top_p)
    scaled = [z / temperature for z in logits] if temperature else logits
    wrong = [
        (_TIMES, cut([z * temperature for z in logits], top_k, top_p)),
        (_AFTER, cut(logits, top_k, top_p)),
        (_WITHOUT, cut(scaled, top_k, top_p, mistake="without")),
        (_NOT_RESCALED, cut(scaled, top_k, top_p, mistake="sum")),
        (_TIES, cut(scaled, top_k, top_p, mistake="ties")),
        (_HIGHER, cut(scaled, top_k, top_p, mistake="higher")),
        (_BY_SIZE, cut(scaled, top_k, top_p, mistake="size")),
        (_SMALLEST, cut(scaled, top_k, top_p, mistake="smallest")),
        (_OF_ALL, cut(scaled, top_k, top_p, mistake="all")),
    ]
    if temperature == 0:
        wrong = [*((_GREEDY_TIES, found) for found in _greedy_ties(logits)), *wrong]
    elif temperature != 1:
        wrong.insert(0, (_P_FIRST, _without(scaled, cut(logits, None, top_p))))
    mistakes = [Mistake(why, result) for why, result in wrong if not _equal(result, right)]
    raised = (
        Mistake(_OVERFLOW, raises="OverflowError"),
        Mistake(_ZERO, raises="ZeroDivisionError"),
        Mistake(_NONE, raises="TypeError", message="NoneType"),
    )
    arguments = (logits, temperature, top_k, top_p)
    return Question("probabilities", arguments, right, WHY, TOLERANCE, (*mistakes, *raised))


def _greedy_ties(logits: Vector) -> list[Vector]:
    """Return what greedy programs make of equal largest logits, other than taking the first."""
    best = [i for i, z in enumerate(logits) if z == max(logits)]
    every = [float(i in best) for i in range(len(logits))]
    last = [float(i == best[-1]) for i in range(len(logits))]
    return [every, [one / len(best) for one in every], last]


_EMPTY = (
    "A new token looks only at the new ones: keys and values of the piece before have to be kept "
    "in the cache."
)
_LAST = "The cache has the last piece only: append to what is there, and do not replace it."
_FROM_0 = (
    "A new token sees too few keys: token t of a piece sees all that were in the cache before, "
    "and t + 1 of the new ones."
)
_AHEAD = (
    "A token looks ahead in its own piece. In a training that would be cheating, and token by "
    "token the model would be another one."
)
_NOT_ITSELF = "A token must see its own key, too: append before you look."
_SHARED = (
    "The second text sees the keys of the first: what is kept must be in the dictionary of the "
    "text. On a server, one person would read along with another."
)
_NO_KEY = (
    "The cache is an empty dictionary at first: put empty lists into it, if there are none yet."
)
_UNSCALED = "Divide the scores by the square root of the length of a query, as in chapter 6."
_EXCHANGED = "Queries are compared with keys, and values are averaged: here two are exchanged."


def _attend(earlier: list[Piece], pieces: list[Piece], label: str) -> Question:
    """Ask for the outputs of attention for pieces of texts; `earlier` were asked for before."""
    from anexa.engines.operations.lists_attention import Attention

    rows: dict[int, list[Matrix]] = {}
    for text, *vectors in pieces:
        kept = rows.setdefault(text, [[], [], []])
        for all_rows, new in zip(kept, vectors):
            all_rows += new
    whole = {text: Attention().forward(q, k, v, 1, None) for text, (q, k, v) in rows.items()}
    right, done = [], dict.fromkeys(rows, 0)
    for text, queries, *_ in pieces:
        right.append(whole[text][done[text] : done[text] + len(queries)])
        done[text] += len(queries)
    wrong = [(why, _outputs(pieces, mistake)) for mistake, why in _MISTAKES.items()]
    wrong.append((_SHARED, _outputs(earlier + pieces, "shared")[len(earlier) :]))
    mistakes = [Mistake(why, result) for why, result in wrong if result != right]
    mistakes += [
        Mistake(_NOT_ITSELF, raises="ValueError"),
        Mistake(_NO_KEY, raises="KeyError"),
    ]
    question = f"attend, {label}"
    return Question("attend", (pieces,), right, WHY_CACHE, TOLERANCE, tuple(mistakes), question)


_MISTAKES = {
    "empty": _EMPTY,
    "last": _LAST,
    "from 0": _FROM_0,
    "ahead": _AHEAD,
    "not itself": _NOT_ITSELF,
    "unscaled": _UNSCALED,
    "exchanged": _EXCHANGED,
}


def _outputs(pieces: list[Piece], mistake: str) -> list[Matrix]:
    """Return the outputs for all pieces, with a mistake of `_MISTAKES` or "shared"."""
    caches: dict[int, tuple[Matrix, Matrix]] = {}
    outputs = []
    for number, queries, new_keys, new_values in pieces:
        text = 0 if mistake == "shared" else number
        keys, values = caches.get(text, ([], []))
        before = 0 if mistake == "from 0" else len(keys)
        if mistake == "empty":
            keys, values, before = [], [], 0
        keys, values = keys + new_keys, values + new_values
        caches[text] = (new_keys, new_values) if mistake == "last" else (keys, values)
        if mistake == "exchanged":
            keys, values = values, keys
        rows: Matrix = []
        for t, query in enumerate(queries):
            seen = len(keys) if mistake == "ahead" else before + t + (mistake != "not itself")
            divisor = 1.0 if mistake == "unscaled" else math.sqrt(len(query))
            if not seen:
                rows.append([])
                continue
            weights = softmax([_dot(query, key) / divisor for key in keys[:seen]])
            rows.append([_dot(weights, list(column)) for column in zip(*values[:seen])])
        outputs.append(rows)
    return outputs


def _dot(x: Vector, y: Vector) -> float:
    return sum(xi * yi for xi, yi in zip(x, y))


EXERCISE = Exercise(by_hand, questions, ask_decoding)
