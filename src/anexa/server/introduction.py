"""How a served model is introduced on an empty page: what it can do, and texts to try."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.loading import open_model
from anexa.thinking.problems import MAX_DIGITS, MAX_FACTOR_DIGITS

ModelTask = Literal["arithmetic", "chat", "text"]

NUM_EXAMPLES = 3  # maximum number of prompts to try
_MAX_CARD_CHARS, _MAX_EXAMPLE_CHARS = 100_000, 200  # characters
_SUMS = (
    "347*86",
    "What is 5003 minus 478?",
    "A box holds 12 pens. Ada fills 3 boxes and has 5 pens more. How many pens are there?",
)
_CHATS = ("Hello!", "Who are you?", "Tell me a short story.")
_CHATS_OF = {"garden": ("Who are you?", "Where do the lilies grow?", "Who waters the mint?")}
# Beginnings of texts, by the corpus that a model was trained on.
_BEGINNINGS_OF = {
    "firstnames": ("ma", "jo", "el"),
    "names": ("ma", "jo", "el"),
    "python-docs": ("The function returns", "If the argument is None,", "class Point:"),
    "shakespeare": ("ROMEO:", "To be, or not to be", "My lord,"),
    "sherlock": ("My dear Watson,", "It was a cold morning", "“I have no doubt,” said Holmes,"),
}
# The first ones that a model can read are shown; one of names knows lowercase letters only.
_BEGINNINGS = ("Once upon a time", "It was a cold", "I have never", "The ", "I ", "ma", "jo", "el")


@dataclass(frozen=True)
class Introduction:
    """Description of a model for the page.

    Attributes:
        task: "arithmetic" for a chat model trained on Anexa's arithmetic, "chat" for any other, and
            "text" for a base model.
        description: sentences about the abilities of the model.
        examples: prompts to try, at most `NUM_EXAMPLES`; empty if the model can read none of them.
    """

    task: ModelTask
    description: str
    examples: tuple[str, ...]


def introduce(model: LanguageModel) -> Introduction:
    """Introduce a model by its chat template and its model card.

    Args:
        model: served model; its model card is read from its folder.

    Returns:
        The description of the model, and examples to try.
    """
    card = _card(model)
    corpora = _listed(card, "datasets")
    trained_on = f" It was trained on {', '.join(corpora)}." if corpora else ""
    examples = tuple(_listed(card, "widget")[:NUM_EXAMPLES])  # as the Hub calls them
    if model.chat_template is None:
        beginnings = _BEGINNINGS_OF.get(corpora[0], ()) if len(corpora) == 1 else ()
        return Introduction(
            "text",
            f"This model continues a text, and was not trained to answer questions.{trained_on}",
            examples or _readable([*beginnings, *_BEGINNINGS], model),
        )
    if corpora == ["arithmetic"]:
        return Introduction(
            "arithmetic",
            f"This model works out sums and differences of up to {MAX_DIGITS} digits, products of "
            f"up to {MAX_FACTOR_DIGITS} by {MAX_FACTOR_DIGITS}, divisions, up to three operations, "
            "comparisons and short stories, step by step as on paper. Every step is checked.",
            examples or _SUMS,
        )
    questions = _CHATS_OF.get(corpora[0], _CHATS) if len(corpora) == 1 else _CHATS
    return Introduction("chat", f"This model answers messages.{trained_on}", examples or questions)


def _card(model: LanguageModel) -> str:
    try:
        return open_model(BUNDLED_FOLDER if model.folder is None else model.folder).card
    except AnexaError:  # not UTF-8: the model can be served all the same
        return ""


def _readable(texts: Iterable[str], model: LanguageModel) -> tuple[str, ...]:
    """Choose the first texts that have no unknown characters and fill at most half the context."""
    readable = (text for text in dict.fromkeys(texts) if _fits(text, model))
    return tuple(islice(readable, NUM_EXAMPLES))


def _fits(text: str, model: LanguageModel) -> bool:
    try:
        num_tokens = len(model.tokenizer.encode_prompt(text))
    except AnexaError:  # a character that it has never seen
        return False
    return num_tokens <= model.engine.config.block_size // 2


def _listed(card: str, key: str) -> list[str]:
    """Read a list of strings, or of objects with a `text`, from the header of a model card.

    The list is in JSON, as `anexa train` writes it, or has an item on each line, as the Hub's
    library does; any other YAML is left out.
    """
    card = card[:_MAX_CARD_CHARS].replace("\r\n", "\n")
    header = re.match(r"---\n(.*?)\n---(?:\n|$)", card, re.DOTALL)
    found = header and re.search(rf"^{key}:(.*(?:\n *- .*)*)", header[1], re.MULTILINE)
    if not found:
        return []
    text = found[1].strip()
    lines = re.findall(r"^ *- *(.*)", text, re.MULTILINE)
    items = _parsed(text) if text.startswith("[") else map(_item, lines)
    return [item for item in items if isinstance(item, str) and 0 < len(item) <= _MAX_EXAMPLE_CHARS]


def _parsed(text: str) -> list[object]:
    try:
        items: list[object] = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [item.get("text") if isinstance(item, dict) else item for item in items]


def _item(value: str) -> object:
    """Return the text of a list item in a card's header: `value` or `text: value`.

    The value may be in quotation marks. None if the item has another form.
    """
    value = value.removeprefix("text:").strip()
    if value.startswith('"'):
        return next(iter(_parsed(f"[{value}]")), None)
    return value.strip("'")
