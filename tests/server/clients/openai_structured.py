"""openai-python: https://github.com/openai/openai-python; `parse`, tools, and their streams."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
from pydantic import BaseModel

from tests.server.clients.asked import ADDRESS, MESSAGES, MODEL, raises


class Part(BaseModel):
    place: Literal["ones", "tens"]
    digit: int


class Result(BaseModel):
    result: int
    parts: list[Part]


class Report(BaseModel):
    """Reports a result."""

    result: int
    sure: bool


client: Any = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
asked = {"model": MODEL, "messages": MESSAGES, "temperature": 0}

for completions in (client.chat.completions, client.beta.chat.completions):
    [choice] = completions.parse(**asked, response_format=Report).choices
    assert isinstance(choice.message.parsed, Report)

with client.chat.completions.stream(**asked, response_format=Report) as stream:
    final = stream.get_final_completion()
assert final.choices[0].message.parsed == choice.message.parsed

tool = openai.pydantic_function_tool(Report)
named = {"type": "function", "function": {"name": "Report"}}
for wanted in ("required", named):
    [choice] = client.chat.completions.parse(**asked, tools=[tool], tool_choice=wanted).choices
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert isinstance(call.function.parsed_arguments, Report)
    with client.chat.completions.stream(**asked, tools=[tool], tool_choice=wanted) as stream:
        final = stream.get_final_completion()
    [streamed] = final.choices[0].message.tool_calls
    assert json.loads(streamed.function.arguments) == json.loads(call.function.arguments)
    assert final.choices[0].finish_reason == "tool_calls"

text = client.chat.completions.create(**asked, tools=[tool]).choices[0].message
assert text.content == "29842"
assert not text.tool_calls

wrong = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}}
with raises(openai.BadRequestError, "Unimplemented keys"):
    client.chat.completions.create(**asked, response_format=wrong)
