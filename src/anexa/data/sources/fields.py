"""The field of a row that is its document."""

from __future__ import annotations

from collections.abc import Iterable

from anexa.data.jsonl import BadRowError
from anexa.errors import UsageError, short_repr
from anexa.names import quoted

DEFAULT_FIELD = "text"  # field that is read if the user names none
MAX_LISTED_FIELDS = 20  # maximum number of fields that a message names
CONVERSATION_FIELDS = ("messages", "conversations")  # fields of OpenAI's and ShareGPT's rows


def choose_field(fields: Iterable[str], field: str, where: str) -> str:
    """Choose the field of a file's rows that has the documents.

    Args:
        fields: names of the fields of the file.
        field: name from the user; "" for `DEFAULT_FIELD`.
        where: name of the file, for error messages.

    Returns:
        `field`, or `DEFAULT_FIELD` if it is "".

    Raises:
        UsageError: if the file has no such field, or two of them.
    """
    names, wanted = list(fields), field or DEFAULT_FIELD
    if names.count(wanted) > 1:
        raise UsageError(f"{where} has two fields {quoted(wanted)}: give them different names")
    if wanted in names:
        return wanted
    listed = ", ".join(map(quoted, names[:MAX_LISTED_FIELDS])) + ", …" * (
        len(names) > MAX_LISTED_FIELDS
    )
    if not {*CONVERSATION_FIELDS}.isdisjoint(names):
        listed += " (conversations are read from a .jsonl file that is given by itself)"
    raise UsageError(
        f"{where} has no field {quoted(wanted)}: name the one with the texts with --field; it has "
        f"{listed or 'none'}"
    )


def field_document(value: object, field: str) -> str:
    r"""Return the document in a field of a row, with line ends as "\n".

    Args:
        value: value of the field.
        field: name of the field.

    Raises:
        BadRowError: if the value is not a string, or has a NUL character or half of a UTF-16 pair.
    """
    name = f"the field {quoted(field)}"
    if value is None:
        raise BadRowError(f"has null in {name}")
    if not isinstance(value, str):
        raise BadRowError(f"has no text in {name}", f" but {short_repr(value)}")
    if "\0" in value:
        raise BadRowError(f"has a NUL character in {name}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRowError(f"has half of a UTF-16 pair in {name}") from error
    return value.replace("\r\n", "\n").replace("\r", "\n")
