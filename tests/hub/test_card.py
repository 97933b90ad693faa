"""The card of a published model: what is added, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anexa.cli.publish import MAX_CARD_SAMPLE_TOKENS, _sample
from anexa.engines import open_engine
from anexa.errors import AnexaError
from anexa.generation import LanguageModel
from anexa.model.model import Model
from tests.hub.models import CHARACTERS, MARKED, model
from tests.model.helpers import byte_tokenizer, small_model

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

from anexa.hub.card import make_hub_card

LETTERS = model({"model_type": "llama"}, MARKED)


def published(card: str, of: Model = LETTERS, sample: str | None = None) -> str:
    return make_hub_card(card, "ada/letters", of.config, of.tokenizer, sample=sample)


@pytest.mark.parametrize(
    "card",
    [
        "# Letters\n\n## Use\n\nJust so.\n\n## Sample\n\nabc\n",
        "# Letters\r\n\r\n## Use\r\n\r\nJust so.\r\n\r\n## Sample\r\n\r\nabc\r\n",
        "## Use\n\nJust so.\n\n## Sample",
        "## Sample\n\n## Use",
        "---\nlicense: mit\n---\n## Use\n## Sample\n",
        "---\r\nlicense: mit\r\n---\r\n## Use\r\n## Sample",
        "## Use  \n## Sample\t\n",
    ],
)
def test_existing_sections_of_the_card_are_kept(card: str) -> None:
    whole = published(card, sample="xyz")
    assert (whole.count("## Use"), whole.count("## Sample")) == (1, 1)
    assert "xyz" not in whole
    assert "AutoTokenizer" not in whole
    assert "\r" not in whole
    assert ("license: mit\n" in whole) == ("license: mit" in card)


@pytest.mark.parametrize("card", ["", "### Use\n\n## Useful\n", "# Letters\n\nSee ## Use\n"])
def test_missing_sections_are_added(card: str) -> None:
    whole = published(card, sample="xyz")
    assert "\n\n## Sample\n\n```\nxyz\n```\n\n## Use\n\nIn transformers:\n" in whole


@pytest.mark.parametrize(
    ("of", "possible"),
    [
        (LETTERS, True),
        (model({}, CHARACTERS), True),
        (small_model("microgpt"), False),
        (small_model(tokenizer=byte_tokenizer()), False),  # it cuts no words
    ],
)
def test_card_mentions_llama_cpp_only_if_the_model_can_be_exported(
    of: Model, possible: bool
) -> None:
    assert ("llama.cpp" in published("", of)) == possible
    assert ("anexa export letters --to gguf" in published("", of)) == possible


def test_card_sets_trust_remote_code_only_where_needed() -> None:
    """Whether code of the folder may be run: its model needs it, its tokenizer does not."""
    card = published("", small_model("microgpt"))
    assert 'AutoModelForCausalLM.from_pretrained("ada/letters", trust_remote_code=True)\n' in card
    assert 'AutoTokenizer.from_pretrained("ada/letters", trust_remote_code=False)\n' in card
    assert "trust_remote_code" not in published("")


@pytest.mark.parametrize(
    ("own_limit", "expected"),
    [(None, MAX_CARD_SAMPLE_TOKENS), (7, 7), (900, MAX_CARD_SAMPLE_TOKENS)],
)
def test_the_sample_of_a_chat_model_has_an_end(
    own_limit: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(model({"block_size": 1000}, MARKED), max_new_tokens=own_limit)
    engine = open_engine("lists", wide.config, wide.weights)
    chatting = LanguageModel("letters", wide, engine)
    asked = []

    def chat(*_: object, max_tokens: int, **__: object) -> None:
        asked.append(max_tokens)
        raise AnexaError("that is enough")

    monkeypatch.setattr(chatting, "chat", chat)
    assert _sample(chatting) is None
    assert asked == [expected]
