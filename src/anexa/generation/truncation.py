"""Truncation of a conversation that is longer than the context of the model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from anexa.model.chat_format import Message


class TruncatedConversation(NamedTuple):
    """Result of `drop_oldest_turns`.

    Attributes:
        messages: the messages that are kept, in order.
        num_dropped: number of turns that were dropped.
    """

    messages: list[Message]
    num_dropped: int


def drop_oldest_turns(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool]
) -> TruncatedConversation:
    """Drop the fewest oldest turns of a conversation so that its prompt fits into the context.

    A turn is a user message and all messages up to the next user message. The messages before the
    first turn, such as the system message, and the last turn are always kept, even if their prompt
    does not fit.

    Args:
        messages: messages of the conversation, the oldest first.
        fits: function that returns whether the prompt rendered from a list of messages fits into
            the context. It must be monotonic, for a binary search: if messages fit, they also fit
            without their oldest turn.

    Returns:
        The messages that are kept, and the number of turns that were dropped.
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
