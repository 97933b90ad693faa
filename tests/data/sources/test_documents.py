"""Any documents come back as they were written, in every format."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anexa.data import read_corpus, reading
from tests.data.sources import writers

characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff")
bits = st.text(characters, max_size=3) | st.sampled_from([*'\n\t",;|\\é日😀', '""', "\n\n"])
documents = st.lists(
    st.lists(bits, max_size=12).map("".join).filter(lambda text: text.strip()),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("write", [*writers.TEXTS, *writers.ROWS], ids=lambda w: w.__name__)
@settings(max_examples=20)
@given(documents)
def test_documents_come_back_from_every_format(write: writers.Write, texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        assert writers.read(write(Path(place), texts)) == texts


@settings(max_examples=20)
@given(documents)
def test_documents_come_back_from_parquet(texts: list[str]) -> None:
    pytest.importorskip("pyarrow")
    with tempfile.TemporaryDirectory() as place:
        assert writers.read(writers.parquet(Path(place), texts)) == texts


@settings(max_examples=20)
@given(documents, st.integers(1, 40))
def test_documents_do_not_depend_on_the_chunks(texts: list[str], size: int) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_SIZE", size)
        for write in writers.ROWS:
            assert writers.read(write(Path(place), texts)) == texts


def test_the_hash_is_that_of_the_documents_in_any_format(tmp_path: Path) -> None:
    texts = ["a\nb\n", "“é”", "c, d"]
    hashes = {
        read_corpus(str(write(tmp_path, texts))).sha256 for write in [*writers.TEXTS, *writers.ROWS]
    }
    assert len(hashes) == 1
    assert read_corpus(str(writers.jsonl(tmp_path, texts[::-1]))).sha256 not in hashes
