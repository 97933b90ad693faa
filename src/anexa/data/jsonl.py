"""Reader of JSON Lines: one JSON object a line, with its line number; bad lines refused or counted.

{"text": "Once upon a time."}
{"text": "The end."}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from anexa.errors import AnexaError, short_repr
from anexa.names import shown

MAX_ROW_CHARS = 64_000_000  # maximum characters of a line, which bounds the memory of a row


class Row(NamedTuple):
    """A row of a JSON Lines file.

    Attributes:
        line: line number, from 1.
        fields: values of its JSON object by key.
    """

    line: int
    fields: dict[str, Any]


class BadRowError(AnexaError):
    """Error about one row, such as `is not JSON`.

    Args:
        problem: predicate of the error message, such as "is not JSON"; bad rows with the same
            predicate are counted together.
        detail: end of the error message, such as a value of this row; appended to the predicate.

    Attributes:
        problem: the predicate, without the detail.
    """

    def __init__(self, problem: str, detail: str = "") -> None:
        super().__init__(problem + detail)
        self.problem = problem


class BadRows:
    """Handler of bad rows: refuses the first one, or counts all of them by their problem.

    Args:
        where: name of the file, for error messages.
        skip: whether bad rows are left out and counted.
        unit: noun for a row in messages, such as "line" or "row".

    Attributes:
        where: name of the file.
    """

    def __init__(self, where: str, skip: bool = False, unit: str = "line") -> None:
        self.where, self._skip, self._unit = shown(where), skip, unit
        self._counts: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def add(self, number: int, error: BadRowError) -> None:
        """Count a bad row under its problem, or raise an error if bad rows are not left out.

        Args:
            number: number of the row, from 1.
            error: error that the reader of the row raised.

        Raises:
            AnexaError: if bad rows are not left out; its message names the file and the row, and
                its cause is `error`.
        """
        if not self._skip:
            raise AnexaError(
                f"{self._unit} {number:,} of {self.where} {error}: correct it, or leave out what "
                "cannot be read with --skip-bad"
            ) from error
        self._counts[error.problem] = self._counts.get(error.problem, 0) + 1
        self._first.setdefault(error.problem, number)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each problem: how many rows have it, and which is the first.

        The result is empty if no bad row was counted.
        """
        notes = []
        for problem, count in self._counts.items():
            first = f"{self._unit} {self._first[problem]:,}"
            many = f"{count:,} {self._unit}s, of which the first, {first}, {problem}"
            notes.append(
                f"left out: {first}, which {problem}" if count == 1 else f"left out: {many}"
            )
        return tuple(notes)


def read_rows(chunks: Iterable[str], bad_rows: BadRows) -> Iterator[Row]:
    """Read the rows of a JSON Lines text.

    Blank lines at its end are passed over; a blank line before them is a bad row.

    Args:
        chunks: the text in chunks of any length, with line ends as "\\n".
        bad_rows: handler of the bad rows: lines that are blank or that `parse_row` refuses.

    Raises:
        AnexaError: if a line is bad and `bad_rows` does not leave it out, or has more than
            `MAX_ROW_CHARS` characters.
    """
    empty_lines: list[int] = []  # since the last line with text
    for number, line in enumerate(_lines(chunks, bad_rows.where), 1):
        if not line.strip():
            empty_lines.append(number)
            continue
        for empty in empty_lines:
            bad_rows.add(empty, BadRowError("is empty"))
        empty_lines = []
        try:
            fields = parse_row(line)
        except BadRowError as error:
            bad_rows.add(number, error)
        else:
            yield Row(number, fields)


def parse_row(line: str) -> dict[str, Any]:
    """Parse the JSON object in a line of a JSON Lines file.

    Raises:
        BadRowError: if the line is not JSON or not an object, repeats a key, is nested too deeply,
            or has NaN, Infinity, a number of thousands of digits, or half of a UTF-16 pair.
    """
    try:
        value = json.loads(line, object_pairs_hook=_object, parse_constant=_refuse_constant)
        if "\\u" in line:  # may be half of a UTF-16 pair, which cannot be encoded
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(line.rstrip()) or error.msg.startswith("Unterminated string")
        if is_cut:
            raise BadRowError("is cut off: its JSON does not end") from error
        raise BadRowError("is not JSON", f" ({error.msg}, at character {error.pos + 1})") from error
    except UnicodeEncodeError as error:
        raise BadRowError("has half of a UTF-16 pair, which is no character") from error
    except RecursionError as error:
        raise BadRowError("is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise BadRowError("has a number that is too long") from error
    if not isinstance(value, dict):
        raise BadRowError("is not a JSON object", f" but {short_repr(value)}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict of the keys and values of an object, and refuse a repeated key.

    The parser would keep only the last value of such a key.

    Raises:
        BadRowError: if a key is repeated.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRowError("has a key twice", f", {short_repr(twice)}")
    return fields


def _refuse_constant(name: str) -> None:
    raise BadRowError("is not JSON", f" ({name} is no number of JSON)")


def _lines(chunks: Iterable[str], where: str) -> Iterator[str]:
    """Split a text at its line ends; joins the parts of a line only once, at its end."""
    parts: list[str] = []
    length = number = 0
    for chunk in chunks:
        *ended, rest = chunk.split("\n")
        for line in ended:
            number += 1
            yield "".join([*parts, line]) if parts else line
            parts, length = [], 0
        if rest:
            parts.append(rest)
            length += len(rest)
        if length > MAX_ROW_CHARS:
            raise AnexaError(
                f"line {number + 1:,} of {where} has more than {MAX_ROW_CHARS:,} "
                "characters: a row of JSON Lines must be on a line of its own"
            )
    if parts:
        yield "".join(parts)
