"""Which `tokenizer.json` is refused, because its steps could multiply the length of a text."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

import pytest
from tokenizers import Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError
from anexa.model.tokenizer_json import MAX_GROWTH, check_tokenizer_json, step_growth
from tests.model.helpers import byte_tokenizer

PLAIN: dict[str, Any] = json.loads(byte_tokenizer().to_json())
AS_LONG = {"pattern": {"String": "a"}, "content": "bbb"}  # a Replace without its type
FACE = "😀"  # 4 bytes, which ByteLevel writes as 4 letters of 2 bytes


def written(**changes: Any) -> str:
    return json.dumps(PLAIN | changes)


def sequence(steps: list[Any]) -> Any:
    return normalizers.Sequence(steps)


def state(part: Any) -> dict[str, Any]:
    """Return a step as `tokenizer.json` has it."""
    content: dict[str, Any] = json.loads(part.__getstate__())
    return content


def rounds(count: int) -> Any:
    """Return a normalizer that writes a face as letters and each letter as a face, many times."""
    letters = normalizers.ByteLevel().normalize_str(FACE)
    back = [normalizers.Replace(letter, FACE) for letter in letters]
    return sequence([normalizers.ByteLevel(), *back] * count)


@pytest.mark.parametrize("count", [1, 2])
def test_steps_that_grow_a_text_within_the_limit_are_accepted(count: int) -> None:
    check_tokenizer_json(written(normalizer=state(rounds(count))))
    grown = rounds(count).normalize_str(FACE)
    assert len(grown.encode()) == 4**count * len(FACE.encode()) <= MAX_GROWTH * len(FACE.encode())


@pytest.mark.parametrize("count", range(3, 8))
def test_rounds_of_letters_and_bytes_that_multiply_a_text_are_refused(count: int) -> None:
    assert len(rounds(count).normalize_str(FACE)) == 4**count
    with pytest.raises(AnexaError, match=r"a normalizer of .* steps that may make a text too long"):
        check_tokenizer_json(written(normalizer=state(rounds(count))))


@pytest.mark.parametrize("normalized", [True, False])
def test_many_added_tokens_that_the_normalizer_multiplies_are_refused(normalized: bool) -> None:
    """`tokenizers` normalizes all of them when it opens the file."""
    steps = state(rounds(2))
    tokens = [
        {"id": 1000 + i, "content": FACE * 25 + str(i), "normalized": normalized}
        for i in range(40_000)
    ]
    check_tokenizer_json(written(normalizer=steps, added_tokens=tokens[:40]))
    check_tokenizer_json(written(normalizer=None, added_tokens=tokens))
    if not normalized:
        check_tokenizer_json(written(normalizer=steps, added_tokens=tokens))
        return
    with pytest.raises(AnexaError, match="bytes that its normalizer may make too long"):
        check_tokenizer_json(written(normalizer=steps, added_tokens=tokens))


NORMALIZERS = {
    **{"NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC()},
    **{"NFKD": normalizers.NFKD(), "Lowercase": normalizers.Lowercase(), "Nmt": normalizers.Nmt()},
    **{"ByteLevel": normalizers.ByteLevel(), "BertNormalizer": normalizers.BertNormalizer()},
    **{"cased": normalizers.BertNormalizer(lowercase=False, strip_accents=True)},
    **{"Prepend": normalizers.Prepend("▁é"), "Strip": normalizers.Strip()},
    **{"StripAccents": normalizers.StripAccents(), "letter": normalizers.Replace("é", FACE)},
    **{"pair": normalizers.Replace("aé", FACE), "all": normalizers.Replace(Regex("."), FACE)},
    **{"empty": normalizers.Replace("", FACE), "edges": normalizers.Replace(Regex("x*"), FACE)},
}


def changes(character: str) -> bool:
    """Whether a normalizer may lengthen a character: it has parts, a lowercase, or is Chinese."""
    parts = unicodedata.normalize("NFKD", character)
    chinese = 0x4E00 <= ord(character) < 0x4E10
    return chinese or parts != character or character.lower() != character


CHARACTERS = [c for c in map(chr, range(sys.maxunicode + 1)) if changes(c) or c < "\u0180"]
CHARACTERS += ["aé", "é" * 9, FACE]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizer_lengthens_no_text_by_more_than_its_factor(name: str) -> None:
    step = NORMALIZERS[name]
    factor = step_growth("normalizer", state(step))
    largest = max(len(step.normalize_str(c).encode()) / len(c.encode()) for c in CHARACTERS)
    assert largest <= factor
    assert largest > 0.4 * factor or factor == 1, "an estimate that refuses honest files"


def test_pre_tokenizer_lengthens_no_text_by_more_than_its_factor() -> None:
    pieces = pre_tokenizers.Split("", "isolated")
    bytes_of_letters = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
    for step, text, grown in [
        (bytes_of_letters, "\x01\x02", 8),
        (pre_tokenizers.Metaspace(), "ab", 8),
        (pre_tokenizers.Metaspace(FACE), "ab", 10),
    ]:
        found = pre_tokenizers.Sequence([pieces, step]).pre_tokenize_str(text)
        size = sum(len(piece.encode()) for piece, _ in found)
        assert size == grown <= step_growth("pre_tokenizer", state(step)) * len(text.encode())


@pytest.mark.parametrize(
    ("step", "tokens", "grown"),
    [
        (decoders.BPEDecoder(suffix=""), "ab", 4),  # no spaces around the last token
        (decoders.CTC(word_delimiter_token="", cleanup=True), "a", 3),
        (decoders.ByteLevel(), "é", 3),
        (decoders.WordPiece(), "ab", 3),  # no space before the first
        (decoders.Replace("", FACE), "ab", 18),
    ],
)
def test_decoder_lengthens_no_token_by_more_than_its_factor(
    step: Any, tokens: str, grown: int
) -> None:
    size = len(step.decode([*tokens]).encode())
    assert size == grown <= step_growth("decoder", state(step)) * len(tokens.encode())


@pytest.mark.parametrize(
    ("part", "step"),
    [
        ("normalizer", AS_LONG),
        ("normalizer", [AS_LONG["pattern"], "bbb"]),
        ("normalizer", ["bbb"]),
        ("normalizer", {"type": {"Replace": None}, **AS_LONG}),
        ("normalizer", {"type": "Digits", **AS_LONG}),
        ("normalizer", {"type": "Sequence", "normalizers": [AS_LONG]}),
        ("normalizer", {"type": "Sequence", "normalizers": [["bbb"]]}),
        ("decoder", {"type": "NFC", **AS_LONG}),
        ("decoder", [AS_LONG["pattern"], "bbb"]),
    ],
)
def test_step_whose_type_tokenizers_would_guess_is_refused(part: str, step: Any) -> None:
    guessed = Backend.from_str(written(**{part: step}))  # `tokenizers` takes it
    assert "bbb" in str(getattr(guessed, part))
    with pytest.raises(AnexaError, match=rf"tokenizer\.json has a {part} that is .*not supported"):
        check_tokenizer_json(written(**{part: step}))


def test_key_that_occurs_twice_is_refused() -> None:
    step = '{"type": "Replace", "type": "Strip", "pattern": {"String": "a"}, "content": "bbb"}'
    text = written(normalizer="here").replace('"here"', step)
    assert "Replace" in str(Backend.from_str(text).normalizer)
    with pytest.raises(AnexaError, match=r"is damaged .*the key 'type' occurs twice"):
        check_tokenizer_json(text)


def template(num_ids: int, num_pieces: int) -> dict[str, Any]:
    special = {"id": "a", "ids": [0] * num_ids, "tokens": ["a"] * num_ids}
    pieces: list[Any] = [{"SpecialToken": {"id": "a", "type_id": 0}}] * num_pieces
    pieces.append({"Sequence": {"id": "A", "type_id": 0}})
    content = {"single": pieces, "pair": [], "special_tokens": {"a": special}}
    return {"type": "TemplateProcessing", **content}


def test_template_that_multiplies_its_tokens_is_refused() -> None:
    check_tokenizer_json(written(post_processor=template(8, 8)))
    with pytest.raises(AnexaError, match=r"a post_processor of 1 steps that adds 1,000,000 tokens"):
        check_tokenizer_json(written(post_processor=template(1000, 1000)))
    nested = {"type": "Sequence", "processors": [template(8, 8)] * 2}
    with pytest.raises(AnexaError, match=r"a post_processor of 3 steps that adds 128 tokens"):
        check_tokenizer_json(written(post_processor=nested))


def test_template_with_an_unknown_token_is_refused() -> None:
    step = template(1, 1) | {"special_tokens": {"a": ["a", [0] * 9, ["a"] * 9]}}
    assert len(Backend.from_str(written(post_processor=step)).encode("").ids) == 9
    with pytest.raises(AnexaError, match=r"its post_processor has no ids of 'a'"):
        check_tokenizer_json(written(post_processor=step))


HONEST: list[tuple[str, Any]] = [
    *(("normalizer", step) for step in NORMALIZERS.values()),
    *(
        ("pre_tokenizer", step)
        for step in (
            pre_tokenizers.ByteLevel(),
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.CharDelimiterSplit("a"),
            pre_tokenizers.Digits(),
            pre_tokenizers.FixedLength(),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Split("a", "isolated"),
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.Whitespace(),
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel()]),
        )
    ),
    *(
        ("decoder", step)
        for step in (
            decoders.BPEDecoder(),
            decoders.ByteFallback(),
            decoders.ByteLevel(),
            decoders.CTC(),
            decoders.Fuse(),
            decoders.Metaspace(),
            decoders.Replace("▁", " "),
            decoders.Strip(" ", 1, 0),
            decoders.WordPiece(),
            decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]),
        )
    ),
]


@pytest.mark.parametrize(("part", "step"), HONEST)
def test_every_step_that_tokenizers_writes_is_accepted(part: str, step: Any) -> None:
    check_tokenizer_json(written(**{part: state(step)}))
