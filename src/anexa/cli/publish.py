"""`anexa publish`: a model folder to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anexa.generation import LanguageModel

SAMPLE_TOKENS = 200  # the thought about 347*86 takes 145


def publish(
    folder: Annotated[Path, typer.Argument(help="The model folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="What it is called on the Hub.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Nobody else can see it.")] = False,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="NAME",
            help="Under which others may use it: mit, apache-2.0, cc-by-4.0, …",
            show_default="the card's, or none",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
) -> None:
    """Publish a model on the Hugging Face Hub, its card and files in one commit."""
    from anexa.cli.unfinished import warn_if_unfinished
    from anexa.errors import UsageError
    from anexa.generation import LanguageModel
    from anexa.model.folder import CARD
    from anexa.model.opening import is_json, read_card

    try:
        from anexa.hub.card import license_of, published_card
        from anexa.hub.publish import Plan, check_name, files_of, upload
    except ModuleNotFoundError as error:
        raise UsageError(
            f"publishing needs {error.name}, which is not installed: pip install 'anexa[hub]'"
        ) from error
    if is_json(folder):
        raise UsageError(f"make a folder of {folder} first: anexa export {folder} --to folder")
    check_name(repository)
    files, kept = files_of(folder)
    model = LanguageModel.open(folder, "numpy")  # for one short text PyTorch is slow to load
    warn_if_unfinished(folder)
    card = published_card(
        read_card(folder),
        repository,
        model.engine.config,
        model.tokenizer,
        chats=model.chat_template is not None,
        sample=_sample(model),
        licence=license_,
    )
    planned = Plan(repository, card, files)
    sizes = planned.sizes()
    seen = "only you can see it" if private else "everybody can see it"
    typer.echo(f"{folder} as {repository} on the Hugging Face Hub ({seen}):")
    for name, size in sizes.items():
        typer.echo(f"  {name:{max(map(len, sizes))}}  {size:13,} bytes")
    if kept:
        typer.echo(f"stays here: {', '.join(kept)}")
    terms = license_of(card) or "none, so nobody else may use it; --license NAME lets them"
    typer.echo(f"licence: {terms}\n\n{CARD}:\n\n{card}")
    if dry_run:
        typer.echo("nothing was sent (--dry-run)")
        return
    typer.echo(f"published: {upload(planned, private)}")


def _sample(model: LanguageModel) -> str | None:
    """A text of the model for its card; None where it does not know what it would be asked."""
    from anexa.errors import AnexaError
    from anexa.model.chat_format import CHAT_TEMPLATE

    if model.chat_template is None:
        return model.generate(max_tokens=SAMPLE_TOKENS, seed=42)
    question = "347*86" if model.chat_template == CHAT_TEMPLATE else "Hello"
    try:
        most = min(SAMPLE_TOKENS, model.max_new_tokens)
        answer = model.chat([{"role": "user", "content": question}], max_tokens=most, seed=42)
    except AnexaError:  # characters that it has never seen, or a template for something else
        return None
    return "\n".join(filter(None, (question, answer.reasoning, answer.content)))
