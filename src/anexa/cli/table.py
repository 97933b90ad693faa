"""Tables: fitted to the width of a terminal, or plain aligned lines for a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from anexa.names import shown

UNKNOWN_CELL = "–"  # cell of a value that is not known


def show_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str]
) -> None:
    """Print a table with a header row to standard output, with its unprintable characters escaped.

    Args:
        headers: header of each column.
        rows: cells of each row, one for each header.
        right: headers of the columns that are right-aligned.
    """
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in headers:
        table.add_column(
            Text(shown(head)), justify="right" if head in right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    if console.is_terminal:
        console.print(table)
        return
    console.width = 10_000  # a pipe has no width: no line is wrapped
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def format_cell(value: float | None, form: str = ",.0f") -> str:
    """Format a number by a format specification, or return `UNKNOWN_CELL` for None."""
    return UNKNOWN_CELL if value is None else f"{value:{form}}"
