r"""Encoding of file names and other untrusted text for storage (JSON, TOML) and for display.

Python represents bytes of a file name that the locale cannot decode by lone surrogates (PEP 383),
which can be neither written to files nor printed. So names are converted when they are stored
(`encode_name`, and back by `decode_name`) or displayed (`shown`; in a command `shell_word`, in
Markdown `escape_markdown` and `code_span`). `counted` displays a number with its noun.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

ENCODED_PREFIX = "file:"  # before the percent-encoded bytes of a stored name
# Surrogates for bytes that the locale cannot decode.
UNDECODED_PATTERN = re.compile("[\udc80-\udcff]+")
# Characters that Markdown reads as markup; an underscore only at the edge of a word.
MARKUP_PATTERN = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])")
ESCAPE = "anexa.escape"  # name of `escape_unencodable` in `codecs`, where importing registers it


def encode_name(name: str) -> str:
    """Encode a name for JSON and TOML, independently of the locale.

    A name whose bytes are UTF-8 stays as it is. Others become "file:" and the percent-encoded
    bytes, such as `file:caf%E9.txt`; so does a name that begins with "file:".
    """
    data = os.fsencode(name)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ENCODED_PREFIX
    return ENCODED_PREFIX + quote_from_bytes(data) if text.startswith(ENCODED_PREFIX) else text


def decode_name(text: str) -> str:
    """Decode a name that `encode_name` has encoded, to a name that can be opened in this locale.

    Raises:
        UnicodeEncodeError: if the text has a lone surrogate, which `encode_name` never writes.
    """
    if text.startswith(ENCODED_PREFIX):
        return os.fsdecode(unquote_to_bytes(text.removeprefix(ENCODED_PREFIX)))
    return os.fsdecode(text.encode())


def decode_argument(argument: str) -> str:
    """Decode a command line argument as UTF-8, even if the locale's encoding is ASCII.

    Bytes that are not UTF-8 stay lone surrogates.
    """
    return UNDECODED_PATTERN.sub(lambda run: _bytes(run).decode(errors="surrogateescape"), argument)


def shown(text: str) -> str:
    r"""Return text as one printable line for display; other characters are escaped, as `\x1b`."""
    if text.isprintable():
        return text
    text = UNDECODED_PATTERN.sub(lambda run: _bytes(run).decode(errors="backslashreplace"), text)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quoted(text: str) -> str:
    r"""Quote a text from the user for an error message, such as `'caf\xe9.txt'`."""
    return f"'{shown(text)}'"


def shell_word(name: str) -> str:
    r"""Quote a name for a command to be copied into a Unix shell.

    A name that cannot be shown is written as in bash and zsh: `$'caf\351.txt'`.
    """
    text = decode_argument(name)

    def is_plain(text: str) -> bool:
        return text.isprintable() and (text.isascii() or sys.getfilesystemencoding() == "utf-8")

    if is_plain(text):
        return shlex.quote(text)
    special = {"'": "\\'", "\\": "\\\\"}
    return f"$'{''.join(special.get(c) or (c if is_plain(c) else _octal(c)) for c in text)}'"


def shell_path(path: Path) -> str:
    """Quote a path for a shell command to be copied, so that it is never read as an option.

    A path that begins with a dash gets "./" in front.
    """
    name = str(path)
    return shell_word(f"./{name}" if name.startswith("-") else name)


def escape_markdown(text: str) -> str:
    """Return text as one printable line of Markdown, in which no character acts as markup."""
    return MARKUP_PATTERN.sub(r"\\\g<0>", shown(text))


def code_span(text: str) -> str:
    """Format text, as one printable line, as inline code in Markdown."""
    text = shown(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{text}{space}{fence}"


def flag(name: str) -> str:
    """Return the command-line flag of an option: `n_layer` is `--n-layer`, `from_` is `--from`."""
    return "--" + json_key(name).replace("_", "-")


def json_key(name: str) -> str:
    """Return the name of a field as JSON and TOML files have it, such as `from` for `from_`.

    A field whose name would be a keyword of Python has an underscore at its end.
    """
    return name.removesuffix("_")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which gets an "s" unless the number is 1: "2,000 steps"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Escape characters that the encoding of an output lacks, as an error handler of `codecs`.

    Returns:
        The escaped text, and the index after the characters that it replaces.

    Raises:
        UnicodeError: the error itself, if it is not about encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = UNDECODED_PATTERN.sub(
        lambda run: "".join(f"\\x{byte:02x}" for byte in _bytes(run)),
        error.object[error.start : error.end],
    )
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(ESCAPE, escape_unencodable)


def _bytes(run: re.Match[str]) -> bytes:
    return run[0].encode("ascii", "surrogateescape")


def _octal(character: str) -> str:
    data = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\{byte:03o}" for byte in data)
