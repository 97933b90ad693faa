"""Batched decoding: the logits of a sequence do not depend on the other sequences in the batch."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import BatchEngine, KVCache, installed_engines, open_engine
from anexa.engines.device import DeviceConfig
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.conftest import ROOT
from tests.engines.helpers import BATCH_ENGINES, models, needs_torch, random_weights

VOCABULARY = 13

each_batch_engine = pytest.mark.parametrize("name", BATCH_ENGINES)


def engine_of(name: str, model_type: str) -> BatchEngine:
    config = ModelConfig(model_type, VOCABULARY, block_size=20, n_embd=16, n_head=4, n_layer=2)
    engine = open_engine(name, config, random_weights(config, seed=2))
    assert isinstance(engine, BatchEngine)
    return engine


def inference_mode(name: str) -> AbstractContextManager[object]:
    if name != "torch":
        return nullcontext()
    import torch

    return torch.inference_mode()


class BatchAndAlone:
    """Compares batched decoding with decoding each sequence alone."""

    def __init__(self, engine: BatchEngine, most: int) -> None:
        self.engine, self.most = engine, most
        self.rows = engine.new_batch_cache(most)
        self.alone: list[KVCache] = []

    def join(self, text: list[int]) -> None:
        one, other = self.engine.new_kv_cache(), self.engine.new_kv_cache()
        for cache in (one, other):
            self.engine.next_logits(text, cache)
        self.alone.append(one)
        self.engine.add_sequence(self.rows, other)

    def leave(self, row: int) -> None:
        self.engine.remove_sequence(self.rows, row)
        self.alone[row] = self.alone[-1]
        self.alone.pop()

    def read(self, tokens: list[int]) -> None:
        logits_BV = self.engine.batch_next_logits(tokens, self.rows)
        expected = [self.engine.next_logits([t], cache) for t, cache in zip(tokens, self.alone)]
        assert logits_BV.shape == (len(tokens), self.engine.config.vocab_size)
        bound = 1e-9 if logits_BV.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(logits_BV, expected, rtol=0, atol=bound)
        assert self.rows.lengths == [cache.length for cache in self.alone]


@each_batch_engine
@given(data=st.data())
def test_batched_logits_equal_those_of_single_sequences(name: str, data: st.DataObject) -> None:
    """Sequences are added to and removed from the batch between steps."""
    config, weights = data.draw(models(name))
    # In float32 some of these models, of width 2, make a large number of a rounding.
    engine = open_engine(name, config, weights, device_config=DeviceConfig(dtype="float64"))
    assert isinstance(engine, BatchEngine)
    token = st.integers(0, config.vocab_size - 1)
    decoding = BatchAndAlone(engine, most=data.draw(st.integers(1, 6)))
    for _ in range(data.draw(st.integers(1, 8))):
        comes, goes = data.draw(st.booleans()), data.draw(st.booleans())
        if len(decoding.alone) < decoding.most and comes:
            text = st.lists(token, min_size=1, max_size=config.block_size)
            decoding.join(data.draw(text))
        full = [n for n, cache in enumerate(decoding.alone) if cache.length == config.block_size]
        for row in reversed(full):
            decoding.leave(row)
        if decoding.alone:
            count = len(decoding.alone)
            decoding.read(data.draw(st.lists(token, min_size=count, max_size=count)))
        if decoding.alone and goes:
            decoding.leave(data.draw(st.integers(0, len(decoding.alone) - 1)))


def decode_in_batches(
    engine: BatchEngine, texts: list[list[int]], max_num_seqs: int, seed: int
) -> list[list[bytes]]:
    """Decode texts in batches of at most `max_num_seqs`, which sequences join and leave.

    Returns:
        For each text, the logits after each token but those of the prefill, as bytes.
    """
    rng, batch_cache = random.Random(seed), engine.new_batch_cache(max_num_seqs)
    waiting, running = [*range(len(texts))], list[int]()
    rng.shuffle(waiting)
    read: list[list[bytes]] = [[] for _ in texts]
    while waiting or running:
        while waiting and len(running) < max_num_seqs and (not running or rng.random() < 0.7):
            running.append(waiting.pop())
            cache = engine.new_kv_cache()
            engine.next_logits(texts[running[-1]][:2], cache)
            engine.add_sequence(batch_cache, cache)
        tokens = [texts[n][2 + len(read[n])] for n in running]
        for n, logits_V in zip(running, engine.batch_next_logits(tokens, batch_cache)):
            read[n].append(logits_V.tobytes())
        for row in reversed(range(len(running))):
            if len(texts[running[row]]) == 2 + len(read[running[row]]):
                engine.remove_sequence(batch_cache, row)
                running[row] = running[-1]
                running.pop()
    return read


SIZES: dict[str, dict[str, Any]] = {
    "usual": {"block_size": 192, "n_embd": 128, "n_head": 4, "n_layer": 2},
    "odd": {"block_size": 150, "n_embd": 60, "n_head": 3, "n_layer": 1},
    "odder": {"block_size": 65, "n_embd": 42, "n_head": 3, "n_layer": 1},
    "wide": {"block_size": 30, "n_embd": 256, "n_head": 2, "n_layer": 1},
}


# Sizes matter to products, of which there are two kinds: those of GPT-2's transposed weights, and
# those of all others. So each size is tested with one architecture of each kind, and the other
# architectures quickly with one size.
CASES = [
    pytest.param(
        model_type,
        sizes,
        id=f"{model_type}-{sizes}",
        marks=() if model_type in ("gpt2", "llama") or sizes == "odder" else pytest.mark.slow,
    )
    for model_type in ARCHITECTURES
    for sizes in SIZES
]


@each_batch_engine
@pytest.mark.parametrize(("model_type", "sizes"), CASES)
def test_other_sequences_change_no_bit(model_type: str, sizes: str, name: str) -> None:
    """So sampling does not depend on the batch, even for two equally likely tokens."""
    check_bits(model_type, sizes, name)


def check_bits(model_type: str, sizes: str, name: str) -> None:
    """Compare batches of several sizes with sequences one by one, bit for bit."""
    config = ModelConfig(model_type, 101, **SIZES[sizes])
    engine = open_engine(
        name, config, random_weights(config, seed=2), device_config=DeviceConfig("cpu")
    )
    assert isinstance(engine, BatchEngine)
    rng = random.Random(1)
    # A sixth of the sequences may fill the context.
    most_tokens = [config.block_size, *[config.block_size // 6] * 5] * 4
    lengths = [rng.randint(3, most) for most in most_tokens]
    texts = [[rng.randrange(101) for _ in range(length)] for length in lengths]
    alone = [decode_in_batches(engine, [text], 1, seed=0)[0] for text in texts]
    for most in (2, 5, 24):
        assert decode_in_batches(engine, texts, most, seed=most) == alone


@each_batch_engine
def test_nan_of_a_removed_sequence_reaches_no_other(name: str) -> None:
    engine = engine_of(name, "llama")
    decoding = BatchAndAlone(engine, most=3)
    for text in ([1, 2, 3, 4], [5, 6], [7]):
        decoding.join(text)
    if name == "numba":
        decoding.rows.layers[0].blocks[...] = math.nan
    else:
        with inference_mode(name):  # in which alone PyTorch lets these buffers be changed
            for keys, values in decoding.rows.layers:
                keys[0, :, :4], values[0, :, :4] = math.nan, math.nan
    decoding.leave(0)
    decoding.read([8, 9])
    decoding.join([1])
    decoding.read([2, 3, 4])


def test_engines_of_pure_python_are_not_batch_engines() -> None:
    config = ModelConfig("llama", 5, block_size=4, n_embd=4, n_head=2, n_layer=1)
    weights = random_weights(config, seed=1)
    for name in installed_engines():
        is_pure = name in ("scalar", "lists")
        assert isinstance(open_engine(name, config, weights), BatchEngine) != is_pure


# OpenBLAS's kernels for x86-64, with the CPU flag that each one needs.
BLAS_KERNELS = {
    "Prescott": "pni",
    "Nehalem": "sse4_2",
    "Sandybridge": "avx",
    "Haswell": "avx2",
    "Zen": "avx2",
    "SkylakeX": "avx512f",
    "Cooperlake": "avx512_bf16",
}


def run_with(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Check the widest models in a process with other environment variables."""
    program = (
        "from tests.engines.test_batch_invariance import check_bits\n"
        f"for model_type in ('gpt2', 'llama'): check_bits(model_type, 'wide', {name!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )


def check_cpu_has(flag: str) -> None:
    """Skip the test if the CPU lacks the instructions of a kernel."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        pytest.skip("the flags of the CPU are unknown")
    if flag not in flags:
        pytest.skip(f"the CPU has no {flag}")


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("kernel", BLAS_KERNELS)
def test_other_sequences_change_no_bit_with_any_blas_kernel(kernel: str, threads: str) -> None:
    check_cpu_has(BLAS_KERNELS[kernel])
    result = run_with(
        "numpy",
        OPENBLAS_CORETYPE=kernel,
        OPENBLAS_NUM_THREADS=threads,
        OPENBLAS_VERBOSE="2",  # prints the kernel, which may be a similar one: Haswell's for Zen
    )
    assert result.returncode == 0, result.stderr
    if "Core: " not in result.stderr:
        pytest.skip("NumPy computes with another BLAS")


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(("capability", "instructions"), [("default", "SSE41"), ("avx2", "AVX2")])
def test_other_sequences_change_no_bit_with_any_torch_kernel(
    capability: str, instructions: str, threads: str
) -> None:
    result = run_with(
        "torch",
        ATEN_CPU_CAPABILITY=capability,
        ONEDNN_MAX_CPU_ISA=instructions,
        MKL_ENABLE_INSTRUCTIONS="SSE4_2" if capability == "default" else "AVX2",
        OMP_NUM_THREADS=threads,
    )
    assert result.returncode == 0, result.stderr
