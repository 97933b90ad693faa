"""A whole GPT on one page of plain Python: autograd, model, training and inference.

The algorithm is Andrej Karpathy's microgpt, and the losses are his to the last bit."""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.request import urlopen

NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
N_LAYER, N_HEAD, N_EMBD, BLOCK_SIZE = 1, 4, 16, 16  # layers, heads, width, context length
LEARNING_RATE, BETA1, BETA2, EPSILON = 0.01, 0.85, 0.99, 1e-8  # of Adam, the optimizer

# 1. Autograd: every number remembers how it was computed, so the chain rule can run backward.
@dataclass(eq=False, repr=False, slots=True)
class Value:
    """A number that knows which values it was computed from."""
    data: float
    children: tuple[Value, ...] = ()
    local_grads: tuple[float, ...] = ()  # d(self)/d(child), one for each child
    def __add__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))
    def __mul__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))
    def __pow__(self, n: float) -> Value: return Value(self.data**n, (self,), (n*self.data**(n-1),))
    def log(self) -> Value: return Value(math.log(self.data), (self,), (1 / self.data,))
    def exp(self) -> Value: return Value(math.exp(self.data), (self,), (math.exp(self.data),))
    def relu(self) -> Value: return Value(max(0.0, self.data), (self,), (float(self.data > 0),))
    def __neg__(self) -> Value: return self * -1
    def __sub__(self, other: Value | float) -> Value: return self + (-other)
    def __rsub__(self, other: float) -> Value: return other + (-self)
    def __truediv__(self, other: Value | float) -> Value: return self * other**-1
    def __rtruediv__(self, other: float) -> Value: return other * self**-1
    __radd__, __rmul__ = __add__, __mul__

def gradients(loss: Value) -> dict[Value, float]:
    """Backpropagate: compute d(loss)/d(v) for every value v that the loss was computed from.
    d(loss)/d(child) = sum over its parents of d(loss)/d(parent) * d(parent)/d(child)."""
    grads, visited, stack = dict[Value, float](), set[Value](), [loss]
    while stack:
        value = stack[-1]
        if value in visited or not value.children:
            grads[stack.pop()] = 0.0  # in topological order: children before parents
        else:
            visited.add(value)
            stack += [child for child in reversed(value.children) if child not in grads]
    grads[loss] = 1.0  # d(loss)/d(loss); every other value collects its own from its parents
    for parent, grad in reversed(grads.items()):
        for child, local_grad in zip(parent.children, parent.local_grads):
            grads[child] += grad * local_grad
    return grads

def dot(xs: Sequence[Value], ys: Sequence[Value]) -> Value:
    """Compute x0*y0 + x1*y1 + ... as one value, where + and * would make two for each term."""
    total = 0.0  # from left to right; Python's `sum` rounds differently since 3.12
    for x, y in zip(xs, ys):
        total += x.data * y.data
    children = tuple([value for pair in zip(xs, ys) for value in pair])
    return Value(total, children, tuple([value.data for pair in zip(ys, xs) for value in pair]))

# 2. Model: read tokens one after another, and score every token that could come next.
Vector = list[Value]
Matrix = list[Vector]
class Model:
    """The vocabulary and the weights, which begin as small random numbers."""
    def __init__(self, docs: list[str], rng: Random) -> None:
        def matrix(n_out: int, n_in: int = N_EMBD) -> Matrix:
            return [[Value(rng.gauss(0, 0.08)) for _ in range(n_in)] for _ in range(n_out)]
        self.chars = sorted(set("".join(docs)))  # token i stands for chars[i]
        self.bos = len(self.chars)  # one more token, which begins and ends every document
        self.weights = {"wte": matrix(self.bos + 1), "wpe": matrix(BLOCK_SIZE)}  # embeddings
        self.weights["lm_head"] = matrix(self.bos + 1)  # gives every token its score
        for i in range(N_LAYER):
            self.weights |= {f"layer{i}.attn_w{x}": matrix(N_EMBD) for x in "qkvo"}
            self.weights[f"layer{i}.mlp_fc1"] = matrix(4 * N_EMBD)
            self.weights[f"layer{i}.mlp_fc2"] = matrix(N_EMBD, 4 * N_EMBD)
        self.parameters = [p for matrix in self.weights.values() for row in matrix for p in row]

def linear(x: Vector, weight: Matrix) -> Vector:
    """Multiply a matrix by a vector: y_i = sum_j W_ij x_j."""
    return [dot(row, x) for row in weight]

def softmax(logits: Vector) -> Vector:
    """Turn scores into probabilities: p_i = exp(z_i) / sum_j exp(z_j)."""
    max_logit = max(logit.data for logit in logits)  # keeps exp() in range, and cancels out
    exps = [(logit - max_logit).exp() for logit in logits]
    total = sum(exps[1:], exps[0])
    return [e / total for e in exps]

def rmsnorm(x: Vector) -> Vector:
    """Scale a vector to a root mean square of 1: y = x / sqrt(mean(x^2) + 1e-5)."""
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]

