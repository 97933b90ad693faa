"""Counts of what the readers of a corpus leave out or convert, and the notes about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from anexa.data.jsonl import BadRows
from anexa.errors import AnexaError
from anexa.names import counted, shown

MAX_LISTED_FILES = 5  # files, or endings of files, that a note names


class Tally:
    """Counter of what is left out or converted in one reading of a corpus.

    Args:
        skip_bad: whether bad rows and files are counted and left out; otherwise the first one
            raises.
    """

    def __init__(self, skip_bad: bool = False) -> None:
        self._skip_bad = skip_bad
        self._left_out: Counter[str] = Counter()
        self._endings: Counter[str] = Counter()
        self._encodings: Counter[str] = Counter()
        self._bad_rows: list[BadRows] = []
        self._said: dict[str, None] = {}
        self._files_with_rows: list[str] = []
        self._cut_files: list[str] = []

    def count_left_out(self, noun: str) -> None:
        """Count a file or document that is left out.

        Args:
            noun: noun for it in the note, in the singular, such as "empty file".
        """
        self._left_out[noun] += 1

    def count_unread_ending(self, ending: str) -> None:
        """Count a file of a folder that is not read because of the ending of its name.

        Args:
            ending: ending with its dot, such as ".png"; "" for none.
        """
        self._endings[ending or "no ending"] += 1

    def count_encoding(self, name: str) -> None:
        """Count a file that is decoded from another encoding than UTF-8.

        Args:
            name: name of the encoding in the note, such as "UTF-16".
        """
        self._encodings[name] += 1

    def add_note(self, sentence: str) -> None:
        """Add a sentence to the notes, unless it is among them already."""
        self._said[sentence] = None

    def add_file_with_rows(self, path: str) -> None:
        """Record a file with rows that is read from a folder or archive, to name it in a note."""
        self._files_with_rows.append(path)

    def row_handler(self, where: str, unit: str) -> BadRows:
        """Create a handler of the bad rows of a file, whose notes are among those of the tally.

        Args:
            where: name of the file, for error messages.
            unit: noun for a row in messages, such as "line" or "row".
        """
        self._bad_rows.append(BadRows(where, self._skip_bad, unit))
        return self._bad_rows[-1]

    def count_bad_file(self, error: AnexaError, path: str = "", num_read: int = 0) -> None:
        """Count a file of a folder that cannot be read.

        Args:
            error: error that the reader of the file raised.
            path: path of the file in the folder, to name it if a part of it was read.
            num_read: number of its rows that were read before the error.

        Raises:
            AnexaError: without --skip-bad; its cause is `error`.
        """
        if not self._skip_bad:
            raise AnexaError(
                f"{error}, or leave out what cannot be read with --skip-bad"
            ) from error
        if num_read:
            self._cut_files.append(f"{shown(path)} after {counted(num_read, 'row')}")
        else:
            self._left_out["unreadable file"] += 1

    def notes(self) -> tuple[str, ...]:
        """Return the notes for the user, such as "left out: 3 empty files"; () for none."""
        notes = list(self._said)
        if self._files_with_rows:
            files = counted(len(self._files_with_rows), "file")
            paths = _listed(list(map(shown, self._files_with_rows)))
            notes.append(f"read: the rows of {files} ({paths})")
        for encoding, count in sorted(self._encodings.items()):
            notes.append(f"read as {encoding}: {counted(count, 'file')}")
        for rows in self._bad_rows:
            notes += rows.notes()
        if self._cut_files:
            notes.append(f"left out: the rest of damaged files ({_listed(self._cut_files)})")
        for what, count in sorted(self._left_out.items()):
            notes.append(f"left out: {counted(count, what)}")
        if self._endings:
            often = sorted(self._endings.items(), key=lambda item: (-item[1], item[0]))
            listed = _listed([f"{ending} {count:,}" for ending, count in often])
            count = sum(self._endings.values())
            notes.append(f"left out: {counted(count, 'file')} of other kinds ({listed})")
        return tuple(notes)


def _listed(words: Sequence[str]) -> str:
    """Join the first `MAX_LISTED_FILES` words to a list in a sentence."""
    return ", ".join(words[:MAX_LISTED_FILES]) + ", …" * (len(words) > MAX_LISTED_FILES)
