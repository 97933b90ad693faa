"""microgpt.py as a program: what it reads, prints and refuses."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import microgpt
from anexa.data.reading import decode_chunks, split_documents
from anexa.errors import AnexaError
from tests.cli.process import posix

FILE = Path(microgpt.__file__).resolve()
ISLANDS = ["samos", "ithaka", "chios", "kos"]


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
    assert lines[0] == f"docs: 4, vocab size: {n_chars + 1}, parameters: {n_params}"

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
