"""Parsers of tool calls: however an answer is cut into pieces, content and calls are the same."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.server.tool_calls import (
    JSONCallParser,
    NamedCallParser,
    TaggedCallParser,
    ToolCallParser,
)

Calls = list[tuple[str, str]]
CALL = '{"name": "add", "arguments": {"a": 1, "b": "<tool_call>"}}'
ARGUMENTS = '{"a": 1, "b": "<tool_call>"}'


def parsed(parser: ToolCallParser, pieces: list[str]) -> tuple[str, Calls]:
    """Content and calls of an answer that comes in pieces."""
    content = ""
    calls: Calls = []
    for number, piece in enumerate(pieces, 1):
        for part in parser.add(piece, finished=number == len(pieces)):
            if isinstance(part, str):
                content += part
            elif part.name is not None:
                assert part.number == len(calls)
                calls.append((part.name, part.arguments))
            else:
                calls[part.number] = (calls[part.number][0], calls[part.number][1] + part.arguments)
    assert parser.num_calls == len(calls)
    return content, calls


TAGGED = [
    ("", "", []),
    ("Hello <tool", "Hello <tool", []),
    (f"<tool_call>\n{CALL}\n</tool_call>", "", [("add", ARGUMENTS)]),
    (f"Wait.\n<tool_call>{CALL}</tool_call>\n", "Wait.\n", [("add", ARGUMENTS)]),
    (f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", "", [("add", ARGUMENTS)] * 2),
    (f"\n\n<tool_call>{CALL}</tool_call>", "", [("add", ARGUMENTS)]),
    (f"Wait.\n\n<tool_call>{CALL}</tool_call>", "Wait.\n\n", [("add", ARGUMENTS)]),
    (f"<tool_call>{CALL}</tool_call>\nDone.\n", "\nDone.\n", [("add", ARGUMENTS)]),
    (f" \n<tool_call>{CALL}", "", [("add", ARGUMENTS)]),
    ("\n<tool_call>nonsense</tool_call>\n", "\n<tool_call>nonsense</tool_call>\n", []),
    (
        f"\n<tool_call>1</tool_call>\n<tool_call>{CALL}</tool_call>\n",
        "\n<tool_call>1</tool_call>\n",
        [("add", ARGUMENTS)],
    ),
    (" \n ", " \n ", []),
    (f"<tool_call>{CALL}", "", [("add", ARGUMENTS)]),
    ("<tool_call>nonsense</tool_call> and", "<tool_call>nonsense</tool_call> and", []),
    ('<tool_call>{"name": 5}</tool_call>', '<tool_call>{"name": 5}</tool_call>', []),
    ("<tool_call>{", "<tool_call>{", []),
]
PLAIN = [
    ("", "", []),
    ("Hello", "Hello", []),
    (" {no JSON", " {no JSON", []),
    (CALL, "", [("add", ARGUMENTS)]),
    (f"<|python_tag|>{CALL}", "", [("add", ARGUMENTS)]),
    (f"{CALL}; {CALL}", "", [("add", ARGUMENTS)] * 2),
    ('{"name": "f", "parameters": {}}', "", [("f", "{}")]),
    ('{"name": "f"} and more', '{"name": "f"} and more', []),
    ("<|py", "<|py", []),
    ("[" * 5000, "[" * 5000, []),
    ('{"name": "f", "arguments": ' + "[" * 100_000, None, []),
]


def cut(text: str, at: list[int]) -> list[str]:
    places = sorted({0, len(text), *(min(place, len(text)) for place in at)})
    return [text[a:b] for a, b in pairwise(places)] + [""]


@pytest.mark.parametrize(
    ("new", "text", "content", "calls"),
    [(TaggedCallParser, *case) for case in TAGGED] + [(JSONCallParser, *case) for case in PLAIN],
)
def test_content_and_calls(
    new: Callable[[], ToolCallParser], text: str, content: str | None, calls: Calls
) -> None:
    expected = (text if content is None else content, calls)
    assert parsed(new(), [text]) == expected
    rng = random.Random(1)
    for _ in range(20):
        assert (
            parsed(new(), cut(text, [rng.randrange(len(text) + 1) for _ in range(4)])) == expected
        )


@given(
    st.lists(
        st.sampled_from(["<tool_call>", "</tool_call>", CALL, "{", "}", " ", "a", "<", '"', ";"])
    ).map("".join),
    st.lists(st.integers(0, 300), max_size=6),
    st.sampled_from([TaggedCallParser, JSONCallParser, lambda: NamedCallParser("f")]),
)
def test_pieces_do_not_matter(text: str, at: list[int], new: Callable[[], ToolCallParser]) -> None:
    whole = parsed(new(), [text])
    assert parsed(new(), cut(text, at)) == whole
    assert all(json.loads(arguments) for name, arguments in whole[1] if name != "f")


def test_calls_after_the_first_can_be_left_out() -> None:
    text = f"<tool_call>{CALL}</tool_call>" * 2
    assert parsed(TaggedCallParser(allows_several=False), [text]) == ("", [("add", ARGUMENTS)])


def test_the_arguments_of_a_named_function_come_in_pieces() -> None:
    assert parsed(NamedCallParser("f"), ['{"a"', "", ": 1}"]) == ("", [("f", '{"a": 1}')])
    assert parsed(NamedCallParser("f"), [""]) == ("", [])
