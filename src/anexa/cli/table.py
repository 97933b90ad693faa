"""Tables: fitted to a terminal, and plain aligned lines for a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNKNOWN = "–"


def show_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str]
) -> None:
    """Print rows of texts below heads; the columns that `right` names end below one another."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    if console.is_terminal:
        console.print(table)
        return
    console.width = 10_000  # whoever reads lines wants them whole
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def figure(value: float | None, form: str = ",.0f") -> str:
    """A number as it is shown, or that there is none."""
    return UNKNOWN if value is None else f"{value:{form}}"
