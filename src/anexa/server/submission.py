"""Sampling parameters of a request body, the submission of requests, and the response."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fastapi
from fastapi.responses import Response

from anexa.errors import AnexaError, UsageError
from anexa.generation import SamplingParams
from anexa.generation.text_stream import PromptTooLongError
from anexa.server.errors import APIError
from anexa.server.generation_fields import GenerationRequest, SamplingFields
from anexa.server.request import Request
from anexa.server.responder import Responder
from anexa.server.served_models import DEFAULT_TOP_K, DEFAULT_TOP_P, ServedModel
from anexa.server.streaming import (
    EVENT_STREAM_MEDIA_TYPE,
    RequestStream,
    stream_events,
    whole_response,
)
from anexa.server.worker import Worker


@contextmanager
def errors_of_field(field: str) -> Iterator[None]:
    """Context manager that converts an `AnexaError` to an `APIError` about a field of the body.

    Args:
        field: name of the field.

    Raises:
        APIError: if the block raises an `AnexaError`; with its message and status 400.
    """
    try:
        yield
    except AnexaError as error:
        code = "context_length_exceeded" if isinstance(error, PromptTooLongError) else None
        raise APIError(str(error), field, code=code) from error


def sampling_params(served: ServedModel, body: SamplingFields) -> SamplingParams:
    """Create the sampling parameters of a request.

    By default, the temperature is that of the model, the seed is random, and any token may be
    sampled.

    Args:
        served: model that generates the text.
        body: request body with the sampling parameters.

    Raises:
        APIError: if a token id is not in the vocabulary, or two fields contradict each other.
    """
    penalties = {body.repetition_penalty, body.repeat_penalty} - {None}
    if len(penalties) > 1:
        raise APIError(
            "repeat_penalty and repetition_penalty are the same parameter: leave one out",
            "repeat_penalty",
        )
    params = SamplingParams(
        temperature=served.model.temperature if body.temperature is None else body.temperature,
        top_k=body.top_k if body.top_k and body.top_k > 0 else DEFAULT_TOP_K,
        top_p=DEFAULT_TOP_P if body.top_p is None else body.top_p,
        seed=random.getrandbits(32) if body.seed is None else body.seed % 2**64,
        min_p=body.min_p or 0.0,
        repetition_penalty=body.repetition_penalty or body.repeat_penalty or 1.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        logit_bias={int(token): bias for token, bias in (body.logit_bias or {}).items()},
        min_tokens=body.min_tokens or 0,
        ignore_eos=body.ignore_eos or False,
        stop_token_ids=body.stop_token_ids or (),
    )
    try:
        params.check_token_ids(served.model.tokenizer.vocab_size)
    except UsageError as error:
        raise APIError(str(error), str(error).split()[0]) from error
    return params


def refuse_streamed_prompt_logprobs(body: GenerationRequest) -> None:
    """Check that a body does not ask for `prompt_logprobs` in a stream.

    Chunks have no field for them; neither do vLLM's.

    Raises:
        APIError: if the body has `stream` and `prompt_logprobs`.
    """
    if body.stream and body.prompt_logprobs is not None:
        raise APIError(
            "prompt_logprobs are not available in a stream: set stream to false", "prompt_logprobs"
        )


def submit(http_request: fastapi.Request, worker: Worker, requests: Sequence[Request]) -> None:
    """Queue the requests of an HTTP request.

    With `ServerConfig.log_prompts`, their prompts are written to standard error, each as a line of
    JSON.

    Raises:
        APIError: if there are more requests than the server can queue, or at the moment too many,
            or the model has failed.
    """
    if len(requests) > worker.max_requests:
        raise APIError(
            f"the request asks for {len(requests)} choices: this server runs and queues at most "
            f"{worker.max_requests}",
            "n",
        )
    if http_request.app.state.log_prompts:
        for request in requests:
            print(json.dumps({"prompt": request.text.prompt.text}), file=sys.stderr, flush=True)
    worker.submit(requests)


async def respond(
    http_request: fastapi.Request, worker: Worker, responder: Responder, *, stream: bool
) -> Response:
    """Submit the requests, and respond with their outputs.

    Returns:
        A whole response, or a stream of chunks.

    Raises:
        APIError: if there are more requests than the server can queue, or at the moment too many,
            or the model has failed; or, if the response is not a stream, if a request fails or the
            client disconnects.
    """
    submit(http_request, worker, responder.requests)
    if stream:
        return RequestStream(
            worker, responder.requests, stream_events(responder), EVENT_STREAM_MEDIA_TYPE
        )
    return await whole_response(http_request, worker, responder)
