from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

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
