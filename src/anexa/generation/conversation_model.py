"""A model's view of conversations: their prompts, and the room for an answer in the context."""

from __future__ import annotations

from collections.abc import Sequence

from anexa.engines import Engine
from anexa.errors import AnexaError
from anexa.generation.chat_prompt import render_chat_prompt, supports_tools
from anexa.generation.sampling_params import RANGES
from anexa.generation.text_stream import PromptTooLongError, check_prompt_length
from anexa.generation.truncation import TruncatedConversation, drop_oldest_turns
from anexa.model.chat_format import Message, PromptEnd, Tool
from anexa.model.model import Model
from anexa.model.question import QuestionTooLongError
from anexa.model.rendered_prompt import RenderedPrompt


class ConversationModel:
    """A model that renders conversations as prompts, and fits them into its context.

    Args:
        name: name of the model, for error messages and for the server's API.
        model: content of the model folder.
        engine: engine with the model's weights.

    Attributes:
        name: name of the model.
        engine: engine with the model's weights.
        tokenizer: tokenizer of the model.
        chat_template: Jinja template of a chat model; None if the model only continues texts.
        max_new_tokens: number of tokens that a conversation must leave free for the answer: the
            model's recommended limit on an answer, else a quarter of the context.
    """

    def __init__(self, name: str, model: Model, engine: Engine) -> None:
        self.name, self.engine = name, engine
        self.tokenizer = model.tokenizer
        self.chat_template = model.chat_template
        block_size = engine.config.block_size
        self.max_new_tokens = min(model.max_new_tokens or max(1, block_size // 4), block_size)

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template shows tools to the model."""
        return self.chat_template is not None and supports_tools(self.chat_template)

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
