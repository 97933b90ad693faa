"""A model folder, loaded for text generation and chat: what `anexa.load` returns."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from anexa.engines import Engine, open_engine
from anexa.errors import UsageError
from anexa.generation.chat import ChatAnswer
from anexa.generation.constraints import GrammarConstraint
from anexa.generation.conversation_model import ConversationModel
from anexa.generation.grammar_compiler import GrammarCompiler
from anexa.generation.grammars import GRAMMAR_KINDS, Grammar, grammar_of
from anexa.generation.sampling import Constraint, Sampler
from anexa.generation.sampling_params import SamplingParams
from anexa.generation.text_stream import TextStream, stream_text
from anexa.model.chat_format import Message
from anexa.model.loading import load_model, model_name
from anexa.model.model import Model
from anexa.model.weights import num_parameters

_SAMPLING_PARAMS = tuple(field.name for field in fields(SamplingParams))

# Folder of the bundled model.
BUNDLED_FOLDER = Path(str(importlib.resources.files("anexa") / "bundled"))


class LanguageModel(ConversationModel):
    """A model with its tokenizer and engine, for text generation and chat; see `ConversationModel`.

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
        folder: folder or file that the model was loaded from; None means the bundled model.
        temperature: default sampling temperature, recommended by the model.
    """

    def __init__(self, name: str, model: Model, engine: Engine, folder: Path | None = None) -> None:
        super().__init__(name, model, engine)
        self.folder, self.temperature = folder, model.temperature

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
