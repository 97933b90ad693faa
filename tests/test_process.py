"""Output that nobody can read is discarded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import environment, posix

# Writes to standard output after `discard_lost_output`, when the test has answered.
WRITER = """
import os, sys
from anexa.process import discard_lost_output
sys.stdin.readline()
discard_lost_output()
try:
    os.write(1, b"text")
except BrokenPipeError:
    os.write(2, b"broken")
else:
    os.write(2, b"written")
"""


# Closes the files whose numbers are its arguments, and writes to them after that.
CLOSER = """
import os, sys
from anexa.process import discard_lost_output
numbers = [int(number) for number in sys.argv[1:]]
for number in numbers:
    os.close(number)
discard_lost_output()
for number in numbers:
    os.write(number, b"text")
"""


@posix
@pytest.mark.parametrize("numbers", [["1"], ["2"], ["1", "2"]])
def test_output_to_a_closed_file_is_discarded(numbers: list[str], tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", CLOSER, *numbers],
        capture_output=True,
        cwd=tmp_path,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


@posix
@pytest.mark.parametrize("has_reader", [False, True])
def test_output_to_a_pipe_without_a_reader_is_discarded(has_reader: bool, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        os.close(writer)
        if not has_reader:
            os.close(reader)
        _, said = process.communicate(b"\n", timeout=60)
    assert said == b"written"
    if has_reader:
        assert os.read(reader, 10) == b"text"
        os.close(reader)
