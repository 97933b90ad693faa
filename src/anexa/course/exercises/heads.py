"""Chapter 14: what a model loses without a head, compared with the engine `numpy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from random import Random
from typing import Any

import microgpt
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask
from anexa.course.fast_training import batch_of, copy_weights, fast_train, open_numpy_engine
from anexa.engines.numpy import NumpyEngine

TOLERANCE = 1e-9  # Question.tolerance of most questions
WIDTH = microgpt.N_EMBD // microgpt.N_HEAD  # numbers of a head's output
TRAINING = 300  # steps of the models whose heads are switched off
RETRAINING = 12  # steps of a training without a head
# Consonants and vowels of a language whose words are a syllable said twice, and a seed.
LANGUAGES = [
    ("klmnt", "aio", 1),
    ("klmnt", "aio", 2),
    ("bdgps", "aeu", 3),
    ("bdgps", "aeu", 4),
    ("fhrvz", "iou", 5),
    ("fhrvz", "iou", 6),
    ("dkmrs", "aei", 7),
    ("dkmrs", "aei", 8),
]

_WHY_LENS = (
    "Add up the stream as far as it has come, and compare it with each row of lm_head by a dot "
    "product. The largest one is the guess."
)
_WHY_EFFECTS = (
    "Number h of the list is the loss without head h, minus the loss with all heads. Head h alone "
    "is off: its columns of attn_wo are 0, and everything else is as it was."
)
_WHY_MOST = "The head that matters most is the one without which the loss rises most."
_WHY_RETRAIN = (
    "The head must be off before the first step and again after each step: then the other heads "
    "learn as if it did not exist."
)
_ADDED = (
    "This is what each part adds. The stream is the sum of all that was added so far: the lens "
    "looks at the sum."
)
_REASONS = {
    "rows": (
        "These are rows of attn_wo. A row computes one number of the stream from all heads; a head "
        "has columns. The matrix is square, so there is no error message."
    ),
    "every fourth": (
        "A head has 4 columns next to each other: head 1 has the columns 4 to 7, not every fourth."
    ),
    "query": (
        "With a query or a key of 0 all scores are 0, and the head looks at all tokens alike. That "
        "is not off: its values still arrive."
    ),
    "kept": (
        "The heads before are still off: work on a copy of the model, or put the weights back."
    ),
    "alone": "Here head h alone is on, and the others are off.",
    "loss": "These are the losses without the heads: subtract the loss with all heads.",
    "sign": "Without minus with: a positive number says that the head is missed.",
    "half": "A head has 4 columns of attn_wo. Here only a part of them is 0.",
}
_LARGEST = (
    "Without this head the loss changes most, but it falls: on this text the head does harm. "
    "Look for the head without which the loss rises most."
)
_LEAST = "Without this head the loss is lowest: this head is missed least."
_FROM_0 = "Heads are counted from 0."
_ONCE = (
    "The head was switched off before the first step only. The gradient of its columns is not 0, "
    "so the first step has switched it on again."
)
_LATE = "The head is on in the first step: switch it off before the training, too."
_NEVER = (
    "This is the training with all heads: train gives a loss after each step, and between two "
    "steps the head must be switched off."
)


def ask_model(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file, about a trained model or about a new one.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call == "retrain":
        words, seed, steps, head = arguments
        model = microgpt.Model(list(words), Random(seed))
        return ask(names, call, (model, list(words), steps, head))
    if call == BY_HAND:
        return ask(names, call, arguments)
    letters, numbers, text = arguments
    return ask(names, call, (_model(letters, numbers), text))


def _model(letters: str, numbers: Sequence[float]) -> microgpt.Model:
    model = microgpt.Model([letters], Random(0))
    for value, number in zip(model.parameters, numbers):
        value.data = number
    return model


def words_of(consonants: str, vowels: str) -> list[str]:
    """Return the words of a language: each consonant with each vowel, twice, such as "kaka"."""
    return [2 * (consonant + vowel) for consonant in consonants for vowel in vowels]


@cache
def _train(language: int) -> list[float]:
    """Return the numbers of a trained model, in the order of its parameters."""
    consonants, vowels, seed = LANGUAGES[language]
    words = words_of(consonants, vowels)
    model = microgpt.Model(words, Random(seed))
    for _ in fast_train(model, words, TRAINING):
        pass
    return [value.data for value in model.parameters]


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a residual stream, as a text, and the question what the logit lens guesses from it.

    The stream has width 2. The lens looks at it after the embeddings, after attention, and after
    the neurons.
    """
    letters = "".join(sorted(rng.sample("aeioudklmnrst", 3)))
    while True:
        parts = [[rng.randrange(-3, 4) for _ in range(2)] for _ in range(3)]
        head = [[rng.randrange(-2, 3) for _ in range(2)] for _ in letters]
        sums = [[sum(part[i] for part in parts[: n + 1]) for i in range(2)] for n in range(3)]
        right, added = ([_guess(head, letters, x) for x in xs] for xs in (sums, parts))
        if "" not in right + added and len(set(right)) == 3 and added[1:] != right[1:]:
            break
    lines = [
        f"after the embeddings, the stream is {parts[0]}",
        f"attention adds {parts[1]}",
        f"the neurons add {parts[2]}",
        *[f"row of lm_head for {letter}: {row}" for letter, row in zip(letters, head)],
        "guesses after the embeddings, after attention, after the neurons: ?",
    ]
    mistakes = (Mistake(_ADDED, added),)
    return "\n".join(lines), Question(BY_HAND, (), right, _WHY_LENS, mistakes=mistakes)


