"""Reader of Parquet files and of datasets that Hugging Face's `datasets` has saved on the disk.

Each row has a document in one of its columns. The files are read by `pyarrow`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anexa.data.jsonl import BadRowError
from anexa.data.sources.compression import check_ratio
from anexa.data.sources.entries import Entry, seekable
from anexa.data.sources.fields import choose_field, field_document
from anexa.data.sources.packages import require_pyarrow
from anexa.data.sources.tally import Tally
from anexa.errors import AnexaError, UsageError, short_repr
from anexa.files import read_json
from anexa.names import quoted, shown

BATCH_ROWS = 256  # number of rows that are in memory at a time
# Files that `save_to_disk` of `datasets` writes: two in the folder of a dataset, and one in the
# folder of several splits.
STATE_FILE, INFO_FILE, SPLITS_FILE = "state.json", "dataset_info.json", "dataset_dict.json"
TRAIN_SPLIT = "train"  # the split of a dataset that is read


def parquet_documents(entry: Entry, field: str, tally: Tally) -> Iterator[str]:
    """Yield the documents in a column of a Parquet file.

    Args:
        entry: the Parquet file.
        field: name of the column with the documents; "" for `DEFAULT_FIELD`.
        tally: counter of the bad rows that are left out; without --skip-bad, it raises for the
            first one.

    Raises:
        UsageError: if the file has no such column, or the type of the column is not text.
        AnexaError: if a row is bad and --skip-bad is not given, the file is damaged or unpacks to
            more than `check_ratio` accepts, or `pyarrow` is missing.
    """
    pyarrow = require_pyarrow(entry.where)
    with entry.open() as stream, seekable(stream) as file, _errors(entry.where):
        packed, unpacked = file.seek(0, 2), 0
        table = pyarrow.parquet.ParquetFile(file)
        name = choose_field(table.schema_arrow.names, field, entry.where)
        _check_type(pyarrow, table.schema_arrow.field(name), entry.where)
        batches = table.iter_batches(batch_size=BATCH_ROWS, columns=[name])
        for document in _documents(batches, name, entry.where, tally):
            unpacked += len(document)
            check_ratio(unpacked, packed, entry.where)
            yield document


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset that `save_to_disk` of `datasets` has written.

    It may also be several splits of a dataset, each in a folder of its own.
    """
    return (folder / SPLITS_FILE).is_file() or (
        (folder / STATE_FILE).is_file() and (folder / INFO_FILE).is_file()
    )


def dataset_documents(folder: Path, field: str, tally: Tally) -> Iterator[str]:
    """Yield the documents in a column of a dataset that `save_to_disk` of `datasets` has written.

    If the folder has several splits, only "train" is read, and a note names the others.

    Args:
        folder: folder that `is_dataset` accepts.
        field: name of the column with the documents; "" for `DEFAULT_FIELD`.
        tally: counter of the bad rows that are left out, which also gets the note; without
            --skip-bad, it raises for the first bad row.

    Raises:
        UsageError: if the dataset has no such column or no split "train", or the type of the column
            is not text.
        AnexaError: if a row is bad and --skip-bad is not given, the dataset is damaged, or was
            saved as a selection of rows (`_indices_files`), or `pyarrow` is missing.
    """
    where = shown(str(folder))
    pyarrow = require_pyarrow(where)
    if (folder / SPLITS_FILE).is_file():
        folder = _train_split(folder, where, tally)
    state = read_json(folder / STATE_FILE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise AnexaError(f"{where} is a selection of other rows: save it with flatten_indices()")
    try:
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise AnexaError(f"{folder / STATE_FILE} is damaged: it lists no data files") from error
    for name in names:
        if Path(name).name != name:
            raise AnexaError(
                f"{folder / STATE_FILE} names a file outside the dataset, {quoted(name)}: "
                "save it anew"
            )
        path = shown(str(folder / name))
        with _errors(path), pyarrow.memory_map(str(folder / name)) as file:
            batches = pyarrow.ipc.open_stream(file)
            column = choose_field(batches.schema.names, field, where)
            _check_type(pyarrow, batches.schema.field(column), path)
            pieces = (
                batch.select([column]).slice(start, BATCH_ROWS)
                for batch in batches
                for start in range(0, batch.num_rows, BATCH_ROWS)
            )
            yield from _documents(pieces, column, path, tally)


def _train_split(folder: Path, where: str, tally: Tally) -> Path:
    """Find the folder of the split "train" of a dataset with several splits.

    Raises:
        UsageError: if the dataset has no such split.
    """
    splits = read_json(folder / SPLITS_FILE).get("splits")
    names = list(map(str, splits)) if isinstance(splits, list) else []
    if TRAIN_SPLIT not in names:
        listed = ", ".join(map(quoted, names)) or "none"
        raise UsageError(
            f"{where} has no split {quoted(TRAIN_SPLIT)}: give the folder of one of its splits; "
            f"it has {listed}"
        )
    if len(names) > 1:
        others = ", ".join(quoted(name) for name in names if name != TRAIN_SPLIT)
        tally.add_note(f"read: the split {quoted(TRAIN_SPLIT)} of the dataset, not {others}")
    return folder / TRAIN_SPLIT


def _check_type(pyarrow: Any, column: Any, where: str) -> None:
    """Check that a column has texts.

    Args:
        pyarrow: the package `pyarrow`.
        column: `pyarrow.Field` of the column.
        where: name of the file.

    Raises:
        UsageError: if the type of its values is not text.
    """
    types = pyarrow.types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    is_view = getattr(types, "is_string_view", types.is_string)
    if not (types.is_string(kind) or types.is_large_string(kind) or is_view(kind)):
        raise UsageError(
            f"{where}: the column {quoted(column.name)} is of the type {short_repr(str(kind))}, "
            "not text: name another one with --field"
        )


def _documents(batches: Iterator[Any], column: str, where: str, tally: Tally) -> Iterator[str]:
    """Yield the documents in a column of several `pyarrow.RecordBatch`es."""
    bad_rows = tally.row_handler(where, "row")
    number = 0
    for batch in batches:
        for value in batch.column(column):  # one by one: a text may be long
            number += 1
            try:
                document = field_document(value.as_py(), column)
            except BadRowError as error:
                bad_rows.add(number, error)
            else:
                yield document


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Context manager that converts the exceptions of `pyarrow` to AnexaError."""
    try:
        yield
    except (OSError, ValueError, NotImplementedError, TypeError, KeyError) as error:
        raise AnexaError(
            f"{where} cannot be read ({short_repr(error)}): it is damaged, or not what its name "
            "says; get the file again"
        ) from error
