"""The likeliest continuations of many prompts, worked out together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from anexa.engines import Engine, RowsEngine
from anexa.errors import AnexaError

TOGETHER = 128  # rows; of more, a small model gains nothing and takes more memory


def greedy(
    engine: Engine, prompts: Sequence[Sequence[int]], end: int, max_tokens: int | None = None
) -> list[list[int]]:
    """For each prompt the tokens that follow, always the likeliest, as if it were alone.

    Prompts of one length go together: then no row is filled up, and no number is another.

    Args:
        engine: numpy or torch.
        prompts: of at least one token each.
        end: the token that ends a text; it is not part of it.
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
            _continue(engine, [prompts[n] for n in some], [texts[n] for n in some], end, most)
    return texts


def _continue(
    engine: RowsEngine,
    prompts: list[Sequence[int]],
    texts: list[list[int]],
    end: int,
    max_tokens: int,
) -> None:
    """Extend texts by what follows prompts of one length."""
    cache = engine.new_cache(len(prompts))
    unread: list[Sequence[int]] = list(prompts)
    for number in range(1, max_tokens + 1):
        drawn = engine.next_logits_of_rows(unread, cache).argmax(axis=-1).tolist()
        left = [row for row, token in enumerate(drawn) if token != end]
        texts = [texts[row] for row in left]
        for text, row in zip(texts, left):
            text.append(drawn[row])
        if not left or number == max_tokens:
            return
        if len(left) < len(drawn):
            engine.keep_rows(cache, left)
        unread = [[drawn[row]] for row in left]
