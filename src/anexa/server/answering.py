"""From the fields of a request body to prompts and requests, for all routes that generate text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import fastapi

from anexa.generation import Prompt, TextStream
from anexa.generation.grammars import Grammar
from anexa.model.chat_format import Message, PromptEnd, Tool
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.server.errors import APIError
from anexa.server.generation_fields import SamplingFields
from anexa.server.request import Request
from anexa.server.served_models import ServedModel
from anexa.server.structured_outputs import compile_grammar
from anexa.server.submission import errors_of_field, sampling_params


@dataclass(frozen=True)
class Conversation:
    """A conversation to answer, and how it is rendered as a prompt.

    Attributes:
        messages: messages so far.
        field: field of the request body that the messages are in, for errors.
        thinking: whether the model may think before it answers.
        end: where the prompt ends: "answer", at the beginning of a new answer; "message", within
            the last message; "nothing", after it; None: as the last message suggests.
        tools: functions that the model may call.
    """

    messages: Sequence[Message]
    field: str
    thinking: bool
    end: PromptEnd | None = None
    tools: Sequence[Tool] = ()


async def truncate(
    served: ServedModel, conversation: Conversation, max_tokens: int | None
) -> tuple[Conversation, int]:
    """Drop the oldest turns of a conversation until the context has room for an answer.

    A chat template may work for a second on long tools, so it runs in a thread, as in `render`.

    Args:
        served: model that answers.
        conversation: conversation to answer.
        max_tokens: number of tokens to leave free for the answer; None and larger numbers mean the
            model's own limit.

    Returns:
        The rest of the conversation, and the number of turns that were dropped.

    Raises:
        APIError: if the model has no chat template, or cannot read the messages.
    """
    _check_chat(served)
    with errors_of_field(conversation.field):
        messages, num_dropped = await asyncio.to_thread(
            served.model.truncate,
            conversation.messages,
            max_tokens,
            thinking=conversation.thinking,
            end=conversation.end,
            tools=conversation.tools,
        )
    return replace(conversation, messages=messages), num_dropped


async def render(served: ServedModel, conversation: Conversation) -> RenderedPrompt:
    """Render a conversation with the chat template of a model.

    Args:
        served: model that answers.
        conversation: conversation to answer.

    Returns:
        The text of the prompt, not tokenized.

    Raises:
        APIError: if the model has no chat template, or cannot read the messages.
    """
    _check_chat(served)
    with errors_of_field(conversation.field):
        return await asyncio.to_thread(
            served.model.render_prompt,
            conversation.messages,
            thinking=conversation.thinking,
            end=conversation.end,
            tools=conversation.tools,
        )


async def conversation_prompt(served: ServedModel, conversation: Conversation) -> Prompt:
    """Render a conversation, and tokenize it as the prompt of an answer.

    Raises:
        APIError: if the model has no chat template or cannot read the messages, or the conversation
            has characters that the model does not know or is longer than the context.
    """
    rendered = await render(served, conversation)
    with errors_of_field(conversation.field):
        return Prompt(served.model.tokenizer, served.block_size, rendered)


def _check_chat(served: ServedModel) -> None:
    if served.model.chat_template is None:
        raise APIError(
            f"{served.model.name} has no chat template, so it only continues texts: use "
            "/v1/completions",
            "model",
        )


async def build_requests(
    http_request: fastapi.Request,
    served: ServedModel,
    prompts: Sequence[Prompt],
    sampling: SamplingFields,
    *,
    max_tokens: int,
    is_chat: bool,
    sequences_per_prompt: int = 1,
    thinking: bool = False,
    grammar: Grammar | None = None,
    num_logprobs: int | None = None,
    num_prompt_logprobs: int | None = None,
    is_ranked: bool = False,
) -> list[Request]:
    """Build a request for each text to generate, without submitting it.

    The seeds of the requests count up from the seed of the body, which is random by default.

    Args:
        http_request: request of the client.
        served: model that generates the texts.
        prompts: prompts, at least one; in the chat template if they are conversations.
        sampling: request body with the sampling parameters.
        max_tokens: maximum number of tokens to generate for each text.
        is_chat: whether to separate the reasoning of a chat answer from its content.
        sequences_per_prompt: number of texts for each prompt.
        thinking: whether a text may begin with a thought: reasoning that the grammar does not
            restrict.
        grammar: the texts that may be generated; None: all.
        num_logprobs: number of most likely tokens to report at each position; None: no log
            probabilities.
        num_prompt_logprobs: the same, at each position of the prompts.
        is_ranked: whether the mean log probability of each text is needed, to choose the best ones.

    Returns:
        The requests, those of the first prompt first.

    Raises:
        APIError: if a field is wrong, or the client disconnects.
    """
    model, params = served.model, sampling_params(served, sampling)
    stop = sampling.stop or ()
    with errors_of_field("min_tokens"):
        texts = [
            TextStream(model.tokenizer, prompt, max_tokens=max_tokens, stop=stop, params=params)
            for prompt in prompts
            for _ in range(sequences_per_prompt)
        ]
    constraint = await compile_grammar(
        http_request, model, grammar, params, thinking=thinking, in_thought=prompts[0].in_thought
    )
    return [
        Request(
            text,
            model.sampler(
                replace(params, seed=(params.seed + index) % 2**64),
                constraint and constraint.copy(),
            ),
            is_chat=is_chat,
            num_logprobs=num_logprobs,
            num_prompt_logprobs=num_prompt_logprobs,
            is_ranked=is_ranked,
        )
        for index, text in enumerate(texts)
    ]
