"""`anexa chat` with a model that answers: thoughts in grey, then the answer, and what is true."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from anexa.cli.prompt_loop import Conversation
from anexa.errors import AnexaError

if TYPE_CHECKING:
    from anexa.generation import ChatAnswer, LanguageModel, SamplingParams

HELP = """\
/think on        think, and show it
/think hide      think, and show the answer alone
/think off       answer at once
/new             a new conversation
"""
THINKING = ("on", "off", "hide")


class Dialogue(Conversation):
    """The prompt loop of a model that answers in turns."""

    opening = "Ask something; /help lists commands"
    help = HELP

    def __init__(
        self,
        model: LanguageModel,
        sampling: SamplingParams,
        max_tokens: int | None = None,
        thinking: str = "on",
    ) -> None:
        super().__init__(sampling, max_tokens)
        self._model = model
        self._thinking = thinking
        self._messages: list[dict[str, str]] = []

    def respond(self, prompt: str) -> None:
        """Stream a thought and an answer, and say what is true of them."""
        if not prompt.strip():
            typer.echo("type a question, or /help")
            return
        asked = self._as_fits([*self._messages, {"role": "user", "content": prompt.strip()}])
        answer = self._model.answer(
            asked, self._sampler, thinking=self._thinking != "off", max_tokens=self._max_tokens
        )
        write(answer, shows_thoughts=self._thinking == "on")
        if answer.incomplete_reason:
            typer.echo(f"({answer.incomplete_reason})")
        elif answer.reasoning is not None and (judged := verdict(prompt, answer)):
            typer.echo(judged)
        typer.echo()
        self._messages = [*asked, {"role": "assistant", "content": answer.content}]

    def command(self, text: str) -> str:
        """See `Conversation`; and those of `HELP`."""
        name, _, value = text.removeprefix("/").partition(" ")
        value = value.strip()
        if name == "think":
            if value not in THINKING:
                raise AnexaError(f"/think is one of {', '.join(THINKING)}, not {value!r}")
            self._thinking = value
            return f"think {value}"
        if name == "new":
            self._messages = []
            return "a new conversation"
        return super().command(text)

    def _as_fits(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """A conversation; where it has grown too long, without its first turns."""
        room = self._model.engine.config.block_size - self._model.max_new_tokens
        while len(messages) > 1 and self._model.length(messages) > room:
            messages = messages[2:]
        return messages


def write(answer: ChatAnswer, *, shows_thoughts: bool = True) -> None:
    """Show an answer as it comes: dim, each line behind a bar, what is thought, then the rest."""
    thought, written = False, False  # whether the line is thought; whether there is one
    try:
        for piece in answer:
            if piece.is_reasoning and not shows_thoughts:
                continue
            text = piece.text
            if piece.is_reasoning != thought:
                thought = piece.is_reasoning
                text = ("│ " if thought else "") + text.lstrip("\n")
                if written:
                    typer.echo()
            written = True
            if thought:
                text = style(text.replace("\n", "\n│ "), dim=True)
            typer.echo(text, nl=False)
    finally:
        typer.echo()


def style(text: str, *, dim: bool | None = None, fg: str | None = None) -> str:
    """Text as a terminal shows it, where colours are wanted; a pipe gets the text alone."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, dim=dim, fg=fg)


def verdict(question: str, answer: ChatAnswer) -> str:
    """Whether a thought is true; nothing, where it is none that the checker can read."""
    from anexa.thinking.checker import check

    report = check(question, answer.reasoning or "", answer.content)
    if not report.steps or not any(line.operation for line in report.lines):
        return ""
    if report.all_true:
        steps = "the one step is" if report.steps == 1 else f"all {report.steps} steps are"
        if report.expected is None:
            return style(f"{steps} true; whether that answers this is not known", dim=True)
        return style(f"✓ {steps} true", fg="green")
    return style(f"✗ {report.first_error}", fg="red")
