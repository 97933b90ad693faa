"""Five engines, which compute the same function from the same weights."""

from __future__ import annotations

import os
from importlib.util import find_spec

from anexa.engines.batch import IGNORE_INDEX, Batch
from anexa.engines.device import DeviceConfig, select_device
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.protocol import (
    BatchEngine,
    BatchKVCache,
    Engine,
    KVBlock,
    KVCache,
    Logits,
    TrainStepOutput,
)
from anexa.errors import UsageError
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights, num_parameters

__all__ = [
    "ENGINES",
    "IGNORE_INDEX",
    "Batch",
    "BatchEngine",
    "BatchKVCache",
    "DeviceConfig",
    "Engine",
    "KVBlock",
    "KVCache",
    "Logits",
    "OptimizerConfig",
    "TrainStepOutput",
    "best_engine",
    "generation_engine",
    "installed_engines",
    "open_engine",
    "select_device",
]

# Names of the engines, from the simplest to the fastest for large models.
ENGINES = ("scalar", "lists", "numpy", "numba", "torch")
LIBRARIES = {"numba": "numba", "torch": "torch"}  # packages of extras, by engine

# Largest model for which "auto" takes numba to generate.
NUMBA_MAX_PARAMETERS = 30_000_000


def installed_engines() -> list[str]:
    """Return the names of the engines whose libraries are installed."""
    return [name for name in ENGINES if name not in LIBRARIES or find_spec(LIBRARIES[name])]


def best_engine() -> str:
    """Return the name of the engine that "auto" means for training: the last that is installed.

    It does not depend on the size of the model or on a cache, so that the same command gives the
    same run. numba is faster than torch for small models (`benchmarks/engine_sizes.py`).
    """
    return installed_engines()[-1]


def generation_engine(config: ModelConfig) -> str:
    """Return the name of the engine that "auto" means for generation: "numba" or "numpy".

    It is "numba" if Numba is installed, the model has at most `NUMBA_MAX_PARAMETERS` parameters,
    and its machine code is in the cache. If only the machine code is missing, it is "numpy", and a
    process in the background is started, which compiles for the next time: no answer waits for a
    compiler. NUMBA_DISABLE_JIT, Numba's own environment variable, switches numba off.

    Args:
        config: architecture and sizes of the model.
    """
    if not find_spec("numba") or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return "numpy"
    if num_parameters(config) > NUMBA_MAX_PARAMETERS:
        return "numpy"
    from anexa.engines.program.background import compile_in_background, is_compiled

    if is_compiled(config, "float32"):
        return "numba"
    compile_in_background(config, "float32")
    return "numpy"


def open_engine(
    name: str,
    config: ModelConfig,
    weights: Weights,
    *,
    device_config: DeviceConfig | None = None,
    optimizer: OptimizerConfig | None = None,
    seed: int = 0,
) -> Engine:
    """Create an engine that computes a model from its weights.

    Args:
        name: one of `ENGINES`, or "auto": see `generation_engine`.
        config: architecture and sizes of the model.
        weights: weights by name, in the shapes of the architecture; the engine copies them (numpy,
            with a large model, at the first training step), and never changes them.
        device_config: device and precision, as `select_device` returns them; default: the CPU, in
            float32, or in float64 for scalar and lists.
        optimizer: configuration of the optimizer; default: AdamW without weight decay.
        seed: random seed of dropout.

    Returns:
        The engine of this name.

    Raises:
        UsageError: if there is no engine of this name, or `optimizer` asks for dropout and the
            engine is not torch.
        AnexaError: if the library of the engine is not installed.
        MemoryError: if the memory is too small.
    """
    optimizer = optimizer or OptimizerConfig()
    name = generation_engine(config) if name == "auto" else name
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}: choose one of {', '.join(ENGINES)}")
    if device_config is None:
        dtype = "float32" if name in ("numpy", "numba", "torch") else "auto"
        device_config = select_device(name, config, DeviceConfig("cpu", dtype))
    if name != "torch" and optimizer.dropout:
        raise UsageError(f"--dropout needs the torch engine, not {name}")
    if name == "scalar":
        from anexa.engines.scalar import ScalarEngine

        return ScalarEngine(config, weights, optimizer)
    if name == "lists":
        from anexa.engines.lists import ListsEngine

        return ListsEngine(config, weights, optimizer)
    if name == "numpy":
        from anexa.engines.numpy import NumpyEngine

        return NumpyEngine(config, weights, optimizer, device_config.dtype)
    if name == "numba":
        from anexa.engines.numba import NumbaEngine

        return NumbaEngine(config, weights, optimizer, device_config.dtype)
    from anexa.engines.torch import TorchEngine

    return TorchEngine(config, weights, optimizer, device_config, seed)
