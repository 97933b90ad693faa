from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained chat model of arithmetic."""
    from anexa.training import build_trainer
    from tests.training.runs import sums

    return build_trainer(sums(), tmp_path_factory.mktemp("chat") / "model").folder


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    """The tokenizer of transformers, of the model in `folder`."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def temporary_module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let transformers copy the code of model folders to a temporary folder, not to its cache."""
    with pytest.MonkeyPatch.context() as patch:
        place = str(tmp_path_factory.mktemp("modules"))
        for module in ("utils", "dynamic_module_utils"):
            patch.setattr(f"transformers.{module}.HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield
