"""A model folder, open for use in a program: `anexa.load`."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from anexa.engines import Engine, open_engine
from anexa.errors import AnexaError, UsageError
from anexa.generation.chat import ChatAnswer
from anexa.generation.sampling import Sampler, SamplingParams
from anexa.generation.text_stream import TextStream, check_length, stream_text
from anexa.model.chat_format import Message, render_messages
from anexa.model.loading import load_model, model_name
from anexa.model.model import Model
from anexa.model.tokenizer import RenderedPrompt
from anexa.model.weights import num_parameters

_SETTINGS = tuple(field.name for field in fields(SamplingParams))

BUNDLED = Path(str(importlib.resources.files("anexa") / "bundled"))


class LanguageModel:
    """A model that writes and, if it was trained to, answers.

    Where a method takes `**settings`, they are the fields of `SamplingParams`; the temperature
    defaults to the model's own.

    Attributes:
        name: of its folder or file.
        folder: where it is; None: the model that comes along.
        engine: what computes it.
        tokenizer: text to tokens.
        chat_template: of a model that answers in turns; None of another.
        temperature: that it should be used with.
        max_new_tokens: for so many a conversation should leave room.
    """

    def __init__(self, name: str, model: Model, engine: Engine, folder: Path | None = None) -> None:
        self.name, self.engine, self.folder = name, engine, folder
        self.tokenizer = model.tokenizer
        self.chat_template = model.chat_template
        self.temperature = model.temperature
        block_size = engine.config.block_size
        self.max_new_tokens = min(model.max_new_tokens or 3 * block_size // 4, block_size)

    def __repr__(self) -> str:
        config = self.engine.config
        parameters = f"{num_parameters(config):,} parameters"
        return f"<LanguageModel {self.name}: {config.model_type}, {parameters}>"

    @classmethod
    def open(cls, folder: Path | None = None, engine: str = "auto") -> LanguageModel:
        """Open a model folder or JSON file, or the model that comes with Anexa.

        Raises:
            AnexaError: it is no model folder, or is damaged.
            UsageError: there is no such engine.
        """
        model = load_model(BUNDLED if folder is None else folder)
        name = "anexa" if folder is None else model_name(folder)
        return cls(name, model, open_engine(engine, model.config, model.weights), folder)

    def generate(self, prompt: str = "", *, max_tokens: int = 200, **settings: Any) -> str:
        """The text that continues a prompt, without it.

        Raises:
            AnexaError: the prompt is too long, or has characters that the model does not know.
            UsageError: a setting that means nothing.
        """
        return "".join(self.stream(prompt, max_tokens=max_tokens, **settings))

    def stream(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 200,
        stop: Sequence[str] = (),
        **settings: Any,
    ) -> Iterator[str]:
        """Yield the text that continues a prompt piece by piece, as it is generated."""
        sampler = Sampler(self.sampling(**settings))
        return iter(self.complete(prompt, sampler, max_tokens=max_tokens, stop=stop))

    def complete(
        self, prompt: str, sampler: Sampler, *, max_tokens: int = 200, stop: Sequence[str] = ()
    ) -> TextStream:
        """Prepare the continuation of a prompt; iterating over it generates it.

        Args:
            prompt: text to continue.
            sampler: chooses the tokens.
            max_tokens: maximum number of tokens to generate, at least 1.
            stop: strings that end the text; they are not part of it.

        Raises:
            AnexaError: if the prompt is too long, or has characters that the model does not know.
            UsageError: if max_tokens is below 1 or a stop string is empty.
        """
        return stream_text(
            self.engine, self.tokenizer, prompt, sampler, max_tokens=max_tokens, stop=stop
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool = True,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        **settings: Any,
    ) -> ChatAnswer:
        """The answer to a conversation: its `content`, and the `reasoning` before it.

        Args:
            messages: the turns so far, the last one the user's.
            thinking: whether it may think before it answers.
            max_tokens: the most tokens to write; None: as many as the context has room for.
            stop: strings that end it, thought or answer; they are not part of it.
            settings: as above.

        Raises:
            AnexaError: the model does not answer in turns, or cannot read these.
            UsageError: a setting that means nothing.
        """
        sampler = Sampler(self.sampling(**settings))
        answer = self.answer(messages, sampler, thinking=thinking, max_tokens=max_tokens, stop=stop)
        return answer.finish()

    def answer(
        self,
        messages: Sequence[Message],
        sampler: Sampler,
        *,
        thinking: bool = True,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> ChatAnswer:
        """The same, not yet written: iterate over it."""
        prompt = self.prompt(messages, thinking=thinking)
        if max_tokens is None:
            length = len(self.tokenizer.encode_prompt(prompt))
            max_tokens = max(1, self.engine.config.block_size - length)
        return ChatAnswer(self.complete(prompt, sampler, max_tokens=max_tokens, stop=stop))

    def length(self, messages: Sequence[Message]) -> int:
        """How many tokens a conversation is, with the mark that asks for the next answer.

        Raises:
            AnexaError: the model cannot read it.
        """
        return len(self.tokenizer.encode_prompt(self.prompt(messages)))

    def prompt(self, messages: Sequence[Message], *, thinking: bool = True) -> RenderedPrompt:
        """A conversation as a text that the next answer goes on from.

        Raises:
            AnexaError: the model does not answer in turns, or these are none: there is none, the
                last one is the assistant's, or one has a mark in it that would be read as a turn.
        """
        if self.chat_template is None:
            raise AnexaError(f"{self.name} continues texts, and does not answer: use generate")
        if isinstance(messages, str) or not all(isinstance(one, Mapping) for one in messages):
            raise AnexaError(
                'a conversation is a list of messages, such as [{"role": "user", "content": "7*8"}]'
            )
        bos, eos = self.tokenizer.bos_eos
        written = self.chat_template + bos + eos
        for number, message in enumerate(messages, 1):
            if not all(isinstance(message.get(key), str) for key in ("role", "content")):
                raise AnexaError(f"message {number} needs a role and a content, both of them text")
            if message["role"] == "assistant":
                continue
            for mark in self.tokenizer.added_tokens:
                if mark in written and mark in message["content"]:
                    where = f"message {number} has {mark} in it"
                    raise AnexaError(f"{where}, which is a mark of the model's: leave it out")
        if not messages or messages[-1]["role"] == "assistant":
            raise AnexaError("a conversation ends with what the user says, and this one does not")
        characters = sum(len(message["content"]) for message in messages)
        check_length(characters, self.tokenizer, self.engine.config.block_size)
        return render_messages(self.chat_template, messages, thinking=thinking, bos=bos, eos=eos)

    def sampling(self, temperature: float | None = None, **settings: Any) -> SamplingParams:
        """Those settings; without a temperature, with the model's own.

        Raises:
            UsageError: there is no such setting, or its value means nothing.
        """
        for name in settings.keys() - _SETTINGS:
            raise UsageError(f"there is no setting {name!r}: choose from {', '.join(_SETTINGS)}")
        return SamplingParams(self.temperature if temperature is None else temperature, **settings)
