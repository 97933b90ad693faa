"""The optional package of the readers, which the extra `data` installs."""

from __future__ import annotations

from typing import Any

from anexa.errors import UsageError


def require_pyarrow(where: str) -> Any:
    """Import `pyarrow` with its Parquet reader.

    Args:
        where: name of the file that is to be read, for the error message.

    Returns:
        The module `pyarrow`.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f"reading {where} needs pyarrow: pip install 'anexa[data]'") from error
    return pyarrow
