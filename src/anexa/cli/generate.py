"""`anexa generate`: text from a model, for reading or for a program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    folder: Annotated[Path, typer.Argument(help="The model folder.")],
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    n: Annotated[int, typer.Option("--n", "-n", help="How many texts.", min=1)] = 1,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest of this mass.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="The most tokens a text may have.")] = 200,
    stop: Annotated[list[str] | None, typer.Option(help="A string that ends a text.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 42,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write texts that continue a prompt."""
    import json

    from anexa.engines import open_engine
    from anexa.generation import Completion, Sampler, Sampling
    from anexa.model.folder import load_model

    sampler = Sampler(Sampling(temperature, top_k, top_p, seed))
    model = load_model(folder)
    computed = open_engine(engine, model.config, model.weights)
    samples = []
    for _ in range(n):
        completion = Completion(
            computed, model.tokenizer, prompt, sampler, max_tokens=max_tokens, stop=stop or ()
        )
        if not as_json:
            typer.echo(prompt, nl=False)
        for piece in completion:
            if not as_json:
                typer.echo(piece, nl=False)
        if not as_json:
            typer.echo()
        samples.append(completion)
    if as_json:
        report = {
            "model": str(folder),
            "engine": computed.name,
            "seed": seed,
            "prompt": prompt,
            "samples": [
                {"text": s.text, "tokens": s.tokens, "finish_reason": s.finish_reason}
                for s in samples
            ],
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        typer.echo(f"seed {seed}", err=True)
