"""Chapters as Jupyter notebooks: generated from the Markdown, which stays the only source."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from typing import Any

from anexa.course.chapters import CODE_BLOCK_PATTERN, TEACHERS_HEADING, Chapter
from anexa.course.terminal import to_terminal

_RAISES = {"tags": ["raises-exception"]}  # running all cells goes on after the exception
_HINT = (
    "In this notebook: begin the cell of your solution with the line `%%writefile mine.py`, and "
    "write `!` before the command."
)


def to_notebook(chapter: Chapter, student: str) -> str:
    """Convert a chapter to a notebook without results: the reader's own Python computes them.

    The notes for teachers are left out, so that a notebook can be handed to a class.

    Args:
        chapter: chapter to convert.
        student: name that draws the numbers for computing by hand; empty: those in the file.

    Returns:
        JSON in version 4.4 of the format of notebooks.

    Raises:
        UsageError: if the name is too long or not printable.
    """
    text, cells, end = to_terminal(chapter, student).partition(TEACHERS_HEADING)[0], [], 0
    for block in CODE_BLOCK_PATTERN.finditer(text):
        if block[1] == "python":
            cells += [_text(text[end : block.start()]), *_code(block[2])]
            end = block.end()
    cells.append(_text(f"{text[end:].rstrip()}\n\n{_HINT}"))
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": python, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.strip()}


def _code(block: str) -> Iterator[dict[str, Any]]:
    """Yield cells of code; a result ends its cell, because only the last one of a cell is shown."""
    sources: list[str] = []
    examples = doctest.DocTestParser().get_examples(block)
    for i, example in enumerate(examples, start=1):
        sources.append(example.source)
        if example.want or i == len(examples):
            yield {
                "cell_type": "code",
                "execution_count": None,
                "metadata": _RAISES if example.exc_msg else {},
                "outputs": [],
                "source": "".join(sources).rstrip("\n"),
            }
            sources = []
