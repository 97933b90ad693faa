"""Tokenizers in GGUF files, compared with llama.cpp on hard strings."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError
from anexa.model.folder import ModelFolder
from anexa.model.sentencepiece import PieceType, parse_sentencepiece
from anexa.model.tokenizer import Tokenizer
from tests.hub.models import model
from tests.model.families import (
    BYTE_LEVEL,
    control_tokens,
    sentencepiece_file,
    write_sentencepiece,
)
from tests.model.hard_strings import HARD_STRINGS, around

pytest.importorskip("gguf", reason="gguf is not installed")
pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")

from gguf import GGUFReader

from anexa.hub.gguf import write_gguf
from anexa.hub.vocabulary import gguf_vocabulary

NAMES = {
    "gpt2": "gpt-2",
    "smollm": "smollm",
    "llama3": "llama-bpe",
    "smaug": "dbrx",
    "qwen2": "qwen2",
    "neox": "gpt-2",
    "deepseek-coder": "deepseek-coder",
    "deepseek-v3": "deepseek-v3",
}
LLAMA2: dict[str, dict[str, Any]] = {
    "llama2": {"legacy": True},
    "llama2-no-prefix": {"add_prefix_space": False},
    "llama2-metaspace": {"legacy": False},
}


def byte_level(family: str) -> Tokenizer:
    backend = BYTE_LEVEL[family]()
    bos, *others = [backend.get_vocab()[token] for token in control_tokens(backend)]
    return Tokenizer(backend, bos, [others[0] if others else bos])


def of_family(family: str, folder: Path) -> Tokenizer:
    if family in BYTE_LEVEL:
        return byte_level(family)
    write_sentencepiece(folder, **LLAMA2[family])
    return ModelFolder(folder).tokenizer


@pytest.mark.parametrize("family", NAMES)
def test_pre_tokenizer_has_llama_cpps_name(family: str) -> None:
    tokenizer = byte_level(family)
    found = gguf_vocabulary(tokenizer, tokenizer.vocab_size)
    assert found.pre_tokenizer == NAMES[family]
    assert bool(found.differences) == (family in ("qwen2", "neox")), "those normalize"


def test_metadata_of_sentencepiece(tmp_path: Path) -> None:
    """Tokens and types are those of the original, and scores have the same order."""
    write_sentencepiece(tmp_path, legacy=True)
    tokenizer = ModelFolder(tmp_path).tokenizer
    write_gguf(tmp_path / "m.gguf", model({}, tokenizer), "m")
    fields = {name: f.contents() for name, f in GGUFReader(tmp_path / "m.gguf").fields.items()}
    pieces = parse_sentencepiece(sentencepiece_file()).pieces
    assert fields["tokenizer.ggml.model"] == "llama"
    assert fields["tokenizer.ggml.tokens"] == [piece.text for piece in pieces]
    assert fields["tokenizer.ggml.token_type"] == [piece.type for piece in pieces]
    assert {PieceType.UNKNOWN, PieceType.CONTROL, PieceType.BYTE} < {p.type for p in pieces}
    scores = dict(zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]))
    joined = [p.text for p in pieces if p.type == PieceType.NORMAL and len(p.text) > 1]
    assert len(joined) > 50
    assert sorted(joined, key=lambda text: -scores[text]) == joined
    names = ("bos_token_id", "eos_token_id", "add_bos_token", "add_space_prefix")
    assert [fields[f"tokenizer.ggml.{name}"] for name in names] == [1, 2, True, True]


def test_merges_that_are_not_sentencepieces_are_refused(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    content = json.loads(ModelFolder(tmp_path).tokenizer.to_json())
    merges = content["model"]["merges"]
    # Of two merges that give the same token, one goes to the front.
    pairs = enumerate(pairwise(merges[1:]), 1)
    i = next(i for i, (one, two) in pairs if "".join(one) == "".join(two))
    for changed, reason in (
        (
            [merges[i], *merges[:i], *merges[i + 1 :]],
            "the merges that give one of its tokens are not in sequence",
        ),
        (merges[:-1], "it does not merge"),
    ):
        content["model"]["merges"] = changed
        tokenizer = Tokenizer(Backend.from_str(json.dumps(content)), 1, [2])
        with pytest.raises(AnexaError, match=rf"SentencePiece cannot express \({reason}"):
            gguf_vocabulary(tokenizer, tokenizer.vocab_size)


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"prepend_scheme": "never"}, 0),
        ({"prepend_scheme": "always"}, 1),
        ({"prepend_scheme": "first"}, 2),
        ({"split": True}, None),
        ({"replacement": "_"}, None),
    ],
)
def test_spaces_of_other_tokenizers(
    tmp_path: Path, changes: dict[str, Any], differences: int | None
) -> None:
    """Tokens that differ in llama.cpp are reported by the export, or the export is refused."""
    write_sentencepiece(tmp_path)
    content = json.loads(ModelFolder(tmp_path).tokenizer.to_json())
    content["pre_tokenizer"] |= changes
    tokenizer = Tokenizer(Backend.from_str(json.dumps(content)), 1, [2])
    if differences is None:
        with pytest.raises(AnexaError, match="which Anexa does not write as GGUF"):
            gguf_vocabulary(tokenizer, tokenizer.vocab_size)
    else:
        found = gguf_vocabulary(tokenizer, tokenizer.vocab_size)
        assert len(found.differences) == differences
        assert found.add_space_prefix == (differences > 0)


# ------------------------------------------------------------------ llama.cpp itself


@pytest.mark.slow
@pytest.mark.parametrize("family", [*NAMES, *LLAMA2])
def test_tokens_equal_llama_cpp(tmp_path: Path, family: str) -> None:
    """Every difference is among those that the export says."""
    llama_cpp: Any = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    tokenizer = of_family(family, tmp_path)
    path = tmp_path / "m.gguf"
    differences = write_gguf(path, model({"model_type": "llama", "n_inner": 72}, tokenizer), "m")
    theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    differing = []
    for text in HARD_STRINGS + around([*tokenizer.added_tokens][:4]):
        ids = tokenizer.encode(text)
        if theirs.tokenize(text.encode(), add_bos=False, special=True) != ids:
            differing.append(text)
            continue
        begun = [tokenizer.bos_token_id] * tokenizer.adds_bos + ids
        assert theirs.tokenize(text.encode(), add_bos=True, special=True) == begun, repr(text)
    assert bool(differing) == bool(differences)
    for text in differing:
        if family == "llama2-metaspace":
            assert text.startswith((" ", "▁")) or "<" in text
        else:
            assert unicodedata.normalize("NFC", text) != text
