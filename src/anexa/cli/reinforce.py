"""`anexa reinforce`: reinforcement learning of a thinking model from its own checked reasoning."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo


def reinforce(
    folder: Annotated[Path, typer.Argument(help="Model folder of a thinking model.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; must not exist. [default: FOLDER-reinforced]"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of optimizer steps.")] = 100,
    problems: Annotated[int, typer.Option(help="Problems in a step.")] = 16,
    samples: Annotated[int, typer.Option(help="Sampled thoughts for each problem.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Learning rate, constant.")] = 2e-4,
    evaluations: Annotated[
        int, typer.Option(help="Number of evaluations on held-out problems.")
    ] = 5,
    validation: Annotated[int, typer.Option(help="Held-out problems in an evaluation.")] = 500,
    seed: Annotated[int, typer.Option(help="Random seed of problems and sampling.")] = 42,
    engine: common.EngineName = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Train a thinking model on its own true thoughts; keep the weights if they are better."""
    import json
    from dataclasses import asdict

    from anexa.cli.signals import stop_on_signals
    from anexa.names import shown
    from anexa.thinking.reinforced_folder import ReinforcedFolder
    from anexa.thinking.reinforcement import ReinforcementConfig

    config = ReinforcementConfig(
        steps, problems, samples, learning_rate, evaluations, validation, seed
    )
    reinforced = ReinforcedFolder(folder, out, config, engine)
    rewards: list[float] = []
    echo(f"measuring the accuracy on {validation:,} held-out problems", err=as_json)
    with stop_on_signals(reinforced.run) as received:
        for done in reinforced.run:
            if as_json:
                echo(json.dumps(asdict(done)))
            if done.reward is not None:
                rewards.append(done.reward)
            if done.accuracy is None or as_json:
                continue
            mean = f" · true thoughts {sum(rewards) / len(rewards):.1%}" if rewards else ""
            echo(f"step {done.step:,} · accuracy {done.accuracy:.1%}{mean}")
            rewards.clear()
    if reinforced.write(stopped_after=done.step if received else None):
        echo(
            f"wrote {shown(str(reinforced.out))}: the weights are {reinforced.weights_description}",
            err=as_json,
        )
    else:
        echo("the accuracy has not improved: nothing was written", err=as_json)
    if received:
        sys.exit(128 + received[0])
