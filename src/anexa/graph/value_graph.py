"""The graph that the autograd engine builds, as a picture: every number and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping

from anexa.errors import AnexaError
from anexa.graph.drawing import TIMES, Edge, Graph, Kind, Node, check_size, number
from microgpt import Value, gradients


def value_graph(root: Value, names: Mapping[Value, str], title: str = "") -> Graph:
    """Everything that a value was computed from.

    Each node shows its number and its gradient, d(root)/d(node); each arrow the local gradient,
    d(node it points to)/d(node it comes from). The values are left as they are.

    Args:
        root: the result.
        names: what to call a node, as `anexa.graph.expression.parse` gives it; a node without
            a name is described by its form.
        title: of the picture; if there is none, the result.

    Raises:
        AnexaError: the graph is too large for a page, or a gradient for a number.
    """
    grads = gradients(root)
    nodes = list(grads)
    check_size(len(nodes), sum(len(node.children) for node in nodes))
    if not all(map(math.isfinite, grads.values())):
        raise AnexaError("a gradient is too large for a number: choose values nearer to 1")
    ids = {node: f"v{i}" for i, node in enumerate(nodes)}
    return Graph(
        title or f"a value of {number(root.data)}",
        [
            Node(
                ids[node],
                names.get(node) or form(node),
                (f"data {number(node.data)}", f"grad {number(grads[node])}"),
                "output" if node is root else kind(node, names),
            )
            for node in nodes
        ],
        [
            Edge(ids[child], ids[node], number(local_grad))
            for node in nodes
            for child, local_grad in zip(node.children, node.local_grads)
        ],
        note="number on an arrow: its local gradient",
    )


def kind(node: Value, names: Mapping[Value, str]) -> Kind:
    """Whether something made the node, and if not, whether it has a name."""
    if node.children:
        return "operation"
    return "input" if node in names else "constant"


def form(node: Value) -> str:
    """What a node without a name looks like, as far as its local gradients tell.

    The slopes of a sum are all 1; those of a product, or of a sum of products of neighbours (a
    `dot`), are each the neighbour's number.
    """
    children, slopes = node.children, list(node.local_grads)
    if len(children) < 2:
        return "function" if children else "number"
    total = math.fsum(child.data for child in children)
    if slopes == [1.0] * len(children) and math.isclose(node.data, total):
        return "sum"
    swapped = [children[i ^ 1].data for i in range(len(children) // 2 * 2)]
    if slopes == swapped:
        return TIMES if len(children) == 2 else "dot"
    return "function"
