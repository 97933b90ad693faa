"""The check of a reader's file: whatever is in it, there is one report, after a limited time."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from anexa.course.checking import check
from anexa.course.exercise import Question, describe_difference
from anexa.course.exercises import EXERCISES
from anexa.course.printed import Excerpt
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
        ("by_hand = None\n", "by_hand: the result is None, and should be a list"),
        ("{by_hand}encode = 3\n", "What stands before the parentheses is no function"),
        (f"{{by_hand}}{ENCODE}return merges(text)\n", "a variable has the same name"),
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
    report = check(1, file, STUDENT, time_limit=2)
    assert report.problem.startswith("mine.py takes longer than 2 seconds")


def test_a_process_that_sleeps_is_stopped_with_those_it_has_started(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n",
        encoding="utf-8",
    )
    report = check(1, file, STUDENT, time_limit=2)
    assert report.problem.endswith(
        "takes longer than 2 seconds: is there a loop without an end, or is this computer busy?"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_outlives_the_file_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import os, time\nby_hand = 1\nif os.fork() == 0:\n    time.sleep(600)\n", encoding="utf-8"
    )
    start = time.monotonic()
    assert not check(1, file, STUDENT, time_limit=2).is_right
    assert time.monotonic() - start < 300, "it is not waited for"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_has_left_the_group_is_not_waited_for(tmp_path: Path) -> None:
    file, started = tmp_path / "mine.py", tmp_path / "started"
    file.write_text(
        "import os, pathlib, time\n"
        "by_hand = [1]\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n",
        encoding="utf-8",
    )
    start = time.monotonic()
    try:
        assert not check(1, file, STUDENT, time_limit=2).is_right
        assert time.monotonic() - start < 300, "it is not waited for"
    finally:
        if started.exists():
            os.kill(int(started.read_text()), signal.SIGKILL)


def test_a_file_that_writes_to_all_file_descriptors_has_no_answer(tmp_path: Path) -> None:
    text = (
        "import os\n"
        "for number in range(3, 50):\n"
        "    try:\n"
        "        os.write(number, b'[[]\\n')\n"
        "    except OSError:\n"
        "        pass\n"
    )
    report = check_text(text, 1, tmp_path)
    assert report.problem == (
        "mine.py has no answer: the file writes where its answers are written"
    )


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
    assert found.stdout.startswith("✗ by_hand: number 1 of the result is 1, which is wrong.\n")
    assert found.stdout.endswith("For yours, add --student NAME.\n")
    assert not found.stderr
    named = anexa("check", "1", "mine.py", "--student", STUDENT, cwd=tmp_path)
    assert "add --student" not in named.stdout


@pytest.mark.parametrize("chapter", EXERCISES)
def test_what_is_to_be_found_by_hand_is_not_told(chapter: int) -> None:
    question = EXERCISES[chapter].questions(chapter, STUDENT)[0]
    right = question.expected
    wrong: list[object] = [None, "x", 12345.678, {}, [], [12345.678] * 3, ["x"] * 3]
    if isinstance(right, list):
        wrong += [right[:-1], [*right, 12345.678], [[12345.678, 0.5]] * len(right)]
    for answer in wrong:
        told = question.difference(answer)
        assert told is not None
        kinds = ["a number", "a list", "a dict", "which is wrong"]
        assert any(told.endswith(kind) for kind in kinds), told


def test_an_entry_too_many_is_told() -> None:
    [question] = [one for one in EXERCISES[17].questions(17, STUDENT) if one.call == "read"]
    more = {**question.expected, "lm_head.bias": []}
    assert question.difference(question.expected) is None
    assert question.difference(more) == "the result has an entry too many, 'lm_head.bias'"
    assert "which is no matrix" in question.reason({**question.expected, "__metadata__": {}})


PRINTED = "".join(f"{number}\n" for number in range(10**5))


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
def test_of_a_long_output_the_first_and_the_last_lines_are_shown(size: int) -> None:
    shown: list[str] = []
    excerpt = Excerpt(shown.append)
    data = PRINTED.encode()
    for start in range(0, len(data), size):
        excerpt.add(data[start : start + size])
    excerpt.close()
    lines = "".join(shown).splitlines()
    assert lines == [
        *map(str, range(100)),
        "… 99,890 lines left out …",
        *map(str, range(99990, 10**5)),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("hello\n", "hello\n"),
        ("ë" * 200, "ë" * 200 + "\n"),
        ("a\n" * 110, "a\n" * 110),
        ("a\n" * 111, "a\n" * 100 + "… 1 line left out …\n" + "a\n" * 10),
        ("é" * 10**5, "é" * 5000 + "\n… 189,000 bytes left out …\n" + "é" * 500 + "\n"),
    ],
)
def test_an_output_is_shown_whole_unless_it_is_long(text: str, expected: str) -> None:
    for size in (1, 10**6):
        shown: list[str] = []
        excerpt = Excerpt(shown.append)
        data = text.encode()
        for start in range(0, len(data), size):
            excerpt.add(data[start : start + size])
        excerpt.close()
        assert "".join(shown) == expected


def test_a_file_that_prints_much_does_not_flood_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "for number in range(10**5):\n    print(number)\nimport os\nos._exit(0)\n",
        encoding="utf-8",
    )
    shown: list[str] = []
    report = check(1, file, STUDENT, show=shown.append)
    assert report.problem == "mine.py has no answer: the file ends the program"
    lines = "".join(shown).splitlines()
    assert lines[99:102] == ["99", "… 99,890 lines left out …", "99990"]
    assert len(lines) == 111


def test_the_files_of_a_class_get_a_line_each(tmp_path: Path) -> None:
    folder = tmp_path / "class"
    folder.mkdir()
    texts = {
        "ada": by_hand(1, "Ada") + RIGHT[1],
        "Eva Li": by_hand(1, "eva li") + RIGHT[1],
        "ben": by_hand(1, "Ada") + RIGHT[1],
        "Max": "print('hello')\ndef (:\n",
        ".hidden": "",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "notes.txt").touch()
    found = anexa("check", "1", "class", cwd=tmp_path)
    ada, ben, eva, last, count = found.stdout.splitlines()
    assert (ada, eva) == ("✓ ada: all answers are right", "✓ Eva Li: all answers are right")
    assert ben.startswith("✗ ben: by_hand: ")
    assert last.startswith("✗ Max: the file raises SyntaxError in line 2 of Max.py")
    assert count == "Chapter 1: 2 of 4 right."
    assert (found.returncode, found.stderr) == (1, "")
    found = anexa("check", "1", "class", "--student", "ADA", cwd=tmp_path)
    assert "✓ ben" in found.stdout
    assert "✗ Eva Li" in found.stdout
    for name in ("Max", "ben"):
        (folder / f"{name}.py").unlink()
    assert anexa("check", "1", "class", cwd=tmp_path).returncode == 0


def test_a_folder_that_cannot_be_checked_is_told_in_a_sentence(tmp_path: Path) -> None:
    found = anexa("check", "1", ".", cwd=tmp_path)
    assert "there is no Python file in" in one_sentence(found)
    (tmp_path / f"{'x' * 61}.py").touch()
    told = one_sentence(anexa("check", "1", ".", cwd=tmp_path))
    assert f"'{'x' * 61}.py' without .py is a name of at most 60 printable characters" in told
    told = one_sentence(anexa("check", "1", ".", "--student", "x" * 61, cwd=tmp_path))
    assert "--student is a name of at most 60" in told
    assert "there is no chapter 99" in one_sentence(anexa("check", "99", ".", cwd=tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_the_others_of_a_class_are_checked_beside_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "ada.py").write_text(by_hand(1, "ada") + RIGHT[1], encoding="utf-8")
    (tmp_path / "aaa.py").symlink_to("gone.py")
    (tmp_path / "aab.py").mkdir()
    os.mkfifo(tmp_path / "aac.py")
    found = anexa("check", "1", ".", cwd=tmp_path)
    gone, pipe, ada, count = found.stdout.splitlines()
    assert gone.startswith("✗ aaa: there is no file aaa.py")
    assert pipe.startswith("✗ aac: there is no file aac.py")
    assert (ada, count) == ("✓ ada: all answers are right", "Chapter 1: 1 of 3 right.")
    assert (found.returncode, found.stderr) == (1, "")


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
        ({"loss": 1.0, "slope": 2.0}, {"loss": 1.0}, "has an entry too many, 'slope'"),
        ({"loss": 1.0, "slope": 2.0}, {"loss": 1.0, "slope": 3.0}, "slope is 2.0"),
        (1.0 + 1e-10, 1.0, None),
        (10**400, 1.0, "00, and should be 1.0"),
        (1.0 + 1e-8, 1.0, "the result is 1.00000001, and should be 1.0"),
    ],
)
def test_first_difference(found: object, expected: object, sentence: str | None) -> None:
    difference = describe_difference(found, expected, 1e-9)
    assert difference is None if sentence is None else difference and sentence in difference


def test_a_number_is_shown_as_precisely_as_it_is_asked() -> None:
    difference = describe_difference([0.07], [0.0628900132458675], 0.006)
    assert difference == "number 1 of the result is 0.07, and should be 0.06"


def test_a_question_is_written_as_a_call() -> None:
    assert str(Question("encode", ("ab", [[97, 98]]), [256], "")) == "encode('ab', [[97, 98]])"
    assert len(str(Question("encode", ("ab" * 999,), [], ""))) < 80
