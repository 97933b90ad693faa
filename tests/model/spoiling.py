"""Corrupted and malicious contents for the files of a model folder."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from tests.model.test_chat_template import WITHOUT_END

# ------------------------------------------------------------------ what is done to a file

NUMBERS = [0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**53, 2**63, 2**64, -(2**70), 10**300, 10**4000]
NUMBERS += [0.5, 1e-300, 1e300, float("inf"), float("nan")]  # type: ignore[list-item]
TEXTS = ["", "a", "\0", "\ud800", "é" * 99, "../../etc/passwd", "/etc/passwd", "/dev/zero", "<s>"]
TEXTS += ["model-00001-of-00001.safetensors", "config.json", "%s%n", "\x1b[31m", "a\nb", "default"]
TEXTS += ["F32", "F16", "BF16", "F64", "I64", "F8_E4M3", "BOOL", "(a+)+$", "(?:a|a)*b", "[", ".*"]
TEXTS += ["ByteLevel", "BPE", "WordLevel", "Unigram", "Replace", "Split", "Metaspace", "Sequence"]
TEXTS += ["TemplateProcessing", "Strip", "NFKD", "Prepend", "ByteFallback", "WordPiece", "CTC"]
TEXTS += ["BertNormalizer", "Precompiled", "RobertaProcessing", "Digits", "Punctuation", "Fuse"]
KEYS = [
    "type",
    "content",
    "pattern",
    "String",
    "Regex",
    "special",
    "id",
    "vocab",
    "merges",
    "model",
]
KEYS += [
    "dtype",
    "shape",
    "data_offsets",
    "__metadata__",
    "weight_map",
    "rope_scaling",
    "rope_type",
]
KEYS += ["eos_token_id", "eos_token", "name", "template", "chat_template", "quantization_config"]
TAGS = [
    "{% for i in range(9999) %}",
    "{% endfor %}",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{% if x %}",
]
TAGS += [
    "{% set x = 'ab' * 999 %}",
    "{% macro f(a) %}",
    "{{ f(f) }}",
    "{% endmacro %}",
    "{% endif %}",
]
TAGS += ["{% set n = namespace(v='ab') %}", "{% set n.v = n.v ~ n.v %}", "{{ messages|tojson }}"]
TAGS += ["{% set n.v = [n.v, n.v] %}", "{{ n.v|replace('a', n.v) }}", "{{ n.v.join(n.v) }}"]
TAGS += ["{{ 'x'|center(10**9) }}", "{{ 9**99999 }}", "{{ ''.__class__.__mro__ }}", "{% raw %}"]
TAGS += ["{{ messages[0].content }}", "{{ x.y.z }}", "{% include 'config.json' %}", "{% break %}"]
TAGS += ["{{ range(9999)|map('string')|join }}", "{{ '%99999d' % 1 }}", "{{ strftime_now('%Y') }}"]

PATTERNS: list[dict[str, str]] = [{"String": ""}, {"String": "a"}, {"String": " "}]
PATTERNS += [{"Regex": r} for r in ("", "(a+)+$", "(a|a)*b", ".", "\\s+", "(?=a)", "[", "(" * 300)]


def any_step(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Draw a step of a tokenizer that `tokenizers` may accept, perhaps with strange values."""
    text, number = rng.choice([*TEXTS, " ", "▁"]), rng.choice([0, 1, 3, 2**31, 2**63])
    ids = {"id": text, "ids": [number], "tokens": [text]}
    piece = rng.choice([{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {**ids}}])
    yes, kind = rng.random() < 0.5, rng.choice(["String", "Regex"])
    behaviours = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": rng.choice(PATTERNS), "content": text * rng.choice([1, 99])},
        {"type": "Prepend", "prepend": text},
        {"type": "Strip", "content": text[:1] or "a", "start": number, "stop": number},
        {"type": "Strip", "strip_left": yes, "strip_right": yes},
        {"type": rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"])},
        {"type": rng.choice(["Fuse", "ByteFallback", "Whitespace", "WhitespaceSplit", "Bert"])},
        {"type": "ByteLevel", "add_prefix_space": yes, "trim_offsets": yes, "use_regex": yes},
        {
            "type": "Split",
            "pattern": rng.choice(PATTERNS),
            "behavior": rng.choice(behaviours),
            "invert": yes,
        },
        {"type": "Metaspace", "replacement": text, "prepend_scheme": "always", "split": yes},
        {"type": "Digits", "individual_digits": yes},
        {"type": "Punctuation", "behavior": rng.choice(behaviours)},
        {"type": "WordPiece", "prefix": text, "cleanup": yes},
        {"type": "BPEDecoder", "suffix": text},
        {"type": "CTC", "pad_token": text, "word_delimiter_token": text, "cleanup": yes},
        {"type": "Precompiled", "precompiled_charsmap": text},
        {"type": "TemplateProcessing", "single": [piece] * rng.choice([1, 2, 99]), "pair": [piece]}
        | {"special_tokens": {text: ids}},
        {"type": "BertProcessing", "sep": [text, number], "cls": [text, number]},
        {"type": "BPE", "vocab": {text: number, "a": 0}, "merges": [["a", text]], "unk_token": text}
        | {"byte_fallback": yes, "continuing_subword_prefix": text, "dropout": number},
        {"type": "WordLevel", "vocab": {text: number}, "unk_token": text},
        {"type": "Fixed", "max_length": number, "strategy": {"Fixed": number}, "stride": number}
        | {"direction": "Right", "pad_to_multiple_of": number, "pad_id": number, "pad_type_id": 0}
        | {"pad_token": text},
        {"id": number, "content": text, "special": yes, "normalized": yes, "lstrip": yes}
        | {"rstrip": yes, "single_word": yes},
        {kind: text},
    ]
    step = rng.choice(steps)
    if depth < 2 and rng.random() < 0.2:
        inner = [
            any_step(rng, depth + 1) for _ in range(rng.choice([1, 3] if depth else [1, 3, 40]))
        ]
        names = ("normalizers", "pretokenizers", "decoders", "processors")
        return {"type": "Sequence", **dict.fromkeys(names, inner)}
    return step


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """Draw any JSON value."""
    kind = rng.randrange(12 if depth < 3 else 6)
    if kind > 8:
        return any_step(rng)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(TEXTS)
    if kind == 5:
        return rng.choice([None, True, False])
    if kind == 6:
        return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {
            rng.choice(KEYS + TEXTS): any_value(rng, depth + 1) for _ in range(rng.randrange(4))
        }
    nested: Any = any_value(rng, depth + 1)
    for _ in range(rng.choice([3, 50, 500])):
        nested = [nested] if rng.random() < 0.5 else {rng.choice(KEYS): nested}
    return nested


