"""`anexa generate`: text from a model, for reading or for a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anexa.cli.chat import MAX_TOKENS
from anexa.errors import UsageError

if TYPE_CHECKING:
    from anexa.generation import LanguageModel, Sampler


BETWEEN = "───"  # two texts of several lines


def generate(
    folder: Annotated[
        Path | None, typer.Argument(help="The model folder. [default: the model that comes along]")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="What the text begins with; what a model that answers is asked.")
    ] = "",
    n: Annotated[int, typer.Option("--n", "-n", help="How many texts.", min=1)] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(help="0: always the likeliest token. [default: the model's own]"),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest of this mass.")] = 1.0,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="The most tokens of a text. [default: 200, or a whole answer]"),
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A string that ends a text.")] = None,
    think: Annotated[
        bool, typer.Option(help="Whether a model that can think does so before it answers.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 42,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write texts that continue a prompt, or answers to it."""
    import json

    from anexa.generation import LanguageModel, Sampler

    model = LanguageModel.open(folder, engine)
    sampler = Sampler(model.sampling(temperature, top_k=top_k, top_p=top_p, seed=seed))
    shown, stops = not as_json, stop or ()
    if model.chat_template is None:
        tokens = MAX_TOKENS if max_tokens is None else max_tokens

        def one() -> dict[str, Any]:
            return _continued(model, prompt, sampler, tokens, stops, shown)

    elif prompt.strip():

        def one() -> dict[str, Any]:
            return _answered(model, prompt, sampler, think, max_tokens, stops, shown)

    else:
        raise UsageError("there is nothing to answer: ask something with --prompt")
    samples: list[dict[str, Any]] = []
    for _ in range(n):
        if shown and samples and "\n" in samples[-1].get("text", ""):
            typer.echo(BETWEEN)
        samples.append(one())
    if shown:
        typer.echo(f"seed {seed}", err=True)
        return
    report = {
        "model": model.name if folder is None else str(folder),
        "engine": model.engine.name,
        "seed": seed,
        "prompt": prompt,
        "samples": samples,
    }
    typer.echo(json.dumps(report, indent=2))


def _continued(
    model: LanguageModel,
    prompt: str,
    sampler: Sampler,
    max_tokens: int,
    stop: Sequence[str],
    shown: bool,
) -> dict[str, Any]:
    """A text that continues the prompt, shown or not; as JSON."""
    text = model.complete(prompt, sampler, max_tokens=max_tokens, stop=stop)
    if shown:
        typer.echo(prompt, nl=False)
    for piece in text:
        if shown:
            typer.echo(piece, nl=False)
    if shown:
        typer.echo()
    return {"text": text.text, "tokens": text.num_tokens, "finish_reason": text.finish_reason}


def _answered(
    model: LanguageModel,
    prompt: str,
    sampler: Sampler,
    thinking: bool,
    max_tokens: int | None,
    stop: Sequence[str],
    shown: bool,
) -> dict[str, Any]:
    """An answer to the prompt, shown or not; as JSON."""
    from anexa.cli.chat_loop import write

    messages = [{"role": "user", "content": prompt.strip()}]
    answer = model.answer(messages, sampler, thinking=thinking, max_tokens=max_tokens, stop=stop)
    if shown:
        write(answer)
        if answer.incomplete_reason:
            typer.echo(f"({answer.incomplete_reason})", err=True)
    return {
        "reasoning": answer.finish().reasoning,
        "content": answer.content,
        "tokens": answer.num_tokens,
        "finish_reason": answer.finish_reason,
        "trouble": answer.incomplete_reason,
    }
