"""Tokenizers of folders without `tokenizer.json`.

They have `vocab.json` and `merges.txt`, or `tokenizer.model`. Such files lack the rules for
splitting texts into words, which depend on the class of the tokenizer in transformers. The result
is the content of a `tokenizer.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anexa.errors import AnexaError, short_repr
from anexa.files import read_bytes, read_json, read_text
from anexa.model.sentencepiece import (
    SPACE_CHARACTER,
    Piece,
    PieceType,
    parse_sentencepiece,
    sentencepiece_merges,
)
from anexa.model.tokenizer_backend import END_OF_TEXT

# Names of files.
VOCABULARY_FILE, MERGES_FILE, SENTENCEPIECE_FILE = "vocab.json", "merges.txt", "tokenizer.model"
ADDED_TOKENS_FILE = "added_tokens.json"
# Keys of special tokens in tokenizer_config.json; then options of an added token, all booleans.
SPECIAL_TOKEN_KEYS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")
ADDED_TOKEN_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")

# Expression by which the tokenizers of Qwen2, Qwen2.5 and Qwen3 find words.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Class of the tokenizer by `model_type`, for folders whose tokenizer_config.json names none.
TOKENIZER_CLASSES = {
    **{"gpt2": "GPT2Tokenizer", "gpt_neo": "GPT2Tokenizer"},
    **{"qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer"},
    **{"llama": "LlamaTokenizer", "mistral": "LlamaTokenizer"},
}


def has_tokenizer_files(folder: Path) -> bool:
    """Return whether a folder has files that `convert_tokenizer_files` may convert."""
    byte_level = (folder / VOCABULARY_FILE).exists() and (folder / MERGES_FILE).exists()
    return byte_level or (folder / SENTENCEPIECE_FILE).exists()


def convert_tokenizer_files(folder: Path, config: Mapping[str, Any], model_type: str) -> str:
    """Build the `tokenizer.json` that a folder lacks from the older files that it has.

    Args:
        folder: folder with `vocab.json` and `merges.txt`, or with `tokenizer.model`.
        config: content of its `tokenizer_config.json`, empty if there is none.
        model_type: architecture of the model, which gives the tokenizer's class if no file names
            one.

    Returns:
        The content of `tokenizer.json`.

    Raises:
        AnexaError: if a file is damaged, or the class of the tokenizer is not supported.
    """
    name = str(config.get("tokenizer_class") or TOKENIZER_CLASSES.get(model_type, ""))
    name = name.removesuffix("Fast")
    if (folder / SENTENCEPIECE_FILE).exists():
        if name != "LlamaTokenizer":
            raise _unknown_class(folder, name, SENTENCEPIECE_FILE, "LlamaTokenizer")
        content, around = _sentencepiece(folder / SENTENCEPIECE_FILE, config), {"bos": "<s>"}
    else:
        if name not in ("GPT2Tokenizer", "Qwen2Tokenizer"):
            known = "GPT2Tokenizer and Qwen2Tokenizer"
            raise _unknown_class(folder, name, VOCABULARY_FILE, known)
        content, around = _byte_level(folder, config, is_qwen2=name == "Qwen2Tokenizer"), {}
    added = _added_tokens(folder, config, content)
    ids = content["model"]["vocab"] | {token["content"]: token["id"] for token in added}
    content |= {"added_tokens": added, "post_processor": _template(config, around, ids)}
    return json.dumps(content)


def _unknown_class(folder: Path, name: str, file: str, known: str) -> AnexaError:
    what = f"is a {short_repr(name)}" if name else "does not say its class"
    return AnexaError(
        f"{folder} has no tokenizer.json, and its tokenizer {what}: of those with {file} only "
        f"{known} can be read; open it with transformers and save it again"
    )


def _byte_level(folder: Path, config: Mapping[str, Any], *, is_qwen2: bool) -> dict[str, Any]:
    vocabulary = _ids(folder / VOCABULARY_FILE)
    spaced = bool(config.get("add_prefix_space"))
    step = {"type": "ByteLevel", "add_prefix_space": spaced, "trim_offsets": True}
    words = {"type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated"}
    steps = [words | {"invert": False}, step | {"use_regex": False}]
    return {
        "normalizer": {"type": "NFC"} if is_qwen2 else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}
        if is_qwen2
        else step | {"use_regex": True},
        "decoder": step | {"use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": _read_merges(folder / MERGES_FILE, vocabulary),
        },
    }


def _sentencepiece(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        model = parse_sentencepiece(read_bytes(path))
    except AnexaError as error:
        raise AnexaError(f"{path} cannot be read: {error}") from error
    spaced = bool(config.get("add_prefix_space", model.add_dummy_prefix))
    return sentencepiece_json(model.pieces, spaced=spaced, legacy=bool(config.get("legacy")))


def sentencepiece_json(pieces: Sequence[Piece], *, spaced: bool, legacy: bool) -> dict[str, Any]:
    """Build the content of the `tokenizer.json` of a SentencePiece tokenizer.

    Args:
        pieces: tokens by id, with their scores.
        spaced: whether a space is put before a text.
        legacy: whether a space is put before every part of a text between special tokens, as
            SentencePiece does; otherwise only before the text, unless it begins with a
            space or a special token.
    """
    vocabulary = {piece.text: i for i, piece in enumerate(pieces)}
    unknown = [piece.text for piece in pieces if piece.type == PieceType.UNKNOWN]
    decoder: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE_CHARACTER}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if spaced:
        decoder.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        **_spaces(spaced=spaced, legacy=legacy),
        "decoder": {"type": "Sequence", "decoders": decoder},
        "model": {
            "type": "BPE",
            "unk_token": unknown[0] if unknown else None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocabulary,
            "merges": sentencepiece_merges(pieces),
        },
        "added_tokens": [
            added_token(i, piece.text, special=piece.type != PieceType.USER_DEFINED)
            for i, piece in enumerate(pieces)
            if piece.type not in (PieceType.NORMAL, PieceType.BYTE)
        ],
    }


def _spaces(*, spaced: bool, legacy: bool) -> dict[str, Any]:
    """Return the steps that write spaces as ▁ and put one before a text.

    With `legacy` there is one before every part of a text between special tokens, as SentencePiece
    itself puts it; otherwise one before the text, unless it begins with a space or such a token.
    """
    if not legacy:
        scheme = "first" if spaced else "never"
        metaspace = {"type": "Metaspace", "replacement": SPACE_CHARACTER, "split": False}
        return {"normalizer": None, "pre_tokenizer": metaspace | {"prepend_scheme": scheme}}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_CHARACTER}
    steps = [{"type": "Prepend", "prepend": SPACE_CHARACTER}, replace] if spaced else [replace]
    return {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}


def _template(
    config: Mapping[str, Any], defaults: Mapping[str, str], ids: Mapping[str, int]
) -> dict[str, Any] | None:
    """Return the post-processor that adds BOS and EOS to a text; None if it adds neither.

    Args:
        config: content of `tokenizer_config.json`, with `add_bos_token` and `add_eos_token`.
        defaults: tokens that the class of the tokenizer adds unless the file says otherwise, by the
            keys "bos" and "eos".
        ids: ids of all tokens.
    """
    around = {}
    for key in ("bos", "eos"):
        token = _text(config.get(f"{key}_token")) or defaults.get(key, END_OF_TEXT)
        if config.get(f"add_{key}_token", key in defaults) and token in ids:
            around[key] = token
    if not around:
        return None
    special = [{"SpecialToken": {"id": token, "type_id": 0}} for token in around.values()]
    pieces = special[:1] if "bos" in around else []
    pieces += [{"Sequence": {"id": "A", "type_id": 0}}]
    pieces += special[-1:] if "eos" in around else []
    tokens = {
        token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in around.values()
    }
    return {
        "type": "TemplateProcessing",
        "single": pieces,
        "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": tokens,
    }


def _ids(path: Path) -> dict[str, int]:
    """Read a `vocab.json`, which maps tokens to ids."""
    ids = read_json(path)
    if not all(type(token_id) is int and 0 <= token_id < 1 << 31 for token_id in ids.values()):
        raise AnexaError(f"{path} is damaged: it maps a token to something other than an id")
    if len({*ids.values()}) < len(ids):
        raise AnexaError(f"{path} is damaged: two of its tokens have the same id")
    return ids


def _read_merges(path: Path, vocabulary: Mapping[str, int]) -> list[list[str]]:
    """Read a `merges.txt`: one merge per line, after a line with the version.

    Args:
        path: path of the file.
        vocabulary: ids by token, which must have the tokens of every merge.
    """
    merges = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line or line.startswith("#version"):
            continue
        merge = line.rstrip("\r").split(" ")
        if len(merge) != 2 or not {*merge, "".join(merge)} <= vocabulary.keys():
            raise AnexaError(
                f"{path}, line {number}: {short_repr(line)} is not a merge of two tokens of "
                f"{VOCABULARY_FILE} to a third"
            )
        merges.append(merge)
    return merges


def _added_tokens(
    folder: Path, config: Mapping[str, Any], content: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the added tokens of all files by id; a token without an id gets the next one.

    Raises:
        AnexaError: if an id is that of another token, or ids are left out.
    """
    vocabulary: dict[str, int] = content["model"]["vocab"]
    tokens = {token["id"]: token for token in content.get("added_tokens", [])}
    described = config.get("added_tokens_decoder")
    if not described and (folder / ADDED_TOKENS_FILE).exists():
        for text, token_id in _ids(folder / ADDED_TOKENS_FILE).items():
            tokens[token_id] = added_token(token_id, text, special=False)
    for key, token in (described if isinstance(described, dict) else {}).items():
        if not (key.isascii() and key.isdecimal()) or len(key) > 9 or not _text(token):
            raise AnexaError(f"{folder} has a damaged added_tokens_decoder: {short_repr(key)}")
        flags = token if isinstance(token, dict) else {}
        entry = added_token(int(key), _text(token), special=bool(flags.get("special")))
        entry |= {flag: bool(flags[flag]) for flag in ADDED_TOKEN_FLAGS if flag in flags}
        tokens[int(key)] = entry
    ids = vocabulary | {token["content"]: token_id for token_id, token in tokens.items()}
    next_id = max(ids.values(), default=-1) + 1
    for text in _special_tokens(config, vocabulary):
        token_id = ids.setdefault(text, next_id)
        next_id = max(next_id, token_id + 1)
        tokens[token_id] = tokens.get(token_id, added_token(token_id, text)) | {"special": True}
    names = {token_id: text for text, token_id in vocabulary.items()}
    for token_id, token in tokens.items():
        text = token["content"]
        if names.get(token_id, text) != text or vocabulary.get(text, token_id) != token_id:
            raise AnexaError(f"{folder} has two tokens for the id {token_id}, or two ids for one")
    new = sorted(tokens.keys() - names.keys())
    if new and new != list(range(len(names), len(names) + len(new))):
        raise AnexaError(f"{folder} has added tokens whose ids do not follow its vocabulary")
    return [tokens[token_id] for token_id in sorted(tokens)]


def _special_tokens(config: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[str]:
    """Return the special tokens that a `tokenizer_config.json` names."""
    named: Sequence[Any] = [config.get(key) for key in SPECIAL_TOKEN_KEYS]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        more = config.get(key)
        named = [*named, *(more if isinstance(more, list) else [])]
    texts = dict.fromkeys(text for text in map(_text, named) if text)
    return [*texts] if texts or END_OF_TEXT not in vocabulary else [END_OF_TEXT]


def added_token(token_id: int, text: str, *, special: bool = True) -> dict[str, Any]:
    """Return an added token as `tokenizer.json` describes it, with all `ADDED_TOKEN_FLAGS` off."""
    flags = dict.fromkeys(ADDED_TOKEN_FLAGS, False)
    return {"id": token_id, "content": text, **flags, "special": special}


def _text(token: Any) -> str:
    """Return the text of a token, which a file has as a string or as an object with options.

    "" if it is neither.
    """
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""
