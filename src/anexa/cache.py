"""The cache folder: what can be downloaded, or computed, again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "ANEXA_CACHE"  # environment variable with the folder of the user's choice


def cache_folder() -> Path:
    """Return the cache folder: `$ANEXA_CACHE`, or else the user's cache directory."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("anexa")).absolute()
