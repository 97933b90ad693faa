"""Conversations in the rows of a file: three formats, and a sentence for each kind of bad row."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import pytest

from anexa.data.conversation_file import Conversations
from anexa.data.conversation_format import recognize_format, recognize_row_format
from anexa.data.conversations import parse_conversation
from anexa.data.reading import decode_chunks
from anexa.errors import AnexaError

HELLO = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi!"}]


def conversations(*rows: Mapping[str, Any] | str, skip_bad: bool = False) -> Conversations:
    """Scan a file with these rows."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    data = "\n".join(lines).encode()
    return Conversations.scan(
        "chat.jsonl", lambda: decode_chunks(io.BytesIO(data), "chat.jsonl"), skip_bad=skip_bad
    )


def parse(row: Mapping[str, Any]) -> list[Any]:
    """Return the messages of a row."""
    kind = recognize_row_format(row)
    assert kind is not None
    return [dict(message) for message in parse_conversation(row, kind)]


def from_(*turns: str) -> list[dict[str, str]]:
    """Make messages as ShareGPT has them."""
    return [{"from": turn.split(": ")[0], "value": turn.split(": ")[1]} for turn in turns]


SAME = {
    "messages": {"messages": HELLO},
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("Hel", "lo!")]},
            HELLO[1],
        ]
    },
    "no answer to the last question": {"messages": [*HELLO, {"role": "user", "content": "?"}]},
    "empty system prompt": {"messages": [{"role": "system", "content": " "}, *HELLO]},
    "other fields": {"messages": HELLO, "id": 7, "tools": []},
    "ShareGPT": {"conversations": from_("human: Hello!", "gpt: Hi!")},
    "messages in ShareGPT's field": {"conversations": HELLO},
    "Alpaca": {"instruction": "Hello!", "input": "", "output": "Hi!"},
    "Alpaca without input": {"instruction": "Hello!", "output": "Hi!"},
}


@pytest.mark.parametrize("row", SAME.values(), ids=SAME)
def test_formats_are_one(row: dict[str, Any]) -> None:
    assert parse(row) == HELLO


SYSTEM = [{"role": "system", "content": "Be brief."}, *HELLO]
WITH_SYSTEM = {
    "messages": {"messages": SYSTEM},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, *HELLO]},
    "ShareGPT": {"conversations": from_("system: Be brief.", "human: Hello!", "gpt: Hi!")},
    "ShareGPT, apart": {
        "system": "Be brief.",
        "conversations": from_("human: Hello!", "gpt: Hi!"),
    },
    "Alpaca": {"system": "Be brief.", "instruction": "Hello!", "output": "Hi!"},
}


@pytest.mark.parametrize("row", WITH_SYSTEM.values(), ids=WITH_SYSTEM)
def test_system_prompts(row: dict[str, Any]) -> None:
    assert parse(row) == SYSTEM


def test_alpaca_has_input_and_history() -> None:
    row = {"instruction": "Add.", "input": "1+1", "output": "2", "history": [["Hello!", "Hi!"]]}
    assert parse(row) == [
        *HELLO,
        {"role": "user", "content": "Add.\n\n1+1"},
        {"role": "assistant", "content": "2"},
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"content": "Hi!", "reasoning": "a greeting"},
        {"content": "Hi!", "reasoning_content": "a greeting"},
        {"content": "<think>a greeting</think>Hi!"},
        {"content": "<think>\na greeting\n</think>\n\nHi!"},
    ],
)
def test_thought_is_apart_from_the_answer(answer: dict[str, str]) -> None:
    messages = parse({"messages": [HELLO[0], {"role": "assistant", **answer}]})
    assert messages[1] == HELLO[1] | {"reasoning_content": "a greeting"}


def answer(content: Any, **fields: Any) -> dict[str, Any]:
    """Make a row with an answer."""
    return {"messages": [HELLO[0], {"role": "assistant", "content": content, **fields}]}


