"""`anexa compare`: trainings side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo
from anexa.errors import AnexaError, UsageError


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="A B …", help="Model folders.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Draw their losses too: .png, .svg or .pdf.", show_default=False),
    ] = None,
    force: common.Force = False,
    as_json: common.AsJson = False,
) -> None:
    """Compare trainings: the losses of each, and the options that differ between them."""
    import json

    from anexa.cli.runs import summary_to_json
    from anexa.cli.table import UNKNOWN_CELL, format_cell, show_table
    from anexa.files import read_bytes
    from anexa.names import encode_name, flag, shown
    from anexa.output_paths import check_output
    from anexa.training.loss_plot import check_matplotlib, check_suffix, draw_losses, has_matplotlib
    from anexa.training.metrics import read_metrics
    from anexa.training.summary import summarize

    if out:
        check_suffix(out)
        check_output(out, replace=force)
    if len(folders) < 2:
        raise UsageError("a comparison needs two or more model folders: name another one")
    runs = [summarize(folder) for folder in folders]
    for run in runs:
        if run.state is None:
            raise AnexaError(f"{run.folder} cannot be compared: it has no metrics of a training")
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names) or "" in names:
        names = [str(folder) for folder in folders]
    if out:
        curves = [(name, *read_metrics(folder)) for name, folder in zip(names, folders)]
        if has_matplotlib():
            draw_losses(curves, out)

    options = [run.config.options() for run in runs if run.config]
    values = {name: [each[name] for each in options] for name in options[0] if name != "corpus"}
    differing = {name: these for name, these in values.items() if these != these[:1] * len(runs)}
    unlike = []
    if len({run.corpus_sha256 for run in runs}) > 1:
        unlike.append("corpora")
    if len({read_bytes(folder / "tokenizer.json") for folder in folders}) > 1:
        unlike.append("tokenizers")
    if unlike:
        echo(f"note: the losses do not compare: {' and '.join(unlike)} differ", err=True)
    if as_json:
        differing = {
            name: [encode_name(v) if isinstance(v, str) else v for v in these]
            for name, these in differing.items()
        }
        report = {
            "runs": [*map(summary_to_json, runs)],
            "differing": differing,
            "comparable": not unlike,
        }
        echo(json.dumps(report, indent=2))
        if out:
            check_matplotlib()  # after the report, which needs no matplotlib
        return
    rows = [
        ["corpus", *(run.corpus or UNKNOWN_CELL for run in runs)],
        ["model", *(run.model_type for run in runs)],
        ["parameters", *(format_cell(run.parameters) for run in runs)],
        ["steps", *(format_cell(run.step) for run in runs)],
        ["tokens", *(format_cell(run.tokens) for run in runs)],
        ["seconds", *(format_cell(run.seconds, ",.1f") for run in runs)],
        ["tokens per second", *(format_cell(run.tokens_per_second) for run in runs)],
        ["best loss", *(format_cell(run.best_loss, ".4f") for run in runs)],
        ["best step", *(format_cell(run.best_step) for run in runs)],
        ["last loss", *(format_cell(run.last_loss, ".4f") for run in runs)],
        ["state", *(run.state or UNKNOWN_CELL for run in runs)],
    ]
    for name, these in differing.items():
        cells = [
            UNKNOWN_CELL if v is None else v if isinstance(v, str) else json.dumps(v) for v in these
        ]
        rows.append([flag(name), *cells])
    show_table(("", *names), rows, right=names)
    if out:
        check_matplotlib()  # after the table, which needs no matplotlib
        echo(f"wrote {shown(str(out))}")
