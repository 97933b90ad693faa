"""Random gaps between the positions of the tokens of an example (Ruoss et al., 2023).

A longer problem than in training has facts that are further apart than any that the model has seen,
and longer numbers. So in training the positions often jump at the end of a fact, as if the next one
were further away, and after a digit, as if the number had more of them. In use there are no gaps.

The last value and the answer, which is copied from it, have no gaps after digits: with these, a
model copied long answers less exactly.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from anexa.model.chat_format import ASSISTANT
from anexa.model.place_marks import PLACE_LETTERS
from anexa.model.tokenizer import Tokenizer

MAX_SEPARATOR_GAP = 3  # largest number of positions that are left out after a separator
MAX_DIGIT_GAP_RATE = 0.3  # highest fraction of the digits after which one position is left out
DIGIT_GAP_FRACTION = 0.6  # fraction of the sequences that have gaps after digits
MIN_DIGIT_GAP_RATE = 0.01  # gaps after digits alone are not drawn at a lower rate

SEPARATORS = ",;:\n"  # characters that end a part of a thought


class PositionGaps:
    """Random positions of the tokens of a conversation, with gaps.

    There are gaps after separators, and after the digits of numbers with place letters (`B8` in
    `A7B8C9`) before the last value of the thought.

    Args:
        tokenizer: character tokenizer with the special tokens of the chat template.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        def token_ids(characters: str) -> frozenset[int]:
            return frozenset(tokenizer.encode(characters))

        self._separators = token_ids(SEPARATORS)
        self._digits = token_ids("0123456789")
        self._letters = token_ids(PLACE_LETTERS + PLACE_LETTERS.lower())
        self._starts_of_value = token_ids(":") | token_ids(ASSISTANT)

    def draw(self, ids: Sequence[int], num_positions: int, rng: random.Random) -> list[int] | None:
        """Draw the position of each token of a sequence.

        The largest gap after a separator, from 0 to `MAX_SEPARATOR_GAP`, and the rate of gaps after
        digits, from 0 to `MAX_DIGIT_GAP_RATE`, are drawn for the whole sequence.

        Args:
            ids: token ids of the conversation.
            num_positions: number of positions of the context; those of all tokens but the last,
                which is only predicted, are less.
            rng: random generator.

        Returns:
            The positions; None, for 0, 1, 2, …, if no gaps are drawn. Gaps that do not fit into
            the context are drawn again, half as large and half as many.
        """
        largest_gap = rng.randint(0, MAX_SEPARATOR_GAP)
        digit_rate = rng.uniform(0, MAX_DIGIT_GAP_RATE) if rng.random() < DIGIT_GAP_FRACTION else 0
        while largest_gap or digit_rate >= MIN_DIGIT_GAP_RATE:
            positions = [0, *self._following_positions(ids, largest_gap, digit_rate, rng)]
            if positions[-2] < num_positions:
                return positions
            largest_gap, digit_rate = largest_gap // 2, digit_rate / 2
        return None

    def _following_positions(
        self, ids: Sequence[int], largest_gap: int, digit_rate: float, rng: random.Random
    ) -> Iterator[int]:
        last_value = max(
            (index for index, token in enumerate(ids) if token in self._starts_of_value), default=0
        )
        position = 0
        for index, (token, following) in enumerate(pairwise(ids)):
            position += 1
            if token in self._separators:
                position += rng.randint(0, largest_gap)
            elif index < last_value and token in self._digits and following in self._letters:
                position += rng.random() < digit_rate
            yield position
