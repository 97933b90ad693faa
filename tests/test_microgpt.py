"""microgpt.py: its length, its losses to the last bit, and its behavior as a program."""

from __future__ import annotations

import ast
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import microgpt
from anexa.data.reading import decode_chunks, split_documents
from anexa.errors import AnexaError
from tests.cli.process import posix

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


# ------------------------------------------------------------------ as a program


def run(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python microgpt.py ...` in a folder, without network access."""
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
    """Return the error message, which must be one sentence."""
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
    assert lines[0] == f"docs: 8, vocab size: {n_chars + 1}, parameters: {n_params}"

    rng = random.Random(5)
    docs = list(ISLANDS)
    rng.shuffle(docs)
    model = microgpt.Model(docs, rng)
    losses = microgpt.train(model, docs, 3)
    assert lines[1:4] == [
        f"step {step:4d} /    3 | loss {loss:.4f}" for step, loss in enumerate(losses, start=1)
    ]
    assert lines[4:] == [f"sample {n:2d}: {microgpt.inference(model, rng)}" for n in (1, 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["islands.txt"]


def test_names_txt_in_the_current_folder_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("abcdefghijklm\nnopqrstuvwxyz\n", encoding="utf-8")
    process = microgpt_py(tmp_path, "--steps", "1", "--samples", "1")
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0] == "docs: 2, vocab size: 27, parameters: 4192"
    assert lines[1].startswith("step    1 /    1 | loss ")
    assert lines[2].startswith("sample  1:")


def test_with_no_network_it_takes_the_projects_list_and_says_so(tmp_path: Path) -> None:
    process = microgpt_py(tmp_path, "--steps", "1", "--samples", "0")
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0].startswith("cannot download names.txt (")
    assert lines[0].endswith("): taking firstnames.txt instead")
    assert lines[1].startswith("docs: 11849,")
    assert list(tmp_path.iterdir()) == [], "no half of a download stays"


def test_alone_and_with_no_network_it_says_what_is_missing(tmp_path: Path) -> None:
    """The file copied somewhere by itself: no list comes with it."""
    (tmp_path / "alone").mkdir()
    copy = tmp_path / "alone" / "microgpt.py"
    copy.write_bytes(FILE.read_bytes())
    process = run(tmp_path, str(copy), "--steps", "1")
    assert refused(process).startswith("microgpt: cannot use names.txt: ")
    assert refused(process).endswith("; give another --corpus")
    assert process.stdout.startswith("cannot download names.txt (")
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot use nowhere.txt: " in refused(microgpt_py(tmp_path, "--corpus", "nowhere.txt"))


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "a\0b\n"])
def test_a_corpus_with_nothing_in_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "empty.txt").write_text(content, encoding="utf-8")
    process = microgpt_py(tmp_path, "--corpus", "empty.txt")
    sentence = (
        "microgpt: cannot use empty.txt: it has no text, or a NUL character; give another --corpus"
    )
    assert refused(process) == sentence


TEXTS = {
    "\ufeffanna\nnina": ["anna", "nina"],
    "\ufeff\ufeffanna": ["\ufeffanna"],
    "anna\r\nnina\rinna\n\r\n": ["anna", "nina", "inna"],
    "an\x0bna\nni\x0cna\x1c\n": ["an\x0bna", "ni\x0cna"],
    "an\x85na\nni\u2028na\u2029": ["an\x85na", "ni\u2028na"],
    "\u00a0anna\u3000\n\u2003\nni na\x1f": ["anna", "ni na"],
    "an\u200bna\n\u200b": ["an\u200bna", "\u200b"],
}


@pytest.mark.parametrize("text", TEXTS)
def test_it_reads_a_text_as_the_engines_do(text: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    with path.open("rb") as file:
        documents = [
            d for group in split_documents(decode_chunks(file, "it"), "lines") for d in group
        ]
    assert microgpt.read_docs(path) == documents == TEXTS[text]


@pytest.mark.parametrize("content", [b"an\0na\n", b"an\xffna\n", b"\xed\xa0\x80", b"anna\n\xc3"])
def test_it_refuses_what_the_engines_refuse(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(AnexaError):
        list(decode_chunks(file, "it"))
    assert "cannot use names.txt: " in refused(microgpt_py(tmp_path, "--steps", "1"))


@posix
@pytest.mark.parametrize("arguments", [("--steps", "50"), ("--steps", "1", "--samples", "200")])
def test_a_closed_pipe_ends_it_without_a_word(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "names.txt").write_text("ab\n", encoding="utf-8")
    command = [sys.executable, str(FILE), *arguments]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"docs: 1,")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_output_encoding_without_the_letters_loses_no_sample(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("анна\nнина\n", encoding="utf-8")
    arguments = ("--steps", "3", "--samples", "9")
    processes = [
        run(tmp_path, str(FILE), *arguments, environment={"PYTHONIOENCODING": encoding})
        for encoding in ("utf-8", "cp1252")
    ]
    assert [process.returncode for process in processes] == [0, 0]
    whole, escaped = (process.stdout for process in processes)
    assert escaped == whole.encode("ascii", "backslashreplace").decode()
    assert whole != escaped


def test_a_corpus_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes("José\n".encode("latin-1"))
    assert "cannot use latin1.txt: " in refused(microgpt_py(tmp_path, "--corpus", "latin1.txt"))


def test_a_folder_as_corpus(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "cannot use folder: " in refused(microgpt_py(tmp_path, "--corpus", "folder"))


@pytest.mark.parametrize(
    "arguments", [("--steps", "0"), ("--steps", "-1"), ("--samples", "-1"), ("--steps", "x")]
)
def test_numbers_that_cannot_be_meant(tmp_path: Path, arguments: tuple[str, str]) -> None:
    process = microgpt_py(tmp_path, *arguments)
    assert arguments[0] in refused(process)
    assert process.returncode == 2
