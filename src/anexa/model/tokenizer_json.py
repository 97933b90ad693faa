"""Validation of an untrusted `tokenizer.json`, whose steps can multiply the length of a text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any

from anexa.errors import AnexaError, short_repr

# Maximum factor by which all steps of a normalizer, a pre-tokenizer or a decoder together may
# lengthen a text, in bytes of UTF-8. Forty steps that double the text would make a terabyte of one
# letter.
MAX_GROWTH = 4096
MAX_STEPS = 64  # maximum number of steps of each part, a post-processor included; Llama's: 4
MAX_TEMPLATE_TOKENS = 64  # that a post-processor adds to a text; BERT's adds 2
# Maximum size in UTF-8 of all added tokens that the normalizer changes, as long as it may make
# them; `tokenizers` normalizes them when it opens the file.
MAX_NORMALIZED_BYTES = 1 << 24

# Types of the steps of each part, with the largest factor by which a step lengthens a text that is
# not empty, in bytes of UTF-8; None: it depends on the settings of the step, see `step_growth`.
# `tokenizers` guesses the type of a step from its settings if it does not know its "type" in this
# part, so steps of other types are refused.
_GROWTH: dict[str, dict[str, float | None]] = {
    "normalizer": {
        **{"Sequence": 1, "Replace": None, "Prepend": None, "ByteLevel": 2, "Lowercase": 1.5},
        # Unicode's own limits, as in https://unicode.org/faq/normalization
        **{"NFC": 3, "NFD": 3, "NFKC": 11, "NFKD": 11, "BertNormalizer": 3},
        **{"Strip": 1, "StripAccents": 1, "Nmt": 1},
    },
    "pre_tokenizer": {
        **{"Sequence": 1, "ByteLevel": 4, "Metaspace": None, "Split": 1, "Digits": 1},
        **{"Punctuation": 1, "Whitespace": 1, "WhitespaceSplit": 1, "BertPreTokenizer": 1},
        **{"CharDelimiterSplit": 1, "UnicodeScripts": 1, "FixedLength": 1},
    },
    "decoder": {
        **{"Sequence": 1, "Replace": None, "ByteLevel": 1.5, "WordPiece": 2, "Metaspace": 1},
        **{"Fuse": 1, "Strip": 1, "ByteFallback": 1},
        **{"BPEDecoder": 3, "CTC": 3},  # a space around each character, if the suffix is empty
    },
    "post_processor": dict.fromkeys(
        ("Sequence", "TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing"), 1
    ),
}
_INNER = ("normalizers", "pretokenizers", "decoders", "processors")  # keys of nested steps


def check_tokenizer_json(text: str) -> None:
    """Check that a `tokenizer.json` is deterministic and needs little time and memory.

    `tokenizers` itself refuses other defects.

    Args:
        text: content of the file.

    Raises:
        AnexaError: if the text is not a JSON object with a model, or a key of an object occurs
            twice; if the model is not BPE, or has a dropout or an affix of subwords; if there are
            too many steps, or a step is not supported; if the steps may lengthen a text or added
            tokens too much, repeat a text, or add too many tokens or tokens without ids.
    """
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise AnexaError(f"tokenizer.json is damaged ({short_repr(error)})") from error
    if not isinstance(content, dict) or not isinstance(model := content.get("model"), dict):
        raise AnexaError("tokenizer.json is damaged (it describes no tokenizer)")
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise AnexaError(
            f"tokenizer.json is damaged or not supported: it is {short_repr(kind)}, not BPE"
        )
    if model.get("dropout"):
        raise AnexaError("tokenizer.json has a dropout: the same text would give different tokens")
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        # `tokenizers` cuts pairs at the length of the affix without a look at the characters there,
        # and at best panics.
        if model.get(affix):
            raise AnexaError(
                f"tokenizer.json has a {affix}, {short_repr(model[affix])}: not supported"
            )
    for part in _GROWTH:
        steps = [*_steps(part, content.get(part))]
        if part == "post_processor":
            _check_template(steps)
        else:
            _check_growth(part, steps)
        if part == "normalizer":
            _check_added_tokens(content.get("added_tokens"), steps)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Create an object of JSON whose keys differ: of equal ones, `tokenizers` may take another."""
    content = dict(pairs)
    if len(content) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {short_repr(key)} occurs twice in an object")
    return content


