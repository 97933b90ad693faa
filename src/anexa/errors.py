"""What a user can do wrong, as one sentence each: what is wrong, where, and what to do."""


class AnexaError(Exception):
    """Something that the user can mend: shown as its message alone, exit status 1."""

    exit_status = 1


class AnexaWarning(UserWarning):
    """Something that the user should know and that stops nothing: shown as its message alone."""


class UsageError(AnexaError):
    """A command or a setting that cannot be meant: exit status 2."""

    exit_status = 2
