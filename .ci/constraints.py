"""Renew constraints.txt: the newest versions that pyproject.toml allows, on every Python.

    python .ci/constraints.py

pip resolves `.[all,dev]`, and installs nothing. It does so with each Python of PYTHONS, as versions
differ: all of them must be there, on the PATH or among pyenv's. PyTorch is resolved once, with the
running Python, since builds of it for GPUs bring gigabytes along.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
HEADER = """\
# Versions with which everything was tested: the README's commands install these.
# Written by `python .ci/constraints.py`; pyproject.toml has the ranges that are allowed.
"""


def main() -> None:
    """Resolve, and write the file."""
    pythons = {version: interpreter(version) for version in PYTHONS}
    missing = ", ".join(version for version, path in pythons.items() if not path)
    if missing:
        sys.exit(f"error: install Python {missing}, so that its versions are known too")
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    report = resolve(sys.executable, [".[all,dev]"])
    found = {running: versions(report)}
    others = [".[hub,plot,structured,fast,data,dev]", *requirements_of("torch", report)]
    for version, path in pythons.items():
        if version != running:
            found[version] = versions(resolve(str(path), others))
    names = sorted({name for packages in found.values() for name in packages})
    lines = [line for name in names for line in constraints(name, found)]
    FILE.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{FILE.name}: {len(names)} packages")


def interpreter(version: str) -> str | None:
    """Find a Python of a version such as 3.12 that works."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]
    for path in map(str, filter(None, [sys.executable, *candidates])):
        program = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
        result = subprocess.run([path, "-c", program], capture_output=True, encoding="utf-8")
        if result.stdout.strip() == version:
            return path
    return None


def resolve(python: str, requirements: Sequence[str]) -> list[Any]:
    """Have pip choose packages, without what is installed, and return its report's list of them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        command = [python, "-m", "pip", "install", *options, *requirements]
        subprocess.run(command, cwd=ROOT, check=True)
        packages: list[Any] = json.loads(report.read_text(encoding="utf-8"))["install"]
    return packages


def versions(packages: Sequence[Any]) -> dict[str, str]:
    """The version of each package by its normalized name, without a build such as +cpu."""
    found = {}
    for package in packages:
        name = normalized(package["metadata"]["name"])
        if name != "anexa":
            found[name] = package["metadata"]["version"].partition("+")[0]
    return found


def normalized(name: str) -> str:
    """Write a package's name as the index does: huggingface-hub, not huggingface_hub."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(name: str, packages: Sequence[Any]) -> list[str]:
    """List the requirements of a package in pip's report, except for extras and platforms."""
    [package] = [package for package in packages if package["metadata"]["name"] == name]
    return [
        requirement
        for requirement in package["metadata"]["requires_dist"]
        if not re.search("extra|platform", requirement)
    ]


def constraints(name: str, found: dict[str, dict[str, str]]) -> Iterator[str]:
    """Lines for a package: one, or one for each version, with the Pythons that it is for."""
    pythons = [python for python in PYTHONS if name in found[python]]
    chosen = {found[python][name] for python in pythons}
    for version in sorted(chosen, key=lambda v: [found[p][name] for p in pythons].index(v)):
        its = [python for python in pythons if found[python][name] == version]
        marks = " or ".join(f'python_version == "{python}"' for python in its)
        if PYTHONS[-1] in its and its == pythons[-len(its) :]:  # and later ones
            marks = f'python_version >= "{its[0]}"'
        yield f"{name}=={version}" + (f"; {marks}" if len(chosen) > 1 else "")


if __name__ == "__main__":
    main()
