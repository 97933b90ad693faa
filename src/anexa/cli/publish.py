"""`anexa publish`: a model folder to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anexa.cli.output import echo

if TYPE_CHECKING:
    from anexa.generation import LanguageModel

CARD_QUESTION = "347*86"  # of the card's sample, to a model with Anexa's own chat template
# Maximum length of the card's sample, in tokens; a thought about `CARD_QUESTION` takes 145.
MAX_CARD_SAMPLE_TOKENS = 200


def publish(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="Name of the repository on the Hub.")
    ],
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Create a private repository; refuse one that exists and is public."
        ),
    ] = False,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="NAME",
            help="License for others: mit, apache-2.0, cc-by-4.0, … [default: the card's, or none]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be published, and send nothing.")
    ] = False,
) -> None:
    """Publish a model on the Hugging Face Hub, its card and files in one commit.

    The repository is created if it is new. If it has model files of an earlier version that the
    new version lacks, they are deleted.
    """
    from anexa.cli.unfinished import warn_if_unfinished
    from anexa.errors import UsageError
    from anexa.generation import LanguageModel
    from anexa.model.folder import MODEL_CARD_FILE, ModelFolder
    from anexa.model.loading import is_model_file
    from anexa.names import shell_word, shown

    try:
        from anexa.hub.card import license_of, make_hub_card
        from anexa.hub.publish import Publication, check_repository_name, select_files, upload
    except ModuleNotFoundError as error:
        raise UsageError(
            f"publishing needs {error.name}, which is not installed: pip install 'anexa[hub]'"
        ) from error
    if is_model_file(folder):
        raise UsageError(
            f"make a folder of {folder} first: anexa export {shell_word(str(folder))} --to folder"
        )
    check_repository_name(repository)
    source = ModelFolder(folder)
    files, unpublished = select_files(source)
    model = LanguageModel.open(folder, "numpy")  # PyTorch takes longer to load than one text takes
    warn_if_unfinished(folder)
    card = make_hub_card(
        source.card,
        repository,
        model.engine.config,
        model.tokenizer,
        chats=model.chat_template is not None,
        sample=_sample(model),
        license_name=license_,
    )
    publication = Publication(repository, card, files)
    sizes = publication.sizes()
    visibility = "private" if private else "public, unless it exists and is private"
    echo(f"{shown(str(folder))} as {repository} on the Hugging Face Hub ({visibility}):")
    for name, size in sizes.items():
        echo(f"  {name:{max(map(len, sizes))}}  {size:13,} bytes")
    if unpublished:
        echo(f"not published: {shown(', '.join(unpublished))}")
    license_text = license_of(card) or "none, so nobody else may use it; --license NAME sets one"
    echo(f"license: {license_text}\n\n{MODEL_CARD_FILE}:\n\n{card}")
    if dry_run:
        echo("nothing was sent (--dry-run)")
        return
    echo(f"published: {upload(publication, private)}")


def _sample(model: LanguageModel) -> str | None:
    """Generate a sample for the model card: an answer of a chat model, else a text.

    Returns:
        The sample, with the question; None if the model cannot generate one.

    Raises:
        MemoryError: if the memory is too small.
    """
    from anexa.errors import AnexaError, OutOfMemoryError
    from anexa.model.chat_format import CHAT_TEMPLATE

    question = CARD_QUESTION if model.chat_template == CHAT_TEMPLATE else "Hello"
    try:
        if model.chat_template is None:
            return model.generate(max_tokens=MAX_CARD_SAMPLE_TOKENS, seed=42)
        limit = min(MAX_CARD_SAMPLE_TOKENS, model.max_new_tokens)
        answer = model.chat([{"role": "user", "content": question}], max_tokens=limit, seed=42)
    except OutOfMemoryError:
        raise
    except AnexaError:  # no token begins a text, unknown characters, a template for other messages
        return None
    return "\n".join(filter(None, (question, answer.reasoning, answer.content)))
