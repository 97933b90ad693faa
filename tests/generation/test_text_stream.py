from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anexa.engines import Engine
from anexa.errors import AnexaError, UsageError
from anexa.generation import Prompt, Sampler, SamplingParams, TextStream, stream_text
from anexa.model.tokenizer import Tokenizer
from tests.generation.models import BLOCK_SIZE, engine_of, letters, pieces

LETTERS = letters()
PIECES = pieces()
ENGINES = {
    tokenizer: engine_of("numpy", "microgpt", tokenizer.vocab_size)
    for tokenizer in (LETTERS, PIECES)
}
tokenizers = st.sampled_from([LETTERS, PIECES])
words = st.text("abc", min_size=1, max_size=4)


def complete(
    tokenizer: Tokenizer = LETTERS,
    prompt: str = "a",
    *,
    seed: int = 1,
    max_tokens: int = 40,
    stop: Any = (),
    temperature: float = 1.5,
) -> TextStream:
    engine: Engine = ENGINES[tokenizer]
    sampler = Sampler(SamplingParams(temperature, seed=seed))
    return stream_text(engine, tokenizer, prompt, sampler, max_tokens=max_tokens, stop=stop)


def cut(pieces: Sequence[str], stop: Sequence[str]) -> tuple[str, bool]:
    """The text up to the first stop string, and whether there was one."""
    text = ""
    for piece in pieces:
        text += piece
        found = [text.index(word) for word in stop if word in text]
        if found:
            return text[: min(found)], True
    return text, False


# Text as it streams


@given(tokenizers, st.integers(0, 999), st.integers(1, 40))
def test_pieces_add_up_to_the_text(tokenizer: Tokenizer, seed: int, max_tokens: int) -> None:
    stream = complete(tokenizer, seed=seed, max_tokens=max_tokens)
    assert stream.text == ""
    assert stream.finish_reason is None
    streamed = ""
    for piece in stream:
        assert piece
        streamed += piece
        assert stream.text == streamed
    assert stream.prompt.text == "a"
    assert stream.num_tokens <= max_tokens
    if stream.finish_reason == "length":
        assert stream.num_tokens == max_tokens
    else:
        assert stream.finish_reason == "stop"
        assert stream.num_tokens < max_tokens  # the boundary was drawn, and is not counted
    if tokenizer is LETTERS:
        assert len(streamed) == stream.num_tokens


def test_texts_end_by_stop_and_by_length() -> None:
    reasons = []
    for seed in range(40):
        stream = complete(seed=seed, max_tokens=8)
        list(stream)
        reasons.append(stream.finish_reason)
    assert set(reasons) == {"stop", "length"}


def test_the_eos_token_is_no_part_of_the_text() -> None:
    texts = ["".join(complete(tokenizer, seed=seed)) for tokenizer in ENGINES for seed in range(30)]
    assert set("".join(texts)) <= set("abcde")
    assert "" in texts  # it came at once


def test_a_prompt_may_be_empty_or_fill_the_context() -> None:
    assert "".join(complete(prompt=""))
    assert "".join(complete(prompt="a" * BLOCK_SIZE))


def test_a_shared_sampler_goes_on_in_its_random_sequence() -> None:
    engine, sampler = ENGINES[LETTERS], Sampler(SamplingParams(1.5, seed=1))
    texts = ["".join(stream_text(engine, LETTERS, "a", sampler)) for _ in range(3)]
    assert texts[0] == "".join(complete(seed=1, max_tokens=200))
    assert len(set(texts)) == 3


# Stop strings


@given(tokenizers, st.integers(0, 999), st.lists(words, min_size=1, max_size=4))
def test_stop_strings_cut_the_text(tokenizer: Tokenizer, seed: int, stop: list[str]) -> None:
    whole = complete(tokenizer, seed=seed)
    expected, stopped = cut(list(whole), stop)
    stream = complete(tokenizer, seed=seed, stop=stop)
    assert "".join(stream) == stream.text == expected
    assert not any(word in stream.text for word in stop)
    assert stream.finish_reason == ("stop" if stopped else whole.finish_reason)
    assert stream.num_tokens <= whole.num_tokens
    if not stopped:
        assert stream.num_tokens == whole.num_tokens


@given(st.integers(0, 999), words)
def test_a_stop_string_cuts_where_it_first_occurs(seed: int, word: str) -> None:
    whole = "".join(complete(PIECES, seed=seed))
    assume(word in whole)
    assert "".join(complete(PIECES, seed=seed, stop=[word])) == whole[: whole.index(word)]


@given(tokenizers, st.integers(0, 999), st.lists(words, max_size=3))
def test_streamed_text_is_final_and_held_back_no_longer_than_needed(
    tokenizer: Tokenizer, seed: int, stop: list[str]
) -> None:
    whole = list(complete(tokenizer, seed=seed))
    stream = complete(tokenizer, seed=seed, stop=stop)
    longest = max(map(len, stop), default=1) - 1
    for _ in stream:
        written = len("".join(whole[: stream.num_tokens]))
        if stream.finish_reason is None:
            assert written - len(stream.text) <= longest


def test_a_stop_string_at_the_very_last_token_is_a_stop() -> None:
    whole = "".join(complete(seed=3, temperature=1.0))
    assert len(whole) > 6
    word = whole[3:6]
    assert whole.index(word) == 3
    stream = complete(seed=3, temperature=1.0, stop=[word], max_tokens=6)
    assert "".join(stream) == whole[:3]
    assert stream.finish_reason == "stop"
    assert stream.num_tokens == 6
    # One token less, and what was held back comes after all.
    stream = complete(seed=3, temperature=1.0, stop=[word], max_tokens=5)
    assert "".join(stream) == whole[:5]
    assert stream.finish_reason == "length"


# What is refused


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not 0"):
        complete(max_tokens=0)
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not -3"):
        complete(max_tokens=-3)
    with pytest.raises(UsageError, match="stop must not be empty"):
        complete(stop=["a", ""])
    for wrong in (7, ["a", None], None):
        with pytest.raises(UsageError, match="stop must be a string or a list, not "):
            complete(stop=wrong)


def test_one_stop_string_is_not_a_list_of_characters() -> None:
    one, several, characters = ("".join(complete(stop=s)) for s in ("ab", ["ab"], ["a", "b"]))
    assert one == several != characters


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(AnexaError, match=r"length is 8 tokens. However, the prompt has 9 tokens"):
        complete(prompt="a" * (BLOCK_SIZE + 1))


def test_unknown_characters_are_refused_by_name() -> None:
    with pytest.raises(AnexaError, match=r"never seen 'z', 'é', '\\n': leave them out"):
        complete(prompt="azbé\nz")
    with pytest.raises(AnexaError, match=r"'1', '2', '3', '4', '5', …: leave"):
        complete(prompt="1234567")


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tokenizer, "encode_prompt", None)  # nobody is to call it
    with pytest.raises(
        AnexaError,
        match=r"length is 16 tokens. However, the prompt has 1,000,000 characters",
    ):
        Prompt(LETTERS, 16, "a" * 1_000_000)
