"""Export of a graph to SVG, without external fonts, styles or scripts."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from anexa.graph.drawing import NODE_COLORS, Graph, Node, replace_unprintable
from anexa.graph.layout import Box, GraphLayout, Point, layout_graph

# Lengths and font sizes are in SVG units.
MARGIN = 24.0  # around the drawing
PADDING = 12.0  # around the text of a box
TITLE_SIZE, DETAIL_SIZE = 14.0, 12.0  # font sizes of a box: first line, other lines and labels
LINE_HEIGHT = 17.0  # distance between lines of text
ROW_GAP = 38.0  # between rows, for the arrows
ARROW_LENGTH = 9.0  # length of the head of an arrow
LABEL_LIFT = 14.0  # from the tip of an arrow to the middle of its label
HEADING_SIZE = 17.0  # font size of the title of the drawing

# Fonts differ between computers, but the widths of monospaced characters hardly do.
FONT_FAMILY = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
CHARACTER_WIDTH = 0.615  # width of a character / font size


def text_width(text: str, size: float) -> float:
    """Estimate the width of a line of text at a font size, both in SVG units.

    Chinese, Japanese and Korean characters count twice.
    """
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text) * size * CHARACTER_WIDTH


def layout_texts(graph: Graph) -> GraphLayout:
    """Compute the layout of a graph, with boxes large enough for texts and arrow labels."""
    labels_width = [0.0] * len(graph.nodes)  # of the labels of the arrows to a node, side by side
    for i in range(len(graph.nodes)):
        labels = [edge.label for edge in graph.edges if edge.target == i]
        widest = max(
            (text_width(replace_unprintable(label), DETAIL_SIZE) for label in labels), default=0
        )
        labels_width[i] = len(labels) * (widest + 12)
    sizes = []
    for i, node in enumerate(graph.nodes):
        widths = [text_width(replace_unprintable(line), DETAIL_SIZE) for line in node.details]
        text = max(text_width(replace_unprintable(node.title), TITLE_SIZE), *widths, 30.0)
        sizes.append(
            (max(text + 2 * PADDING, labels_width[i]), LINE_HEIGHT * (1 + len(widths)) + PADDING)
        )
    stages = [stage for stage, (_, nodes) in enumerate(graph.stages()) for _ in nodes]
    edges = [(edge.source, edge.target) for edge in graph.edges]
    labeled = {edge.target for edge in graph.edges if edge.label}
    gaps = [ROW_GAP + (LABEL_LIFT + 8 if i in labeled else 0) for i in range(len(graph.nodes))]
    return layout_graph(sizes, edges, stages, gaps)


def to_svg(graph: Graph) -> str:
    """Convert a graph to SVG, with colors for light and dark pages."""
    layout = layout_texts(graph)
    lines = (replace_unprintable(graph.title), replace_unprintable(graph.note))
    heading = [line for line in lines if line]
    top = MARGIN + 26 * len(heading) + 4
    groups = [group for group, _ in graph.stages()]
    gutter = max((text_width(line, TITLE_SIZE) for group in groups for line in group), default=0)
    left = MARGIN + (gutter + 2 * PADDING if gutter else 0)
    heading_width = max(text_width(line, HEADING_SIZE) for line in [*heading, ""])
    width = max(left + layout.width, MARGIN + heading_width) + MARGIN
    if not gutter:
        left = (width - layout.width) / 2
    height = top + layout.height + MARGIN

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(replace_unprintable(graph.title))}</title>",
        f"<style>{STYLE_SHEET}</style>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" orient="auto" '
        f'markerWidth="{ARROW_LENGTH}" markerHeight="{ARROW_LENGTH}" markerUnits="userSpaceOnUse">'
        '<path class="head" d="M0,1 L10,5 L0,9 z"/></marker></defs>',
        f'<rect class="page" width="{width:.1f}" height="{height:.1f}"/>',
    ]
    for i, line in enumerate(heading):
        style = "note" if i else "heading"
        parts.append(draw_text(MARGIN, MARGIN + 14 + 24 * i, line, style))
    for group, (upper, lower) in zip(groups, layout.stages):
        if group:
            band = Box(MARGIN / 2, top + upper - 16, width - MARGIN, lower - upper + 32)
            parts.append(draw_rectangle(band, "band", radius=12))
            for i, line in enumerate(group):
                style = "note" if i else "title"
                parts.append(
                    draw_text(
                        MARGIN, top + upper + 12 + LINE_HEIGHT * i, replace_unprintable(line), style
                    )
                )
    parts.append(f'<g transform="translate({left:.1f},{top:.1f})">')
    parts += [draw_edge(route) for route in layout.routes]
    for edge, route in zip(graph.edges, layout.routes):
        if edge.label:
            x, y = route[-1]
            y += DETAIL_SIZE * 0.36 - ARROW_LENGTH - LABEL_LIFT
            parts.append(draw_text(x, y, replace_unprintable(edge.label), "label", "middle"))
    for node, box in zip(graph.nodes, layout.boxes):
        parts += draw_node(node, box)
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def draw_node(node: Node, box: Box) -> list[str]:
    """Return the SVG elements of a node: its box and its text."""
    middle, first = box.x + box.width / 2, box.y + PADDING / 2 + LINE_HEIGHT * 0.75
    parts = [draw_rectangle(box, f"node {node.kind}", radius=7)]
    for i, line in enumerate((node.title, *node.details)):
        style = "detail" if i else "title"
        parts.append(
            draw_text(middle, first + LINE_HEIGHT * i, replace_unprintable(line), style, "middle")
        )
    return parts


def draw_rectangle(box: Box, style: str, radius: float) -> str:
    """Return the SVG element of a rectangle with round corners.

    Args:
        box: position and size.
        style: name of the class in the style sheet.
        radius: radius of the corners.
    """
    return (
        f'<rect class="{style}" x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius}"/>'
    )


def draw_text(x: float, y: float, line: str, style: str, anchor: str = "start") -> str:
    """Return the SVG element of a line of text.

    Args:
        x: horizontal position of the text's anchor.
        y: vertical position of the baseline.
        line: text.
        style: name of the class in the style sheet.
        anchor: part of the text that is at `x`: "start", "middle" or "end".
    """
    position = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{style}" {position}>{escape(line)}</text>'


def draw_edge(route: list[Point]) -> str:
    """Return the SVG element of an arrow.

    It is straight beside the boxes of a row, and curved in the gaps between rows.

    Args:
        route: points of the arrow, from `GraphLayout.routes`.
    """
    path = "M{:.1f},{:.1f}".format(*route[0])
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(route)):
        middle = (y0 + y1) / 2
        bend = f"C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} " if i % 2 else "L"
        path += f" {bend}{x1:.1f},{y1:.1f}"
    return f'<path class="edge" d="{path}" marker-end="url(#arrow)"/>'


def style_sheet() -> str:
    """Return CSS with colors for light pages, and for dark ones if the system prefers them."""
    light = [f".{kind}{{fill:{c.fill};stroke:{c.stroke}}}" for kind, c in NODE_COLORS.items()]
    dark = [
        f".{kind}{{fill:{c.dark_fill};stroke:{c.dark_stroke}}}" for kind, c in NODE_COLORS.items()
    ]
    return "\n".join(
        [
            f"text{{font-family:{FONT_FAMILY};font-size:{DETAIL_SIZE}px;fill:#1f2328}}",
            f".title{{font-size:{TITLE_SIZE}px;font-weight:600}}",
            f".heading{{font-size:{HEADING_SIZE}px;font-weight:600}}",
            ".note,.detail{fill:#57606a}",
            ".label{stroke:#ffffff;stroke-width:5px;stroke-linejoin:round;paint-order:stroke}",
            ".node{stroke-width:1.5px}",
            ".edge{fill:none;stroke:#8c959f;stroke-width:1.5px}",
            ".head{fill:#8c959f}",
            ".page{fill:#ffffff}",
            ".band{fill:#f6f8fa;stroke:#d0d7de;stroke-dasharray:5 4}",
            *light,
            "@media (prefers-color-scheme: dark){",
            "text{fill:#e6edf3}",
            ".note,.detail{fill:#9aa4af}",
            ".label{stroke:#0d1117}",
            ".edge{stroke:#6e7681}",
            ".head{fill:#6e7681}",
            ".page{fill:#0d1117}",
            ".band{fill:#12171e;stroke:#30363d}",
            *dark,
            "}",
        ]
    )


STYLE_SHEET = style_sheet()  # style sheet of every drawing
