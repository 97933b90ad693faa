"""Chapter 1: a tokenizer of bytes and merges, compared with the library `tokenizers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question

Merges = list[list[int]]  # pairs of tokens, in order; pair i becomes token 256 + i

ALPHABET = 0x4E00  # code point for byte 0: the library merges characters, so each byte gets one
WORDS = ["Zoë 🙂", "naïve 🐧", "Señor 🎈", "Åse 🚲", "crème 🍓"]  # characters of 2 and 4 bytes
# Question.why and Mistake.reason, here and below.
BYTES = "A letter outside plain English is several bytes in UTF-8, and each byte is one token."
ORDER = (
    "Merges are applied in the order of the list: the first pair of the list is merged wherever it "
    "stands, then the second. A text that is split in another way is another text for the model."
)
TWICE = (
    "A token may be merged only once: in 97 97 97 the second 97 is already part of the first pair."
)
NOT_AGAIN = "A merge may join tokens that an earlier merge has made: tokens of 256 and above."
ROUND_TRIP = (
    "decode(encode(text)) must be the text itself: what a tokenizer loses, no model can learn."
)


def bpe_library(merges: Merges) -> Callable[[str], list[int]]:
    """Return a function that encodes a text by merges: by the BPE of the library `tokenizers`."""
    from tokenizers.models import BPE

    spelled = {token: chr(ALPHABET + token) for token in range(256)}
    for token, (left, right) in enumerate(merges, start=256):
        spelled[token] = spelled[left] + spelled[right]
    vocabulary = {text: token for token, text in spelled.items()}
    model = BPE(vocabulary, [(spelled[left], spelled[right]) for left, right in merges])

    def encode(text: str) -> list[int]:
        characters = "".join(chr(ALPHABET + byte) for byte in text.encode())
        return [token.id for token in model.tokenize(characters)] if characters else []

    return encode


def learn_merges(text: str, count: int) -> Merges:
    """Learn `count` merges of byte pair encoding from a text, each of the most frequent pair.

    Raises:
        ValueError: if the text is too short for so many merges.
    """
    tokens, merges = list(text.encode()), []
    spelled = [bytes([byte]) for byte in range(256)]
    for token in range(256, 256 + count):
        pairs = Counter(pairwise(tokens))
        # The library knows tokens by their bytes: no two of them may have the same.
        new = [pair for pair in pairs if spelled[pair[0]] + spelled[pair[1]] not in spelled]
        pair = max(new, key=lambda pair: (pairs[pair], pair))
        tokens = merge(tokens, pair, token)
        spelled.append(spelled[pair[0]] + spelled[pair[1]])
        merges.append(list(pair))
    return merges


def merge(tokens: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Return a copy of tokens with each occurrence of a pair replaced by `new`, from the left."""
    merged: list[int] = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new
        else:
            merged.append(token)
    return merged


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a word and two merges, the second with the token of the first, and the question.

    Returns:
        The word and the merges, as a text, and the question for the tokens of the word.
    """
    consonant, other = rng.sample("bdklmnprst", 2)
    vowel = rng.choice("aeiou")
    pieces = [consonant + vowel, consonant + vowel + other, consonant + vowel, vowel, other]
    word = "".join(rng.sample(pieces, len(pieces)))
    merges = [[ord(consonant), ord(vowel)], [256, ord(other)]]
    letters = ", ".join(f"{letter} = {ord(letter)}" for letter in sorted(set(word)))
    rules = [f"merge {left} {right} -> {new}" for new, (left, right) in enumerate(merges, 256)]
    question = _encode(word, merges, call=BY_HAND, why="Write the bytes first, then merge twice.")
    return "\n".join([f"word: {word}", f"bytes: {letters}", *rules]), question


def questions(rng: Random) -> list[Question]:
    """Draw the questions: bytes first, then merges, then a whole text."""
    name, special = rng.choice(first_names()), rng.choice(WORDS)
    a, b, c = rng.sample(range(97, 123), 3)
    abc = "".join(map(chr, (a, b, c)))
    text = " ".join([*rng.sample(first_names(), 60), special])
    learned = learn_merges(text, 24)
    raw = list(special.encode())
    return [
        _encode(name, [], why="Without merges, the tokens are the bytes of the text in UTF-8."),
        _encode("", [[a, b]], why="A text without letters has no tokens: the result is []."),
        _encode(special, [], [Mistake(_ORD, [ord(letter) for letter in special])], why=BYTES),
        _decode(raw, [], special, [Mistake(_CHR, "".join(map(chr, raw))), _SPLIT]),
        _encode(
            f"{abc[:2]} {abc}",
            [[a, b]],
            [Mistake(TWICE, [256, b, 32, 256, b, c])],
            why="Every occurrence of the pair becomes one token.",
        ),
        _encode(
            chr(a) * 5,
            [[a, a]],
            [Mistake(TWICE, [256] * 4), Mistake(_LEFT, [a, 256, 256])],
            why=TWICE,
        ),
        _encode(abc, [[a, b], [256, c]], [Mistake(NOT_AGAIN, [256, c])], why=NOT_AGAIN),
        _encode(abc, [[b, c], [a, b]], [Mistake(ORDER, [257, c])], why=ORDER),
        _decode([257, 257, 256], [[a, b], [256, c]], abc + abc + abc[:2], [_SPLIT]),
        _encode(text, learned, why=ORDER),
        _decode(bpe_library(learned)(text), learned, text, [_SPLIT]),
    ]


_ORD = (
    "ord() is the number of a letter in Unicode, where more than a million are possible; a byte is "
    "a number from 0 to 255: text.encode('utf-8') has them."
)
_CHR = "chr() of each byte takes every byte for a letter, but ë is two bytes: decode them together."
_LEFT = "Pairs are merged from left to right: otherwise the same text has two spellings."
_SPLIT = Mistake(
    "One token may be a part of a letter: join the bytes of all tokens first, then decode them.",
    raises="UnicodeDecodeError",
)


def _encode(
    text: str, merges: Merges, mistakes: Sequence[Mistake] = (), *, why: str, call: str = "encode"
) -> Question:
    right = bpe_library(merges)(text)
    raw = list(text.encode())
    if raw != right:
        mistakes = (*mistakes, Mistake("These are the bytes: nothing has been merged.", raw))
    arguments = () if call == BY_HAND else (text, merges)
    return Question(call, arguments, right, why, mistakes=tuple(mistakes))


def _decode(
    tokens: list[int], merges: Merges, text: str, mistakes: Sequence[Mistake] = ()
) -> Question:
    return Question("decode", (tokens, merges), text, ROUND_TRIP, mistakes=tuple(mistakes))


EXERCISE = Exercise(by_hand, questions)
