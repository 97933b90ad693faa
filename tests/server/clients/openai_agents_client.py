"""openai-agents, which uses the Responses API: https://github.com/openai/openai-agents-python."""

from __future__ import annotations

import asyncio
from typing import Any

import agents
import openai

from tests.server.clients.asked import (
    ADDRESS,
    ANSWER,
    MODEL,
    QUESTION,
    TOO_LONG_MESSAGES,
    UNKNOWN,
    raises,
)

client: Any = openai.AsyncOpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
agents.set_default_openai_client(client, use_for_tracing=False)
agents.set_tracing_disabled(True)
settings = agents.ModelSettings(temperature=0)


def agent(model: str) -> Any:
    return agents.Agent(name="a", instructions="Be brief.", model=model, model_settings=settings)


async def main() -> None:
    result = await agents.Runner.run(agent(MODEL), "12+30")
    assert result.final_output == "42"
    turn = [*result.to_input_list(), {"role": "user", "content": QUESTION}]
    assert (await agents.Runner.run(agent(MODEL), turn)).final_output == ANSWER

    streamed = agents.Runner.run_streamed(agent(MODEL), QUESTION)
    text = ""
    async for event in streamed.stream_events():
        data: Any = getattr(event, "data", None)
        if getattr(data, "type", "") == "response.output_text.delta":
            text += data.delta
    assert text == streamed.final_output == ANSWER

    with raises(openai.BadRequestError, "maximum context length"):
        await agents.Runner.run(agent(MODEL), TOO_LONG_MESSAGES)
    with raises(openai.NotFoundError, "there is no model"):
        await agents.Runner.run(agent(UNKNOWN), QUESTION)


asyncio.run(main())
