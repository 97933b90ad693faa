"""Removal of Project Gutenberg's header and footer from a book."""

from __future__ import annotations

import re

# "*** START OF THE PROJECT GUTENBERG EBOOK A TITLE ***". Older revisions have THIS for THE and no
# space after the asterisks; some break a long title into two lines.
_TITLE = r"TH(?:E|IS) PROJECT GUTENBERG(?:(?:[^*\n]|\n(?![ \t]*\n)){0,300}\*\*\*[^\n]*|[^\n]*)$"
_START = re.compile(rf"^\*\*\*[ \t]*START OF {_TITLE}", re.IGNORECASE | re.MULTILINE)
_END = re.compile(rf"^\*\*\*[ \t]*END OF {_TITLE}", re.IGNORECASE | re.MULTILINE)

# Older revisions also have these two paragraphs, inside the markers.
_CREDITS = re.compile(r"\A\s*(?:Produced by|E-?text prepared by) (?:[^\n]+\n)+", re.IGNORECASE)
_FAREWELL = re.compile(r"^End of (?:the |this )?Project Gutenberg[^\n]*(?:\n[^\n]+)*\s*\Z", re.M)

# Blank lines at the beginning of a text.
_BLANK_LINES_FIRST = re.compile(r"\A(?:[ \t]*\n)+")


def strip_gutenberg(text: str) -> str:
    """Remove Project Gutenberg's header and footer, of any revision.

    Blank lines next to them are removed too. A text without a header and footer is unchanged.

    Args:
        text: the text, with "\\n" as line ends and without a byte order mark.

    Returns:
        The book between header and footer.
    """
    if start := _START.search(text):
        text = _CREDITS.sub("", text[start.end() :], count=1)
        text = _BLANK_LINES_FIRST.sub("", text)
    # The last match: the book may quote such a line, but the license after it does not.
    ends = list(_END.finditer(text))
    if ends:
        text = _FAREWELL.sub("", text[: ends[-1].start()], count=1).rstrip() + "\n"
    return text
