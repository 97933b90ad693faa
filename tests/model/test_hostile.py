"""Thousands of corrupted folders: each loads, or is refused in one sentence, fast and cheaply."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from anexa.model.architectures import get_architecture
from anexa.model.chat_template import MAX_WORK
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.json_file import write_model_json
from tests.model.helpers import small_model
from tests.model.measured import linux
from tests.slowness import is_within

pytestmark = linux
ROOT = Path(__file__).parents[2]
TEMPLATE = (
    "{% for m in messages %}{{ m.content|trim }}{% if not loop.last %}, {% endif %}{% endfor %}"
)


def run(*arguments: object) -> list[str]:
    """Run a program that must end, and return the lines that it printed."""
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    said = process.stdout.splitlines()
    assert process.returncode == 0, "\n".join([*said[-30:], process.stderr[-2000:]])
    return said


def spoil(
    folder: Path, place: Path, seed: int, count: int, work: int = MAX_WORK
) -> tuple[int, int, int]:
    """How many files were spoilt, how many of those models still worked, and how many different
    sentences the others were refused with."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    *_, last = run("-m", "tests.model.hostile", place, seed, count, work)
    files, works, sentences, seconds, _ = json.loads(last)
    assert is_within(seconds, 2)
    return files, works, sentences


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model folder with a chat template."""
    folder = tmp_path_factory.mktemp("hostile") / "ours"
    create_folder(folder, replace(small_model("microgpt"), chat_template=TEMPLATE), "")
    return folder


def test_malicious_files_load_or_are_refused(ours: Path, tmp_path: Path) -> None:
    files, works, sentences = spoil(ours, tmp_path / "model", 0, 100, work=2**14)
    assert files > 300
    assert works > 20
    assert sentences > 50


@pytest.mark.slow
def test_ten_thousand_corrupted_files_load_or_are_refused(ours: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.model.foreign import GPT2, LLAMA3, TEMPLATES, change, write_folder

    write_folder(tmp_path / "llama", dtype="bfloat16", shards="5KB")
    (tmp_path / "llama" / "chat_template.jinja").write_text(TEMPLATES["with-bos"])
    write_folder(tmp_path / "llama3", **LLAMA3)
    for name, settings in (("gpt2", GPT2), ("gpt2-bare", GPT2 | {"bare": True})):
        write_folder(tmp_path / name, **settings, dtype="float16")
        change(tmp_path / name / "tokenizer_config.json", chat_template=TEMPLATES["without-bos"])
    folders = [ours, *(tmp_path / name for name in ("llama", "llama3", "gpt2", "gpt2-bare"))]
    total: Counter[str] = Counter()
    for folder in folders:
        for seed in range(5):
            files, works, sentences = spoil(folder, tmp_path / "model", seed, 400)
            total += Counter(files=files, works=works, sentences=sentences)
    assert total["files"] > 10_000
    assert total["works"] > 2_000, total
    assert total["sentences"] > 1_000, total


@pytest.mark.slow
def test_corrupted_json_files_load_or_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    model = replace(small_model("llama"), chat_template=TEMPLATE)
    write_model_json(folder / "model.json", model, "# A card\n")
    files, works, sentences = spoil(folder, tmp_path / "model", 1, 2000)
    assert files == 2000
    assert works > 100
    assert sentences > 100


READ = """
import sys, time
from pathlib import Path
from anexa.model.folder import ModelFolder
from anexa.model.folder import ModelFolder
from tests.model.measured import mebibytes
import numpy, safetensors
before, began = mebibytes("VmHWM"), time.process_time()
ModelFolder(Path(sys.argv[1])).read_weights()
print(mebibytes("VmHWM") - before, time.process_time() - began)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_large_folder_is_read_fast_and_in_little_memory(tmp_path: Path, kind: str) -> None:
    """Limit: all weights in float32, and one array twice more; the embedding table is a fifth."""
    config = ModelConfig("gpt2", 16_384, 1024, 512, 8, 12)
    architecture, rng = get_architecture(config), np.random.default_rng(0)
    (tmp_path / "config.json").write_text(json.dumps(architecture.to_json(config)))
    parameters = architecture.parameters(config)
    arrays: dict[str, Any] = {
        name: rng.standard_normal(p.shape, np.float32) for name, p in parameters.items()
    }
    numbers = sum(prod(p.shape) for p in parameters.values())
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays))
    if kind == "bfloat16":
        pytest.importorskip("torch")
        import torch
        from safetensors.torch import save

        halves = {name: torch.from_numpy(a).to(torch.bfloat16) for name, a in arrays.items()}
        path.write_bytes(save(halves))
    [line] = run("-c", READ, tmp_path)
    memory, seconds = map(float, line.split())
    assert memory < 1.5 * 4 * numbers / 2**20
    assert is_within(seconds, 3)
