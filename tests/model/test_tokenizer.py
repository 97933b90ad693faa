"""Text to ids and back, whole and in a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from anexa.errors import AnexaError
from anexa.model import tokenizer as module
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.model.tokenizer_backend import tokenizers_errors
from tests.model.helpers import CORPUS, byte_tokenizer
from tests.slowness import is_within

TEXT = Tokenizer.from_characters([CORPUS], adds_bos=False)
DOCUMENTS = Tokenizer.from_characters([CORPUS], adds_bos=True)
BYTES = byte_tokenizer()
TRAINED = Tokenizer.train_bpe([CORPUS, "la la lala é é"] * 2, 300, adds_bos=True)
BOTH = [pytest.param(TEXT, id="text"), pytest.param(DOCUMENTS, id="documents")]
ALL = [*BOTH, pytest.param(BYTES, id="bytes"), pytest.param(TRAINED, id="trained")]

# Surrogates are no characters: no text that was read as UTF-8 has one.
characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=40)


def test_ids_are_the_ranks_of_the_characters() -> None:
    tokenizer = Tokenizer.from_characters(["banana", "cab"], adds_bos=False)
    assert tokenizer.encode("abc") == [0, 1, 2]
    assert tokenizer.encode("n") == [3]
    assert (tokenizer.eot_token_id, tokenizer.vocab_size) == (4, 5)


def test_vocabulary_of_microgpt_has_27_tokens() -> None:
    tokenizer = Tokenizer.from_characters(["abcdefghijklmnopqrstuvwxyz"], adds_bos=True)
    assert (tokenizer.eot_token_id, tokenizer.vocab_size) == (26, 27)


@given(st.data())
def test_round_trip_of_any_text_in_the_vocabulary(data: st.DataObject) -> None:
    corpus = data.draw(st.text(characters, min_size=1, max_size=30))
    assume(END_OF_TEXT not in corpus)
    tokenizer = Tokenizer.from_characters([corpus], adds_bos=data.draw(st.booleans()))
    text = "".join(data.draw(st.lists(st.sampled_from(corpus), max_size=50)))
    ids = tokenizer.encode(text)
    assert len(ids) == len(text), "one id a character"
    assert tokenizer.decode(ids) == text
    assert tokenizer.unknown_characters(text) == []
    assert tokenizer.vocab_size == len(set(corpus)) + 1


@pytest.mark.parametrize("tokenizer", BOTH)
@given(text=texts)
@example("a\0b")
@example("e\u0301")
@example("\ufeffa")
@example("  ")
def test_unknown_characters_encode_to_end_of_text(tokenizer: Tokenizer, text: str) -> None:
    assume(END_OF_TEXT not in text)
    known = set(CORPUS)
    ids = tokenizer.encode(text)
    expected = list(dict.fromkeys(c for c in text if c not in known))
    assert tokenizer.unknown_characters(text) == expected
    assert (tokenizer.eot_token_id in ids) == bool(expected)
    assert tokenizer.decode(ids) == "".join(c for c in text if c in known)
    if expected:
        with pytest.raises(AnexaError, match="has never seen"):
            tokenizer.encode_prompt(text)
    else:
        assert tokenizer.encode_prompt(text)[-len(ids) :] == (ids or tokenizer.encode_prompt(""))


def test_error_lists_at_most_five_unknown_characters() -> None:
    with pytest.raises(AnexaError, match="has never seen 'Q', '你': leave them out"):
        TEXT.encode_prompt("aQ你aQ")
    with pytest.raises(AnexaError, match="'1', '3', '4', '5', '6', …: leave them out"):
        TEXT.encode_prompt("123456789")


def test_prompt_begins_with_bos_if_adds_bos() -> None:
    eot_token_id = DOCUMENTS.eot_token_id
    assert DOCUMENTS.adds_bos
    assert DOCUMENTS.encode_prompt("") == [eot_token_id]
    assert DOCUMENTS.encode_prompt("af") == [eot_token_id, *DOCUMENTS.encode("af")]


def test_prompt_has_no_bos_unless_adds_bos() -> None:
    assert not TEXT.adds_bos
    assert TEXT.encode_prompt("af") == TEXT.encode("af")
    assert TEXT.encode_prompt("") == [TEXT.eot_token_id], "a model needs something to go on from"


@given(texts)
def test_byte_level_bpe_encodes_any_text(text: str) -> None:
    assume(END_OF_TEXT not in text)
    assert BYTES.decode(BYTES.encode(text)) == text
    assert BYTES.unknown_characters(text) == []


def streamed(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Detokenize ids one by one; return the pieces."""
    decoding = tokenizer.detokenizer()
    pieces = [*map(decoding.add, ids), decoding.flush()]
    return [piece for piece in pieces if piece]


