"""Routes of OpenAI's API: models, completions, and chat completions."""

from __future__ import annotations

import fastapi
from fastapi import APIRouter
from fastapi.responses import Response

from anexa.generation import Prompt
from anexa.server import chat_completions, completions, schemas
from anexa.server.answering import Conversation, build_requests, conversation_prompt, truncate
from anexa.server.chat_messages import template_messages
from anexa.server.errors import APIError
from anexa.server.generation_fields import UNLIMITED
from anexa.server.limits import MAX_CHOICES, MAX_COMPLETION_TOKENS
from anexa.server.openapi import describe_stream
from anexa.server.served_models import find_model, find_model_by_name, served_models
from anexa.server.structured_outputs import requested_grammar
from anexa.server.submission import (
    errors_of_field,
    refuse_streamed_prompt_logprobs,
    respond,
)
from anexa.server.tools import answer_grammar, tool_use

DEFAULT_COMPLETION_TOKENS = 16  # default of a completion's `max_tokens`, as in OpenAI's API

router = APIRouter(prefix="/v1", responses=schemas.ERROR_RESPONSES)


@router.get("/models")
async def list_models(http_request: fastapi.Request) -> schemas.ModelList:
    """List the served models with their limits and default sampling parameters."""
    models = [served.to_schema() for served in served_models(http_request).values()]
    return schemas.ModelList(object="list", data=models)


@router.get("/models/{name:path}")
async def get_model(http_request: fastapi.Request, name: str) -> schemas.ModelInfo:
    """Return one served model with its limits and default sampling parameters."""
    return find_model_by_name(http_request, name).to_schema()


@router.post(
    "/completions",
    response_model=completions.Completion,
    responses=describe_stream(completions.CompletionChunk),
)
async def create_completion(
    http_request: fastapi.Request, body: completions.CompletionRequest
) -> Response:
    """Generate texts that continue one or several prompts."""
    served = find_model(http_request, body.model)
    refuse_streamed_prompt_logprobs(body)
    max_tokens = DEFAULT_COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
    if max_tokens == UNLIMITED:
        max_tokens = MAX_COMPLETION_TOKENS
    if max_tokens > MAX_COMPLETION_TOKENS:
        raise APIError(f"max_tokens must be at most {MAX_COMPLETION_TOKENS:,}", "max_tokens")
    if not body.prompts:
        raise APIError("prompt must not be an empty list", "prompt")
    _check_number_of_sequences(body)
    tokenizer = served.model.tokenizer
    with errors_of_field("prompt"):
        prompts = [Prompt(tokenizer, served.block_size, prompt) for prompt in body.prompts]
    requests = await build_requests(
        http_request,
        served,
        prompts,
        body,
        max_tokens=max_tokens,
        is_chat=False,
        sequences_per_prompt=body.sequences_per_prompt,
        grammar=requested_grammar(body),
        num_logprobs=body.logprobs,
        num_prompt_logprobs=body.num_prompt_logprobs,
        is_ranked=body.sequences_per_prompt > (body.n or 1),
    )
    responder = completions.CompletionResponder(body, requests, served.model.name, tokenizer)
    return await respond(http_request, served.worker, responder, stream=bool(body.stream))


def _check_number_of_sequences(body: completions.CompletionRequest) -> None:
    """Check the number of sequences that `n` and `best_of` ask for.

    Raises:
        APIError: if the fields ask for too many sequences, or contradict each other.
    """
    n, count = body.n or 1, body.sequences_per_prompt
    if count < n:
        raise APIError(f"best_of must be at least n, which is {n}, not {count}", "best_of")
    if count > n and body.stream:
        raise APIError("best_of must not be above n in a stream: set stream to false", "best_of")
    total, field = len(body.prompts) * count, "n" if body.best_of is None else "best_of"
    if total > MAX_CHOICES:
        raise APIError(
            f"the number of prompts times {field} is {total}: it must be at most {MAX_CHOICES}",
            field,
        )


@router.post(
    "/chat/completions",
    response_model=chat_completions.ChatCompletion,
    responses=describe_stream(chat_completions.ChatCompletionChunk),
)
async def create_chat_completion(
    http_request: fastapi.Request, body: chat_completions.ChatCompletionRequest
) -> Response:
    """Generate the assistant's next answers to a conversation."""
    served = find_model(http_request, body.model)
    refuse_streamed_prompt_logprobs(body)
    model = served.model
    if body.top_logprobs and not body.logprobs:
        raise APIError("top_logprobs needs logprobs to be true", "top_logprobs")
    messages = template_messages(body.messages)
    use = tool_use(body, model)
    grammar = answer_grammar(body, use)
    conversation = Conversation(messages, "messages", body.thinking, body.prompt_end, use.rendered)
    dropped_turns = 0
    if body.truncation == "auto":
        conversation, dropped_turns = await truncate(served, conversation, body.max_answer_tokens)
    prompt = await conversation_prompt(served, conversation)
    requests = await build_requests(
        http_request,
        served,
        [prompt],
        body,
        max_tokens=model.answer_token_limit(len(prompt.ids), body.max_answer_tokens),
        is_chat=True,
        sequences_per_prompt=body.n or 1,
        thinking=body.thinking,
        grammar=grammar,
        num_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        num_prompt_logprobs=body.prompt_logprobs,
    )
    responder = chat_completions.ChatCompletionResponder(
        body, requests, model.name, model.tokenizer, dropped_turns, use.new_parser
    )
    return await respond(http_request, served.worker, responder, stream=bool(body.stream))
