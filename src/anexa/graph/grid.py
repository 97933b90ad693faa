"""Rows of a layered graph layout: slots for nodes and passing arrows, ordered for few crossings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

DUMMY_WIDTH = 14.0  # width of the slot of an arrow that passes a row, in SVG units
NUM_ROW_SWEEPS = 12  # passes of `Grid.order` over all rows

GridEdge = tuple[int, int]  # source and target of an arrow, as indices of nodes


class Grid:
    """Rows of slots: one for each node, and one dummy for each row that a node's arrows pass.

    All arrows of a node that pass a row share one dummy in that row, as branches share a trunk.

    Args:
        sizes: width and height of each node, in SVG units.
        edges: pairs (source, target) of nodes; the target is in a lower row than the source.
        rows: row of each node, counted from 0 at the top; no row is empty.

    Attributes:
        nodes: for each row its nodes.
        rows: for each row its slots, from left to right; `order` changes their order. Slots below
            `count` are nodes, the others are dummies.
        count: number of nodes.
        widths: width of each slot, in SVG units.
        paths: for each edge its slots, from source to target.
        row_of: number of the row of each slot.
        links: pairs (upper, lower) of slots that an edge joins.
        above: for each slot the slots that are linked to it from above.
        below: for each slot the slots that are linked to it from below.
    """

    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[GridEdge], rows: Sequence[int]
    ) -> None:
        self.nodes: list[list[int]] = [[] for _ in range(max(rows) + 1)]
        for node, row in enumerate(rows):
            self.nodes[row].append(node)
        self.rows = [list(nodes) for nodes in self.nodes]
        self.count = len(sizes)
        self.widths = [width for width, _ in sizes]
        self.paths: list[list[int]] = []
        dummies: dict[tuple[int, int], int] = {}
        for source, target in edges:
            path = [source]
            for row in range(rows[source] + 1, rows[target]):
                if (source, row) not in dummies:
                    dummies[source, row] = len(self.widths)
                    self.rows[row].append(len(self.widths))
                    self.widths.append(DUMMY_WIDTH)
                path.append(dummies[source, row])
            self.paths.append([*path, target])
        self.row_of = {slot: i for i, row in enumerate(self.rows) for slot in row}
        self.links = sorted({link for path in self.paths for link in pairwise(path)})
        self.above: list[list[int]] = [[] for _ in self.widths]
        self.below: list[list[int]] = [[] for _ in self.widths]
        for upper, lower in self.links:
            self.above[lower].append(upper)
            self.below[upper].append(lower)

    def order(self) -> None:
        """Order the slots of each row in place by the mean position of their neighbors.

        Of `NUM_ROW_SWEEPS` such passes and the order before, the one with the fewest crossings is
        kept.
        """
        best, least = [list(row) for row in self.rows], self.crossings()
        for sweep in range(NUM_ROW_SWEEPS):
            downwards = sweep % 2 == 0
            neighbors = self.above if downwards else self.below
            position = self.positions()
            for row in self.rows if downwards else reversed(self.rows):
                row.sort(key=mean_over_neighbors(neighbors, position.__getitem__))
                for i, slot in enumerate(row):
                    position[slot] = (i + 0.5) / len(row)
            crossings = self.crossings()
            if crossings < least:
                best, least = [list(row) for row in self.rows], crossings
        self.rows = best

    def positions(self) -> list[float]:
        """Compute the position of each slot in its row, from 0 (left) to 1 (right)."""
        position = [0.0] * len(self.widths)
        for row in self.rows:
            for i, slot in enumerate(row):
                position[slot] = (i + 0.5) / len(row)
        return position

    def crossings(self) -> int:
        """Count the pairs of links between neighboring rows that cross."""
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


def mean_over_neighbors(
    neighbors: Sequence[Sequence[int]], value: Callable[[int], float]
) -> Callable[[int], float]:
    """Return a function from a slot to the mean value of its neighbors.

    A slot without neighbors has its own value.

    Args:
        neighbors: for each slot the slots that are linked to it.
        value: function from a slot to a number.

    Returns:
        The mean as a function of the slot.
    """

    def mean(slot: int) -> float:
        near = neighbors[slot] or (slot,)
        return sum(map(value, near)) / len(near)

    return mean