def test_special_tokens_are_not_decoded() -> None:
    for tokenizer in (TEXT, DOCUMENTS, BYTES):
        eot_token_id, ids = tokenizer.eot_token_id, tokenizer.encode("af")
        assert tokenizer.decode([eot_token_id, *ids, eot_token_id, eot_token_id]) == "af"
        streamed_ids = [eot_token_id, *ids, eot_token_id, eot_token_id]
        assert "".join(streamed(tokenizer, streamed_ids)) == "af"


# ------------------------------------------------------------------ trained on bytes


@given(st.text(characters, max_size=60), st.lists(texts), st.integers(257, 300))
@example("\r\n \u2028\ufeff\0\x7f\x85e\u0301 \U000e0001 \ufffd\uffff", [], 257)
@example("  a\t\n\n ", ["  a\t\n\n "] * 3, 300)
def test_bpe_round_trip_of_any_text(text: str, others: list[str], size: int) -> None:
    assume(END_OF_TEXT not in text)
    tokenizer = Tokenizer.train_bpe(others, size, adds_bos=False)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids).encode("utf-8") == text.encode("utf-8")
    assert "".join(streamed(tokenizer, ids)) == text
    assert tokenizer.unknown_characters(text) == []
    assert tokenizer.encode_prompt(text) == (ids or [tokenizer.eot_token_id])
    assert 257 <= tokenizer.vocab_size <= size


def test_frequent_pairs_are_merged() -> None:
    tokenizer = Tokenizer.train_bpe(["abc abc ab"], 260, adds_bos=False)
    # "ab" is there three times, and then "abc" twice, or " ab"; nothing else is, more than once.
    assert tokenizer.vocab_size == 259
    assert len(tokenizer.encode("ab")) == 1
    assert len(tokenizer.encode("ba")) == 2
    assert len(tokenizer.encode("abc ab")) == 3
    least = Tokenizer.train_bpe(["abc abc ab"], 257, adds_bos=False)
    assert len(least.encode("é ab")) == 5, "bytes"


def test_bpe_training_is_deterministic() -> None:
    corpus = ["the cat sat on the mat and the rat sat on the cat " * 3, "日本 " * 9]
    once, repeated = (Tokenizer.train_bpe(corpus, 290, adds_bos=True) for _ in range(2))
    assert once.to_json() == repeated.to_json()


def test_bpe_training_on_a_long_word_takes_seconds() -> None:
    begin = time.process_time()  # minutes, if the word were not cut
    tokenizer = Tokenizer.train_bpe(["x" * 200_000 + " " * 200_000], 300, adds_bos=False)
    assert is_within(time.process_time() - begin, 20)
    assert tokenizer.decode(tokenizer.encode("x" * 3000)) == "x" * 3000


def test_with_bos() -> None:
    for tokenizer in (TEXT, DOCUMENTS, BYTES, TRAINED):
        begins = tokenizer.with_bos(True)
        assert begins.encode_prompt("af") == [begins.eot_token_id, *tokenizer.encode("af")]
        assert begins.with_bos(False).encode_prompt("af") == tokenizer.encode("af")
    assert TEXT.with_bos(True).to_json() == DOCUMENTS.to_json()


# ------------------------------------------------------------------ many at once


