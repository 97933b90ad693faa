"""openai-python: https://github.com/openai/openai-python."""

from __future__ import annotations

from typing import Any

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

client: Any = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
asked = {"model": MODEL, "messages": MESSAGES, "temperature": 0}

answer = client.chat.completions.create(**asked)
assert answer.choices[0].message.content == ANSWER
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

options = {"include_usage": True}
chunks = [*client.chat.completions.create(**asked, stream=True, stream_options=options)]
deltas = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
assert "".join(deltas) == ANSWER
assert chunks[-1].usage.total_tokens == answer.usage.total_tokens

text = client.completions.create(model=MODEL, prompt="12+", max_tokens=4)
assert text.choices[0].text
assert text.usage.completion_tokens <= 4

with raises(openai.BadRequestError, "context_length_exceeded"):
    client.chat.completions.create(model=MODEL, messages=TOO_LONG_MESSAGES)
with raises(openai.NotFoundError, "model_not_found"):
    client.chat.completions.create(model=UNKNOWN, messages=MESSAGES)
