"""Folders: which files are read, in which order, and what is left out and said."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.data import read_corpus
from anexa.data.sources import texts as sources_texts
from anexa.data.sources.entries import split_name
from anexa.data.sources.folders import include_filter
from anexa.data.sources.reader import ReadOptions
from anexa.errors import AnexaError, UsageError
from tests.data.helpers import texts, write

MARKDOWN = ReadOptions(include=("*.md",))


def make(root: Path, *paths: str) -> Path:
    """Make files whose texts are their paths."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write(root / path, path)
    return root


def read(root: Path, *include: str) -> list[str]:
    return texts(read_corpus(str(root), options=ReadOptions(include=include)))


def test_folder_of_markdown_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.txt", "a.rst", ".git/x.txt", "node_modules/y.js", "a/b/c.PY")
    make(tmp_path, "env/pyvenv.cfg", "env/lib/a.py")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    write(tmp_path / "empty.txt", "")
    corpus = read_corpus(str(tmp_path))
    assert corpus.layout == "documents"
    assert texts(corpus) == texts(corpus) == ["a/b/c.PY", "a/z.txt", "a.rst", "b.md"]
    assert corpus.notes == (
        "left out: 1 binary file",
        "left out: 1 virtual environment",
        "left out: 1 file of other kinds (.png 1)",
        "left out: 1 blank documents",
    )


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (("*.md",), ["a/b.md", "a/c/d.md", "e.md"]),
        (("a/*.md",), ["a/b.md"]),
        (("a/**/*.md",), ["a/b.md", "a/c/d.md"]),
        (("**/c/*",), ["a/c/d.md", "a/c/x.log"]),
        (("a/**",), ["a/b.md", "a/c/d.md", "a/c/x.log"]),
        (("./e.md", "*.log"), ["a/c/x.log", "e.md"]),
        (("[ae].md", "?.log"), ["a/c/x.log", "e.md"]),
    ],
)
def test_patterns_choose_files(
    include: tuple[str, ...], expected: list[str], tmp_path: Path
) -> None:
    make(tmp_path, "a/b.md", "a/c/d.md", "a/c/x.log", "e.md", ".f.md")
    assert read(tmp_path, *include) == expected


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*.md", "a//b"])
def test_patterns_that_match_nothing_are_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--include .* matches no file: give a pattern such as"):
        read(make(tmp_path, "a.md"), pattern)


@given(st.lists(st.text("ab.*?[]", min_size=1, max_size=5), min_size=1, max_size=4))
def test_any_path_is_accepted_by_a_star_for_each_part(parts: list[str]) -> None:
    path = "/".join(part.replace(".", "x") for part in parts)
    stars = "/".join("*" for _ in parts)
    assert include_filter([stars])(path) or len(parts) == 1
    assert include_filter(["**/*"])(path)
    assert not include_filter([f"{stars}/*"])(path)


@given(st.text("ab./", max_size=12))
def test_endings_are_those_of_pathlib(name: str) -> None:
    last = name.rpartition("/")[2]
    if last.startswith(".") or last.endswith(".") or not last:  # differs between Pythons
        return
    assert split_name(name)[1] == Path(name).suffix.lower()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows may not allow symbolic links")
def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = Path(write(tmp_path / "secret.txt", "secret"))
    root = make(tmp_path / "root", "a/b.txt")
    (root / "a" / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path)
    (root / "out.txt").symlink_to(secret)
    (root / "dangling.txt").symlink_to(root / "nothing")
    corpus = read_corpus(str(root))
    assert texts(corpus) == ["a/b.txt"]
    assert corpus.notes == ("left out: 4 symbolic links",)
    (tmp_path / "link").symlink_to(root)
    assert read(tmp_path / "link") == ["a/b.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_in_a_folder_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    make(tmp_path, "b.txt")
    assert read_corpus(str(tmp_path)).notes == ("left out: 1 device or pipe",)


def test_a_folder_without_texts_says_what_it_has(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "b.log", "c.png")
    found = r"left out: 3 files of other kinds \(\.log 2, \.png 1\)"
    with pytest.raises(AnexaError, match=rf"has no files to read \({found}\): give .* --include"):
        read(tmp_path)
    with pytest.raises(AnexaError, match=rf"no files that match --include '\*\.x' \({found}\)"):
        read(tmp_path, "*.x")
    with pytest.raises(AnexaError, match=rf"no files with rows, such as \.jsonl \({found}\)"):
        read_corpus(str(tmp_path), options=ReadOptions(field="body"))


def test_folders_of_models_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "config.json", "model.safetensors", "README.md")
    with pytest.raises(AnexaError, match="is a folder: it has the weights of a model"):
        read(tmp_path)


