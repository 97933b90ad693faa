"""Weights as safetensors files: a header of names and shapes, then the numbers."""

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

# The kinds of numbers in a file that can be opened: NumPy's names, and those of our arrays.
KINDS = {"F64": ("<f8", "d"), "F32": ("<f4", "f"), "F16": ("<f2", "f"), "BF16": ("<u2", "f")}


def write_tensors(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, each array in its own precision.

    Raises:
        AnexaError: it cannot be written; nothing is left behind.
    """
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(w.data).reshape(w.shape) for name, w in weights.items()}
    write_atomic(path, save(arrays, dict(metadata)))


def read_tensors(
    path: Path, ignored: Callable[[str], object] = lambda _: False
) -> tuple[Weights, dict[str, str]]:
    """The arrays in a safetensors file, and its metadata.

    Float16 and bfloat16 become float32, which has all their values. One array is read at a time:
    the file as a whole is never in memory.

    Args:
        path: of the file.
        ignored: true of the name of an array that is not to be read.

    Raises:
        AnexaError: it is not there, damaged, or holds numbers of another kind.
    """
    import numpy as np

    weights: Weights = {}
    with open_binary(path) as file:
        header, start = _header(file, path)
        metadata = header.pop("__metadata__", {})
        for name, entry in header.items():
            if ignored(name):
                continue
            if entry["dtype"] not in KINDS:
                raise AnexaError(
                    f"{path} holds {one_line(name)} as {entry['dtype']}: only float64, float32, "
                    "float16 and bfloat16 can be opened, and no quantised weights"
                )
            kind, code = KINDS[entry["dtype"]]
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            values = np.frombuffer(file.read(end - begin), kind)
            if entry["dtype"] == "BF16":  # the upper half of a float32
                values = (values.astype("<u4") << 16).view("<f4")
            data: array[float] = array("d" if code == "d" else "f")
            data.frombytes(values.astype(code, copy=False).data.cast("B") if values.size else b"")
            weights[name] = Weight(tuple(entry["shape"]), data)
    return weights, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, without its arrays.

    Raises:
        AnexaError: it is not there, or damaged.
    """
    with open_binary(path) as file:
        metadata: dict[str, str] = _header(file, path)[0].get("__metadata__", {})
    return metadata


def _header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """What the file says of itself, and where its numbers begin.

    `safetensors` has made sure that every entry has a type, a shape, and a place within the file
    that is as long as these two need.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length
    except (SafetensorError, ValueError, TypeError, RecursionError, OSError) as error:
        raise AnexaError(
            f"{path} is damaged or no safetensors file ({short_repr(error)})"
        ) from error


def as_float32(weights: Weights) -> Weights:
    """The same weights, rounded to float32.

    Raises:
        AnexaError: they have values that no float32 can be.
    """
    rounded = {name: Weight(w.shape, array("f", w.data)) for name, w in weights.items()}
    for name, weight in rounded.items():
        if not all(map(isfinite, weight.data)):
            raise AnexaError(f"{name} has values that no float32 can be")
    return rounded
