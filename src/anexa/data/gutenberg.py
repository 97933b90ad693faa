"""What Project Gutenberg puts around a book, taken off."""

from __future__ import annotations

import re

# "*** START OF THE PROJECT GUTENBERG EBOOK A TITLE ***", with THIS for THE and without the first
# space in older revisions; in some of them a long title runs on into a second line.
_TITLE = r"TH(?:E|IS) PROJECT GUTENBERG(?:(?:[^*\n]|\n(?![ \t]*\n)){0,300}\*\*\*[^\n]*|[^\n]*)$"
_START = re.compile(rf"^\*\*\*[ \t]*START OF {_TITLE}", re.IGNORECASE | re.MULTILINE)
_END = re.compile(rf"^\*\*\*[ \t]*END OF {_TITLE}", re.IGNORECASE | re.MULTILINE)

# Older revisions also have these two paragraphs, inside the markers.
_CREDITS = re.compile(r"\A\s*(?:Produced by|E-?text prepared by) (?:[^\n]+\n)+", re.IGNORECASE)
_FAREWELL = re.compile(r"^End of (?:the |this )?Project Gutenberg[^\n]*(?:\n[^\n]+)*\s*\Z", re.M)

_BLANK_LINES_FIRST = re.compile(r"\A(?:[ \t]*\n)+")


def strip_gutenberg(text: str) -> str:
    """The book without Project Gutenberg's header and footer, whichever revision it is.

    `text` has "\\n" for line ends and no byte order mark. Blank lines between the book and a
    header or footer go with it. A text with neither comes back unchanged.
    """
    if start := _START.search(text):
        text = _CREDITS.sub("", text[start.end() :], count=1)
        text = _BLANK_LINES_FIRST.sub("", text)
    # The last one: a book may quote such a line, the licence behind it does not.
    ends = list(_END.finditer(text))
    if ends:
        text = _FAREWELL.sub("", text[: ends[-1].start()], count=1).rstrip() + "\n"
    return text
