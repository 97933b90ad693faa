r"""Names of files and other foreign text: as data in JSON and TOML, and as they are shown.

Python holds the bytes of a name that the locale cannot decode as lone surrogates (PEP 383), which
no file and no terminal takes. Names stay as they are until they are stored (`portable`, `native`)
or shown (`shown`, and for what it is written into `shell_word`, `markdown`, `code_span`).
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
import sys
from urllib.parse import quote_from_bytes, unquote_to_bytes

PREFIX = "file:"  # before the percent-encoded bytes of a stored name
UNDECODED = re.compile("[\udc80-\udcff]+")  # bytes that the locale cannot decode
MARKUP = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])")
ESCAPE = "anexa.escape"  # name of the error handler of `escape_unencodable`


def portable(name: str) -> str:
    """Return the text that stands for a name in JSON and TOML, whatever the locale is.

    It is the name itself if its bytes are UTF-8, else "file:" and the bytes, percent-encoded, as
    in `file:caf%E9.txt`; so is a name that begins with "file:".
    """
    data = os.fsencode(name)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = PREFIX
    return PREFIX + quote_from_bytes(data) if text.startswith(PREFIX) else text


def native(text: str) -> str:
    """Return the name that `portable` has turned into `text`, as this locale opens it."""
    if text.startswith(PREFIX):
        return os.fsdecode(unquote_to_bytes(text.removeprefix(PREFIX)))
    return os.fsdecode(text.encode())


def decoded(argument: str) -> str:
    """Return the text of a command line argument: UTF-8, also where the locale knows only ASCII."""
    return UNDECODED.sub(lambda run: _bytes(run).decode(errors="surrogateescape"), argument)


def shown(text: str) -> str:
    r"""Return foreign text as one line to show: other characters are escaped, as in `\x1b`."""
    text = UNDECODED.sub(lambda run: _bytes(run).decode(errors="backslashreplace"), text)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shell_word(name: str) -> str:
    r"""Quote a name for a command to be copied: `$'caf\351.txt'` if it cannot be shown."""
    text = decoded(name)

    def is_plain(text: str) -> bool:
        return text.isprintable() and (text.isascii() or sys.getfilesystemencoding() == "utf-8")

    if is_plain(text):
        return shlex.quote(text)
    special = {"'": "\\'", "\\": "\\\\"}
    return f"$'{''.join(special.get(c) or (c if is_plain(c) else _octal(c)) for c in text)}'"


def markdown(text: str) -> str:
    """Return foreign text for a line of Markdown, where it has no markup."""
    return MARKUP.sub(r"\\\g<0>", shown(text))


def code_span(text: str) -> str:
    """Return foreign text as inline code in Markdown."""
    text = shown(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{text}{space}{fence}"


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Escape what an output cannot encode; an error handler for `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = UNDECODED.sub(
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
