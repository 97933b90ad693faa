"""The API as used by OpenAI's Python client."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.server.conformance import check_conformance
from tests.server.process import LONGEST, MESSAGES, THOUGHT, ServerProcess, serving, wait_until

pytestmark = pytest.mark.alone

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 99}

openai = pytest.importorskip("openai", reason="OpenAI's client is not installed")


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    """OpenAI's client; each response is checked against the server's schema."""
    return openai.OpenAI(
        base_url=f"{server.address}/v1",
        api_key="none",
        max_retries=0,
        http_client=httpx.Client(event_hooks={"response": [check_conformance]}),
    )


def test_models_are_listed(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["anexa"]
    assert client.models.retrieve("anexa").owned_by == "anexa"


def test_chat_answer_and_its_reasoning(client: Any) -> None:
    answer = client.chat.completions.create(model="anexa", messages=MESSAGES, temperature=0)
    assert answer.object == "chat.completion"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "29842")
    assert choice.message.reasoning_content == choice.message.reasoning == THOUGHT
    assert choice.finish_reason == "stop"
    assert answer.usage.prompt_tokens == len("<C3B4A7*B8A6<")
    assert answer.usage.completion_tokens == len(f"<{THOUGHT}>29842")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_stream_equals_whole_answer(client: Any) -> None:
    chunks = list(
        client.chat.completions.create(
            model="anexa",
            messages=MESSAGES,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    first, *middle, last, used = chunks
    assert first.choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta for chunk in middle]
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == THOUGHT
    assert "".join(delta.content or "" for delta in deltas) == "29842"
    thinking = [hasattr(delta, "reasoning_content") for delta in deltas]
    assert thinking == sorted(thinking, reverse=True), "the reasoning comes first"
    assert last.choices[0].finish_reason == "stop"
    assert used.choices == []
    assert used.usage.completion_tokens == len(f"<{THOUGHT}>29842")
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize(
    "off",
    [
        {"reasoning_effort": "none"},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    ],
)
def test_thinking_can_be_disabled(client: Any, off: dict[str, Any]) -> None:
    answer = client.chat.completions.create(model="anexa", messages=MESSAGES, temperature=0, **off)
    message = answer.choices[0].message
    assert message.reasoning_content is None
    assert message.content.isdigit()
    assert answer.usage.completion_tokens < 10


def test_completions_of_several_prompts(client: Any) -> None:
    asked = {"model": "anexa", "temperature": 1.5, "max_tokens": 12}
    texts = client.completions.create(prompt=["12+", "34*"], n=2, seed=3, **asked)
    assert texts.object == "text_completion"
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    repeated = client.completions.create(prompt=["12+", "34*"], n=2, seed=3, **asked)
    assert [c.text for c in repeated.choices] == [c.text for c in texts.choices]
    other = client.completions.create(prompt=["12+", "34*"], n=2, seed=4, **asked)
    assert [c.text for c in other.choices] != [c.text for c in texts.choices]
    # Without a seed, texts are random.
    several = {client.completions.create(prompt="1", **asked).choices[0].text for _ in range(6)}
    assert len(several) > 1
    echoed = client.completions.create(prompt="12+", echo=True, seed=3, **asked)
    assert echoed.choices[0].text == "12+" + texts.choices[0].text
    as_tokens = client.completions.create(prompt=[16, 17], max_tokens=1, model="anexa")
    assert as_tokens.usage.prompt_tokens == 2


def test_stop_strings_and_max_tokens(client: Any) -> None:
    asked = {"model": "anexa", "messages": MESSAGES, "temperature": 0}
    cut = client.chat.completions.create(max_completion_tokens=5, **asked)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 5)
    assert cut.choices[0].message.reasoning == "A7B4"
    stopped = client.chat.completions.create(stop=["42", "never"], **asked)
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.reasoning == THOUGHT, "thoughts are not searched"
    assert stopped.choices[0].message.content == "298"
    streamed = client.chat.completions.create(stop="42", stream=True, **asked)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == "298"
    text = client.completions.create(
        model="anexa", prompt="<|user|>C3B4A7*B8A6<|assistant|>", stop="=42", **GREEDY
    )
    assert text.choices[0].text == "<think>A7B4C3*a6b8:A7*a6+0", (
        "a completion is text, tags included"
    )


def test_log_probabilities(client: Any) -> None:
    asked = {"model": "anexa", "messages": MESSAGES, "temperature": 0}
    answer = client.chat.completions.create(logprobs=True, top_logprobs=3, **asked)
    logprobs = answer.choices[0].logprobs.content
    assert "".join(one.token for one in logprobs) == f"<think>{THOUGHT}</think>29842"
    for one in logprobs:
        assert len(one.top_logprobs) == 3
        assert one.top_logprobs[0].token == one.token
        assert one.top_logprobs[0].logprob == one.logprob <= 0
        assert bytes(one.bytes).decode() == one.token
        assert sum(math.exp(top.logprob) for top in one.top_logprobs) <= 1 + 1e-9
    streamed = client.chat.completions.create(logprobs=True, stream=True, **asked)
    deltas = [chunk.choices[0].logprobs for chunk in streamed]
    tokens = [one.token for delta in deltas if delta for one in delta.content]
    assert tokens == [one.token for one in logprobs]
    text = client.completions.create(model="anexa", prompt="12", logprobs=2, max_tokens=4)
    (choice,) = text.choices
    assert "".join(choice.logprobs.tokens) == choice.text
    assert [len(top) for top in choice.logprobs.top_logprobs] == [2] * len(choice.logprobs.tokens)
    assert choice.logprobs.text_offset[0] == 0


def test_echoed_stream_equals_echoed_completion(client: Any) -> None:
    asked = {"model": "anexa", "prompt": "12+", "seed": 3, "max_tokens": 6, "temperature": 1}
    whole = client.completions.create(echo=True, logprobs=1, **asked).choices[0]
    chunks = list(client.completions.create(echo=True, logprobs=1, stream=True, **asked))
    choices = [chunk.choices[0] for chunk in chunks]
    assert choices[0].text == "12+"
    assert "".join(choice.text for choice in choices) == whole.text
    assert whole.logprobs.text_offset == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    logprobs = [choice.logprobs for choice in choices if choice.logprobs]
    assert [
        offset for some in logprobs for offset in some.text_offset
    ] == whole.logprobs.text_offset
    assert [token for some in logprobs for token in some.tokens] == whole.logprobs.tokens


def test_client_raises_its_own_exceptions(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5'"):
        client.models.retrieve("gpt-5")
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="anexa", messages=MESSAGES, temperature=9)
    assert error.value.param == "temperature"
    assert "temperature must be at most 2, not 9" in error.value.message
    with pytest.raises(
        openai.BadRequestError, match=r"context length is 2560 tokens. However, the prompt has"
    ):
        client.chat.completions.create(model="anexa", messages=[LONGEST, LONGEST])
    with pytest.raises(openai.BadRequestError, match="never seen 'é'"):
        client.completions.create(model="anexa", prompt="é")


def test_24_concurrent_requests(server: ServerProcess) -> None:
    async def ask(client: Any, question: str) -> tuple[str, str]:
        answer = await client.chat.completions.create(
            model="anexa", messages=[{"role": "user", "content": question}], temperature=0
        )
        return question, answer.choices[0].message.content

    async def all_of_them(questions: list[str]) -> dict[str, str]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.address}/v1", api_key="none", max_retries=0
        ) as client:
            return dict(await asyncio.gather(*(ask(client, one) for one in questions)))

    questions = [f"{n}+{7 * n}" for n in range(100, 124)]
    assert asyncio.run(all_of_them(questions)) == {
        question: str(8 * n) for n, question in enumerate(questions, 100)
    }


def test_metrics_count_requests_and_tokens(server: ServerProcess, client: Any) -> None:
    def figures() -> dict[str, float]:
        lines = [one for one in server.get("/metrics").text.splitlines() if one[0] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    model = 'model_name="anexa"'
    before = figures()
    answer = client.chat.completions.create(model="anexa", messages=MESSAGES, temperature=0)
    after = figures()
    gained = {name: value - before.get(name, 0) for name, value in after.items()}
    tokens = answer.usage.completion_tokens
    assert gained[f"vllm:prompt_tokens_total{{{model}}}"] == answer.usage.prompt_tokens
    assert gained[f"vllm:generation_tokens_total{{{model}}}"] == tokens
    assert gained[f'vllm:request_success_total{{finished_reason="stop",{model}}}'] == 1
    for name, count in (
        ("time_to_first_token_seconds", 1),
        ("inter_token_latency_seconds", tokens),  # including the token that ends the text
        ("e2e_request_latency_seconds", 1),
    ):
        assert gained[f"vllm:{name}_count{{{model}}}"] == count
        assert gained[f"vllm:{name}_sum{{{model}}}"] > 0


@pytest.mark.slow
def test_disconnected_client_frees_its_sequence(tmp_path: Path) -> None:
    """With an engine that would need a minute to finish the request."""
    with serving("--engine", "lists", cwd=tmp_path) as server:
        client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
        question = [{"role": "user", "content": "9876*5432"}]
        with client.chat.completions.create(
            model="anexa", messages=question, temperature=0, stream=True
        ) as stream:
            next(iter(stream))
            assert server.metric("num_requests_running") == 1
        wait_until(lambda: server.num_finished("abort") == 1)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(
                model="anexa", messages=question, temperature=0, timeout=1
            )
        wait_until(lambda: server.num_finished("abort") == 2)
        wait_until(lambda: server.metric("num_requests_running") == 0)
