"""Encodings of text files: UTF-8, UTF-16 and UTF-32; Windows-1252 if there is no doubt.

Without a byte order mark, UTF-16 and UTF-32 are known by the zero bytes of ASCII characters.
What is not UTF-8 either is Windows-1252 only if all of the following hold: it has no sequence of
bytes that UTF-8 has; all bytes stand for characters, and none for a control character; all letters
beyond ASCII belong to the alphabet of one Western European language; at most 30 % of the letters
are beyond ASCII; and no symbol stands within a word, as in `_UNUSUAL`. So Polish, Czech, Turkish or
Russian bytes are refused, not read as other letters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass

from anexa.names import shell_word

SNIFFED_BYTES = 4096  # bytes at the start of a file from which UTF-16 and UTF-32 are recognized
MIN_WIDE_CHARS = 4  # minimum characters of a text for which they are recognized without a mark
MAX_ACCENTED_FRACTION = (
    0.3  # largest fraction of the letters of a Western text that are beyond ASCII
)

# The longer marks first: that of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Names of the encodings other than UTF-8, for messages.
LABELS = {
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
    "cp1252": "Windows-1252",
}
# Letters beyond ASCII of the languages that are written in Windows-1252.
ALPHABETS = tuple(
    frozenset(letters)
    for letters in (
        "àâæçèéêëîïôœùûüÿ",  # French, Walloon
        "äöüßéèàáê",  # German, with foreign words
        "áéíóúüñçàèòïª" + "º",  # Spanish, Catalan, Galician
        "àáâãçéêíòóôõúüªº",  # Portuguese
        "àáèéìíîòóùúªº",  # Italian
        "åäöéàáü",  # Swedish, Finnish
        "åæøéèêòóôäöü",  # Danish, Norwegian
        "áéíóúýþæöð",  # Icelandic, Faroese, Irish
        "áàâäéèêëíïîóòôöúùûüç",  # Dutch
    )
)
_ASCII = bytes(range(128))
_NOT_LETTERS = bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r")) + b"\x7f\x81\x8d\x8f\x90\x9d"
# A character of two, three or four bytes in UTF-8.
_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# What Western languages do not write: a symbol within a word, an ordinal sign before a letter, and
# most letters after ã, which stands for ă of Romanian in Windows-1250.
_UNUSUAL = re.compile(
    r"[^\W\d_](?![’–—…·\xa0\xad])[^\x00-\x7f\w][^\W\d_]|[ªº][^\W\d_]|[ãÃ](?![oesizOESIZ])[^\W\d_]"
)


def sniff_encoding(head: bytes) -> str | None:
    """Recognize a text in UTF-8 with a byte order mark, UTF-16 or UTF-32 by its first bytes.

    Args:
        head: the first `SNIFFED_BYTES` bytes of the file, or all of them.

    Returns:
        The name of Python's codec, such as "utf-16-le"; None if there is neither a mark nor a
        pattern of zero bytes.
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return codec
    if b"\0" not in head:
        return None
    is_cut = len(head) >= SNIFFED_BYTES
    for codec, size, digit in (
        ("utf-32-le", 4, 0),
        ("utf-32-be", 4, 3),
        ("utf-16-le", 2, 0),
        ("utf-16-be", 2, 1),
    ):
        if (is_cut or len(head) % size == 0) and _is_wide(head, codec, size, digit):
            return codec
    return None


def _is_wide(head: bytes, codec: str, size: int, digit: int) -> bool:
    """Return whether bytes are characters of `size` bytes each, at least 80 % of them ASCII.

    Args:
        head: first bytes of the file, of which the last character may be cut off.
        codec: name of the codec, such as "utf-16-le".
        size: bytes per character.
        digit: index, within a character, of the byte that an ASCII character does not have as zero.
    """
    n = len(head) // size
    zeros = [head[i : n * size : size].count(0) for i in range(size) if i != digit]
    if n < MIN_WIDE_CHARS or b"\0" in head[digit : n * size : size] or min(zeros) < 0.8 * n:
        return False
    try:
        # A pair of surrogates may be cut off at the end.
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\n\f\r" for c in text)


@dataclass
class WesternCheck:
    """Running check whether bytes that are not UTF-8 are text in Windows-1252.

    Attributes:
        is_possible: whether the bytes so far may be such a text, apart from the conditions on its
            letters, which `is_western` checks too.
    """

    is_possible: bool = True

    def __post_init__(self) -> None:
        self._high: set[int] = set()
        self._num_letters = self._num_accented = 0
        self._end = b""

    def update(self, data: bytes) -> None:
        """Check the next bytes of the text, any number of them."""
        joined = self._end + data
        self._end = data[-4:]  # longer than any pattern that is searched for
        beyond = data.translate(None, _ASCII)
        self._high.update(beyond)
        self._num_letters += len(data.translate(None, _NOT_LETTERS))
        self._num_accented += sum(map(str.isalpha, beyond.decode("cp1252", "replace")))
        if beyond and self.is_possible:
            self.is_possible = (
                len(data.translate(None, _CONTROLS)) == len(data)
                and _UTF_8.search(joined) is None
                and _UNUSUAL.search(joined.decode("cp1252", "replace")) is None
            )

    @property
    def is_western(self) -> bool:
        """Whether the text read so far is Windows-1252, by the conditions of this module."""
        text = bytes(self._high).decode("cp1252", "replace")
        letters = {c for c in text.lower() if c.isalpha()}
        total = self._num_letters + self._num_accented
        return (
            self.is_possible
            and self._num_accented <= MAX_ACCENTED_FRACTION * total
            and any(letters <= alphabet for alphabet in ALPHABETS)
        )


def is_western(chunks: Iterable[bytes]) -> bool:
    """Return whether a text that is not UTF-8 is Windows-1252, by the conditions of this module.

    Args:
        chunks: bytes of the text, in chunks of any length.
    """
    check = WesternCheck()
    for data in chunks:
        check.update(data)
        if not check.is_possible:
            return False
    return check.is_western


def unknown_encoding_message(where: str, offset: int) -> str:
    """Build the error message about a text whose encoding is not known.

    Args:
        where: name of the file.
        offset: offset of the first byte that is not UTF-8.
    """
    name = shell_word(where.rpartition("/")[2])
    return (
        f"{where} is not UTF-8 text: the byte at offset {offset} is invalid, and other encodings "
        f"are in doubt; convert it, such as with iconv -f WINDOWS-1250 -t UTF-8 {name} > utf8.txt"
    )
