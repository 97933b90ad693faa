"""Fixtures of the data tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache folder, so that no test depends on the user's cache."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("ANEXA_CACHE", str(folder))
    return folder
