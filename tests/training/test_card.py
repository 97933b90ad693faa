from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from anexa.training import Run
from anexa.training.corpus import open_corpus
from tests.cli.process import anexa
from tests.training.runs import finish, settings, weights_file, write_names


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("card")
    corpus = write_names(folder, "my names.txt")  # a name that a shell would cut in two
    # A rate whose every digit counts.
    return finish(Run.start(settings(corpus, learning_rate=0.0123456789), folder / "m"))


@pytest.fixture(scope="module")
def card(run: Run) -> str:
    return (run.folder / "README.md").read_text(encoding="utf-8")


def test_it_states_what_the_model_is(card: str, run: Run) -> None:
    parameters = sum(len(weight.data) for weight in run.engine.weights().values())
    assert f"| parameters | {parameters:,} |" in card
    assert "| architecture | microgpt: 1 layers, 4 heads, width 16 |" in card
    assert "| context | 16 tokens |" in card
    assert f"| vocabulary | {run.tokenizer.vocab_size} symbols |" in card
    assert "library_name: anexa\n" in card.split("---")[1]  # transformers knows no microgpt


def test_it_states_the_corpus_and_the_steps(card: str, run: Run) -> None:
    corpus = open_corpus(str(run.folder.parent / "my names.txt"), run.settings.layout)
    assert f"| corpus | my names.txt, fingerprint `{corpus.sha256}` |" in card
    assert f"| steps | 20 of 1 rows, {run.history.tokens} tokens |" in card


def test_it_states_how_it_was_trained(card: str) -> None:
    assert "| tokenizer | a symbol for each character |" in card
    assert "| optimizer | AdamW; learning rate up to 0.0123457, linear schedule |" in card
    assert "| precision | float32 |" in card


def test_it_states_the_losses(card: str, run: Run) -> None:
    rows = re.findall(r"^\| (\d+) \| \d+ \| ([\d.]*) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert rows == [
        (
            str(e.step),
            "" if e.train_loss is None else f"{e.train_loss:.4f}",
            f"{e.validation_loss:.4f}",
        )
        for e in run.history.evaluations
    ]
    assert [row[0] for row in rows] == [str(step) for step in range(0, 21, 2)]


def test_its_command_repeats_the_run(card: str, run: Run, tmp_path: Path) -> None:
    [command] = re.findall(r"^```\n(.*)\n```$", card, re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "anexa"
    result = anexa(*arguments, "--out", "again", "--no-chat", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert weights_file(tmp_path / "again") == weights_file(run.folder)