def gpt(model: Model, tokens: list[int]) -> Iterator[Vector]:
    """Read tokens one by one, and after each of them yield the logits of the one to follow."""
    w, head_dim = model.weights, N_EMBD // N_HEAD
    cache = [(Matrix(), Matrix()) for _ in range(N_LAYER)]  # keys and values of the tokens so far
    for position, token in zip(range(BLOCK_SIZE), tokens):
        x = rmsnorm([t + p for t, p in zip(w["wte"][token], w["wpe"][position])])
        for i, (keys, values) in enumerate(cache):
            # Attention: each head weighs the tokens so far by their keys, and mixes their values.
            residual, x = x, rmsnorm(x)
            q = linear(x, w[f"layer{i}.attn_wq"])  # query: what this token looks for
            keys.append(linear(x, w[f"layer{i}.attn_wk"]))  # key: what it is found by
            values.append(linear(x, w[f"layer{i}.attn_wv"]))  # value: what it passes on
            heads = Vector()
            for head in (slice(at, at + head_dim) for at in range(0, N_EMBD, head_dim)):
                probs = softmax([dot(q[head], key[head]) / head_dim**0.5 for key in keys])
                heads += [dot(probs, column) for column in zip(*(value[head] for value in values))]
            x = [a + b for a, b in zip(linear(heads, w[f"layer{i}.attn_wo"]), residual)]
            # MLP: two layers of neurons process what attention has gathered.
            residual, x = x, rmsnorm(x)
            x = [xi.relu() for xi in linear(x, w[f"layer{i}.mlp_fc1"])]
            x = [a + b for a, b in zip(linear(x, w[f"layer{i}.mlp_fc2"]), residual)]
        yield linear(x, w["lm_head"])

# 3. Training: predict each next character, measure the error, and move every weight to lessen it.
def train(model: Model, docs: list[str], steps: int) -> Iterator[float]:
    """Train with Adam on one document per step; yield the loss, the mean of -log p(next token)."""
    m, v = [[0.0] * len(model.parameters) for _ in range(2)]  # running means of grad and grad^2
    for step in range(steps):
        tokens = [model.bos, *map(model.chars.index, docs[step % len(docs)]), model.bos]
        losses = [-softmax(z)[target].log() for target, z in zip(tokens[1:], gpt(model, tokens))]
        loss = (1 / len(losses)) * sum(losses[1:], losses[0])
        grads = gradients(loss)
        rate = LEARNING_RATE * (1 - step / steps)
        m_bias, v_bias = 1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)  # the means began at 0
        for i, p in enumerate(model.parameters):
            m[i] = BETA1 * m[i] + (1 - BETA1) * grads.get(p, 0.0)
            v[i] = BETA2 * v[i] + (1 - BETA2) * grads.get(p, 0.0) ** 2
            p.data -= rate * (m[i] / m_bias) / ((v[i] / v_bias) ** 0.5 + EPSILON)
        yield loss.data

# 4. Inference: draw the next character by its probability, append it, and read on.
def inference(model: Model, rng: Random, temperature: float = 0.5) -> str:
    """Generate a document; a temperature below 1 makes likely characters even likelier."""
    tokens = [model.bos]
    for logits in gpt(model, tokens):  # it reads on, because tokens are appended here
        probs = softmax([logit / temperature for logit in logits])
        token = rng.choices(range(len(probs)), [p.data for p in probs])[0]
        if token == model.bos:
            break
        tokens.append(token)
    return "".join(model.chars[token] for token in tokens[1:])

# 5. Program: read a corpus, train a model on it, let it write.
def read_docs(corpus: str | Path = "names.txt") -> list[str]:
    """Read a text file with one document per line; names.txt is downloaded if it is missing."""
    path = Path(corpus)
    if corpus == "names.txt" and not path.exists():
        try:
            part = path.with_suffix(".part")
            part.write_bytes(urlopen(NAMES_URL, timeout=10).read())
            part.replace(path)  # so that the file is there as a whole or not at all
        except Exception as error:  # of any kind: no network, or half an answer
            path = Path(__file__).resolve().parent / "src/anexa/data/firstnames.txt"
            print(f"cannot download names.txt ({error}): taking {path.name} instead")
    docs = [line.strip() for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
    if not docs or "\0" in "".join(docs):
        raise ValueError("it has no text, or a NUL character")
    return docs

def run(corpus: str = "names.txt", steps: int = 1000, seed: int = 42, samples: int = 20) -> Model:
    """Train a model, print the loss of every step and then samples; return the model."""
    rng, docs = Random(seed), read_docs(corpus)
    rng.shuffle(docs)
    model = Model(docs, rng)
    print(f"docs: {len(docs)}, vocab size: {model.bos + 1}, parameters: {len(model.parameters)}")
    for step, loss in enumerate(train(model, docs, steps), start=1):
        print(f"step {step:4d} / {steps:4d} | loss {loss:.4f}", flush=True)
    for number in range(1, samples + 1):
        print(f"sample {number:2d}: {inference(model, rng)}", flush=True)
    return model

if __name__ == "__main__":
    parser = ArgumentParser(description="Train a GPT on a text file and let it write.")
    parser.add_argument("--corpus", default="names.txt", help="text with one document per line")
    for option, default in (("--steps", 1000), ("--seed", 42), ("--samples", 20)):
        parser.add_argument(option, type=int, default=default, help=f"default: {default}")
    options = parser.parse_args()
    if options.steps < 1 or options.samples < 0:
        parser.error("--steps must be at least 1, and --samples at least 0")
    if hasattr(sys.stdout, "reconfigure"):  # an encoding may lack some of the corpus's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        run(**vars(options))
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)  # at once: nobody reads on, and flushing the output would fail again
    except (OSError, ValueError) as error:
        parser.exit(1, f"microgpt: cannot use {options.corpus}: {error}; give another --corpus\n")
