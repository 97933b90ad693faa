"""Small tokenizers of each family, with the rules of the family and a vocabulary of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from tests.model.hard_strings import HARD_STRINGS

LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_WORDS = LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")
CJK_COMMON = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
DEEPSEEK3_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CJK_WIDE = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(expression: str) -> Any:
    return pre_tokenizers.Split(Regex(expression), "isolated")


def trained(
    steps: list[Any], special: list[str], *, normalizer: Any = None, ignore_merges: bool = False
) -> Backend:
    """Train byte-level BPE on the hard strings."""
    backend = Backend(models.BPE())
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(HARD_STRINGS, trainer)
    if ignore_merges:  # Llama 3 has words that no merge gives
        content = json.loads(backend.to_str())
        for word in ("Ġ" + "jumps", "antidisestablishmentarianism", "ĠðŁĺĢ"):
            content["model"]["vocab"].setdefault(word, len(content["model"]["vocab"]))
        content["model"]["ignore_merges"] = True
        backend = Backend.from_str(json.dumps(content))
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in special])
    return backend


def gpt2() -> Backend:
    return trained([pre_tokenizers.ByteLevel(add_prefix_space=False)], ["<|endoftext|>"])


def smollm() -> Backend:
    steps = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    return trained(steps, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def llama3() -> Backend:
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>"]
    backend = trained([split(LLAMA3_WORDS), BYTES], names, ignore_merges=True)
    bos = names[0], backend.token_to_id(names[0])
    backend.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(f"{names[0]} $A", None, [bos]),
        ]
    )
    return backend


def smaug() -> Backend:
    """Llama 3's words, but every token is reached by merges."""
    return trained([split(LLAMA3_WORDS), BYTES], ["<|endoftext|>", "<|im_end|>"])


def qwen2() -> Backend:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    backend = trained([split(QWEN2_WORDS), BYTES], names, normalizer=normalizers.NFC())
    backend.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>")])
    return backend


def neox() -> Backend:
    """GPT-NeoX's and Pythia's: runs of spaces are added tokens."""
    backend = trained(
        [pre_tokenizers.ByteLevel(add_prefix_space=False)],
        ["<|endoftext|>", "<|padding|>"],
        normalizer=normalizers.NFC(),
    )
    backend.add_tokens([AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)])
    return backend


def deepseek_coder() -> Backend:
    steps = [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK_WIDE)]
    steps += [pre_tokenizers.Digits(individual_digits=True), BYTES]
    return trained(steps, ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|EOT|>"])


def deepseek3() -> Backend:
    steps = [split(r"\p{N}{1,3}"), split(CJK_COMMON), split(DEEPSEEK3_WORDS), BYTES]
    names = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>"]
    return trained(steps, names, normalizer=normalizers.Sequence([]))


BYTE_LEVEL: dict[str, Callable[[], Backend]] = {
    "gpt2": gpt2,
    "smollm": smollm,
    "llama3": llama3,
    "smaug": smaug,
    "qwen2": qwen2,
    "neox": neox,
    "deepseek-coder": deepseek_coder,
    "deepseek-v3": deepseek3,
}


@cache
def sentencepiece_file(**options: Any) -> bytes:
    """Train a `tokenizer.model` as that of Llama 2 was trained."""
    import sentencepiece

    written = io.BytesIO()
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 900,
        "byte_fallback": True,
        "split_digits": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "character_coverage": 0.98,
        "minloglevel": 2,
        "num_threads": 1,
    }
    lines = (line for text in HARD_STRINGS for line in text.replace("\0", "").split("\n") if line)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=written, **settings | options
    )
    return written.getvalue()


def control_tokens(backend: Backend) -> list[str]:
    """Return the added tokens; the first is BOS, and the second, if any, is EOS."""
    return [token.content for _, token in sorted(backend.get_added_tokens_decoder().items())]


def write_sentencepiece(folder: Path, model: bytes | None = None, **config: Any) -> None:
    """Write the files of a tokenizer like Llama 2's, without a `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(sentencepiece_file() if model is None else model)
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")


def write_vocabulary(folder: Path, backend: Backend, model_type: str, **config: Any) -> None:
    """Write `vocab.json` and `merges.txt` of a byte-level tokenizer, and the rest of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads(backend.to_str())
    vocabulary = json.dumps(content["model"]["vocab"])
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in content["model"]["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    added = {str(token.pop("id")): token for token in content["added_tokens"]}
    config = {"added_tokens_decoder": added} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
