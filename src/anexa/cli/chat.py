"""`anexa chat`: a prompt, a response, again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anexa.cli.prompt_loop import Conversation

if TYPE_CHECKING:
    from anexa.generation import LanguageModel, SamplingParams

MAX_TOKENS = 200  # of a text that is continued


def chat(
    folder: Annotated[
        Path | None, typer.Argument(help="The model folder. [default: the model that comes along]")
    ] = None,
    engine: Annotated[str, typer.Option(help="scalar, lists, numpy, torch or auto.")] = "auto",
    temperature: Annotated[
        float | None,
        typer.Option(help="0: always the likeliest token. [default: the model's own]"),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest of this mass.")] = 1.0,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="The most tokens of a response. [default: 200, or a whole answer]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 42,
    think: Annotated[
        Literal["on", "off", "hide"],
        typer.Option(help="Whether a model that can think does, and shows it."),
    ] = "on",
) -> None:
    """Talk to a model: it answers, or goes on from what you type."""
    from anexa.generation import LanguageModel

    model = LanguageModel.open(folder, engine)
    sampling = model.sampling(temperature, top_k=top_k, top_p=top_p, seed=seed)
    talk(model, sampling, max_tokens, think)


def talk(
    model: LanguageModel, sampling: SamplingParams, max_tokens: int | None = None, think: str = "on"
) -> None:
    """Until the user ends it."""
    from anexa.cli.chat_loop import Dialogue

    if model.chat_template is None:
        Continuation(model, sampling, max_tokens).run()
    else:
        Dialogue(model, sampling, max_tokens, think).run()


class Continuation(Conversation):
    """The prompt loop of a model that goes on from what is typed."""

    opening = "Type the beginning of a text; /help lists commands"

    def __init__(
        self, model: LanguageModel, sampling: SamplingParams, max_tokens: int | None = None
    ) -> None:
        super().__init__(sampling, MAX_TOKENS if max_tokens is None else max_tokens)
        self._model = model

    def respond(self, prompt: str) -> None:
        """Stream a response."""
        max_tokens = self._max_tokens or MAX_TOKENS
        completion = self._model.complete(prompt, self._sampler, max_tokens=max_tokens)
        typer.echo(f"Response: {prompt}", nl=False)
        for piece in completion:
            typer.echo(piece, nl=False)
        typer.echo("\n")
