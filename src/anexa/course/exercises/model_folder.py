"""Chapter 17: a reader of model folders, whose logits are compared with the engine `lists`."""

from __future__ import annotations

import json
import math
import random
import struct
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from operator import mul
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from anexa.course import first_names
from anexa.course.exercise import BY_HAND, Exercise, Mistake, Question, ask
from anexa.course.exercises.cross_entropy import softmax

if TYPE_CHECKING:
    from anexa.model.model import Model

Vector = list[float]
Matrix = list[Vector]  # rows

TOLERANCE = 1e-6  # numbers of 4 bytes will do, as other programs have them
CONTEXT = 16  # context length of the models, in tokens
EPS = 1e-5  # `Spec.eps` of most models
FILE = "model.safetensors"  # name of the file with the weights

_WHY_PLACE = (
    "Before the numbers stand 8 bytes, which say how long the header is, and the header. The "
    "offsets begin after it. A number takes 4 bytes, and a row stands after the other."
)
_WHY_READ = (
    "The numbers are stored row by row, four bytes each, with the lowest byte first: '<f' in "
    "struct. data_offsets begin where the header ends."
)
_WHY_LOGITS = (
    "Two programs that read the same folder must agree: then it does not matter which of them "
    "anybody has. Look at chapter 8: in which line does your program leave it?"
)
_FILE_START = (
    "data_offsets do not count from the beginning of the file: first come 8 bytes, and the header."
)
_NO_EIGHT = "The 8 bytes with the length of the header are missing in the sum."
_NO_HEADER = "The header is missing in the sum: the offsets begin after it."
_HEADER_BYTES = "The second byte of the length counts 256 times as much as the first."
_ONE_BYTE = "A number of the type F32 takes 4 bytes, not 1."
_FROM_1 = "Rows and columns are counted from 0: before row 2 there are two whole rows."
_COLUMN_ROW = "The numbers are stored row by row: before row 2 there are two rows of numbers."
_COLUMNS = "The matrix is stored row by row: its first numbers are its first row."
_FLAT = "A matrix is a list of rows: cut the numbers into as many rows as the shape says."
_HEADER_ORDER = (
    "The matrices need not stand in the order of the header: data_offsets say where each begins."
)
_METADATA = "The header also has __metadata__, which is no matrix: leave it out."
_DOUBLES = "F32 numbers take 4 bytes each: the letter of struct is f, not d."
_LENGTH = "The first 8 bytes have the lowest byte first: int.from_bytes(…, 'little')."
_OUT_OF_RANGE = (
    "A row is asked for that is not there. The token of a letter stands in tokenizer.json, under "
    "model and vocab: it is not the place of the letter in the alphabet."
)
_ORD = "The token of a letter stands in tokenizer.json: it is not its place in the alphabet."
_NO_BOS = "A text begins with the token bos_token_id of config.json: the model was trained so."
_FIRST_LOGITS = (
    "These are the logits after the first token: those after the last one are asked for."
)
_PROBABILITIES = "These are probabilities: the logits are the numbers before softmax."
_KINDS = {
    "no_positions": "The rows of wpe.weight are missing: they tell the model where a token stands.",
    "no_first_norm": "The sum of the two embeddings is normalized, too, before the first layer.",
    "last_norm": "There is no norm before lm_head in microgpt.py: GPT-2 has one.",
    "no_relu": "ReLU is missing between the two matrices of the neurons.",
    "eps": "The number that the norm adds stands in config.json: rms_norm_epsilon.",
    "no_scale": "Scores are divided by the root of the width of a head, not of the whole vector.",
    "one_head": "The number of heads stands in config.json: n_head.",
    "one_layer": "The number of layers stands in config.json: n_layer.",
    "transposed": "A row of a matrix makes one number of the result: here columns do.",
}


_KINDS |= dict.fromkeys(
    ("attention_replaces", "neurons_replace", "both_replace"),
    "What attention and the neurons find is added to the stream: it does not replace it.",
)


