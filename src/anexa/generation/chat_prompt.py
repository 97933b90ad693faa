"""Rendering of a conversation as a prompt of the model, with checks of its messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from anexa.errors import AnexaError, UsageError
from anexa.generation.text_stream import (
    PromptTooLongError,
    check_prompt_length,
    context_exceeded_message,
)
from anexa.model.chat_format import (
    CHAT_TEMPLATE,
    Message,
    PromptEnd,
    Tool,
    has_text_to_continue,
    normalize_messages,
    render_continuation,
    render_messages,
)
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.model.tokenizer import Tokenizer


def supports_tools(chat_template: str) -> bool:
    """Return whether a chat template can render tools, by whether it mentions `tools`."""
    return "tools" in chat_template


def render_chat_prompt(
    chat_template: str,
    tokenizer: Tokenizer,
    block_size: int,
    messages: Sequence[Message],
    *,
    name: str,
    thinking: bool,
    end: PromptEnd | None,
    tools: Sequence[Tool],
) -> RenderedPrompt:
    """Check the messages of a conversation and render them as a prompt.

    Args:
        chat_template: chat template of the model, in Jinja.
        tokenizer: tokenizer of the model.
        block_size: context length in tokens.
        messages: messages so far, each with a "role" and a "content".
        name: name of the model, for error messages.
        thinking: whether the model may reason before it answers; if not, the prompt ends in empty
            reasoning, `<think></think>`.
        end: where the prompt ends: "answer", after the beginning of a new answer; "message",
            within the last message, which the model continues; "nothing", after the last message.
            None means "message" if the last message is the assistant's, else "answer".
        tools: definitions of the functions that the model may call, in OpenAI's format.

    Returns:
        The text of the prompt, not tokenized.

    Raises:
        AnexaError: if a message is malformed, there is no message, a tool or a message that is not
            the assistant's contains a special token of the template, or a message is about a tool
            call and the template does not know tools.
        QuestionTooLongError: if, for `CHAT_TEMPLATE`, a user's message is too long.
        PromptTooLongError: if the messages have so many characters that their tokens cannot fit
            into `block_size`, whatever the tokens are.
        UsageError: if the last message is blank and not the assistant's.
    """
    if isinstance(messages, str) or not all(isinstance(message, Mapping) for message in messages):
        raise AnexaError(
            'a conversation is a list of messages, such as [{"role": "user", "content": "7*8"}]'
        )
    if messages and end is None and messages[-1].get("role") == "assistant":
        end = "message"
    messages = normalize_messages(chat_template, messages)
    bos, eos = tokenizer.bos_eos
    template = chat_template + bos + eos
    special_tokens = [token for token in tokenizer.added_tokens if token in template]
    _check_special_tokens(messages, tools, special_tokens)
    if not supports_tools(chat_template):
        _check_no_tool_calls(messages, name)
    if chat_template == CHAT_TEMPLATE:  # which skips system messages
        messages = [message for message in messages if message["role"] != "system"]
    if end == "message" and messages and not has_text_to_continue(messages[-1]):
        end, messages = "answer", messages[:-1]  # there is nothing to continue
    if not messages:
        raise AnexaError("a conversation needs a message of the user")
    if messages[-1]["role"] != "assistant" and not messages[-1]["content"].strip():
        raise UsageError("there is nothing to answer: ask something")
    check_prompt_length(sum(len(message["content"]) for message in messages), tokenizer, block_size)
    if chat_template == CHAT_TEMPLATE and {*tokenizer.added_tokens} <= {*special_tokens}:
        _check_questions(messages, tokenizer, block_size)
    if end == "message":
        return render_continuation(chat_template, messages, bos=bos, eos=eos, tools=tools)
    return render_messages(
        chat_template,
        messages,
        thinking=thinking,
        bos=bos,
        eos=eos,
        add_generation_prompt=end != "nothing",
        tools=tools,
    )


def _check_special_tokens(
    messages: Sequence[Message], tools: Sequence[Tool], special_tokens: Sequence[str]
) -> None:
    """Check that messages contain no special tokens, which could imitate another role.

    Raises:
        AnexaError: if a tool, or a message that is not the assistant's, contains a special token.
    """
    texts = {
        f"message {number}": message["content"]
        for number, message in enumerate(messages, 1)
        if message["role"] != "assistant"
    }
    texts |= {f"tool {number}": json.dumps(tool) for number, tool in enumerate(tools, 1)}
    for name, text in texts.items():
        for token in special_tokens:
            if token in text:
                raise AnexaError(
                    f"{name} contains {token}, which is a special token of the model: remove it"
                )


def _check_questions(messages: Sequence[Message], tokenizer: Tokenizer, block_size: int) -> None:
    """Check that questions without added tokens are short enough for the context.

    So many that cannot fit would be too much work for the template, which marks their places.

    Raises:
        PromptTooLongError: if the questions need more than `block_size` tokens.
    """
    asked = sum(len(message["content"]) for message in messages if message["role"] == "user")
    if asked > block_size * tokenizer.max_plain_token_length:
        what = f"the prompt has {asked:,} characters of questions"
        raise PromptTooLongError(context_exceeded_message(block_size, what))


def _check_no_tool_calls(messages: Sequence[Message], model: str) -> None:
    """Check that no message is about a tool call, as the template does not know tools.

    Raises:
        AnexaError: if a message is the result of a tool, or has tool calls.
    """
    for number, message in enumerate(messages, 1):
        if message["role"] == "tool" or message.get("tool_calls"):
            raise AnexaError(
                f"message {number} is about a tool call, which the chat template of {model} "
                "cannot render: leave it out"
            )
