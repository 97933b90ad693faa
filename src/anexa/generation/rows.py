"""The continuations of many prompts, worked out together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from anexa.engines import Engine, Logits, RowsEngine
from anexa.errors import AnexaError

TOGETHER = 64  # texts; of more, a small model gains nothing and takes more memory


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

    Where one text has ended, the next one takes its place.

    Args:
        engine: numpy or torch.
        prompts: of at least one token each.
        end: the token that ends a text; it is not part of it.
        choose: the tokens.
        max_tokens: the most tokens of a text; in any case it ends where the context does.

    Raises:
        AnexaError: the engine reads one text at a time only.
    """
    rows_engine = check_engine(engine)
    texts: list[list[int]] = [[] for _ in prompts]
    rows = rows_engine.new_rows(min(TOGETHER, len(prompts)))
    waiting, inside = deque(range(len(prompts))), list[int]()

    def goes_on(number: int, token: int) -> bool:
        """Take in the token of a text."""
        if token == end:
            return False
        texts[number].append(token)
        room = engine.config.block_size - len(prompts[number]) + 1
        return len(texts[number]) < (room if max_tokens is None else min(room, max_tokens))

    while waiting or inside:
        while waiting and len(inside) < TOGETHER:
            number, cache = waiting.popleft(), engine.new_cache()
            if len(prompts[number]) > engine.config.block_size:
                continue  # there is no room for any
            logits_V = engine.next_logits(prompts[number], cache)
            if goes_on(number, choose(np.asarray(logits_V)[None])[0]):
                rows_engine.add_row(rows, cache)
                inside.append(number)
        if inside:
            chosen = choose(rows_engine.next_logits_of_rows([texts[n][-1] for n in inside], rows))
            for row in reversed(range(len(inside))):
                if not goes_on(inside[row], chosen[row]):
                    rows_engine.drop_row(rows, row)
                    inside[row] = inside[-1]
                    inside.pop()
    return texts


def check_engine(engine: Engine) -> RowsEngine:
    """The engine, if it reads many texts together.

    Raises:
        AnexaError: it reads one text at a time only.
    """
    if isinstance(engine, RowsEngine):
        return engine
    raise AnexaError(f"many texts at once need the numpy or the torch engine, not {engine.name}")
