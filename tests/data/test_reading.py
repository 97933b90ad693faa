"""Reading a text in chunks gives the same result as reading it at once."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anexa.data import Layout, reading
from anexa.data.reading import decode_chunks, split_documents
from anexa.errors import AnexaError

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
bits = st.text(characters, max_size=3) | st.sampled_from([*"\r\n \ufeffé日😀", "\r\n"])
texts = st.lists(bits, max_size=20).map("".join)
sizes = st.integers(1, 9)


def plain(data: bytes) -> str:
    """Decode a text file as Python's own `open` does."""
    text = data.decode("utf-8").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def chunked(data: bytes, size: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_SIZE", size)
        return "".join(decode_chunks(io.BytesIO(data), "x"))


@given(texts, sizes)
@example("\ufeff\ufeffa\r\n\r\r\n\r", 1)
@example("😀\r", 1)
def test_chunks_join_to_the_whole(text: str, size: int) -> None:
    assert chunked(text.encode("utf-8"), size) == plain(text.encode("utf-8"))


@given(texts, st.binary(min_size=1, max_size=4), texts, sizes)
@example("é", b"\xc3", "", 1)
@example("", b"\xe2\x82", "a", 2)
@example("\ufeff", b"\xff", "", 3)
def test_error_names_the_first_invalid_byte(
    before: str, wrong: bytes, after: str, size: int
) -> None:
    data = before.encode("utf-8") + wrong + after.encode("utf-8")
    if b"\0" in wrong:
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        with pytest.raises(AnexaError, match=rf"x is not UTF-8 .* offset {error.start} is invalid"):
            chunked(data, size)
    else:
        assert chunked(data, size) == plain(data)


@given(texts, sizes)
def test_error_names_a_nul_byte(text: str, size: int) -> None:
    data = text.encode("utf-8")
    with pytest.raises(AnexaError, match=rf"NUL byte at offset {len(data)};"):
        chunked(data + b"\0a\0", size)


def cut_up(text: str, layout: Layout, cuts: list[int], piece: int) -> list[str]:
    """Return all pieces of a text whose chunks end at these positions."""
    ends = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    chunks = [text[a:b] for a, b in pairwise(ends)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "MAX_TEXT_PIECE_CHARS", piece)
        return [piece for group in split_documents(chunks, layout) for piece in group]


@given(texts, st.lists(st.integers(0, 60)))
def test_lines_do_not_depend_on_the_chunks(text: str, cuts: list[int]) -> None:
    expected = [line.strip() for line in text.split("\n") if line.strip()]
    assert cut_up(text, "lines", cuts, 4) == expected


@given(st.text("ab \n", max_size=60), st.lists(st.integers(0, 60)), st.integers(1, 9))
def test_pieces_do_not_depend_on_the_chunks(text: str, cuts: list[int], piece: int) -> None:
    pieces = cut_up(text, "text", cuts, piece)
    assert "".join(pieces) == text
    assert pieces == cut_up(text, "text", [], piece)
    assert all(0 < len(p) <= piece for p in pieces)
    for p, following in pairwise(pieces):
        if not p.endswith("\n"):
            possible = (p + following)[:piece]
            assert "\n" not in possible
            assert following.startswith(" ") or " " not in possible[1:]


def test_pieces_end_at_line_ends() -> None:
    assert cut_up("ab cd\nef\ngh", "text", [], 8) == ["ab cd\n", "ef\ngh"]
    assert cut_up("ab cd ef", "text", [], 7) == ["ab cd", " ef"]
    assert cut_up("abcdef", "text", [], 4) == ["abcd", "ef"]
    assert cut_up(" abcdef", "text", [], 4) == [" abc", "def"]
