"""Chapters as HTML, for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from anexa.course.chapters import (
    CHAPTER_LINK_END_PATTERN,
    TEACHERS_HEADING,
    Chapter,
    parse_live_view,
)

# A line of a Python session, escaped for HTML: the prompt, and the code after it.
_PROMPT = re.compile(r"^(&gt;&gt;&gt; |\.\.\. ?)(.*)$", re.MULTILINE)


def to_html(chapter: Chapter, student: str) -> str:
    """Convert a chapter to the HTML of its content, without a page around it.

    The notes for teachers are folded. A live view is an `aside` with its address in `data-address`.

    Args:
        chapter: chapter to convert.
        student: name that draws the numbers for computing by hand; empty: those in the file.

    Raises:
        UsageError: if the name is too long or not printable.
    """
    markdown = _markdown().enable("table")
    markdown.add_render_rule("fence", _render_block)
    text = CHAPTER_LINK_END_PATTERN.sub(
        lambda link: f"](#/{int(link[1])})", chapter.for_student(student)
    )
    lesson, _, notes = text.partition(TEACHERS_HEADING)
    html: str = markdown.render(lesson)
    if notes:
        html += f"<details><summary>For teachers</summary>{markdown.render(notes)}</details>"
    return html


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})


def _render_block(_renderer: Any, tokens: Sequence[Token], i: int, *_rest: Any) -> str:
    kind, content = tokens[i].info.strip(), tokens[i].content
    if kind == "glass-box":
        view = parse_live_view(content)
        return (
            f'<aside class="live" data-address="{escapeHtml(view.address)}">'
            f"<p>{_markdown().renderInline(view.caption)}</p></aside>"
        )
    code = escapeHtml(content)
    if kind == "python":  # what is typed, and what Python answers
        code = _PROMPT.sub(r'<span class="prompt">\1</span><b>\2</b>', code)
    return f'<pre class="{escapeHtml(kind)}"><code>{code}</code></pre>'
