"""Device, precision, threads and memory: where and how precisely an engine computes.

The device is selected at the start of a run, and the checkpoint keeps the precision: a resumed run
goes on in it. Evaluation and generation are in float32 also if the training is in bf16, because
that is the precision in which the model will be used.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from anexa.errors import AnexaError, AnexaWarning, UsageError
from anexa.model.config import ModelConfig

# Values of `DeviceConfig.dtype`, besides "auto".
DTYPES = ("float32", "bf16", "float64")
# Memory for activations on a CPU: what a laptop can spare. It is a constant, so that all computers
# split a batch into the same micro-batches.
MAX_CPU_ACTIVATION_BYTES = 2**31
# Smallest width (n_embd) for bfloat16 on a CPU: in a narrower model, rounding the activations takes
# as long as the faster matrix products save.
BF16_MIN_WIDTH = 128
THREADS_MIN_WIDTH = 64  # smallest width (n_embd) for which several threads are faster than one


@dataclass(frozen=True)
class DeviceConfig:
    """Device and precision of an engine; `select_device` resolves the values "auto" and None.

    Attributes:
        device: device to compute on: cpu, or with the torch engine also cuda, cuda:NUMBER or mps;
            auto: CUDA if available, else MPS, else the CPU.
        dtype: precision: float32; float64; or bf16: weights, moments and loss in float32, the
            matrix products of training in bfloat16 (PyTorch's autocast); auto: bf16 if the
            hardware computes in it and the model is wide enough, else the engine's own.
        compile: compile the model with torch.compile; by default (None) on CUDA, if there is a C
            compiler.
        micro_batch: largest number of sequences in one forward pass; a larger batch is split into
            micro-batches whose gradients add up; 0: as many as fit into the memory.
        shard: let each of several processes hold only a shard of the weights, gradients and
            moments (FSDP).
    """

    device: str = "cpu"
    dtype: str = "float32"
    compile: bool | None = False
    micro_batch: int = 0
    shard: bool = False


AUTO_DEVICE_CONFIG = DeviceConfig("auto", "auto", None)  # everything is chosen by `select_device`


def select_device(
    engine: str, config: ModelConfig, request: DeviceConfig = AUTO_DEVICE_CONFIG
) -> DeviceConfig:
    """Resolve a requested device and precision; "auto" becomes the fastest on this computer.

    If `torch.compile` cannot work here, it is left out, with an AnexaWarning, once in a process.

    Args:
        engine: name of the engine, one of `ENGINES`.
        config: architecture and sizes of the model; a narrow model is faster without bfloat16.
        request: requested device and precision; auto and None are resolved, all other fields are
            kept.

    Returns:
        The configuration with the resolved device, precision and `compile`.

    Raises:
        UsageError: if `device` or `dtype` is unknown, or the engine does not support a choice.
        AnexaError: if this computer does not have the device, or the library of the engine is not
            installed.
    """
    device, dtype, compiled = request.device, request.dtype, request.compile
    if dtype not in ("auto", *DTYPES):
        raise UsageError(f"--dtype is one of auto, {', '.join(DTYPES)}, not {dtype!r}")
    if engine != "torch":
        if device not in ("auto", "cpu"):
            raise UsageError(f"--device {device} needs the torch engine: {engine} computes on cpu")
        if compiled:
            raise UsageError(f"--compile needs the torch engine, not {engine}")
        on_arrays = engine in ("numpy", "numba")
        own = "float32" if on_arrays else "float64"
        if dtype not in ("auto", own) and (not on_arrays or dtype == "bf16"):
            raise UsageError(f"the {engine} engine does not compute in {dtype}: leave --dtype out")
        if engine == "numba" and not find_spec("numba"):
            raise AnexaError("the numba engine needs Numba: pip install 'anexa[fast]'")
        return _resolved(request, "cpu", own if dtype == "auto" else dtype, False)
    if not find_spec("torch"):
        raise AnexaError("the torch engine needs PyTorch: pip install 'anexa[torch]'")
    device = _resolve_device(device)
    kind = device.partition(":")[0]
    if dtype == "auto":
        wide = kind != "cpu" or config.n_embd >= BF16_MIN_WIDTH
        dtype = "bf16" if wide and _has_fast_bf16(kind) else "float32"
    elif dtype == "bf16" and not _has_fast_bf16(kind):
        raise AnexaError(f"this {kind} does not compute in bf16: leave --dtype out for float32")
    wanted = kind == "cuda" if compiled is None else compiled
    obstacle = _compiler_obstacle(kind) if wanted else None
    if obstacle:
        _warn_once(f"training goes on without torch.compile: {obstacle}")
    return _resolved(request, device, dtype, wanted and not obstacle)


@cache
def _warn_once(sentence: str) -> None:
    """Show a warning, but only once in a process.

    A device is selected twice: before the corpus is read, and after.
    """
    warnings.warn(sentence, AnexaWarning, stacklevel=3)


def _resolved(request: DeviceConfig, device: str, dtype: str, compiled: bool) -> DeviceConfig:
    return DeviceConfig(device, dtype, compiled, request.micro_batch, request.shard)


def _compiler_obstacle(kind: str) -> str | None:
    """Return why `torch.compile` cannot work on a type of device, as a clause; None if it may.

    Args:
        kind: type of the device, such as "cuda".
    """
    if sys.platform == "win32" or kind == "mps":
        return f"it does not support {'Windows' if kind != 'mps' else 'mps'}"
    if not any(map(shutil.which, ("cc", "gcc", "c++", "g++", "clang++"))):
        return "there is no C compiler"
    return None


def _resolve_device(requested: str) -> str:
    """Return the device to use: the requested one, or the fastest available one for "auto".

    Args:
        requested: "auto", or the name of a device, such as "cuda:1".
    """
    import torch

    if requested == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, index = requested.partition(":")
    has_index = kind == "cuda" and re.fullmatch("[0-9]{1,9}", index)
    if kind not in ("cpu", "cuda", "mps") or (colon and not has_index):
        raise UsageError(f"--device is auto, cpu, cuda, cuda:NUMBER or mps, not {requested!r}")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            found = f"has {count} CUDA devices" if count else "has no CUDA device"
            raise AnexaError(f"there is no {requested}: PyTorch finds that this computer {found}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise AnexaError("there is no mps: PyTorch finds that this computer has no MPS device")
    return requested


def _has_fast_bf16(kind: str) -> bool:
    """Return whether a type of device multiplies bfloat16 matrices faster than float32.

    It does if its hardware has instructions for it.
    """
    import torch

    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "mps":
        return False  # it computes in bfloat16 from macOS 14 on, but no faster
    # PyTorch has no public function that asks the processor for its features.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def micro_batch_size(config: ModelConfig, device_config: DeviceConfig) -> int:
    """Return the largest number of sequences in one forward pass of training, at least 1.

    It is `device_config.micro_batch`, or if that is 0, an estimate of how many sequences of the
    full context fit into half of a GPU's free memory (CUDA), else into `MAX_CPU_ACTIVATION_BYTES`.
    """
    if device_config.micro_batch:
        return device_config.micro_batch
    available_bytes = MAX_CPU_ACTIVATION_BYTES
    if device_config.device.startswith("cuda"):
        import torch

        available_bytes = torch.cuda.mem_get_info(device_config.device)[0] // 2
    # For its gradient a block keeps about 34 numbers for each token and unit of width
    # (Korthikanti et al., 2022, section 4.1); the head keeps 3 for each token and vocabulary entry.
    numbers_per_token = 34 * config.n_layer * config.n_embd + 3 * config.vocab_size
    return max(1, available_bytes // (4 * numbers_per_token * config.block_size))


def set_num_threads(config: ModelConfig) -> None:
    """Set PyTorch's number of threads to the available CPUs, or to 1 for a narrow model.

    The matrix products of a narrow model are so small that threads only wait for each other. An
    environment variable OMP_NUM_THREADS takes precedence.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        wide = config.n_embd >= THREADS_MIN_WIDTH
        torch.set_num_threads(min(_default_num_threads(), available_cpus()) if wide else 1)


@cache
def _default_num_threads() -> int:
    """Return PyTorch's default number of threads, one per physical core.

    Cached: the first call comes before `set_num_threads` changes the number.
    """
    import torch

    return torch.get_num_threads()


def available_cpus() -> int:
    """Count the CPUs that this process may use, at least 1.

    On Linux, its affinity and its container's quota (cgroup v2) limit them.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no container, or not on Linux
        return count
    return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))


def physical_memory() -> int | None:
    """Return the bytes of memory of this machine; None if the system does not tell (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def release_free_memory() -> None:
    """Return the free memory of the C heap to the operating system, on Linux with glibc.

    On other systems, this does nothing. Batches of many shapes fragment the heap: without this call
    a model of 0.8 million parameters took 4 GB after 8,000 steps.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
        if trim:
            trim(0)
