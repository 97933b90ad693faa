"""huggingface_hub's InferenceClient: https://github.com/huggingface/huggingface_hub."""

from __future__ import annotations

from typing import Any

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MESSAGES,
    MODEL,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

client: Any = InferenceClient(base_url=f"{ADDRESS}/v1", api_key="none")
asked = {"temperature": 0, "max_tokens": 400}

answer = client.chat_completion(MESSAGES, model=MODEL, **asked)
assert answer.choices[0].message.content == ANSWER
assert answer.usage.completion_tokens > len(ANSWER)

chunks = client.chat_completion(MESSAGES, model=MODEL, stream=True, **asked)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER

with raises(HfHubHTTPError, "maximum context length"):
    client.chat_completion(TOO_LONG_MESSAGES, model=MODEL)
with raises(HfHubHTTPError, "there is no model"):
    client.chat_completion(MESSAGES, model=UNKNOWN)
