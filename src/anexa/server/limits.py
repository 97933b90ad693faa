"""What one request may ask for, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of a server.

    Attributes:
        body: bytes of a request.
        characters: of a prompt or a message.
        tokens: of a prompt that is given as tokens.
        turns: of a conversation.
        texts: that one request may ask for, prompts times `n`.
        stops: strings that end a text, and the characters of each.
        top_logprobs: likeliest tokens that are told of.
        running: texts that are written at the same time.
        waiting: texts that may wait for a place.
        seconds: that a request may take.
    """

    body: int = 1_000_000
    characters: int = 200_000
    tokens: int = 10_000
    turns: int = 200
    texts: int = 16
    stops: tuple[int, int] = (16, 200)
    top_logprobs: int = 20
    running: int = 32
    waiting: int = 128
    seconds: float = 300.0
