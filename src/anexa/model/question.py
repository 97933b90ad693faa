"""Normalization of questions for Anexa's own chat models, whose alphabet is printable ASCII."""

from __future__ import annotations

import re
import unicodedata

from anexa.errors import AnexaError

UNREADABLE_QUESTION = "?"
"""Replacement for a question with unknown characters; the model was trained to refuse it."""
MAX_QUESTION_CHARS = 1000
"""Characters of a question; a longer one, of which training has none, is refused by
`check_question_length`, not by `normalize_question`."""

_SAME = {
    character: spelled
    for spelled, characters in {
        "*": "×✕✖⨯⨉⋅∙·∗",
        "/": "÷➗∕⁄",
        "+": "➕",
        "-": "−–—‐‑‒➖",
        ":": "∶",
        "'": "‘’‚‛′",
        '"': "“”„‟«»″",
        "...": "…",
        ",": "٬",
        ".": "٫",
        "": "\ufe0e\ufe0f\u20e3",  # form of the character before: text, emoji, keycap
    }.items()
    for character in characters
}
_WIDE = range(0xFF01, 0xFF5F)  # the full-width forms of printable ASCII
# A dot is the sign of thousands only if there are two: 1.234 may also be a decimal fraction.
_THOUSANDS = re.compile(
    r"(?<!\d)(?<!\d[.,'_ ])[1-9]\d{0,2}(?:([,'_ ])\d{3}(?:\1\d{3})*|\.\d{3}(?:\.\d{3})+)"
    r"(?!\d|[.,'_ ]\d)",
    re.ASCII,
)
# Leading zeros of whole numbers, which no training example has.
_ZEROS = re.compile(r"(?<![\d.,])(?=0)(?!\d+[.,]\d)0+(?=\d)", re.ASCII)
# Numbers in notations that the model does not know: 1e3, 0x1F, 0xFF, 0x36, 2k, 5km, 1_0. Read digit
# by digit they would be others. Any other x is the sign of a product, as in 12x30, or an unknown,
# as in 2x=6.
_OTHER_NOTATION = re.compile(
    r"\d[a-wyz]|[a-wyz]\d|\dx[a-z]|(?<![\d.,])0+x\d|\d['_]+\d", re.ASCII | re.IGNORECASE
)


class QuestionTooLongError(AnexaError):
    """Raised when a question has more than `MAX_QUESTION_CHARS` characters."""


def check_question_length(text: str) -> None:
    """Check the number of characters of a question.

    Raises:
        QuestionTooLongError: if there are more than `MAX_QUESTION_CHARS`.
    """
    if len(text) > MAX_QUESTION_CHARS:
        raise QuestionTooLongError(
            f"a question has {len(text):,} characters, of which this model reads at most "
            f"{MAX_QUESTION_CHARS:,}: shorten it"
        )


def normalize_question(text: str) -> str:
    """Normalize a question to the characters of the training data.

    Removes surrounding white space and quotation marks, invisible characters, thousands
    separators, and leading zeros; collapses other white space to one space. Replaces characters by
    their ASCII equivalent: signs, quotation marks, full-width forms, digits of all scripts, letters
    with accents. A normalized question stays as it is.

    Returns:
        Printable ASCII; `UNREADABLE_QUESTION` if the question has a character without an
        equivalent, or a number in another notation, such as 1e3 or 0x36.
    """
    text = unicodedata.normalize("NFC", text)
    spelling = {character: _spell(character) for character in {*text}}
    if None in spelling.values():
        return UNREADABLE_QUESTION
    text = " ".join("".join(spelling[character] or "" for character in text).split())
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)
    while text[:1] in ("'", '"') and text[0] == text[-1] and text.count(text[0]) == 2:
        text = text[1:-1].strip()
    if _OTHER_NOTATION.search(text):
        return UNREADABLE_QUESTION
    shorter = _ZEROS.sub("", text)
    # 3*4 0311 has no thousands; without the zero it would seem to.
    return text if _THOUSANDS.search(shorter) else shorter


def _spell(character: str) -> str | None:
    """Return the ASCII equivalent of a character; None if there is none."""
    if character in _SAME:
        return _SAME[character]
    category = unicodedata.category(character)
    if category.startswith("Z") or character.isspace():
        return " "
    if character.isascii():
        return character if character.isprintable() else None
    if ord(character) in _WIDE:
        return chr(ord(character) - _WIDE[0] + ord("!"))
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf":  # invisible, such as a byte order mark
        return ""
    decomposed = unicodedata.normalize("NFD", character)
    letter, accents = decomposed[0], decomposed[1:]
    is_accented = letter.isascii() and letter.isalpha() and all(map(unicodedata.combining, accents))
    return letter if is_accented else None
