"""Program that runs a reader's file in a process of its own: `python -m anexa.course.solution`.

It reads a JSON object from standard input: "chapter", "file", "folder" to run in, "questions", each
the name of a function and its arguments, and the limits, "seconds" and "bytes" of memory. It writes
a JSON object on each line of standard output: "loaded" once the file has run, then an "answer" to
each question. An exception ends it with "raises", its "message" and its "line", which may be None.

What the file prints goes to standard error. The limits protect against mistakes, not against
malice.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_ANSWER_CHARS = 1_000_000  # maximum length of one answer in JSON, in characters


def main() -> None:
    """Run the file, and answer each question until an exception ends it.

    This changes the whole process: its working folder, its standard streams, and its limits.
    """
    order = json.loads(sys.stdin.buffer.read())
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        if isinstance(sys.stdout, io.TextIOWrapper):  # a file that is stopped has shown its lines
            sys.stdout.reconfigure(line_buffering=True)
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  # until the process ends
        os.chdir(order["folder"])
        sys.path.append(str(Path(order["file"]).parent))  # last: a file `random.py` hides no module
        _limit(order["seconds"], order["bytes"])
        for line in _answers(order):
            answers.write(json.dumps(line) + "\n")
            answers.flush()


def _answers(order: dict[str, Any]) -> Any:
    from anexa.course.exercises import EXERCISES

    ask = EXERCISES[order["chapter"]].ask
    try:
        names = _run(Path(order["file"]))
        yield {"loaded": True}
        for call, arguments in order["questions"]:
            answer = to_json_value(ask(names, call, arguments))
            size = len(json.dumps(answer))
            if size > MAX_ANSWER_CHARS:
                raise ValueError(f"the result is too long: {size:,} characters")
            yield {"answer": answer}
    except (Exception, SystemExit) as error:
        yield {
            "raises": type(error).__name__,
            "message": error.msg if isinstance(error, SyntaxError) else str(error),
            "line": _line(error, order["file"]),
        }


def _run(path: Path) -> dict[str, Any]:
    """Execute the file as a module named `solution`; returns its names."""
    module = types.ModuleType("solution")
    module.__file__ = str(path)
    sys.modules["solution"] = module  # dataclasses look it up
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module.__dict__


def _line(error: BaseException, file: str) -> int | None:
    """Return the last line of the file that an exception went through."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == file]  # fmt: skip
    return lines[-1] if lines else None


def to_json_value(value: Any) -> Any:
    """Convert an answer to JSON values: tuples, bytes and arrays of NumPy become lists.

    Keys of a dict become strings.

    Raises:
        TypeError: if the value, or a part of it, has no such form, such as a set.
    """
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, bytes, bytearray)):
        return [to_json_value(one) for one in value]
    if isinstance(value, dict):
        return {str(key): to_json_value(one) for key, one in value.items()}
    raise TypeError(f"the result is a {type(value).__name__}, and should be numbers, text or lists")


def _limit(seconds: int, size: int) -> None:
    """Limit the processor time and the memory of this process, where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, size)):
        with suppress(ValueError, OSError):  # macOS has no limit of the address space
            resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
