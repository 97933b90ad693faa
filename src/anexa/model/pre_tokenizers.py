"""Pre-tokenizers of byte-level BPE, which split texts into words before the merges are applied.

Their names are llama.cpp's, which a GGUF file has under `tokenizer.ggml.pre`; their steps are
written as in a `tokenizer.json` of Hugging Face's `tokenizers`.
"""

from __future__ import annotations

from typing import Any

from anexa.errors import AnexaError
from anexa.model.tokenizer_files import QWEN2_WORDS


def _split(expression: str) -> dict[str, Any]:
    """Return a step that splits a text into the matches of a regular expression and the rest."""
    pattern = {"type": "Split", "pattern": {"Regex": expression}}
    return pattern | {"behavior": "Isolated", "invert": False}


_DIGITS = {"type": "Digits", "individual_digits": True}
# Step of GPT-2: splits a text into words, and writes their bytes as visible characters.
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES = BYTE_LEVEL | {"use_regex": False}
_LLAMA3 = [_split(QWEN2_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")), _BYTES]

# The pre-tokenizer of DeepSeek Coder, then that of DeepSeek V3 and R1.
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

# Steps of each pre-tokenizer, by llama.cpp's name, for models without `ignore_merges`.
PRE_TOKENIZERS = {
    "gpt-2": [BYTE_LEVEL],
    "smollm": [_DIGITS, BYTE_LEVEL],
    "qwen2": [_split(QWEN2_WORDS), _BYTES],
    "dbrx": _LLAMA3,
    "deepseek-coder": _DEEPSEEK_CODER,
    "deepseek-v3": _DEEPSEEK3,
}
# The same for BPE models with `ignore_merges`: a word that is itself a token is encoded as that
# token; merges are applied to other words only.
IGNORE_MERGES_PRE_TOKENIZERS = {"llama-bpe": _LLAMA3}

# Pre-tokenizers whose tokenizers normalize texts to Unicode's normal form NFC. GPT-NeoX's tokenizer
# does so, too, but shares the name gpt-2 with GPT-2's, which does not.
NFC_PRE_TOKENIZERS = ("qwen2",)

# Models whose tokenizers have these pre-tokenizers, for error messages.
SUPPORTED_FAMILIES = "GPT-2, GPT-NeoX, SmolLM, Llama 3, Qwen2, DeepSeek Coder, V3 or R1"


def pre_tokenizer_name(pre_tokenizer: dict[str, Any] | None, *, ignore_merges: bool) -> str:
    """Return llama.cpp's name of a pre-tokenizer, such as "gpt-2" or "llama-bpe".

    Args:
        pre_tokenizer: value of `pre_tokenizer` in a `tokenizer.json`, as the current version of
            `tokenizers` writes it. `trim_offsets` is ignored, as it changes no token.
        ignore_merges: value of `ignore_merges` of its BPE model. If it is true, the pre-tokenizer
            is searched for in `IGNORE_MERGES_PRE_TOKENIZERS`, else in `PRE_TOKENIZERS`.

    Raises:
        AnexaError: if the pre-tokenizer is not there. The message continues "MODEL cannot be
            exported: ".
    """
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    steps = [{k: v for k, v in (step or {}).items() if k != "trim_offsets"} for step in steps]
    for name, known in (IGNORE_MERGES_PRE_TOKENIZERS if ignore_merges else PRE_TOKENIZERS).items():
        if steps == known:
            return name
    what = " with ignore_merges" if ignore_merges else ""
    raise AnexaError(
        f"its tokenizer{what} does not split texts into words as that of {SUPPORTED_FAMILIES}, the "
        "only byte-level ones that Anexa writes as GGUF: try llama.cpp's own "
        "convert_hf_to_gguf.py, which knows more tokenizers"
    )
