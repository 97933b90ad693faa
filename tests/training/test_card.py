from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from anexa.training import Trainer, build_trainer
from anexa.training.card import model_card
from anexa.training.checkpoint import Evaluation, TrainerState
from anexa.training.opening import open_corpus
from tests.cli.process import anexa
from tests.training.runs import finish, settings, weights_file, write_names


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    folder = tmp_path_factory.mktemp("card")
    corpus = write_names(folder, "my names.txt")  # a name that a shell would cut in two
    # A rate whose every digit counts.
    return finish(build_trainer(settings(corpus, learning_rate=0.0123456789), folder / "m"))


@pytest.fixture(scope="module")
def card(run: Trainer) -> str:
    return (run.folder / "README.md").read_text(encoding="utf-8")


def test_card_header_is_valid_hub_metadata(card: str, run: Trainer) -> None:
    """The YAML has the best loss; a corpus name that the Hub does not allow is left out."""
    hub: Any = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    best = run.state.best_evaluation
    assert best is not None
    data = hub.ModelCard(card).data
    assert data.tags == ["anexa", "microgpt"]
    assert data.license is None, "which is for its owner to choose"
    assert (data.datasets, data.metrics) == (None, ["perplexity"])
    loss, perplexity = data.eval_results
    assert (data.model_name, loss.dataset_name) == ("my names.txt", "my names.txt")
    assert (loss.metric_type, loss.metric_value) == ("loss", round(best.validation_loss, 4))
    assert perplexity.metric_value == pytest.approx(math.exp(best.validation_loss), abs=1e-3)
    history = TrainerState(evaluations=[Evaluation(0, 0.0, None, 3.0)])
    before = model_card(run.model_config, run.config, "firstnames", "", history)
    data = hub.ModelCard(before).data
    assert (data.datasets, data.metrics, data.eval_results) == (["firstnames"], None, None)


def test_card_states_architecture_and_sizes(card: str, run: Trainer) -> None:
    parameters = sum(len(weight.data) for weight in run.engine.weights().values())
    assert f"| parameters | {parameters:,} |" in card
    assert "| architecture | microgpt: 1 layer, 4 heads, width 16 |" in card
    assert "| context | 16 tokens |" in card
    assert f"| vocabulary | {run.tokenizer.vocab_size} tokens |" in card
    assert "library_name: transformers\n" in card.split("---")[1]


def test_card_states_corpus_and_steps(card: str, run: Trainer) -> None:
    corpus = open_corpus(str(run.folder.parent / "my names.txt"), run.config.data.layout)
    assert f"| corpus | my names.txt, SHA-256 `{corpus.sha256}` (not of the file) |" in card
    assert f"| steps | 20 of 1 sequence, {run.state.tokens} tokens |" in card


def test_card_states_optimizer_and_precision(card: str) -> None:
    assert "| tokenizer | characters |" in card
    assert "| optimizer | AdamW; learning rate up to 0.0123457, linear schedule |" in card
    assert "| precision | float32 |" in card


def test_card_lists_the_losses(card: str, run: Trainer) -> None:
    rows = re.findall(r"^\| (\d+) \| \d+ \| ([\d.]*) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert rows == [
        (
            str(e.step),
            "" if e.train_loss is None else f"{e.train_loss:.4f}",
            f"{e.validation_loss:.4f}",
        )
        for e in run.state.evaluations
    ]
    assert [row[0] for row in rows] == [str(step) for step in range(0, 21, 2)]


def test_command_in_the_card_repeats_the_run(card: str, run: Trainer, tmp_path: Path) -> None:
    """Repeated in the folder of the corpus: a card may be published, so it has no folder names."""
    assert str(run.folder.parent) not in card
    write_names(tmp_path, "my names.txt")
    [command] = re.findall(r"^```\n(.*)\n```$", card, re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "anexa"
    result = anexa(*arguments, "--out", "again", "--no-chat", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert weights_file(tmp_path / "again") == weights_file(run.folder)
