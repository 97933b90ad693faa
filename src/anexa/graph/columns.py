"""How far to the right everything goes: straight columns, near to what they are joined with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

from anexa.graph.grid import Grid

SIDE_GAP = 26.0
SWEEPS = 24


def straighten(grid: Grid) -> list[float]:
    """The centre of each place, in columns that come near to the mean of their neighbours.

    Columns are packed to the left. Then each in turn is pulled by its arrows, and pushes along
    what stands in its way if that wants it on the whole; so no row ever lacks room.
    """
    columns = columns_of(grid)
    column_of = {place: i for i, column in enumerate(columns) for place in column}
    distance: dict[tuple[int, int], float] = {}  # the least from a column to one right of it
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

    # Columns do not cross, so what is left of what never goes round in a circle.
    sorter = TopologicalSorter({i: [j for j, _ in to_left[i]] for i in range(len(columns))})
    order = list(sorter.static_order())
    x = [0.0] * len(columns)
    for i in order:
        x[i] = max((x[j] + least for j, least in to_left[i]), default=0.0)
    near = [
        [column_of[p] for place in column for p in grid.above[place] + grid.below[place]]
        for column in columns
    ]
    near = [[j for j in neighbours if j != i] for i, neighbours in enumerate(near)]

    def pull(i: int) -> float:
        return sum(x[j] - x[i] for j in near[i])

    for sweep in range(SWEEPS):
        for i in order if sweep % 2 else reversed(order):
            sign, ahead = (1, to_right) if pull(i) > 0 else (-1, to_left)
            group = [i]  # with all that it would have to push
            room = math.inf
            for k in group:
                for j, least in ahead[k]:
                    free = abs(x[j] - x[k]) - least
                    if free > 1e-6:
                        room = min(room, free)
                    elif j not in group:
                        group.append(j)
            step = sign * sum(map(pull, group)) / max(1, sum(len(near[k]) for k in group))
            for k in group:
                x[k] += sign * max(0.0, min(step, room))

    left_end = min(x[column_of[place]] - width / 2 for place, width in enumerate(grid.widths))
    return [x[column_of[place]] - left_end for place in range(len(grid.widths))]


def columns_of(grid: Grid) -> list[list[int]]:
    """Places that stand straight above each other, from row to row; columns never cross."""
    position = grid.positions()

    def main(neighbours: Sequence[int]) -> int | None:
        """The middle one, if there is one; passing arrows count only where there are no nodes."""
        places = [place for place in neighbours if place < grid.count] or list(neighbours)
        places.sort(key=position.__getitem__)
        return places[len(places) // 2] if len(places) % 2 else None

    below = {}
    for upper, lower in grid.links:
        passing = upper >= grid.count and lower >= grid.count
        if passing or (main(grid.below[upper]) == lower and main(grid.above[lower]) == upper):
            below[upper] = lower
    for row in grid.rows:
        kept: list[tuple[float, float]] = []
        # Passing arrows first: a bend in them is what the eye notices.
        for upper in sorted(row, key=lambda place: place < grid.count):
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
