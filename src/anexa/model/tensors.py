"""Weights as safetensors files: a header of names and shapes, then the numbers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path

from anexa.errors import AnexaError
from anexa.model.files import read_bytes, write_atomic
from anexa.model.weights import Weight, Weights


def write_tensors(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, each array in its own precision.

    Raises:
        AnexaError: it cannot be written; nothing is left behind.
    """
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(w.data).reshape(w.shape) for name, w in weights.items()}
    write_atomic(path, save(arrays, dict(metadata)))


def read_tensors(path: Path) -> tuple[Weights, dict[str, str]]:
    """The arrays in a safetensors file, and its metadata.

    Raises:
        AnexaError: it is not there, damaged, or holds numbers that are not float32 or float64.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_bytes(path)
    try:
        arrays = load(content)
    except KeyError as error:  # the name of a type that NumPy has not
        raise AnexaError(f"{path} holds {error}: only float32 can be opened") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise AnexaError(f"{path} is damaged or no safetensors file ({error})") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    weights = {}
    for name, values in arrays.items():
        code = {"float32": "f", "float64": "d"}.get(str(values.dtype))
        if code is None:
            raise AnexaError(f"{path} holds {name} as {values.dtype}: only float32 can be opened")
        weights[name] = Weight(values.shape, array(code, values.tobytes()))
    return weights, header.get("__metadata__", {})


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, without its arrays.

    Raises:
        AnexaError: it is not there, or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except OSError as error:
        raise AnexaError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise AnexaError(f"{path} is damaged or no safetensors file ({error})") from error


def as_float32(weights: Weights) -> Weights:
    """The same weights, rounded to float32."""
    return {name: Weight(w.shape, array("f", w.data)) for name, w in weights.items()}
