"""The continuations of many prompts, worked out together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from anexa.engines import Engine, Logits, RowsEngine
from anexa.errors import AnexaError

TOGETHER = 128  # rows; of more, a small model gains nothing and takes more memory


Choice: TypeAlias = Callable[[Logits], list[int]]
"""Chooses a token for each row of (B, V) logits."""


def likeliest(logits_BV: Logits) -> list[int]:
    """Always the likeliest token."""
    tokens: list[int] = logits_BV.argmax(axis=-1).tolist()
    return tokens


def drawn(rng: np.random.Generator) -> Choice:
    """Tokens with the probabilities that the model gives them, at a temperature of 1.

    The largest of logits to which Gumbel noise is added is such a draw (Gumbel, 1954).
    """
    return lambda logits_BV: likeliest(logits_BV + rng.gumbel(size=logits_BV.shape))


def continuations(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    end: int,
    choose: Choice = likeliest,
    max_tokens: int | None = None,
) -> list[list[int]]:
    """For each prompt the tokens that follow.

    Prompts of one length go together: then no row is filled up, and each reads as if it were alone.

    Args:
        engine: numpy or torch.
        prompts: of at least one token each.
        end: the token that ends a text; it is not part of it.
        choose: the tokens.
        max_tokens: the most tokens of a text; in any case it ends where the context does.

    Raises:
        AnexaError: the engine reads one text at a time only.
    """
    if not isinstance(engine, RowsEngine):
        raise AnexaError(
            f"many texts at once need the numpy or the torch engine, not {engine.name}"
        )
    texts: list[list[int]] = [[] for _ in prompts]
    alike: dict[int, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        alike[len(prompt)].append(number)
    for length, numbers in alike.items():
        room = engine.config.block_size - length + 1
        most = room if max_tokens is None else min(room, max_tokens)
        for start in range(0, len(numbers), TOGETHER):
            some = numbers[start : start + TOGETHER]
            _continue(
                engine, [prompts[n] for n in some], [texts[n] for n in some], end, choose, most
            )
    return texts


def _continue(
    engine: RowsEngine,
    prompts: list[Sequence[int]],
    texts: list[list[int]],
    end: int,
    choose: Choice,
    max_tokens: int,
) -> None:
    """Extend texts by what follows prompts of one length."""
    cache = engine.new_cache(len(prompts))
    unread: list[Sequence[int]] = list(prompts)
    for number in range(1, max_tokens + 1):
        chosen = choose(engine.next_logits_of_rows(unread, cache))
        left = [row for row, token in enumerate(chosen) if token != end]
        texts = [texts[row] for row in left]
        for text, row in zip(texts, left):
            text.append(chosen[row])
        if not left or number == max_tokens:
            return
        if len(left) < len(chosen):
            engine.keep_rows(cache, left)
        unread = [[chosen[row]] for row in left]