class Spec(NamedTuple):
    """A model whose weights are random.

    Attributes:
        letters: letters of the vocabulary, in order.
        width: width of the residual stream.
        heads: number of heads.
        layers: number of layers.
        eps: number that RMSNorm adds to the mean square.
        seed: random seed of the weights.
    """

    letters: str
    width: int
    heads: int
    layers: int
    eps: float
    seed: int


@cache
def _model(spec: Spec) -> Model:
    from anexa.model.config import ModelConfig
    from anexa.model.model import Model
    from anexa.model.tokenizer import Tokenizer
    from anexa.model.weights import Weight, initial_weights

    tokenizer = Tokenizer.from_characters([spec.letters], adds_bos=True)
    sizes = spec.width, spec.heads, spec.layers
    config = ModelConfig("microgpt", tokenizer.vocab_size, CONTEXT, *sizes, spec.eps)
    drawn = initial_weights(config, random.Random(spec.seed))
    weights = {name: Weight(one.shape, array("f", one.data)) for name, one in drawn.items()}
    return Model(config, weights, tokenizer)


@cache
def folder_files(spec: Spec) -> dict[str, bytes]:
    """Return the content of each file of a model's folder, by name.

    The header of the safetensors file does not have its entries in the order of the offsets.
    """
    from anexa.model.folder import create_folder

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        create_folder(folder, _model(spec), card="# A model of the course\n")
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {FILE: _reverse_header(files[FILE])}


def _reverse_header(data: bytes) -> bytes:
    """Return a safetensors file whose header has its entries in the opposite order."""
    start = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:start]).items()
    header = json.dumps(dict(reversed(entries)), separators=(",", ":")).encode()
    return data[:8] + header.ljust(start - 8) + data[start:]


def ask_folder(names: Mapping[str, Any], call: str, arguments: Sequence[Any]) -> Any:
    """Return the answer of the reader's file, whose functions are given a model folder's path.

    Raises:
        MissingName: if the file does not define a name that the question needs.
    """
    if call == BY_HAND:
        return ask(names, call, arguments)
    spec, *others = arguments
    with tempfile.TemporaryDirectory() as folder:
        for name, content in folder_files(Spec(*spec)).items():
            Path(folder, name).write_bytes(content)
        return ask(names, call, (folder, *others))


