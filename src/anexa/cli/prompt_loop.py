"""The prompt loop of `anexa chat`: lines in, responses out, and settings that can be changed."""

from __future__ import annotations

import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import typer

from anexa.errors import AnexaError, UsageError

Number = TypeVar("Number", int, float)

if TYPE_CHECKING:
    from anexa.generation import SamplingParams

HELP = """\
/temperature T   what logits are divided by; 0: always the likeliest
/top-k K         draw from the K likeliest tokens; off: from all
/top-p P         draw from the likeliest tokens of this mass; off: from all
/seed S          begin the random draws anew, from S
/max-tokens N    the most tokens of a response
/reset           all settings and the random draws as at the start
/help            this list
quit             or Ctrl-C or Ctrl-D: the end"""


class Conversation(ABC):
    """The prompt loop, and the settings that can be changed in it."""

    opening: str
    help = ""

    def __init__(self, sampling: SamplingParams, max_tokens: int | None) -> None:
        self._max_tokens = None if max_tokens is None else _checked(max_tokens)
        self._at_start = (sampling, max_tokens)
        self._set(sampling)

    def run(self) -> None:
        """Until the user ends it."""
        typer.echo(f"{self.opening} (seed {self._sampling.seed}).")
        for line in _lines():
            text = line.strip()
            if text in ("quit", "exit", "/quit", "/exit"):
                break
            try:
                if text.startswith("/"):
                    typer.echo(self.command(text))
                else:
                    self.respond(line)
            except AnexaError as error:
                typer.echo(str(error))
            except KeyboardInterrupt:
                typer.echo(" …")  # Ctrl-C in a response ends the response only

    @abstractmethod
    def respond(self, prompt: str) -> None:
        """Stream a response."""

    def command(self, text: str) -> str:
        """Carry out a slash command; what to answer.

        Raises:
            AnexaError: it is not known, or its value means nothing.
        """
        name, _, value = text.removeprefix("/").partition(" ")
        value = value.strip()
        if name == "help":
            return self.help + HELP
        if name == "reset":
            sampling, self._max_tokens = self._at_start
            self._set(sampling)
        elif name == "temperature":
            self._set(replace(self._sampling, temperature=_number(float, name, value)))
        elif name == "top-k":
            top_k = None if value == "off" else _number(int, name, value)
            self._set(replace(self._sampling, top_k=top_k))
        elif name == "top-p":
            top_p = 1.0 if value == "off" else _number(float, name, value)
            self._set(replace(self._sampling, top_p=top_p))
        elif name == "seed":
            self._set(replace(self._sampling, seed=_number(int, name, value)))
        elif name == "max-tokens":
            self._max_tokens = _checked(_number(int, name, value))
        else:
            raise AnexaError(f"there is no command /{name}: /help lists them")
        s = self._sampling
        return (
            f"temperature {s.temperature:g}, top-k {s.top_k or 'off'}, "
            f"top-p {s.top_p if s.top_p < 1 else 'off'}, seed {s.seed}, "
            f"max-tokens {self._max_tokens or 'off'}"
        )

    def _set(self, sampling: SamplingParams) -> None:
        from anexa.generation import Sampler

        self._sampling = sampling
        self._sampler = Sampler(sampling)


def _checked(max_tokens: int) -> int:
    if max_tokens < 1:
        raise UsageError(f"max-tokens must be at least 1, not {max_tokens}")
    return max_tokens


def _number(kind: Callable[[str], Number], name: str, value: str) -> Number:
    try:
        return kind(value)
    except ValueError:
        raise AnexaError(f"/{name} needs a number, not {value!r}") from None


def at_terminal() -> bool:
    """Whether somebody sits in front of this process: both its input and its output are theirs."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def _lines() -> Iterator[str]:
    """What the user types, line by line; from a pipe, what is in it."""
    if sys.stdin is None:  # closed by whoever started this process
        return
    if not at_terminal():
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # told as an unknown character
        for line in sys.stdin:
            typer.echo(f"Prompt: {line.rstrip()}")
            yield line.rstrip("\r\n")
        return
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession()
    while True:
        try:
            yield session.prompt("Prompt: ")
        except (EOFError, KeyboardInterrupt):
            return
