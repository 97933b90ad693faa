"""What the server says of itself, at /openapi.json, is true: schemathesis tries to find out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.process import Running


def test_every_answer_is_described(server: Running) -> None:
    api = server.get("/openapi.json").json()
    for methods in api["paths"].values():
        for about in methods.values():
            for answer in about["responses"].values():
                assert all(content["schema"] for content in answer["content"].values())


def test_the_examples_are_answered(server: Running) -> None:
    api = server.get("/openapi.json").json()
    tried = 0
    for path, methods in api["paths"].items():
        if "post" in methods:
            asked = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            for example in api["components"]["schemas"][asked["$ref"].split("/")[-1]]["examples"]:
                assert server.post(path, example).status_code == 200
                tried += 1
    assert tried == 6


@pytest.mark.slow
def test_it_is_as_the_schema_says(server: Running, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
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
