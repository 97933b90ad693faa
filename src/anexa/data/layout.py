"""Guess of a text's layout: a document a line, or running text."""

from __future__ import annotations

import unicodedata

from anexa.data.reading import Source
from anexa.data.registry import Layout

LAYOUT_SAMPLE_CHARS = 2**20  # characters at the start of a text from which its layout is guessed

# Unicode categories of the characters that often end a line of verse or prose, and seldom an entry
# of a list: full stops and similar punctuation in all scripts, dashes, closing quotes.
_LINE_END_CLASSES = ("Po", "Pd", "Pf")


def guess_layout(text: str) -> Layout:
    """Guess whether each line of a text is a document ("lines"), or it is running text ("text").

    The layout is "lines" if all of the following hold: the text has at least two lines that are not
    blank; such a line has on average at most four words and forty characters; fewer than 10 % of
    these lines are indented or end in punctuation, as in verse, prose and code; at most 1 % of all
    lines are blank, apart from blank lines at the start and the end.

    Args:
        text: beginning of the corpus, as `read_head` returns it.
    """
    lines = text.strip().split("\n")
    entries = [line.rstrip() for line in lines if line.strip()]
    n = len(entries)
    n_prosaic = sum(
        line[0].isspace() or unicodedata.category(line[-1]) in _LINE_END_CLASSES for line in entries
    )
    is_list = (
        n >= 2
        and sum(len(line.split()) for line in entries) <= 4 * n
        and sum(len(line) for line in entries) <= 40 * n
        and 10 * n_prosaic < n
        and 100 * (len(lines) - n) <= len(lines)
    )
    return "lines" if is_list else "text"


def read_head(source: Source) -> str:
    """Return the beginning of a text: about `LAYOUT_SAMPLE_CHARS` characters, in whole lines.

    A shorter text is returned whole. A text whose first line is longer is cut within it.
    """
    head = ""
    for chunk in source():
        head += chunk
        if len(head) >= LAYOUT_SAMPLE_CHARS:
            return head[: head.rfind("\n") + 1] or head
    return head