def places(value: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    """List every position in a JSON value, as container and key."""
    found = []
    if isinstance(value, (dict, list)) and depth < 30:
        for key in value if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key], depth + 1)]
    return found


STEPS = ("normalizer", "pre_tokenizer", "decoder", "post_processor", "truncation", "padding")


def spoil_json(rng: random.Random, whole: Any) -> Any:
    """Replace some values by strange ones, by values of other positions, by none or by many."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        there = places(whole)
        if not there:
            return any_value(rng)
        if len(there) > 20_000:
            break
        if rng.random() < 0.5:  # near the root, and not in a long vocabulary
            there = there[: 1 + len(there) // 20] if rng.random() < 0.5 else places_above(whole)
        holder, key = rng.choice(there)
        deed = rng.randrange(5)
        if key in STEPS:
            holder[key] = any_step(rng)
        elif deed == 0:
            del holder[key]
        elif deed == 1:
            other, name = rng.choice(there)
            if isinstance(other, (dict, list)) and (name in other or isinstance(other, list)):
                value = rng.choice([*_values(other)] or [None])
                holder[key] = deepcopy(value) if len(json.dumps(value)) < 5000 else None
        elif deed == 2 and isinstance(holder[key], list) and len(json.dumps(holder[key])) < 1000:
            holder[key] = holder[key] * rng.choice([2, 50])
        elif deed == 3 and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = any_value(rng)
        else:
            holder[key] = any_value(rng)
    return whole


def places_above(whole: Any) -> list[tuple[Any, Any]]:
    """List the positions outside of long lists."""
    few = [place for place in places(whole) if len(place[0]) < 40]
    return few or places(whole)


def _values(holder: Any) -> Any:
    return holder.values() if isinstance(holder, dict) else holder


@contextmanager
def as_deep_as_need_be() -> Iterator[None]:
    """Context without Python's limits on digits and recursion."""
    digits, depth = sys.get_int_max_str_digits(), sys.getrecursionlimit()
    sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(digits)
        sys.setrecursionlimit(depth)