def _guess(head: list[list[int]], letters: str, x: list[int]) -> str:
    """Return the letter with the largest logit; an empty text if there are two of them."""
    logits = [sum(a * b for a, b in zip(row, x)) for row in head]
    return "" if logits.count(max(logits)) > 1 else letters[logits.index(max(logits))]


def questions(rng: Random) -> list[Question]:
    """Draw the questions: heads of a trained model on two words, and a training without one."""
    language = rng.randrange(len(LANGUAGES))
    consonants, vowels, _ = LANGUAGES[language]
    word = _draw_word(rng, language)
    strange = _draw_strange(rng, language)
    words = words_of("".join(rng.sample(consonants, 3)), vowels)
    few = tuple(rng.sample(words, 6))
    head = rng.randrange(microgpt.N_HEAD)
    return [
        _ask_effects(language, word),
        _ask_most(language, word),
        _ask_most(language, strange),
        _ask_retrain(few, rng.randrange(1000), head),
    ]


def _draw_word(rng: Random, language: int) -> str:
    """Draw a word on which one head matters more than the others."""
    consonants, vowels, _ = LANGUAGES[language]
    while True:
        word = rng.choice(words_of(consonants, vowels))
        rises = sorted(_effects(language, word))
        if rises[-1] > max(rises[-2], -rises[0]) + 0.01 and _is_telling(language, word):
            return word


def _draw_strange(rng: Random, language: int) -> str:
    """Draw a text in which no syllable is said twice, and which a head harms more than helps."""
    consonants, vowels, _ = LANGUAGES[language]
    syllables = [consonant + vowel for consonant in consonants for vowel in vowels]
    while True:
        text = "".join(rng.sample(syllables, 2))
        rises = sorted(_effects(language, text))
        harms = -rises[0] > rises[-1] + 0.01 > rises[-2] + 0.02
        if harms and rises[-1] > 0.01 and _is_telling(language, text):
            return text


def _is_telling(language: int, text: str) -> bool:
    """Return whether the head missed least has not the number after that of the one missed most."""
    found = _effects(language, text)
    return found.index(min(found)) != found.index(max(found)) + 1


@cache
def _open(language: int) -> tuple[microgpt.Model, NumpyEngine]:
    """Return a trained model, and an engine with its weights, which the caller must leave so."""
    model = _model(_letters(language), _train(language))
    return model, open_numpy_engine(model)


def _letters(language: int) -> str:
    consonants, vowels, _ = LANGUAGES[language]
    return consonants + vowels


