"""Reader of `.csv` and `.tsv` files, in which one column of each row is a document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from anexa.data.jsonl import BadRowError
from anexa.data.sources.fields import DEFAULT_FIELD, choose_field, field_document
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError, short_repr

MAX_TABLE_LINE_CHARS = 2**27  # maximum number of characters of a line or a cell, which is in memory
DELIMITERS = ",;\t|"  # characters that may separate the columns
SAMPLE_LINES = 50  # lines from which the dialect is recognized


@dataclass(frozen=True)
class Dialect:
    """CSV dialect of a table: its delimiter, and how it writes a quote inside a quoted cell.

    Attributes:
        delimiter: character between the cells of a row.
        escape: escape character before a quote inside a quoted cell; None if such a quote is
            doubled.
    """

    delimiter: str
    escape: str | None = None

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Parse the rows of a table, whose cells may have line ends within quotes.

        This sets `csv.field_size_limit` to `MAX_TABLE_LINE_CHARS` for the whole process.

        Args:
            lines: lines of the table, each with its line end.

        Yields:
            The number of the last line of the row, from 1, and the cells of the row; a blank line
            is a row without cells.

        Raises:
            csv.Error: if a row cannot be read in this dialect.
        """
        # The limit holds for the whole process; the module has no other way to set it.
        csv.field_size_limit(MAX_TABLE_LINE_CHARS)
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=True,
        )
        for row in reader:
            yield reader.line_num, row


def table_documents(
    chunks: Iterable[str], field: str, where: str, tally: Tally, *, tabs: bool = False
) -> Iterator[str]:
    """Yield the documents of a table, whose first row names the columns.

    Args:
        chunks: pieces of the text of the table, which may end within a line.
        field: name of the column with the documents; "" for `DEFAULT_FIELD`.
        where: name of the file, for error messages.
        tally: counter of the bad rows that are left out; without --skip-bad, it raises for the
            first one.
        tabs: whether the columns are known to be separated by tabs; otherwise the delimiter is
            recognized from the first `SAMPLE_LINES` lines.

    Raises:
        UsageError: if the header has no such column.
        AnexaError: if a row is bad and --skip-bad is not given, or the quotes of a row are invalid,
            so that the start of the next row is unknown.
    """
    lines = split_lines(chunks, where)
    head = list(islice(lines, SAMPLE_LINES))
    dialect = recognize_dialect(head, field, "\t" if tabs else DELIMITERS)
    rows = dialect.rows(chain(head, lines))
    bad_rows = tally.row_handler(where, "line")
    header: list[str] = []
    column = last = 0
    try:
        for last, row in rows:
            if not row:  # a blank line
                continue
            if not header:
                header, column = row, row.index(choose_field(row, field, where))
                continue
            try:
                document = _document(row, header, column)
            except BadRowError as error:
                bad_rows.add(last, error)
            else:
                yield document
    except csv.Error as error:  # where the next row begins is unknown then
        raise AnexaError(
            f"{where} cannot be read as a table after line {last}: {short_repr(error)}; correct "
            "its quotes, or give --layout text to train on it as it is"
        ) from error


def _document(row: list[str], header: list[str], column: int) -> str:
    """Return the document in one column of a row.

    Args:
        row: cells of the row.
        header: names of the columns.
        column: index of the column with the documents.

    Raises:
        BadRowError: if the row is not as long as the header, or the document is bad.
    """
    if len(row) != len(header):
        raise BadRowError(f"does not have {len(header)} columns", f" but {len(row)}")
    return field_document(row[column], header[column])


def split_lines(chunks: Iterable[str], where: str) -> Iterator[str]:
    r"""Yield the lines of a text, each with the "\n" at its end.

    Args:
        chunks: pieces of the text, which may end within a line.
        where: name of the file, for error messages.

    Raises:
        AnexaError: if a line has more than `MAX_TABLE_LINE_CHARS` characters.
    """
    parts: list[str] = []
    size = number = 0
    for chunk in chunks:
        for line in io.StringIO(chunk, newline="\n"):
            parts.append(line)
            size += len(line)
            if size > MAX_TABLE_LINE_CHARS:
                raise AnexaError(
                    f"line {number + 1:,} of {where} has more than {MAX_TABLE_LINE_CHARS:,} "
                    "characters: split the document in it"
                )
            if line.endswith("\n"):
                yield "".join(parts)
                parts, size, number = [], 0, number + 1
    if parts:
        yield "".join(parts)


def recognize_dialect(head: list[str], field: str, delimiters: str = DELIMITERS) -> Dialect:
    """Return the dialect that fits the first lines of a table best.

    A dialect is better if its header has the wanted column; then, if all of its rows have the same
    number of cells; then, if its header has more cells.

    Args:
        head: first lines of the table, the header included.
        field: name of the wanted column; "" for `DEFAULT_FIELD`.
        delimiters: delimiters to try; if several fit equally well, the first one is chosen.

    Returns:
        The best of all dialects with one of the delimiters.
    """
    escapes = (None, "\\") if any('\\"' in line for line in head) else (None,)
    candidates = [Dialect(d, escape) for escape in escapes for d in delimiters]
    return max(candidates, key=lambda dialect: _score(dialect, head, field))


def _score(dialect: Dialect, head: list[str], field: str) -> tuple[bool, bool, int]:
    """Return the rank of a dialect; the largest one is the best.

    Returns:
        Whether the header has the wanted column, whether all rows have the same number of cells,
        and the number of cells of the header.
    """
    rows: list[list[str]] = []
    is_whole = True
    try:
        for _, row in dialect.rows(head):
            rows += [row] if row else []
    except csv.Error as error:
        # The last row may be cut off in the middle of a quoted text.
        is_whole = "unexpected end" in str(error)
    if not rows:
        return False, False, 0
    is_regular = is_whole and len({len(row) for row in rows}) == 1
    return (field or DEFAULT_FIELD) in rows[0], is_regular, len(rows[0])
