"""The file on one page: its calculus, its losses to the last bit, and what it does as a program."""

from __future__ import annotations

import ast
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import microgpt
from microgpt import Value, dot, gradients

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


# ------------------------------------------------------------------ the calculus of a Value


Function = Callable[..., Value]

FUNCTIONS: dict[str, Function] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, _: -x,
    "x ** 2": lambda x, _: x**2,
    "x ** -0.5": lambda x, _: x**-0.5,
    "log x": lambda x, _: x.log(),
    "exp x": lambda x, _: x.exp(),
    "x + 3": lambda x, _: x + 3,
    "3 + x": lambda x, _: 3 + x,
    "x - 3": lambda x, _: x - 3,
    "3 - x": lambda x, _: 3 - x,
    "x * 3": lambda x, _: x * 3,
    "3 * x": lambda x, _: 3 * x,
    "x / 3": lambda x, _: x / 3,
    "3 / x": lambda x, _: 3 / x,
    "dot([x, y, x], [y, y, x])": lambda x, y: dot([x, y, x], [y, y, x]),
    "x twice, in two ways": lambda x, y: (x * y + x) * x.exp() / (x + y),
}
PLAIN: dict[str, Callable[[float, float], float]] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, _: -x,
    "x ** 2": lambda x, _: x * x,
    "x ** -0.5": lambda x, _: 1 / math.sqrt(x),
    "log x": lambda x, _: math.log(x),
    "exp x": lambda x, _: math.exp(x),
    "x + 3": lambda x, _: x + 3,
    "3 + x": lambda x, _: 3 + x,
    "x - 3": lambda x, _: x - 3,
    "3 - x": lambda x, _: 3 - x,
    "x * 3": lambda x, _: x * 3,
    "3 * x": lambda x, _: 3 * x,
    "x / 3": lambda x, _: x / 3,
    "3 / x": lambda x, _: 3 / x,
    "dot([x, y, x], [y, y, x])": lambda x, y: 2 * x * y - x * y + y * y + x * x,
    "x twice, in two ways": lambda x, y: (x * y + x) * math.exp(x) / (x + y),
}
positive = st.floats(0.1, 4.0)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=positive, y=positive)
def test_a_function_and_its_slopes(name: str, x: float, y: float) -> None:
    """The number is the one that plain floats give; the slopes are central differences of it."""
    function, plain = FUNCTIONS[name], PLAIN[name]
    a, b = Value(x), Value(y)
    result = function(a, b)
    result.backward()
    assert result.data == pytest.approx(plain(x, y), rel=1e-12, abs=1e-12)
    step = 1e-5
    slope_x = (plain(x + step, y) - plain(x - step, y)) / (2 * step)
    slope_y = (plain(x, y + step) - plain(x, y - step)) / (2 * step)
    assert a.grad == pytest.approx(slope_x, rel=1e-6, abs=1e-6)
    assert b.grad == pytest.approx(slope_y, rel=1e-6, abs=1e-6)


@given(st.floats(-5, 5))
@example(0.0)
@example(-0.0)
def test_relu(x: float) -> None:
    a = Value(x)
    result = a.relu()
    result.backward()
    assert (result.data, a.grad) == ((x, 1.0) if x > 0 else (0.0, 0.0))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=8))
def test_dot_is_a_sum_of_products_from_left_to_right(pairs: list[tuple[float, float]]) -> None:
    xs, ys = [Value(x) for x, _ in pairs], [Value(y) for _, y in pairs]
    result = dot(xs, ys)
    result.backward()
    expected = pairs[0][0] * pairs[0][1]
    for x, y in pairs[1:]:
        expected = expected + x * y
    assert result.data == expected
    assert [x.grad for x in xs] == [y for _, y in pairs]
    assert [y.grad for y in ys] == [x for x, _ in pairs]