def spoil_bytes(rng: random.Random, content: bytes) -> bytes:
    """Change, delete or repeat some bytes, most of them near the beginning."""
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        i = int(rng.random() ** 3 * len(content))
        byte = rng.choice([rng.randrange(256), *b'{}[]",:0-.e\\u'])
        deed = rng.randrange(5)
        if deed == 0:
            content = content[:i] + bytes([byte]) + content[i + 1 :]
        elif deed == 1:
            content = content[:i] + content[i + rng.randrange(1, 9) :]
        elif deed == 2:
            content = content[:i] + bytes([byte]) * rng.choice([1, 2, 4000]) + content[i:]
        elif deed == 3:
            content = content[:i]
        else:
            j = rng.randrange(len(content) + 1)
            content = content[:i] + content[j : j + rng.randrange(200)] + content[i:]
    return content


def spoil_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Corrupt the header of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.8:
        header = json.dumps(spoil_json(rng, json.loads(header))).encode("utf-8", "surrogatepass")
        length = len(header)
    if rng.random() < 0.2:
        length = rng.choice([0, 1, length - 1, length + 1, 2**27, 2**40, 2**63, 2**64 - 1])
    if rng.random() < 0.2:
        rest = rest[: rng.randrange(len(rest) + 1)]
    return length.to_bytes(8, "little") + header + rest


def spoil_template(rng: random.Random, content: bytes) -> bytes:
    """Insert tags into a template."""
    text = content.decode("utf-8", "replace")
    for _ in range(rng.choice([1, 2, 4, 12])):
        i = rng.randrange(len(text) + 1)
        text = text[:i] + rng.choice(TAGS) * rng.choice([1, 1, 1, 3]) + text[i:]
    return text.encode("utf-8", "surrogatepass")


def spoil(rng: random.Random, name: str, content: bytes) -> bytes:
    """Corrupt the content of a file of that name; the result has at most 1 MiB."""
    return _spoil(rng, name, content)[: 2**20]


def _spoil(rng: random.Random, name: str, content: bytes) -> bytes:
    if name.endswith(".py") or rng.random() < 0.35:
        return spoil_bytes(rng, content)
    if name.endswith(".safetensors"):
        return spoil_safetensors(rng, content)
    if name.endswith(".jinja"):
        return spoil_template(rng, content)
    return json.dumps(spoil_json(rng, json.loads(content))).encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------ on purpose

AN_A = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
SLOW = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
FIXED: dict[str, Any] = {
    "strategy": {"Fixed": 10**11},
    "direction": "Right",
    "pad_to_multiple_of": None,
}
FIXED |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
TWICE: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 9999,
}
TWICE |= {"pair": [], "special_tokens": {}}
DEEP = "[" * 100_000

LLAMA3 = "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"