BAD: dict[str, tuple[dict[str, Any] | str, str]] = {
    "no answer": ({"messages": HELLO[:1]}, "has no turn of the assistant to learn"),
    "no messages": ({"messages": []}, "has no turn of the assistant to learn"),
    "no answer is learned": (answer("Hi!", weight=0), "has no turn of the assistant to learn"),
    "field missing": ({"text": "Hello!"}, "has no field messages"),
    "no list": ({"messages": "Hello!"}, "has a field messages that is not a list of messages"),
    "list of texts": ({"messages": ["a"]}, "has a field messages that is not a list of messages"),
    "unknown role": (
        {"messages": [{"role": "narrator", "content": "x"}, *HELLO]},
        "has the role 'narrator': the roles are system, user and assistant, or system, human and "
        "gpt",
    ),
    "no role": (
        {"messages": [{"content": "x"}, *HELLO]},
        "has a message without a role: the roles are system, user and assistant, or system, human "
        "and gpt",
    ),
    "tool": (
        {"messages": [HELLO[0], {"role": "tool", "content": "x"}, HELLO[1]]},
        "is about a tool call, which cannot be trained on",
    ),
    "call of a tool": (
        answer(None, tool_calls=[{"id": "1"}]),
        "is about a tool call, which cannot be trained on",
    ),
    "empty answer": (answer(""), "has an empty message"),
    "empty question": (
        {"messages": [{"role": "user", "content": " "}, HELLO[1]]},
        "has an empty message",
    ),
    "no content": ({"messages": [{"role": "user"}, HELLO[1]]}, "has a message whose content is"),
    "number": (answer(7), "has a message whose content is not text but 7"),
    "image": (answer([{"type": "image_url"}]), "has a message whose content is not text but ["),
    "thought that is no text": (
        answer("Hi!", reasoning=["so"]),
        "has a reasoning that is not text but ['so']",
    ),
    "weight": (answer("Hi!", weight=0.5), "has the weight 0.5: a weight is 0 or 1"),
    "weight as text": (answer("Hi!", weight="0"), "has the weight '0': a weight is 0 or 1"),
    "thought without end": (answer("<think>so"), "has a thought without its end, </think>"),
    "second thought": (answer("<think>a</think>b<think>c"), "has <think> or </think> within"),
    "not JSON": ("hello", "is not JSON"),
}


@pytest.mark.parametrize(("row", "problem"), BAD.values(), ids=BAD)
def test_bad_row_is_refused_in_a_sentence_with_its_line(
    row: dict[str, Any] | str, problem: str
) -> None:
    good = {"messages": HELLO}
    with pytest.raises(AnexaError) as caught:
        conversations(good, good, row, good)
    assert str(caught.value).startswith(f"line 3 of chat.jsonl {problem}")
    assert "--skip-bad" in str(caught.value)


@pytest.mark.parametrize("num_longer", [0, 2, 3])
def test_note_on_second_questions(num_longer: int) -> None:
    """They are answered badly if nearly no conversation has one."""
    rows = [{"messages": HELLO}] * (60 - num_longer) + [{"messages": HELLO * 2}] * num_longer
    notes = [note for note in conversations(*rows).notes if "second question" in note]
    expected = f"{num_longer} of 60 conversations have more than one answer, so a second question"
    assert len(notes) == (num_longer < 3)
    assert all(note.startswith(expected) for note in notes)


def test_bad_rows_are_left_out_and_counted() -> None:
    rows = [{"messages": HELLO}, *(row for row, _ in BAD.values()), {"messages": HELLO}]
    found = conversations(*rows, skip_bad=True)
    assert [conversation.line for conversation in found] == [1, len(rows)]
    assert found.notes[0] == "read as messages: 2 conversations"
    assert (
        "left out: 3 lines, of which the first, line 2, has no turn of the assistant to learn"
        in (found.notes)
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"instruction": "a"}, "has no field output"),
        ({"instruction": "a", "output": 7}, "has a field output that is not a text but 7"),
        ({"instruction": "a", "output": "b", "history": "c"}, "has a field history that is not"),
    ],
)
def test_bad_rows_of_alpaca(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(AnexaError, match=f"line 2 of chat.jsonl {problem}"):
        conversations({"instruction": "Hello!", "output": "Hi!"}, row)


def test_other_rows_are_no_conversations() -> None:
    assert recognize_format(['{"text": "Hello!"}\n{"text": "Bye!"}\n']) is None
    assert recognize_format(["Hello!\n" * 100]) is None
    assert recognize_format([]) is None
    chunks = repeat("a" * 2**20, 99)
    assert recognize_format(chunks) is None
    assert next(chunks, None), "a line without an end is not read as a whole"
    assert (
        recognize_format(["{\n", json.dumps({"messages": HELLO})]) == "messages"
    )  # a bad first line


def test_the_hash_tells_whether_the_conversations_have_changed() -> None:
    one, other = {"messages": HELLO}, {"messages": SYSTEM}
    same = [conversations(one, other), conversations({**one, "id": 1}, other)]
    assert len({found.sha256 for found in same}) == 1
    assert conversations(other, one).sha256 != same[0].sha256


def test_a_file_that_changes_is_noticed() -> None:
    texts = iter(json.dumps({"messages": m}) for m in (HELLO, HELLO, SYSTEM))
    found = Conversations.scan("chat.jsonl", lambda: iter([next(texts)]))
    with pytest.raises(AnexaError, match=r"chat\.jsonl changed while it was read"):
        list(found)
