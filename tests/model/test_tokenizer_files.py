"""Folders without tokenizer.json: the same tokens as transformers and SentencePiece."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.folder import ModelFolder
from anexa.model.sentencepiece import (
    Piece,
    merge_scores,
    parse_sentencepiece,
    sentencepiece_merges,
)
from anexa.model.tokenizer import Tokenizer
from tests.model.families import (
    BYTE_LEVEL,
    sentencepiece_file,
    write_sentencepiece,
    write_vocabulary,
)
from tests.model.foreign import change
from tests.model.hard_strings import HARD_STRINGS, around

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
sentencepiece: Any = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")


def opened(folder: Path) -> tuple[Tokenizer, Any]:
    """Open the tokenizer of a folder with Anexa and with transformers."""
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    return ModelFolder(folder).tokenizer, theirs


def assert_same(ours: Tokenizer, theirs: Any, texts: list[str]) -> None:
    for text in texts:
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, repr(text)
        assert ours.encode(text, add_special_tokens=True) == theirs(text).input_ids, repr(text)


@pytest.mark.parametrize(
    ("family", "name", "config"),
    [
        ("gpt2", "GPT2Tokenizer", {}),
        ("gpt2", None, {}),
        ("gpt2", "GPT2TokenizerFast", {"add_prefix_space": True, "add_bos_token": True}),
        ("qwen2", "Qwen2Tokenizer", {"bos_token": None, "eos_token": "<|im_end|>"}),
        ("qwen2", "Qwen2TokenizerFast", {"pad_token": "<|im_start|>"}),
    ],
)
def test_vocabulary_and_merges_equal_transformers(
    tmp_path: Path, family: str, name: str | None, config: dict[str, Any]
) -> None:
    config = config | ({} if name is None else {"tokenizer_class": name})
    write_vocabulary(tmp_path, BYTE_LEVEL[family](), family, **config)
    ours, theirs = opened(tmp_path)
    assert_same(ours, theirs, HARD_STRINGS + around([*ours.added_tokens]))
    assert ours.eos_token_ids == (theirs.eos_token_id,)
    if name is None:
        (tmp_path / "tokenizer_config.json").unlink()
        merges = tmp_path / "merges.txt"
        merges.write_text(merges.read_text("utf-8").replace("\n", "\r\n"), encoding="utf-8")
        assert_same(ModelFolder(tmp_path).tokenizer, theirs, HARD_STRINGS)


@pytest.mark.parametrize(
    "config",
    [
        {"add_bos_token": True},
        {"add_bos_token": False, "legacy": False},
        {"add_bos_token": True, "add_prefix_space": False},
        {"add_bos_token": True, "add_eos_token": True},
    ],
)
def test_sentencepiece_equals_transformers(tmp_path: Path, config: dict[str, Any]) -> None:
    write_sentencepiece(tmp_path, **config)
    ours, theirs = opened(tmp_path)
    assert_same(ours, theirs, HARD_STRINGS + around(["<s>", "</s>", "<unk>"]))
    assert (ours.bos_token_id, ours.eos_token_ids) == (1, (2,))


def test_legacy_tokenizer_equals_sentencepiece(tmp_path: Path) -> None:
    """Llama 2's and Mistral 7B's, as they were trained; transformers 5 drops a first space."""
    write_sentencepiece(tmp_path, legacy=True)
    ours, theirs = opened(tmp_path)
    original = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    for text in HARD_STRINGS:
        if "<unk>" not in text:
            assert ours.encode(text) == original.encode(text), repr(text)
            assert ours.decode(original.encode(text)) == original.decode(original.encode(text))
    spaceless = [text for text in HARD_STRINGS if not text.startswith((" ", "▁"))]
    for text in spaceless:
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, repr(text)
    assert ours.encode_prompt("a") == [1, *ours.encode("a")], "BOS unless the folder says otherwise"


def test_user_defined_pieces_are_added_tokens(tmp_path: Path) -> None:
    data = sentencepiece_file(user_defined_symbols="<mask>,[SEP]")
    write_sentencepiece(tmp_path, data, add_bos_token=True)
    ours, theirs = opened(tmp_path)
    assert_same(ours, theirs, HARD_STRINGS + around(["<mask>", "[SEP]"]))


def test_folder_that_was_converted_can_be_written(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path)
    tokenizer = ModelFolder(tmp_path).tokenizer
    assert Tokenizer.from_json(tokenizer.to_json()).encode("café 😀") == tokenizer.encode("café 😀")


def test_tokens_without_an_id_follow_the_vocabulary(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, BYTE_LEVEL["gpt2"](), "gpt2", pad_token="<pad>")
    ours, theirs = opened(tmp_path)
    assert ours.token_to_id("<pad>") == theirs.pad_token_id == 901
    write_vocabulary(tmp_path, BYTE_LEVEL["gpt2"](), "gpt2", pad_token="<pad>")
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}', encoding="utf-8")
    added = {"<|endoftext|>": 900, "<x>": 901}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    ours, theirs = opened(tmp_path)
    assert_same(ours, theirs, around([*ours.added_tokens]))
    assert ours.token_to_id("<x>") == theirs.convert_tokens_to_ids("<x>") == 901
    assert ours.token_to_id("<pad>") == theirs.pad_token_id == 902


# ------------------------------------------------------------------ what is refused


def refusal(folder: Path) -> str:
    with pytest.raises(AnexaError) as caught:
        _ = ModelFolder(folder).tokenizer
    return str(caught.value).replace(str(folder), "folder")


def test_unknown_class_is_refused(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, BYTE_LEVEL["gpt2"](), "gpt2", tokenizer_class="RobertaTokenizer")
    assert refusal(tmp_path) == (
        "folder has no tokenizer.json, and its tokenizer is a 'RobertaTokenizer': of those with "
        "vocab.json only GPT2Tokenizer and Qwen2Tokenizer can be read; open it with transformers "
        "and save it again"
    )
    write_vocabulary(tmp_path, BYTE_LEVEL["gpt2"](), "other")
    assert "its tokenizer does not say its class: of those with vocab.json" in refusal(tmp_path)
    write_sentencepiece(tmp_path / "t5", tokenizer_class="T5Tokenizer")
    assert "is a 'T5Tokenizer': of those with tokenizer.model only" in refusal(tmp_path / "t5")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "unigram", "vocab_size": 800}, "it is not BPE"),
        ({"byte_fallback": False}, "it does not write unknown characters as bytes"),
        ({"remove_extra_whitespaces": True}, "it removes extra spaces"),
        ({"normalization_rule_name": "nmt_nfkc"}, "it normalizes texts by a table"),
        ({"treat_whitespace_as_suffix": True}, "it does not write a space as ▁ before a word"),
    ],
)
def test_other_sentencepiece_models_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(AnexaError, match=reason):
        parse_sentencepiece(sentencepiece_file(**options))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("vocab.json", "[]", "vocab.json is damaged: it is not a JSON object"),
        ("vocab.json", '{"a": "b"}', "maps a token to something other than an id"),
        ("vocab.json", '{"a": 1, "b": 1}', "two of its tokens have the same id"),
        ("merges.txt", "a b c\n", "merges.txt, line 1: 'a b c' is not a merge of two tokens"),
        ("merges.txt", "#version\nĠ t\nq zz\n", "merges.txt, line 3: 'q zz' is not a merge"),
        ("added_tokens.json", '{"<x>": 5}', "has two tokens for the id 5"),
        ("added_tokens.json", '{"<x>": 7000}', "ids do not follow its vocabulary"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": 1}}', "a damaged added_tokens"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"٣": "x"}}', "a damaged added_tokens"),
        (
            "tokenizer_config.json",
            json.dumps({"added_tokens_decoder": {"9" * 5000: "x"}}),
            "a damaged added_tokens",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, file: str, content: str, reason: str) -> None:
    write_vocabulary(tmp_path, BYTE_LEVEL["gpt2"](), "gpt2")
    if file == "added_tokens.json":  # which the other file replaces
        change(tmp_path / "tokenizer_config.json", added_tokens_decoder=None)
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert reason in refusal(tmp_path)


def test_damaged_sentencepiece_is_refused(tmp_path: Path) -> None:
    data = sentencepiece_file()
    for damaged in (b"", b"\x00", b"\xff" * 20, data[:-1], data[:1000], b"\n\x03\n\x01a" + data):
        write_sentencepiece(tmp_path, damaged)
        reason = refusal(tmp_path)
        assert reason.startswith("folder/tokenizer.model cannot be read: it "), reason
        assert "\n" not in reason


@given(st.data())
def test_any_damage_of_sentencepiece_is_an_anexa_error(data: st.DataObject) -> None:
    damaged = bytearray(sentencepiece_file())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(AnexaError):
        sentencepiece_merges(parse_sentencepiece(bytes(damaged)).pieces)


# ------------------------------------------------------------------ scores and merges


@given(st.lists(st.text("ab▁", min_size=2, max_size=5), unique=True, max_size=12), st.randoms())
def test_scores_are_the_inverse_of_merges(texts: list[str], random: Any) -> None:
    ranks = random.sample(range(len(texts)), len(texts))
    pieces = [Piece(letter) for letter in "ab▁"]
    pieces += [Piece(text, -float(rank)) for text, rank in zip(texts, ranks)]
    merges = sentencepiece_merges(pieces)
    scores = merge_scores(merges, {piece.text for piece in pieces})
    expected = sorted(scores, key=lambda text: ranks[texts.index(text)])
    assert sorted(scores, key=lambda text: -scores[text]) == expected
    assert {left + right for left, right in merges} == scores.keys()


def test_merges_that_no_scores_express_are_refused() -> None:
    vocabulary = {"a", "b", "ab", "aba", "ba"}
    several = [("a", "b"), ("ab", "a"), ("b", "a"), ("a", "ba")]
    with pytest.raises(AnexaError, match="the merges that give one of its tokens are not in seq"):
        merge_scores(several, vocabulary)
    with pytest.raises(AnexaError, match="it does not merge 'a' and 'ba' to 'aba'"):
        merge_scores(several[:-1], vocabulary)


def test_long_pieces_cost_no_time() -> None:
    piece = b"\n\x80\x02" + b"a" * 256
    with pytest.raises(AnexaError, match="a piece has"):
        parse_sentencepiece(b"\n\x83\x02" + piece)
