from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anexa
from anexa.generation import ChatAnswer, Sampler, SamplingParams, stream_text
from anexa.model.chat_format import END_THINK, THINK
from tests.generation.models import spelling
from tests.generation.parrot import AFTER_HELLO, DIRECT, KNOWN


def answer_of(words: Sequence[str], max_tokens: int = 1000, stop: Sequence[str] = ()) -> ChatAnswer:
    """The answer of a model that generates these words, one token each."""
    engine, tokenizer = spelling(words)
    sampler = Sampler(SamplingParams(0.0))
    return ChatAnswer(
        stream_text(engine, tokenizer, "?", sampler, max_tokens=max_tokens, stop=stop)
    )


def whole(text: str) -> tuple[str | None, str, int, bool]:
    """Reasoning, content, number of thoughts, and whether the last one is unfinished."""
    thoughts, content, closed = [], "", True
    for part in re.split("(</?think>)", text):
        if part == THINK:
            thoughts.append("")
            closed = False
        elif part == END_THINK:
            closed = True
        elif closed:
            content += part
        else:
            thoughts[-1] += part
    reasoning = None
    for thought in thoughts:
        reasoning = f"{reasoning}\n{thought}" if reasoning else thought
    return reasoning, content, len(thoughts), not closed


# Beginnings of marks, and what is nearly one.
fragments = st.sampled_from([THINK, END_THINK, "<", "</", "think>", "<thin", "/", "\n", "a", "bc"])
texts = st.lists(fragments, max_size=12).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    """A text, split at random places."""
    text = draw(texts)
    if not text:
        return []
    cuts = sorted(draw(st.sets(st.integers(1, len(text)), max_size=len(text))) | {0, len(text)})
    return [text[a:b] for a, b in pairwise(cuts)]


@given(cut_texts())
def test_the_split_does_not_depend_on_the_pieces(words: list[str]) -> None:
    answer = answer_of(words).finish()
    found = (answer.reasoning, answer.content, answer.num_think_tags, answer.is_thinking)
    assert found == whole("".join(words))
    assert answer.num_tokens == len(words)
    assert answer.finish_reason == "stop"


@given(cut_texts())
def test_pieces_add_up_to_reasoning_and_content(words: list[str]) -> None:
    answer = answer_of(words)
    thought, said = "", ""
    for piece in answer:
        assert piece.text
        assert THINK not in piece.text
        assert END_THINK not in piece.text
        thought += piece.text if piece.is_reasoning else ""
        said += "" if piece.is_reasoning else piece.text
        assert (answer.reasoning or "", answer.content) == (thought, said)
    reasoning, content, _, _ = whole("".join(words))
    assert (reasoning or "", content) == (thought, said)


@given(cut_texts())
def test_only_the_beginning_of_a_mark_is_held_back(words: list[str]) -> None:
    answer = answer_of(words)
    for _ in answer:
        if answer.finish_reason is None:
            written = "".join(words[: answer.num_tokens])
            reasoning, content, _, _ = whole(written)
            held = len(reasoning or "") + len(content)
            held -= len(answer.reasoning or "") + len(answer.content)
            assert 0 <= held < len(END_THINK) + len(words[answer.num_tokens - 1])


