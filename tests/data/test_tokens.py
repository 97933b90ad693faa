"""Tokens of a corpus: cached tokens equal those in memory, and the cache is atomic."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anexa.data import Documents, Layout, reading, tokens
from anexa.data.tokens import Array, TokenizedCorpus, tokenize
from anexa.errors import AnexaError
from anexa.output_paths import TEMPORARY_PREFIX
from tests.data.helpers import documents, whole_documents
from tests.data.helpers import texts as message_texts


class CodePoints:
    """Tokenizer whose ids are Unicode code points, with 0 between documents."""

    eot_token_id = 0
    times = 0

    def __init__(self, vocab_size: int = sys.maxunicode + 1) -> None:
        self.vocab_size = vocab_size

    def encode_batch(self, texts: Sequence[str]) -> tuple[Array, Array]:
        self.times += 1
        return np.array([ord(c) for text in texts for c in text]), np.array([*map(len, texts)])

    def to_json(self) -> str:
        return f"code points {self.vocab_size}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache the tokens of corpora of any size."""
    monkeypatch.setattr(tokens, "MAX_IN_MEMORY_BYTES", 0)


def folders(cache: Path) -> list[Path]:
    return sorted(cache.iterdir()) if cache.exists() else []


def same(one: TokenizedCorpus, other: TokenizedCorpus) -> bool:
    return (
        one.layout == other.layout
        and one.ids.dtype == other.ids.dtype
        and one.ids.tolist() == other.ids.tolist()
        and one.boundaries.tolist() == other.boundaries.tolist()
    )


TEXT = documents("text", "The quick brown fox\njumps over 日本.\n" * 9)
NAMES = documents("lines", "anna\nbela\né\n")


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(characters, max_size=9)).map("\n".join),
    st.sampled_from(["lines", "text"]),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_cached_tokens_equal_tokens_in_memory(
    text: str, layout: Layout, chunk: int, piece: int
) -> None:
    text += "x"
    with pytest.MonkeyPatch.context() as patch:
        corpus = documents(layout, text)
        memory_source = tokenize(corpus, CodePoints())
        patch.setattr(reading, "CHUNK_SIZE", chunk)
        patch.setattr(reading, "MAX_TEXT_PIECE_CHARS", piece)
        in_pieces = tokenize(corpus, CodePoints())
        patch.setattr(tokens, "MAX_IN_MEMORY_BYTES", 0)
        in_file = tokenize(corpus, CodePoints())
        assert isinstance(in_file.ids.base, np.memmap)
        assert not in_file.ids.flags.writeable
        assert same(memory_source, in_pieces)
        assert same(memory_source, in_file)
        assert same(memory_source, tokenize(corpus, CodePoints()))
    if layout == "text":
        assert memory_source.ids.tolist() == [0, *map(ord, text.removeprefix("\ufeff"))]
        return
    boundaries = memory_source.boundaries
    framed = [memory_source.ids[a : b + 1].tolist() for a, b in pairwise(boundaries)]
    assert framed == [[0, *map(ord, document), 0] for document in message_texts(corpus)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(characters, max_size=9)), st.integers(1, 9), st.integers(1, 9))
def test_documents_stay_whole(written: list[str], chunk: int, piece: int) -> None:
    """A document may have many lines, and is encoded in pieces."""
    written = [*written, "\nx\n\ny "]
    with pytest.MonkeyPatch.context() as patch:
        corpus = whole_documents(written)
        memory_source = tokenize(corpus, CodePoints())
        patch.setattr(reading, "CHUNK_SIZE", chunk)
        patch.setattr(reading, "MAX_TEXT_PIECE_CHARS", piece)
        assert same(memory_source, tokenize(corpus, CodePoints()))
        patch.setattr(tokens, "MAX_IN_MEMORY_BYTES", 0)
        assert same(memory_source, tokenize(corpus, CodePoints()))
    kept = [text for text in written if text.strip()]
    assert message_texts(corpus) == kept
    assert corpus.size == sum(len(text.encode()) for text in kept)
    framed = [memory_source.ids[a : b + 1].tolist() for a, b in pairwise(memory_source.boundaries)]
    assert framed == [[0, *map(ord, document), 0] for document in kept]
    blank = len(written) - len(kept)
    assert corpus.notes == ((f"left out: {blank:,} blank documents",) if blank else ())


def test_the_hash_of_documents_has_their_boundaries() -> None:
    pairs = [["ab", "c"], ["a", "bc"], ["abc"], ["ab", " ", "c"]]
    hashes = [whole_documents(pair).sha256 for pair in pairs]
    assert hashes[0] == hashes[3]
    assert len({*hashes}) == 3
    with pytest.raises(AnexaError, match="x contains no text"):
        whole_documents(["", "\n"])


