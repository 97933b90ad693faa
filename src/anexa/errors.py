"""What a user can do wrong, as one sentence each: what is wrong, where, and what to do."""

LONGEST = 200  # characters of what a message shows of a file


class AnexaError(Exception):
    """Something that the user can mend: shown as its message alone, exit status 1."""

    exit_status = 1


class AnexaWarning(UserWarning):
    """Something that the user should know and that stops nothing: shown as its message alone."""


class UsageError(AnexaError):
    """A command or a setting that cannot be meant: exit status 2."""

    exit_status = 2


def short_repr(value: object) -> str:
    """A value out of a stranger's file, or what was wrong with it, as a message can show it."""
    try:
        return one_line(str(value) if isinstance(value, BaseException) else repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists within lists
        return f"a {type(value).__name__}"


def one_line(text: str) -> str:
    """A text that is not ours as a message can show it: short, in one line, printable."""
    text = " ".join(text[: 2 * LONGEST].split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
