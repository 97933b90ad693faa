"""What the server says of itself, at /openapi.json, is true: schemathesis tries to find out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.process import Running

pytest.importorskip("schemathesis", reason="schemathesis is not installed")


@pytest.mark.slow
def test_it_is_as_the_schema_says(server: Running, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program
    result = subprocess.run(
        [
            program,
            "run",
            f"{server.address}/openapi.json",
            "--checks=all",
            # A model knows some characters only: not every text that is one can be read.
            "--exclude-checks=positive_data_acceptance",
            "--max-examples=30",
            "--seed=1",
            "--workers=1",  # threads that parse Python at a time fail in CPython 3.11
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
