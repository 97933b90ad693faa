"""Fixtures of the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import write_names


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Corpus of names."""
    return write_names(tmp_path)
