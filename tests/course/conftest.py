from __future__ import annotations

from tests.explore.conftest import explorer

__all__ = ["explorer"]
