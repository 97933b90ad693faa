"""`anexa graph FOLDER --program`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from anexa.engines.program.describe import (
    ProgramDescription,
    describe_inference,
    describe_training_step,
)
from anexa.engines.verification import example_model_and_batch
from anexa.errors import AnexaError, UsageError
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig
from tests.graph.test_command import run

Describe: TypeAlias = Callable[[ModelConfig, str], ProgramDescription]
DESCRIPTIONS = describe_inference, describe_training_step


@pytest.fixture
def folder(tmp_path: Path) -> str:
    config = example_model_and_batch("llama")[0]
    (tmp_path / "config.json").write_text(json.dumps(get_architecture(config).to_json(config)))
    return str(tmp_path)


def section(text: str, title: str) -> list[str]:
    """The lines of code in a section."""
    (found,) = re.findall(
        rf"^## [^\n]*{title}[^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    return [line[4:] for line in found.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize("describe", DESCRIPTIONS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_counts_are_those_of_the_lines_below(name: str, describe: Describe) -> None:
    text = describe(example_model_and_batch(name)[0], "float32").text
    for title, count in re.findall(r"^## \d\. (\w[\w ]*): (\d+) instructions", text, re.MULTILINE):
        lines = [line for line in section(text, title) if not line.startswith("return ")]
        if title != "Fusion":
            assert len(lines) == int(count)


@pytest.mark.parametrize("describe", DESCRIPTIONS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_source_is_python_and_calls_the_kernels_listed(name: str, describe: Describe) -> None:
    description = describe(example_model_and_batch(name)[0], "float64")
    step = "\n".join(section(description.text, "Source"))
    assert step.startswith("def step(frame):")
    for source in (step, *description.kernels.values()):
        compile(source, "source", "exec")
    called = set(re.findall(r"^    (\w+)\(", step, re.MULTILINE))
    hoisted = {name for name in description.kernels if name.startswith(("pack", "copy"))}
    assert called | hoisted == {*description.kernels}
    listed = [line.split()[0] for line in section(description.text, "Kernels")]
    assert listed == [*description.kernels]


def test_fused_program_is_smaller_and_hoisted_work_is_not_repeated() -> None:
    text = describe_inference(example_model_and_batch("llama")[0], "float32").text
    traced, each_call = section(text, "Trace"), section(text, "Each call")
    assert len(each_call) < len(traced)
    assert any(" pack(" in line for line in traced)
    assert not any(" pack(" in line for line in each_call)
    assert [line[0] for line in each_call if " product(" in line][-1] == "*"
    assert each_call[-1].startswith("return %")


def test_program_is_printed(folder: str, tmp_path: Path) -> None:
    text = run(folder, "--program")
    assert text == describe_inference(example_model_and_batch("llama")[0], "float32").text
    out = tmp_path / "step.md"
    run(folder, "--program", "--training", "--out", str(out))
    assert "adamw(weights, gradients" in out.read_text("utf-8")


def test_source_of_a_kernel_is_printed(folder: str) -> None:
    assert "def swiglu(" in run(folder, "--program", "--kernel", "swiglu")
    with pytest.raises(UsageError, match=r"no kernel 'adamw': choose one of .*swiglu"):
        run(folder, "--program", "--kernel", "adamw")
    assert "def adamw(" in run(folder, "--program", "--training", "--kernel", "adamw")


def test_program_has_no_other_format(folder: str) -> None:
    with pytest.raises(UsageError, match="leave --format svg out"):
        run(folder, "--program", "--format", "svg")
    with pytest.raises(UsageError, match=r"a model folder, and 'a\*b' is none"):
        run("a*b", "a=1", "b=2", "--program")
    with pytest.raises(UsageError, match="no variables: leave a=1 out"):
        run(folder, "a=1", "--program")
    for option in (["--training"], ["--kernel", "relu"]):
        with pytest.raises(UsageError, match=f"{option[0]} is an option of --program"):
            run(folder, *option)
    (Path(folder) / "config.json").write_text("{}")
    with pytest.raises(AnexaError):
        run(folder, "--program")


def test_program_is_printed_without_numba() -> None:
    code = (
        "import sys\n"
        "sys.modules['numba'] = sys.modules['llvmlite'] = None\n"
        "from anexa.engines.program.describe import describe_inference\n"
        "from anexa.engines.verification import example_model_and_batch\n"
        "print(describe_inference(example_model_and_batch('gpt2')[0], 'float32').text[-1500:])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "32 bytes, assumed, as llvmlite, which knows, is not" in found.stdout.replace("\n", " ")
