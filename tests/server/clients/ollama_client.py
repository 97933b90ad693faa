"""ollama: https://github.com/ollama/ollama-python."""

from __future__ import annotations

from typing import Any

import ollama

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MESSAGES,
    MODEL,
    QUESTION,
    THOUGHT,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

client: Any = ollama.Client(host=ADDRESS)
asked = {"model": MODEL, "options": {"temperature": 0}}

answer = client.chat(**asked, messages=MESSAGES)
assert answer.message.content == ANSWER
assert answer.message.thinking == THOUGHT
assert answer.done_reason == "stop"
assert answer.eval_count > len(ANSWER)

parts = [*client.chat(**asked, messages=MESSAGES, stream=True)]
assert "".join(part.message.content for part in parts) == ANSWER
assert "".join(part.message.thinking or "" for part in parts) == answer.message.thinking
assert parts[-1].eval_count == answer.eval_count

assert client.chat(**asked, messages=MESSAGES, think=False).message.thinking is None

assert client.generate(**asked, prompt=QUESTION).response == ANSWER
parts = [*client.generate(**asked, prompt=QUESTION, stream=True)]
assert "".join(part.response for part in parts) == ANSWER
assert client.generate(**asked, prompt="12+", raw=True).response

names = [one.model for one in client.list().models]
assert f"{MODEL}:latest" in names
assert "thinking" in client.show(MODEL).capabilities

with raises(ollama.ResponseError, "maximum context length"):
    client.chat(model=MODEL, messages=TOO_LONG_MESSAGES)
with raises(ollama.ResponseError, "there is no model"):
    client.chat(model=UNKNOWN, messages=MESSAGES)
