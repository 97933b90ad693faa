"""Layered layout of a graph: boxes in rows from top to bottom, and routes of the arrows.

The steps are those of Sugiyama et al. (1981): every node gets a row below its predecessors; an
arrow that passes a row gets a slot in it; slots are ordered so that few arrows cross, then moved
sideways so that arrows become straight. No two boxes overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from anexa.graph.columns import straighten
from anexa.graph.grid import Grid, GridEdge

STAGE_GAP = 24.0  # additional distance between two stages, in SVG units

Point = tuple[float, float]  # x and y, in SVG units; y grows downward


@dataclass(frozen=True)
class Box:
    """A rectangle of a drawing, such as the box of a node. All lengths are in SVG units.

    Attributes:
        x: left edge.
        y: upper edge; y grows downward.
        width: width.
        height: height.
    """

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class GraphLayout:
    """Positions of nodes and edges; the upper left corner of the drawing is (0, 0).

    A stage is a group of consecutive nodes, such as a layer of a model. Lengths are in SVG units.

    Attributes:
        boxes: rectangle of each node.
        routes: for each edge the points of its arrow, from top to bottom. The first part of the
            arrow is vertical, beside the boxes of a row; the second is a curve through the gap
            below that row; and so on.
        stages: for each stage the y of its upper and of its lower end.
        width: width of the drawing.
        height: height of the drawing.
    """

    boxes: list[Box]
    routes: list[list[Point]]
    stages: list[tuple[float, float]]
    width: float
    height: float


def layout_graph(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[GridEdge],
    stages: Sequence[int],
    gaps: Sequence[float],
) -> GraphLayout:
    """Compute the layout of a graph.

    Args:
        sizes: width and height of the box of each node, in SVG units; at least one node.
        edges: pairs (source, target) of nodes, with source < target.
        stages: the stage of each node, in ascending order from 0 and without gaps; a stage has rows
            of its own, below the rows of earlier stages.
        gaps: for each node the smallest distance to the row above it, for the arrows.

    Returns:
        The boxes and the routes of the arrows.
    """
    rows = rows_of(len(sizes), edges, stages)
    grid = Grid(sizes, edges, rows)
    grid.order()
    centers = straighten(grid)
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
        Box(centers[node] - width / 2, tops[rows[node]], width, height)
        for node, (width, height) in enumerate(sizes)
    ]
    spans = [
        [row for row, nodes in enumerate(grid.nodes) if stages[nodes[0]] == stage]
        for stage in range(stages[-1] + 1)
    ]
    return GraphLayout(
        boxes,
        routes_of(grid, centers, boxes, tops, bottoms),
        [(tops[span[0]], bottoms[span[-1]]) for span in spans],
        max(center + grid.widths[slot] / 2 for slot, center in enumerate(centers)),
        bottoms[-1],
    )


def rows_of(count: int, edges: Sequence[GridEdge], stages: Sequence[int]) -> list[int]:
    """Find the row of each node: below its predecessors and below all earlier stages.

    Args:
        count: number of nodes.
        edges: as in `layout_graph`.
        stages: as in `layout_graph`.

    Returns:
        The row of each node, from 0 at the top; no row is empty.
    """
    rows = [0] * count
    first_row = 0
    for node in range(count):
        if node and stages[node] != stages[node - 1]:
            first_row = max(rows[:node]) + 1
        above = [rows[source] + 1 for source, target in edges if target == node]
        rows[node] = max([first_row, *above])
    # A node without predecessors moves down to its successors, within its stage.
    last_row = {stage: max(r for r, s in zip(rows, stages) if s == stage) for stage in stages}
    targets = {target for _, target in edges}
    for node in reversed(range(count)):
        below = [rows[target] - 1 for source, target in edges if source == node]
        if node not in targets and below:
            rows[node] = max(rows[node], min([last_row[stages[node]], *below]))
    # Drop empty rows.
    used = {row: i for i, row in enumerate(sorted(set(rows)))}
    return [used[row] for row in rows]


def routes_of(
    grid: Grid,
    centers: Sequence[float],
    boxes: Sequence[Box],
    tops: Sequence[float],
    bottoms: Sequence[float],
) -> list[list[Point]]:
    """Find the points of each edge; the edges to a node spread over the upper side of its box.

    Args:
        grid: slots, in order.
        centers: x of the center of each slot.
        boxes: rectangle of each node.
        tops: y of the upper end of each row.
        bottoms: y of the lower end of each row.

    Returns:
        The points of each edge, as in `GraphLayout.routes`.
    """
    row_of = grid.row_of
    ends = [0.0] * len(grid.paths)
    for node, box in enumerate(boxes):
        arriving = [edge for edge, path in enumerate(grid.paths) if path[-1] == node]
        arriving.sort(key=lambda edge: centers[grid.paths[edge][-2]])
        for i, edge in enumerate(arriving):
            ends[edge] = box.x + box.width * (i + 0.5) / len(arriving)
    routes = []
    for path, end in zip(grid.paths, ends):
        start = boxes[path[0]]
        points = [(centers[path[0]], start.y + start.height)]
        for here, there in pairwise(path):
            points.append((centers[here], bottoms[row_of[here]]))
            x = end if there == path[-1] else centers[there]
            points.append((x, tops[row_of[there]]))
        routes.append(points)
    return routes
