"""The program in a real terminal: one end of a pseudo-terminal is its standard streams."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.process import ANEXA, environment
from tests.training.runs import write_names

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

import fcntl
import termios

ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """A process in a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.raw = ""
        self._process = process
        self._master = master
        self._seen = 0

    @property
    def _shown(self) -> str:
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def expect(self, pattern: str, seconds: float = 30) -> str:
        """Wait for a text in the new output; returns the output up to the text."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self._shown, self._seen)
            if found:
                before = self._shown[self._seen : found.end()]
                self._seen = found.end()
                return before
            if not self._read(deadline):
                raise AssertionError(f"no {pattern!r} in {self._shown[self._seen :]!r}")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self, seconds: float = 30) -> int:
        """Wait for the end of the process; returns the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self._process.wait(max(1.0, deadline - time.monotonic()))

    def rest(self) -> str:
        return self._shown[self._seen :]

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # so Linux says that the other end is closed
            return False
        self.raw += data.decode("utf-8", errors="replace")
        return bool(data)


def _heed_ctrl_c() -> None:
    """Enable SIGINT in the child process, also if the tests run in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def terminal(*arguments: str | Path, cwd: Path, **variables: str) -> Iterator[Terminal]:
    """Start `anexa` in a terminal of 24 x 100 characters, with extra environment variables."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [*ANEXA, *map(str, arguments)],
        cwd=cwd,
        # prompt_toolkit would wait for a terminal that answers where its cursor is.
        env=environment(PROMPT_TOOLKIT_NO_CPR="1", **variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_chat_ends_with_ctrl_d(names_model: Path) -> None:
    with terminal("chat", names_model, "--engine", "numpy", cwd=names_model.parent) as t:
        t.expect(r"Type the beginning of a text")
        t.expect("Prompt:")
        t.type("an\r")
        t.expect(r"Response: an[a-z]*\n\n")
        t.expect("Prompt:")
        t.type("/temperature 0\r")
        t.expect(r"temperature 0, top-k off")
        t.expect("Prompt:")
        t.type(CTRL_D)
        assert t.end() == 0
        assert "Traceback" not in t.raw


@pytest.mark.parametrize("keys", [CTRL_C, "quit\r"])
def test_chat_ends_at_its_prompt(keys: str, names_model: Path) -> None:
    with terminal("chat", names_model, "--engine", "numpy", cwd=names_model.parent) as t:
        t.expect("Prompt:")
        t.type(keys)
        assert t.end() == 0
        assert "Aborted" not in t.raw
        assert "Traceback" not in t.raw


def test_ctrl_c_ends_a_response_only(text_model: Path) -> None:
    options = ["--engine", "lists", "--max-tokens", "1000000"]
    with terminal("chat", text_model, *options, cwd=text_model.parent) as t:
        t.expect("Prompt:")
        t.type("the\r")
        t.expect(r"Response: the[a-z ,.\n]{20}")  # it streams, and would do so for minutes
        t.type(CTRL_C)
        t.expect("…\n")
        t.expect("Prompt:")
        t.type("/max-tokens 3\r")
        t.expect("max-tokens 3\n")
        t.expect("Prompt:")
        t.type("the\r")
        t.expect(r"Response: the[a-z ,.]{3}\n\n")
        t.expect("Prompt:")
        t.type("quit\r")
        assert t.end() == 0


def test_thoughts_are_gray_and_answers_are_not(parrot: Path) -> None:
    with terminal("chat", parrot, "--engine", "numpy", cwd=parrot.parent) as t:
        t.expect("Ask something; /help lists commands")
        t.expect("Prompt:")
        t.type("2+3\r")
        t.expect(r"│ A2\+a3:A:2\+3\+0=05:A5\n5\n✓ the one step is true\n\n")
        t.expect("Prompt:")
        t.type("/new\r")
        t.expect("a new conversation\n")
        t.expect("Prompt:")
        t.type("2+4\r")
        t.expect(r"│ A2\+a4:A:2\+4\+0=07:A7\n7\n✗ 2\+4\+0 is 6, not 07\n\n")
        t.expect("Prompt:")
        t.type("quit\r")
        assert t.end() == 0
    grey = re.search("\x1b\\[2m│ .*?\n", t.raw)
    assert grey
    assert re.fullmatch("(\x1b\\[2m[^\x1b]+\x1b\\[0m)+\r\n", grey.group()), "all of the line"
    assert "\n5\r\n" in t.raw
    assert "\x1b[32m✓ the one step is true\x1b[0m" in t.raw
    assert "\x1b[31m✗ 2+4+0 is 6, not 07\x1b[0m" in t.raw


def test_thoughts_are_set_apart_without_colors(parrot: Path) -> None:
    options = ["--engine", "numpy"]
    with terminal("chat", parrot, *options, cwd=parrot.parent, NO_COLOR="1") as t:
        t.expect("Prompt:")
        t.type("2+3\r")
        t.expect(r"│ A2\+a3:A:2\+3\+0=05:A5\n5\n✓ the one step is true\n\n")
        t.expect("Prompt:")
        t.type(CTRL_D)
        assert t.end() == 0
    assert "\x1b[2m" not in t.raw
    assert "\x1b[32m" not in t.raw


def test_ctrl_c_ends_a_thought_only(parrot: Path) -> None:
    with terminal("chat", parrot, "--engine", "scalar", cwd=parrot.parent) as t:
        t.expect("Prompt:")
        t.type("21*12\r")
        t.expect(r"│ A1B2\*a2b1:")  # it would go on for a minute
        t.type(CTRL_C)
        t.expect("…\n")
        t.expect("Prompt:")
        t.type("/think off\r")
        t.expect("think off\n")
        t.expect("Prompt:")
        t.type("2+3\r")  # as the first question: what was cut short is forgotten
        t.expect(r"\n5\n\n")
        t.expect("Prompt:")
        t.type(CTRL_D)
        assert t.end() == 0
        assert "Traceback" not in t.raw


def test_training_shows_a_progress_bar_and_then_opens_a_chat(tmp_path: Path) -> None:
    write_names(tmp_path)
    options = ["--preset", "microgpt", "--engine", "numpy", "--steps", "1500", "--out", "m"]
    with terminal("train", "names.txt", *options, cwd=tmp_path) as t:
        t.expect(r"corpus names\.txt · microgpt with [\d,]+ parameters")
        t.expect(r"10% · step 150 · ")
        t.expect(r"━+ +step [\d,]+ · loss \d\.\d{3} · [\d,]+ tokens/s · 0:\d\d left")
        t.expect(r"\d\.\d\d ┤[\u2800-\u28ff●]+ *(● validation)?\n")
        t.expect(r"100% · step 1,500 · ")
        t.expect(r"done: 1,500 steps")
        assert "\x1b[" in t.raw
        t.expect("Prompt:")
        t.type("an\r")
        t.expect(r"Response: an[a-z]*\n\n")
        t.expect("Prompt:")
        t.type("quit\r")
        assert t.end() == 0


def test_no_chat_opens_no_chat(tmp_path: Path) -> None:
    write_names(tmp_path)
    options = ["--preset", "microgpt", "--engine", "numpy", "--steps", "20", "--no-chat"]
    with terminal("train", "names.txt", *options, cwd=tmp_path) as t:
        assert t.end() == 0
        assert "talk to it:    anexa chat models/names-microgpt\n" in t.rest()
        assert "Prompt" not in t.rest()


def test_ctrl_c_in_training_prints_the_resume_command(tmp_path: Path) -> None:
    write_names(tmp_path)
    options = ["--preset", "microgpt", "--engine", "numpy", "--steps", "100000", "--out", "m"]
    with terminal("train", "names.txt", *options, cwd=tmp_path) as t:
        t.expect(r"step \d+ · loss")
        t.type(CTRL_C)
        assert t.end() == 130
        assert "resume it:     anexa train --resume m\n" in t.rest()
        assert "Prompt" not in t.rest()
