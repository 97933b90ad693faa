"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.runs import write_names


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A corpus of names."""
    return write_names(tmp_path)
