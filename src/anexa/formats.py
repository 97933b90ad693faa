"""Detection of file formats that are given by mistake instead of a text, tokenizer or model folder.

Used by the reader of corpora, `--tokenizer`, and all commands that open a model. The functions
return a clause for an error message, such as "it is compressed: unpack it first, with gunzip".
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from anexa.errors import one_line

# End of several clauses below.
PANDOC_ADVICE = "save it as a text file first, such as with pandoc -t plain"
# Clauses by regular expressions of the first bytes of a file; the first one that matches counts.
# "GGUF" alone is not enough: a text may begin with this word.
MAGIC_PATTERNS = {
    rb"GGUF[\1-\x0f]\0\0\0": "it is a GGUF file, made from a model folder: give that folder",
    rb"\x1f\x8b\x08[\0-\x1f]": "it is compressed: unpack it first, with gunzip or tar",
    rb"BZh[1-9]1AY&SY": "it is compressed: unpack it first, with bunzip2 or tar",
    rb"\xfd7zXZ\0": "it is compressed: unpack it first, with unxz or tar",
    rb"\(\xb5/\xfd": "it is compressed: unpack it first, with unzstd",
    rb"PK\x03\x04.{26}mimetypeapplication/epub": f"it is a book in EPUB: {PANDOC_ADVICE}",
    rb"PK\x03\x04.{26}mimetypeapplication/vnd": f"it is an OpenDocument file: {PANDOC_ADVICE}",
    rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|word/)": f"it is an Office file: {PANDOC_ADVICE}",
    rb"\xd0\xcf\x11\xe0": "it is a file of an old Office program: save it as a text file first",
    rb"\{\\rtf1": f"it is RTF: {PANDOC_ADVICE}",
    rb"(\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP)": "it is a picture: give the texts themselves",
    rb"PK\x03\x04": "it is a ZIP archive, as Office and PyTorch files are too: unpack or export it",
    rb"PAR1[\0-\x1f]": "it is a Parquet file: texts are read from FILE.parquet, without --layout",
    rb"%PDF-[1-9]\.": "it is a PDF: save it as a text file first, such as with pdftotext",
}
# The first bytes of a file in any of the formats of `MAGIC_PATTERNS`.
ANY_MAGIC_PATTERN = re.compile(b"|".join(MAGIC_PATTERNS), re.DOTALL)
# The first bytes of a safetensors file: the length of the header, then its JSON object.
SAFETENSORS_PATTERN = re.compile(rb".{8}\{\s*\"", re.DOTALL)
URL_PATTERN = re.compile("https?:/")  # the beginning of a web address
REPO_ID_PATTERN = re.compile(r"\w[\w.-]*/[\w.-]*\w", re.ASCII)  # USER/NAME on the Hugging Face Hub
NUM_CHECKED_LINES = 20  # lines from which a table is recognized; JSON lines by the first two


def recognize(argument: str | Path, what: str = "") -> str | None:
    """Return a clause about a path or name that is not what is needed; None if nothing is found.

    The clause, such as "it is a web address: download it first", ends the caller's message. An
    existing file is recognized by its first bytes; one that cannot be read gives None.

    Args:
        argument: path of a file or folder, or another text that the user gave in place of one.
        what: option that the suggested `hf download` command needs, such as "--repo-type dataset ";
            default: none, for a model.
    """
    path, text = Path(argument), str(argument)
    if URL_PATTERN.match(text):
        return "it is a web address: download it first"
    try:
        if path.is_dir():
            return _adapter(path) if (path / "adapter_config.json").exists() else None
        if path.is_file():
            with path.open("rb") as file:
                return recognize_bytes(file.read(512))
        absent = not (path.exists() or path.parent.exists())
    except (OSError, ValueError):  # the caller says why it cannot be read
        return None
    if absent and REPO_ID_PATTERN.fullmatch(text) and path.parts[0] != "models":
        return (
            "there is no such file or folder; what has this name on the Hugging Face Hub is "
            f"downloaded first: hf download {what}{text} --local-dir {path.name}"
        )
    return None


def recognize_bytes(head: bytes) -> str | None:
    """Return a clause about the format of a file by its first 512 bytes; None if it may be text."""
    if b"\0" in head[:8] and SAFETENSORS_PATTERN.match(head):
        return "it has the weights of a model: give the folder that it belongs to"
    if not ANY_MAGIC_PATTERN.match(head):
        return None
    clauses = MAGIC_PATTERNS.items()
    return next(clause for pattern, clause in clauses if re.match(pattern, head, re.DOTALL))


def recognize_markup(head: str, suffix: str = "") -> str | None:
    """Recognize the format of a text with markup: HTML, JSON or a table.

    Args:
        head: the text, or its first lines.
        suffix: ending of the file's name, such as ".csv", which decides alone if it is known.

    Returns:
        Name of the format for a message, "HTML or XML", "JSON" or "a table"; None for plain text.
    """
    lines = [line for line in head.split("\n") if line.strip()][:NUM_CHECKED_LINES]
    suffix = suffix.lower()
    if suffix in (".html", ".htm", ".xml") or re.match(r"\s*<(!doctype|html|\?xml)", head, re.I):
        return "HTML or XML"
    if suffix in (".json", ".jsonl", ".ndjson") or _is_json(head, lines):
        return "JSON"
    return "a table" if suffix in (".csv", ".tsv") or _is_table(lines) else None


def _is_json(head: str, lines: list[str]) -> bool:
    """Return whether the first two lines are JSON objects, or the text is one or a list of them."""
    objects = [_json(line) for line in lines[:2]]
    if objects and all(isinstance(value, dict) for value in objects):
        return True
    value = _json(head) if head.lstrip()[:1] in ("{", "[") else None
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_table(lines: list[str]) -> bool:
    """Return whether there are lines, all with the same number of columns, three or more."""
    for delimiter in ",\t;":
        text = "\n".join(lines)
        if 2 * text.count(f"{delimiter} ") > text.count(delimiter):  # punctuation of prose
            continue
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
        except csv.Error:  # a field is too long
            continue
        if len(lines) >= 4 and len(widths) == 1 and widths.pop() >= 3:
            return True
    return False


def _adapter(folder: Path) -> str:
    """Return a clause for an error message: a folder has only a LoRA adapter.

    It names the adapter's base model, and says how to merge them.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8", "replace"))
        base = str(config["base_model_name_or_path"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        base = "another model"
    return (
        f"it is a LoRA adapter of {one_line(base)}: merge it into that model with anexa export "
        "--to folder, and give the new folder"
    )
