"""What every test of data has."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, so that no test sees what the machine has."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("ANEXA_CACHE", str(folder))
    return folder
