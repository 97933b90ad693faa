"""Place marks: a letter before each digit of a number, which names the place of the digit.

    347*86  →  C3B4A7*B8A6

A is the place of ones, B that of tens, C that of hundreds, and after Z comes A again. A model finds
a digit by its letter, in numbers of any length (place marks in the input: Cho et al., 2024; McLeish
et al., 2024). The chat template of the arithmetic corpus marks the numbers of the user's messages.
"""

from __future__ import annotations

import re

PLACE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # place marks, that of ones first

_NUMBER = re.compile("[0-9]+")  # digits of a number, without a sign

# Macro of a chat template that marks a text, with only what all implementations of Jinja have. The
# place of a digit is known from the end of its number, so each word is built from its end.
MARK_PLACES_MACRO = f"""\
{{%- macro mark_places(text) -%}}
{{%- for word in text.split(' ') -%}}
{{{{- '' if loop.first else ' ' -}}}}
{{%- set marked = namespace(text='', place=0) -%}}
{{%- for i in range(word | length) -%}}
{{%- set character = word[(word | length) - 1 - i] -%}}
{{%- if character in '0123456789' -%}}
{{%- set marked.text = '{PLACE_LETTERS}'[marked.place] + character + marked.text -%}}
{{%- set marked.place = (marked.place + 1) % {len(PLACE_LETTERS)} -%}}
{{%- else -%}}
{{%- set marked.text = character + marked.text -%}}
{{%- set marked.place = 0 -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{{{- marked.text -}}}}
{{%- endfor -%}}
{{%- endmacro -%}}
"""


def place_letter(exponent: int, ones_letter: int = 0) -> str:
    """Return the letter of a place: B for tens, if A is that of ones.

    Args:
        exponent: exponent of ten: 0 for ones, 1 for tens.
        ones_letter: index in `PLACE_LETTERS` of the letter of the ones.
    """
    return PLACE_LETTERS[(exponent + ones_letter) % len(PLACE_LETTERS)]


def mark_places(text: str, ones_letter: int = 0) -> str:
    """Put the letter of its place before each digit of each number in a text.

    Args:
        text: any text; digits of other scripts than ASCII are not marked.
        ones_letter: index in `PLACE_LETTERS` of the letter of the ones; the chat template has 0.
    """
    return _NUMBER.sub(lambda match: _mark(match.group(), ones_letter), text)


def _mark(digits: str, ones_letter: int) -> str:
    last = len(digits) - 1
    letters = (place_letter(last - i, ones_letter) for i in range(len(digits)))
    return "".join(letter + digit for letter, digit in zip(letters, digits))
