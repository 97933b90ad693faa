"""Chapters in a terminal: as Markdown that `rich` renders."""

from __future__ import annotations

import re

from anexa.course.chapters import CODE_BLOCK_PATTERN, Chapter, parse_live_view

# Link to another chapter; group 1 is its text.
CHAPTER_LINK_PATTERN = re.compile(r"\[([^\]]*)\]\(\d\d-[\w-]+\.md\)")


def to_terminal(chapter: Chapter, student: str) -> str:
    """Return a chapter as Markdown, with its live views as quotations, and no links to others.

    Args:
        chapter: chapter to convert.
        student: name that draws the numbers for computing by hand; empty: those in the file.

    Raises:
        UsageError: if the name is too long or not printable.
    """

    def convert(kind: str, content: str) -> str:
        if kind == "glass-box":
            view = parse_live_view(content)
            return f"> **In the glass box** (`anexa learn`): {view.caption}"
        return f"```{'text' if kind == 'yours' else kind}\n{content}```"

    text = CODE_BLOCK_PATTERN.sub(
        lambda block: convert(block[1], block[2]), chapter.for_student(student)
    )
    return CHAPTER_LINK_PATTERN.sub(r"\1", text)
