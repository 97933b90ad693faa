"""The prompt loop of `anexa chat`: reads lines, prints responses, and has commands for settings."""

from __future__ import annotations

import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from anexa.cli.output import echo
from anexa.errors import AnexaError, error_sentence
from anexa.ranges import parse_float, parse_int

Number = TypeVar("Number", int, float)

if TYPE_CHECKING:
    from anexa.generation import LanguageModel, SamplingParams

# Lines of /help about the commands that every loop has.
HELP = """\
/temperature T         divide the logits by T; 0: always the likeliest token
/top-k K               sample from the K likeliest tokens; off: from all
/top-p P               sample from the likeliest tokens with total probability P; off: from all
/min-p P               sample from tokens at least P times as probable as the likeliest; off: all
/repetition-penalty R  divide positive logits of tokens seen before by R; off: no penalty
/frequency-penalty F   subtract F from a logit each time the token was generated; off: no penalty
/presence-penalty F    subtract F once from the logit of each such token; off: no penalty
/seed S                restart the random draws from seed S
/max-tokens N          maximum number of tokens in a response
/reset                 restore all settings and the seed of the start
/help                  show this list
quit                   leave, as Ctrl-C and Ctrl-D do"""
# Sampling parameters that a command of their name sets: type of the value, and value for "off".
COMMANDS: dict[str, tuple[Callable[[str], float], float | None]] = {
    "top-k": (parse_int, None),
    "top-p": (parse_float, 1.0),
    "min-p": (parse_float, 0.0),
    "repetition-penalty": (parse_float, 1.0),
    "frequency-penalty": (parse_float, 0.0),
    "presence-penalty": (parse_float, 0.0),
}


class PromptLoop(ABC):
    """Loop that reads prompts and prints responses; its commands change the sampling settings.

    Args:
        model: model that responds.
        params: sampling parameters at the start.
        max_tokens: maximum number of tokens in a response; None means no limit.

    Attributes:
        greeting: sentence that is printed first, without its full stop.
        help: lines of /help about the commands of a subclass.

    Raises:
        UsageError: if max_tokens is out of range.
    """

    greeting: str
    help = ""

    def __init__(
        self, model: LanguageModel, params: SamplingParams, max_tokens: int | None
    ) -> None:
        self._model = model
        self._max_tokens = None if max_tokens is None else _checked(max_tokens)
        self._at_start = (params, max_tokens)
        self._set(params)

    def run(self) -> None:
        """Read prompts from standard input and respond, until the user leaves or the input ends.

        A line that begins with a slash is a command. An `AnexaError` or a `MemoryError` is printed
        as one sentence; Ctrl-C ends a response.
        """
        echo(f"{self.greeting} (seed {self._params.seed}).")
        for line in _lines():
            text = line.strip()
            if text in ("quit", "exit", "/quit", "/exit"):
                break
            try:
                if text.startswith("/"):
                    echo(self.command(text))
                else:
                    self.respond(line)
            except (AnexaError, MemoryError) as error:
                echo(error_sentence(error))
            except KeyboardInterrupt:
                echo(" …")  # Ctrl-C during a response ends the response only

    @abstractmethod
    def respond(self, prompt: str) -> None:
        """Generate a response to a prompt, and print it.

        Raises:
            AnexaError: if the model cannot respond to the prompt.
            MemoryError: if the memory is too small.
        """

    def command(self, text: str) -> str:
        """Execute a slash command, and return the reply to print.

        Raises:
            AnexaError: if the command is unknown or its value is invalid.
        """
        name, _, value = text.removeprefix("/").partition(" ")
        value = value.strip()
        if name == "help":
            return self.help + HELP
        if name == "reset":
            params, self._max_tokens = self._at_start
            self._set(params)
        elif name == "temperature":
            self._set(replace(self._params, temperature=_number(parse_float, name, value)))
        elif name in COMMANDS:
            parse, off = COMMANDS[name]
            number: Any = off if value == "off" else _number(parse, name, value)
            self._set(replace(self._params, **{_field(name): number}))
        elif name == "seed":
            self._set(replace(self._params, seed=_number(parse_int, name, value)))
        elif name == "max-tokens":
            self._max_tokens = _checked(_number(parse_int, name, value))
        else:
            raise AnexaError(f"there is no command /{name}: /help lists them")
        return self._settings()

    def _settings(self) -> str:
        """Return the settings as text; parameters after top-p are listed only if in use."""
        shown = [f"temperature {self._params.temperature:g}"]
        for name, (_, off) in COMMANDS.items():
            value = getattr(self._params, _field(name))
            if value != off:
                shown.append(f"{name} {value}")
            elif name in ("top-k", "top-p"):
                shown.append(f"{name} off")
        shown += [f"seed {self._params.seed}", f"max-tokens {self._max_tokens or 'off'}"]
        return ", ".join(shown)

    def _set(self, params: SamplingParams) -> None:
        """Change the sampling parameters, and restart the random draws from their seed."""
        self._params = params
        self._sampler = self._model.sampler(params)


def _field(command: str) -> str:
    return command.replace("-", "_")


def _checked(max_tokens: int) -> int:
    from anexa.generation.sampling_params import RANGES

    RANGES["max_tokens"].check("max_tokens", max_tokens)
    return max_tokens


def _number(parse: Callable[[str], Number], name: str, value: str) -> Number:
    try:
        return parse(value)
    except ValueError:
        raise AnexaError(f"/{name} needs a number, not {value!r}") from None


def is_interactive() -> bool:
    """Return whether standard input and output are both a terminal."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def _lines() -> Iterator[str]:
    """Yield the lines of standard input: typed by the user, or from a pipe."""
    if sys.stdin is None:  # the parent process has closed it
        return
    if not is_interactive():
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # which the tokenizer reports as unknown
        for line in sys.stdin:
            echo(f"Prompt: {line.rstrip()}")
            yield line.rstrip("\r\n")
        return
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession()
    while True:
        try:
            yield session.prompt("Prompt: ")
        except (EOFError, KeyboardInterrupt):
            return
