"""langchain-openai: https://github.com/langchain-ai/langchain; `with_structured_output`."""

from __future__ import annotations

from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.server.clients.asked import ADDRESS, MODEL, QUESTION


class Report(BaseModel):
    """Reports a result."""

    result: int
    sure: bool


where: Any = {"base_url": f"{ADDRESS}/v1", "api_key": "none", "max_retries": 0}
chat = ChatOpenAI(model=MODEL, temperature=0, **where)
for method in ("json_schema", "function_calling"):
    assert isinstance(chat.with_structured_output(Report, method=method).invoke(QUESTION), Report)

schema = Report.model_json_schema()
report: Any = chat.with_structured_output(schema).invoke(QUESTION)
assert report.keys() == schema["properties"].keys()

bound = chat.bind_tools([Report], tool_choice="any").invoke(QUESTION)
assert [call["name"] for call in bound.tool_calls] == ["Report"]
