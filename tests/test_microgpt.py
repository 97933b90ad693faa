"""microgpt.py: its length, and its losses to the last bit."""

from __future__ import annotations

import ast
import math
import random
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import microgpt

FILE = Path(microgpt.__file__).resolve()

# What the original writes with seed 42 and its own list of names.
ORIGINAL_LOSSES = {
    1: 3.3659669475848504,
    2: 3.4242727838717717,
    3: 3.177802125458052,
    10: 3.2228882401182624,
    100: 3.366930921178914,
    500: 2.0644662067274577,
    1000: 2.6496944697407585,
}
ORIGINAL_SAMPLES = """
kamon ann karai jaire vialan karia yeran anna areli kaina
konna keylen liole alerin earan lenne kana lara alela anton
"""

ISLANDS = ["samos", "ithaka", "chios", "korfu", "naxos", "rhodos", "santorini thera kaldera", "kos"]


# ------------------------------------------------------------------ one page


# All but `return`: a method that is a single expression may stand on one line.
STATEMENTS = tuple(set(ast.stmt.__subclasses__()) - {ast.Return})


def test_it_is_one_page() -> None:
    """At most 200 lines of at most 100 characters, with one statement on each of them."""
    text = FILE.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 100
    starts = [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, STATEMENTS)]
    assert len(starts) == len(set(starts)) > 100


