"""Compressed files and archives, also those that other programs write, and those that do harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from anexa.data import read_corpus
from anexa.data.sources import compression
from anexa.data.sources.reader import ReadOptions
from anexa.errors import AnexaError
from tests.data.helpers import texts, write
from tests.data.sources import writers

TEXT = "A text\nof some lines,\n" * 50


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_text_is_the_text(ending: str, tmp_path: Path) -> None:
    plain = read_corpus(write(tmp_path / "a.txt", TEXT))
    data = compressed(ending, TEXT.encode())
    corpus = read_corpus(write(tmp_path / f"a.txt.{ending}", data))
    assert (corpus.sha256, corpus.layout) == (plain.sha256, plain.layout)
    twice = read_corpus(write(tmp_path / f"b.txt.{ending}", data + data))  # as `cat` joins them
    assert texts(twice) == [TEXT + TEXT]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_damaged_compressed_texts_are_refused(ending: str, tmp_path: Path) -> None:
    data = compressed(ending, b"".join(b"%d " % (n * n) for n in range(9000)))
    for part in (data[:-5], data[: len(data) // 2], b"", b"no such file"):
        path = write(tmp_path / f"a.txt.{ending}", part)
        with pytest.raises(AnexaError, match=rf"a\.txt\.{ending} (is damaged|contains no text)"):
            read_corpus(path, "text")


def compressed(ending: str, data: bytes) -> bytes:
    if ending == "gz":
        return gzip.compress(data)
    if ending == "bz2":
        return bz2.compress(data)
    if ending == "xz":
        return lzma.compress(data)
    pyarrow = pytest.importorskip("pyarrow")
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    packed: bytes = out.getvalue().to_pybytes()
    return packed


@pytest.mark.parametrize(
    ("program", "arguments", "name"),
    [
        ("gzip", ["-k", "a.txt"], "a.txt.gz"),
        ("zstd", ["-q", "a.txt"], "a.txt.zst"),
        ("bzip2", ["-k", "a.txt"], "a.txt.bz2"),
        ("xz", ["-k", "a.txt"], "a.txt.xz"),
    ],
)
def test_files_of_other_programs_are_read(
    program: str, arguments: list[str], name: str, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program == "zstd":
        pytest.importorskip("pyarrow")
    write(tmp_path / "a.txt", TEXT)
    subprocess.run([program, *arguments], cwd=tmp_path, check=True)
    assert texts(read_corpus(str(tmp_path / name))) == [TEXT]


@pytest.mark.skipif(shutil.which("zip") is None, reason="zip is not installed")
def test_an_archive_of_zip_is_read_like_its_folder(tmp_path: Path) -> None:
    folder = writers.folder(tmp_path, ["one", "two", "three"] * 5)
    subprocess.run(["zip", "-qry", "all.zip", folder.name], cwd=tmp_path, check=True)
    assert writers.read(tmp_path / "all.zip") == writers.read(folder)


@pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed")
def test_an_archive_of_tar_is_read(tmp_path: Path) -> None:
    writers.folder(tmp_path, ["one", "two", "three"])
    subprocess.run(["tar", "-czf", "all.tgz", "folder"], cwd=tmp_path, check=True)
    assert sorted(writers.read(tmp_path / "all.tgz")) == ["one", "three", "two"]


def test_members_are_filtered_as_files_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b.md", "a/c.txt.gz", ".git/x.txt", "__MACOSX/._b.md", "p.png", "d.zip"):
            data = f"the text of {name}".encode()
            archive.writestr(name, gzip.compress(data) if name.endswith(".gz") else data)
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    corpus = read_corpus(str(tmp_path / "a.zip"))
    assert texts(corpus) == ["the text of a/c.txt.gz", "the text of b.md"]
    assert corpus.notes == (
        "left out: 1 symbolic link",
        "left out: 2 files of other kinds (.png 1, .zip 1)",
    )


@pytest.mark.parametrize("name", ["../a.txt", "/etc/a.txt", "b/../../a.txt", "C:\\a.txt", "..\\a"])
def test_a_path_that_leaves_the_archive_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("fine.txt", "a")
        zipped.writestr(name, "a")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    for ending in ("zip", "tar"):
        with pytest.raises(AnexaError, match=rf"a\.{ending} has a member whose path leaves"):
            read_corpus(str(tmp_path / f"a.{ending}"))


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "ALWAYS_ALLOWED_BYTES", 2**16)
    zeros = b"a" * 2**21
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", zeros)
    write(tmp_path / "a.txt.gz", gzip.compress(zeros))
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = len(zeros)
        tar.addfile(info, io.BytesIO(zeros))
    for name in ("a.zip", "a.txt.gz", "a.tar.xz"):
        with pytest.raises(AnexaError, match=f"{name} unpacks to more than 200 times its size"):
            read_corpus(str(tmp_path / name))


def test_encrypted_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("secret.txt", "a")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1  # the flag of the member, there and in the list of members
    data[data.index(b"PK\1\2") + 8] |= 1
    write(tmp_path / "a.zip", bytes(data))
    with pytest.raises(AnexaError, match=r"a\.zip is encrypted \(its member 'secret\.txt'\)"):
        read_corpus(str(tmp_path / "a.zip"))


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = writers.zip_archive(tmp_path, [TEXT] * 3).read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for data in (whole[:-10], whole[:50], b"", bytes(flipped)):
        with pytest.raises(AnexaError, match=r"a\.zip.* is damaged or incomplete"):
            read_corpus(write(tmp_path / "a.zip", data))
    tar = writers.tar_archive(tmp_path, [TEXT] * 3).read_bytes()
    for data in (tar[:-20], tar[:50], b"no archive"):
        with pytest.raises(AnexaError, match=r"a\.tar\.gz.* is damaged or incomplete"):
            read_corpus(write(tmp_path / "a.tar.gz", data))


def test_rows_in_an_archive_are_read(tmp_path: Path) -> None:
    path = writers.jsonl(tmp_path, ["one", "two"])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "data/a.jsonl")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(path, "a.jsonl")
    for name in ("a.zip", "a.tar"):
        assert writers.read(tmp_path / name) == ["one", "two"]
        assert writers.read(tmp_path / name, ReadOptions(field="text")) == ["one", "two"]
