"""Memory usage of this process, on Linux."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")

linux = pytest.mark.skipif(not STATUS.exists(), reason="memory is measured by Linux")


def mebibytes(field: str) -> int:
    """A figure of this process: "VmHWM" is the most memory that it has had, "VmSize" is what it
    could reach.

    `resource.getrusage` would include what the process that started this one has had.
    """
    found = re.search(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found
    return int(found[1]) // 1024
