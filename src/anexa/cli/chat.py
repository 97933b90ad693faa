"""`anexa chat`: a prompt, a response, again."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anexa.errors import AnexaError, UsageError

Number = TypeVar("Number", int, float)

if TYPE_CHECKING:
    from anexa.engines import Engine
    from anexa.generation import Sampling
    from anexa.model.tokenizer import Tokenizer

HELP = """\
/temperature T   what logits are divided by; 0: always the likeliest
/top-k K         draw from the K likeliest tokens; off: from all
/top-p P         draw from the likeliest tokens of this mass; off: from all
/seed S          begin the random draws anew, from S
/max-tokens N    the most tokens of a response
/reset           all settings and the random draws as at the start
/help            this list
quit             or Ctrl-C or Ctrl-D: the end"""


def chat(
    folder: Annotated[Path, typer.Argument(help="The model folder.")],
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest of this mass.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="The most tokens of a response.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 42,
) -> None:
    """Talk to a model: it goes on from what you type."""
    from anexa.engines import open_engine
    from anexa.generation import Sampling
    from anexa.model.folder import load_model

    sampling = Sampling(temperature, top_k, top_p, seed)
    model = load_model(folder)
    computed = open_engine(engine, model.config, model.weights)
    Conversation(computed, model.tokenizer, sampling, max_tokens).run()


class Conversation:
    """The prompt loop, and the settings that can be changed in it."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, sampling: Sampling, max_tokens: int = 200
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._max_tokens = _checked(max_tokens)
        self._at_start = (sampling, max_tokens)
        self._set(sampling)

    def run(self) -> None:
        """Until the user ends it."""
        typer.echo(
            f"Type the beginning of a text; /help lists commands (seed {self._sampling.seed})."
        )
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

    def respond(self, prompt: str) -> None:
        """Stream a response."""
        from anexa.generation import Completion

        completion = Completion(
            self._engine, self._tokenizer, prompt, self._sampler, max_tokens=self._max_tokens
        )
        typer.echo(f"Response: {prompt}", nl=False)
        for piece in completion:
            typer.echo(piece, nl=False)
        typer.echo("\n")

    def command(self, text: str) -> str:
        """Carry out a slash command; what to answer.

        Raises:
            AnexaError: it is not known, or its value means nothing.
        """
        name, _, value = text.removeprefix("/").partition(" ")
        value = value.strip()
        if name == "help":
            return HELP
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
            f"max-tokens {self._max_tokens}"
        )

    def _set(self, sampling: Sampling) -> None:
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
