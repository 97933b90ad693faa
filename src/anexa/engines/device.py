"""What a model is computed on: device, precision, and whether PyTorch's compiler helps."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from anexa.errors import AnexaError, AnexaWarning, UsageError
from anexa.model.config import ModelConfig

DTYPES = ("float32", "bf16", "float64")
CPU_ROOM = 2**31  # bytes of activations: what a laptop can spare, and the same on every one
# Below this width a CPU spends on rounding to bfloat16 what its faster products save.
BF16_WIDTH = 128
THREADS_WIDTH = 64  # below it a second thread costs more than it brings


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how precisely an engine computes.

    Attributes:
        device: "cpu", or for the torch engine also "cuda", "cuda:1", …, "mps".
        dtype: "float32"; "float64"; or "bf16": weights, their moments and the loss in float32,
            the matrix products of training in bfloat16 (PyTorch's autocast).
        compiled: whether `torch.compile` is used.
        micro_batch: the most rows at once; a larger batch is read in parts, whose gradients are
            added up. 0: as many as fit.
        sharded: whether each of several processes keeps only its part of the weights.
    """

    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    micro_batch: int = 0
    sharded: bool = False


def select_device(
    engine: str,
    config: ModelConfig,
    device: str = "auto",
    dtype: str = "auto",
    compiled: bool | None = None,
) -> DeviceConfig:
    """The best of this computer, where nothing is asked for; and what is asked for, if it is there.

    Args:
        engine: its name.
        config: the model; a small one is faster without bfloat16 and without a compiler.
        device: as in `DeviceConfig`, or "auto": CUDA, then MPS, then the CPU.
        dtype: as in `DeviceConfig`, or "auto": bf16 where the hardware supports it, else
            float32.
        compiled: as in `DeviceConfig`, or None: on CUDA, where there is a C compiler.

    Raises:
        UsageError: what is asked for means nothing, or nothing to this engine.
        AnexaError: this computer does not have it.
    """
    if dtype not in ("auto", *DTYPES):
        raise UsageError(f"--dtype is one of auto, {', '.join(DTYPES)}, not {dtype!r}")
    if engine != "torch":
        if device not in ("auto", "cpu"):
            raise UsageError(f"--device {device} needs the torch engine: {engine} computes on cpu")
        if compiled:
            raise UsageError(f"--compile needs the torch engine, not {engine}")
        own = "float32" if engine == "numpy" else "float64"
        if dtype not in ("auto", own) and (engine != "numpy" or dtype == "bf16"):
            raise UsageError(f"the {engine} engine does not compute in {dtype}: leave --dtype out")
        return DeviceConfig("cpu", own if dtype == "auto" else dtype)
    if not find_spec("torch"):
        raise AnexaError("the torch engine needs PyTorch: pip install 'anexa[torch]'")
    device = _device(device)
    kind = device.partition(":")[0]
    if dtype == "auto":
        wide = kind != "cpu" or config.n_embd >= BF16_WIDTH
        dtype = "bf16" if wide and _computes_bf16(kind) else "float32"
    elif dtype == "bf16" and not _computes_bf16(kind):
        raise AnexaError(f"--dtype bf16 cannot be on this {kind}: leave it out to train in float32")
    wanted = kind == "cuda" if compiled is None else compiled
    hindrance = _no_compiler(kind) if wanted else None
    if hindrance:
        warnings.warn(f"training goes on without torch.compile: {hindrance}", AnexaWarning, 2)
    return DeviceConfig(device, dtype, wanted and not hindrance)


def _no_compiler(kind: str) -> str | None:
    """Why PyTorch's compiler cannot work for a kind of device here; None if it may."""
    if sys.platform == "win32" or kind == "mps":
        return f"it is not for {'Windows' if kind != 'mps' else 'mps'}"
    if not any(map(shutil.which, ("cc", "gcc", "c++", "g++", "clang++"))):
        return "there is no C compiler"
    return None


def _device(asked: str) -> str:
    """The device, known to be there."""
    import torch

    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, index = asked.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"--device is auto, cpu, cuda, cuda:NUMBER or mps, not {asked!r}")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            have = f"has {count} of them" if count else "has none"
            raise AnexaError(f"there is no {asked}: PyTorch finds that this computer {have}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise AnexaError("there is no mps: PyTorch finds that this computer has none")
    return asked


def _computes_bf16(kind: str) -> bool:
    """Whether the hardware multiplies matrices of bfloat16 by itself, and so faster."""
    import torch

    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "mps":
        return False  # it can, from macOS 14 on, and is no faster for it
    # PyTorch's own question to the processor has no public name.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def micro_batch_size(config: ModelConfig, machine: DeviceConfig) -> int:
    """How many rows of a batch have room together, by an estimate of their activations."""
    if machine.micro_batch:
        return machine.micro_batch
    room = CPU_ROOM
    if machine.device.startswith("cuda"):
        import torch

        room = torch.cuda.mem_get_info(machine.device)[0] // 2
    # What a block keeps for its gradient is about 34 numbers a token for each of its width
    # (Korthikanti et al., 2022, section 4.1); the head keeps three a symbol.
    numbers = 34 * config.n_layer * config.n_embd + 3 * config.vocab_size
    return max(1, room // (4 * numbers * config.block_size))


def use_threads(config: ModelConfig) -> None:
    """Let PyTorch use as many threads as help: those of the cores that this process may have.

    On a model whose products are small, threads only wait for each other. Whoever has set
    OMP_NUM_THREADS knows better.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        wide = config.n_embd >= THREADS_WIDTH
        torch.set_num_threads(min(_threads(), available_cpus()) if wide else 1)


@cache
def _threads() -> int:
    """PyTorch's own choice, before anyone has set it: one for each core, not counted twice."""
    import torch

    return torch.get_num_threads()


def available_cpus() -> int:
    """The cores that this process may run on, and in a container the share of them it is given."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no container, or not on Linux
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def release_free_memory() -> None:
    """Give back to the system what the heap keeps in pieces, where it can.

    Batches of many shapes leave it full of holes: without this a model of 0.8 million parameters
    took 4 GB after 8,000 steps of them.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
        if trim:
            trim(0)
