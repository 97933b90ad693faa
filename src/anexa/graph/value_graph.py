"""Drawing of an autograd graph of `Value`s, with every number and gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping

from anexa.errors import AnexaError
from anexa.graph.drawing import TIMES, Edge, Graph, Node, NodeKind, check_size, format_number
from microgpt import Value, gradients


def value_graph(root: Value, names: Mapping[Value, str], title: str = "") -> Graph:
    """Draw a value and all values from which it was computed.

    Each node shows its number and its gradient, d(root)/d(node); each arrow shows the local
    gradient, d(target)/d(source). The values are not changed: gradients are computed anew.

    Args:
        root: result of the computation.
        names: the names of nodes, as `anexa.graph.expression.evaluate_expression` returns them; a
            node without a name gets one from `operation_name`.
        title: the title of the drawing; default: the number of the result.

    Returns:
        The graph, one node for each value.

    Raises:
        AnexaError: if the graph is too large to be drawn, or a gradient overflows.
    """
    grads = gradients(root)
    nodes = list(grads)
    check_size(len(nodes), sum(len(node.children) for node in nodes))
    if not all(map(math.isfinite, grads.values())):
        raise AnexaError("a gradient is too large for a number: choose values nearer to 1")
    index = {node: i for i, node in enumerate(nodes)}
    return Graph(
        title or f"a value of {format_number(root.data)}",
        [
            Node(
                names.get(node) or operation_name(node),
                (f"data {format_number(node.data)}", f"grad {format_number(grads[node])}"),
                "output" if node is root else value_node_kind(node, names),
            )
            for node in nodes
        ],
        [
            Edge(index[child], index[node], format_number(local_grad))
            for node in nodes
            for child, local_grad in zip(node.children, node.local_grads)
        ],
        note="number on an arrow: its local gradient",
    )


def value_node_kind(node: Value, names: Mapping[Value, str]) -> NodeKind:
    """Return the kind of a value's box, which gives its color: operation, input, or constant.

    A value without children is an input if it has a name, otherwise a constant.
    """
    if node.children:
        return "operation"
    return "input" if node in names else "constant"


def operation_name(node: Value) -> str:
    """Guess the operation of a node without a name from its local gradients.

    The local gradients of a sum are all 1; those of a product, or of a sum of products of two
    neighbors (a `dot`), are the other factor.

    Returns:
        "sum", "×", "dot", "number" for a value without children, or else "function", as for a value
        with one child.
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
