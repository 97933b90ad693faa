from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.graph.drawing import Edge, Graph, Node, format_number, to_dot, to_mermaid
from anexa.graph.svg import layout_texts, to_svg

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert("x")</script> & \\" `*_#quot;_*` ]]>\n\r\t\0\u2028\ud800 end --> %%{init}%%'


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random acyclic graphs, with long and parallel arrows, texts and groups."""
    count = draw(st.integers(1, 25))
    words = st.text(max_size=30)
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=3)))
    nodes = [
        Node(
            draw(words),
            tuple(draw(st.lists(words, max_size=3))),
            group=(f"group {sum(cut <= i for cut in cuts)}",) if cuts and i >= cuts[0] else (),
        )
        for i in range(count)
    ]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = [
        Edge(min(pair), max(pair), draw(st.text(max_size=8)))
        for pair in draw(st.lists(pairs, max_size=50))
        if pair[0] != pair[1]
    ]
    return Graph(draw(words), nodes, edges, draw(words))


@given(graphs())
def test_boxes_do_not_overlap_and_arrows_join_them(graph: Graph) -> None:
    places = layout_texts(graph)
    for a, b in combinations(places.boxes, 2):
        beside = a.x + a.width < b.x or b.x + b.width < a.x
        above = a.y + a.height < b.y or b.y + b.height < a.y
        assert beside or above
    for edge, route in zip(graph.edges, places.routes):
        source = places.boxes[edge.source]
        target = places.boxes[edge.target]
        assert source.x < route[0][0] < source.x + source.width
        assert route[0][1] == source.y + source.height
        assert target.x < route[-1][0] < target.x + target.width
        assert route[-1][1] == target.y
        assert [y for _, y in route] == sorted(y for _, y in route)


@given(graphs())
def test_no_arrow_passes_through_a_box(graph: Graph) -> None:
    places = layout_texts(graph)
    for route in places.routes:
        straight = list(pairwise(route))[::2]  # beside boxes; curves are between the rows
        for (x, y0), (_, y1) in straight:
            for box in places.boxes:
                within = box.x < x < box.x + box.width
                assert not (within and y0 < box.y + box.height and y1 > box.y) or y0 == y1


@given(graphs())
def test_svg_is_xml_that_contains_everything(graph: Graph) -> None:
    text = to_svg(graph)
    text.encode("utf-8")
    picture = ET.fromstring(text)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    shift = picture.find(f"{SVG}g[@transform]")
    assert shift is not None
    dx, dy = map(float, re.findall(r"[\d.]+", shift.attrib["transform"]))
    boxes = [box for box in shift.iter(f"{SVG}rect") if box.attrib["class"].startswith("node")]
    assert len(boxes) == len(graph.nodes)
    for box in boxes:
        x, y, w, h = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x + dx >= 0
        assert x + dx + w <= width
        assert y + dy >= 0
        assert y + dy + h <= height
    assert len(picture.findall(f".//{SVG}path[@class='edge']")) == len(graph.edges)


@given(graphs())
def test_dot_and_mermaid_have_every_node_and_edge(graph: Graph) -> None:
    pairs = sorted((edge.source, edge.target) for edge in graph.edges)
    for text, node, edge in (
        (to_mermaid(graph), r'^n(\d+)\["', r"^n(\d+) -->(?:\|.*\|)? n(\d+)$"),
        (to_dot(graph), r'^n(\d+) \[label="', r"^n(\d+) -> n(\d+)"),
    ):
        text.encode("utf-8")
        assert re.findall(node, text, re.M) == [str(i) for i in range(len(graph.nodes))]
        found = sorted((int(a), int(b)) for a, b in re.findall(edge, text, re.M))
        assert found == pairs


def test_text_cannot_become_code() -> None:
    graph = Graph(NASTY, [Node(NASTY, (NASTY,), group=(NASTY,)), Node("b")], [], NASTY)
    graph.edges.append(Edge(0, 1, NASTY))

    svg = to_svg(graph)
    assert "<script" not in svg
    assert {element.tag for element in ET.fromstring(svg).iter()} <= {
        SVG + tag
        for tag in ("svg", "title", "style", "defs", "marker", "path", "rect", "g", "text")
    }
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")

    mermaid = to_mermaid(graph)
    for line in mermaid.splitlines():
        strings = re.findall(r'"[^"]*"', line) if "title:" not in line else []
        for string in strings:
            allowed = re.sub(r"#\d+;|<br/>", "", string[1:-1])
            assert not re.search(r"[<>\"`*#&\\%{}\[\]|-]", allowed)
    # Heading and note, the group's frame, two nodes, an arrow, the colors: no line broke.
    assert len(mermaid.splitlines()) == 5 + 2 + 2 + 1 + 5

    dot = to_dot(graph)
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot)
    assert "script" not in rest
    assert '"' not in rest
    assert not re.search(r"&(?!amp;)", dot)


def test_too_large_graph_is_refused() -> None:
    nodes = [Node("") for _ in range(151)]
    with pytest.raises(AnexaError, match="151 nodes, and a page holds 150: draw a part"):
        Graph("", nodes, [])
    with pytest.raises(AnexaError, match="401 arrows"):
        Graph("", nodes[:2], [Edge(0, 1)] * 401)
    assert to_svg(Graph("", nodes[:150], [Edge(0, 1)] * 400))


def test_largest_graph_is_drawn() -> None:
    nodes = [Node("") for _ in range(150)]
    chain = [Edge(i, i + 1) for i in range(149)]
    long = [Edge(i % 40, 149 - i % 37) for i in range(251)]
    assert to_svg(Graph("", nodes, chain + long))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (2, "2"),
        (-0.0, "0"),
        (-3.0, "−3"),
        (1 / 3, "0.3333"),
        (123456.0, "123456"),
        (1e6, "1e+06"),
        (-1.5e-7, "−1.5e−07"),
        (1e300, "1e+300"),
    ],
)
def test_format_number(x: float, text: str) -> None:
    assert format_number(x) == text
