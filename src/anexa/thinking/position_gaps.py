"""Random gaps between the positions of the tokens of an example (Ruoss et al., 2023).

A longer problem than in training has facts that are further apart than any that the model has seen.
So in training the positions often jump at the end of a fact, as if the next one were further away.
In use there are no gaps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

MAX_GAP = 3  # largest number of positions that are left out after a separator
SEPARATORS = ",;:\n"  # characters that end a part of a thought


def draw_positions(
    ids: Sequence[int], separators: AbstractSet[int], num_positions: int, rng: random.Random
) -> list[int] | None:
    """Draw the position of each token of a sequence, with gaps after separators.

    The largest gap is drawn for the whole sequence, from 0 to `MAX_GAP`; each gap from 0 to it.

    Args:
        ids: token ids.
        separators: ids of the tokens with a gap after them.
        num_positions: number of positions of the context; those of all tokens but the last, which
            is only predicted, are less.
        rng: random generator.

    Returns:
        The positions; None, for 0, 1, 2, …, if the largest gap is 0. Gaps that do not fit into the
        context are drawn again, with a smaller largest gap.
    """
    for largest in range(rng.randint(0, MAX_GAP), 0, -1):
        positions, position = [], 0
        for token in ids:
            positions.append(position)
            position += 1 + (rng.randint(0, largest) if token in separators else 0)
        if positions[-2] < num_positions:
            return positions
    return None
