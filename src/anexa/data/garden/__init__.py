"""Generator of the corpus "garden": conversations with Fern, the assistant of a made-up garden.

Fern knows who she is, some small talk, and four facts about each plant, and she answers questions
for a list, such as which plants are red; about anything else she says that she only knows this
garden. Some questions of each kind, but none for a list, are held out: they are not in the corpus,
but in `held_out_questions`, which measures what a model has learned.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from anexa.data.garden.facts import BEDS, COLORS, GARDENERS, PLANTS, Attribute, Plant
from anexa.data.garden.phrases import (
    ANSWERS,
    ELLIPSES,
    FOLLOW_UPS,
    IN_A_WORD,
    OTHER,
    OTHER_THINGS,
    QUESTIONS,
    SYSTEMS,
    TALK,
    UNKNOWN,
    phrasings,
)

NUM_CONVERSATIONS = 6000  # conversations of the corpus
SEED = 0  # random seed of the corpus

# A message of a conversation: "role" ("system", "user" or "assistant") and "content".
Message: TypeAlias = dict[str, str]


def _fill(template: str, plant: Plant) -> str:
    """Fill in a template, and begin it with a capital letter."""
    words = plant.words
    text = template.format(**words, its="their" if words["it"] == "they" else "its")
    return text[0].upper() + text[1:]


def _lists() -> Iterator[tuple[str, str]]:
    """Yield questions about several plants, such as which are red, with their answers."""
    for bed in BEDS:
        names = _join([plant.name for plant in PLANTS if plant.bed == bed])
        for question in ("What grows in the {}?", "Which plants are in the {}?"):
            yield question.format(bed), f"In the {bed} you find {names}."
    for gardener in GARDENERS:
        names = _join([plant.name for plant in PLANTS if plant.gardener == gardener])
        for question in ("What does {} water?", "Which plants does {} look after?"):
            yield question.format(gardener), f"{gardener} waters {names}."
    for color in COLORS:
        names = _join([plant.name for plant in PLANTS if plant.color == color])
        for question in ("Which plants are {}?", "What is {} in the garden?"):
            yield question.format(color), f"These are {color}: {names}."


def _join(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


_LISTS = tuple(_lists())
_OTHERS = (
    *phrasings(OTHER, False),
    *(text.format(word) for text, words in OTHER_THINGS for word in words.split(", ")),
)


def conversations(count: int = NUM_CONVERSATIONS, seed: int = SEED) -> Iterator[list[Message]]:
    """Generate conversations, as messages of OpenAI's format.

    Args:
        count: number of conversations.
        seed: random seed.

    Yields:
        A conversation as a list of messages.
    """
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.random()
        in_a_word = kind < 0.1
        system = rng.choice(IN_A_WORD if in_a_word else SYSTEMS) if kind < 0.4 else ""
        messages = [{"role": "system", "content": system}] if system else []
        for question, answer in _turns(rng, in_a_word):
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        yield messages


def generate_garden() -> bytes:
    """Generate the corpus "garden" as the bytes of a JSON Lines file."""
    rows = (json.dumps({"messages": messages}) for messages in conversations())
    return ("\n".join(rows) + "\n").encode()


def _turns(rng: random.Random, in_a_word: bool) -> Iterator[tuple[str, str]]:
    """Yield the questions and answers of a conversation."""
    if not in_a_word and rng.random() < 0.25:
        yield _talk(rng)
    for _ in range(rng.choice((1, 1, 2))):
        if in_a_word or rng.random() < 0.65:
            yield from _plant_turns(rng, in_a_word)
        else:
            yield _talk(rng)


def _talk(rng: random.Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(_OTHERS), UNKNOWN
    if kind < 0.4:
        return rng.choice(_LISTS)
    answer, questions = rng.choice(TALK)
    return rng.choice(phrasings(questions, False)), answer


def _plant_turns(rng: random.Random, in_a_word: bool) -> Iterator[tuple[str, str]]:
    """Yield a question about a plant, and questions that refer to the one before."""
    plant, attribute = rng.choice(PLANTS), rng.choice([*QUESTIONS])
    template = rng.choice(phrasings(QUESTIONS[attribute], False))
    while True:
        yield _fill(template, plant), answer_to(attribute, plant, in_a_word)
        kind = rng.random()
        if kind < 0.3:
            others = [other for other in QUESTIONS if other != attribute]
            attribute = rng.choice(others)
            template = rng.choice(phrasings(FOLLOW_UPS[attribute], False))
        elif kind < 0.5:
            plant = rng.choice([other for other in PLANTS if other != plant])
            template = rng.choice(phrasings(ELLIPSES, False))
        else:
            return


def answer_to(attribute: Attribute, plant: Plant, in_a_word: bool = False) -> str:
    """Return Fern's answer to a question about an attribute of a plant.

    Args:
        attribute: attribute of the plant that the question asks for, such as its color.
        plant: plant of the garden.
        in_a_word: whether the answer is the attribute alone, such as "Wall bed."; default: a
            sentence.
    """
    if in_a_word:
        word: str = plant.words[attribute]
        return word[0].upper() + word[1:] + "."
    return _fill(ANSWERS[attribute], plant)


@dataclass(frozen=True)
class HeldOutQuestion:
    """A conversation that ends in a question that is not in the corpus.

    Its phrasing is new; if it is a "refusal", the phrasing may be known and the subject is new.

    Attributes:
        kind: kind of the question: "fact", about a plant; "one word", the same after a system
            message that asks for one word; "follow-up", about the plant of the turn before;
            "ellipsis", the question of the turn before about another plant; "talk", small talk;
            "refusal", about something that Fern does not know.
        messages: messages up to the question.
        answer: the right answer.
        fact: words that an answer must contain, in upper or lower case, to have the right fact; for
            "talk" and "refusal", the whole answer.
    """

    kind: Literal["fact", "follow-up", "ellipsis", "one word", "talk", "refusal"]
    messages: list[Message]
    answer: str
    fact: str


def held_out_questions() -> Iterator[HeldOutQuestion]:
    """Yield all held-out questions; those for "one word" in one phrasing each."""
    for number, plant in enumerate(PLANTS):
        neighbor = PLANTS[number - 1]
        for index, (attribute, texts) in enumerate(QUESTIONS.items()):
            fact: str = plant.words[attribute]
            answer = answer_to(attribute, plant)
            asked = [_fill(template, plant) for template in phrasings(texts, True)]
            for question in asked:
                yield HeldOutQuestion("fact", _user(question), answer, fact)
            brief = [{"role": "system", "content": IN_A_WORD[0]}, *_user(asked[0])]
            yield HeldOutQuestion("one word", brief, answer_to(attribute, plant, True), fact)
            before: Attribute = [*QUESTIONS][index - 1]
            for template in phrasings(FOLLOW_UPS[attribute], True):
                messages = [*_turn(before, plant), *_user(_fill(template, plant))]
                yield HeldOutQuestion("follow-up", messages, answer, fact)
            for template in phrasings(ELLIPSES, True):
                messages = [*_turn(attribute, neighbor), *_user(_fill(template, plant))]
                yield HeldOutQuestion("ellipsis", messages, answer, fact)
    for answer, texts in TALK:
        for question in phrasings(texts, True):
            yield HeldOutQuestion("talk", _user(question), answer, answer)
    for question in phrasings(OTHER, True):
        yield HeldOutQuestion("refusal", _user(question), UNKNOWN, UNKNOWN)


def _user(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]


def _turn(attribute: Attribute, plant: Plant) -> list[Message]:
    """Return a question in a known phrasing, and its answer."""
    question = _fill(phrasings(QUESTIONS[attribute], False)[0], plant)
    return [*_user(question), {"role": "assistant", "content": answer_to(attribute, plant)}]
