"""The prompt loop of a chat model: gray reasoning, the answer, and a check of the steps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from anexa.cli.output import echo, escape_controls
from anexa.cli.prompt_loop import PromptLoop
from anexa.errors import AnexaError, UsageError
from anexa.model.chat_format import CHAT_TEMPLATE, can_think

if TYPE_CHECKING:
    from anexa.generation import ChatAnswer, LanguageModel, SamplingParams
    from anexa.model.chat_format import Message

# Lines of /help: of models that can think, and of all chat models.
THINK_HELP = """\
/think on              think, and show the reasoning
/think hide            think, and show the answer alone
/think off             answer without thinking
"""
HELP = """\
/system TEXT           start a new conversation with this system prompt; off: without one
/new                   start a new conversation
"""
THINK_MODES = ("on", "off", "hide")  # values of /think, as of `think` in `ChatLoop`


class ChatLoop(PromptLoop):
    """The prompt loop of a chat model, which answers and remembers the conversation.

    Args:
        model: chat model.
        params: sampling parameters at the start.
        max_tokens: maximum number of tokens in an answer, reasoning included; None means what the
            context has room for.
        think: whether the model reasons before it answers: "on", "off", or "hide", which does not
            show the reasoning.
        system: system prompt of the conversations; None: no system prompt.

    Raises:
        UsageError: if there is a system prompt, and the model does not read any; if `think` is not
            "on", and the model does not think; or if `max_tokens` is out of range.
    """

    greeting = "Ask something; /help lists commands"

    def __init__(
        self,
        model: LanguageModel,
        params: SamplingParams,
        max_tokens: int | None = None,
        think: str = "on",
        system: str | None = None,
    ) -> None:
        super().__init__(model, params, max_tokens)
        self._can_think = can_think(model.chat_template, model.tokenizer)
        if think != "on" and not self._can_think:
            raise UsageError(f"--think has no effect: {model.name} does not think, leave it out")
        self._think = think
        self.help = THINK_HELP * self._can_think + HELP
        self._start(system)

    def _start(self, system: str | None) -> None:
        """Start a new conversation, with or without a system prompt."""
        if system is not None and self._model.chat_template == CHAT_TEMPLATE:
            raise UsageError(f"{self._model.name} does not read system prompts: leave it out")
        self._system = system
        self._messages: list[Message] = []
        if system is not None:
            self._messages.append({"role": "system", "content": system})

    def respond(self, prompt: str) -> None:
        """Answer a prompt in the conversation: print the answer, and the verdict of the checker.

        The reasoning is printed if `think` is "on". The prompt and the answer, without its
        reasoning, become part of the conversation; its oldest turns are dropped, with a note, if
        the context has no room for them.

        Raises:
            AnexaError: if the model cannot read the prompt, such as one that is too long.
        """
        thinking = self._think != "off"
        messages, num_dropped = self._model.truncate(
            [*self._messages, {"role": "user", "content": prompt}],
            self._max_tokens,
            thinking=thinking,
        )
        answer = self._model.answer(
            messages, self._sampler, thinking=thinking, max_tokens=self._max_tokens
        )
        if num_dropped:
            echo(dropped_turns_note(num_dropped))
        print_answer(answer, show_reasoning=self._think == "on")
        if answer.incomplete_reason:
            echo(f"({answer.incomplete_reason})")
        elif answer.reasoning is not None and (judged := verdict_sentence(prompt, answer)):
            echo(judged)
        echo()
        self._messages = [*messages, {"role": "assistant", "content": answer.content}]

    def command(self, text: str) -> str:
        """Execute a slash command, and return the reply to print.

        Beside the commands of `PromptLoop` there are /think, /system and /new.

        Raises:
            AnexaError: if the command is unknown, its value is invalid, or it has no effect on the
                model.
        """
        name, _, value = text.removeprefix("/").partition(" ")
        value = value.strip()
        if name == "think" and not self._can_think:
            raise AnexaError(f"/think has no effect: {self._model.name} does not think")
        if name == "think":
            if value not in THINK_MODES:
                raise AnexaError(f"/think is one of {', '.join(THINK_MODES)}, not {value!r}")
            self._think = value
            return f"think {value}"
        if name == "system":
            if not value:
                raise AnexaError("/system needs a text, or off")
            self._start(None if value == "off" else value)
            return "a new conversation" + ("" if value == "off" else " with this system prompt")
        if name == "new":
            self._start(self._system)
            kept = self._system is not None
            return "a new conversation" + " with the same system prompt" * kept
        return super().command(text)


def dropped_turns_note(num_turns: int) -> str:
    """Return a note for the user that the `num_turns` oldest turns were dropped from the prompt."""
    turns = "turn was" if num_turns == 1 else "turns were"
    return f"({num_turns} earlier {turns} dropped, to leave room for the answer)"


def print_answer(answer: ChatAnswer, *, show_reasoning: bool = True) -> None:
    """Generate an answer, and print it as it streams.

    Args:
        answer: answer that has not been generated yet.
        show_reasoning: whether to print its reasoning too, in gray, with a bar before each line.
    """
    in_reasoning, has_output = False, False  # in_reasoning: whether the current line is reasoning
    try:
        for piece in answer:
            if piece.is_reasoning and not show_reasoning:
                continue
            text = escape_controls(piece.text)
            if piece.is_reasoning != in_reasoning:
                in_reasoning = piece.is_reasoning
                text = ("│ " if in_reasoning else "") + text.lstrip("\n")
                if has_output:
                    echo()
            has_output = True
            if in_reasoning:
                text = style(text.replace("\n", "\n│ "), dim=True)
            echo(text, nl=False)
    finally:
        echo()


def style(text: str, *, dim: bool | None = None, fg: str | None = None) -> str:
    """Add terminal escape codes to a text, unless the environment variable NO_COLOR is set.

    In a pipe, `echo` removes them.

    Args:
        text: text to style.
        dim: whether the text is gray.
        fg: name of the text's color, such as "green"; None: the terminal's.
    """
    return text if os.environ.get("NO_COLOR") else typer.style(text, dim=dim, fg=fg)


def verdict_sentence(question: str, answer: ChatAnswer) -> str:
    """Return a sentence, styled for a terminal, on whether the steps of the reasoning are true.

    Args:
        question: question of the user.
        answer: complete answer to it.

    Returns:
        The sentence; "" if the checker finds no calculation in the reasoning.
    """
    from anexa.thinking.checker import check

    report = check(question, answer.reasoning or "", answer.content)
    if not report.num_steps or not any(line.operation for line in report.lines):
        return ""
    if report.all_true:
        steps = "the one step is" if report.num_steps == 1 else f"all {report.num_steps} steps are"
        if report.expected is None:
            return style(f"{steps} true; the checker cannot read the question", dim=True)
        return style(f"✓ {steps} true", fg="green")
    return style(f"✗ {report.first_error}", fg="red")
