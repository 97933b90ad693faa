"""Truncation of a conversation that has outgrown the context."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from anexa.model.chat_format import Message


class TruncatedConversation(NamedTuple):
    """A conversation without its oldest turns.

    Attributes:
        messages: the messages that are kept.
        num_dropped: number of turns that were dropped.
    """

    messages: list[Message]
    num_dropped: int


def drop_oldest_turns(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool]
) -> TruncatedConversation:
    """Drop as few of the oldest turns as possible, so that a conversation fits.

    A turn is a message of the user with all that follows up to the next one. What precedes the
    first turn, such as the system message, and the last turn are always kept, so the result may
    not fit if these two do not.

    Args:
        messages: messages so far.
        fits: predicate that says whether the prompt of some messages fits into the context; it
            must stay true when the oldest turn of these messages is dropped.
    """
    starts = [number for number, one in enumerate(messages) if one.get("role") == "user"]
    if not starts:
        return TruncatedConversation([*messages], 0)

    def without(num_dropped: int) -> list[Message]:
        return [*messages[: starts[0]], *messages[starts[num_dropped] :]]

    # The last turn is kept without asking whether it fits.
    candidates = range(len(starts) - 1)
    num_dropped = bisect_left(candidates, True, key=lambda number: fits(without(number)))
    return TruncatedConversation(without(num_dropped), num_dropped)
