"""Drawing of a computation graph as boxes and arrows, and its export to Mermaid and Graphviz."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from anexa.errors import AnexaError

# Signs in the labels of graphs.
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
MAX_NODES = 150  # maximum number of nodes of a drawing, which is to be read on one sheet
MAX_EDGES = 400  # maximum number of its edges

NodeKind = Literal["input", "constant", "operation", "weighted", "output"]
"""Role of a node in the computation: a named input, a constant, an operation without or with
weights of the model, or the final result."""


@dataclass(frozen=True)
class NodeColors:
    """Colors of a node's box, as CSS hex colors such as "#ddf4ff".

    Attributes:
        fill: interior of the box on a light background.
        stroke: outline on a light background.
        dark_fill: interior on a dark background.
        dark_stroke: outline on a dark background.
    """

    fill: str
    stroke: str
    dark_fill: str
    dark_stroke: str


# Colors of a node's box by the role of the node.
NODE_COLORS: dict[NodeKind, NodeColors] = {
    "input": NodeColors("#ddf4ff", "#54aeff", "#0c2d57", "#388bfd"),
    "constant": NodeColors("#f6f8fa", "#d0d7de", "#161b22", "#484f58"),
    "operation": NodeColors("#ffffff", "#8c959f", "#1c2129", "#8b949e"),
    "weighted": NodeColors("#fff8c5", "#d4a72c", "#352a05", "#bb8009"),
    "output": NodeColors("#dafbe1", "#4ac26b", "#04260f", "#2ea043"),
}


@dataclass(frozen=True)
class Node:
    """A node of a computation graph, such as an input or an operation; drawn as a box.

    Attributes:
        title: first line of text in the box, emphasized.
        details: lines of text below the title.
        kind: role of the node, which determines the colors of the box (`NODE_COLORS`).
        group: lines of the label of the frame around this node; the frame is that of a layer, for
            example. Consecutive nodes with the same label share a frame; () means no frame.
    """

    title: str
    details: tuple[str, ...] = ()
    kind: NodeKind = "operation"
    group: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An edge from one node of a graph to a later one; drawn as an arrow.

    Attributes:
        source: index in `Graph.nodes` of the node where the edge begins.
        target: index of the node where the edge ends; larger than `source`.
        label: text beside the arrow; "" for none.
    """

    source: int
    target: int
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """A drawing of a computation graph, which is acyclic and small enough to be read.

    Attributes:
        title: heading of the drawing, one line.
        nodes: nodes in topological order, at least one: each edge leads to a later node.
        edges: edges; two nodes may have several edges between them.
        note: legend, one line, such as the meaning of the labels of edges; "" for none.

    Raises:
        AnexaError: if the graph has more than `MAX_NODES` nodes or `MAX_EDGES` edges.
    """

    title: str
    nodes: list[Node]
    edges: list[Edge]
    note: str = ""

    def __post_init__(self) -> None:
        check_size(len(self.nodes), len(self.edges))
        assert self.nodes
        assert all(0 <= edge.source < edge.target < len(self.nodes) for edge in self.edges)

    def stages(self) -> Iterator[tuple[tuple[str, ...], list[int]]]:
        """Iterate over the stages: consecutive nodes in the same frame, or without a frame.

        Yields:
            The label of the frame, `Node.group`, which is () without a frame; and the indices of
            the nodes.
        """
        for group, nodes in groupby(range(len(self.nodes)), key=lambda i: self.nodes[i].group):
            yield group, list(nodes)


def check_size(n_nodes: int, n_edges: int) -> None:
    """Check that a graph is small enough to be drawn; a caller may ask before it builds the graph.

    Args:
        n_nodes: number of nodes.
        n_edges: number of edges.

    Raises:
        AnexaError: if there are more than `MAX_NODES` nodes or `MAX_EDGES` edges.
    """
    for count, limit, name in ((n_nodes, MAX_NODES, "nodes"), (n_edges, MAX_EDGES, "arrows")):
        if count > limit:
            raise AnexaError(
                f"this graph has {count:,} {name}, and a page holds {limit}: "
                "draw a part of it, such as a shorter expression or a model with fewer layers"
            )


