"""A model folder, loaded for text generation and chat: what `anexa.load` returns."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from anexa.engines import Engine, open_engine
from anexa.errors import AnexaError, UsageError
from anexa.generation.chat import ChatAnswer
from anexa.generation.chat_prompt import render_chat_prompt, supports_tools
from anexa.generation.constraints import GrammarConstraint
from anexa.generation.grammar_compiler import GrammarCompiler
from anexa.generation.grammars import GRAMMAR_KINDS, Grammar, grammar_of
from anexa.generation.sampling import Constraint, Sampler
from anexa.generation.sampling_params import RANGES, SamplingParams
from anexa.generation.text_stream import (
    PromptTooLongError,
    TextStream,
    check_prompt_length,
    stream_text,
)
from anexa.generation.truncation import TruncatedConversation, drop_oldest_turns
from anexa.model.chat_format import Message, PromptEnd, Tool
from anexa.model.loading import load_model, model_name
from anexa.model.model import Model
from anexa.model.question import QuestionTooLongError
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.model.weights import num_parameters

_SAMPLING_PARAMS = tuple(field.name for field in fields(SamplingParams))

# Folder of the bundled model.
BUNDLED_FOLDER = Path(str(importlib.resources.files("anexa") / "bundled"))


class LanguageModel:
    """A model with its tokenizer and engine, for text generation and chat.

    Methods that take `**sampling` accept the fields of `SamplingParams`: `temperature` (default:
    the model's own), `top_k`, `top_p`, `seed`, `repetition_penalty` and so on. They also accept
    one of `regex`, `choice`, `json_schema` and `grammar` (see `Grammar`), which restricts the
    generated text to a form; a thought is not restricted.

    Args:
        name: name of the model, for error messages and for the server's API.
        model: content of the model folder.
        engine: engine with the model's weights.
        folder: folder or file that the model was loaded from; None means the bundled model.

    Attributes:
        name: name of the model.
        folder: folder or file that the model was loaded from; None means the bundled model.
        engine: engine with the model's weights.
        tokenizer: tokenizer of the model.
        chat_template: Jinja template of a chat model; None if the model only continues texts.
        temperature: default sampling temperature, recommended by the model.
        max_new_tokens: number of tokens that a conversation must leave free for the answer: the
            model's recommended limit on an answer, else a quarter of the context.
    """

    def __init__(self, name: str, model: Model, engine: Engine, folder: Path | None = None) -> None:
        self.name, self.engine, self.folder = name, engine, folder
        self.tokenizer = model.tokenizer
        self.chat_template = model.chat_template
        self.temperature = model.temperature
        block_size = engine.config.block_size
        self.max_new_tokens = min(model.max_new_tokens or max(1, block_size // 4), block_size)

    def __repr__(self) -> str:
        config = self.engine.config
        parameters = f"{num_parameters(config):,} parameters"
        return f"<LanguageModel {self.name}: {config.model_type}, {parameters}>"

    @classmethod
    def open(cls, folder: Path | None = None, engine: str = "auto") -> LanguageModel:
        """Load a model folder, a JSON or GGUF file, or the bundled model.

        Args:
            folder: folder or file; None means the bundled model.
            engine: name of the engine, or "auto", as in `anexa.load`.

        Raises:
            AnexaError: if the folder is not a model folder, or is damaged, or the library of the
                engine is not installed.
            UsageError: if there is no engine of that name.
        """
        model = load_model(BUNDLED_FOLDER if folder is None else folder)
        name = "anexa" if folder is None else model_name(folder)
        return cls(name, model, open_engine(engine, model.config, model.weights), folder)

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template shows tools to the model."""
        return self.chat_template is not None and supports_tools(self.chat_template)

    def generate(self, prompt: str = "", *, max_tokens: int = 200, **sampling: Any) -> str:
        """Generate the text that continues a prompt.

        Args:
            prompt: text to continue.
            max_tokens: maximum number of tokens to generate.
            sampling: fields of `SamplingParams`, and `stop`: string that ends the text, or several.

        Returns:
            The new text, without the prompt.

        Raises:
            AnexaError: if the prompt is too long, has characters that the model does not know, or
                the model cannot be computed.
            UsageError: if a sampling parameter, a grammar or `max_tokens` is unknown, not valid or
                out of range, or a stop string is empty.
        """
        return "".join(self.stream(prompt, max_tokens=max_tokens, **sampling))

    def stream(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 200,
        stop: str | Sequence[str] = (),
        **sampling: Any,
    ) -> Iterator[str]:
        """Generate the text that continues a prompt, and yield it in pieces as it is generated.

        The arguments and errors are those of `generate`. Invalid arguments are refused at once,
        before the first piece.

        Yields:
            Pieces of the new text.
        """
        sampler = self._sampler_of(sampling)
        return iter(self.complete(prompt, sampler, max_tokens=max_tokens, stop=stop))

    def complete(
        self,
        prompt: str,
        sampler: Sampler,
        *,
        max_tokens: int = 200,
        stop: str | Sequence[str] = (),
    ) -> TextStream:
        """Prepare the continuation of a prompt; iterating over it generates the text.

        Args:
            prompt: text to continue.
            sampler: sampling parameters and random state; a further text with the same sampler
                continues its random sequence.
            max_tokens: maximum number of tokens to generate.
            stop: string that ends the text, or several; they are not part of it.

        Returns:
            The stream of the text.

        Raises:
            AnexaError: if the prompt is too long, or has characters that the model does not know.
            UsageError: if max_tokens is out of range or a stop string is empty.
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
        stop: str | Sequence[str] = (),
        **sampling: Any,
    ) -> ChatAnswer:
        """Generate the answer to a conversation.

        Args:
            messages: messages so far, each with a "role" and a "content". If the last one is the
                assistant's, the model continues it.
            thinking: whether the model may reason before it answers.
            max_tokens: maximum number of tokens of reasoning and answer together; None means as
                many as the context has room for, which is the limit in any case.
            stop: string that ends the answer, or several; they are no part of it. The reasoning is
                not searched for them.
            sampling: fields of `SamplingParams`.

        Returns:
            The finished answer: its `content`, and the `reasoning` before it.

        Raises:
            AnexaError: if the model has no chat template, cannot read the messages, or cannot be
                computed.
            UsageError: if a sampling parameter, a grammar or `max_tokens` is unknown, not valid or
                out of range, a stop string is empty, or the last message is blank and not the
                assistant's.
        """
        in_thought = self.render_prompt(messages, thinking=thinking).in_thought
        sampler = self._sampler_of(sampling, thinking, in_thought)
        answer = self.answer(messages, sampler, thinking=thinking, max_tokens=max_tokens, stop=stop)
        return answer.finish()

    def answer(
        self,
        messages: Sequence[Message],
        sampler: Sampler,
        *,
        thinking: bool = True,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
    ) -> ChatAnswer:
        """Prepare the answer to a conversation; iterating over the answer generates it.

        The arguments and errors are those of `chat`, but for `sampler`: sampling parameters and
        random state.

        Returns:
            The answer, which is empty at first.
        """
        prompt = self.render_prompt(messages, thinking=thinking)
        max_tokens = self.answer_token_limit(len(self.tokenizer.encode_prompt(prompt)), max_tokens)
        return ChatAnswer(self.complete(prompt, sampler, max_tokens=max_tokens, stop=stop))

    def answer_token_limit(self, num_prompt_tokens: int, max_tokens: int | None) -> int:
        """Return the maximum number of tokens of an answer, at least 1.

        It is `max_tokens`, but at most the room that the conversation leaves in the context.

        Args:
            num_prompt_tokens: number of tokens of the conversation.
            max_tokens: number of tokens that the user allows; None means no limit.

        Raises:
            UsageError: if `max_tokens` is out of range.
        """
        room = max(1, self.engine.config.block_size - num_prompt_tokens)
        if max_tokens is None:
            return room
        RANGES["max_tokens"].check("max_tokens", max_tokens)
        return min(max_tokens, room)

    def num_prompt_tokens(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool = True,
        end: PromptEnd | None = None,
        tools: Sequence[Tool] = (),
    ) -> int:
        """Count the tokens of a conversation, with the arguments of `render_prompt`.

        Raises:
            AnexaError: if the model has no chat template or cannot read the messages.
            PromptTooLongError: if the number of characters shows that they exceed the context.
        """
        prompt = self.render_prompt(messages, thinking=thinking, end=end, tools=tools)
        check_prompt_length(len(prompt), self.tokenizer, self.engine.config.block_size)
        return len(self.tokenizer.encode_prompt(prompt))

    def truncate(
        self,
        messages: Sequence[Message],
        max_tokens: int | None = None,
        *,
        thinking: bool = True,
        end: PromptEnd | None = None,
        tools: Sequence[Tool] = (),
    ) -> TruncatedConversation:
        """Drop the oldest turns until the context has room for the conversation and an answer.

        The system message and the last turn are always kept, even if they are too long. A turn with
        a question that is too long for the model (`QuestionTooLongError`) is dropped if it is not
        the last one.

        Args:
            messages: messages so far, each with a "role" and a "content".
            max_tokens: number of tokens to leave free for the answer; None and numbers above
                `max_new_tokens` mean `max_new_tokens`.
            thinking: whether the model may reason.
            end: end of the prompt: "answer", "message" or "nothing", as in `render_prompt`.
            tools: functions that the model may call, in OpenAI's format.

        Returns:
            The messages that are kept, and the number of turns that were dropped.

        Raises:
            AnexaError: if the model has no chat template or cannot read the messages.
            UsageError: if `max_tokens` is out of range.
        """
        room_for_answer = self.max_new_tokens
        if max_tokens is not None:
            RANGES["max_tokens"].check("max_tokens", max_tokens)
            room_for_answer = min(max_tokens, room_for_answer)
        room = self.engine.config.block_size - room_for_answer

        def fits(some: Sequence[Message]) -> bool:
            try:
                count = self.num_prompt_tokens(some, thinking=thinking, end=end, tools=tools)
            except (PromptTooLongError, QuestionTooLongError):
                return False
            return count <= room

        return drop_oldest_turns(messages, fits)

    def render_prompt(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool = True,
        end: PromptEnd | None = None,
        tools: Sequence[Tool] = (),
    ) -> RenderedPrompt:
        """Render a conversation with the chat template, as the prompt of the next answer.

        The messages to one of Anexa's own chat models are normalized (`normalize_question`).

        Args:
            messages: messages so far, each with a "role" and a "content".
            thinking: whether the model may reason before it answers; if not, the prompt ends in
                empty reasoning, `<think></think>`.
            end: end of the prompt: "answer", the beginning of a new answer; "message", the
                last message, for the model to continue; "nothing", the end of the last message.
                None means "message" if the last message is the assistant's, else "answer".
            tools: functions that the model may call, in OpenAI's format, for a template that
                `supports_tools`.

        Returns:
            The text of the prompt, not tokenized.

        Raises:
            AnexaError: if the model has no chat template, a message is malformed, there is no
                message, a tool or a message that is not the assistant's contains a special token of
                the template, or a message is about a tool call and the template does not know
                tools.
            QuestionTooLongError: if a user's message to one of Anexa's own models is too long.
            PromptTooLongError: if the messages have so many characters that their tokens cannot
                fit into the context.
            UsageError: if the last message is blank and not the assistant's.
        """
        if self.chat_template is None:
            raise AnexaError(
                f"{self.name} has no chat template, so it cannot answer: use generate instead"
            )
        return render_chat_prompt(
            self.chat_template,
            self.tokenizer,
            self.engine.config.block_size,
            messages,
            name=self.name,
            thinking=thinking,
            end=end,
            tools=tools,
        )

    def sampling_params(self, temperature: float | None = None, **sampling: Any) -> SamplingParams:
        """Create sampling parameters; the default of `temperature` is the model's own.

        Args:
            temperature: number that logits are divided by; None: the model's own.
            sampling: further fields of `SamplingParams`.

        Raises:
            UsageError: if a sampling parameter is unknown or out of range.
        """
        for name in sampling.keys() - _SAMPLING_PARAMS:
            raise UsageError(
                f"there is no sampling parameter {name!r}: choose from "
                f"{', '.join(_SAMPLING_PARAMS)}"
            )
        return SamplingParams(self.temperature if temperature is None else temperature, **sampling)

    @cached_property
    def _grammar_compiler(self) -> GrammarCompiler:
        return GrammarCompiler(self.tokenizer, self.engine.config.vocab_size)

    def constraint(
        self, grammar: Grammar, *, thinking: bool = False, in_thought: bool = False
    ) -> GrammarConstraint:
        """Compile a grammar to a constraint for one sequence, in up to a second or two.

        Args:
            grammar: set of the texts that may be generated.
            thinking: whether the text may begin with reasoning, free of the grammar.
            in_thought: whether the prompt ends within reasoning, which the model continues.

        Returns:
            The constraint at the beginning of the text.

        Raises:
            UsageError: if the grammar is not valid, or the model cannot generate a text of it.
            AnexaError: if llguidance is not installed, or the model has no EOS token.
        """
        return self._grammar_compiler.compile(grammar, thinking=thinking, in_thought=in_thought)

    def _sampler_of(
        self, sampling: dict[str, Any], thinking: bool = False, in_thought: bool = False
    ) -> Sampler:
        """Create a sampler from the `**sampling` of a method; see `constraint`."""
        grammar = grammar_of(**{name: sampling.pop(name, None) for name in GRAMMAR_KINDS})
        constraint = (
            self.constraint(grammar, thinking=thinking, in_thought=in_thought) if grammar else None
        )
        return self.sampler(self.sampling_params(**sampling), constraint)

    def sampler(self, params: SamplingParams, constraint: Constraint | None = None) -> Sampler:
        """Create a sampler (sampling parameters and random state) for one sequence of this model.

        Args:
            params: sampling parameters.
            constraint: rule about the generated tokens; None means that all are allowed.

        Raises:
            UsageError: if a token id in the parameters is not in the vocabulary, or there is a
                constraint and `ignore_eos`, with which the text could not end.
        """
        params.check_token_ids(self.tokenizer.vocab_size)
        if constraint and params.ignore_eos:
            raise UsageError("ignore_eos and a grammar exclude each other: leave one out")
        return Sampler(params, constraint, self.tokenizer.eos_token_ids)
