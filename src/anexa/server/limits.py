"""What one request may ask for, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass

# Of one request.
MOST_BYTES = 1_000_000  # of its body
MOST_CHARACTERS = 200_000  # of a prompt or a message
MOST_IDS = 10_000  # of a prompt that is given as tokens
MOST_TURNS = 200  # of a conversation
MOST_TEXTS = 16  # prompts times `n`
MOST_STOPS, LONGEST_STOP = 16, 200  # strings that end a text, and their characters
MOST_LOGPROBS = 20  # likeliest tokens that are told of


@dataclass(frozen=True)
class Limits:
    """Of a server.

    Attributes:
        running: texts that are written at the same time.
        waiting: texts that may wait for a place.
        seconds: that a text may take.
    """

    running: int = 32
    waiting: int = 128
    seconds: float = 300.0
