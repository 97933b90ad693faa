"""pydantic-ai: https://github.com/pydantic/pydantic-ai."""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.server.clients.asked import ADDRESS, ANSWER, LONGEST, MODEL, QUESTION, UNKNOWN, raises

provider = OpenAIProvider(base_url=f"{ADDRESS}/v1", api_key="none")
agent = Agent(OpenAIChatModel(MODEL, provider=provider), model_settings={"temperature": 0})
unknown = Agent(OpenAIChatModel(UNKNOWN, provider=provider))


async def main() -> None:
    result = await agent.run(QUESTION)
    assert result.output == ANSWER
    assert result.usage.output_tokens > len(ANSWER)

    async with agent.run_stream(QUESTION) as stream:
        assert "".join([text async for text in stream.stream_text(delta=True)]) == ANSWER

    with raises(ModelHTTPError, "maximum context length"):
        await agent.run(LONGEST, message_history=[ModelRequest([UserPromptPart(LONGEST)])])
    with raises(ModelHTTPError, "status_code: 404"):
        await unknown.run(QUESTION)


asyncio.run(main())
