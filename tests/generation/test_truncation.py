"""A conversation that outgrows the context loses its oldest turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anexa
from anexa.errors import AnexaError, UsageError
from anexa.generation.text_stream import PromptTooLongError
from anexa.generation.truncation import drop_oldest_turns
from anexa.model.chat_format import Message

ROLES = ("system", "user", "assistant", "tool")
conversations = st.lists(st.tuples(st.sampled_from(ROLES), st.integers(0, 9)), max_size=12).map(
    lambda pairs: [{"role": role, "content": "x" * size} for role, size in pairs]
)


def size(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def users(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "user" for message in messages)


@given(conversations, st.integers(0, 60))
def test_as_few_of_the_oldest_turns_as_possible_are_dropped(
    messages: list[Message], room: int
) -> None:
    kept, num_dropped = drop_oldest_turns(messages, lambda some: size(some) <= room)
    first = next((n for n, one in enumerate(messages) if one["role"] == "user"), len(messages))
    head = messages[:first]
    assert kept[:first] == head, "what precedes the first turn is kept"
    turns = kept[first:]
    assert turns == messages[len(messages) - len(turns) :], "the turns are a suffix"
    assert not turns or turns[0]["role"] == "user", "a turn is dropped as a whole"
    assert users(messages) - users(kept) == num_dropped
    assert size(kept) <= room or users(kept) <= 1, "all but the last turn give way"
    if num_dropped:
        starts = [n for n, one in enumerate(messages) if one["role"] == "user"]
        assert size([*head, *messages[starts[num_dropped - 1] :]]) > room, "none too many"


@pytest.mark.parametrize("max_tokens", [None, 1, 60, 10**6])
def test_prompt_leaves_room_for_the_answer(parrot: Path, max_tokens: int | None) -> None:
    model = anexa.load(parrot, engine="numpy")
    block_size = model.engine.config.block_size
    pair = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "word " * 5}]
    room = block_size - min(max_tokens or model.max_new_tokens, model.max_new_tokens)
    for num_turns in range(0, 40, 7):
        messages = [{"role": "system", "content": "Be brief."}, *pair * num_turns, pair[0]]
        kept, num_dropped = model.truncate(messages, max_tokens)
        assert kept == [messages[0], *messages[1 + 2 * num_dropped :]]
        assert model.num_prompt_tokens(kept) <= room
        if num_dropped:
            one_more = [messages[0], *messages[1 + 2 * (num_dropped - 1) :]]
            assert model.num_prompt_tokens(one_more) > room


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_room_for_no_answer_is_refused(parrot: Path, max_tokens: int) -> None:
    model = anexa.load(parrot, engine="numpy")
    with pytest.raises(UsageError, match=f"max_tokens must be at least 1, not {max_tokens}"):
        model.truncate([{"role": "user", "content": "hello"}], max_tokens)


def test_last_turn_is_kept_even_if_it_is_too_long(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    hello = {"role": "user", "content": "hello"}
    long = {"role": "user", "content": "9" * 1000}  # a longer question is refused
    assert model.truncate([hello, long]) == ([long], 1)
    assert model.truncate([long, hello]) == ([hello], 1)
    begun = {"role": "assistant", "content": "I wo"}
    assert model.truncate([long, hello, begun]) == ([hello, begun], 1)
    assert model.truncate([]) == ([], 0)


def test_many_long_questions_are_dropped_or_refused() -> None:
    """They are more than the template could mark the places of."""
    model = anexa.load(engine="numpy")
    hello = {"role": "user", "content": "hello"}
    messages = [{"role": "user", "content": "9" * 1000}] * 33 + [hello]
    assert model.truncate(messages) == ([hello], 33)
    with pytest.raises(PromptTooLongError, match="the prompt has 33,005 characters of questions"):
        model.render_prompt(messages)


def test_unreadable_conversation_is_not_truncated(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    with pytest.raises(AnexaError, match="message 1 needs a role and a content"):
        model.truncate([{"role": "user", "content": 7}, {"role": "user", "content": "hello"}])
