"""JSON Lines: rows with their line numbers, and a sentence for each kind of bad line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anexa.data import jsonl
from anexa.data.jsonl import BadRows, read_rows
from anexa.errors import AnexaError

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
).filter(lambda value: "Infinity" not in json.dumps(value))


def rows(text: str, *, skip: bool = False, size: int = 7) -> tuple[list[Any], tuple[str, ...]]:
    """Read a text in chunks of `size` characters; returns the rows and the notes."""
    bad_rows = BadRows("chat.jsonl", skip)
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    return list(read_rows(chunks, bad_rows)), bad_rows.notes()


@hypothesis_settings(max_examples=30)
@given(
    objects=st.lists(st.dictionaries(texts, values, max_size=3), max_size=4),
    size=st.integers(1, 50),
    ascii_only=st.booleans(),
    end=st.sampled_from(["", "\n", "\n\n \n"]),
)
def test_reads_what_json_wrote(
    objects: list[dict[str, Any]], size: int, ascii_only: bool, end: str
) -> None:
    text = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in objects)
    found, notes = rows(text + end, size=size)
    assert found == list(enumerate(objects, 1))
    assert not notes


BAD = {
    "": "is empty",
    '{"a": 1': "is cut off: its JSON does not end",
    '{"a": "b': "is cut off: its JSON does not end",
    '{"a": b}': "is not JSON (Expecting value, at character 7)",
    "hello": "is not JSON (Expecting value, at character 1)",
    "[1, 2]": "is not a JSON object but [1, 2]",
    '"text"': "is not a JSON object but 'text'",
    '{"a": 1, "a": 2}': "has a key twice, 'a'",
    '{"a": {"b": 1, "b": 1}}': "has a key twice, 'b'",
    '{"a": NaN}': "is not JSON (NaN is no number of JSON)",
    '{"a": -Infinity}': "is not JSON (-Infinity is no number of JSON)",
    '{"a": "\\ud83d"}': "has half of a UTF-16 pair, which is no character",
    f'{{"a": {"9" * 5000}}}': "has a number that is too long",
    "[" * 100_000: "is nested too deeply",
}


@pytest.mark.parametrize(("line", "problem"), BAD.items(), ids=lambda text: text[:20])
def test_bad_line_is_refused_in_a_sentence_with_its_number(line: str, problem: str) -> None:
    with pytest.raises(AnexaError) as caught:
        rows(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n', size=2**16)
    assert str(caught.value) == (
        f"line 2 of chat.jsonl {problem}: correct it, or leave out what cannot be read with "
        "--skip-bad"
    )


def test_bad_lines_are_left_out_and_counted() -> None:
    text = "\n".join(['{"a": 1}', "x", "", '{"a": 2}', "y]", '{"a": 3}'])
    found, notes = rows(text, skip=True)
    assert found == [(1, {"a": 1}), (4, {"a": 2}), (6, {"a": 3})]
    assert notes == (
        "left out: 2 lines, of which the first, line 2, is not JSON",
        "left out: line 3, which is empty",
    )


def test_pair_of_escapes_is_one_character() -> None:
    assert rows('{"a": "\\ud83d\\ude00"}')[0] == [(1, {"a": "😀"})]


def test_line_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_ROW_CHARS", 20)
    endless = iter(lambda: "x", None)
    with pytest.raises(AnexaError, match="line 2 of x has more than 20 characters"):
        list(read_rows((chunk for part in (["{}\n"], endless) for chunk in part), BadRows("x")))