def format_number(x: float) -> str:
    """Format a finite number for a label, with Unicode minus signs, also in the exponent.

    An integer below a million in magnitude has all of its digits ("1024"); other numbers have at
    most 4 significant digits ("0.3333", "0.5", "1.235e+06").
    """
    text = f"{x:.0f}" if x == int(x) and abs(x) < 1e6 else f"{x:.4g}"
    return text.replace("-", MINUS) if x else "0"  # not "-0"


def replace_unprintable(text: str) -> str:
    """Replace each line break or other unprintable character by a space."""
    return "".join(char if char.isprintable() else " " for char in text)


def to_mermaid(graph: Graph) -> str:
    """Return the source of a Mermaid flowchart, which GitHub, GitLab and many editors render.

    It has the colors for a light background only. The note of the graph becomes a comment, which
    is not drawn.
    """
    title = json.dumps(replace_unprintable(graph.title), ensure_ascii=False)  # valid YAML, too
    lines = ["---", f"title: {title}", "---", "flowchart TB"]
    if graph.note:
        lines.append(f"%% {replace_unprintable(graph.note)}")
    for stage, (group, nodes) in enumerate(graph.stages()):
        if group:
            lines.append(f'subgraph g{stage}["{mermaid_text(*group)}"]')
        for i in nodes:
            node = graph.nodes[i]
            lines.append(f'n{i}["{mermaid_text(node.title, *node.details)}"]:::{node.kind}')
        if group:
            lines.append("end")
    for edge in graph.edges:
        label = f'|"{mermaid_text(edge.label)}"|' if edge.label else ""
        lines.append(f"n{edge.source} -->{label} n{edge.target}")
    for kind, colors in NODE_COLORS.items():
        style = f"fill:{colors.fill},stroke:{colors.stroke},color:#1f2328"
        lines.append(f"classDef {kind} {style}")
    return "\n".join(lines) + "\n"


def mermaid_text(*lines: str) -> str:
    """Return lines as the content of a quoted Mermaid label, joined by <br/>.

    All characters but letters, digits and a few signs are escaped as numeric entities, as many have
    a meaning in Mermaid or Markdown.
    """

    def escape(line: str) -> str:
        # Markdown ignores an underscore within a word, so the names of weights stay readable.
        special = rf"[^\w .,:=()/→…{TIMES}{MINUS}]|(?<![^\W_])_|_(?![^\W_])"
        return re.sub(special, lambda match: f"#{ord(match[0])};", replace_unprintable(line))

    return "<br/>".join(map(escape, lines))


def to_dot(graph: Graph) -> str:
    """Return the source of a graph in Graphviz DOT, which `dot -Tsvg` and other tools render.

    It has the colors for a light background only. The heading is the title and the note.
    """
    heading = dot_text(*filter(None, (graph.title, graph.note)))
    lines = [
        "digraph {",
        f'label="{heading}" labelloc=t fontname="Helvetica"',
        'node [shape=box style="filled,rounded" fontname="Helvetica" fontsize=11]',
        'edge [color="#8c959f" fontname="Helvetica" fontsize=10]',
    ]
    for stage, (group, nodes) in enumerate(graph.stages()):
        if group:
            lines.append(f'subgraph cluster{stage} {{ label="{dot_text(*group)}"')
        for i in nodes:
            node = graph.nodes[i]
            colors = NODE_COLORS[node.kind]
            label = dot_text(node.title, *node.details)
            lines.append(
                f'n{i} [label="{label}" fillcolor="{colors.fill}" color="{colors.stroke}"]'
            )
        if group:
            lines.append("}")
    for edge in graph.edges:
        label = f' [label="{dot_text(edge.label)}"]' if edge.label else ""
        lines.append(f"n{edge.source} -> n{edge.target}{label}")
    return "\n".join([*lines, "}"]) + "\n"


def dot_text(*lines: str) -> str:
    r"""Return lines as the content of a quoted DOT label, joined by \n.

    Escaped are backslashes, quotation marks, and &, which begins an HTML entity in DOT.
    """

    def escape(line: str) -> str:
        return (
            replace_unprintable(line)
            .replace("\\", "\\\\")
            .replace('"', '\\"')
            .replace("&", "&amp;")
        )

    return "\\n".join(map(escape, lines))
