"""The check of a reader's file: whatever is in it, there is one report, after a limited time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from anexa.course.checking import check
from anexa.course.exercise import Question, first_difference
from anexa.errors import AnexaError, UsageError
from tests.cli.process import anexa, one_sentence
from tests.course.solution import STUDENT, by_hand, check_text, said
from tests.course.solutions import RIGHT

ENCODE = "\ndef encode(text, merges):\n    "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def encode(:\n", "the file raises SyntaxError in line 1 of mine.py"),
        ("numbers = names + 1\n", "The file runs alone"),
        ("\nimport nothing_of_this_name\n", "ModuleNotFoundError in line 2 of mine.py"),
        ("raise SystemExit\n", "the file raises SystemExit"),
        ("import os\nos._exit(0)\n", "mine.py has no answer: the file ends the program"),
        ("import os\nos.abort()\n", "mine.py crashes Python"),
        ("answer = input()\n", "EOFError"),
        ("", "mine.py has no variable by_hand"),
        ("{by_hand}", "mine.py has no function encode"),
        ("{by_hand}encode = 3\n", "TypeError"),
        (f"{{by_hand}}{ENCODE}return 1 / 0\n", "raises ZeroDivisionError in line 4 of mine.py"),
        (f"{{by_hand}}{ENCODE}return None\n", "the result is None, and should be a list"),
        (f"{{by_hand}}{ENCODE}return encode\n", "the result is a function"),
        (f"{{by_hand}}{ENCODE}return [0.5]\n", "number 1 of the result is 0.5, and should be"),
        (f"{{by_hand}}{ENCODE}return [1] * 10**6\n", "the result is too long"),
        (f"{{by_hand}}{ENCODE}return [10**400]\n", "number 1 of the result is 1000"),
        (f"{{by_hand}}{ENCODE}return encode(text, merges)\n", "RecursionError"),
    ],
)
def test_a_file_that_fails_is_told_why(text: str, sentence: str, tmp_path: Path) -> None:
    report = check_text(text.replace("{by_hand}", by_hand(1)), 1, tmp_path)
    assert not report.is_right
    assert sentence in said(report)


def test_a_missing_function_is_named_that_a_question_needs_besides(tmp_path: Path) -> None:
    text = by_hand(13) + RIGHT[13].replace("def turn(", "def rotate(")
    report = check_text(text, 13, tmp_path)
    assert report.failed is not None
    assert report.failed.call == "distance"
    assert report.problem == "mine.py has no function turn"


def test_a_loop_without_an_end_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("while True:\n    pass\n", encoding="utf-8")
    report = check(1, file, STUDENT, seconds=2)
    assert report.problem.startswith("mine.py takes longer than 2 seconds")


def test_a_process_that_sleeps_is_stopped_with_those_it_has_started(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n",
        encoding="utf-8",
    )
    report = check(1, file, STUDENT, seconds=2)
    assert "takes longer than 2 seconds" in report.problem


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_outlives_the_file_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import os, time\nby_hand = 1\nif os.fork() == 0:\n    time.sleep(600)\n", encoding="utf-8"
    )
    start = time.monotonic()
    assert not check(1, file, STUDENT, seconds=2).is_right
    assert time.monotonic() - start < 300, "it is not waited for"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory")
def test_memory_is_limited(tmp_path: Path) -> None:
    report = check_text("numbers = bytearray(8 << 30)\n", 1, tmp_path)
    assert "the file raises MemoryError in line 1 of mine.py" in report.problem


def test_the_file_can_print_and_import_its_neighbors(tmp_path: Path) -> None:
    folder = tmp_path / "solutions"
    folder.mkdir()
    (folder / "helper.py").write_text(RIGHT[1], encoding="utf-8")
    (folder / "random.py").write_text("raise SystemExit\n", encoding="utf-8")
    text = by_hand(1) + "from helper import encode, decode\nprint('hello')\n"
    (folder / "mine.py").write_text(text, encoding="utf-8")
    found = anexa("check", "1", folder / "mine.py", "--student", STUDENT, cwd=tmp_path)
    assert found.returncode == 0
    assert found.stdout.endswith("Chapter 1: all 12 answers are right, Ada.\n")
    assert found.stdout.count("✓") == 12
    assert found.stderr == "hello\n"


def test_a_wrong_file_ends_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("by_hand = [1]\n", encoding="utf-8")
    found = anexa("check", "1", "mine.py", cwd=tmp_path)
    assert found.returncode == 1
    assert found.stdout.startswith("✗ by_hand: number 1 of the result is 1, and should be ")
    assert found.stdout.endswith("For yours, add --student NAME.\n")
    assert not found.stderr
    named = anexa("check", "1", "mine.py", "--student", STUDENT, cwd=tmp_path)
    assert "add --student" not in named.stdout


def test_wrong_arguments_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    found = anexa("check", "99", "mine.py", cwd=tmp_path)
    assert found.returncode == 2
    assert "there is no chapter 99" in one_sentence(found)
    with pytest.raises(AnexaError, match=r"there is no file .*gone.py"):
        check(1, tmp_path / "gone.py")
    with pytest.raises(UsageError, match="at most 60"):
        check(1, tmp_path / "mine.py", "x" * 61)


@pytest.mark.parametrize(
    ("found", "expected", "sentence"),
    [
        ([1, 2], [1, 2], None),
        ([1, 3, 4], [1, 2, 4], "number 2 of the result is 3, and should be 2"),
        ([1], [1, 2], "the result has the length 1, and should have 2"),
        ([[0.0], [float("nan")]], [[0.0], [1.0]], "number 1 of list 2 of the result is nan"),
        (True, 1, "the result is True, and should be a number: 1"),
        ("ab", "abc", "the result is 'ab', and should be 'abc'"),
        ({"loss": 1.0, "slope": 2.0}, {"loss": 1.0, "slope": 3.0}, "slope is 2.0"),
        (1.0 + 1e-10, 1.0, None),
        (10**400, 1.0, "00, and should be 1.0"),
        (1.0 + 1e-8, 1.0, "the result is 1.00000001, and should be 1.0"),
    ],
)
def test_first_difference(found: object, expected: object, sentence: str | None) -> None:
    difference = first_difference(found, expected, 1e-9)
    assert difference is None if sentence is None else difference and sentence in difference


def test_a_number_is_shown_as_precisely_as_it_is_asked() -> None:
    difference = first_difference([0.07], [0.0628900132458675], 0.006)
    assert difference == "number 1 of the result is 0.07, and should be 0.06"


def test_a_question_is_written_as_a_call() -> None:
    assert str(Question("encode", ("ab", [[97, 98]]), [256], "")) == "encode('ab', [[97, 98]])"
    assert len(str(Question("encode", ("ab" * 999,), [], ""))) < 80
