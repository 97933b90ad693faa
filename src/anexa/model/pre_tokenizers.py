"""Pre-tokenizers of byte-level BPE, which split texts into words, by llama.cpp's names."""

from __future__ import annotations

from typing import Any

from anexa.errors import AnexaError
from anexa.model.tokenizer_files import QWEN2_WORDS


def _split(expression: str) -> dict[str, Any]:
    pattern = {"type": "Split", "pattern": {"Regex": expression}}
    return pattern | {"behavior": "Isolated", "invert": False}


_DIGITS = {"type": "Digits", "individual_digits": True}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES = BYTE_LEVEL | {"use_regex": False}
_LLAMA3 = [_split(QWEN2_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")), _BYTES]

# DeepSeek Coder's, and those of V3 and R1.
_DEEPSEEK_CODER = [
    *map(_split, ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+")),
    *(_split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), _DIGITS, _BYTES),
]
_DEEPSEEK3 = [
    _split(r"\p{N}{1,3}"),
    _split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
    _split(
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    _BYTES,
]

PRE_TOKENIZERS = {
    "gpt-2": [BYTE_LEVEL],
    "smollm": [_DIGITS, BYTE_LEVEL],
    "qwen2": [_split(QWEN2_WORDS), _BYTES],
    "dbrx": _LLAMA3,
    "deepseek-coder": _DEEPSEEK_CODER,
    "deepseek-v3": _DEEPSEEK3,
}
# Those where a word that is a token is not merged from its parts.
IGNORE_MERGES = {"llama-bpe": _LLAMA3}

# Those of tokenizers that normalize texts to Unicode's normal form NFC; GPT-NeoX's, which has
# GPT-2's pre-tokenizer, also does.
NORMALIZED = ("qwen2",)

FAMILIES = "GPT-2, GPT-NeoX, SmolLM, Llama 3, Qwen2 or DeepSeek"


def pre_tokenizer_name(pre_tokenizer: dict[str, Any] | None, *, ignore_merges: bool) -> str:
    """Return llama.cpp's name of a pre-tokenizer.

    Args:
        pre_tokenizer: that of a `tokenizer.json`.
        ignore_merges: whether a word that is a token is not merged from its parts.

    Raises:
        AnexaError: if llama.cpp does not have this pre-tokenizer, or Anexa does not know its name.
    """
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    steps = [{k: v for k, v in (step or {}).items() if k != "trim_offsets"} for step in steps]
    for name, known in (IGNORE_MERGES if ignore_merges else PRE_TOKENIZERS).items():
        if steps == known:
            return name
    what = " with ignore_merges" if ignore_merges else ""
    raise AnexaError(
        f"its tokenizer{what} does not split texts into words as that of {FAMILIES}, the only "
        "byte-level ones that Anexa writes as GGUF: try llama.cpp's own convert_hf_to_gguf.py, "
        "which knows more tokenizers"
    )
