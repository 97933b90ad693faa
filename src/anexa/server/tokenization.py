"""Routes of the tokenizer, as in vLLM: `/tokenize`, `/detokenize` and `/tokenizer_info`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import fastapi
from fastapi import APIRouter
from pydantic import Field

from anexa.server import limits, schemas
from anexa.server.answering import Conversation, render
from anexa.server.chat_messages import ChatMessage, TemplateFields, template_messages
from anexa.server.completions import TokenIds
from anexa.server.errors import APIError
from anexa.server.schemas import Text, max_entries
from anexa.server.served_models import ServedModel, find_model
from anexa.server.submission import errors_of_field
from anexa.server.tools import Tools, rendered_tools
from anexa.server.unsupported_fields import Null

router = APIRouter(responses=schemas.ERROR_RESPONSES)

Messages = Annotated[list[ChatMessage], Field(min_length=1), max_entries(limits.MAX_MESSAGES)]


class TokenizeRequest(TemplateFields):
    """Body of `POST /tokenize`: either a text, or a conversation to render as a prompt."""

    model_config = schemas.examples(
        {"prompt": "12+34=", "return_token_strs": True},
        {"messages": [{"role": "user", "content": "347*86"}]},
    )

    model: str | None = Field(None, description="served model name; the first model by default")
    prompt: Text | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = Field(
        None,
        description=(
            "whether to add the tokens that the tokenizer puts around a text; true by default for "
            "a prompt, and false for messages, whose chat template writes them"
        ),
    )
    tools: Tools | None = Field(None, description="tools of the conversation")
    chat_template: Null = None
    return_token_strs: bool | None = None


class TokenizeResponse(schemas.ResponseModel):
    """The ids of the tokens of a text, and the tokens themselves if the request asks for them.

    `count` is the number of tokens, which may be greater than `max_model_len`.
    """

    count: int
    max_model_len: int = Field(description="context length in tokens")
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(schemas.RequestModel):
    """Body of `POST /detokenize`: token ids."""

    model_config = schemas.examples({"tokens": [1, 2, 3]})

    model: str | None = Field(None, description="served model name; the first model by default")
    tokens: TokenIds


class DetokenizeResponse(schemas.ResponseModel):
    """The text of token ids, with the names of special tokens."""

    prompt: str


class TokenizerInfo(schemas.ResponseModel):
    """The content of `tokenizer_config.json`, and the chat template."""

    tokenizer_class: str
    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    pad_token: str | None = None
    model_max_length: int
    clean_up_tokenization_spaces: bool
    model_input_names: list[str]
    chat_template: str | None = None


@router.post("/tokenize")
async def tokenize(http_request: fastapi.Request, body: TokenizeRequest) -> TokenizeResponse:
    """Encode a text, or a conversation, as token ids."""
    served = find_model(http_request, body.model)
    tokenizer = served.model.tokenizer
    if (body.prompt is None) == (body.messages is None):
        raise APIError("either prompt or messages must be given", "prompt")
    if body.prompt is not None:
        field, text = "prompt", body.prompt
        add_special_tokens = body.add_special_tokens is not False
    else:
        field, text = "messages", await _rendered(served, body)
        add_special_tokens = bool(body.add_special_tokens)
    if unknown := tokenizer.unknown_characters(text):
        raise APIError(f"this model has never seen {unknown[0]!r}: leave it out", field)
    # It may be longer than the context: how long it is, is what is asked.
    ids = await asyncio.to_thread(tokenizer.encode, text, add_special_tokens=add_special_tokens)
    fields = {"count": len(ids), "max_model_len": served.block_size, "tokens": ids}
    if body.return_token_strs:
        fields["token_strs"] = [tokenizer.id_to_token(token) or "" for token in ids]
    return TokenizeResponse.model_validate(fields)


async def _rendered(served: ServedModel, body: TokenizeRequest) -> str:
    """Render the messages of a body with the chat template."""
    messages = template_messages(body.messages or ())
    tools = rendered_tools(body.tools or (), served.model)
    conversation = Conversation(messages, "messages", body.thinking, body.prompt_end, tools)
    return await render(served, conversation)


@router.post("/detokenize")
async def detokenize(http_request: fastapi.Request, body: DetokenizeRequest) -> DetokenizeResponse:
    """Decode token ids to text, with the names of special tokens."""
    served = find_model(http_request, body.model)
    tokenizer = served.model.tokenizer
    with errors_of_field("tokens"):
        tokenizer.check_ids(body.tokens)
        return DetokenizeResponse(prompt=tokenizer.decode(body.tokens, skip_special_tokens=False))


@router.get("/tokenizer_info", response_model_exclude_unset=True)
async def tokenizer_info(http_request: fastapi.Request, model: str | None = None) -> TokenizerInfo:
    """Return the tokenizer's special tokens and the chat template of a model."""
    served = find_model(http_request, model)
    fields = served.model.tokenizer.to_config(served.block_size)
    if served.model.chat_template is not None:
        fields["chat_template"] = served.model.chat_template
    return TokenizerInfo.model_validate(fields)
