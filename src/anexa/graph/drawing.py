"""A graph for drawing, and its export to Mermaid and Graphviz DOT."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from anexa.errors import AnexaError

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
MAX_NODES = 150
MAX_EDGES = 400

NodeKind = Literal["input", "constant", "operation", "weighted", "output"]


@dataclass(frozen=True)
class NodeColors:
    """Fill and outline of a box, on a light page and on a dark page."""

    fill: str
    stroke: str
    dark_fill: str
    dark_stroke: str


NODE_COLORS: dict[NodeKind, NodeColors] = {
    "input": NodeColors("#ddf4ff", "#54aeff", "#0c2d57", "#388bfd"),
    "constant": NodeColors("#f6f8fa", "#d0d7de", "#161b22", "#484f58"),
    "operation": NodeColors("#ffffff", "#8c959f", "#1c2129", "#8b949e"),
    "weighted": NodeColors("#fff8c5", "#d4a72c", "#352a05", "#bb8009"),
    "output": NodeColors("#dafbe1", "#4ac26b", "#04260f", "#2ea043"),
}


@dataclass(frozen=True)
class Node:
    """A node, drawn as a box.

    Attributes:
        title: the first line, emphasized.
        details: the lines below the title.
        kind: determines the color.
        group: the lines of the label of a frame; successive nodes with the same label share a
            frame. Empty: no frame.
    """

    title: str
    details: tuple[str, ...] = ()
    kind: NodeKind = "operation"
    group: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes.

    Attributes:
        source: index of the node where it begins.
        target: index of the node where it ends.
        label: text near its tip.
    """

    source: int
    target: int
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """An acyclic graph that fits on a page.

    Attributes:
        title: a line that names the graph.
        nodes: at least one node; each stands after all nodes that have an arrow to it.
        edges: the arrows; two nodes may have several arrows between them.
        note: a line that says how to read the graph.

    Raises:
        AnexaError: if the graph is too large for a page.
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
        """Yield label and node indices of each group; label () for nodes without a group."""
        for group, nodes in groupby(range(len(self.nodes)), key=lambda i: self.nodes[i].group):
            yield group, list(nodes)


def check_size(n_nodes: int, n_edges: int) -> None:
    """Check that a graph fits on a page.

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
    """Format a number: whole below a million if it is whole, else with 4 significant digits."""
    text = f"{x:.0f}" if x == int(x) and abs(x) < 1e6 else f"{x:.4g}"
    return text.replace("-", MINUS) if x else "0"  # not "-0"


def printable(text: str) -> str:
    """Replace line breaks and unprintable characters by spaces."""
    return "".join(char if char.isprintable() else " " for char in text)


def to_mermaid(graph: Graph) -> str:
    """Convert a graph to Mermaid, which GitHub, GitLab and many editors render in Markdown."""
    title = json.dumps(printable(graph.title), ensure_ascii=False)  # valid YAML, too
    lines = ["---", f"title: {title}", "---", "flowchart TB"]
    if graph.note:
        lines.append(f"%% {printable(graph.note)}")
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
    """Join lines for a quoted Mermaid label, with special characters as numeric entities."""

    def escape(line: str) -> str:
        # Markdown ignores an underscore within a word, so the names of weights stay readable.
        special = rf"[^\w .,:=()/→…{TIMES}{MINUS}]|(?<![^\W_])_|_(?![^\W_])"
        return re.sub(special, lambda match: f"#{ord(match[0])};", printable(line))

    return "<br/>".join(map(escape, lines))


def to_dot(graph: Graph) -> str:
    """Convert a graph to Graphviz's DOT, which `dot -Tsvg` and many other tools render."""
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
    r"""Join lines for a quoted DOT label, where \ begins an escape and & an HTML entity."""

    def escape(line: str) -> str:
        return printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")

    return "\\n".join(map(escape, lines))
