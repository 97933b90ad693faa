"""litellm: https://github.com/BerriAI/litellm."""

from __future__ import annotations

import litellm

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MESSAGES,
    MODEL,
    THOUGHT,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

where = {"api_base": f"{ADDRESS}/v1", "api_key": "none"}
chat = f"openai/{MODEL}"

answer = litellm.completion(chat, MESSAGES, temperature=0, **where)
assert answer.choices[0].message.content == ANSWER
assert answer.choices[0].message.reasoning_content == THOUGHT
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

chunks = litellm.completion(chat, MESSAGES, temperature=0, stream=True, **where)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER

text = litellm.text_completion(
    model=f"text-completion-openai/{MODEL}", prompt="12+", max_tokens=4, **where
)
assert text.choices[0].text

with raises(litellm.ContextWindowExceededError, "maximum context length"):
    litellm.completion(chat, TOO_LONG_MESSAGES, **where)
with raises(litellm.NotFoundError, "there is no model"):
    litellm.completion(f"openai/{UNKNOWN}", MESSAGES, **where)
