"""Horizontal coordinates of a layered graph layout: aligns linked slots in straight columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

from anexa.graph.grid import Grid

SIDE_GAP = 26.0  # smallest gap between two boxes in a row, in the unit of `Grid.widths`
NUM_COLUMN_SWEEPS = 24  # passes over all columns


def straighten(grid: Grid) -> list[float]:
    """Compute the x coordinate of each slot's center, with short and mostly vertical links.

    First all columns are packed to the left. Then, repeatedly, each column moves toward the mean of
    the columns that it is linked with. Columns in its way are pushed along, as long as the links of
    the whole group become shorter. Slots never overlap.

    Returns:
        The x coordinate of each slot's center, in the unit of `grid.widths`, from the left edge of
        the leftmost slot.
    """
    columns = columns_of(grid)
    column_of = {slot: i for i, column in enumerate(columns) for slot in column}
    distance: dict[tuple[int, int], float] = {}  # smallest allowed distance of two columns
    for row in grid.rows:
        for left, right in pairwise(row):
            pair = column_of[left], column_of[right]
            needed = (grid.widths[left] + grid.widths[right]) / 2 + SIDE_GAP
            distance[pair] = max(needed, distance.get(pair, 0.0))
    to_left: list[list[tuple[int, float]]] = [[] for _ in columns]
    to_right: list[list[tuple[int, float]]] = [[] for _ in columns]
    for (left, right), least in distance.items():
        to_left[right].append((left, least))
        to_right[left].append((right, least))

    # Columns do not cross, so the relation "is left of" has no cycle.
    sorter = TopologicalSorter({i: [j for j, _ in to_left[i]] for i in range(len(columns))})
    order = list(sorter.static_order())
    x = [0.0] * len(columns)
    for i in order:
        x[i] = max((x[j] + least for j, least in to_left[i]), default=0.0)
    near = [
        [column_of[p] for slot in column for p in grid.above[slot] + grid.below[slot]]
        for column in columns
    ]
    near = [[j for j in neighbors if j != i] for i, neighbors in enumerate(near)]

    def pull(i: int) -> float:
        return sum(x[j] - x[i] for j in near[i])

    for sweep in range(NUM_COLUMN_SWEEPS):
        for i in order if sweep % 2 else reversed(order):
            sign, ahead = (1, to_right) if pull(i) > 0 else (-1, to_left)
            group = [i]  # the column and all columns that it would push
            space = math.inf
            for k in group:
                for j, least in ahead[k]:
                    free = abs(x[j] - x[k]) - least
                    if free > 1e-6:
                        space = min(space, free)
                    elif j not in group:
                        group.append(j)
            step = sign * sum(map(pull, group)) / max(1, sum(len(near[k]) for k in group))
            for k in group:
                x[k] += sign * max(0.0, min(step, space))

    left_end = min(x[column_of[slot]] - width / 2 for slot, width in enumerate(grid.widths))
    return [x[column_of[slot]] - left_end for slot in range(len(grid.widths))]


def columns_of(grid: Grid) -> list[list[int]]:
    """Group slots into columns, one slot a row; columns never cross.

    Args:
        grid: rows of slots.

    Returns:
        For each column the indices of its slots, from top to bottom.
    """
    position = grid.positions()

    def median_neighbor(neighbors: Sequence[int]) -> int | None:
        """Return the neighbor in the middle; None if there are two in the middle, or no neighbor.

        Dummies count only if no neighbor is a node.
        """
        slots = [slot for slot in neighbors if slot < grid.count] or list(neighbors)
        slots.sort(key=position.__getitem__)
        return slots[len(slots) // 2] if len(slots) % 2 else None

    below = {}
    for upper, lower in grid.links:
        both_dummies = upper >= grid.count and lower >= grid.count
        if both_dummies or (
            median_neighbor(grid.below[upper]) == lower
            and median_neighbor(grid.above[lower]) == upper
        ):
            below[upper] = lower
    for row in grid.rows:
        kept: list[tuple[float, float]] = []
        # Dummies first: the eye notices a bend in a long arrow.
        for upper in sorted(row, key=lambda slot: slot < grid.count):
            if upper not in below:
                continue
            ends = position[upper], position[below[upper]]
            if all((ends[0] < a) == (ends[1] < b) for a, b in kept):
                kept.append(ends)
            else:
                del below[upper]
    columns = []
    for top in sorted(set(range(len(grid.widths))) - set(below.values())):
        columns.append([top])
        while columns[-1][-1] in below:
            columns[-1].append(below[columns[-1][-1]])
    return columns
