"""Suppression of the warnings and progress bars of the library `huggingface_hub`, not of errors."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Context manager in which `huggingface_hub` logs errors only, such as no retries.

    Its progress bars are off, too, unless the standard error is a terminal. Afterwards both are as
    they were.
    """
    logger = logging.getLogger("huggingface_hub")
    level, had_bars = logger.level, not are_progress_bars_disabled()
    hides_bars = had_bars and not sys.stderr.isatty()
    logger.setLevel(logging.ERROR)
    if hides_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if hides_bars:
            enable_progress_bars()
