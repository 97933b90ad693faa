"""instructor: https://github.com/567-labs/instructor; with a schema, in its modes."""

from __future__ import annotations

from typing import Any

import instructor
import openai
from pydantic import BaseModel

from tests.server.clients.asked import ADDRESS, MESSAGES, MODEL


class Report(BaseModel):
    """Reports a result."""

    result: int
    sure: bool


plain = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    create: Any = instructor.from_openai(plain, mode=mode).chat.completions.create
    report = create(
        model=MODEL, messages=MESSAGES, response_model=Report, temperature=0, max_retries=0
    )
    assert isinstance(report, Report)