def test_a_dot_rounds_as_single_additions_do() -> None:
    """1e16 + 1 is 1e16 again; a sum that carries a correction along would give 2."""
    ones = [Value(1.0)] * 4
    assert dot([Value(x) for x in (1e16, 1.0, 1.0, -1e16)], ones).data == 0.0


def test_a_value_used_several_times_collects_the_slope_of_each_use() -> None:
    x = Value(3.0)
    (x + x * x + x).backward()
    assert x.grad == 2 + 2 * 3.0


def test_backward_adds_to_the_slopes_that_are_there() -> None:
    x = Value(3.0)
    (x * 2).backward()
    (x * 5).backward()
    assert x.grad == 7.0


def test_a_shared_value_passes_its_whole_slope_on() -> None:
    """The diamond: a naive walk would visit `shared` before its second parent has been."""
    x = Value(2.0)
    shared = x * x
    ((shared + 1) * shared + shared).backward()
    assert shared.grad == 2 * 4.0 + 2
    assert x.grad == shared.grad * 4.0


def test_a_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    total = x
    for _ in range(50_000):
        total = total + x
    total.backward()
    assert (total.data, x.grad) == (50_001.0, 50_001.0)
    assert gradients(total)[x] == 50_001.0


def test_gradients_are_those_of_backward_and_change_nothing() -> None:
    rng = random.Random(1)
    model = microgpt.new_model(ISLANDS, rng)
    cache: microgpt.Cache = [([], []) for _ in range(microgpt.N_LAYER)]
    logits = [microgpt.gpt(model, token, t, cache) for t, token in enumerate([model.bos, 3, 1])]
    loss = -microgpt.softmax(logits[-1])[2].log()
    numbers = [value.data for value in loss.ancestry()]

    found = gradients(loss)

    values = loss.ancestry()
    assert all(value.grad == 0.0 for value in values)
    assert [value.data for value in values] == numbers
    assert found.keys() == set(values)
    loss.backward()
    assert {value: value.grad for value in values} == found
    assert any(found[p] for p in model.parameters if p in found)


# ------------------------------------------------------------------ the numbers of the original


def losses_on_the_names(stored_corpora: Path, last: int) -> tuple[dict[int, float], list[str]]:
    """The recorded losses up to a step; after the last of 1,000 also the samples."""
    rng = random.Random(42)
    docs = microgpt.read_docs(stored_corpora / "names.txt")
    rng.shuffle(docs)
    model = microgpt.new_model(docs, rng)
    losses = {}
    for step, loss in enumerate(microgpt.train(model, docs, 1000), start=1):
        if step in ORIGINAL_LOSSES:
            losses[step] = loss
        if step == last:
            break
    samples = list(microgpt.inference(model, rng=rng)) if last == 1000 else []
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
    model = microgpt.new_model(ISLANDS, random.Random(7))
    assert list(microgpt.train(model, ISLANDS, steps=10)) == expected


def test_training_learns_and_inference_repeats_itself() -> None:
    model = microgpt.new_model(["ab"], random.Random(3))
    losses = list(microgpt.train(model, ["ab"], steps=40))
    assert losses[-1] < 0.2 < losses[0]
    first = list(microgpt.inference(model, 5, rng=random.Random(9)))
    assert first == list(microgpt.inference(model, 5, rng=random.Random(9)))
    assert first.count("ab") >= 4


# ------------------------------------------------------------------ as a program


