"""Checks a reader's file: runs it in a process of its own, and compares its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anexa.course.exercise import BY_HAND, Question, advice, check_student
from anexa.course.exercises import EXERCISES
from anexa.course.printed import Excerpt, read_all
from anexa.engines.device import available_cpus
from anexa.errors import AnexaError, UsageError, one_line
from anexa.names import quoted

TIME_LIMIT = 10  # default limit on the time that a file may take, in seconds
# Limit on the address space of a file's process in bytes, where the system has such limits.
MEMORY_LIMIT = 2 << 30
PACKAGE_ROOT = Path(__file__).resolve().parents[2]  # the folder in which the package `anexa` is


@dataclass(frozen=True)
class CheckResult:
    """Result of a check.

    Attributes:
        passed: questions that were answered right, up to the first wrong answer.
        num_questions: number of all questions; 0 in `check_folder` for a file that cannot be read.
        failed: question with the first wrong answer; None if the file fails before the first
            question, or all answers are right.
        problem: clause on the first wrong answer, without a full stop; empty if all are right.
        why: why that matters; may be empty.
    """

    passed: tuple[Question, ...]
    num_questions: int
    failed: Question | None = None
    problem: str = ""
    why: str = ""

    @property
    def is_right(self) -> bool:
        """Whether all answers are right."""
        return not self.problem


def check(
    chapter: int,
    file: Path,
    student: str = "",
    time_limit: int = TIME_LIMIT,
    show: Callable[[str], object] | None = None,
) -> CheckResult:
    """Check the solution of a chapter's exercise, by running it in a process of its own.

    The file runs in the current folder, with all rights of the user. A file that fails, or takes
    too long, is a wrong answer.

    Args:
        chapter: number of the chapter.
        file: Python file with the functions that the exercise asks for.
        student: name that draws the numbers of the questions; empty: those without a name.
        time_limit: limit on the time of the whole file in seconds, both as wall-clock and as
            processor time.
        show: function that shows what the file prints, its first and last lines; None: it is not
            shown.

    Returns:
        The questions that are answered right, and what is wrong with the next answer.

    Raises:
        UsageError: if there is no such chapter, or the name of the student is too long or not
            printable.
        AnexaError: if there is no such file.
    """
    _check_chapter(chapter)
    check_student(student)
    if not file.is_file():
        raise AnexaError(f"there is no file {file}: write your solution into it first")
    questions = EXERCISES[chapter].questions(chapter, student)
    answers, end = _run(chapter, file.resolve(), questions, time_limit, show)
    if not answers or "loaded" not in answers[0]:
        if not answers:
            return CheckResult((), len(questions), None, f"{file.name} {end}")
        problem = _failure(answers[-1], "the file", file)
        why = advice(answers[-1]["raises"], answers[-1]["message"])
        return CheckResult((), len(questions), None, problem, why)
    for i, question in enumerate(questions):
        found: dict[str, Any] = answers[i + 1] if i + 1 < len(answers) else {}
        problem, why = _judge(question, found, file, end)
        if problem:
            return CheckResult(tuple(questions[:i]), len(questions), question, problem, why)
    return CheckResult(tuple(questions), len(questions))


def check_folder(
    chapter: int, folder: Path, student: str | None = None, time_limit: int = TIME_LIMIT
) -> Iterator[tuple[str, CheckResult]]:
    """Check the solutions of a class: all Python files in a folder, in parallel on all cores.

    A file that cannot be read is wrong, and the others are still checked. Nothing is run or raised
    before the first iteration.

    Args:
        chapter: number of the chapter.
        folder: folder with a file for each student.
        student: name that draws the numbers of all files; None: the name of each file, without
            `.py`, is that of its student.
        time_limit: limit on the time of each file, in seconds.

    Yields:
        The name of each file, without `.py`, and its result; in alphabetical order.

    Raises:
        UsageError: if there is no such chapter, or the name of a student is too long or not
            printable.
        AnexaError: if the folder has no Python files.
    """
    _check_chapter(chapter)
    paths = (path for path in folder.glob("*.py") if not path.name.startswith("."))
    files = [path for path in paths if not path.is_dir()]
    files.sort(key=lambda path: (path.stem.casefold(), path.stem))
    if not files:
        raise AnexaError(f"there is no Python file in {folder}: put one there for each student")
    if student is not None:
        check_student(student)
    students = [path.stem if student is None else student for path in files]
    for file, name in zip(files, students):
        check_student(name, f"{quoted(file.name)} without .py")
    pool = ThreadPoolExecutor(min(available_cpus(), len(files)))
    try:
        reports = pool.map(
            lambda file, name: _check_any(chapter, file, name, time_limit), files, students
        )
        yield from zip((path.stem for path in files), reports)
    finally:
        pool.shutdown(cancel_futures=True)


def _check_any(chapter: int, file: Path, student: str, time_limit: int) -> CheckResult:
    """Check a solution as `check` does; a file that cannot be read is a wrong answer."""
    try:
        return check(chapter, file, student, time_limit)
    except AnexaError as error:
        return CheckResult((), 0, None, str(error))


def _check_chapter(chapter: int) -> None:
    if chapter not in EXERCISES:
        raise UsageError(f"there is no chapter {chapter}: anexa learn --list shows all")


def _judge(question: Question, found: dict[str, Any], file: Path, end: str) -> tuple[str, str]:
    """Return what is wrong with an answer, and why it matters; two empty texts if it is right."""
    if "answer" in found:
        difference = question.difference(found["answer"])
        if not difference:
            return "", ""
        return f"{question}: {difference}", question.reason(found["answer"])
    if "raises" not in found:
        return f"{question} {end}", ""
    if found["raises"] == "MissingName":
        name = found["message"]  # not always that of the question, which may need two functions
        kind = "variable" if name == BY_HAND else "function"
        return f"{file.name} has no {kind} {name}", "The exercise says what it should be."
    return _failure(found, str(question), file), question.reason(
        raises=found["raises"], message=found["message"]
    )


def _failure(found: dict[str, Any], subject: str, file: Path) -> str:
    where = f" in line {found['line']} of {file.name}" if found["line"] else ""
    said = f": {one_line(found['message'])}" if found["message"] else ""
    return f"{subject} raises {found['raises']}{where}{said}"


def _run(
    chapter: int,
    file: Path,
    questions: Sequence[Question],
    seconds: int,
    show: Callable[[str], object] | None,
) -> tuple[list[dict[str, Any]], str]:
    """Run the file on the questions, and show an excerpt of what it prints.

    Returns:
        The lines that `anexa.course.solution` has written, and how the process ended, as a clause.
    """
    order = {
        "chapter": chapter,
        "file": str(file),
        "folder": str(Path.cwd()),
        "questions": [[question.call, question.arguments] for question in questions],
        "seconds": seconds,
        "bytes": MEMORY_LIMIT,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "anexa.course.solution"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if show else subprocess.DEVNULL,
        cwd=PACKAGE_ROOT,  # where no file of the reader hides a module
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    reader = None
    if show and process.stderr:
        excerpt = Excerpt(show)
        reader = threading.Thread(target=read_all, args=(process.stderr, excerpt), daemon=True)
        reader.start()
        process.stderr = None  # communicate would keep all of it
    try:
        output, _ = process.communicate(json.dumps(order).encode(), timeout=seconds)
        end = _end(process.returncode, seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        output, end = _rest(process), _slow(seconds)
    finally:
        _kill(process)
        if reader:
            reader.join(timeout=1)  # not until a process ends that has left the group
            excerpt.close()
    lines = output.split(b"\n")[:-1]  # what follows the last one is incomplete
    try:
        return [json.loads(line) for line in lines], end
    except ValueError:  # written by the file, into all file descriptors
        return [], "has no answer: the file writes where its answers are written"


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    """Return what a killed process has written, also if another that it has started goes on."""
    try:
        return process.communicate(timeout=1)[0]
    except subprocess.TimeoutExpired as error:  # a process that has left the group
        if process.stdout:
            process.stdout.close()
        process.wait()
        return error.output or b""


def _end(status: int, seconds: int) -> str:
    if status >= 0:
        return "has no answer: the file ends the program"
    name = signal.Signals(-status).name
    return _slow(seconds) if name in ("SIGXCPU", "SIGKILL") else f"crashes Python ({name})"


def _slow(seconds: int) -> str:
    end = "is there a loop without an end, or is this computer busy?"
    return f"takes longer than {seconds} seconds: {end}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, and those that it has started, which may outlive it."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
