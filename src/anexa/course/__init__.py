"""The course: chapters to read, and exercises that exact engines check."""

from __future__ import annotations

import importlib.resources


def first_names() -> list[str]:
    """Return the first names that come with Anexa, in alphabetical order, in lower case."""
    file = importlib.resources.files("anexa.data") / "firstnames.txt"
    return file.read_text(encoding="utf-8").split()
