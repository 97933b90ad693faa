"""Solutions of chapter 1."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
def encode(text, merges):
    tokens = list(text.encode("utf-8"))
    for new, (left, right) in enumerate(merges, start=256):
        merged, i = [], 0
        while i < len(tokens):
            if tokens[i : i + 2] == [left, right]:
                merged.append(new)
                i += 2
            else:
                merged.append(tokens[i])
                i += 1
        tokens = merged
    return tokens

def decode(tokens, merges):
    parts = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        parts.append(parts[left] + parts[right])
    return b"".join(parts[token] for token in tokens).decode("utf-8")
"""

WRONG: Wrong = {
    "letters in place of bytes": (
        'list(text.encode("utf-8"))',
        "[ord(letter) for letter in text]",
        "ord() is the number of a letter in Unicode",
    ),
    "bytes as letters": (
        'b"".join(parts[token] for token in tokens).decode("utf-8")',
        '"".join(chr(byte) for token in tokens for byte in parts[token])',
        "takes every byte for a letter",
    ),
    "each token decoded by itself": (
        'b"".join(parts[token] for token in tokens).decode("utf-8")',
        '"".join(parts[token].decode("utf-8") for token in tokens)',
        "One token may be a part of a letter",
    ),
    "broken letters replaced": (
        'b"".join(parts[token] for token in tokens).decode("utf-8")',
        '"".join(parts[token].decode("utf-8", "replace") for token in tokens)',
        "what a tokenizer loses, no model can learn",
    ),
    "nothing merged": (
        "for new, (left, right) in enumerate(merges, start=256):",
        "for new, (left, right) in []:",
        "nothing has been merged",
    ),
    "a token merged twice": ("i += 2", "i += 1", "may be merged only once"),
    "merges from the last to the first": (
        "in enumerate(merges, start=256):",
        "in reversed(list(enumerate(merges, start=256))):",
        "tokens that an earlier merge has made",
    ),
    "the longest token first": (
        "def encode(text, merges):",
        """def encode(text, merges):
    parts, rest, tokens = [bytes([byte]) for byte in range(256)], text.encode("utf-8"), []
    for left, right in merges:
        parts.append(parts[left] + parts[right])
    while rest:
        fits = [token for token, part in enumerate(parts) if rest.startswith(part)]
        tokens.append(max(fits, key=lambda token: len(parts[token])))
        rest = rest[len(parts[tokens[-1]]) :]
    return tokens

def encode_in_order(text, merges):""",
        "Merges are applied in the order of the list",
    ),
    "numbers from 255": ("start=256", "start=255", "Every occurrence of the pair"),
}
