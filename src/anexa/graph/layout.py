"""Where the boxes of a graph go: rows from top to bottom, and curves between them.

The steps are those of Sugiyama et al. (1981): every box gets a row below all that leads to it; an
arrow that passes a row gets a place in it like a box; places are ordered so that few arrows
cross, then moved sideways so that arrows become straight. No two boxes ever overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from anexa.graph.columns import straighten
from anexa.graph.grid import Edge, Grid

STAGE_GAP = 24.0  # what two stages are further apart than two rows

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Positions of everything; the upper left corner of the whole is (0, 0).

    Attributes:
        boxes: one for each node.
        routes: one for each edge: points between which the arrow goes down by turns straight,
            beside the boxes of a row, and in a curve, through the gap below it.
        stages: for each stage its upper and lower end.
        width: of the whole.
        height: of the whole.
    """

    boxes: list[Box]
    routes: list[list[Point]]
    stages: list[tuple[float, float]]
    width: float
    height: float


def layout(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Edge],
    stages: Sequence[int],
    gaps: Sequence[float],
) -> Layout:
    """Lay a graph out.

    Args:
        sizes: width and height of each node's box.
        edges: pairs (from, to) of nodes, each with from < to.
        stages: for each node the number of its stage, from 0 and rising: what is in one stage
            has rows of its own, below those of all stages before.
        gaps: for each node how much room there must be above it for the arrows.
    """
    rows = rows_of(len(sizes), edges, stages)
    grid = Grid(sizes, edges, rows)
    grid.order()
    centres = straighten(grid)
    tops: list[float] = []
    bottoms: list[float] = []
    y = 0.0
    for row, nodes in enumerate(grid.nodes):
        if row > 0:
            y = bottoms[-1] + max(gaps[node] for node in nodes)
            if stages[nodes[0]] != stages[grid.nodes[row - 1][0]]:
                y += STAGE_GAP
        tops.append(y)
        bottoms.append(y + max(sizes[node][1] for node in nodes))
    boxes = [
        Box(centres[node] - width / 2, tops[rows[node]], width, height)
        for node, (width, height) in enumerate(sizes)
    ]
    spans = [
        [row for row, nodes in enumerate(grid.nodes) if stages[nodes[0]] == stage]
        for stage in range(stages[-1] + 1)
    ]
    return Layout(
        boxes,
        routes_of(grid, centres, boxes, tops, bottoms),
        [(tops[span[0]], bottoms[span[-1]]) for span in spans],
        max(centre + grid.widths[place] / 2 for place, centre in enumerate(centres)),
        bottoms[-1],
    )


def rows_of(count: int, edges: Sequence[Edge], stages: Sequence[int]) -> list[int]:
    """The row of each node: below all that leads to it, and below all earlier stages."""
    rows = [0] * count
    first_row = 0
    for node in range(count):
        if node and stages[node] != stages[node - 1]:
            first_row = max(rows[:node]) + 1
        above = [rows[source] + 1 for source, target in edges if target == node]
        rows[node] = max([first_row, *above])
    # What nothing leads to comes down to where it is needed, within its stage.
    last_row = {stage: max(r for r, s in zip(rows, stages) if s == stage) for stage in stages}
    targets = {target for _, target in edges}
    for node in reversed(range(count)):
        below = [rows[target] - 1 for source, target in edges if source == node]
        if node not in targets and below:
            rows[node] = max(rows[node], min([last_row[stages[node]], *below]))
    # Rows that have become empty go.
    used = {row: i for i, row in enumerate(sorted(set(rows)))}
    return [used[row] for row in rows]


def routes_of(
    grid: Grid,
    centres: Sequence[float],
    boxes: Sequence[Box],
    tops: Sequence[float],
    bottoms: Sequence[float],
) -> list[list[Point]]:
    """The points of each edge; those that end at one node spread over its upper side."""
    row_of = grid.row_of
    ends = [0.0] * len(grid.paths)
    for node, box in enumerate(boxes):
        arriving = [edge for edge, path in enumerate(grid.paths) if path[-1] == node]
        arriving.sort(key=lambda edge: centres[grid.paths[edge][-2]])
        for i, edge in enumerate(arriving):
            ends[edge] = box.x + box.width * (i + 0.5) / len(arriving)
    routes = []
    for path, end in zip(grid.paths, ends):
        start = boxes[path[0]]
        points = [(centres[path[0]], start.y + start.height)]
        for here, there in pairwise(path):
            points.append((centres[here], bottoms[row_of[here]]))
            x = end if there == path[-1] else centres[there]
            points.append((x, tops[row_of[there]]))
        routes.append(points)
    return routes
