from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.server.process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The bundled model, served."""
    from tests.server.process import serving

    with serving(cwd=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def base(names_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A base model, served."""
    from tests.server.process import serving

    with serving(names_model, cwd=tmp_path_factory.mktemp("base")) as running:
        yield running


@pytest.fixture
def page(browser: Any, server: ServerProcess) -> Iterator[Any]:
    """The page of the bundled model."""
    from tests.server.browser import opened

    with opened(browser, server.address) as page:
        page.get_by_text("Ask for a calculation").wait_for()
        yield page


@pytest.fixture
def lives(server: ServerProcess) -> Iterator[None]:
    """Check after each test that the server still responds."""
    yield
    assert server.get("/health").status_code == 200
    assert server.process.poll() is None
