from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anexa.generation.language_model import BUNDLED_FOLDER

if TYPE_CHECKING:
    from anexa.explore.session import Session
    from tests.explore.explorer import Explorer


@pytest.fixture(scope="session")
def explorer(names_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """A names run of 300 steps and the bundled model, opened: folders 0 and 1."""
    from tests.explore.explorer import exploring

    with exploring(names_model, BUNDLED_FOLDER, cwd=tmp_path_factory.mktemp("explore")) as running:
        yield running


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The runs of `tests/explore/scenes.py`, opened without a server."""
    from tests.explore.scenes import open_runs

    return open_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def explore_page(browser: Any, explorer: Explorer) -> Iterator[Any]:
    """The page at the map of the names run."""
    from tests.server.browser import opened

    with opened(browser, explorer.start) as page:
        page.locator("#view > .view").wait_for()
        yield page
