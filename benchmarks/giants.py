"""Accuracy by digits of a thinking model beside published figures: tables, and a picture.

    anexa eval --problems 2000 --json > RESULTS.json
    python benchmarks/giants_speed.py > SPEED.json
    python benchmarks/giants.py [RESULTS.json] [--speed SPEED.json] [--page docs/giants.md]
                                [--picture docs/pictures/giants.svg]

Without files, the newest `*-arithmetic.json` and `*-giants-speed.json` of benchmarks/results, and
if there are none, the published figures alone. Prints the tables as Markdown, each under its name.
With --page they replace those of a page, between `<!-- giants: NAME -->` and `<!-- giants end -->`;
with --picture the picture is drawn, which needs matplotlib. The published figures and their sources
are in `giants_published.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from giants_picture import draw
from giants_tables import Measured, sections

from anexa.errors import AnexaError
from anexa.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PRODUCT_FIELDS = {"question", "right", "tokens", "first_token_seconds", "seconds"}
SECTION = re.compile(r"(<!-- giants: (\w+) -->\n).*?(<!-- giants end -->)", re.DOTALL)


def newest(pattern: str) -> Path | None:
    """Find the last file of benchmarks/results by name; names begin with the date."""
    return max(RESULTS.glob(pattern), default=None)


def read(results: Path | None, speed: Path | None) -> Measured:
    """Read the measured figures.

    Raises:
        AnexaError: if a file cannot be read, or is not a report of its command.
    """
    tasks: dict[str, dict[str, Any]] = {}
    if results:
        rows = _load(results, "tasks", {"task", "thinking"}, "anexa eval --json")["tasks"]
        tasks = {row["task"]: row["thinking"] for row in rows}
    report = _load(speed, "products", PRODUCT_FIELDS, "giants_speed.py") if speed else None
    return Measured(tasks, report, _shown(results), _shown(speed))


def _load(path: Path, part: str, fields: set[str], command: str) -> dict[str, Any]:
    """Read a report whose list `part` has rows with these fields."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnexaError(f"{path}: {error.strerror}") from None
    except ValueError:
        report = None
    rows = report.get(part) if isinstance(report, dict) else None
    if not rows or not all(fields <= set(row) for row in rows):
        raise AnexaError(f"{path} is not the output of {command}")
    assert isinstance(report, dict)
    return report


def _shown(path: Path | None) -> str | None:
    """Link a file of benchmarks/results; only name another."""
    if path is None:
        return None
    inside = path.resolve().parent == RESULTS
    return f"[{path.name}](../benchmarks/results/{path.name})" if inside else path.name


def fill(page: str, texts: dict[str, str]) -> str:
    """Replace the sections of a page.

    Raises:
        AnexaError: if the page has a section of an unknown name, or none.
    """
    names = [match[2] for match in SECTION.finditer(page)]
    if not names or not set(names) <= set(texts):
        raise AnexaError(f"the page needs sections of these names: {', '.join(texts)}")
    return SECTION.sub(lambda match: f"{match[1]}{texts[match[2]]}\n{match[3]}", page)


def main() -> None:
    """Print the tables; update the page and draw the picture, if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", nargs="?", type=Path, default=newest("*-arithmetic.json"))
    parser.add_argument("--speed", type=Path, default=newest("*-giants-speed.json"))
    parser.add_argument("--page", type=Path, help="Markdown page to update")
    parser.add_argument("--picture", type=Path, help="picture to draw: .svg or .png")
    options = parser.parse_args()
    try:
        measured = read(options.results, options.speed)
        texts = sections(measured)
        for name, text in texts.items():
            print(f"## {name}\n\n{text}\n")
        if options.page:
            page = fill(options.page.read_text(encoding="utf-8"), texts)
            write_atomic(options.page, page.encode())
        if options.picture:
            draw(measured.tasks, options.picture)
    except AnexaError as error:
        sys.exit(f"giants.py: {error}")


if __name__ == "__main__":
    main()
