"""Errors with a message for the user: what is wrong, where, and what to do, in one sentence."""

MAX_LENGTH = 200  # characters of foreign text in a message


class AnexaError(Exception):
    """An error that the user can fix: its message is shown alone, and the exit status is 1."""

    exit_status = 1


class AnexaWarning(UserWarning):
    """Something that the user should know, and that stops nothing: its message is shown alone."""


class UsageError(AnexaError):
    """A wrong command or option: exit status 2."""

    exit_status = 2


def short_repr(value: object) -> str:
    """Return the `repr` of a value, or the message of an exception, short enough for a message."""
    try:
        return one_line(str(value) if isinstance(value, BaseException) else repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, or deeply nested lists
        return f"a {type(value).__name__}"


def one_line(text: str) -> str:
    """Make foreign text fit for a message: at most `MAX_LENGTH` printable characters in a line."""
    text = " ".join(text[: 2 * MAX_LENGTH].split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"
