"""The Bazel targets, run by Bazel itself, with no network where it needs none (before Bazel 7)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "127.0.0.1:9")


def run(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    process = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, encoding="utf-8"
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bazel") is None, reason="bazel is not installed")
def test_bazel_tests_and_trains(tmp_path: Path) -> None:
    version = re.match(r"bazel (\d+)", run("bazel", "--version"))
    network = {} if version and int(version[1]) >= 7 else OFFLINE

    def bazel(command: str, *arguments: str, cwd: Path = ROOT) -> str:
        options = ("--batch", "--nohome_rc", f"--output_user_root={tmp_path / 'bazel'}")
        no_links = "--symlink_prefix=/"
        return run("bazel", *options, command, no_links, *arguments, cwd=cwd, **network)

    assert re.search(r"^//:stdlib_test +PASSED", bazel("test", "//..."), flags=re.MULTILINE)

    # From a folder below, so that a path of the user's means what it says.
    options = ("--corpus", "../LICENSE", "--steps", "2", "--samples", "2")
    written = bazel("run", "//:microgpt", "--", *options, cwd=ROOT / "tests")
    assert "| loss " in written
    plain = run(sys.executable, str(ROOT / "microgpt.py"), *options, cwd=ROOT / "tests")
    assert written == plain
