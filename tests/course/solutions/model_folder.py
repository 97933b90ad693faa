"""Solutions of chapter 17."""

from __future__ import annotations

from tests.course.solution import Wrong

RIGHT = """
import json
import struct
from math import exp, sqrt
from pathlib import Path

def read(folder):
    data = Path(folder, "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            rows, columns = tensor["shape"]
            part = data[8 + length + begin : 8 + length + end]
            numbers = struct.unpack(f"<{rows * columns}f", part)
            tensors[name] = [numbers[i * columns : (i + 1) * columns] for i in range(rows)]
    return tensors

def dot(x, y):
    return sum(a * b for a, b in zip(x, y))

def linear(x, matrix):
    return [dot(row, x) for row in matrix]

def add(x, y):
    return [a + b for a, b in zip(x, y)]

def softmax(scores):
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]

def logits(folder, text):
    w = read(folder)
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads(Path(folder, "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    tokens = [config["bos_token_id"]] + [vocabulary[letter] for letter in text]
    eps = config["rms_norm_epsilon"]

    def norm(x):
        root = sqrt(dot(x, x) / len(x) + eps)
        return [xi / root for xi in x]

    heads = config["n_head"]
    layers = range(config["n_layer"])
    size = config["n_embd"] // heads
    keys, values = [[] for i in layers], [[] for i in layers]
    for position, token in enumerate(tokens):
        x = norm(add(w["wte.weight"][token], w["wpe.weight"][position]))
        for i in layers:
            h = norm(x)
            query = linear(h, w[f"layers.{i}.attn_wq.weight"])
            keys[i].append(linear(h, w[f"layers.{i}.attn_wk.weight"]))
            values[i].append(linear(h, w[f"layers.{i}.attn_wv.weight"]))
            mixed = []
            for j in range(0, size * heads, size):
                part = slice(j, j + size)
                scores = [dot(query[part], key[part]) / sqrt(size) for key in keys[i]]
                weights = softmax(scores)
                for k in range(j, j + size):
                    mixed.append(dot(weights, [value[k] for value in values[i]]))
            x = add(x, linear(mixed, w[f"layers.{i}.attn_wo.weight"]))
            h = linear(norm(x), w[f"layers.{i}.mlp_fc1.weight"])
            h = [max(0.0, hi) for hi in h]
            x = add(x, linear(h, w[f"layers.{i}.mlp_fc2.weight"]))
    return linear(x, w["lm_head.weight"])
"""

WRONG: Wrong = {
    "offsets from the beginning of the file": (
        "data[8 + length + begin : 8 + length + end]",
        "data[begin:end]",
        "do not count from the beginning of the file",
    ),
    "offsets after the length": (
        "data[8 + length + begin : 8 + length + end]",
        "data[8 + begin : 8 + end]",
        "do not count from the beginning of the file",
    ),
    "no 8 bytes": (
        "data[8 + length + begin : 8 + length + end]",
        "data[length + begin : length + end]",
        "The 8 bytes with the length of the header are missing",
    ),
    "matrices in the order of the header": (
        """            begin, end = tensor["data_offsets"]
            rows, columns = tensor["shape"]
""",
        """            rows, columns = tensor["shape"]
            begin = sum(4 * len(rows) * len(rows[0]) for rows in tensors.values())
            end = begin + 4 * rows * columns
""",
        "need not stand in the order of the header",
    ),
    "the highest byte first": ('data[:8], "little"', 'data[:8], "big"', "the lowest byte first"),
    "numbers with the highest byte first": ('f"<{rows', 'f">{rows', "with the lowest byte first"),
    "numbers of 8 bytes": ("columns}f", "columns}d", "the letter of struct is f"),
    "columns in place of rows": (
        "[numbers[i * columns : (i + 1) * columns] for i in range(rows)]",
        "[numbers[i::rows] for i in range(rows)]",
        "is stored row by row",
    ),
    "no rows": (
        "[numbers[i * columns : (i + 1) * columns] for i in range(rows)]",
        "numbers",
        "A matrix is a list of rows",
    ),
    "metadata as a tensor": ('if name != "__metadata__":', "if True:", "which is no matrix"),
    "no bos": ('[config["bos_token_id"]] + [', "[", "begins with the token bos_token_id"),
    "places in the alphabet": (
        "[vocabulary[letter] for letter in text]",
        "[ord(letter) - ord('a') for letter in text]",
        "in tokenizer.json",
    ),
    "no positions": (
        'add(w["wte.weight"][token], w["wpe.weight"][position])',
        'w["wte.weight"][token]',
        "where a token stands",
    ),
    "no norm of the embeddings": (
        'norm(add(w["wte.weight"][token], w["wpe.weight"][position]))',
        'add(w["wte.weight"][token], w["wpe.weight"][position])',
        "before the first layer",
    ),
    "a last norm": ("return linear(x, w", "return linear(norm(x), w", "GPT-2 has one"),
    "nothing added": (
        """            x = add(x, linear(h, w[f"layers.{i}.mlp_fc2.weight"]))
""",
        """            x = linear(h, w[f"layers.{i}.mlp_fc2.weight"])
""",
        "it does not replace it",
    ),
    "no ReLU": ("max(0.0, hi)", "hi", "ReLU is missing"),
    "a constant in the norm": (
        'eps = config["rms_norm_epsilon"]',
        "eps = 1e-5",
        "rms_norm_epsilon",
    ),
    "the width in the root": (
        "/ sqrt(size)",
        '/ sqrt(config["n_embd"])',
        "not of the whole vector",
    ),
    "probabilities": (
        'return linear(x, w["lm_head.weight"])',
        'return softmax(linear(x, w["lm_head.weight"]))',
        "These are probabilities",
    ),
    "one head": ('heads = config["n_head"]', "heads = 1", "The number of heads stands in"),
    "one layer": ('config["n_layer"]', "1", "The number of layers stands in"),
    "the logits of the first token": (
        "enumerate(tokens)",
        "enumerate(tokens[:1])",
        "the logits after the first token",
    ),
}