def test_only_large_corpora_are_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_IN_MEMORY_BYTES", TEXT.size)
    tokenize(TEXT, CodePoints())
    assert not folders(cache)
    monkeypatch.setattr(tokens, "MAX_IN_MEMORY_BYTES", TEXT.size - 1)
    tokenize(TEXT, CodePoints())
    assert len(folders(cache)) == 1


@pytest.mark.usefixtures("large")
def test_small_vocabularies_take_two_bytes_a_token(cache: Path) -> None:
    corpus = documents("text", "abc")
    assert tokenize(corpus, CodePoints(2**16)).ids.dtype == np.uint16
    [folder] = folders(cache)
    assert (folder / "ids").stat().st_size == 8
    assert tokenize(corpus, CodePoints(2**16 + 1)).ids.dtype == np.uint32


@pytest.mark.usefixtures("large")
def test_a_corpus_is_encoded_once(cache: Path) -> None:
    encoder = CodePoints()
    first = tokenize(TEXT, encoder)
    times = encoder.times
    assert same(tokenize(TEXT, encoder), first)
    assert encoder.times == times
    assert same(
        tokenize(documents("text", "".join(message_texts(TEXT)), "another name"), encoder), first
    )
    assert encoder.times == times
    tokenize(TEXT, CodePoints(sys.maxunicode + 2))  # another tokenizer
    tokenize(NAMES, encoder)  # another text
    assert encoder.times == times + 1
    assert len(folders(cache)) == 3


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("name", ["ids", "boundaries", "sizes.json"])
@pytest.mark.parametrize("damage", ["cut", "longer", "gone"])
def test_damaged_cache_files_are_rewritten(name: str, damage: str, cache: Path) -> None:
    good = tokenize(NAMES, CodePoints())
    whole = [good.ids.tolist(), good.boundaries.tolist()]
    [folder] = folders(cache)
    path = folder / name
    if damage == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] if damage == "cut" else data + b"\0")
    repeated = tokenize(NAMES, CodePoints())
    assert [repeated.ids.tolist(), repeated.boundaries.tolist()] == whole
    assert folders(cache) == [folder]


KILLED = """
import os, sys
from anexa.data import read_corpus, reading, tokens
from tests.data.test_tokens import CodePoints
tokens.MAX_IN_MEMORY_BYTES, reading.CHUNK_SIZE = 0, 100
def progress(done, total):
    if done > total // 2:
        os._exit(9)  # nothing is tidied up, as by a kill
tokens.tokenize(read_corpus(sys.argv[1], "text"), CodePoints(), progress)
"""


@pytest.mark.usefixtures("large")
def test_a_killed_process_leaves_no_valid_cache_folder(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("".join(message_texts(TEXT)).encode("utf-8"))
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert process.returncode == 9
    [part] = folders(cache)
    assert part.name.startswith(TEMPORARY_PREFIX)
    assert tokenize(TEXT, CodePoints()).ids.tolist()[1:] == [*map(ord, message_texts(TEXT)[0])]
    assert part in folders(cache), "it may be another process at work"
    os.utime(part, (time.time() - tokens.STALE_SECONDS - 9,) * 2)
    tokenize(NAMES, CodePoints())
    assert part not in folders(cache)
    assert len(folders(cache)) == 2


@pytest.mark.usefixtures("large")
def test_full_disk_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnexaError, match=r"tokens of x to .*tokens: No space .* MiB there, or set"):
        tokenize(TEXT, CodePoints())
    assert not folders(cache)


@pytest.mark.usefixtures("large")
def test_cache_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    with pytest.raises(AnexaError, match=r"cannot write the tokens of x to .*: .*ANEXA_CACHE"):
        tokenize(TEXT, CodePoints())


@pytest.mark.usefixtures("large")
def test_a_corpus_that_changes_during_encoding_is_an_error(cache: Path) -> None:
    changed = Documents("x", "text", TEXT.size, TEXT.sha256, NAMES.source)
    with pytest.raises(AnexaError, match="x changed while it was read"):
        tokenize(changed, CodePoints())
    assert not folders(cache)


@pytest.mark.usefixtures("large")
def test_progress_ends_with_all_bytes() -> None:
    progress: list[tuple[int, int | None]] = []
    tokenize(TEXT, CodePoints(), lambda done, total: progress.append((done, total)))
    assert progress[-1] == (TEXT.size, TEXT.size)
    progress.clear()
    tokenize(TEXT, CodePoints(), lambda done, total: progress.append((done, total)))
    assert not progress
