"""Log probabilities of tokens that are parts of characters: offsets, bytes, stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from anexa.generation import Prompt, Sampler, SamplingParams, TextStream
from anexa.generation.scheduler import Sequence as ScheduledSequence
from anexa.generation.scheduler import StepOutput
from anexa.model.tokenizer import Tokenizer
from anexa.server.chat_completions import ChatCompletionRequest, ChatCompletionResponder
from anexa.server.completions import CompletionRequest, CompletionResponder
from anexa.server.request import Request, RequestOutput
from tests.model.helpers import byte_tokenizer

FRENCH = "à l'été, où l'œuvre 😀 s'achève"
BYTES = byte_tokenizer()


def llama_tokenizer() -> Tokenizer:
    """Tokenizer like Llama 2's, whose words begin with ▁ and whose bytes are tokens."""
    pytest.importorskip("transformers")
    from tests.model.foreign import llama_backend

    return Tokenizer(llama_backend(), 1, [2])


def outputs(
    tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str] = ()
) -> tuple[Request, list[RequestOutput]]:
    """Process token ids as if they were generated; returns the outputs with text, in order."""
    text = TextStream(tokenizer, Prompt(tokenizer, 64, "a"), max_tokens=len(ids), stop=stop)
    sampler = Sampler(SamplingParams())
    request = Request(text, sampler, is_chat=False, num_logprobs=2)
    sequence = ScheduledSequence([0], sampler)
    chunks, part = [], RequestOutput()
    for token in ids:
        request.process(StepOutput(sequence, token, [0.0] * tokenizer.vocab_size), part)
        if part.text or part.finish_reason:
            chunks.append(part)
            part = RequestOutput()
        if request.text.finish_reason:
            break
    return request, chunks


def check_offsets(tokenizer: Tokenizer, text: str, echo: bool = False) -> dict[str, Any]:
    """Compare the offsets of the tokens of a text with the lengths of the texts before them."""
    ids = tokenizer.encode(text)
    request, chunks = outputs(tokenizer, ids)
    body = CompletionRequest.model_validate({"prompt": "a", "echo": echo, "logprobs": 2})
    whole = RequestOutput()
    for chunk in chunks:
        whole.merge(chunk)
    response = CompletionResponder(body, [request], "m", tokenizer).response([whole])
    [choice] = response.model_dump()["choices"]
    written, logprobs = choice["text"], choice["logprobs"]
    assert written.replace("a" * echo, "", 1).strip() == text
    before, expected = b"a" * echo, [0] * echo
    for token in ids:
        expected.append(len(before.decode(errors="ignore")))  # without an incomplete character
        before += tokenizer.token_bytes(token)
    assert before.decode() == written
    assert logprobs["text_offset"] == expected
    responder = CompletionResponder(body, [request], "m", tokenizer)
    streamed = [part.model_dump() for chunk in chunks for part in responder.chunks(0, chunk)]
    parts = [part["choices"][0]["logprobs"] for part in streamed]
    for name, values in logprobs.items():
        assert [value for part in parts if part for value in part[name]] == values
    return dict(logprobs)


@pytest.mark.parametrize("echo", [False, True])
def test_offsets_are_of_characters(echo: bool) -> None:
    logprobs = check_offsets(BYTES, FRENCH, echo)
    assert logprobs["text_offset"][echo : echo + 3] == [
        echo,
        echo,
        echo + 1,
    ]  # the two bytes of à, a space
    assert logprobs["text_offset"][-1] == echo + len(FRENCH) - 1
    assert logprobs["tokens"][echo] == "bytes:\\xc3"


def test_offsets_with_tokens_of_bytes_and_of_words() -> None:
    llama = llama_tokenizer()
    check_offsets(llama, "The line caf\u00e9 \U0001f600 b")
    assert llama.token_bytes(3 + 0xE9) == b"\xe9"
    assert b"".join(map(llama.token_bytes, llama.encode("caf"))) == b" caf"


def test_offset_after_an_incomplete_character() -> None:
    """A byte that begins no character becomes U+FFFD as soon as the next token is known."""
    first, *_ = BYTES.encode("é")
    [letter] = BYTES.encode("l")
    request, chunks = outputs(BYTES, [first, letter, first, first])
    assert request.text.text == "\ufffdl\ufffd\ufffd"
    offsets = [one.offset for chunk in chunks for one in chunk.logprobs]
    assert offsets == [0, 1, 2, 3]


@pytest.mark.parametrize("stop", ["ét", "é", "t", "tx"])
def test_tokens_of_a_stop_string_are_not_reported(stop: str) -> None:
    request, chunks = outputs(BYTES, BYTES.encode("l'été"), stop=[stop])
    text = request.text.text
    assert text == "l'été".partition(stop)[0]
    reported = [one.token for chunk in chunks for one in chunk.logprobs]
    assert b"".join(map(BYTES.token_bytes, reported)).decode(errors="ignore") == text
    assert all(one.offset < len(text) for chunk in chunks for one in chunk.logprobs)


def test_bytes_of_chat_tokens_spell_the_text() -> None:
    request, chunks = outputs(BYTES, BYTES.encode(FRENCH))
    messages = [{"role": "user", "content": "a"}]
    body = ChatCompletionRequest.model_validate({"messages": messages, "logprobs": True})
    responder = ChatCompletionResponder(body, [request], "m", BYTES)
    logprobs = [one for chunk in chunks for one in chunk.logprobs]
    content = responder.logprobs(0, logprobs).content
    assert b"".join(bytes(one.bytes) for one in content).decode() == FRENCH
    special = BYTES.eot_token_id
    assert responder.token_text(special) == "<|endoftext|>"
    assert BYTES.token_bytes(special) == b""
