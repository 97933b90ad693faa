"""Files are written whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.files import read_bytes, read_json, write_atomic, write_json
from tests.cli.process import names, posix


def test_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    for content in (b"old", b"", b"\0new\r\n" * 1000):
        write_atomic(path, content)
        assert path.read_bytes() == content
        assert names(tmp_path) == ["file.bin"]


@posix
def test_other_users_can_read_the_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file.bin", b"x")
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == 0o644


@posix
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on file sizes simulates a full disk."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from anexa.errors import AnexaError\n"
        "from anexa.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_atomic(Path(sys.argv[1]), b'new' * 1000)\n"
        "except AnexaError as error:\n"
        "    print(error)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, encoding="utf-8", check=True
    )
    assert process.stdout == f"cannot write {path}: File too large\n"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_path_of_a_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(AnexaError, match=r"cannot write .*taken"):
        write_atomic(tmp_path / "taken", b"new")
    assert names(tmp_path) == ["taken"]


def test_missing_folder_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"cannot write .*file"):
        write_atomic(tmp_path / "missing" / "file", b"new")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AnexaError, match=r"cannot write .*inside"):
        write_atomic(tmp_path / "file" / "inside", b"new")
    assert names(tmp_path) == ["file"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4))
def test_json_round_trip(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    try:
        write_json(path, value)
    except UnicodeEncodeError:  # a lone surrogate: no text that can be written
        return
    assert read_json(path) == value


def test_json_is_indented_and_not_escaped(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Zoë", "n": 1})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "name": "Zoë",\n  "n": 1\n}\n'.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'{"a": \xff}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"<html>",
    ],
    ids=["empty", "cut", "binary", "not UTF-8", "very deep", "very long number", "HTML"],
)
def test_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(AnexaError, match=r"a\.json is damaged: it is not JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("value", [[], None, 3, "text", True])
def test_json_that_is_not_an_object_is_refused(tmp_path: Path, value: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(AnexaError, match=r"a\.json is damaged: it is not a JSON object"):
        read_json(tmp_path / "a.json")


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"there is no file .*config\.json"):
        read_bytes(tmp_path / "config.json")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(AnexaError, match=r"cannot read .*config\.json"):
        read_bytes(tmp_path / "config.json")
