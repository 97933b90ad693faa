"""`anexa reinforce`: a thinking model learns from its own thoughts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def reinforce(
    folder: Annotated[Path, typer.Argument(help="The model folder.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write. [default: FOLDER-reinforced]")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the optimizer.", min=1)] = 100,
    problems: Annotated[int, typer.Option(help="Problems in a step.", min=1)] = 16,
    samples: Annotated[int, typer.Option(help="Thoughts about each.", min=2)] = 8,
    learning_rate: Annotated[float, typer.Option(help="Constant.")] = 2e-4,
    evaluations: Annotated[int, typer.Option(help="On held-out problems.", min=1)] = 5,
    validation: Annotated[int, typer.Option(help="So many of them.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Of problems and draws.")] = 42,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Make thoughts likelier that are true in every step; keep it if that helps."""
    import json
    import math
    from dataclasses import asdict, replace

    from anexa.cli.signals import stop_signals
    from anexa.engines import OptimizerConfig, best_engine, open_engine
    from anexa.errors import AnexaError, UsageError
    from anexa.model.folder import check_free, create_folder
    from anexa.model.opening import model_name, open_with_card
    from anexa.thinking.reinforcement import Reinforcement, ReinforcementConfig

    named = folder if folder.name else folder.resolve()
    out = out or named.with_name(f"{model_name(named)}-reinforced")
    check_free(out)
    if not 0 < learning_rate < math.inf:
        raise UsageError(f"--learning-rate must be a number above 0, not {learning_rate}")
    model, card = open_with_card(folder)
    if model.chat_template is None:
        raise AnexaError(f"{folder} continues texts, and does not think: nothing to reinforce")
    plan = ReinforcementConfig(
        steps, problems, samples, learning_rate, evaluations, validation, seed
    )
    optimizer = OptimizerConfig(0.9, 0.99, max_grad_norm=1.0)
    engine = best_engine() if engine == "auto" else engine
    computed = open_engine(engine, model.config, model.weights, optimizer=optimizer)
    reinforcement = Reinforcement(model, computed, plan)
    rewards: list[float] = []
    typer.echo(
        f"how many of {validation:,} held-out problems are right to begin with?", err=as_json
    )
    with stop_signals(reinforcement) as received:
        for done in reinforcement:
            if as_json:
                typer.echo(json.dumps(asdict(done)))
            if done.reward is not None:
                rewards.append(done.reward)
            if done.accuracy is None or as_json:
                continue
            right = f"held-out problems right: {done.accuracy:.1%}"
            true = f" · {sum(rewards) / len(rewards):.1%} of its thoughts true" if rewards else ""
            typer.echo(f"step {done.step:,} · {right}{true}")
            rewards.clear()
    if reinforcement.best is None:
        typer.echo("no better than before: nothing is written", err=as_json)
        sys.exit(128 + received[0] if received else 0)
    # An evaluation in it was of other weights.
    card = card.partition("\n## Evaluation\n")[0].rstrip() + (
        f"\n\nThen reinforced: `anexa reinforce {folder} --steps {steps} --problems {problems} "
        f"--samples {samples} --learning-rate {learning_rate:g} --evaluations {evaluations} "
        f"--validation {validation} --seed {seed}`"
        f"{f', stopped after step {done.step}' if received else ''}\n"
    )
    create_folder(out, replace(model, weights=reinforcement.best), card)
    typer.echo(f"written: {out}", err=as_json)
    if received:
        sys.exit(128 + received[0])