@given(texts.filter(bool), st.integers(1, 20))
def test_a_text_that_is_cut_off_is_split_as_far_as_it_goes(text: str, max_tokens: int) -> None:
    answer = answer_of(list(text), max_tokens).finish()
    found = (answer.reasoning, answer.content, answer.num_think_tags, answer.is_thinking)
    assert found == whole(text[:max_tokens])
    if max_tokens <= len(text):
        where = "thought" if answer.is_thinking else "answer"
        assert answer.finish_reason == "length"
        limit = "1 token" if max_tokens == 1 else f"{max_tokens} tokens"
        cut = f"the {where} was cut off after {limit}: allow more, or ask for less"
        assert answer.incomplete_reason == cut


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "incomplete_reason"),
    [
        ("", None, "", "the answer is empty"),
        ("b", None, "b", None),
        ("<think>a</think>b", "a", "b", None),
        ("<think></think>b", "", "b", None),
        ("a<think>b</think>c", "b", "ac", None),
        ("a</think>b", None, "ab", None),
        ("<think>a</think>b</think>c", "a", "bc", None),
        ("<think>a\nb</think>\nc", "a\nb", "\nc", None),
        ("<think>a", "a", "", "the thought did not end, so there is no answer"),
        ("<think>", "", "", "the thought did not end, so there is no answer"),
        ("b<think>", "", "b", "the thought did not end, so there is no answer"),
        (
            "<think>a</think>b<think>c</think>d",
            "a\nc",
            "bd",
            "the answer contains a second thought",
        ),
        ("<think>a<think>c</think>d", "a\nc", "d", "the answer contains a second thought"),
        ("<think></think><think>c</think>d", "c", "d", "the answer contains a second thought"),
        ("<think>a</thin", "a</thin", "", "the thought did not end, so there is no answer"),
        ("<thi", None, "<thi", None),
    ],
)
def test_answers_by_hand(
    text: str, reasoning: str | None, content: str, incomplete_reason: str | None
) -> None:
    for words in ([text] if text else [], list(text)):
        answer = answer_of(words)
        assert answer.incomplete_reason is None  # nothing is wrong before it is written
        answer.finish()
        assert (answer.reasoning, answer.content, answer.incomplete_reason) == (
            reasoning,
            content,
            incomplete_reason,
        )
        assert answer.finish().content == content  # it is written once


def test_a_stop_string_ends_what_is_said_not_the_thought() -> None:
    answer = answer_of(list("<think>abc</think>dbe"), stop=["b"]).finish()
    assert (answer.reasoning, answer.content, answer.finish_reason) == ("abc", "d", "stop")
    assert answer.incomplete_reason is None
    tags = answer_of(list("<think>a</think>b"), stop=["think", ">", "a<", "/"]).finish()
    assert (tags.reasoning, tags.content) == ("a", "b")


@given(cut_texts(), st.text("abc\n/think>", min_size=1, max_size=3))
def test_stop_strings_are_found_in_the_content_alone(words: list[str], stop: str) -> None:
    text = "".join(words)
    is_content: list[bool] = []  # of each character
    for part in re.split("(</?think>)", text):
        inside = text[: len(is_content)].rfind(THINK) > text[: len(is_content)].rfind(END_THINK)
        is_content += [not inside and part not in (THINK, END_THINK)] * len(part)
    ends = [
        at
        for at in range(len(text))
        if text.startswith(stop, at) and all(is_content[at : at + len(stop)])
    ]
    answer = answer_of(words, stop=[stop]).finish()
    assert (answer.reasoning, answer.content) == whole(text[: min(ends, default=None)])[:2]


# A model that was trained to answer


@pytest.mark.parametrize("question", KNOWN)
def test_a_model_answers_as_it_has_learned(question: str, parrot: Path) -> None:
    answer = anexa.load(parrot, engine="numpy").chat([{"role": "user", "content": question}])
    reasoning, content, num_think_tags, is_thinking = whole(KNOWN[question])
    assert (answer.reasoning, answer.content) == (reasoning, content)
    assert (answer.num_think_tags, answer.is_thinking) == (num_think_tags, is_thinking)


@pytest.mark.parametrize("question", DIRECT)
def test_a_model_answers_without_reasoning_if_thinking_is_off(question: str, parrot: Path) -> None:
    messages = [{"role": "user", "content": question}]
    answer = anexa.load(parrot, engine="numpy").chat(messages, thinking=False)
    assert (answer.reasoning, answer.content) == (None, DIRECT[question])


def test_a_model_reads_the_earlier_messages(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    messages = [{"role": "user", "content": "hello"}]
    messages += [{"role": "assistant", "content": model.chat(messages).content}]
    answer = model.chat([*messages, {"role": "user", "content": "again"}])
    assert answer.content == AFTER_HELLO["again"] != KNOWN["again"]
