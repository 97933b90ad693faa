from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.process import anexa
from tests.explore.explorer import Explorer, exploring


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """The course with the model that its page trains, after a few steps, and the bundled one."""
    folder = tmp_path_factory.mktemp("course")
    options = ("--preset", "microgpt", "--engine", "numpy", "--steps", "5", "--no-chat")
    trained = anexa("train", "firstnames", *options, "--out", "names", cwd=folder)
    assert trained.returncode == 0, trained.stderr
    with exploring("--model", "names", cwd=folder, command="learn") as running:
        yield running
