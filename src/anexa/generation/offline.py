"""The generate_batch of many prompts, worked out together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from anexa.engines import BatchEngine, Engine, Logits
from anexa.errors import AnexaError

TOGETHER = 64  # texts; of more, a small model gains nothing and takes more memory


TokenSelector: TypeAlias = Callable[[Logits], list[int]]
"""Chooses a token for each row of (B, V) logits."""


def greedy(logits_BV: Logits) -> list[int]:
    """Always the likeliest token."""
    tokens: list[int] = logits_BV.argmax(axis=-1).tolist()
    return tokens


def sample_gumbel(rng: np.random.Generator) -> TokenSelector:
    """Tokens with the probabilities that the model gives them, at a temperature of 1.

    The largest of logits to which Gumbel noise is added is such a draw (Gumbel, 1954).
    """
    return lambda logits_BV: greedy(logits_BV + rng.gumbel(size=logits_BV.shape))


def generate_batch(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    end: int,
    choose: TokenSelector = greedy,
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
    batch_engine = as_batch_engine(engine)
    texts: list[list[int]] = [[] for _ in prompts]
    rows = batch_engine.new_batch_cache(min(TOGETHER, len(prompts)))
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
            number, cache = waiting.popleft(), engine.new_kv_cache()
            if len(prompts[number]) > engine.config.block_size:
                continue  # there is no room for any
            logits_V = engine.next_logits(prompts[number], cache)
            if goes_on(number, choose(np.asarray(logits_V)[None])[0]):
                batch_engine.add_sequence(rows, cache)
                inside.append(number)
        if inside:
            chosen = choose(batch_engine.batch_next_logits([texts[n][-1] for n in inside], rows))
            for row in reversed(range(len(inside))):
                if not goes_on(inside[row], chosen[row]):
                    batch_engine.remove_sequence(rows, row)
                    inside[row] = inside[-1]
                    inside.pop()
    return texts


def as_batch_engine(engine: Engine) -> BatchEngine:
    """The engine, if it reads many texts together.

    Raises:
        AnexaError: it reads one text at a time only.
    """
    if isinstance(engine, BatchEngine):
        return engine
    raise AnexaError(f"many texts at once need the numpy or the torch engine, not {engine.name}")
