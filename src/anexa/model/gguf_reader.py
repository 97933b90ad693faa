"""Reader of the metadata and tensors of a GGUF file, the format of llama.cpp.

The file is not trusted: before a length from it is used, it is checked against the file size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError, one_line, short_repr
from anexa.files import open_binary

MAX_METADATA_BYTES = 1 << 24  # bytes before the tensors; a vocabulary of 128,000 tokens needs half
MAX_ARRAY_ITEMS = 1 << 19  # number of values of an array in the metadata
MAX_ENTRIES = 1 << 14  # number of tensors, and number of keys in the metadata
SUPPORTED_VERSIONS = (2, 3)  # versions of the format that can be read
STRING_TYPE, ARRAY_TYPE = 8, 9  # GGUF's ids of these types of metadata
# NumPy dtype of each numeric type of metadata, by GGUF's id of the type; "?" is bool.
NUMERIC_DTYPES = dict(enumerate(("<u1", "<i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?")))
NUMERIC_DTYPES |= {10: "<u8", 11: "<i8", 12: "<f8"}
# Supported types of tensors, by ggml's id: how many numbers a block has, and the dtype of a block.
# They are F32, F16, and Q8_0: 32 numbers of 8 bits, and the scale that they are multiplied by.
TENSOR_TYPES: dict[int, tuple[int, np.dtype[Any]]] = {
    0: (1, np.dtype("<f4")),
    1: (1, np.dtype("<f2")),
    8: (32, np.dtype([("scale", "<f2"), ("numbers", "i1", 32)])),
}
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorInfo:
    """Shape, type and position of a tensor in a GGUF file.

    Attributes:
        shape: shape of the tensor as in NumPy and PyTorch; GGUF stores it in reverse order.
        type: ggml's id of the type of the numbers; `TENSOR_TYPES` has those that are supported.
        offset: position of the first byte, from the start of the file.
    """

    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def num_bytes(self) -> int:
        """Size of the tensor in the file, in bytes; 0 if its type is not supported."""
        block, dtype = TENSOR_TYPES.get(self.type, (1, np.dtype("V0")))
        return math.prod(self.shape) // block * dtype.itemsize


class GGUFReader:
    """Reader of a GGUF file: reads the metadata at once, and each tensor when it is asked for.

    Args:
        path: path of the file.

    Attributes:
        path: path of the file.
        metadata: numbers, strings, booleans, and lists of these, by key.
        tensors: shape, type and position of each tensor, by name.

    Raises:
        AnexaError: if the file cannot be read, is not GGUF of one of the `SUPPORTED_VERSIONS`, is
            damaged, or exceeds a limit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_binary(path) as file:
            data = _Data(path, file.read(MAX_METADATA_BYTES))
            size = file.seek(0, 2)
        if data.take(4) != b"GGUF" or data.number("<u4") not in SUPPORTED_VERSIONS:
            raise AnexaError(f"{path} is not a GGUF file of version 2 or 3")
        num_tensors, num_values = data.count("<u8", 24), data.count("<u8", 12)
        if max(num_tensors, num_values) > MAX_ENTRIES:
            raise AnexaError(f"{path} has more than {MAX_ENTRIES:,} tensors or values of metadata")
        self.metadata: dict[str, Any] = {}
        for _ in range(num_values):
            key = data.string()
            if key in self.metadata:
                raise AnexaError(f"{path} is damaged: it has two values of {one_line(key)}")
            self.metadata[key] = data.value(data.number("<u4"))
        tensors = [self._tensor_info(data) for _ in range(num_tensors)]
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 16:
            raise AnexaError(f"{path} is damaged: its alignment is {short_repr(alignment)}")
        start = -(-data.at // alignment) * alignment
        self.tensors = {
            name: TensorInfo(shape, kind, start + offset) for name, shape, kind, offset in tensors
        }
        if len(self.tensors) < num_tensors:
            raise AnexaError(f"{path} is damaged: two of its tensors have the same name")
        # A small file could have many large tensors, all at the same offset.
        if sum(info.num_bytes for info in self.tensors.values()) > size:
            raise AnexaError(f"{path} is damaged: its tensors are larger than the file")

    def _tensor_info(self, data: _Data) -> tuple[str, tuple[int, ...], int, int]:
        name = data.string()
        num_dims = data.number("<u4")
        if num_dims > 4:
            raise AnexaError(f"{self.path} is damaged: a tensor has {num_dims} dimensions")
        shape = tuple(data.number("<u8") for _ in range(num_dims))[::-1]
        return name, shape, data.number("<u4"), data.number("<u8")

    def tensor(self, name: str) -> Array:
        """Read a tensor, and convert or dequantize it to float32.

        Args:
            name: name of the tensor, one of `tensors`.

        Returns:
            The numbers as float32, in the shape that `tensors` has for it.

        Raises:
            AnexaError: if the file has no such tensor, its type is not one of `TENSOR_TYPES`, or
                the file ends before the tensor does.
        """
        if name not in self.tensors:
            raise AnexaError(f"{self.path} lacks the tensor {name}")
        info = self.tensors[name]
        if info.type not in TENSOR_TYPES:
            raise AnexaError(
                f"{self.path} has {one_line(name)} quantized in a way that is not supported: only "
                "files of F32, F16 and Q8_0 can be opened; make one of these by llama-quantize"
            )
        block, dtype = TENSOR_TYPES[info.type]
        rest, length = math.prod(info.shape) % block, info.num_bytes
        with open_binary(self.path) as file:
            size = file.seek(0, 2)
            if rest or info.offset + length > size:
                raise AnexaError(f"{self.path} is damaged: {one_line(name)} ends beyond the file")
            file.seek(info.offset)
            data = bytearray(length)  # PyTorch warns of memory that cannot be written
            file.readinto(data)
            stored = np.frombuffer(data, dtype)
        if dtype.names:
            values: Array = stored["numbers"] * stored["scale"].astype("<f4")[:, None]
        else:
            values = stored.astype("<f4", copy=False)
        return values.reshape(info.shape)


class _Data:
    """Parser of the bytes before the tensors of a GGUF file.

    Args:
        path: path of the file, for error messages.
        data: the bytes from the start of the file.

    Attributes:
        at: position of the next byte that is parsed.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self.at = path, data, 0

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes.

        Raises:
            AnexaError: if fewer bytes are left.
        """
        if length > len(self._data) - self.at:
            raise AnexaError(f"{self._path} is damaged: its metadata are cut off, or too long")
        self.at += length
        return self._data[self.at - length : self.at]

    def number(self, dtype: str) -> Any:
        """Return the next number, of a NumPy dtype; a float32 as its shortest decimal: 0.1."""
        kind = np.dtype(dtype)
        number = np.frombuffer(self.take(kind.itemsize), kind)[0]
        return float(str(number)) if dtype == "<f4" else number.item()

    def count(self, dtype: str, size: int) -> int:
        """Return the next number, which is the number of items that follow.

        Args:
            dtype: NumPy dtype of the number.
            size: minimum size of an item, in bytes.

        Raises:
            AnexaError: if fewer bytes are left than the items need.
        """
        number: int = self.number(dtype)
        if number > (len(self._data) - self.at) // size:
            raise AnexaError(f"{self._path} is damaged: its metadata are cut off, or too long")
        return number

    def string(self) -> str:
        """Parse the next string: its length in bytes, then UTF-8."""
        (length,) = struct.unpack("<Q", self.take(8))
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise AnexaError(f"{self._path} is damaged: it has a text that is not UTF-8") from error

    def value(self, kind: int) -> Any:
        """Return the next value: a number, a boolean, a string, or a list of these.

        Args:
            kind: GGUF's id of the type of the value.

        Returns:
            The value; an array of GGUF becomes a list.
        """
        if kind == STRING_TYPE:
            return self.string()
        if kind in NUMERIC_DTYPES:
            return self.number(NUMERIC_DTYPES[kind])
        if kind != ARRAY_TYPE:
            raise AnexaError(f"{self._path} is damaged: it has a value of the type {kind}")
        inner = self.number("<u4")
        if inner == STRING_TYPE:
            return [self.string() for _ in range(self._length(8))]
        if inner not in NUMERIC_DTYPES:
            raise AnexaError(f"{self._path} is damaged: it has an array of the type {inner}")
        dtype = np.dtype(NUMERIC_DTYPES[inner])
        length = self._length(dtype.itemsize)
        return np.frombuffer(self.take(length * dtype.itemsize), dtype).tolist()

    def _length(self, size: int) -> int:
        """Parse the length of the array that follows, which must fit into the rest of the file.

        Args:
            size: minimum size of an item, in bytes.
        """
        length = self.count("<u8", size)
        if length > MAX_ARRAY_ITEMS:
            raise AnexaError(f"{self._path} has an array of {length:,} values, more than any model")
        return length


def metadata_value(metadata: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """Return a value of the metadata, and check its type.

    Args:
        metadata: values by key, as in `GGUFReader.metadata`.
        key: key of the value.
        kind: required type of the value; if it is float, an int is converted.
        default: value that is returned if the key is missing; None if the key is required.

    Returns:
        The value, converted to `kind` if it is an int and `kind` is float.

    Raises:
        AnexaError: if a required key is missing, or the value has another type. The message starts
            with "it", for which the caller names the file.
    """
    value = metadata.get(key, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        what = f"has the {key} {short_repr(value)}" if key in metadata else f"lacks {key}"
        raise AnexaError(f"it {what}")
    return value
