from __future__ import annotations

import pytest

from anexa.errors import AnexaError
from anexa.graph.drawing import Edge
from anexa.graph.expression import evaluate_expression
from anexa.graph.value_graph import value_graph
from microgpt import Value, dot, gradients


def test_every_number_and_gradient_is_drawn() -> None:
    graph = value_graph(*evaluate_expression("(a*b + c).relu()", {"a": 2, "b": -3, "c": 10}))
    boxes = {node.title: (*node.details, node.kind) for node in graph.nodes}
    assert boxes == {
        "a": ("data 2", "grad −3", "input"),
        "b": ("data −3", "grad 2", "input"),
        "×": ("data −6", "grad 1", "operation"),
        "c": ("data 10", "grad 1", "input"),
        "+": ("data 4", "grad 1", "operation"),
        "relu": ("data 4", "grad 1", "output"),
    }
    titles = [node.title for node in graph.nodes]
    arrows = [(titles[edge.source], titles[edge.target], edge.label) for edge in graph.edges]
    assert sorted(arrows) == sorted(
        [("a", "×", "−3"), ("b", "×", "2"), ("×", "+", "1"), ("c", "+", "1"), ("+", "relu", "1")]
    )


def test_drawing_changes_no_value() -> None:
    root, names = evaluate_expression("a*a", {"a": 3})
    before = [(node, node.data, node.children, node.local_grads) for node in gradients(root)]
    assert "grad 6" in value_graph(root, names).nodes[0].details
    assert "grad 6" in value_graph(root, names).nodes[0].details, "and again"
    after = [(node, node.data, node.children, node.local_grads) for node in gradients(root)]
    assert after == before


def test_a_dot_product_is_one_node() -> None:
    xs, ys = [Value(1.0), Value(2.0)], [Value(3.0), Value(5.0)]
    graph = value_graph(dot(xs, ys), {xs[0]: "x"})
    assert [node.title for node in graph.nodes] == ["x", "number", "number", "number", "dot"]
    assert [edge.label for edge in graph.edges] == ["3", "1", "5", "2"]


@pytest.mark.parametrize(
    ("value", "title"),
    [
        (Value(1.0) + 1, "sum"),
        (Value(1.0) * 1, "×"),
        (Value(2.0) * 3, "×"),
        (dot([Value(1.0), Value(1.0)], [Value(1.0), Value(1.0)]), "dot"),
        (Value(2.0).exp(), "function"),
        (Value(7), "number"),
    ],
)
def test_nodes_without_a_name_are_described(value: Value, title: str) -> None:
    assert value_graph(value, {}).nodes[-1].title == title


def test_parallel_arrows_are_kept() -> None:
    graph = value_graph(*evaluate_expression("a*a", {"a": 3}))
    assert graph.edges == [Edge(0, 1, "3")] * 2


def test_large_graphs_and_gradients_are_refused() -> None:
    value = Value(1.0)
    for _ in range(99):
        value = value + 1.0
    with pytest.raises(AnexaError, match="199 nodes"):
        value_graph(value, {})
    with pytest.raises(AnexaError, match="gradient is too large"):
        value_graph(*evaluate_expression("a*1e200*1e200", {"a": 1e-300}))