def by_hand(rng: Random) -> tuple[str, Question]:
    """Draw a header, as a text, and the question for the byte at which a number begins."""
    rows, columns = rng.sample([5, 6, 9, 10, 12, 15], 2)
    row, column = rng.randrange(2, 5), rng.randrange(1, 5)
    low, begin = rng.choice([16, 40, 88, 96]), 4 * 16 * rng.randrange(2, 9)
    offset, length = 4 * (row * columns + column), low + 2 * 256
    right = 8 + length + begin + offset
    mistakes = (
        Mistake(_FILE_START, begin + offset),
        Mistake(_NO_EIGHT, right - 8),
        Mistake(_NO_HEADER, right - length),
        Mistake(_HEADER_BYTES, right - length + low + 2),
        Mistake(_ONE_BYTE, 8 + length + begin + offset // 4),
        Mistake(_FROM_1, 8 + length + begin + 4 * ((row - 1) * columns + column - 1)),
        Mistake(_COLUMN_ROW, 8 + length + begin + 4 * (column * rows + row)),
    )
    shape = f"[{rows}, {columns}]"
    offsets = f"[{begin}, {begin + 4 * rows * columns}]"
    text = (
        f"the first 8 bytes of the file: {low} 2 0 0 0 0 0 0\n"
        f'in its header: "wte.weight": {{"dtype": "F32", "shape": {shape}, '
        f'"data_offsets": {offsets}}}\n'
        f"row {row}, column {column} begins at byte: ?"
    )
    return text, Question(BY_HAND, (), right, _WHY_PLACE, mistakes=mistakes)


def questions(rng: Random) -> list[Question]:
    """Draw the questions: the tensors of a small folder, and the logits of two models."""
    names = rng.sample([name for name in first_names() if 4 <= len(name) <= 5], 4)
    letters = "".join(sorted({*"".join(names)}))
    tiny = Spec(letters[:3], 4, 2, 1, EPS, rng.randrange(10**6))
    small = Spec(letters, 8, 2, 1, EPS, rng.randrange(10**6))
    deeper = Spec(letters, 8, 4, 2, 0.01, rng.randrange(10**6))
    return [
        _read(tiny),
        _logits(small, names[0]),
        _logits(small, ""),
        _logits(deeper, names[1]),
    ]


@cache
def _read(spec: Spec) -> Question:
    """Ask for all tensors of a model."""
    data, right = folder_files(spec)[FILE], _tensors(spec)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")

    def shifted(by: int, *, in_order: bool = False) -> dict[str, Matrix]:
        found, last = {}, 0
        for name, tensor in header.items():
            begin, end = tensor["data_offsets"]
            if in_order:  # of the header
                begin, end = last, last + end - begin
            numbers = struct.unpack(f"<{(end - begin) // 4}f", data[begin + by : end + by])
            found[name], last = _rows(numbers, *tensor["shape"]), end
        return found

    flat = {name: [number for row in rows for number in row] for name, rows in right.items()}
    columns = {
        name: [flat[name][i :: len(rows)] for i in range(len(rows))] for name, rows in right.items()
    }
    mistakes = (
        Mistake(_FILE_START, shifted(0)),
        Mistake(_FILE_START, shifted(8)),
        Mistake(_NO_EIGHT, shifted(start - 8)),
        Mistake(_HEADER_ORDER, shifted(start, in_order=True)),
        Mistake(_COLUMNS, columns),
        Mistake(_FLAT, flat),
        Mistake(_METADATA, raises="KeyError"),
        Mistake(_METADATA, {**right, "__metadata__": metadata}),
        Mistake(_METADATA, {**right, "__metadata__": {}}),
        Mistake(_METADATA, {**right, "__metadata__": []}),
        Mistake(_DOUBLES, raises="error", message="unpack requires a buffer"),
        Mistake(_LENGTH, raises="UnicodeDecodeError"),
        Mistake(_LENGTH, raises="JSONDecodeError", message="Extra data"),
    )
    label = f"read(folder) (width {spec.width}, layers: {spec.layers})"
    return Question("read", (spec,), right, _WHY_READ, 0.0, mistakes, label)


@cache
def _logits(spec: Spec, text: str) -> Question:
    """Ask for the logits of the token after a text."""
    from anexa.engines import open_engine

    model = _model(spec)
    engine = open_engine("lists", model.config, model.weights)
    tokens = model.tokenizer.encode_prompt(text)
    right = list(map(float, engine.logits(tokens)[-1]))
    tensors = _tensors(spec)
    assert not _differs(_forward(tensors, spec, tokens), right)
    wrong = [(why, _forward(tensors, spec, tokens, kind)) for kind, why in _KINDS.items()]
    wrong.append((_PROBABILITIES, softmax(right)))
    if text:
        wrong.append((_NO_BOS, _forward(tensors, spec, tokens[1:])))
        wrong.append((_FIRST_LOGITS, _forward(tensors, spec, tokens[:1])))
    numbers = [ord(letter) - ord("a") for letter in text]
    if max(numbers, default=0) < len(spec.letters) + 1:
        wrong.append((_ORD, _forward(tensors, spec, [tokens[0], *numbers])))
    mistakes = [Mistake(why, result) for why, result in wrong if _differs(result, right)]
    mistakes.append(Mistake(_OUT_OF_RANGE, raises="IndexError"))
    sizes = f"width {spec.width}, heads: {spec.heads}, layers: {spec.layers}, ε = {spec.eps}"
    label = f"logits(folder, {text!r}) ({sizes})"
    arguments = (spec, text)
    return Question("logits", arguments, right, _WHY_LOGITS, TOLERANCE, tuple(mistakes), label)


def _differs(result: Vector, right: Vector) -> bool:
    return any(abs(one - other) > TOLERANCE for one, other in zip(result, right))


@cache
def _tensors(spec: Spec) -> dict[str, Matrix]:
    """Return the tensors of a model, as the library `safetensors` reads them."""
    from safetensors.numpy import load

    tensors = load(folder_files(spec)[FILE])
    return {name: tensors[name].tolist() for name in sorted(tensors)}  # the library has no order


def _rows(numbers: Sequence[float], rows: int, columns: int) -> Matrix:
    return [list(numbers[i * columns : (i + 1) * columns]) for i in range(rows)]


def _forward(w: dict[str, Matrix], spec: Spec, tokens: Sequence[int], kind: str = "") -> Vector:
    """Compute the logits after the last token, with a mistake.

    Args:
        w: tensors of the model.
        spec: sizes of the model.
        tokens: tokens that the model reads.
        kind: mistake, as in `_KINDS`; empty: none.
    """
    eps = EPS if kind == "eps" else spec.eps
    layers = 1 if kind == "one_layer" else spec.layers
    cache = [(list[Vector](), list[Vector]()) for _ in range(layers)]
    x = Vector()
    for position, token in enumerate(tokens):
        x = list(w["wte.weight"][token])
        if kind != "no_positions":
            x = _add(x, w["wpe.weight"][position])
        x = x if kind == "no_first_norm" else _norm(x, eps)
        for i, (keys, values) in enumerate(cache):
            name = f"layers.{i}."
            h = _norm(x, eps)
            q, k, v = (_linear(h, w[f"{name}attn_w{one}.weight"], kind) for one in "qkv")
            keys.append(k)
            values.append(v)
            mixed = _linear(_attend(q, keys, values, spec, kind), w[f"{name}attn_wo.weight"], kind)
            x = mixed if kind in ("attention_replaces", "both_replace") else _add(x, mixed)
            h = _linear(_norm(x, eps), w[f"{name}mlp_fc1.weight"])
            h = h if kind == "no_relu" else [max(0.0, one) for one in h]
            h = _linear(h, w[f"{name}mlp_fc2.weight"])
            x = h if kind in ("neurons_replace", "both_replace") else _add(x, h)
    return _linear(_norm(x, eps) if kind == "last_norm" else x, w["lm_head.weight"])


def _attend(q: Vector, keys: Matrix, values: Matrix, spec: Spec, kind: str) -> Vector:
    """Return the outputs of all heads for one query, joined."""
    size = spec.width if kind == "one_head" else spec.width // spec.heads
    root, found = math.sqrt(spec.width if kind == "no_scale" else size), Vector()
    for start in range(0, spec.width, size):
        part = slice(start, start + size)
        weights = softmax([_dot(q[part], key[part]) / root for key in keys])
        found += [_dot(weights, column) for column in zip(*(value[part] for value in values))]
    return found


def _linear(x: Vector, matrix: Matrix, kind: str = "") -> Vector:
    rows: Any = zip(*matrix) if kind == "transposed" else matrix
    return [_dot(row, x) for row in rows]


def _norm(x: Vector, eps: float) -> Vector:
    root = math.sqrt(_dot(x, x) / len(x) + eps)
    return [xi / root for xi in x]


def _dot(x: Sequence[float], y: Sequence[float]) -> float:
    total: float = sum(map(mul, x, y))
    return total


def _add(x: Vector, y: Vector) -> Vector:
    return [xi + yi for xi, yi in zip(x, y)]


EXERCISE = Exercise(by_hand, questions, ask_folder)
