"""A whole GPT on one page: the corpus, the tokenizer, automatic differentiation, the model,
the optimizer and the sampling, in plain Python with nothing to install.

    python microgpt.py [--corpus FILE] [--steps N] [--seed S] [--samples N]

The algorithm and every number in it are those of Andrej Karpathy's microgpt; so are its losses,
to the last bit, because sums are taken in the same order.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from http.client import HTTPException
from itertools import chain
from operator import add, mul
from pathlib import Path
from urllib.request import urlopen

NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
N_EMBD, N_HEAD, N_LAYER, BLOCK_SIZE = 16, 4, 1, 16
HEAD_DIM = N_EMBD // N_HEAD
LEARNING_RATE, BETA1, BETA2, EPSILON = 0.01, 0.85, 0.99, 1e-8


class Value:
    """A number that remembers which numbers it came from, and its slope in each of them."""

    __slots__ = ("children", "data", "grad", "local_grads")

    def __init__(
        self, data: float, children: tuple[Value, ...] = (), local_grads: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0  # d(loss)/d(self), after backward()
        self.children = children
        self.local_grads = local_grads  # d(self)/d(child), one for each child

    def __add__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power: float) -> Value:
        return Value(self.data**power, (self,), (power * self.data ** (power - 1),))

    def log(self) -> Value:
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def exp(self) -> Value:
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def relu(self) -> Value:
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> Value:
        return self * -1

    def __sub__(self, other: Value | float) -> Value:
        return self + (-other)

    def __truediv__(self, other: Value | float) -> Value:
        return self * other**-1

    def __radd__(self, other: float) -> Value:
        return self + other

    def __rmul__(self, other: float) -> Value:
        return self * other

    def __rsub__(self, other: float) -> Value:
        return other + (-self)

    def __rtruediv__(self, other: float) -> Value:
        return other * self**-1

    def ancestry(self) -> list[Value]:
        """Every value this one was computed from, and itself last: children before parents."""
        order: list[Value] = []
        visited = {self}
        stack = [(self, iter(self.children))]  # our own stack: a deep graph needs no recursion
        while stack:
            value, children = stack[-1]
            for child in children:
                if child not in visited:
                    visited.add(child)
                    stack.append((child, iter(child.children)))
                    break
            else:
                order.append(value)
                stack.pop()
        return order

    def backward(self) -> None:
        """The chain rule: d(self)/d(v) into the `grad`, 0 before, of every value v in the graph."""
        self.grad = 1.0
        for value in reversed(self.ancestry()):
            grad = value.grad
            for child, local_grad in zip(value.children, value.local_grads):
                child.grad += local_grad * grad


def gradients(loss: Value) -> dict[Value, float]:
    """d(loss)/d(v) for every value v in the graph, as `backward` finds them, changing nothing."""
    order = loss.ancestry()
    grads = dict.fromkeys(order, 0.0)
    grads[loss] = 1.0
    for value in reversed(order):
        for child, local_grad in zip(value.children, value.local_grads):
            grads[child] += local_grad * grads[value]
    return grads


def dot(xs: Sequence[Value], ys: Sequence[Value]) -> Value:
    """x0*y0 + x1*y1 + ..., as one node where single operations would make two for each term.

    The terms are added from left to right. The built-in `sum` would round differently: from
    Python 3.12 on it carries a correction along.
    """
    x_data, y_data = [x.data for x in xs], [y.data for y in ys]
    children = tuple(chain.from_iterable(zip(xs, ys)))
    local_grads = tuple(chain.from_iterable(zip(y_data, x_data)))
    return Value(reduce(add, map(mul, x_data, y_data)), children, local_grads)


Vector = list[Value]
Matrix = list[Vector]


def linear(x: Vector, weight: Matrix) -> Vector:
    return [dot(row, x) for row in weight]


def softmax(logits: Vector) -> Vector:
    highest = max(logit.data for logit in logits)  # keeps exp() in range, and cancels out
    exps = [(logit - highest).exp() for logit in logits]
    total = sum(exps[1:], exps[0])
    return [e / total for e in exps]


def rmsnorm(x: Vector) -> Vector:
    mean_square = dot(x, x) / len(x)
    scale = (mean_square + 1e-5) ** -0.5
    return [xi * scale for xi in x]


@dataclass
class Model:
    """The characters a model can write, and its weights."""

    chars: list[str]  # token i is chars[i]; the one after the last is BOS
    weights: dict[str, Matrix]

    @property
    def bos(self) -> int:
        """The token that begins every document, and ends it."""
        return len(self.chars)

    @property
    def parameters(self) -> list[Value]:
        return [value for matrix in self.weights.values() for row in matrix for value in row]


def new_model(docs: list[str], rng: random.Random) -> Model:
    """A model that has learned nothing yet: every weight is a draw from N(0, 0.08)."""
    chars = sorted(set("".join(docs)))

    def matrix(n_out: int, n_in: int) -> Matrix:
        return [[Value(rng.gauss(0, 0.08)) for _ in range(n_in)] for _ in range(n_out)]

    n_vocab = len(chars) + 1
    shapes = {"wte": (n_vocab, N_EMBD), "wpe": (BLOCK_SIZE, N_EMBD), "lm_head": (n_vocab, N_EMBD)}
    for layer in range(N_LAYER):
        for name in ("attn_wq", "attn_wk", "attn_wv", "attn_wo"):
            shapes[f"layer{layer}.{name}"] = (N_EMBD, N_EMBD)
        shapes[f"layer{layer}.mlp_fc1"] = (4 * N_EMBD, N_EMBD)
        shapes[f"layer{layer}.mlp_fc2"] = (N_EMBD, 4 * N_EMBD)
    return Model(chars, {name: matrix(*shape) for name, shape in shapes.items()})


Cache = list[tuple[Matrix, Matrix]]  # for each layer, the keys and the values of the past


def gpt(model: Model, token: int, position: int, cache: Cache) -> Vector:
    """The logits of the token that follows `token`; `cache` holds what came before it."""
    w = model.weights
    x = [t + p for t, p in zip(w["wte"][token], w["wpe"][position])]
    x = rmsnorm(x)
    for layer, (keys, values) in enumerate(cache):
        # 1. Attention: each head looks back, and takes from every position what it finds there.
        residual, x = x, rmsnorm(x)
        q = linear(x, w[f"layer{layer}.attn_wq"])
        keys.append(linear(x, w[f"layer{layer}.attn_wk"]))
        values.append(linear(x, w[f"layer{layer}.attn_wv"]))
        heads: Vector = []
        for start in range(0, N_EMBD, HEAD_DIM):
            head = slice(start, start + HEAD_DIM)
            scores = softmax([dot(q[head], key[head]) / HEAD_DIM**0.5 for key in keys])
            columns = zip(*(value[head] for value in values))
            heads += [dot(scores, column) for column in columns]
        x = linear(heads, w[f"layer{layer}.attn_wo"])
        x = [a + b for a, b in zip(x, residual)]
        # 2. MLP: each position thinks about what it has gathered.
        residual, x = x, rmsnorm(x)
        x = [xi.relu() for xi in linear(x, w[f"layer{layer}.mlp_fc1"])]
        x = linear(x, w[f"layer{layer}.mlp_fc2"])
        x = [a + b for a, b in zip(x, residual)]
    return linear(x, w["lm_head"])


def train(model: Model, docs: list[str], steps: int) -> Iterator[float]:
    """Adam on one document a step; yields the loss of each step, in nats a character."""
    params = model.parameters
    index = {char: i for i, char in enumerate(model.chars)}
    m = [0.0] * len(params)  # running mean of the gradients
    v = [0.0] * len(params)  # running mean of their squares
    for step in range(steps):
        tokens = [model.bos, *(index[char] for char in docs[step % len(docs)]), model.bos]
        n = min(BLOCK_SIZE, len(tokens) - 1)
        cache: Cache = [([], []) for _ in range(N_LAYER)]
        losses = []
        for position in range(n):
            probs = softmax(gpt(model, tokens[position], position, cache))
            losses.append(-probs[tokens[position + 1]].log())
        loss = (1 / n) * sum(losses[1:], losses[0])
        loss.backward()

        rate = LEARNING_RATE * (1 - step / steps)
        m_bias, v_bias = 1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)
        for i, p in enumerate(params):
            m[i] = BETA1 * m[i] + (1 - BETA1) * p.grad
            v[i] = BETA2 * v[i] + (1 - BETA2) * p.grad**2
            p.data -= rate * (m[i] / m_bias) / ((v[i] / v_bias) ** 0.5 + EPSILON)
            p.grad = 0.0
        yield loss.data


def inference(
    model: Model, samples: int = 20, temperature: float = 0.5, rng: random.Random | None = None
) -> Iterator[str]:
    """Documents that the model makes up, one after another."""
    rng = rng or random.Random(42)
    for _ in range(samples):
        cache: Cache = [([], []) for _ in range(N_LAYER)]
        token, text = model.bos, ""
        for position in range(BLOCK_SIZE):
            logits = gpt(model, token, position, cache)
            probs = softmax([logit / temperature for logit in logits])
            token = rng.choices(range(len(probs)), weights=[p.data for p in probs])[0]
            if token == model.bos:
                break
            text += model.chars[token]
        yield text


def download_names(path: Path) -> Path:
    """The names, saved as `path`; where there is no network, the list of this project."""
    try:
        with urlopen(NAMES_URL, timeout=10) as reply:
            text = reply.read()
    except (OSError, HTTPException) as error:
        here = Path(__file__).resolve().parent
        for own in (here / "src/anexa/data/firstnames.txt", here / "anexa/data/firstnames.txt"):
            if own.exists():
                print(f"no network: using {own.name}, the list that comes with this project")
                return own
        raise ValueError("no network, and no names.txt here: give a --corpus") from error
    part = path.with_suffix(".part")
    try:
        part.write_bytes(text)
        part.replace(path)  # all of the file or nothing
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValueError(f"cannot save {path}: {error}") from error
    return path


def read_docs(corpus: str | Path | None = None) -> list[str]:
    """The documents of a file, one a line: by default 32,033 names, downloaded once.

    Raises:
        ValueError: the file cannot be read as text, or holds none.
    """
    path = Path(corpus or "names.txt")
    if corpus is None and not path.exists():
        path = download_names(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    docs = [line.strip() for line in lines if line.strip()]
    if not docs:
        raise ValueError(f"{path} has no text in it")
    return docs


def run(
    corpus: str | Path | None = None, steps: int = 1000, seed: int = 42, samples: int = 20
) -> Model:
    """Train on a corpus, print the loss of every step, then print samples; gives the model."""
    rng = random.Random(seed)
    docs = read_docs(corpus)
    rng.shuffle(docs)
    print(f"num docs: {len(docs)}")
    model = new_model(docs, rng)
    print(f"vocab size: {model.bos + 1}")
    print(f"num params: {len(model.parameters)}")
    for step, loss in enumerate(train(model, docs, steps), start=1):
        print(f"step {step:4d} / {steps:4d} | loss {loss:.4f}", flush=True)
    print("--- inference (new, hallucinated documents) ---")
    for number, text in enumerate(inference(model, samples, rng=rng), start=1):
        print(f"sample {number:2d}: {text}")
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--corpus", metavar="FILE", help="text with one document a line")
    parser.add_argument("--steps", metavar="N", type=int, default=1000)
    parser.add_argument("--seed", metavar="S", type=int, default=42)
    parser.add_argument("--samples", metavar="N", type=int, default=20)
    options = parser.parse_args()
    if options.steps < 1 or options.samples < 0:
        parser.error("--steps must be at least 1, and --samples at least 0")
    try:
        run(**vars(options))
    except ValueError as error:
        parser.exit(1, f"microgpt: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130)
