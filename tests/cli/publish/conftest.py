"""A Hub on this machine, and a folder with a model to publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anexa.model.folder import create_folder
from tests.cli.publish.publishing import CARD
from tests.hub.models import MARKED
from tests.hub.models import model as small
from tests.hub.server import Hub, playing


@pytest.fixture
def hub() -> Iterator[Hub]:
    with playing() as hub:
        yield hub


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with a model, and with files that must not be published."""
    create_folder(tmp_path / "letters", small({"model_type": "llama"}, MARKED), CARD)
    for name in (".env", "notes.txt", "secret.json", "model.safetensors.bak", "train.py"):
        (tmp_path / "letters" / name).write_text("hf_secret")
    (tmp_path / "letters" / "training").mkdir()
    (tmp_path / "letters" / "training" / "state.safetensors.old").write_text("moments")
    return tmp_path
