"""What a stranger's `tokenizer.json` may do: a tokenizer is a chain of steps, and steps add up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anexa.errors import AnexaError, one_line, short_repr

# A step may make its text longer, and as many steps as one likes may stand in a row: forty that
# write a letter twice would need a terabyte for one letter. Llama's two longest chains have 4.
MOST_GROWTH = 4096
MOST_STEPS = 64

# What a text becomes longer by, where that is not in the step itself: a byte may take two, and NFKD
# writes one character as up to 18.
_GROWTH = {"ByteLevel": 2, "Metaspace": 2, "Prepend": 2, "NFD": 2, "NFKD": 3, "NFKC": 3}


def check_tokenizer(text: str) -> None:
    """Refuse what would use up time and memory, and what does not always do the same.

    What `tokenizers` itself refuses is let through.

    Raises:
        AnexaError: it is no JSON object, is of a kind that cannot be opened, or is such a one.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnexaError(f"tokenizer.json is damaged ({short_repr(error)})") from error
    if not isinstance(whole, dict) or not isinstance(model := whole.get("model"), dict):
        raise AnexaError("tokenizer.json is damaged (it describes no tokenizer)")
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise AnexaError(
            f"tokenizer.json is damaged or no BPE, but {short_repr(kind)}: only BPE is"
        )
    if model.get("dropout"):
        raise AnexaError("tokenizer.json has a dropout: the same text would give different tokens")
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        # `tokenizers` cuts pairs at the length of the one without looking what stands there: at
        # best it then panics.
        if model.get(affix):
            raise AnexaError(
                f"tokenizer.json has a {affix}, {short_repr(model[affix])}: not supported"
            )
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        _check_growth(part, [*_steps(whole.get(part))])
    _check_template([*_steps(whole.get("post_processor"))])


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """The steps of a part, one after another, however they are nested."""
    todo = [part]
    while todo:
        step = todo.pop()
        if not isinstance(step, dict):
            continue
        yield step
        for inner in ("normalizers", "pretokenizers", "decoders", "processors"):
            if isinstance(step.get(inner), list):
                todo += step[inner]


def _check_growth(part: str, steps: list[dict[str, Any]]) -> None:
    growth = 1
    for step in steps:
        kind = step.get("type")
        if kind == "Precompiled":  # of the tokenizers that are no BPE
            raise AnexaError(f"tokenizer.json has a {part} that is Precompiled: only BPE is opened")
        growth *= _GROWTH.get(str(kind), 1)
        if kind == "Replace":  # an expression, or nothing, is found also between two characters
            pattern = step.get("pattern")
            text = pattern.get("String") if isinstance(pattern, dict) else None
            content = str(step.get("content"))
            growth *= max(1, len(content)) if text else 1 + len(content)
        if growth > MOST_GROWTH or len(steps) > MOST_STEPS:
            raise AnexaError(
                f"tokenizer.json has a {part} of {len(steps)} steps that may make a text too long"
            )


def _check_template(steps: list[dict[str, Any]]) -> None:
    """A text is there once in what is made of it."""
    for step in steps:
        pieces = step.get("single")
        texts = (
            [piece for piece in pieces if isinstance(piece, dict) and "Sequence" in piece]
            if (isinstance(pieces, list))
            else []
        )
        if len(texts) > 1:
            raise AnexaError(
                f"tokenizer.json has a post_processor ({one_line(str(step.get('type')))}) that "
                f"writes a text {len(texts)} times"
            )
