"""A small graph, and three ways to write it down: Mermaid, Graphviz DOT and SVG."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from anexa.errors import AnexaError

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
MAX_NODES = 150
MAX_EDGES = 400

Kind = Literal["input", "constant", "operation", "weighted", "output"]


@dataclass(frozen=True)
class Colours:
    """Inside and outline of a box, on a light page and on a dark one."""

    fill: str
    stroke: str
    dark_fill: str
    dark_stroke: str


KINDS: dict[Kind, Colours] = {
    "input": Colours("#ddf4ff", "#54aeff", "#0c2d57", "#388bfd"),
    "constant": Colours("#f6f8fa", "#d0d7de", "#161b22", "#484f58"),
    "operation": Colours("#ffffff", "#8c959f", "#1c2129", "#8b949e"),
    "weighted": Colours("#fff8c5", "#d4a72c", "#352a05", "#bb8009"),
    "output": Colours("#dafbe1", "#4ac26b", "#04260f", "#2ea043"),
}


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        id: its own among the nodes.
        title: the first line, emphasised.
        details: the lines below.
        kind: gives the colour.
        group: the lines of a label; neighbours in the list of nodes that have the same one are
            framed together.
    """

    id: str
    title: str
    details: tuple[str, ...] = ()
    kind: Kind = "operation"
    group: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """An arrow from one node to another, by their ids."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """Boxes and arrows that fit on a page.

    Attributes:
        title: what it is, in a line.
        nodes: at least one, each after all that have an arrow to it.
        edges: several may join the same two nodes.
        note: how to read it, in a line.

    Raises:
        AnexaError: it is too large for a page.
    """

    title: str
    nodes: list[Node]
    edges: list[Edge]
    note: str = ""
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_size(len(self.nodes), len(self.edges))
        index = {node.id: i for i, node in enumerate(self.nodes)}
        assert len(index) == len(self.nodes) > 0
        assert all(index[edge.source] < index[edge.target] for edge in self.edges)
        object.__setattr__(self, "index", index)

    def stages(self) -> Iterator[tuple[tuple[str, ...], list[int]]]:
        """The label of each group with the numbers of its nodes; () for those in between."""
        for group, nodes in groupby(self.nodes, key=lambda node: node.group):
            yield group, [self.index[node.id] for node in nodes]


def check_size(n_nodes: int, n_edges: int) -> None:
    """Refuse what would be no picture any more.

    Raises:
        AnexaError: there are more nodes or edges than fit on a page.
    """
    for count, limit, name in ((n_nodes, MAX_NODES, "nodes"), (n_edges, MAX_EDGES, "arrows")):
        if count > limit:
            raise AnexaError(
                f"this graph has {count:,} {name}, and a page holds {limit}: "
                "draw a part of it, such as a shorter expression or a model with fewer layers"
            )


def number(x: float) -> str:
    """A number as one would write it: 4 significant digits, whole numbers below a million whole."""
    text = f"{x:.0f}" if x == int(x) and abs(x) < 1e6 else f"{x:.4g}"
    return text.replace("-", MINUS) if x else "0"  # not "-0"


def plain(text: str) -> str:
    """The text in one line, without characters that no picture can show."""
    return "".join(char if char.isprintable() else " " for char in text)


def to_mermaid(graph: Graph) -> str:
    """The graph in Mermaid, which GitHub, GitLab and many editors draw in Markdown."""
    title = json.dumps(plain(graph.title), ensure_ascii=False)  # valid YAML, too
    lines = ["---", f"title: {title}", "---", "flowchart TB"]
    if graph.note:
        lines.append(f"%% {plain(graph.note)}")
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
        lines.append(f"n{graph.index[edge.source]} -->{label} n{graph.index[edge.target]}")
    for kind, colours in KINDS.items():
        style = f"fill:{colours.fill},stroke:{colours.stroke},color:#1f2328"
        lines.append(f"classDef {kind} {style}")
    return "\n".join(lines) + "\n"


def mermaid_text(*lines: str) -> str:
    """Lines for between double quotes, with what Mermaid or Markdown might take up as numbers."""

    def escape(line: str) -> str:
        # An underscore within a word means nothing to Markdown: names of weights stay readable.
        special = rf"[^\w .,:=()/→…{TIMES}{MINUS}]|(?<![^\W_])_|_(?![^\W_])"
        return re.sub(special, lambda match: f"#{ord(match[0])};", plain(line))

    return "<br/>".join(map(escape, lines))


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz' language: `dot -Tsvg` and many other tools draw it."""
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
            colours = KINDS[node.kind]
            label = dot_text(node.title, *node.details)
            lines.append(
                f'n{i} [label="{label}" fillcolor="{colours.fill}" color="{colours.stroke}"]'
            )
        if group:
            lines.append("}")
    for edge in graph.edges:
        label = f' [label="{dot_text(edge.label)}"]' if edge.label else ""
        lines.append(f"n{graph.index[edge.source]} -> n{graph.index[edge.target]}{label}")
    return "\n".join([*lines, "}"]) + "\n"


def dot_text(*lines: str) -> str:
    r"""Lines for between double quotes, where \ begins an escape and & an HTML entity."""

    def escape(line: str) -> str:
        return plain(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")

    return "\\n".join(map(escape, lines))
