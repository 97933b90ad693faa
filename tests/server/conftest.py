from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

# Without the server's libraries, and a client's, there is nothing to test here.
if not all(map(find_spec, ("fastapi", "uvicorn", "prometheus_client", "httpx2"))):
    collect_ignore_glob = ["test_*.py"]

if TYPE_CHECKING:
    from tests.server.process import Running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bundled model, served."""
    from tests.server.process import serving

    with serving(cwd=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")  # no longer: Playwright holds this thread's event loop
def browser() -> Iterator[Any]:
    """Chromium."""
    from tests.server.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """The page of the bundled model."""
    from tests.server.browser import opened

    with opened(browser, server.address) as page:
        page.get_by_text("Ask for a sum").wait_for()
        yield page
