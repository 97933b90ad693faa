"""Try the newest versions of other packages with the tests that touch them, and say what breaks.

    python .ci/newest.py              # in an environment with the versions of constraints.txt

pip chooses the newest versions that pyproject.toml allows. Those that differ from what is installed
go into a virtual environment, which takes all others from the running one. The exit status is 1 if
a test fails there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from constraints import ROOT, normalized, resolve, versions

# What is tried together: packages, and the tests that touch them.
GROUPS = {
    ("transformers", "tokenizers", "safetensors", "jinja2"): (
        "tests/model/test_transformers.py",
        "tests/model/test_modeling_microgpt.py",
        "tests/model/test_tokenizer.py",
    ),
    ("fastapi", "starlette", "pydantic", "uvicorn", "prometheus-client", "openai", "httpx2"): (
        "tests/server/test_openai.py",
        "tests/server/test_protection.py",
        "tests/server/test_bad_input.py",
    ),
    ("huggingface-hub", "gguf"): (
        "tests/hub/test_published_files.py",
        "tests/hub/test_card.py",
        "tests/hub/test_gguf.py",
        "tests/hub/test_gguf_refusals.py",
        "tests/cli/publish",
    ),
    ("typer", "rich", "prompt-toolkit", "pooch"): (
        "tests/cli/test_commands.py",
        "tests/cli/test_terminal.py",
        "tests/data/test_download.py",
    ),
    ("numpy", "matplotlib", "tensorboardx"): (
        "tests/engines/test_operations.py",
        "tests/engines/test_operation_values.py",
        "tests/training/test_loss_plot.py",
        "tests/training/test_tensorboard.py",
    ),
}
OPTIONS = ["-q", "--no-header", "--disable-warnings", "-p", "no:cacheprovider", "-rfE"]


def main() -> None:
    """Resolve, install, run the tests, and report."""
    newest = versions(resolve(sys.executable, [".[all,dev]"]))
    installed: dict[str, str] = {}
    for found in distributions():  # the first of a name is the one that is imported
        installed.setdefault(normalized(found.name), found.version.partition("+")[0])
    newer = {name: version for name, version in newest.items() if installed.get(name) != version}
    if not newer:
        print("newest versions: they are those of constraints.txt")
        return
    for name, version in sorted(newer.items()):
        print(f"newest versions: {name} {version} (tested: {installed.get(name, 'none')})")
    with tempfile.TemporaryDirectory() as folder:
        requirements = [f"{name}=={version}" for name, version in newer.items()]
        python = environment(Path(folder), requirements)
        working = [works(python, names, tests, newest) for names, tests in GROUPS.items()]
    sys.exit(0 if all(working) else 1)


def environment(folder: Path, requirements: Sequence[str]) -> str:
    """Make a virtual environment with these packages and all others of the running Python."""
    venv.create(folder, with_pip=True)
    windows = sys.platform == "win32"
    python = str(folder / ("Scripts/python.exe" if windows else "bin/python"))
    site = folder / ("Lib" if windows else f"lib/python{sysconfig.get_python_version()}")
    others = [path for path in sys.path[1:] if not path.startswith(sys.base_prefix)]
    (site / "site-packages" / "others.pth").write_text("\n".join(others), encoding="utf-8")
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", *requirements]
    subprocess.run(command, check=True)
    return python


def works(python: str, names: Sequence[str], tests: Sequence[str], newest: dict[str, str]) -> bool:
    """Run tests, and say in a line whether they pass, or in some more which of them fail."""
    began = time.monotonic()
    command = [python, "-m", "pytest", *OPTIONS, *tests]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    packages = ", ".join(f"{name} {newest[name]}" for name in names)
    verdict = "works" if result.returncode == 0 else "BROKEN"
    print(f"newest versions: {verdict} with {packages} ({time.monotonic() - began:.0f} s)")
    if result.returncode:
        summary = re.findall(r"^(?:FAILED|ERROR) tests/.*", result.stdout, re.MULTILINE)
        for line in summary or [*result.stdout.splitlines()[-20:], result.stderr[-2000:]]:
            print(f"    {line}")
    return result.returncode == 0


if __name__ == "__main__":
    main()