def test_its_public_functions_say_what_they_do() -> None:
    for node in ast.parse(FILE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert ast.get_docstring(node), node.name


# ------------------------------------------------------------------ the numbers of the original


def losses_on_the_names(stored_corpora: Path, last: int) -> tuple[dict[int, float], list[str]]:
    """The recorded losses up to a step; after the last of 1,000 also the samples."""
    rng = random.Random(42)
    docs = microgpt.read_docs(stored_corpora / "names.txt")
    rng.shuffle(docs)
    model = microgpt.Model(docs, rng)
    losses = {}
    for step, loss in enumerate(microgpt.train(model, docs, 1000), start=1):
        if step in ORIGINAL_LOSSES:
            losses[step] = loss
        if step == last:
            break
    samples = [microgpt.inference(model, rng) for _ in range(20)] if last == 1000 else []
    return losses, samples


def test_the_first_losses_are_the_original_ones(stored_corpora: Path) -> None:
    losses, _ = losses_on_the_names(stored_corpora, 10)
    assert losses == {step: loss for step, loss in ORIGINAL_LOSSES.items() if step <= 10}


@pytest.mark.slow
def test_all_losses_and_samples_are_the_original_ones(stored_corpora: Path) -> None:
    losses, samples = losses_on_the_names(stored_corpora, 1000)
    assert losses == ORIGINAL_LOSSES
    assert samples == ORIGINAL_SAMPLES.split()


class Plain:
    """A scalar with one node for every single operation: the textbook's autograd, for comparison.

    It shares nothing with microgpt.py, and its graphs are small enough for recursion.
    """

    def __init__(
        self, data: float, children: tuple[Plain, ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data, self.children, self.slopes, self.grad = data, children, slopes, 0.0

    def plus(self, other: Plain) -> Plain:
        return Plain(self.data + other.data, (self, other), (1.0, 1.0))

    def times(self, other: Plain) -> Plain:
        return Plain(self.data * other.data, (self, other), (other.data, self.data))

    def power(self, n: float) -> Plain:
        return Plain(self.data**n, (self,), (n * self.data ** (n - 1),))

    def over(self, other: Plain) -> Plain:
        return self.times(other.power(-1))

    def scaled(self, factor: float) -> Plain:
        return self.times(Plain(factor))

    def exp(self) -> Plain:
        return Plain(math.exp(self.data), (self,), (math.exp(self.data),))

    def log(self) -> Plain:
        return Plain(math.log(self.data), (self,), (1 / self.data,))

    def relu(self) -> Plain:
        return Plain(max(0.0, self.data), (self,), (1.0 if self.data > 0 else 0.0,))

    def backward(self) -> None:
        order: list[Plain] = []
        visited: set[Plain] = set()

        def visit(node: Plain) -> None:
            if node not in visited:
                visited.add(node)
                for child in node.children:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            for child, slope in zip(node.children, node.slopes):
                child.grad += slope * node.grad


PlainVector = list[Plain]


def plain_sum(terms: PlainVector) -> Plain:
    total = terms[0]
    for term in terms[1:]:
        total = total.plus(term)
    return total


def plain_linear(x: PlainVector, rows: list[PlainVector]) -> PlainVector:
    return [plain_sum([w.times(xi) for w, xi in zip(row, x)]) for row in rows]


def plain_norm(x: PlainVector) -> PlainVector:
    mean = plain_sum([xi.times(xi) for xi in x]).times(Plain(16).power(-1))
    scale = mean.plus(Plain(1e-5)).power(-0.5)
    return [xi.times(scale) for xi in x]


def plain_softmax(z: PlainVector) -> PlainVector:
    top = max(zi.data for zi in z)
    exps = [zi.plus(Plain(-top)).exp() for zi in z]
    total = plain_sum(exps)
    return [e.over(total) for e in exps]


def plain_training(docs: list[str], rng: random.Random, steps: int) -> Iterator[float]:
    """microgpt's training as it is described: width 16, 4 heads, 1 layer, context 16."""
    chars = sorted(set("".join(docs)))
    end = len(chars)

    def matrix(n_out: int, n_in: int) -> list[PlainVector]:
        return [[Plain(rng.gauss(0, 0.08)) for _ in range(n_in)] for _ in range(n_out)]

    tokens_E, places_E, head = matrix(end + 1, 16), matrix(16, 16), matrix(end + 1, 16)
    wq, wk, wv, wo = (matrix(16, 16) for _ in range(4))
    up, down = matrix(64, 16), matrix(16, 64)
    matrices = (tokens_E, places_E, head, wq, wk, wv, wo, up, down)
    parameters = [p for m in matrices for row in m for p in row]
    first, second = [0.0] * len(parameters), [0.0] * len(parameters)

    for step in range(steps):
        text = [end, *(chars.index(c) for c in docs[step % len(docs)]), end]
        keys: list[PlainVector] = []
        values: list[PlainVector] = []
        losses: PlainVector = []
        for place, (token, target) in enumerate(pairwise(text[:17])):
            x = [a.plus(b) for a, b in zip(tokens_E[token], places_E[place])]
            x = plain_norm(x)
            h = plain_norm(x)
            q = plain_linear(h, wq)
            keys.append(plain_linear(h, wk))
            values.append(plain_linear(h, wv))
            attended: PlainVector = []
            for s in (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)):
                scores = [
                    plain_sum([a.times(b) for a, b in zip(q[s], k[s])]).times(Plain(2).power(-1))
                    for k in keys
                ]
                shares = plain_softmax(scores)
                attended += [
                    plain_sum([p.times(v[i]) for p, v in zip(shares, values)])
                    for i in range(s.start, s.stop)
                ]
            x = [a.plus(b) for a, b in zip(plain_linear(attended, wo), x)]
            h = [a.relu() for a in plain_linear(plain_norm(x), up)]
            x = [a.plus(b) for a, b in zip(plain_linear(h, down), x)]
            chance = plain_softmax(plain_linear(x, head))[target]
            losses.append(chance.log().scaled(-1))
        loss = plain_sum(losses).scaled(1 / len(losses))
        loss.backward()
        for i, p in enumerate(parameters):
            first[i] = 0.85 * first[i] + (1 - 0.85) * p.grad
            second[i] = 0.99 * second[i] + (1 - 0.99) * p.grad**2
            m_hat = first[i] / (1 - 0.85 ** (step + 1))
            v_hat = second[i] / (1 - 0.99 ** (step + 1))
            p.data -= 0.01 * (1 - step / steps) * m_hat / (v_hat**0.5 + 1e-8)
            p.grad = 0.0
        yield loss.data


def test_training_equals_the_textbooks_to_the_last_bit() -> None:
    """No corpus needed: a short list of islands, one of them longer than the context."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        expected = list(plain_training(ISLANDS, random.Random(7), steps=10))
    finally:
        sys.setrecursionlimit(limit)
    model = microgpt.Model(ISLANDS, random.Random(7))
    assert list(microgpt.train(model, ISLANDS, steps=10)) == expected


def test_training_learns_and_inference_repeats_itself() -> None:
    model = microgpt.Model(["ab"], random.Random(3))
    losses = list(microgpt.train(model, ["ab"], steps=40))
    assert losses[-1] < 0.2 < losses[0]
    rng, same_rng = random.Random(9), random.Random(9)
    first = [microgpt.inference(model, rng) for _ in range(5)]
    assert first == [microgpt.inference(model, same_rng) for _ in range(5)]
    assert first.count("ab") >= 4