def _steps(part: str, pipeline: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a pipeline, such as a normalizer: also those nested in other steps.

    Raises:
        AnexaError: if a step is not an object with a supported type.
    """
    stack = [] if pipeline is None else [pipeline]
    while stack:
        step = stack.pop()
        kind = step.get("type") if isinstance(step, dict) else step
        if not isinstance(step, dict) or not isinstance(kind, str) or kind not in _GROWTH[part]:
            raise AnexaError(
                f"tokenizer.json has a {part} that is {short_repr(kind)}: not supported"
            )
        yield step
        for inner in _INNER:
            if isinstance(step.get(inner), list):
                stack += step[inner]


def _total_growth(part: str, steps: list[dict[str, Any]]) -> float:
    return prod(step_growth(part, step) for step in steps)


def _check_growth(part: str, steps: list[dict[str, Any]]) -> None:
    if _total_growth(part, steps) > MAX_GROWTH or len(steps) > MAX_STEPS:
        raise AnexaError(
            f"tokenizer.json has a {part} of {len(steps)} steps that may make a text too long"
        )


def _check_added_tokens(tokens: Any, normalizer: list[dict[str, Any]]) -> None:
    """Check that the added tokens are not too long after the steps of the normalizer."""
    growth = _total_growth("normalizer", normalizer)
    num_bytes = sum(
        _num_bytes(token.get("content"))
        for token in (tokens if isinstance(tokens, list) else [])
        if isinstance(token, dict) and token.get("normalized")
    )
    if growth > 1 and growth * num_bytes > MAX_NORMALIZED_BYTES:
        raise AnexaError(
            f"tokenizer.json has added tokens of {num_bytes:,} bytes that its normalizer may make "
            "too long"
        )


def step_growth(part: str, step: dict[str, Any]) -> float:
    """Return an upper bound on the factor by which a step lengthens a text that is not empty.

    Args:
        part: part of the tokenizer, such as "normalizer".
        step: step of a supported type.

    Returns:
        The factor, at least 1, for lengths in bytes of UTF-8.
    """
    kind = step["type"]
    growth = _GROWTH[part][kind]
    if growth is not None:
        return growth
    if kind == "Prepend":
        return 1 + _num_bytes(step.get("prepend"))
    if kind == "Metaspace":  # one before each word, and one for each space
        return 1 + _num_bytes(step.get("replacement"))
    assert kind == "Replace"
    pattern = step.get("pattern")
    replaced = _num_bytes(pattern.get("String")) if isinstance(pattern, dict) else 0
    content = _num_bytes(step.get("content"))
    # An expression, or an empty string, also matches before and after each character.
    return max(1, content / replaced) if replaced else 1 + 2 * content


def _num_bytes(text: Any) -> int:
    """Return the length of a text in UTF-8; 0 if it is none, which `tokenizers` refuses."""
    return len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0


def _check_template(steps: list[dict[str, Any]]) -> None:
    """Check that a post-processor has the text at most once, and few tokens around it.

    Raises:
        AnexaError: if it repeats the text, or adds too many tokens.
    """
    num_tokens = 0
    for step in steps:
        pieces, tokens = step.get("single"), step.get("special_tokens")
        if not isinstance(pieces, list):
            continue
        count = sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces)
        if count > 1:
            raise AnexaError(
                f"tokenizer.json has a post_processor ({step['type']}) that writes a text {count} "
                "times"
            )
        num_tokens += sum(_num_ids(piece, tokens) for piece in pieces)
    if num_tokens > MAX_TEMPLATE_TOKENS or len(steps) > MAX_STEPS:
        raise AnexaError(
            f"tokenizer.json has a post_processor of {len(steps)} steps that adds {num_tokens:,} "
            "tokens to a text: too many"
        )


def _num_ids(piece: Any, tokens: Any) -> int:
    """Return the number of ids that a piece of a template adds, 0 for the text itself.

    Args:
        piece: piece of the template.
        tokens: its special tokens, by name.

    Raises:
        AnexaError: if it is a special token that is not described.
    """
    special = piece.get("SpecialToken") if isinstance(piece, dict) else None
    if special is None:
        return 0
    name = special.get("id") if isinstance(special, dict) else None
    token = tokens.get(name) if isinstance(tokens, dict) and isinstance(name, str) else None
    ids = token.get("ids") if isinstance(token, dict) else None
    if not isinstance(ids, list):
        raise AnexaError(
            f"tokenizer.json is damaged: its post_processor has no ids of {short_repr(name)}"
        )
    return len(ids)
