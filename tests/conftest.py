"""What several tests need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def stored_corpora() -> Path:
    """A folder with names.txt, tinyshakespeare.txt and sherlock.txt; skips where there is none.

    Set ANEXA_TEST_CORPORA to yours.
    """
    folder = Path(os.environ.get("ANEXA_TEST_CORPORA", ROOT.parent / "shared" / "data"))
    if not (folder / "names.txt").exists():
        pytest.skip(f"the public corpora are not in {folder}")
    return folder
