"""Rows of places for boxes and arrows, ordered so that few arrows cross."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

PASSING_WIDTH = 14.0  # of the place that an arrow takes in a row that it passes
SWEEPS = 12

Edge = tuple[int, int]


class Grid:
    """Rows of places: one for each node, and one for each row that a node's arrows pass.

    All arrows of a node that pass a row share one place in it, as branches share a trunk.

    Attributes:
        nodes: for each row its nodes.
        rows: for each row its places, from left to right. A place below the number of nodes is
            that node; the others belong to passing arrows.
        widths: of each place.
        paths: for each edge the places it goes through, from node to node.
    """

    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], rows: Sequence[int]
    ) -> None:
        self.nodes: list[list[int]] = [[] for _ in range(max(rows) + 1)]
        for node, row in enumerate(rows):
            self.nodes[row].append(node)
        self.rows = [list(nodes) for nodes in self.nodes]
        self.count = len(sizes)
        self.widths = [width for width, _ in sizes]
        self.paths: list[list[int]] = []
        passing: dict[tuple[int, int], int] = {}
        for source, target in edges:
            path = [source]
            for row in range(rows[source] + 1, rows[target]):
                if (source, row) not in passing:
                    passing[source, row] = len(self.widths)
                    self.rows[row].append(len(self.widths))
                    self.widths.append(PASSING_WIDTH)
                path.append(passing[source, row])
            self.paths.append([*path, target])
        self.row_of = {place: i for i, row in enumerate(self.rows) for place in row}
        self.links = sorted({link for path in self.paths for link in pairwise(path)})
        self.above: list[list[int]] = [[] for _ in self.widths]
        self.below: list[list[int]] = [[] for _ in self.widths]
        for upper, lower in self.links:
            self.above[lower].append(upper)
            self.below[upper].append(lower)

    def order(self) -> None:
        """Order each row by the mean position of its neighbours, so that few arrows cross."""
        best, least = [list(row) for row in self.rows], self.crossings()
        for sweep in range(SWEEPS):
            downwards = sweep % 2 == 0
            neighbours = self.above if downwards else self.below
            position = self.positions()
            for row in self.rows if downwards else reversed(self.rows):
                row.sort(key=mean_of(neighbours, position.__getitem__))
                for i, place in enumerate(row):
                    position[place] = (i + 0.5) / len(row)
            crossings = self.crossings()
            if crossings < least:
                best, least = [list(row) for row in self.rows], crossings
        self.rows = best

    def positions(self) -> list[float]:
        """For each place how far along its row it is, from 0 to 1."""
        position = [0.0] * len(self.widths)
        for row in self.rows:
            for i, place in enumerate(row):
                position[place] = (i + 0.5) / len(row)
        return position

    def crossings(self) -> int:
        """How many pairs of links cross."""
        position = self.positions()
        row_of = self.row_of
        ordered = sorted(
            self.links, key=lambda link: (row_of[link[0]], *(position[p] for p in link))
        )
        crossings, seen, row = 0, list[float](), -1
        for upper, lower in ordered:
            if row_of[upper] != row:
                seen, row = [], row_of[upper]
            index = bisect_right(seen, position[lower])
            crossings += len(seen) - index
            seen.insert(index, position[lower])
        return crossings


def mean_of(
    neighbours: Sequence[Sequence[int]], value: Callable[[int], float]
) -> Callable[[int], float]:
    """For a place the mean value of its neighbours, or its own where it has none."""

    def mean(place: int) -> float:
        near = neighbours[place] or (place,)
        return sum(map(value, near)) / len(near)

    return mean
