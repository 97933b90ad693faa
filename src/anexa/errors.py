"""Errors and warnings with a one-sentence message: what is wrong, where, and what to do."""

# Maximum characters of a text from a file, a library or a server in a message.
MAX_QUOTE_CHARS = 200
OUT_OF_MEMORY = "not enough memory on this machine: use a smaller model or a smaller batch"


class AnexaError(Exception):
    """Error that the user can fix: shown without a traceback; exit status 1."""

    exit_status = 1


class AnexaWarning(UserWarning):
    """Warning for the user, shown without a source line; the command continues."""


class UsageError(AnexaError):
    """Error about a wrong command or option: exit status 2."""

    exit_status = 2


class OutOfMemoryError(AnexaError, MemoryError):
    """Error that the memory of a device is too small: a MemoryError that says what to do."""


def error_sentence(error: AnexaError | MemoryError) -> str:
    """Return the message of an error for the user; `OUT_OF_MEMORY` for a plain MemoryError."""
    return str(error) if isinstance(error, AnexaError) else OUT_OF_MEMORY


def short_repr(value: object) -> str:
    """Return the `repr` of a value, or the message of an exception, as `one_line` cuts it.

    A value whose `repr` fails, such as a very large integer, is described by its type: "a int".
    """
    try:
        return one_line(str(value) if isinstance(value, BaseException) else repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, or deeply nested lists
        return f"a {type(value).__name__}"


def one_line(text: str) -> str:
    """Return text as one line of at most `MAX_QUOTE_CHARS` printable characters, for a message.

    White space becomes single spaces, other unprintable characters are escaped, and text that is
    cut ends with "…".
    """
    text = " ".join(text[: 2 * MAX_QUOTE_CHARS].split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= MAX_QUOTE_CHARS else text[: MAX_QUOTE_CHARS - 1] + "…"
