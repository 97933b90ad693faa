"""Pages of docs/, the blocks in them that tests run, and a text to run them on."""

from __future__ import annotations

import re

from tests.conftest import ROOT

# Text to train on in the place of the reader's own.
TEXT = "Sherlock Holmes, who was usually very late in the mornings, was seated at the table. " * 40


def read_page(name: str) -> str:
    """Return the text of a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def run_blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block after the comment `<!-- run -->`."""
    return re.findall(r"^<!-- run -->\n```(\w+)\n(.*?)^```", page, flags=re.M | re.S)
