"""`POST /v1/embeddings`: the route, the request body, and the response."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import fastapi
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from anexa.generation import Prompt
from anexa.generation.embedding import embed
from anexa.server import limits, schemas
from anexa.server.completions import TokenIds, as_list
from anexa.server.errors import APIError
from anexa.server.schemas import max_entries
from anexa.server.served_models import ServedModel, find_model
from anexa.server.streaming import cancel_on_disconnect
from anexa.server.submission import errors_of_field
from anexa.server.unsupported_fields import Null, True_

router = APIRouter(prefix="/v1", responses=schemas.ERROR_RESPONSES)

# The types of an input: a text, which is not empty, or several texts; or their token ids.
EmbeddingText = Annotated[str, Field(min_length=1, max_length=limits.MAX_TEXT_CHARS)]
EmbeddingTexts = Annotated[
    list[EmbeddingText], Field(fail_fast=True), max_entries(limits.MAX_EMBEDDINGS, str)
]
EmbeddingTokenIdLists = Annotated[
    list[TokenIds], Field(fail_fast=True), max_entries(limits.MAX_EMBEDDINGS, list)
]


class EmbeddingRequest(schemas.RequestModel):
    """Body of `POST /v1/embeddings`: texts, or token ids of texts."""

    model_config = schemas.examples(
        {"input": ["12+34=46", "12-34"]}, {"input": "7*8", "encoding_format": "base64"}
    )

    model: str | None = Field(None, description="served model name; the first model by default")
    input: EmbeddingText | EmbeddingTexts | TokenIds | EmbeddingTokenIdLists
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description='"base64": the bytes of little-endian 32-bit floats; "float" by default'
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="must be the width of the model, which it is by default"
    )
    add_special_tokens: True_ = None
    messages: Null = None
    normalize: True_ = None
    truncate_prompt_tokens: Null = None


class Embedding(schemas.ResponseModel):
    """The embedding of a text: the mean of its tokens' last hidden states, scaled to length 1.

    `index` is the number of the text in the input, from 0. `embedding` is a list of as many numbers
    as the model is wide, or with `encoding_format` "base64" their bytes in Base64, as little-endian
    32-bit floats.
    """

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(schemas.ResponseModel):
    """Token counts of a request for embeddings; both are the number of tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(schemas.ResponseModel):
    """Response of `POST /v1/embeddings`."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@router.post("/embeddings", response_model=EmbeddingList)
async def create_embeddings(http_request: fastapi.Request, body: EmbeddingRequest) -> Response:
    """Compute the embeddings of one or several texts."""
    served = find_model(http_request, body.model)
    width = served.model.engine.config.n_embd
    if body.dimensions not in (None, width):
        raise APIError(
            f"dimensions must be {width}, the width of the model, or left out", "dimensions"
        )
    inputs = as_list(body.input)
    if not inputs:
        raise APIError("input must not be an empty list", "input")
    with errors_of_field("input"):
        texts = await asyncio.to_thread(_encode, served, inputs)
    num_tokens = sum(map(len, texts))
    functions = [partial(embed, served.model.engine, text) for text in texts]
    computing = served.worker.compute(functions, num_tokens)
    embeddings = await cancel_on_disconnect(http_request, computing)
    is_base64 = body.encoding_format == "base64"
    data = [
        Embedding(
            object="embedding",
            index=index,
            embedding=_as_base64(embedding) if is_base64 else embedding.tolist(),
        )
        for index, embedding in enumerate(embeddings)
    ]
    usage = EmbeddingUsage(prompt_tokens=num_tokens, total_tokens=num_tokens)
    return schemas.json_response(
        EmbeddingList(object="list", data=data, model=served.model.name, usage=usage)
    )


def _encode(served: ServedModel, texts: Sequence[str | list[int]]) -> list[list[int]]:
    tokenizer, block_size = served.model.tokenizer, served.block_size
    return [Prompt(tokenizer, block_size, text).ids for text in texts]


def _as_base64(embedding_C: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(embedding_C.astype("<f4").tobytes()).decode()
