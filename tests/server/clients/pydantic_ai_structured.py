"""pydantic-ai: https://github.com/pydantic/pydantic-ai; with an output type, in its modes."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.server.clients.asked import ADDRESS, MODEL, QUESTION


class Report(BaseModel):
    """Reports a result."""

    result: int
    sure: bool


provider = OpenAIProvider(base_url=f"{ADDRESS}/v1", api_key="none")
model = OpenAIChatModel(MODEL, provider=provider)


async def main() -> None:
    outputs: list[Any] = [Report, ToolOutput(Report), NativeOutput(Report)]
    for output in outputs:
        agent: Any = Agent(model, output_type=output, model_settings={"temperature": 0})
        result = await agent.run(QUESTION)
        assert isinstance(result.output, Report)
        async with agent.run_stream(QUESTION) as stream:
            assert isinstance(await stream.get_output(), Report)


asyncio.run(main())