@cache
def _effects(language: int, text: str, kind: str = "") -> tuple[float, ...]:
    """Compute the rise of the loss without each head, with a mistake named in `_REASONS`."""
    model, engine = _open(language)
    batch = batch_of(model, text)
    loss, found = engine.loss(batch), []
    for head in range(microgpt.N_HEAD):
        others = [other for other in range(microgpt.N_HEAD) if other != head]
        for off in others if kind == "alone" else [head]:
            _switch_off(engine, off, kind)
        without = engine.loss(batch)
        found.append({"loss": without, "sign": loss - without}.get(kind, without - loss))
        if kind != "kept":
            copy_weights(model, engine)
    copy_weights(model, engine)
    return tuple(found)


def _switch_off(engine: NumpyEngine, head: int, kind: str = "") -> None:
    """Switch off a head, or what a learner mistakes for it."""
    own = slice(WIDTH * head, WIDTH * head + WIDTH)
    output = engine.arrays["layers.0.attn_wo.weight"]
    if kind == "query":
        engine.arrays["layers.0.attn_wq.weight"][own] = 0.0
    elif kind == "rows":
        output[own] = 0.0
    elif kind == "every fourth":
        output[:, head :: microgpt.N_HEAD] = 0.0
    elif kind == "half":
        output[:, WIDTH * head] = 0.0
    else:
        output[:, own] = 0.0


@cache
def _ask_effects(language: int, text: str) -> Question:
    wrong = [(why, _effects(language, text, kind)) for kind, why in _REASONS.items()]
    mistakes = [Mistake(why, list(found)) for why, found in wrong]
    arguments = (_letters(language), _train(language), text)
    label = f"effects(model, {text!r})"
    right = list(_effects(language, text))
    return Question("effects", arguments, right, _WHY_EFFECTS, TOLERANCE, tuple(mistakes), label)


def _ask_most(language: int, text: str) -> Question:
    found = _effects(language, text)
    right, least = found.index(max(found)), found.index(min(found))
    largest = max(range(len(found)), key=lambda head: abs(found[head]))
    wrong = [(_LARGEST, largest), (_LEAST, least), (_FROM_0, right + 1)]
    mistakes = tuple(Mistake(why, head) for why, head in wrong if head != right)
    arguments = (_letters(language), _train(language), text)
    label = f"most(model, {text!r})"
    return Question("most", arguments, right, _WHY_MOST, mistakes=mistakes, label=label)


@cache
def _ask_retrain(words: tuple[str, ...], seed: int, head: int) -> Question:
    losses = partial(_retrain, words, seed, head)
    wrong = [
        (_NEVER, losses(before=False, after=False)),
        (_ONCE, losses(after=False)),
        (_LATE, losses(before=False)),
        *[(_REASONS[kind], losses(kind)) for kind in ("rows", "every fourth", "query", "half")],
    ]
    mistakes = tuple(Mistake(why, result) for why, result in wrong)
    arguments = (list(words), seed, RETRAINING, head)
    label = f"retrain(model, {len(words)} words, {RETRAINING}, {head})"
    return Question("retrain", arguments, losses(), _WHY_RETRAIN, TOLERANCE, mistakes, label)


def _retrain(
    words: Sequence[str],
    seed: int,
    head: int,
    kind: str = "",
    *,
    before: bool = True,
    after: bool = True,
) -> list[float]:
    """Train a new model without a head, and return the loss of each step.

    Args:
        words: documents of the training.
        seed: random seed of the initial weights.
        head: head to switch off.
        kind: mistake in switching off, named in `_REASONS`; default: none.
        before: whether the head is off before the first step.
        after: whether it is switched off again after each step.
    """
    model = microgpt.Model(list(words), Random(seed))
    engine, losses = open_numpy_engine(model), []
    if before:
        _switch_off(engine, head, kind)
    for step in range(RETRAINING):
        rate = microgpt.LEARNING_RATE * (1 - step / RETRAINING)
        losses.append(engine.train_step(batch_of(model, words[step % len(words)]), rate).loss)
        if after:
            _switch_off(engine, head, kind)
    return losses


EXERCISE = Exercise(by_hand, questions, ask_model)