@pytest.mark.parametrize("shared", ["with_special_tokens", "constructor"])
def test_special_tokens_of_a_copy_leave_the_original_as_it_is(shared: str) -> None:
    letter = TEXT.encode("a")[0]
    before, text = TEXT.to_json(), TEXT.decode([letter, letter])
    if shared == "constructor":
        backend = Backend.from_str(before)
        copy = Tokenizer(backend, letter, [letter])
        assert json.loads(backend.to_str()) == json.loads(before)
    else:
        copy = TEXT.with_special_tokens(letter, [letter])
    assert set(copy.special_tokens) == {END_OF_TEXT, "a"}
    assert copy.decode([letter, letter]) == ""
    assert TEXT.to_json() == before
    assert TEXT.decode([letter, letter]) == text == "aa"


def test_panic_of_tokenizers_in_a_batch_is_an_error() -> None:
    content = json.loads(BYTES.to_json())
    content["pre_tokenizer"] = {
        **{"type": "Split", "pattern": {"Regex": "(a+)+$"}},  # which backtracks forever
        **{"behavior": "Isolated", "invert": False},
    }
    tokenizer = Tokenizer.from_json(json.dumps(content))
    with pytest.raises(AnexaError, match=r"tokenizer\.json is damaged .*retry-limit"):
        tokenizer.encode_batch(["a" * 40 + "!"])


@pytest.mark.parametrize("tokenizer", ALL)
@given(st.lists(texts | st.text(st.sampled_from(CORPUS), max_size=9) | st.just(END_OF_TEXT)))
@example(["<|endof", "text|>", f"a{END_OF_TEXT}{END_OF_TEXT}b<|endoftext|", ""])
@example([])
def test_encode_batch_equals_encode(tokenizer: Tokenizer, many: list[str]) -> None:
    for texts in (many, ["".join(many)]):
        ids, lengths = tokenizer.encode_batch(texts)
        one_by_one = [tokenizer.encode(text) for text in texts]
        assert lengths.tolist() == [len(encoded) for encoded in one_by_one]
        assert ids.tolist() == [token for encoded in one_by_one for token in encoded]


def test_encode_batch_of_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TRAINED.encode_batch([*CORPUS] * 3)
    monkeypatch.setattr(module, "ENCODE_BATCH_SIZE", 7)
    parts = TRAINED.encode_batch([*CORPUS] * 3)
    assert [array.tolist() for array in whole] == [array.tolist() for array in parts]


def test_id_table_is_for_character_tokenizers_only() -> None:
    """A character tokenizer with one more rule has no table."""
    plain = TEXT.to_json()
    lower = json.loads(plain)
    lower["normalizer"] = {"type": "Lowercase"}
    tokenizer = Tokenizer.from_json(json.dumps(lower))
    assert tokenizer.encode_batch(["A T"])[0].tolist() == tokenizer.encode("A T")
    assert tokenizer.encode("A") == TEXT.encode("a")


# ------------------------------------------------------------------ in a stream


def some_ids(tokenizer: Tokenizer) -> st.SearchStrategy[list[int]]:
    """Draw any ids, also of bytes that are not UTF-8, and the ids of a text."""
    anything = st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20)
    letters = st.sampled_from("aé😀日 bl")
    return anything | st.text(letters, max_size=8).map(tokenizer.encode)


@pytest.mark.parametrize("tokenizer", ALL)
@given(data=st.data())
def test_streamed_text_equals_decoded_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(some_ids(tokenizer))
    whole = tokenizer.decode(ids)
    pieces = streamed(tokenizer, ids)
    assert "".join(pieces) == whole
    if "\ufffd" not in whole:
        assert all("\ufffd" not in piece for piece in pieces), "no character is cut in two"


