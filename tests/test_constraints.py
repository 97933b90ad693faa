"""constraints.txt pins one allowed version of every package."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conftest import ROOT

requirements: Any = pytest.importorskip("packaging.requirements")
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def allowed() -> list[Any]:
    """List the requirements in pyproject.toml, extras included."""
    tomllib = pytest.importorskip("tomllib", reason="it came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = sum(project["optional-dependencies"].values(), project["dependencies"])
    found = map(requirements.Requirement, texts)
    return [requirement for requirement in found if requirement.name != "anexa"]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_package_has_one_version_that_is_allowed(python: str) -> None:
    """On every Python; where a package is not needed on one, it does no harm."""
    pinned: dict[str, str] = {}
    for line in LINES:
        if not line.startswith("#"):
            constraint = requirements.Requirement(line)
            environment = {"python_version": python, "extra": ""}
            if constraint.marker is None or constraint.marker.evaluate(environment):
                [specifier] = constraint.specifier
                assert constraint.name not in pinned
                assert specifier.operator == "=="
                pinned[constraint.name] = specifier.version
    for requirement in allowed():
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(pinned[name]), name


def test_constraints_have_no_files_or_urls() -> None:
    """Lines have neither files nor URLs: the user chooses the package index."""
    for line in LINES:
        assert line.startswith("#") or re.fullmatch(r'[a-z0-9-]+==[\w.]+(; [\w "=>.]+)?', line)


def test_the_commands_of_the_readme_use_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("start", "tests"):
        [command] = re.findall(rf"^<!-- {name} -->\n```sh\n(.*)\n```", readme, re.MULTILINE)
        assert "/pip install -c constraints.txt '" in command
