"""Validation of an untrusted `tokenizer.json`, whose steps can multiply the length of a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anexa.errors import AnexaError, one_line, short_repr

# Limits of a normalizer, a pre-tokenizer and a decoder: by which estimated factor all of its steps
# may lengthen a text together, and how many steps it may have. Forty steps that double the text
# would make a terabyte of one letter. Llama's longest one has 4 steps.
MAX_GROWTH = 4096
MAX_STEPS = 64

# Factors by which steps lengthen a text, in bytes; `_check_growth` counts `Replace` in characters.
_GROWTH = {"ByteLevel": 2, "Metaspace": 2, "Prepend": 2, "NFD": 2, "NFKD": 3, "NFKC": 3}


def check_tokenizer_json(text: str) -> None:
    """Check that a `tokenizer.json` is deterministic and needs little time and memory.

    `tokenizers` itself refuses other defects.

    Args:
        text: content of the file.

    Raises:
        AnexaError: if the text is not a JSON object with a model, the model is not BPE or has a
            dropout or an affix of subwords, or a step is not supported, may lengthen a text too
            much, or repeats it.
    """
    try:
        content = json.loads(text)
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
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        _check_growth(part, [*_steps(content.get(part))])
    _check_template([*_steps(content.get("post_processor"))])


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a pipeline, such as a normalizer: also those nested in other steps."""
    stack = [part]
    while stack:
        step = stack.pop()
        if not isinstance(step, dict):
            continue
        yield step
        for inner in ("normalizers", "pretokenizers", "decoders", "processors"):
            if isinstance(step.get(inner), list):
                stack += step[inner]


def _check_growth(part: str, steps: list[dict[str, Any]]) -> None:
    growth = 1
    for step in steps:
        kind = step.get("type")
        if kind == "Precompiled":  # belongs to other kinds of tokenizers than BPE
            raise AnexaError(f"tokenizer.json has a {part} that is Precompiled: not supported")
        growth *= _GROWTH.get(str(kind), 1)
        if kind == "Replace":  # an expression, or an empty string, also matches between characters
            pattern = step.get("pattern")
            text = pattern.get("String") if isinstance(pattern, dict) else None
            content = str(step.get("content"))
            growth *= max(1, len(content)) if text else 1 + len(content)
        if growth > MAX_GROWTH or len(steps) > MAX_STEPS:
            raise AnexaError(
                f"tokenizer.json has a {part} of {len(steps)} steps that may make a text too long"
            )


def _check_template(steps: list[dict[str, Any]]) -> None:
    """Check that a post-processor has the text at most once.

    Raises:
        AnexaError: if it repeats the text.
    """
    for step in steps:
        pieces = step.get("single")
        if not isinstance(pieces, list):
            continue
        count = sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces)
        if count > 1:
            raise AnexaError(
                f"tokenizer.json has a post_processor ({one_line(str(step.get('type')))}) that "
                f"writes a text {count} times"
            )
