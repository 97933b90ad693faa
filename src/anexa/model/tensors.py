"""Reader and writer of safetensors files, without NumPy or PyTorch."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from anexa.errors import AnexaError, one_line, short_repr
from anexa.files import open_binary, write_atomic
from anexa.model.weights import Weight, Weights

# Supported dtypes of a file: NumPy's name, and the typecode of `Weight.data`.
DTYPES = {"F64": ("<f8", "d"), "F32": ("<f4", "f"), "F16": ("<f2", "f"), "BF16": ("<u2", "f")}


def write_tensors(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, each array in its own precision.

    Raises:
        AnexaError: if the file cannot be written; no partial file is left.
    """
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(w.data).reshape(w.shape) for name, w in weights.items()}
    write_atomic(path, save(arrays, dict(metadata)))


def read_tensors(
    path: Path, is_ignored: Callable[[str], object] = lambda _: False
) -> tuple[Weights, dict[str, str]]:
    """Read the arrays in a safetensors file, and its metadata.

    Float16 and bfloat16 become float32, which has all of their values. Arrays are read one by one,
    so the whole file is never in memory.

    Args:
        path: path of the file.
        is_ignored: called with the name of each array; if true, the array is not read.

    Raises:
        AnexaError: if the file is missing or damaged, or holds numbers of another type.
    """
    import numpy as np

    weights: Weights = {}
    with open_binary(path) as file:
        header, start = _read_header(file, path)
        metadata = header.pop("__metadata__", {})
        for name, entry in header.items():
            if is_ignored(name):
                continue
            if entry["dtype"] not in DTYPES:
                raise AnexaError(
                    f"{path} holds {one_line(name)} as {entry['dtype']}: only float64, float32, "
                    "float16 and bfloat16 can be opened, and no quantized weights"
                )
            dtype, typecode = DTYPES[entry["dtype"]]
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            values = np.frombuffer(file.read(end - begin), dtype)
            if entry["dtype"] == "BF16":  # the upper half of a float32
                values = (values.astype("<u4") << 16).view("<f4")
            values = values.astype(typecode, copy=False)
            data: array[float] = array("d" if typecode == "d" else "f")
            data.frombytes(values.data.cast("B") if values.size else b"")
            weights[name] = Weight(tuple(entry["shape"]), data)
    return weights, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, without its arrays.

    Raises:
        AnexaError: if the file is missing or damaged.
    """
    with open_binary(path) as file:
        metadata: dict[str, str] = _read_header(file, path)[0].get("__metadata__", {})
    return metadata


def _read_header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """Read the header; returns it, and the offset at which the arrays begin.

    The package `safetensors` has validated every entry: its dtype, its shape, and its byte range.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length
    except (SafetensorError, ValueError, TypeError, RecursionError, OSError) as error:
        reason = short_repr(error)
        raise AnexaError(f"{path} is damaged or not a safetensors file ({reason})") from error


def as_float32(weights: Weights) -> Weights:
    """Round weights to float32.

    Raises:
        AnexaError: if a value is not finite, or becomes infinite.
    """
    rounded = {name: Weight(w.shape, array("f", w.data)) for name, w in weights.items()}
    for name, weight in rounded.items():
        if not all(map(isfinite, weight.data)):
            raise AnexaError(f"{name} has values that are not float32 numbers")
    return rounded
