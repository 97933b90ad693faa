"""The corpus "garden": consistent facts, several turns, and phrasings that are held out."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from anexa.data.conversation_file import Conversations
from anexa.data.conversation_format import recognize_format
from anexa.data.corpora import open_text_source
from anexa.data.garden import conversations, held_out_questions
from anexa.data.garden.facts import PLANTS

SOME = list(islice(conversations(), 500))


def test_corpus_is_a_file_of_conversations() -> None:
    source, _ = open_text_source("garden")
    assert recognize_format(source()) == "messages"
    rows = "".join(source()).splitlines()[:50]
    found = Conversations.scan("garden", lambda: iter(["\n".join(rows)]))
    assert [one.messages for one in found] == SOME[:50]


def test_each_seed_has_its_conversations() -> None:
    assert list(islice(conversations(), 20)) == SOME[:20]
    assert list(islice(conversations(seed=1), 20)) != SOME[:20]


def test_there_are_conversations_of_all_kinds() -> None:
    answers = Counter(sum(m["role"] == "assistant" for m in messages) for messages in SOME)
    assert min(answers[count] for count in (1, 2, 3, 4)) > 10
    assert 50 < sum(messages[0]["role"] == "system" for messages in SOME) < 450
    said = [m["content"] for messages in SOME for m in messages]
    assert sum("I only know this garden" in text for text in said) > 10
    assert sum(bool(re.match("And (what|where|when|who)", text)) for text in said) > 10


def test_answers_are_the_facts() -> None:
    answers = [m["content"] for messages in SOME for m in messages if m["role"] == "assistant"]
    for plant in PLANTS:
        facts = (plant.color, plant.bed, plant.month, plant.gardener)
        about = [a for a in answers if re.search(rf"\bthe {plant.name}\b", a, re.IGNORECASE)]
        assert about
        single = [a for a in about if "," not in a and " and " not in a and ":" not in a]
        assert all(any(fact in answer for fact in facts) for answer in single)


def test_held_out_phrasings_are_not_in_the_corpus() -> None:
    known = {m["content"] for messages in conversations() for m in messages}
    questions = list(held_out_questions())
    assert not known & {question.messages[-1]["content"] for question in questions}
    assert all(question.fact.lower() in question.answer.lower() for question in questions)
    assert Counter(q.kind for q in questions)["fact"] == 2 * 4 * len(PLANTS)
