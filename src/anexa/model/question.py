"""Spelling of questions for Anexa's own chat models, whose alphabet is printable ASCII."""

from __future__ import annotations

import re
import unicodedata

UNREADABLE = "?"
"""What the model is given for a question that it cannot read; it was trained to refuse it."""

_SAME = {
    character: spelled
    for spelled, characters in {
        "*": "×✕✖⋅∙·∗",
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


def normalize_question(text: str) -> str:
    """Spell a question as the model was trained on questions.

    White space and quotation marks around the question go, and so do invisible characters and
    separators of thousands; other white space becomes one space. Characters that mean the same
    as one of ASCII become that one: signs, quotation marks, full-width forms, digits of all
    scripts, letters with accents.

    Returns:
        A text of printable ASCII; `UNREADABLE` if the question has any other character.
    """
    text = unicodedata.normalize("NFC", text)
    spelling = {character: _spell(character) for character in {*text}}
    if None in spelling.values():
        return UNREADABLE
    text = " ".join("".join(spelling[character] or "" for character in text).split())
    if text[:1] in ("'", '"') and text[0] == text[-1] and text.count(text[0]) == 2:
        text = text[1:-1].strip()
    return _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)


def _spell(character: str) -> str | None:
    """Spell a character in ASCII; None if there is no such spelling."""
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
