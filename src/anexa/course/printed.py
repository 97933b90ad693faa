"""Output of a reader's file: its first and last lines are kept, in bounded memory."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from typing import IO

# Maximum number of lines that are shown from the beginning, and from the end.
MAX_FIRST_LINES, MAX_LAST_LINES = 100, 10
MAX_LINE_BYTES = 100  # maximum mean length: the first lines have at most 100 * 100 bytes together
_CHUNK = 1 << 16  # bytes that are read at once


class Excerpt:
    """The first and the last lines of a text that may be endless.

    Args:
        show: function that shows a part of the text: called in `add` for the first lines, and in
            `close` for the last ones.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Lines and bytes that may still be shown as first lines.
        self._lines, self._bytes = MAX_FIRST_LINES, MAX_FIRST_LINES * MAX_LINE_BYTES
        self._is_in_line = False  # whether what is shown ends within a line
        self._last = b""  # end of the text after the first lines
        self._last_lines = self._last_bytes = 0  # counts of all the text after the first lines

    def add(self, chunk: bytes) -> None:
        """Add the next bytes of the text (UTF-8, else U+FFFD), and show its first lines."""
        if not self._last_bytes:
            end = self._end_of_first_lines(chunk)
            if end:
                self._show(self._decoder.decode(chunk[:end]))
                self._is_in_line = not chunk[:end].endswith(b"\n")
            self._lines -= chunk.count(b"\n", 0, end)
            self._bytes -= end
            chunk = chunk[end:]
        self._last_bytes += len(chunk)
        self._last_lines += chunk.count(b"\n")
        self._last = (self._last + chunk)[-MAX_LAST_LINES * MAX_LINE_BYTES :]

    def close(self) -> None:
        """Show the last lines, and how much of the text is left out before them.

        What is shown ends with the end of a line.
        """
        end = self._last
        if self._last_bytes > len(end):  # it may begin within a line or a character
            end = end.partition(b"\n")[2] or end.lstrip(bytes(range(0x80, 0xC0)))
        end = b"".join(end.splitlines(keepends=True)[-MAX_LAST_LINES:])
        left_out = self._last_bytes - len(end)
        if left_out:
            lines = self._last_lines - end.count(b"\n")
            count = f"{lines:,} line{'s' * (lines > 1)}" if lines else f"{left_out:,} bytes"
            self._show("\n" * self._is_in_line + f"… {count} left out …\n")
            self._is_in_line = False
        if end:
            self._show(end.decode("utf-8", "replace") if left_out else self._decoder.decode(end))
            self._is_in_line = not end.endswith(b"\n")
        if self._is_in_line:
            self._show("\n")

    def _end_of_first_lines(self, chunk: bytes) -> int:
        """Return how many bytes of a chunk still belong to the first lines."""
        end = 0
        for _ in range(self._lines):
            line_end = chunk.find(b"\n", end) + 1
            if not line_end or line_end > self._bytes:
                # A line that has not ended yet, or is too long for what is left.
                return len(chunk) if len(chunk) <= self._bytes else end or self._bytes
            end = line_end
        return end


def read_all(stream: IO[bytes], excerpt: Excerpt) -> None:
    """Add all bytes of a stream to an excerpt, which stays open; close the stream at its end.

    The stream needs a file descriptor, from which it is read as soon as there are bytes.
    """
    with stream:
        while chunk := os.read(stream.fileno(), _CHUNK):
            excerpt.add(chunk)
