"""langchain-openai: https://github.com/langchain-ai/langchain."""

from __future__ import annotations

from typing import Any

import openai
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI, OpenAI

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MODEL,
    QUESTION,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

where: Any = {"base_url": f"{ADDRESS}/v1", "api_key": "none", "max_retries": 0}
chat = ChatOpenAI(model=MODEL, temperature=0, stream_usage=True, **where)

answer = chat.invoke(QUESTION)
assert answer.content == ANSWER
assert answer.usage_metadata["output_tokens"] > len(ANSWER)

chunks = [*chat.stream(QUESTION)]
assert "".join(chunk.content for chunk in chunks) == ANSWER
counted = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
assert counted[-1]["total_tokens"] == answer.usage_metadata["total_tokens"]

assert OpenAI(model=MODEL, max_tokens=4, **where).invoke("12+")

with raises(ContextOverflowError, "context_length_exceeded"):
    chat.invoke(TOO_LONG_MESSAGES)
with raises(openai.NotFoundError, "model_not_found"):
    ChatOpenAI(model=UNKNOWN, **where).invoke(QUESTION)