def run(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python microgpt.py ...` in a folder, with no way to the network."""
    offline = dict.fromkeys(("https_proxy", "http_proxy", "all_proxy"), "http://127.0.0.1:9")
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | offline | {"no_proxy": "", "PYTHONUTF8": "1"} | (environment or {}),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def microgpt_py(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, str(FILE), *arguments)


def refused(process: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which it ended."""
    assert process.returncode in (1, 2), process
    assert "Traceback" not in process.stderr
    sentence = process.stderr.strip().splitlines()[-1]
    if process.returncode == 1:
        assert process.stderr.strip() == sentence, "more than one sentence"
    return sentence


def test_importing_it_does_nothing(tmp_path: Path) -> None:
    process = run(tmp_path, "-c", "import microgpt", environment={"PYTHONPATH": str(FILE.parent)})
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_it_imports_only_the_standard_library() -> None:
    imported = set()
    for node in ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").split(".")[0])
    assert imported
    assert imported <= set(sys.stdlib_module_names)


def test_it_trains_on_a_file_and_shows_losses_and_samples(tmp_path: Path) -> None:
    (tmp_path / "islands.txt").write_text("\n".join(ISLANDS) + "\n\n  \n", encoding="utf-8")
    arguments = ("--corpus", "islands.txt", "--steps", "3", "--samples", "2", "--seed", "5")
    process = microgpt_py(tmp_path, *arguments)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    n_chars = len(set("".join(ISLANDS)))
    n_params = 2 * 16 * (n_chars + 1) + 16 * 16 + 12 * 16 * 16
    assert lines[:3] == ["num docs: 8", f"vocab size: {n_chars + 1}", f"num params: {n_params}"]

    rng = random.Random(5)
    docs = list(ISLANDS)
    rng.shuffle(docs)
    model = microgpt.new_model(docs, rng)
    losses = microgpt.train(model, docs, 3)
    assert lines[3:6] == [
        f"step {step:4d} /    3 | loss {loss:.4f}" for step, loss in enumerate(losses, start=1)
    ]
    samples = microgpt.inference(model, 2, rng=rng)
    assert lines[7:] == [f"sample {n:2d}: {text}" for n, text in enumerate(samples, start=1)]
    assert [path.name for path in tmp_path.iterdir()] == ["islands.txt"]


def test_names_txt_in_the_current_folder_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("abcdefghijklm\nnopqrstuvwxyz\n", encoding="utf-8")
    process = microgpt_py(tmp_path, "--steps", "1", "--samples", "1")
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[:3] == ["num docs: 2", "vocab size: 27", "num params: 4192"]
    assert lines[3].startswith("step    1 /    1 | loss ")
    assert lines[5].startswith("sample  1:")


def test_with_no_network_it_takes_the_projects_list_and_says_so(tmp_path: Path) -> None:
    process = microgpt_py(tmp_path, "--steps", "1", "--samples", "0")
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0] == "no network: using firstnames.txt, the list that comes with this project"
    assert lines[1] == "num docs: 11849"
    assert list(tmp_path.iterdir()) == [], "no half of a download stays"


def test_alone_and_with_no_network_it_says_what_is_missing(tmp_path: Path) -> None:
    """The file copied somewhere by itself: no list comes with it."""
    (tmp_path / "alone").mkdir()
    copy = tmp_path / "alone" / "microgpt.py"
    copy.write_bytes(FILE.read_bytes())
    process = run(tmp_path, str(copy), "--steps", "1")
    assert "no names.txt" in refused(process)
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere.txt" in refused(microgpt_py(tmp_path, "--corpus", "nowhere.txt"))


@pytest.mark.parametrize("content", ["", "\n \n\t\n"])
def test_a_corpus_with_nothing_in_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "empty.txt").write_text(content, encoding="utf-8")
    assert "empty.txt has no text" in refused(microgpt_py(tmp_path, "--corpus", "empty.txt"))


def test_a_corpus_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes("José\n".encode("latin-1"))
    assert "latin1.txt" in refused(microgpt_py(tmp_path, "--corpus", "latin1.txt"))


def test_a_folder_as_corpus(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder" in refused(microgpt_py(tmp_path, "--corpus", "folder"))


@pytest.mark.parametrize(
    "arguments", [("--steps", "0"), ("--steps", "-1"), ("--samples", "-1"), ("--steps", "x")]
)
def test_numbers_that_cannot_be_meant(tmp_path: Path, arguments: tuple[str, str]) -> None:
    process = microgpt_py(tmp_path, *arguments)
    assert arguments[0] in refused(process)
    assert process.returncode == 2
