"""Weights in a mapped file: training and other writers leave them alone."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anexa.engines import Batch, open_engine
from anexa.engines import numpy as numpy_engine
from anexa.model import tensors
from anexa.model.folder import create_folder, write_weights
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tensors import read_tensors, write_tensors
from anexa.model.weights import initial_weights
from tests.cli.process import posix
from tests.model.helpers import MODEL

BATCH = Batch.from_sequences([[1, 2, 3, 4], [3, 2, 1, 0]])
FOREIGN = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat small files and models as large ones are treated."""
    monkeypatch.setattr(tensors, "MIN_MAPPED_BYTES", 0)
    monkeypatch.setattr(numpy_engine, "MAX_COPIED_PARAMETERS", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_folder(tmp_path / "model", MODEL, "")
    return tmp_path / "model"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([*FOREIGN]), st.lists(st.integers(0, 3), max_size=3))),
    st.integers(0, 100),
)
def test_files_of_safetensors_are_read(
    tmp_path: Path, entries: list[tuple[str, list[int]]], seed: int
) -> None:
    """Of every precision, also when an odd number of float16s leaves the next array unaligned."""
    rng = np.random.default_rng(seed)
    arrays = {
        f"{i}": rng.standard_normal(shape).astype(FOREIGN[dtype])
        for i, (dtype, shape) in enumerate(entries)
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays, {"key": "ü"}))
    weights, metadata = read_tensors(path)
    assert metadata == {"key": "ü"}
    assert weights.keys() == arrays.keys()
    for name, array in arrays.items():
        assert weights[name].shape == array.shape
        assert weights[name].typecode == ("d" if array.dtype == np.float64 else "f")
        assert list(weights[name].data) == array.astype(np.float64).ravel().tolist()
    write_tensors(tmp_path / "b.safetensors", weights, metadata)
    ours = safetensors.numpy.load_file(tmp_path / "b.safetensors")
    assert {n: a.tolist() for n, a in ours.items()} == {n: a.tolist() for n, a in arrays.items()}
    assert read_tensors(tmp_path / "b.safetensors")[1] == metadata


def test_unaligned_arrays_are_read(tmp_path: Path) -> None:
    """Nothing in the format asks a writer to align arrays."""
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} '
    path = tmp_path / "a.safetensors"
    numbers = np.array([1.5, -2], "<f4").tobytes()
    path.write_bytes(len(header).to_bytes(8, "little") + header + numbers)
    assert (8 + len(header)) % 4
    assert list(read_tensors(path)[0]["a"].data) == [1.5, -2]


@posix
def test_float32_weights_are_not_copied(folder: Path) -> None:
    weights = load_model(folder).weights
    assert all(isinstance(weight.data, memoryview) for weight in weights.values())


@pytest.mark.parametrize("engine_name", ["numpy", "torch", "numba", "lists"])
def test_training_changes_neither_the_file_nor_the_model(folder: Path, engine_name: str) -> None:
    pytest.importorskip({"torch": "torch", "numba": "numba"}.get(engine_name, "anexa"))
    content = (folder / "model.safetensors").read_bytes()
    model = load_model(folder)
    before = {name: list(weight.data) for name, weight in model.weights.items()}
    engine = open_engine(engine_name, model.config, model.weights)
    engine.train_step(BATCH, 0.1)
    engine.train_step(BATCH, 0.1)
    assert (folder / "model.safetensors").read_bytes() == content
    assert {name: list(weight.data) for name, weight in model.weights.items()} == before
    assert engine.weights() != model.weights


def test_engine_shares_the_memory_of_the_file(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    model = load_model(folder)
    engine = open_engine("torch", model.config, model.weights)
    name, weight = next(iter(model.weights.items()))
    shared = torch.frombuffer(weight.data, dtype=torch.float32).data_ptr()
    assert engine._network.weights()[name].data_ptr() == shared  # type: ignore[attr-defined]
    array = open_engine("numpy", model.config, model.weights).arrays[name]  # type: ignore[attr-defined]
    assert array.ctypes.data == shared


@pytest.mark.parametrize("engine_name", ["numpy", "torch"])
def test_replaced_file_does_not_change_a_loaded_model(folder: Path, engine_name: str) -> None:
    pytest.importorskip({"torch": "torch"}.get(engine_name, "numpy"))
    model = load_model(folder)
    engine = open_engine(engine_name, model.config, model.weights)
    logits = engine.logits([1, 2, 3])
    other = Model(model.config, initial_weights(model.config, random.Random(2)), model.tokenizer)
    write_weights(folder, other.weights)
    assert load_model(folder).weights != model.weights
    assert engine.logits([1, 2, 3]) == logits


@pytest.mark.parametrize("engine_name", ["numpy", "torch"])
def test_mapped_weights_train_as_others_do(folder: Path, engine_name: str) -> None:
    """Also from a mapped checkpoint, to the bit."""
    pytest.importorskip({"torch": "torch"}.get(engine_name, "numpy"))
    model = load_model(folder)
    engine = open_engine(engine_name, model.config, model.weights)
    engine.train_step(BATCH, 0.01)
    path = folder / "state.safetensors"
    write_tensors(path, engine.weights() | engine.optimizer_state(), {})
    state = read_tensors(path)[0]
    weights = {name: state.pop(name) for name in model.weights}
    resumed = open_engine(engine_name, model.config, weights)
    resumed.load_optimizer_state(state, 1)
    for one in (engine, resumed):
        one.train_step(BATCH, 0.01)
    assert resumed.weights() == engine.weights()
    assert resumed.optimizer_state() == engine.optimizer_state()
    assert read_tensors(path)[0] == weights | state


def test_file_that_is_not_mapped_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.setattr(tensors, "MIN_MAPPED_BYTES", 2**40)
    path, size = tmp_path / "a.safetensors", 2**22
    path.write_bytes(safetensors.numpy.save({"a": np.ones(size // 4, np.float32)}))
    read_tensors(path)  # imports
    tracemalloc.start()
    weights, _ = read_tensors(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert weights["a"].data[-1] == 1
    assert peak < 1.1 * size
