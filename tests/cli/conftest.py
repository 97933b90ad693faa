"""Models for the tests of the commands; no test may write into them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anexa.training import build_trainer
from tests.training.runs import finish, settings, write_names

TEXT = "the cat sat on the mat, and the rat sat on the cat. " * 20


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model of running text, whose texts have no end."""
    folder = tmp_path_factory.mktemp("text")
    corpus = folder / "text.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    return finish(build_trainer(settings(corpus, steps=300), folder / "model")).folder


@pytest.fixture
def place(names_model: Path, tmp_path: Path) -> Path:
    """Folder with a corpus, names.txt, and a model."""
    write_names(tmp_path)
    shutil.copytree(names_model, tmp_path / "model")
    return tmp_path
