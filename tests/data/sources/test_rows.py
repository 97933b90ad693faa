"""Rows of JSON Lines, tables, Parquet files and datasets, good and bad."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from anexa.data import read_corpus
from anexa.data.sources import tables
from anexa.data.sources.reader import ReadOptions
from anexa.errors import AnexaError, UsageError
from tests.data.helpers import texts, write
from tests.data.sources import writers

SKIP = ReadOptions(skip_bad=True)


def lines(*rows: Any) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


GOOD: dict[str, str] = {"text": "a"}
# The second row of a file, what is wrong with it, and the number of its line.
BAD_ROWS = {
    "jsonl": [
        ("", "line 2 of {} is empty"),
        ('{"text": "b', r"line 2 of {} is cut off"),
        ("b", "line 2 of {} is not JSON"),
        ("[1]", "line 2 of {} is not a JSON object"),
        ('{"body": "b"}', "line 2 of {} has no field 'text'"),
        ('{"text": null}', "line 2 of {} has null in the field 'text'"),
        ('{"text": 12}', "line 2 of {} has no text in the field 'text' but 12"),
        ('{"text": ["b"]}', r"line 2 of {} has no text in the field 'text' but \['b'\]"),
        (r'{"text": "\ud800"}', "line 2 of {} has half of a UTF-16 pair"),
        (r'{"text": "\u0000"}', "line 2 of {} has a NUL character in the field 'text'"),
    ],
    "csv": [
        ("1,2,3", "line 3 of {} does not have 2 columns but 3"),
        ("b", "line 3 of {} does not have 2 columns but 1"),
    ],
}


def rows_file(kind: str, place: Path, bad: str) -> str:
    if kind == "jsonl":
        return write(place / "a.jsonl", lines(GOOD, bad, {"text": "c"}))
    return write(place / "a.csv", f"text,id\na,1\n{bad}\nc,3\n")


@pytest.mark.parametrize(
    ("kind", "bad", "sentence"), [(k, *case) for k, cases in BAD_ROWS.items() for case in cases]
)
def test_a_bad_row_is_refused_or_counted(
    kind: str, bad: str, sentence: str, tmp_path: Path
) -> None:
    path = rows_file(kind, tmp_path, bad)
    message = sentence.replace("{}", f".*a\\.{kind}")
    with pytest.raises(AnexaError, match=f"{message}.*: correct it, or leave out .* --skip-bad"):
        read_corpus(path)
    corpus = read_corpus(path, options=SKIP)
    assert texts(corpus) == ["a", "c"]
    [note] = corpus.notes
    assert note.startswith(f"left out: line {2 if kind == 'jsonl' else 3}, which ")


def test_many_bad_rows_are_counted_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(GOOD, "b", "c", {"text": 1}, GOOD))
    assert read_corpus(path, options=SKIP).notes == (
        "left out: 2 lines, of which the first, line 2, is not JSON",
        "left out: line 4, which has no text in the field 'text'",
    )


@pytest.mark.parametrize("write_rows", writers.ROWS, ids=lambda w: w.__name__)
def test_another_field_is_chosen_or_the_existing_ones_are_named(
    write_rows: writers.Write, tmp_path: Path
) -> None:
    path = write_rows(tmp_path, ["one", "two"])
    with pytest.raises(UsageError, match=r"has no field 'body': .* --field; it has 'id', 'text'"):
        read_corpus(str(path), options=ReadOptions(field="body"))
    assert writers.read(path, ReadOptions(field="text")) == ["one", "two"]
    if write_rows is writers.table:
        assert writers.read(path, ReadOptions(field="id")) == ["0", "1"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(newline: str, tmp_path: Path) -> None:
    table = newline.join(["id,text", '1,"two', 'lines"', "", "2,b", ""])
    assert writers.read(Path(write(tmp_path / "a.csv", table))) == ["two\nlines", "b"]
    rows = newline.join(['{"text": "two\\r\\nlines"}', '{"text": "b"}', ""])
    assert writers.read(Path(write(tmp_path / "a.jsonl", rows))) == ["two\nlines", "b"]


@pytest.mark.parametrize(
    "dialect",
    [
        {"delimiter": delimiter, "lineterminator": end, "quoting": quoting}
        for delimiter in ",;\t|"
        for end in ("\n", "\r\n")
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)
    ]
    + [{"doublequote": False, "escapechar": "\\", "delimiter": ";"}],
    ids=str,
)
def test_odd_dialects_are_recognized(dialect: dict[str, Any], tmp_path: Path) -> None:
    documents = ['She said "no", twice; and\nleft.', "a|b\tc", "plain", "x, y", "''"]
    assert writers.read(writers.table(tmp_path, documents, **dialect)) == documents


def test_one_column_is_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text\nfirst; second\n"b, c"\n')
    assert writers.read(Path(path)) == ["first; second", "b, c"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('text,id\na,1\n"b" c,2\n', "cannot be read as a table after line 2: ',' expected after"),
        ('id,text\n1,"a"b\n', "cannot be read as a table after line 1: ',' expected after"),
        ('text,id\na,1\n"b,2\n', "cannot be read as a table after line 2: unexpected end of data"),
        ("", "contains no text"),
        ("text,id\n", "contains no text"),
        ("a,b\n1,2\n", "has no field 'text': name the one with the texts with --field; it has"),
        ("id,messages\n1,a\n", r".*'messages' \(conversations are read from a \.jsonl file that"),
        ("text,id,text\na,1,b\n", "has two fields 'text': give them different names"),
        ("text,id\na\0,1\n", "has a NUL byte at offset 9"),
    ],
)
def test_bad_tables_are_refused(table: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=rf"a\.csv.* {sentence}"):
        read_corpus(write(tmp_path / "a.csv", table))


def test_a_huge_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_TABLE_LINE_CHARS", 2**20)
    path = write(tmp_path / "a.csv", "text\na\n" + "é" * 2**20)  # characters, not bytes
    assert texts(read_corpus(path)) == ["a", "é" * 2**20]
    path = write(tmp_path / "a.csv", "text\na\n" + "b" * (2**20 + 1))
    with pytest.raises(AnexaError, match=r"line 3 of .*a\.csv has more than 1,048,576 char"):
        read_corpus(path)


def test_rows_are_read_as_a_text_if_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(GOOD, GOOD))
    assert texts(read_corpus(path, "text")) == [lines(GOOD, GOOD)]
    assert read_corpus(path, "lines").layout == "lines"


# Parquet, and datasets on the disk


def test_parquet_of_every_type_of_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    kinds = [pyarrow.string(), pyarrow.large_string()]
    kinds.append(pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))
    for kind in kinds:
        column = pyarrow.array(["one", "two\r\n", "one"]).cast(kind)
        pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
        assert writers.read(tmp_path / "a.parquet") == ["one", "two\n", "one"]


def test_parquet_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a" * 10**6] * 70}), path)
    with pytest.raises(AnexaError, match=r"a\.parquet unpacks to more than 200 times its size"):
        read_corpus(str(path))


def test_bad_parquet_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "a.parquet")
    columns = {"text": [1, 2], "body": ["one", None], "tags": [["x"], ["y"]]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(UsageError, match="the column 'text' is of the type 'int64', not text"):
        read_corpus(path)
    with pytest.raises(UsageError, match="the column 'tags' is of the type 'list"):
        read_corpus(path, options=ReadOptions(field="tags"))
    with pytest.raises(UsageError, match=r"has no field 'x': .* it has 'text', 'body', 'tags'"):
        read_corpus(path, options=ReadOptions(field="x"))
    with pytest.raises(AnexaError, match=r"row 2 of .*a\.parquet has null in the field 'body'"):
        read_corpus(path, options=ReadOptions(field="body"))
    assert texts(read_corpus(path, options=ReadOptions("body", skip_bad=True))) == ["one"]
    write(tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(AnexaError, match=r"a\.parquet cannot be read \("):
        read_corpus(path)


def test_a_folder_of_parquet_files_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = writers.parquet(tmp_path, ["one", "two", "three"])
    path.rename(tmp_path / "train-00001.parquet")
    writers.parquet(tmp_path, ["zero"]).rename(tmp_path / "train-00000.parquet")
    write(tmp_path / "data.json", "{}")
    assert writers.read(tmp_path) == ["zero", "one", "two", "three"]
    assert read_corpus(str(tmp_path)).notes == (
        "read: the rows of 2 files (train-00000.parquet, train-00001.parquet)",
        "left out: 1 file of other kinds (.json 1)",
    )


@pytest.mark.integration
def test_datasets_on_the_disk_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": [f"text {n}" for n in range(9)], "n": range(9)})
    rows.save_to_disk(tmp_path / "all", num_shards=3)
    assert writers.read(tmp_path / "all") == [f"text {n}" for n in range(9)]
    rows.select([5, 2]).save_to_disk(tmp_path / "some")
    assert writers.read(tmp_path / "some") == ["text 5", "text 2"]
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    corpus = read_corpus(str(tmp_path / "both"))
    assert corpus.notes == ("read: the split 'train' of the dataset, not 'test'",)
    datasets.DatasetDict({"test": rows}).save_to_disk(tmp_path / "test")
    with pytest.raises(UsageError, match=r"has no split 'train': give the folder of one .* 'test'"):
        read_corpus(str(tmp_path / "test"))
    with pytest.raises(UsageError, match="the column 'n' is of the type 'int64'"):
        read_corpus(str(tmp_path / "all"), options=ReadOptions(field="n"))


def test_damaged_datasets_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write(tmp_path / "dataset_info.json", "{}")
    state = {"_data_files": [{"filename": "../a.arrow"}]}
    write(tmp_path / "state.json", json.dumps(state))
    with pytest.raises(AnexaError, match=r"names a file outside the dataset, '\.\./a\.arrow'"):
        read_corpus(str(tmp_path))
    write(tmp_path / "state.json", json.dumps({"_data_files": [{"filename": "a.arrow"}]}))
    with pytest.raises(AnexaError, match=r"a\.arrow cannot be read"):
        read_corpus(str(tmp_path))
    write(tmp_path / "a.arrow", "no dataset")
    with pytest.raises(AnexaError, match=r"a\.arrow cannot be read"):
        read_corpus(str(tmp_path))
    write(tmp_path / "state.json", "[]")
    with pytest.raises(AnexaError, match=r"state\.json is damaged"):
        read_corpus(str(tmp_path))


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("a.parquet", "a.txt.zst"):
        with pytest.raises(AnexaError, match=rf"{name} needs .*: pip install 'anexa\[data\]'"):
            read_corpus(write(tmp_path / name, b"PAR1"))
