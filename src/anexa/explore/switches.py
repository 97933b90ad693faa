"""Switches: parts of a model that are turned off, and weights that are set, as edits of weights."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np

from anexa.errors import UsageError, one_line, short_repr
from anexa.graph.model_graph import record_operations
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights
from anexa.ranges import parse_float

INDEX_PATTERN = "[0-9]{1,9}"  # regular expression of an index
EDIT_PATTERNS = {  # regular expression of the text after "KIND:", by kind of edit
    "head": re.compile(rf"({INDEX_PATTERN})\.({INDEX_PATTERN})"),
    "neuron": re.compile(rf"({INDEX_PATTERN})\.({INDEX_PATTERN})"),
    "position": re.compile(rf"({INDEX_PATTERN})"),
    "set": re.compile(rf"([\w.]+)\[({INDEX_PATTERN}(?:,{INDEX_PATTERN})*)\]=([-+.\w]+)"),
}
EditKind: TypeAlias = Literal["head", "neuron", "position", "set"]  # see `Edit.kind`
FLOAT32_MAX = float(np.finfo(np.float32).max)  # largest number that a weight can have


@dataclass(frozen=True)
class Edit:
    """A switch: an edit of weights, which turns off a part of the model or sets one weight.

    It is written as `head:LAYER.HEAD`, `neuron:LAYER.NEURON`, `position:P` or
    `set:TENSOR[I,J]=NUMBER`; all indices count from 0.

    Attributes:
        kind: "head": the output projection of attention reads zeros instead of the head; "neuron":
            the second matrix of the MLP reads a zero instead of the neuron; "position": the row of
            the position table is zero; "set": one weight has another value.
        index: (layer, head), (layer, neuron), (position,), or the index of the weight.
        tensor: name of the weight to set.
        number: new value of the weight.
    """

    kind: EditKind
    index: tuple[int, ...]
    tensor: str = ""
    number: float = 0.0

    def __str__(self) -> str:
        if self.kind == "set":
            return f"set:{self.tensor}[{','.join(map(str, self.index))}]={self.number!r}"
        return f"{self.kind}:{'.'.join(map(str, self.index))}"


@dataclass(frozen=True)
class EditTarget:
    """The elements of a weight that an edit sets.

    Attributes:
        name: name of the weight.
        index: index of the elements, for an array of the weight's shape.
        number: new value of the elements.
    """

    name: str
    index: tuple[int | slice, ...]
    number: float = 0.0


def parse_edit(text: str) -> Edit:
    """Parse the text of an edit; `str` of the result gives an equivalent text.

    Whether the model has the part is checked by `find_target`.

    Raises:
        UsageError: if the text has none of the four forms, or the new value of a weight is not
            finite in float32.
    """
    kind, _, rest = text.partition(":")
    match = EDIT_PATTERNS[kind].fullmatch(rest) if kind in EDIT_PATTERNS else None
    if match is None:
        raise UsageError(
            f"{short_repr(text)} is no switch: write head:LAYER.HEAD, neuron:LAYER.NEURON, "
            "position:P or set:TENSOR[I,J]=NUMBER"
        )
    if kind == "set":
        name, index, number = match.groups()
        return Edit("set", tuple(map(int, index.split(","))), name, _parse_number(number, text))
    return Edit(cast("EditKind", kind), tuple(map(int, match.groups())))


def find_target(config: ModelConfig, edit: Edit) -> EditTarget:
    """Find the elements that an edit sets.

    Raises:
        UsageError: if the model has no such head, neuron, position or weight.
    """
    if edit.kind == "set":
        return _weight(config, edit)
    if edit.kind == "position":
        return _position(config, edit)
    layer, part = edit.index
    count = config.n_head if edit.kind == "head" else config.n_inner
    _check(edit, "layer", layer, config.n_layer)
    _check(edit, edit.kind, part, count)
    name, transposed = _readers(config, edit.kind)[layer]
    width = config.head_dim if edit.kind == "head" else 1
    columns = slice(part * width, (part + 1) * width)
    return EditTarget(name, (columns, slice(None)) if transposed else (slice(None), columns))


def apply_edits(config: ModelConfig, weights: Weights, edits: Iterable[Edit]) -> Weights:
    """Apply edits to the weights of a model, one after the other.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name; they are not changed.
        edits: edits in the order in which they are applied.

    Returns:
        The weights by name; those that no edit changes are not copied.

    Raises:
        UsageError: if the model has no such head, neuron, position or weight.
    """
    edited: Weights = {}
    for edit in edits:
        target = find_target(config, edit)
        if target.name not in edited:
            weight = weights[target.name]
            edited[target.name] = weight._replace(data=array(weight.typecode, weight.data))
        weight = edited[target.name]
        numbers = np.asarray(weight.data).reshape(weight.shape)
        numbers[target.index] = target.number
    return weights | edited


def _readers(config: ModelConfig, kind: str) -> list[tuple[str, bool]]:
    """Find, for each layer, the matrix that reads the heads or the neurons.

    Args:
        config: architecture and sizes of the model.
        kind: "head" or "neuron".

    Returns:
        For each layer the name of the matrix, and whether it is stored (in, out).
    """
    titles = ("attention",) if kind == "head" else ("gelu", "gelu_erf", "relu", "swiglu")
    steps = record_operations(config)
    return [
        (step.weights[0][0], "transposed" in step.weights[0][1])
        for step in steps
        if step.title == "linear" and steps[step.inputs[0][0]].title in titles
    ]


def _position(config: ModelConfig, edit: Edit) -> EditTarget:
    table = get_architecture(config).positions
    if table is None:
        raise UsageError(
            f"{edit}: a {config.model_type} model has no table of positions to switch off; it "
            "rotates queries and keys by their position instead"
        )
    _check(edit, "position", edit.index[0], config.block_size)
    return EditTarget(table, (edit.index[0], slice(None)))


def _weight(config: ModelConfig, edit: Edit) -> EditTarget:
    parameters = get_architecture(config).parameters(config)
    label = one_line(str(edit))
    if edit.tensor not in parameters:
        raise UsageError(f"{label}: this model has no weight {short_repr(edit.tensor)}")
    shape = parameters[edit.tensor].shape
    if len(edit.index) != len(shape) or any(i >= n for i, n in zip(edit.index, shape)):
        raise UsageError(
            f"{label}: {edit.tensor} has the shape {list(shape)}, and indices count from 0"
        )
    return EditTarget(edit.tensor, edit.index, edit.number)


def _check(edit: Edit, noun: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise UsageError(f"{edit}: this model has the {noun}s 0 to {count - 1}")


def _parse_number(text: str, edit: str) -> float:
    try:
        number = parse_float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= FLOAT32_MAX:  # a NaN is refused too
        raise UsageError(
            f"{short_repr(edit)}: {short_repr(text)} is no number that a weight can have"
        )
    return number
