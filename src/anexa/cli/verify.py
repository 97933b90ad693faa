"""`anexa verify`: compare the engines on this computer."""

from __future__ import annotations

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo


def verify(as_json: common.AsJson = False) -> None:
    """Compare every engine with the scalar engine, on the same weights and batch."""
    import gc
    import json
    from dataclasses import asdict

    from anexa.engines.verification import NUM_TRAIN_STEPS, verify

    gc.disable()  # graphs of `scalar` have no cycles, but so many objects that it would run often
    columns = ("logits", "loss", "gradients", "weights", "cached")
    rows = []
    if not as_json:
        echo(
            "Largest difference from scalar in float64, relative to the largest number.\n"
            f"weights: after {NUM_TRAIN_STEPS} steps of AdamW, and of Muon; cached: logits with a "
            "cache, compared\nwith those without; bounds: of the weights, and of everything else.\n"
        )
        headers = "".join(f"{column:>11}" for column in (*columns, "bounds"))
        echo(f"{'model':10}{'engine':8}{'precision':9}{headers}")
    for comparison in verify():
        rows.append(comparison)
        if not as_json:
            figures = "".join(f"{getattr(comparison, column):11.1e}" for column in columns)
            bounds = f"   {comparison.weights_bound:.0e}, {comparison.bound:.0e}"
            echo(
                f"{comparison.model_type:10}{comparison.engine:8}{comparison.dtype:9}{figures}"
                f"{bounds}  {'agrees' if comparison.agrees else 'DIFFERS'}"
            )
    if as_json:
        echo(json.dumps([asdict(row) | {"agrees": row.agrees} for row in rows], indent=2))
    if not all(row.agrees for row in rows):
        raise typer.Exit(1)
