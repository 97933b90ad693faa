"""Recognition of conversations in a JSON Lines file, by its first rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from anexa.data.jsonl import MAX_ROW_CHARS, BadRowError, parse_row
from anexa.data.reading import InvalidEncoding
from anexa.data.registry import CORPORA
from anexa.data.sources.compression import decompressed
from anexa.data.sources.encodings import SNIFFED_BYTES, sniff_encoding
from anexa.data.sources.entries import Entry, file_entry, name_kind
from anexa.data.sources.texts import read_fully, text_chunks
from anexa.errors import AnexaError

MAX_FORMAT_ROWS = 20  # rows at the start of a file from which its format is recognized


def has_conversations(spec: str) -> bool:
    """Return whether a corpus consists of conversations.

    A named corpus is looked up in `CORPORA`; a file is judged by its first `MAX_FORMAT_ROWS` rows.

    Args:
        spec: a name from `CORPORA`, or the path of a file; only JSON Lines files can have
            conversations.

    Returns:
        Whether it has conversations; False if the file does not exist or cannot be read.
    """
    if spec in CORPORA:
        return CORPORA[spec].conversations
    if name_kind(spec) != "jsonl" or not Path(spec).is_file():
        return False
    try:
        return _format_in(decompressed(file_entry(Path(spec)))) is not None
    except AnexaError:  # which is raised again when the corpus is opened
        return False


def _format_in(entry: Entry) -> str | None:
    """Return the result of `recognize_format` for a file, of which only the first rows are read."""
    with entry.open() as file:
        codec = sniff_encoding(read_fully(file, SNIFFED_BYTES)) or "utf-8"
    try:
        with closing(text_chunks(entry, codec)) as chunks:
            return recognize_format(chunks)
    except InvalidEncoding:  # whether it is Windows-1252, the whole file tells when it is read
        with closing(text_chunks(entry, "cp1252")) as chunks:
            return recognize_format(chunks)


def recognize_format(chunks: Iterable[str]) -> str | None:
    """Return the format of the conversations in a JSON Lines text, by its first rows.

    Rows that are not JSON objects are passed over.

    Args:
        chunks: the text in chunks of any length; the chunks after the first rows are not read.

    Returns:
        Format of the first row that is a conversation, a key of `anexa.data.conversations.FORMATS`;
        None if there is no such row.
    """
    parts, count, size = list[str](), 0, 0
    for chunk in chunks:
        parts.append(chunk)
        count += chunk.count("\n")
        size += len(chunk)
        if count >= MAX_FORMAT_ROWS or size > MAX_ROW_CHARS:
            break
    for line in "".join(parts).split("\n")[:MAX_FORMAT_ROWS]:
        try:
            kind = recognize_row_format(parse_row(line))
        except BadRowError:
            continue
        if kind is not None:
            return kind
    return None


def recognize_row_format(fields: Mapping[str, Any]) -> str | None:
    """Recognize the format of a conversation by its fields, whose content is not checked.

    Args:
        fields: JSON object of one row of a JSON Lines file.

    Returns:
        A key of `anexa.data.conversations.FORMATS`: "messages" (OpenAI) if the row has a list
        "messages"; "ShareGPT" if it has a list "conversations"; "Alpaca" if it has "instruction"
        and "output". None if the row is not a conversation.
    """
    if isinstance(fields.get("messages"), list):
        return "messages"
    if isinstance(fields.get("conversations"), list):
        return "ShareGPT"
    return "Alpaca" if {"instruction", "output"} <= fields.keys() else None
