"""Reader and writer of safetensors files."""

from __future__ import annotations

import json
import mmap
import os
import sys
from array import array
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from anexa.errors import AnexaError, one_line, short_repr
from anexa.files import atomic_path, open_binary
from anexa.model.weights import Numbers, Weight, Weights

MIN_MAPPED_BYTES = 2**26  # size in bytes from which a file is mapped, not read
# Supported dtypes of a file: NumPy's name, and the typecode of `Weight.data`.
SUPPORTED_DTYPES: dict[str, tuple[str, Literal["d", "f"]]] = {
    "F64": ("<f8", "d"),
    "F32": ("<f4", "f"),
    "F16": ("<f2", "f"),
    "BF16": ("<u2", "f"),
}
# Dtypes of a file whose arrays are views of its content, without a copy; others are converted.
VIEWED_DTYPES = ("F32", "F64") if sys.byteorder == "little" else ()


def write_tensors(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, each array in its own precision.

    The arrays are written one after the other, float64 before float32, so that all are aligned.

    Args:
        path: file to write; a file that exists is replaced.
        weights: arrays by name.
        metadata: texts by key, which are written into the header.

    Raises:
        AnexaError: if the file cannot be written; no partial file is left.
    """
    import numpy as np

    names = sorted(weights, key=lambda name: (weights[name].typecode, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        shape, data = weights[name]
        begin, end = end, end + memoryview(data).nbytes
        dtype = {"d": "F64", "f": "F32"}[weights[name].typecode]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            numbers = np.asarray(weights[name].data)
            file.write(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).data)


def read_tensors(
    path: Path, is_ignored: Callable[[str], object] = lambda _: False
) -> tuple[Weights, dict[str, str]]:
    """Read the arrays in a safetensors file, and its metadata.

    Float32 and float64 arrays of a file of at least `MIN_MAPPED_BYTES` bytes are not read but
    mapped, except on Windows: the operating system reads a page of the file when it is first used,
    and may drop it again. Anexa replaces files by renaming, which leaves the mapped file as it was;
    a program that overwrites the file itself changes the weights of a loaded model, or ends this
    process. What is written to an array never changes the file. Float16 and bfloat16 become
    float32, which has all of their values.

    Args:
        path: path of the file.
        is_ignored: called with the name of each array; if true, the array is left out.

    Returns:
        The arrays by name; and the metadata, texts by key, {} if the file has none.

    Raises:
        AnexaError: if the file is missing or damaged, or an array that is not left out has a dtype
            that is not in `SUPPORTED_DTYPES`.
    """
    weights: Weights = {}
    with open_binary(path) as file:
        header, start = _read_header(file, path)
        metadata = header.pop("__metadata__", {})
        # Only for arrays that are used as they are: pages that were converted would stay in memory.
        has_views = any(entry["dtype"] in VIEWED_DTYPES for entry in header.values())
        content = _content(file) if has_views else memoryview(b"")
        for name, entry in header.items():
            if is_ignored(name):
                continue
            if entry["dtype"] not in SUPPORTED_DTYPES:
                raise AnexaError(
                    f"{path} holds {one_line(name)} as {entry['dtype']}: only float64, float32, "
                    "float16 and bfloat16 can be opened, and no quantized weights"
                )
            begin, end = (start + offset for offset in entry["data_offsets"])
            if entry["dtype"] in VIEWED_DTYPES:
                data = _view(content, entry["dtype"], begin, end)
            else:
                file.seek(begin)
                data = _convert(file.read(end - begin), entry["dtype"])
            weights[name] = Weight(tuple(entry["shape"]), data)
    return weights, metadata


def _content(file: BufferedReader) -> memoryview:
    """Return the content of a file: mapped into memory if it is large, else read.

    Writes would change a copy of the page, never the file. On Windows all files are read: a mapped
    one could not be replaced by the next checkpoint.
    """
    size = os.fstat(file.fileno()).st_size
    if size < MIN_MAPPED_BYTES or sys.platform == "win32":
        file.seek(0)
        content = bytearray(size)
        return memoryview(content)[: file.readinto(content)]
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _view(content: memoryview, dtype: str, begin: int, end: int) -> Numbers:
    """Return the numbers in a range of bytes: a view, or a copy if they are not aligned."""
    typecode, part = SUPPORTED_DTYPES[dtype][1], content[begin:end]
    if part and begin % array(typecode).itemsize == 0:
        return part.cast(typecode)
    return _convert(part, dtype)


def _convert(part: bytes | memoryview, dtype: str) -> Numbers:
    """Convert the numbers in a file to float32 or float64 of this machine's byte order.

    Args:
        part: bytes of the numbers.
        dtype: name of their type in safetensors, such as "BF16".
    """
    import numpy as np

    name, typecode = SUPPORTED_DTYPES[dtype]
    values = np.frombuffer(part, name)
    if dtype == "BF16":  # the upper half of a float32
        halves = values.astype("<u4")
        halves <<= 16
        values = halves.view("<f4")
    return cast("memoryview[float]", values.astype(typecode, copy=dtype in VIEWED_DTYPES).data)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, texts by key ({} if none), not its arrays.

    Raises:
        AnexaError: if the file is missing or damaged.
    """
    with open_binary(path) as file:
        metadata: dict[str, str] = _read_header(file, path)[0].get("__metadata__", {})
    return metadata


def _read_header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a safetensors file.

    The package `safetensors` has validated every entry: its dtype, its shape, and its byte range.

    Returns:
        The entry of each array (dtype, shape, byte range) and the metadata, by name; and the offset
        in the file at which the arrays begin.
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
    """Round weights to float32, and check that all are finite; float32 weights are not copied.

    Raises:
        AnexaError: if a value is not finite, or is too large for float32.
    """
    import numpy as np

    rounded = {}
    for name, weight in weights.items():
        with np.errstate(over="ignore"):
            values = np.asarray(weight.data).astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise AnexaError(f"{name} has values that are not float32 numbers")
        rounded[name] = Weight(weight.shape, cast("memoryview[float]", values.data))
    return rounded
