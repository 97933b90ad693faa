"""The commands of docs/interoperate.md that are marked to be run, in order, as a user would."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.process import ANEXA, anexa, environment
from tests.pages import TEXT, read_page, run_blocks

PAGE = read_page("interoperate.md")
TRAIN = "train sherlock.txt --steps 3 --out models/sherlock --no-chat"


@pytest.mark.slow
def test_every_command_works(tmp_path: Path) -> None:
    for module in ("transformers", "torch", "gguf", "huggingface_hub"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    from tests.model.foreign import GPT2, write_folder

    write_folder(tmp_path / "models" / "theirs", **GPT2)
    (tmp_path / "sherlock.txt").write_text(TEXT, encoding="utf-8")
    commands = [[*ANEXA, *TRAIN.split()]]
    for language, text in run_blocks(PAGE):
        if language == "py":
            commands.append([sys.executable, "-c", text])
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "anexa"
                commands.append([*ANEXA, *arguments])
    for command in commands:
        result = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8"
        )
        assert result.returncode == 0, (command, result.stderr)
        assert result.stdout, command
    written = {"anexa.gguf", "sherlock.gguf", "anexa.json", "theirs.json", "models"}
    assert written <= {path.name for path in tmp_path.iterdir()}


def test_each_direction_has_a_command() -> None:
    text = "".join(text for _, text in run_blocks(PAGE))
    out_of = ("from_pretrained", "--to gguf", "--to json", "anexa publish")
    into = ("generate models/theirs", "--tokenizer models/theirs", "--to folder")
    for part in (*out_of, *into):
        assert part in text


def test_sizes_of_gguf_files_are_those_of_the_table(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed")
    sizes = re.findall(r"^\| `(f32|f16|q8_0)`.*? \| ([\d,]+) \|", PAGE, flags=re.M)
    assert len(sizes) == 3
    for precision, size in sizes:
        file = tmp_path / f"{precision}.gguf"
        result = anexa(
            "export", "--to", "gguf", "--precision", precision, "--out", file, cwd=tmp_path
        )
        assert f"({size} bytes)" in result.stdout
        assert f"{file.stat().st_size:,}" == size


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_onnx_program_writes_the_same_function(model_type: str, tmp_path: Path) -> None:
    """The program of the page, and then other texts of other lengths than it was exported with."""
    for module in ("transformers", "torch", "onnx", "onnxscript"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from anexa.engines import open_engine
    from anexa.model.folder import create_folder
    from tests.model.helpers import small_model

    model = small_model(model_type)
    create_folder(tmp_path / "models" / "sherlock", model, "")
    [program] = re.findall(r"^```py\n(import onnxruntime\n.*?)^```", PAGE, flags=re.M | re.S)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    [difference] = re.findall(r"^tensor\((\S+?)[,)]", result.stdout, flags=re.M)
    assert float(difference) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "sherlock.onnx")
    engine = open_engine("numpy", model.config, model.weights)
    for tokens in ([3, 1], [5, 2, 6, 1, 4, 3, 2]):
        [logits] = session.run(None, {"input_ids": np.array([tokens], np.int64)})
        assert np.allclose(logits[0], engine.logits(tokens), rtol=1e-4, atol=1e-4)
