from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.process import Running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bundled model, served."""
    from tests.server.process import serving

    with serving(cwd=tmp_path_factory.mktemp("server")) as running:
        yield running
