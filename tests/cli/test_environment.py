"""An environment that is half set, or gone: one sentence in seconds, and nothing half-written."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.training import init_distributed, read_train_config
from anexa.training.checkpoint import CHECKPOINT_PATH, read_checkpoint
from tests.cli.process import (
    ANEXA,
    TRAIN,
    anexa,
    closed_port,
    environment,
    one_sentence,
    posix,
    start,
)
from tests.training.runs import write_names

LONG = (
    "names.txt --preset microgpt --engine numpy --steps 100000 --no-chat --evaluations 1000 --out m"
)
needs_torch = pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_names(tmp_path)
    return tmp_path


def test_program_works_without_docstrings() -> None:
    """`python -OO` removes them, and with them the help texts of the options."""
    result = subprocess.run(
        [*ANEXA, "train", "--help"],
        env=environment(PYTHONOPTIMIZE="2", PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "--steps" in result.stdout


# ------------------------------------------------------------------ the variables of torchrun


@needs_torch
@pytest.mark.parametrize(
    ("variables", "fragment"),
    [
        ("WORLD_SIZE=2", "but RANK is not set: start them with torchrun, or unset WORLD_SIZE"),
        ("WORLD_SIZE=2 RANK=1", "but MASTER_ADDR is not set"),
        ("WORLD_SIZE=2 RANK=1 MASTER_ADDR=127.0.0.1", "but MASTER_PORT is not set"),
        ("WORLD_SIZE=abc", "WORLD_SIZE must be a whole number from 1 on, not 'abc'"),
        ("WORLD_SIZE=0", "WORLD_SIZE must be a whole number from 1 on, not '0'"),
        ("WORLD_SIZE=-1", "WORLD_SIZE must be a whole number from 1 on, not '-1'"),
        ("WORLD_SIZE=2 RANK=2", "RANK must be a whole number from 0 to 1, not '2'"),
        ("WORLD_SIZE=2 RANK=x", "RANK must be a whole number from 0 to 1, not 'x'"),
        ("RANK=1", "RANK must be 0 where WORLD_SIZE is 1 or not set, not '1'"),
        (
            "WORLD_SIZE=2 RANK=0 MASTER_ADDR=localhost MASTER_PORT=http",
            "MASTER_PORT must be a whole number from 1 to 65535, not 'http'",
        ),
    ],
)
def test_half_set_variables_of_torchrun_are_refused(
    variables: str, fragment: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("="))
    command = TRAIN.replace("numpy", "torch") + " --device cpu"
    result = anexa(*command.split(), cwd=place)
    assert fragment in one_sentence(result)
    assert result.returncode == 2
    assert not (place / "new").exists()


@needs_torch
@posix
@pytest.mark.parametrize(
    ("rank", "notice"),
    [
        ("1", "anexa: waiting for the main process at 127.0.0.1:{port} (MASTER_ADDR and"),
        ("0", "anexa: waiting for all 2 processes (WORLD_SIZE) to come to 127.0.0.1:{port} "),
    ],
)
def test_waiting_for_other_processes_is_said_and_can_be_ended(
    rank: str, notice: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    for name, value in (("WORLD_SIZE", "2"), ("RANK", rank), ("MASTER_PORT", str(port))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    command = TRAIN.replace("numpy", "torch") + " --device cpu"
    with start(*command.split(), cwd=place) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(notice.format(port=port))
        process.terminate()
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 143
    assert not (place / "new").exists()


@needs_torch
@pytest.mark.parametrize(
    ("rank", "sentence"),
    [("1", "there is no main process at 127.0.0.1:"), ("0", "1 of 2 processes .WORLD_SIZE. have")],
)
def test_waiting_for_other_processes_has_an_end(
    rank: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("RANK", rank), ("MASTER_PORT", str(closed_port()))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(AnexaError, match=sentence):
        init_distributed("torch", "cpu", timeout=0.1)


# ------------------------------------------------------------------ signals and terminals


@posix
def test_an_ignored_signal_stays_ignored(place: Path) -> None:
    """`nohup` ignores SIGHUP."""
    script = f"trap '' HUP; exec {shlex.join(ANEXA)} train {LONG}"
    process = subprocess.Popen(
        ["sh", "-c", script],
        cwd=place,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("corpus ")
        process.send_signal(signal.SIGHUP)
        assert "validation" in process.stdout.readline()
        process.terminate()
        assert "and saved" in process.communicate(timeout=60)[0]
    assert process.returncode == 143


@posix
def test_a_closed_terminal_saves_the_run(place: Path) -> None:
    import pty

    pid, terminal = pty.fork()
    if not pid:
        os.chdir(place)
        os.execvpe(ANEXA[0], [*ANEXA, "train", *LONG.split()], environment(COLUMNS="200"))
    said = b""
    while not re.search(rb"step [1-9]\d\d", said):
        said += os.read(terminal, 4096)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 128 + signal.SIGHUP
    state = read_checkpoint(place / "m").state
    assert state.step >= 100
    assert state.progress < 1


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_disturb_a_run(closed: str, place: Path) -> None:
    command = f"{shlex.join(ANEXA)} {TRAIN} {closed}"
    result = subprocess.run(["sh", "-c", command], cwd=place, env=environment(), check=False)
    assert result.returncode == 0
    assert read_checkpoint(place / "new").state.step == 5


# ------------------------------------------------------------------ what never ends


@posix
@pytest.mark.parametrize(
    ("corpus", "fragment"),
    [
        ("/dev/zero", "/dev/zero is not a text file: it has a NUL byte at offset 0"),
        ("/dev/urandom", "/dev/urandom is not "),
        ("/dev/null", "null contains no text"),
    ],
)
def test_a_device_is_read_no_further_than_needed(corpus: str, fragment: str, place: Path) -> None:
    limited = f"ulimit -v 4000000; exec {shlex.join(ANEXA)} train {corpus} --engine numpy --out m"
    result = subprocess.run(
        ["sh", "-c", limited],
        cwd=place,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert fragment in one_sentence(result)
    assert result.returncode == 1


@posix
def test_a_text_without_end_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anexa.data import read_corpus, textfiles

    monkeypatch.setattr(textfiles, "MAX_PIPED_BYTES", 2**22)
    os.mkfifo(place / "pipe")
    with (
        subprocess.Popen(["sh", "-c", "yes > pipe"], cwd=place, stderr=subprocess.DEVNULL),
        pytest.raises(AnexaError, match="pipe does not end within 4 MiB: write the text to a file"),
    ):
        read_corpus(str(place / "pipe"))


@posix
@pytest.mark.parametrize(
    ("corpus", "notice"),
    [
        ("pipe", "anexa: waiting for a program that writes to pipe\n"),
        ("-", "anexa: waiting for the text of standard input\n"),
    ],
)
def test_waiting_for_a_text_is_said_and_can_be_ended(corpus: str, notice: str, place: Path) -> None:
    os.mkfifo(place / "pipe")
    process = subprocess.Popen(
        [*ANEXA, "train", corpus, "--engine", "numpy", "--out", "m"],
        cwd=place,
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == notice
        process.terminate()
        assert process.wait(timeout=60) == 143
        assert process.stderr.read() == ""
    assert not (place / "m").exists()


# ------------------------------------------------------------------ the compiler


@needs_torch
@posix
def test_a_missing_compiler_is_said_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = TRAIN.replace("numpy", "torch --compile --device cpu --n-embd 4 --no-chat")
    monkeypatch.setenv("PATH", str(place))
    result = anexa(*command.split(), cwd=place)
    assert result.returncode == 0
    assert "training goes on without torch.compile: " in one_sentence(result)
    assert not read_train_config(place / "new").device.compile


@needs_torch
@posix
@pytest.mark.slow
def test_a_damaged_cache_of_the_compiler_is_replaced(place: Path) -> None:
    """A compiler that was killed leaves half of a file."""
    cache = place / "cache"
    command = TRAIN.replace("numpy", "torch --compile --device cpu --n-embd 4 --no-chat")
    for folder in ("whole", "new"):
        result = subprocess.run(
            [*ANEXA, *command.replace("--out new", f"--out {folder}").split()],
            cwd=place,
            env=environment(TORCHINDUCTOR_CACHE_DIR=str(cache), TMPDIR=str(place)),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert result.returncode == 0, result.stderr
        for library in cache.rglob("*.so"):
            os.truncate(library, library.stat().st_size // 2)
    # Where there is a CUDA toolkit without a GPU, PyTorch logs a line of its own.
    result.stderr = re.sub(r"^W\d+ .* No CUDA runtime is found.*\n", "", result.stderr, flags=re.M)
    assert f"torch.compile failed with the files in {cache}" in one_sentence(result)
    # The compiler's check for vector instructions is damaged too, so it rounds in another order.
    whole, new = (read_checkpoint(place / folder).weights for folder in ("whole", "new"))
    for name, weight in whole.items():
        assert list(new[name].data) == pytest.approx(list(weight.data), rel=1e-4, abs=1e-6)
    assert not list(place.glob("anexa-compiler-*"))


# ------------------------------------------------------------------ folders


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it cannot be deleted")
def test_a_deleted_working_directory_is_one_sentence(place: Path) -> None:
    (place / "gone").mkdir()
    script = f"rmdir ../gone; exec {shlex.join(ANEXA)} {TRAIN}".replace(
        "names.txt", str(place / "names.txt")
    )
    result = subprocess.run(
        ["sh", "-c", script],
        cwd=place / "gone",
        env=environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "the current folder has been deleted" in one_sentence(result)
    assert result.returncode == 1


def test_a_folder_moved_while_it_trains_is_one_sentence(place: Path) -> None:
    with start("train", *LONG.split(), cwd=place) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("corpus ")
        (place / "m").rename(place / "moved")
        _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error.startswith("anexa: cannot write m")
    assert error.count("\n") == 1
    assert (place / "moved" / CHECKPOINT_PATH).exists()
    assert not (place / "m").exists()
