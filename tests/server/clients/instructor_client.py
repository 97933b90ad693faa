"""instructor: https://github.com/567-labs/instructor; here as a plain client, without a schema."""

from __future__ import annotations

from typing import Any

import instructor
import openai

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MESSAGES,
    MODEL,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

plain = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
create: Any = instructor.from_openai(plain).chat.completions.create
asked = {"messages": MESSAGES, "response_model": None, "temperature": 0}

answer = create(model=MODEL, **asked)
assert answer.choices[0].message.content == ANSWER
assert answer.usage.completion_tokens > len(ANSWER)

chunks = create(model=MODEL, stream=True, **asked)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER

with raises(openai.BadRequestError, "context_length_exceeded"):
    create(model=MODEL, messages=TOO_LONG_MESSAGES, response_model=None)
with raises(openai.NotFoundError, "model_not_found"):
    create(model=UNKNOWN, **asked)
