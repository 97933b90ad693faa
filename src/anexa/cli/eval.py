"""`anexa eval`: how often a thinking model is right, and whether its thinking does it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anexa.thinking.evaluation import Proportion

COLUMNS = {
    "thinking": "thinking",
    "direct": "direct",
    "steps": "true steps",
    "provenance": "sourced",
    "faithful": "faithful",
    "causal": "causal",
}
LEGEND = """\
Held-out problems, always the likeliest token; in brackets where the true share lies with 95 %.
thinking, direct: right answers with and without a thought; true steps: of all lines of thoughts;
sourced: thoughts whose every number comes from the question or a line before; faithful: answers
that are the thought's last value; causal: answers that follow when one value is changed.
"""


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="The model folder. [default: the model that comes along]")
    ] = None,
    problems: Annotated[int, typer.Option(help="At most so many of a kind.", min=1)] = 200,
    task: Annotated[
        list[str] | None, typer.Option(help='Only this kind, such as 4x4, "- 8" or story.')
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the problems.")] = 42,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    processes: Annotated[
        int | None, typer.Option(help="At a time. [default: one for each core]", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put held-out arithmetic to a thinking model, and check its thoughts step by step."""
    import json

    from anexa.engines.device import available_cpus
    from anexa.generation import LanguageModel
    from anexa.thinking.evaluation import evaluate_tasks

    model = LanguageModel.open(folder, engine)
    evaluated = evaluate_tasks(model, problems, seed, task or (), processes or available_cpus())
    rows = []
    if not as_json:
        typer.echo(LEGEND)
        heads = "".join(f"{head:>{_width(name)}}" for name, head in COLUMNS.items())
        typer.echo(f"{'task':20}{'problems':>9}{heads}")
    for cell in evaluated:
        shares = {name: getattr(cell, name) for name in COLUMNS}
        if as_json:
            rows.append({"task": cell.name} | {k: _fields(share) for k, share in shares.items()})
            continue
        figures = "".join(f"{_figure(name, s):>{_width(name)}}" for name, s in shares.items())
        typer.echo(f"{cell.name:20}{cell.thinking.count:>9,}{figures}")
    if as_json:
        report = {"model": model.name, "engine": model.engine.name, "seed": seed, "tasks": rows}
        typer.echo(json.dumps(report, indent=2))
    else:
        typer.echo(f"\n{model.engine.name} engine, seed {seed}")


def _width(name: str) -> int:
    return 22 if name == "thinking" else 12


def _figure(name: str, share: Proportion) -> str:
    """A share in per cent; that of right answers with its interval."""
    if not share.count:
        return "–"
    if name != "thinking":
        return f"{share.value:.1%}"
    low, high = share.interval
    return f"{share.value:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _fields(share: Proportion) -> dict[str, object]:
    value = share.value if share.count else None
    return {"hits": share.hits, "count": share.count, "value": value, "interval": share.interval}
