"""Small tokenizers of each kind, with compilers of grammars for them."""

from __future__ import annotations

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as backends

from anexa.generation.grammar_compiler import GrammarCompiler
from anexa.model.tokenizer import Tokenizer

PRINTABLE = "".join(map(chr, range(32, 127))) + "\n"
TAGS = ["<think>", "</think>"]


def byte_level() -> Tokenizer:
    texts = ['{"name": "hello world", "age": 12}', "yes no maybe éü 日本"] * 3
    return Tokenizer.train_bpe(texts, 320, adds_bos=False)


def metaspace() -> Tokenizer:
    """A tokenizer like Llama's: words with a mark for their space, and bytes for the rest."""
    words = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["▁", "a", "b", "▁a", "ab", "▁ab", "yes", "▁yes", '"', '{"']
    backend = Backend(
        backends.BPE(
            vocab={word: i for i, word in enumerate(words)},
            merges=[("▁", "a"), ("a", "b"), ("▁", "ab")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return Tokenizer(backend, None, [1])


def characters(text: str = PRINTABLE) -> Tokenizer:
    return Tokenizer.from_characters([text], adds_bos=False, added_tokens=TAGS)


COMPILERS = {
    name: (tokenizer, GrammarCompiler(tokenizer, tokenizer.vocab_size + 3))
    for name, tokenizer in (
        ("characters", characters()),
        ("byte level", byte_level()),
        ("metaspace", metaspace()),
    )
}