PURPOSES: dict[str, list[dict[str, Any] | str]] = {
    "config.json": [
        *(
            {key: value}
            for key in (
                "vocab_size",
                "eos_token_id",
                "bos_token_id",
                "max_position_embeddings",
                "n_positions",
                "block_size",
            )
            for value in NUMBERS
        ),
        *({key: 10**4000} for key in ("n_embd", "hidden_size", "n_layer", "num_hidden_layers")),
        *({key: 10**300} for key in ("n_embd", "hidden_size", "n_layer", "num_hidden_layers")),
        *({"rope_parameters": {"rope_theta": value}} for value in NUMBERS),
        *({"head_dim": value} for value in NUMBERS),
        *({"model_type": "mistral", "sliding_window": value} for value in NUMBERS),
        *({"rope_scaling": {"type": "linear", "factor": value}} for value in NUMBERS),
        *(
            {"rope_parameters": dict.fromkeys(LLAMA3, 1.0) | {"rope_type": "llama3", key: value}}
            for key in LLAMA3
            for value in NUMBERS
        ),
        *({"model_type": value} for value in TEXTS),
        {"rms_norm_eps": 10**400, "layer_norm_epsilon": 10**400},
        {"auto_map": {"AutoConfig": "config.Config"}, "model_type": "microgpt"},
        {"model_type": "x" * 10**6},
        DEEP,
        "\ufeff{}",
    ],
    "generation_config.json": [
        *({key: value} for key in ("temperature", "max_new_tokens") for value in [*NUMBERS, "a"]),
        {"eos_token_id": [0] * 10**5},
        DEEP,
    ],
    "tokenizer_config.json": [
        *({"eos_token": value, "bos_token": {"content": value}} for value in TEXTS),
        {"eos_token": 3},
        {"chat_template": 3},
        {"chat_template": [{"name": "default", "template": 3}]},
        {"chat_template": "\ud800{{ '\ud800' }}"},
        {"chat_template": "{{ " + "(" * 10**5},
        DEEP,
    ],
    "chat_template.jinja": [*WITHOUT_END, *TAGS, DEEP],
    "model.safetensors.index.json": [
        *({"weight_map": {"a": name}} for name in TEXTS),
        {"weight_map": {str(number): "tokenizer.json" for number in range(10**4)}},
        DEEP,
    ],
    "tokenizer.json": [
        {"padding": FIXED},
        {"truncation": {"max_length": 0, "stride": 2**63, "strategy": "LongestFirst"}},
        {"pre_tokenizer": SLOW},
        {"post_processor": TWICE},
        {"decoder": {"type": "Sequence", "decoders": [AN_A] * 40}},
        {"normalizer": {"type": "Sequence", "normalizers": [AN_A] * 40}},
        {"normalizer": AN_A | {"pattern": {"String": ""}, "content": "a" * 10**6}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 40}},
        {"normalizer": {"type": "ByteLevel"}},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"decoder": {"type": "Strip", "content": "a", "start": 2**63, "stop": 2**63}},
        {"decoder": {"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": True}},
        {"added_tokens": []},
        {"model": {"type": "BPE", "vocab": {}, "merges": []}},
        {"model": {"type": "BPE", "vocab": {"a": 2**32 - 1}, "merges": []}},
        {"model": {"type": "BPE", "vocab": {"a": 2**64}, "merges": []}},
        {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}},
        *(
            {"model": {"type": "BPE", "vocab": {"é": 0, "\ud7ff": 1}, "merges": [], affix: "x"}}
            for affix in ("continuing_subword_prefix", "end_of_word_suffix", "unk_token")
        ),
        DEEP,
    ],
}


def on_purpose(whole: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield malicious contents for the files that the folder has."""
    for name, purposes in PURPOSES.items():
        for purpose in purposes if name in whole else ():
            if isinstance(purpose, dict):
                purpose = json.dumps(json.loads(whole[name]) | purpose)
            yield name, purpose.encode("utf-8", "surrogatepass")
    for name in whole:
        if name.endswith(".safetensors"):
            for length in (0, 1, 2, 2**27, 2**40, 2**63, 2**64 - 1):
                yield name, length.to_bytes(8, "little") + whole[name][8:]
            yield name, len(DEEP).to_bytes(8, "little") + DEEP.encode()
