"""Choice of device, precision, micro-batches and threads, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from anexa.engines import (
    ENGINES,
    DeviceConfig,
    OptimizerConfig,
    installed_engines,
    open_engine,
    select_device,
)
from anexa.engines.device import (
    AUTO_DEVICE_CONFIG,
    MAX_CPU_ACTIVATION_BYTES,
    available_cpus,
    micro_batch_size,
)
from anexa.errors import AnexaError, UsageError
from anexa.model.config import ModelConfig
from tests.engines.helpers import needs_torch, random_weights

SMALL = ModelConfig("gpt2", vocab_size=9, block_size=6, n_embd=16, n_head=2, n_layer=1)
WIDE = replace(SMALL, n_embd=128)
OTHERS = [name for name in installed_engines() if name != "torch"]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


def has(kind: str) -> bool:
    """Whether PyTorch finds a device of this type."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return bool(torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available())


def assert_one_sentence(error: AnexaError) -> None:
    message = str(error)
    assert "\n" not in message
    assert 20 < len(message) < 160
    assert ". " not in message


def run(program: str, *before: str, **environment: str) -> str:
    """Run a program in a new Python process without OMP_NUM_THREADS, and return its output."""
    mine = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [*before, sys.executable, "-c", program],
        env=mine | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ON_CPU = replace(AUTO_DEVICE_CONFIG, device="cpu")


# ------------------------------------------------------------------ what is chosen


@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize(
    ("engine", "dtype"), [("scalar", "float64"), ("lists", "float64"), ("numpy", "float32")]
)
def test_engines_other_than_torch_compute_on_the_cpu(
    engine: str, dtype: str, config: ModelConfig
) -> None:
    for device in ("auto", "cpu"):
        for asked in ("auto", dtype):
            for compiled in (None, False):
                request = DeviceConfig(device, asked, compiled, micro_batch=3)
                machine = select_device(engine, config, request)
                assert machine == DeviceConfig("cpu", dtype, compile=False, micro_batch=3)


@pytest.mark.parametrize(
    ("engine", "dtype"), [("numpy", "float64"), pytest.param("torch", "float64", marks=needs_torch)]
)
def test_requested_precision_is_chosen(engine: str, dtype: str) -> None:
    machine = select_device(engine, SMALL, replace(ON_CPU, dtype=dtype))
    assert machine == DeviceConfig("cpu", dtype)
    assert (
        open_engine(engine, SMALL, random_weights(SMALL, 1), device_config=machine).dtype == dtype
    )


@needs_torch
def test_bf16_is_chosen_for_wide_models_on_hardware_that_has_it() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("this system does not say what its processor can do")
    assert select_device("torch", SMALL, ON_CPU) == DeviceConfig("cpu", "float32")
    assert select_device("torch", WIDE, replace(ON_CPU, dtype="float32")) == DeviceConfig(
        "cpu", "float32"
    )
    flags = set(cpuinfo.read_text(encoding="utf-8").split())
    if flags & {"avx512_bf16", "amx_tile"}:
        assert select_device("torch", WIDE, ON_CPU) == DeviceConfig("cpu", "bf16")
        assert select_device("torch", SMALL, replace(ON_CPU, dtype="bf16")) == DeviceConfig(
            "cpu", "bf16"
        )
        return
    assert select_device("torch", WIDE, ON_CPU) == DeviceConfig("cpu", "float32")
    with pytest.raises(AnexaError, match="this cpu does not compute in bf16") as caught:
        select_device("torch", WIDE, replace(ON_CPU, dtype="bf16"))
    assert not isinstance(caught.value, UsageError)
    assert_one_sentence(caught.value)


@needs_torch
def test_torch_chooses_the_fastest_device() -> None:
    best = next((kind for kind in ("cuda", "mps") if has(kind)), "cpu")
    assert select_device("torch", SMALL).device == best
    assert select_device("torch", SMALL, ON_CPU).device == "cpu"


@needs_torch
def test_compiler_is_chosen_on_cuda_or_on_request() -> None:
    assert not select_device("torch", WIDE, ON_CPU).compile
    assert select_device("torch", WIDE, replace(ON_CPU, compile=True)).compile
    if has("cuda"):
        assert not select_device(
            "torch", WIDE, replace(AUTO_DEVICE_CONFIG, device="cuda", compile=False)
        ).compile


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float16", "fp32", "bfloat16", "FLOAT32", "", "auto "])
def test_unknown_precision_is_refused(engine: str, dtype: str) -> None:
    with pytest.raises(UsageError, match="auto, float32, bf16, float64") as caught:
        select_device(engine, SMALL, replace(AUTO_DEVICE_CONFIG, dtype=dtype))
    assert repr(dtype) in str(caught.value)
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        ("scalar", "float32"),
        ("scalar", "bf16"),
        ("lists", "float32"),
        ("lists", "bf16"),
        ("numpy", "bf16"),
    ],
)
def test_precision_without_engine_support_is_refused(engine: str, dtype: str) -> None:
    with pytest.raises(UsageError, match=f"{engine}.*{dtype}.*--dtype") as caught:
        select_device(engine, SMALL, replace(AUTO_DEVICE_CONFIG, dtype=dtype))
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "tpu", ""])
def test_device_that_needs_pytorch_is_refused_by_other_engines(engine: str, device: str) -> None:
    with pytest.raises(UsageError, match=f"--device {device} needs the torch engine") as caught:
        select_device(engine, SMALL, replace(AUTO_DEVICE_CONFIG, device=device))
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("engine", OTHERS)
def test_compiler_and_dropout_are_refused_by_other_engines(engine: str) -> None:
    with pytest.raises(UsageError, match=f"--compile needs the torch engine, not {engine}") as one:
        select_device(engine, SMALL, replace(AUTO_DEVICE_CONFIG, compile=True))
    weights, optimizer = random_weights(SMALL, 1), OptimizerConfig(dropout=0.1)
    with pytest.raises(UsageError, match=f"--dropout needs the torch engine, not {engine}") as two:
        open_engine(engine, SMALL, weights, optimizer=optimizer)
    assert_one_sentence(one.value)
    assert_one_sentence(two.value)


