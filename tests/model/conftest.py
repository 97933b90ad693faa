from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def temporary_module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let transformers copy the code of model folders to a temporary folder, not to its cache."""
    with pytest.MonkeyPatch.context() as patch:
        place = str(tmp_path_factory.mktemp("modules"))
        for module in ("utils", "dynamic_module_utils"):
            patch.setattr(f"transformers.{module}.HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield
