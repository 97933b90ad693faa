"""Tokenizers of well-known families give transformers' tokens on hard strings."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from anexa.model.tokenizer import Tokenizer
from tests.model.families import BYTE_LEVEL, control_tokens
from tests.model.hard_strings import HARD_STRINGS, around

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")


def test_there_are_240_different_hard_strings() -> None:
    assert len({*HARD_STRINGS}) == len(HARD_STRINGS) >= 240
    assert any(unicodedata.normalize("NFC", text) != text for text in HARD_STRINGS)


@pytest.mark.parametrize("family", BYTE_LEVEL)
def test_tokens_equal_transformers(tmp_path: Path, family: str) -> None:
    backend = BYTE_LEVEL[family]()
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.from_json((tmp_path / "tokenizer.json").read_text("utf-8"))
    for text in HARD_STRINGS + around(control_tokens(backend)[:4]):
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, repr(text)
        assert ours.encode(text, add_special_tokens=True) == theirs(text).input_ids, repr(text)
        ids = ours.encode(text)
        assert ours.decode(ids, skip_special_tokens=False) == theirs.decode(ids), repr(text)
        detokenizer = ours.detokenizer()
        pieces = [*map(detokenizer.add, ids), detokenizer.flush()]
        assert "".join(pieces) == ours.decode(ids), repr(text)