@needs_torch
@pytest.mark.parametrize(
    "device",
    [
        "gpu",
        "CUDA",
        "cuda:",
        "cuda:-1",
        "cuda:x",
        "cuda:0:1",
        "cuda:²",
        "cuda:١",
        "cpu:0",
        "mps:0",
        "",
        " ",
    ],
)
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda, cuda:NUMBER or mps") as caught:
        select_device("torch", SMALL, replace(AUTO_DEVICE_CONFIG, device=device))
    assert repr(device) in str(caught.value)
    assert_one_sentence(caught.value)


@needs_torch
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_missing_device_is_no_usage_error(device: str) -> None:
    """The same command works on another computer."""
    kind = device.partition(":")[0]
    if has(kind) and device != "cuda:7":
        pytest.skip(f"there is {device}")
    with pytest.raises(AnexaError, match=f"there is no {device}: PyTorch finds") as caught:
        select_device("torch", SMALL, replace(AUTO_DEVICE_CONFIG, device=device))
    assert not isinstance(caught.value, UsageError)
    assert_one_sentence(caught.value)


# ------------------------------------------------------------------ micro-batches


def test_requested_micro_batch_size_is_used() -> None:
    for size in (1, 3, 10_000):
        assert micro_batch_size(WIDE, DeviceConfig(micro_batch=size)) == size


def test_estimated_micro_batch_size_fits_into_the_memory() -> None:
    """With the sizes of GPT-2: half the context allows twice as many sequences, at least one."""
    gpt2 = ModelConfig("gpt2", 50_257, block_size=1024, n_embd=768, n_head=12, n_layer=12)
    size = micro_batch_size(gpt2, DeviceConfig())
    sequence_bytes = 4 * gpt2.block_size * (34 * 12 * 768 + 3 * 50_257)
    assert size * sequence_bytes <= MAX_CPU_ACTIVATION_BYTES < (size + 1) * sequence_bytes
    shorter = micro_batch_size(replace(gpt2, block_size=512), DeviceConfig())
    assert shorter in (2 * size, 2 * size + 1)
    assert micro_batch_size(replace(gpt2, n_layer=10_000), DeviceConfig()) == 1
    assert micro_batch_size(SMALL, DeviceConfig()) > 10_000, "small models are never split"


# ------------------------------------------------------------------ threads


THREADS = """
import random, torch
from anexa.engines import open_engine
from anexa.engines.device import available_cpus
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights
print(torch.get_num_threads(), available_cpus())
for width in {widths}:
    config = ModelConfig("gpt2", 9, block_size=6, n_embd=width, n_head=2, n_layer=1)
    open_engine("torch", config, initial_weights(config, random.Random(1)))
    print(torch.get_num_threads(), available_cpus())
"""


def threads(*widths: int, **environment: str) -> list[list[int]]:
    """PyTorch's threads and the available CPUs, before and after opening models of these widths."""
    lines = run(THREADS.format(widths=widths), **environment).splitlines()
    return [[int(number) for number in line.split()] for line in lines]


@needs_torch
def test_narrow_model_has_one_thread_and_wide_model_one_for_each_cpu() -> None:
    """Also after other models have been opened."""
    _, wide, narrow, wide_again = threads(128, 16, 128)
    (cores,) = {usable for _, usable in (wide, narrow, wide_again)}
    assert narrow[0] == 1
    assert min(2, cores) <= wide[0] <= cores
    assert wide_again == wide


@needs_torch
def test_omp_num_threads_takes_precedence() -> None:
    asked, *opened = threads(16, 128, OMP_NUM_THREADS="2")
    assert asked[0] == 2, "whatever the number of cores"
    assert opened == [asked, asked]


CORES = "from anexa.engines.device import available_cpus; print(available_cpus())"


@linux_only
def test_available_cpus_respect_the_affinity() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert 1 <= available_cpus() <= len(mine)
    one = f"import os; os.sched_setaffinity(0, {{{mine[-1]}}}); {CORES}"
    assert run(one) == "1"


@linux_only
@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 10_000),
        ("100000 100000", 1),
        ("10000 100000", 1),
        ("200000 100000", 2),
        ("6400000 100000", 64),
        ("", 10_000),
    ],
)
def test_available_cpus_respect_the_quota_of_the_container(quota: str, expected: int) -> None:
    """In a mount namespace whose /sys/fs/cgroup/cpu.max has a quota."""
    path = "/sys/fs/cgroup/cpu.max"
    script = f'mount -t tmpfs none /sys/fs/cgroup && echo "{quota}" > {path} && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("this system does not let us have a namespace")
    assert run(CORES, *inside) == str(min(expected, len(os.sched_getaffinity(0))))
