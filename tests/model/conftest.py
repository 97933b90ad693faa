from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def modules_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the copy that transformers makes of a folder's code out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        place = str(tmp_path_factory.mktemp("modules"))
        for module in ("utils", "dynamic_module_utils"):
            patch.setattr(f"transformers.{module}.HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield
