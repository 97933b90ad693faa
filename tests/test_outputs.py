"""What a user names as an output: a file, a link, a device, a named pipe, the standard output."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from anexa.cli.graph import graph
from anexa.errors import AnexaError, UsageError
from anexa.files import atomic_path, write_atomic, write_folder
from anexa.output_paths import check_output
from tests.cli.process import ANEXA, environment, names, posix, process_class
from tests.cli.test_files import run_unprivileged

pytestmark = posix

DATA = b"digraph {}\n" * 20_000  # more than a pipe holds
CAPTURED = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
EXISTS = r"exists already: choose another name, or replace it with --force"


def test_named_pipe_is_written_through(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomic(pipe, DATA, replace=False)
    reader.join()
    assert got == [DATA]
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


def test_named_pipe_gets_nothing_of_a_failure(tmp_path: Path) -> None:
    """The bytes go through when all are there, so a failing writer does not wait for a reader."""

    def fail() -> None:
        with atomic_path(tmp_path / "pipe") as temporary:
            temporary.write_bytes(b"half")
            raise AnexaError("half")

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AnexaError):
        fail()
    assert names(tmp_path) == ["pipe"]


def test_device_is_written_through(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")  # some containers make nodes that cannot be opened
    except PermissionError:
        pytest.skip("only root may make devices")
    write_atomic(device, DATA, replace=False)
    assert device.is_char_device()
    assert names(tmp_path) == ["null"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_full_device_is_one_sentence() -> None:
    with pytest.raises(AnexaError, match=rf"^cannot write /dev/full: {os.strerror(errno.ENOSPC)}$"):
        write_atomic(Path("/dev/full"), DATA)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_full_standard_output_is_named(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        result = draw("-", tmp_path, stdout=full, stderr=subprocess.PIPE)
    reason = os.strerror(errno.ENOSPC)
    assert result.stderr.decode() == f"anexa: cannot write to the standard output: {reason}\n"


def test_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/target")
    with pytest.raises(AnexaError, match=EXISTS):
        write_atomic(tmp_path / "link", b"new", replace=False)
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").readlink() == Path("real/target")
    assert (tmp_path / "real" / "target").read_bytes() == b"new"
    assert names(tmp_path / "real") == ["target"]


def test_dangling_link_creates_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_atomic(tmp_path / "link", b"new", replace=False)
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "target").read_bytes()) == (True, b"new")
    (tmp_path / "folder").symlink_to("made/there")
    write_folder(tmp_path / "folder", lambda folder: write_atomic(folder / "file", b"in it"))
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "made" / "there" / "file").read_bytes() == b"in it"
    (tmp_path / "lost").symlink_to("nowhere/target")
    with pytest.raises(AnexaError, match=r"cannot write .*lost: there is no folder .*nowhere$"):
        write_atomic(tmp_path / "lost", b"new")


def test_links_in_a_loop_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for folder in (False, True):
        with pytest.raises(AnexaError, match=rf"cannot write .*a: {os.strerror(errno.ELOOP)}$"):
            check_output(tmp_path / "a", folder=folder, replace=True)


def test_replaced_file_keeps_its_mode_and_other_hard_links_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    (tmp_path / "other").hardlink_to(path)
    write_atomic(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o640)
    assert (tmp_path / "other").read_bytes() == b"old"


def test_existing_file_and_wrong_kinds_are_refused(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_bytes(b"mine")
    folder.mkdir()
    for path, options, words in (
        (file, {}, EXISTS),
        (file, {"folder": True}, "exists already: choose another folder"),
        (folder, {"folder": True}, "exists already: choose another folder"),
        (folder, {"replace": True}, "which is a folder: name the file to write"),
        (file / "x", {}, "file is a file"),
        (file / "x", {"folder": True}, "file is a file"),
        (folder / "no" / "x", {}, "there is no folder .*no$"),
    ):
        with pytest.raises(AnexaError, match=words):
            check_output(path, **options)
    check_output(file, replace=True)
    check_output(folder / "new")
    check_output(folder / "no" / "new", folder=True)
    assert (names(tmp_path), names(folder), file.read_bytes()) == (["file", "folder"], [], b"mine")


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write_too_late() -> None:
        with atomic_path(path, replace=False) as temporary:
            temporary.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(AnexaError, match=EXISTS):
        write_too_late()
    assert (path.read_bytes(), names(tmp_path)) == (b"theirs", ["file"])


def test_read_only_file_and_locked_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "drawing.dot").write_bytes(b"old")
    (tmp_path / "drawing.dot").chmod(0o444)
    (tmp_path / "locked").mkdir(mode=0o555)
    (tmp_path / "names.txt").write_text("anna\nbob\n" * 50, encoding="utf-8")
    for command in (
        ["graph", "a", "a=1", "--out", "drawing.dot", "--force"],
        ["graph", "a", "a=1", "--out", "locked/drawing.dot"],
        # Before the corpus is read, and before anything is computed:
        ["train", "nothing.txt", "--out", "locked/a/b"],
        ["export", "--to", "json", "--out", "locked/m.json"],
    ):
        result = run_unprivileged(*command, cwd=tmp_path)
        out = command[command.index("--out") + 1]
        assert result.stderr == f"anexa: cannot write {out}: {os.strerror(errno.EACCES)}\n"
        assert result.returncode == 1
    assert (tmp_path / "drawing.dot").read_bytes() == b"old"


def draw(out: str, cwd: Path, *options: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    command = [*ANEXA, "graph", "a*b", "a=1", "b=2", "--format", "dot", "--out", out, *options]
    kind = process_class() if streams in ({}, CAPTURED) else subprocess.Popen
    with kind(command, cwd=cwd, env=environment(), **streams) as process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def test_minus_is_the_standard_output(tmp_path: Path) -> None:
    outputs = [draw(out, tmp_path, **CAPTURED) for out in ("-", "/dev/stdout")]
    assert draw("file", tmp_path).returncode == 0
    assert {output.stdout for output in outputs} == {(tmp_path / "file").read_bytes()}
    assert {output.stderr for output in outputs} == {b""}
    assert names(tmp_path) == ["file"]


def test_open_file_is_written_where_it_stands(tmp_path: Path) -> None:
    """A shell has opened the file for `3>>log`, so there is nothing to replace."""
    assert draw("file", tmp_path).returncode == 0
    log = tmp_path / "log"
    log.write_bytes(b"mine\n")
    with log.open("ab") as file:
        number = file.fileno()
        assert draw(f"/dev/fd/{number}", tmp_path, pass_fds=[number]).returncode == 0
        draw("/dev/stderr", tmp_path, stderr=file)
    drawing = (tmp_path / "file").read_bytes()
    assert log.read_bytes() == b"mine\n" + drawing + drawing


def test_graph_replaces_a_file_only_with_force(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    refused = draw("file", tmp_path, **CAPTURED)
    assert (refused.returncode, (tmp_path / "file").read_bytes()) == (1, b"mine")
    assert b"file exists already: choose another name, or replace it with --force" in (
        refused.stderr
    )
    assert draw("file", tmp_path, "--force").returncode == 0
    assert (tmp_path / "file").read_bytes().startswith(b"digraph")


def test_standard_output_that_is_closed_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = subprocess.run(
        f"{' '.join(ANEXA)} graph a a=1 --out - >&-",
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
    )
    assert closed.stderr == b"anexa: the standard output is closed: name a file to write\n"
    assert closed.returncode == 1
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", closefd=True) as gone:
        result = draw("-", tmp_path, stdout=gone, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (1, b"")  # nobody can see a message
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.raises(UsageError, match="a folder is not written to the standard output"):
        check_output(Path("-"), folder=True)
    graph("a", ["a=1"], "mermaid", Path("-"))
