"""Clients by others against a real server; each is a program in `tests/server/clients`.

They need other versions of packages than this project, so they run in an environment of their own,
which `.ci/run` makes. ANEXA_TEST_CLIENTS is its Python. Those for Node.js are in the folder
ANEXA_TEST_NODE.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.thinking.problems import make_problem
from tests.conftest import ROOT
from tests.server.process import ServerProcess, serving

PROGRAMS = sorted((ROOT / "tests/server/clients").glob("*_client.py"))
STRUCTURED = sorted((ROOT / "tests/server/clients").glob("*_structured.py"))
NODE_PROGRAMS = sorted((ROOT / "tests/server/clients").glob("*_client.mjs"))
THOUGHT = make_problem("*", 347, 86).thought  # of the question that the programs ask
ROW = re.compile(r"^\| \[(?P<package>[^]]+)\]\([^)]*\) \| (?P<version>[0-9][^ ]*) \|", re.MULTILINE)


def test_versions_of_the_clients_are_those_that_are_tried() -> None:
    """The table of the docs has the versions that `.ci/run` installs, and every program a row."""
    table = ROW.findall((ROOT / "docs/serve.md").read_text(encoding="utf-8"))
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for package, version in table:
        pinned = rf"(?<![\w@/-]){re.escape(package)}(\[\w+\])?(==|@){re.escape(version)}(?![\w.])"
        assert re.search(pinned, script), f"{package} {version} is not installed by .ci/run"
    modules = {package.replace("-slim", "").replace("-", "_") for package, _ in table}
    assert {path.stem.removesuffix("_client") for path in PROGRAMS} <= modules


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of the environment with the clients."""
    path = os.environ.get("ANEXA_TEST_CLIENTS")
    if not path:
        pytest.skip("the clients need an environment of their own: ANEXA_TEST_CLIENTS is not set")
    return path


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The bundled model under two names, so that a third name is unknown."""
    folder = tmp_path_factory.mktemp("clients")
    for name in ("sums", "second"):
        shutil.copytree(BUNDLED_FOLDER, folder / name)
    with serving("sums", "second", "--engine", "numpy", cwd=folder) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS + STRUCTURED, ids=lambda path: path.stem)
def test_client_by_others(two_models: ServerProcess, python: str, program: Path) -> None:
    module = f"tests.server.clients.{program.stem}"
    environment = dict(os.environ)
    environment.pop("HF_HUB_OFFLINE", None)  # set by other tests; then no server may be called
    result = subprocess.run(
        [python, "-m", module, two_models.address, "sums", THOUGHT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("program", NODE_PROGRAMS, ids=lambda path: path.stem)
def test_client_for_node(two_models: ServerProcess, tmp_path: Path, program: Path) -> None:
    folder = os.environ.get("ANEXA_TEST_NODE")
    if not folder:
        pytest.skip("the clients need Node.js and their packages: ANEXA_TEST_NODE is not set")
    # Node.js looks for packages beside a program, and in the folders above it.
    packages = tmp_path / "node_modules"
    packages.symlink_to(Path(folder) / "node_modules")
    node, copied = packages / ".bin/node", shutil.copy(program, tmp_path)
    result = subprocess.run(
        [node, copied, two_models.address, "sums", THOUGHT],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
