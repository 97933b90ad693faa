"""The description at /openapi.json is true."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anexa.generation.language_model import BUNDLED_FOLDER
from tests.server.process import ServerProcess, serving


def test_every_response_has_a_schema(server: ServerProcess) -> None:
    api = server.get("/openapi.json").json()
    for methods in api["paths"].values():
        for about in methods.values():
            for answer in about["responses"].values():
                assert all(content["schema"] for content in answer["content"].values())


def test_examples_of_the_schema_are_accepted(server: ServerProcess) -> None:
    api = server.get("/openapi.json").json()
    tried = 0
    for path, methods in api["paths"].items():
        if "post" in methods:
            asked = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            for example in api["components"]["schemas"][asked["$ref"].split("/")[-1]]["examples"]:
                assert server.post(path, example).status_code == 200
                tried += 1
    assert tried == 18


@pytest.fixture
def short_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """The bundled model with a short context, so that thousands of answers take seconds."""
    folder = tmp_path / "short"
    shutil.copytree(BUNDLED_FOLDER, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["max_position_embeddings"] = 64
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with serving(folder, cwd=tmp_path) as running:
        yield running


@pytest.mark.slow
def test_schemathesis_finds_no_deviation_from_the_schema(
    short_server: ServerProcess, tmp_path: Path
) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program
    # By default, status 413 does not count as a refusal of a body that violates the schema.
    settings = '[checks]\nnegative_data_rejection.expected-statuses = ["4xx"]\n'
    (tmp_path / "schemathesis.toml").write_text(settings, encoding="utf-8")
    result = subprocess.run(
        [
            program,
            "run",
            f"{short_server.address}/openapi.json",
            "--checks=all",
            # Models know some characters only, so that not every string is a valid prompt.
            "--exclude-checks=positive_data_acceptance",
            "--max-examples=30",
            "--seed=1",
            "--workers=1",  # concurrent parsing of Python code fails in CPython 3.11
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=1200,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
