from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.training import lock
from anexa.training.lock import LOCK_PATH, TrainingLock, is_training
from tests.cli.process import listing

HOLDER = """
import sys
from pathlib import Path
from anexa.training.lock import TrainingLock
with TrainingLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m" / "training").mkdir(parents=True)
    return tmp_path / "m"


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_second_process_is_refused(folder: Path) -> None:
    assert not is_training(folder)
    with holder(folder) as process:
        assert is_training(folder)
        with pytest.raises(AnexaError) as caught:
            TrainingLock(folder).acquire()
        assert str(caught.value).startswith(f"the training in {folder} is already running: ")
        assert is_training(folder)
        process.communicate()
    assert not is_training(folder)
    with TrainingLock(folder):
        assert is_training(folder)


def test_a_killed_process_releases_the_lock(folder: Path) -> None:
    with holder(folder) as process:
        process.kill()
        process.wait()
        assert not is_training(folder)
        with TrainingLock(folder):
            pass


def test_is_running_neither_releases_the_lock_nor_writes(folder: Path) -> None:
    assert not is_training(folder)
    assert not is_training(folder / "nowhere")
    assert listing(folder) == {"training": None}
    held = TrainingLock(folder)
    held.acquire()
    before = listing(folder)
    for _ in range(3):  # in the process that holds it, too
        assert is_training(folder)
    assert listing(folder) == before
    with pytest.raises(AnexaError):
        TrainingLock(folder).acquire()
    held.release()
    assert not is_training(folder)
    held.release()  # once more does no harm


def test_is_running_does_not_keep_a_training_from_starting(folder: Path) -> None:
    (folder / LOCK_PATH).touch()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            is_training(folder)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(200):
            with TrainingLock(folder):
                pass
    finally:
        done.set()
        for asker in askers:
            asker.join()


def test_several_processes_can_call_is_running_at_once(folder: Path) -> None:
    (folder / LOCK_PATH).touch()
    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(lambda _: is_training(folder), range(4000)))


def test_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match=r"^cannot write .*lock: No such file"):
        TrainingLock(tmp_path / "nowhere").acquire()


def test_training_works_on_a_file_system_without_locks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock, "_lock", refuse)
    with TrainingLock(folder):
        assert not is_training(folder)


def test_a_lock_that_is_held_stays_held(folder: Path) -> None:
    mine = TrainingLock(folder)
    mine.acquire()
    mine.acquire()
    assert is_training(folder)
    with pytest.raises(AnexaError, match="is already running"):
        TrainingLock(folder).acquire()
    mine.release()
    assert not is_training(folder)
