"""Writers of documents in all formats that are read: by `csv`, `json`, `pyarrow`, `zipfile`, …"""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anexa.data import read_corpus
from anexa.data.sources.reader import DEFAULT_OPTIONS, ReadOptions
from tests.data.helpers import texts

Write = Callable[[Path, Sequence[str]], Path]


def read(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> list[str]:
    """Return the documents at a path; they are the same at the second reading."""
    corpus = read_corpus(str(path), options=options)
    assert corpus.layout == "documents"
    documents = texts(corpus)
    assert texts(corpus) == documents
    return documents


def names(documents: Sequence[str]) -> list[str]:
    return [f"{number // 10}/{number:03}.txt" for number in range(len(documents))]


def folder(place: Path, documents: Sequence[str], encodings: Sequence[str] = ("utf-8",)) -> Path:
    for number, (name, document) in enumerate(zip(names(documents), documents)):
        path = place / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document.encode(encodings[number % len(encodings)]))
    return place / "folder"


def mixed_folder(place: Path, documents: Sequence[str]) -> Path:
    return folder(place, documents, ("utf-8-sig", "utf-16", "utf-32", "utf-8"))


def zip_archive(place: Path, documents: Sequence[str]) -> Path:
    with zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, document in reversed([*zip(names(documents), documents)]):
            archive.writestr(name, document.encode())
    return place / "a.zip"


def tar_archive(place: Path, documents: Sequence[str]) -> Path:
    with tarfile.open(place / "a.tar.gz", "w:gz") as archive:
        for name, document in zip(names(documents), documents):
            info = tarfile.TarInfo(name)
            info.size = len(document.encode())
            archive.addfile(info, io.BytesIO(document.encode()))
    return place / "a.tar.gz"


def jsonl(place: Path, documents: Sequence[str], is_ascii: bool = False) -> Path:
    lines = [json.dumps({"id": 1, "text": d}, ensure_ascii=is_ascii) + "\n" for d in documents]
    (place / "a.jsonl").write_bytes("".join(lines).encode())
    return place / "a.jsonl"


def ascii_jsonl(place: Path, documents: Sequence[str]) -> Path:
    path = jsonl(place, documents, is_ascii=True)
    (place / "a.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    return place / "a.jsonl.gz"


def table(place: Path, documents: Sequence[str], name: str = "a.csv", **dialect: Any) -> Path:
    with (place / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, **dialect)
        writer.writerow(["id", "text", "other"])
        writer.writerows([number, document, "x"] for number, document in enumerate(documents))
    return place / name


def tsv(place: Path, documents: Sequence[str]) -> Path:
    return table(place, documents, "a.tsv", dialect="excel-tab")


def unix_table(place: Path, documents: Sequence[str]) -> Path:
    return table(place, documents, dialect="unix", delimiter=";")


def parquet(place: Path, documents: Sequence[str]) -> Path:
    import pyarrow
    import pyarrow.parquet

    columns = pyarrow.table({"id": range(len(documents)), "text": list(documents)})
    pyarrow.parquet.write_table(columns, place / "a.parquet", row_group_size=2)
    return place / "a.parquet"


TEXTS: tuple[Write, ...] = (folder, mixed_folder, zip_archive, tar_archive)
ROWS: tuple[Write, ...] = (jsonl, ascii_jsonl, table, tsv, unix_table)