def test_unreadable_files_are_refused_or_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.txt")
    write(tmp_path / "c.txt", "да".encode("cp1251"))
    write(tmp_path / "d.txt.gz", b"no gzip")
    advice = "or leave out what cannot be read with --skip-bad"
    with pytest.raises(AnexaError, match=rf"c\.txt is not UTF-8 text: .* iconv .*, {advice}"):
        read(tmp_path)
    corpus = read_corpus(str(tmp_path), options=ReadOptions(skip_bad=True))
    assert texts(corpus) == ["a.txt", "b.txt"]
    assert corpus.notes == ("left out: 2 unreadable files",)


def test_damaged_files_with_rows_are_refused_or_counted(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(200)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines)[:-20])
    (tmp_path / "d.jsonl").write_bytes('{"text": "да"}'.encode("cp1251"))
    advice = "or leave out what cannot be read with --skip-bad$"
    with pytest.raises(AnexaError, match=rf"b\.jsonl\.gz is damaged or incomplete .*, {advice}"):
        read(tmp_path)
    corpus = read_corpus(str(tmp_path), options=ReadOptions(skip_bad=True))
    assert texts(corpus) == [f"row {number}" for number in range(200)]
    assert "left out: 3 unreadable files" in corpus.notes


def test_damaged_parquet_files_are_refused_or_counted(tmp_path: Path) -> None:
    """Rows before the damage are read, and the file is named."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["anna", "bela", "cyril", "dora"]})
    parquet.write_table(table, tmp_path / "a.parquet", compression="none")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(content[:-20])
    (tmp_path / "c.parquet").write_bytes(content.replace(b"cyril", b"\xff\xffril"))
    with pytest.raises(AnexaError, match=r"b\.parquet cannot be read .* with --skip-bad"):
        read(tmp_path)
    corpus = read_corpus(str(tmp_path), options=ReadOptions(skip_bad=True))
    assert texts(corpus) == ["anna", "bela", "cyril", "dora", "anna", "bela"]
    assert "left out: 1 unreadable file" in corpus.notes
    assert "left out: the rest of damaged files (c.parquet after 2 rows)" in corpus.notes


def test_a_bad_row_and_a_missing_field_are_no_damaged_files(tmp_path: Path) -> None:
    """The advice is given once; a field that no row has is a mistake in the command."""
    write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": 1}\n')
    with pytest.raises(AnexaError) as caught:
        read(tmp_path)
    assert str(caught.value).count("--skip-bad") == 1
    with pytest.raises(UsageError, match="has no field 'body'"):
        read_corpus(str(tmp_path), options=ReadOptions(field="body", skip_bad=True))


def test_huge_documents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_texts, "MAX_DOCUMENT_BYTES", 2**20)
    make(tmp_path, "a.txt")
    write(tmp_path / "b.txt", "b" * (2**20 + 1))
    with pytest.raises(AnexaError, match=r"b\.txt has more than 1 MiB, too much for one of many"):
        read(tmp_path)


def test_files_of_a_folder_may_be_one_text_or_lists(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "anna\nbela")
    write(tmp_path / "b.txt", "cyril\n")
    assert texts(read_corpus(str(tmp_path), "lines")) == ["anna", "bela", "cyril"]
    assert texts(read_corpus(str(tmp_path), "text")) == ["anna\nbela\ncyril\n"]


def test_a_folder_that_changes_is_an_error(tmp_path: Path) -> None:
    corpus = read_corpus(str(make(tmp_path, "a.txt", "b.txt")))
    write(tmp_path / "b.txt", "c.txt")
    with pytest.raises(AnexaError, match="changed while it was read: start again"):
        texts(corpus)


def test_options_without_effect_are_refused(tmp_path: Path) -> None:
    path = write(make(tmp_path, "a.txt") / "b.jsonl", '{"text": "a"}\n')
    with pytest.raises(UsageError, match=r"--include '\*\.md' has no effect: .* is read as one"):
        read_corpus(str(tmp_path / "a.txt"), options=MARKDOWN)
    with pytest.raises(UsageError, match=r"--include '\*\.md' has no effect: .*b\.jsonl is one"):
        read_corpus(path, options=MARKDOWN)
    with pytest.raises(UsageError, match="--skip-bad has no effect: firstnames is a named corpus"):
        read_corpus("firstnames", options=ReadOptions(skip_bad=True))
    with pytest.raises(UsageError, match=r"--field 'a' has no effect: .* no file with rows"):
        read_corpus(str(tmp_path), options=ReadOptions(field="a", include=("*.txt",)))


@pytest.mark.slow
def test_many_files_are_read(tmp_path: Path) -> None:
    for folder in range(20):
        (tmp_path / f"{folder:03}").mkdir()
        for file in range(1000):
            (tmp_path / f"{folder:03}" / f"{file:04}.txt").write_text(f"{folder} {file}", "utf-8")
    corpus = read_corpus(str(tmp_path))
    assert texts(corpus) == [f"{folder} {file}" for folder in range(20) for file in range(1000)]
