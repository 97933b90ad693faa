"""Compilation in the background."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from anexa.model.config import ModelConfig

if not find_spec("numba"):
    pytest.skip("needs Numba", allow_module_level=True)

from anexa.engines import NUMBA_MAX_PARAMETERS, generation_engine
from anexa.engines.program import background, code_cache
from anexa.engines.program.background import COMPILE_TIMEOUT, compile_in_background, is_compiled

CONFIG = ModelConfig("microgpt", 11, 8, 4, 1, 1)
USE = """
import random, sys, warnings
warnings.simplefilter("error")  # nothing is compiled any more
from anexa.engines.numba import NumbaEngine
from anexa.engines.optimizers import OptimizerConfig
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights
config = ModelConfig("microgpt", 11, 8, 4, 1, 1)
weights = initial_weights(config, random.Random(0))
print(len(NumbaEngine(config, weights, OptimizerConfig()).logits([1, 2])), "numba" in sys.modules)
"""


@pytest.mark.slow
def test_a_process_compiles_what_the_engine_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANEXA_CACHE", "cache")  # relative to the folder of this process
    assert not is_compiled(CONFIG, "float32")
    process = compile_in_background(CONFIG, "float32")
    assert process
    assert compile_in_background(CONFIG, "float32") is None  # it is being compiled
    assert process.wait() == 0
    assert is_compiled(CONFIG, "float32")
    assert not is_compiled(CONFIG, "float64")
    assert not list(tmp_path.rglob("*.begun"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    assert generation_engine(CONFIG) == "numba"
    found = subprocess.check_output([sys.executable, "-c", USE], text=True, env=os.environ)
    assert found.split() == ["2", "False"]


def test_a_compilation_that_was_killed_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path))
    first = compile_in_background(CONFIG, "float32")
    assert first
    if hasattr(os, "getsid"):
        assert os.getsid(first.pid) != os.getsid(0), "Ctrl-C does not end it"
    first.kill()
    first.wait()
    assert compile_in_background(CONFIG, "float32") is None
    (begun,) = tmp_path.rglob("*.begun")
    os.utime(begun, (begun.stat().st_mtime - 2 * COMPILE_TIMEOUT,) * 2)
    second = compile_in_background(CONFIG, "float32")
    assert second
    second.kill()
    second.wait()


def test_what_cannot_be_compiled_is_not_begun_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path))
    process = compile_in_background(CONFIG, "float17")
    assert process
    assert process.wait() != 0
    assert not is_compiled(CONFIG, "float17")
    assert compile_in_background(CONFIG, "float17") is None


@pytest.mark.filterwarnings("error")
def test_without_a_cache_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "file"))
    assert compile_in_background(CONFIG, "float32") is None
    assert not is_compiled(CONFIG, "float32")


def test_auto_takes_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    monkeypatch.setenv("ANEXA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").write_bytes(b"")  # where nothing can be compiled
    assert generation_engine(CONFIG) == "numpy"
    (tmp_path / "cache").unlink()
    large = replace(CONFIG, vocab_size=NUMBA_MAX_PARAMETERS)
    for config in (CONFIG, large):
        mark = background._mark(config, "float32")
        mark.parent.mkdir(parents=True, exist_ok=True)
        code_cache.write(mark, b"compiled")
    assert generation_engine(CONFIG) == "numba"
    assert generation_engine(large) == "numpy"
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert generation_engine(CONFIG) == "numpy"