@pytest.mark.parametrize("tokenizer", ALL)
@given(data=st.data())
def test_offset_of_a_token_is_where_its_text_stands(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    ids = data.draw(some_ids(tokenizer))
    whole, decoding, last = tokenizer.decode(ids), tokenizer.detokenizer(), 0
    for token in ids:
        decoding.add(token)
        assert last <= decoding.offset <= len(whole)
        last = decoding.offset
        own = tokenizer.token_bytes(token).decode(errors="ignore")
        if own.encode() == tokenizer.token_bytes(token):
            assert whole[last : last + len(own)] == own


@given(st.text(st.sampled_from("aé😀日 b"), max_size=12))
def test_stream_holds_back_only_incomplete_characters(text: str) -> None:
    """Whatever does not end within a character is returned at once."""
    taken: list[int] = []
    decoding, shown = BYTES.detokenizer(), ""
    for token in BYTES.encode(text):
        taken.append(token)
        shown += decoding.add(token)
        so_far = BYTES.decode(taken)
        assert so_far in (shown, so_far.rstrip("\ufffd") + "\ufffd")
    assert shown == text
    assert decoding.flush() == ""


@pytest.mark.parametrize("text", ["é", "😀", "日本", "aéb", " é😀 a"])
def test_character_of_several_tokens_is_one_piece(text: str) -> None:
    pieces = streamed(BYTES, BYTES.encode(text))
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert len(pieces) <= len(text)


def test_incomplete_character_at_the_end_equals_decode() -> None:
    ids = BYTES.encode("a😀")[:-1]
    assert BYTES.decode(ids).startswith("a\ufffd")
    assert "".join(streamed(BYTES, ids)) == BYTES.decode(ids)


# ------------------------------------------------------------------ tokenizer.json


@pytest.mark.parametrize("tokenizer", ALL)
def test_tokenizer_json_round_trip(tokenizer: Tokenizer) -> None:
    text = tokenizer.to_json()
    repeated = Tokenizer.from_json(text)
    assert repeated.to_json() == text
    attributes = ("eot_token_id", "vocab_size", "adds_bos")
    for name in attributes:
        assert getattr(repeated, name) == getattr(tokenizer, name)
    for sample in ("", "af é😀\n", CORPUS):
        assert repeated.encode(sample) == tokenizer.encode(sample)
        assert repeated.encode_prompt(sample) == tokenizer.encode_prompt(sample)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", "<!DOCTYPE html>", '{"version": "1.0", "model": 3}']
)
def test_damaged_tokenizer_json_is_refused(text: str) -> None:
    with pytest.raises(AnexaError, match=r"tokenizer\.json is damaged"):
        Tokenizer.from_json(text)


def test_short_memory_is_no_damage() -> None:
    with pytest.raises(MemoryError), tokenizers_errors():
        raise MemoryError


def test_truncated_tokenizer_json_is_refused() -> None:
    whole = TEXT.to_json()
    for length in range(0, len(whole), 97):
        with pytest.raises(AnexaError, match=r"tokenizer\.json is damaged"):
            Tokenizer.from_json(whole[:length])


def test_tokenizer_without_end_of_text() -> None:
    foreign = json.loads(TEXT.to_json())
    foreign["added_tokens"] = []
    foreign["model"]["unk_token"] = None
    del foreign["model"]["vocab"][END_OF_TEXT]
    tokenizer = Tokenizer.from_json(json.dumps(foreign))
    assert (tokenizer.bos_token_id, tokenizer.eos_token_ids, tokenizer.bos_eos) == (
        None,
        (),
        ("", ""),
    )
    assert tokenizer.encode_prompt("af") == TEXT.encode("af")
    assert tokenizer.unknown_characters("aQ") == ["Q"], "though nothing stands for it"
    with pytest.raises(AnexaError, match="no token to begin a text"):
        tokenizer.encode_prompt("")
    with pytest.raises(AnexaError, match=r"no token <\|endoftext\|>"):
        tokenizer.with_bos(adds_bos=True)


@pytest.mark.parametrize("tokenizer", ALL)
@given(text=texts)
@example("é ☃ 𝄞 \n\t\x00\xad")
def test_bytes_of_tokens_join_to_the_text(tokenizer: Tokenizer, text: str) -> None:
    known = "".join(letter for letter in text if not tokenizer.unknown_characters(letter))
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(known))) == known.encode()


def test_unknown_ids_around_texts_are_refused() -> None:
    parts = json.loads(DOCUMENTS.to_json())
    [symbol] = parts["post_processor"]["special_tokens"].values()
    symbol["ids"] = [2**31]
    with pytest.raises(AnexaError, match="it puts unknown ids around texts"):
        Tokenizer.from_json(json.dumps(parts))
