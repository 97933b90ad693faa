"""Builds the request for a single answer, for the routes that give one: Responses and Ollama's."""

from __future__ import annotations

from collections.abc import Sequence

import fastapi

from anexa.generation import Prompt, SamplingParams, TextStream
from anexa.generation.grammars import Grammar
from anexa.model.chat_format import Message
from anexa.server.errors import APIError
from anexa.server.generation_fields import SamplingFields
from anexa.server.request import Request
from anexa.server.served_models import ServedModel
from anexa.server.structured_outputs import compile_grammar
from anexa.server.submission import build_requests, errors_of_field, sampling_params


def truncate(
    served: ServedModel,
    messages: Sequence[Message],
    max_tokens: int | None,
    *,
    thinking: bool,
    field: str,
) -> tuple[Sequence[Message], int]:
    """Drop the oldest turns of a conversation until the context has room for an answer.

    Returns:
        The messages that are left, and the number of turns that were dropped.

    Raises:
        APIError: if the model cannot read the messages.
    """
    with errors_of_field(field):
        messages, dropped_turns = served.model.truncate(messages, max_tokens, thinking=thinking)
    return messages, dropped_turns


def conversation_prompt(
    served: ServedModel, messages: Sequence[Message], *, thinking: bool, field: str
) -> Prompt:
    """Render a conversation, which stands in a field of the request body.

    Raises:
        APIError: if the model has no chat template, or cannot read the messages.
    """
    model = served.model
    if model.chat_template is None:
        raise APIError(f"{model.name} has no chat template: it continues texts only", "model")
    with errors_of_field(field):
        rendered = model.render_prompt(messages, thinking=thinking)
        return Prompt(model.tokenizer, served.block_size, rendered)


async def single_request(
    http_request: fastapi.Request,
    served: ServedModel,
    prompt: Prompt,
    sampling: SamplingFields,
    *,
    max_tokens: int,
    is_chat: bool,
    thinking: bool = False,
    grammar: Grammar | None = None,
) -> tuple[Request, SamplingParams]:
    """Build the request for the text after a prompt; its grammar is compiled.

    Args:
        http_request: request of the client.
        served: model that generates the text.
        prompt: prompt, in the chat template if it is of a conversation.
        sampling: how tokens are sampled.
        max_tokens: maximum number of tokens to generate.
        is_chat: whether to separate the reasoning of a chat answer from its content.
        thinking: whether the model may think first, without the grammar.
        grammar: the texts that may be generated; None: all.

    Returns:
        The request, and its sampling parameters.

    Raises:
        APIError: if a field is wrong, or the client disconnects.
    """
    model, params = served.model, sampling_params(served, sampling)
    stop = sampling.stop or ()
    with errors_of_field("min_tokens"):
        text = TextStream(model.tokenizer, prompt, max_tokens=max_tokens, stop=stop, params=params)
    constraint = await compile_grammar(
        http_request, model, grammar, params, thinking=thinking, in_thought=prompt.in_thought
    )
    [request] = build_requests(
        served, [text], params, is_chat=is_chat, num_logprobs=None, constraint=constraint
    )
    return request, params
