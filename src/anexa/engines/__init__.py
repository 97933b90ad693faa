"""How the function is computed: four engines that open the same weights and agree."""

from __future__ import annotations

from importlib.util import find_spec

from anexa.engines.device import DeviceConfig, select_device
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.protocol import (
    IGNORE,
    Batch,
    BatchEngine,
    BatchKVCache,
    Engine,
    KVCache,
    Logits,
    TrainStepOutput,
)
from anexa.errors import UsageError
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

__all__ = [
    "ENGINES",
    "IGNORE",
    "Batch",
    "BatchEngine",
    "BatchKVCache",
    "DeviceConfig",
    "Engine",
    "KVCache",
    "Logits",
    "OptimizerConfig",
    "TrainStepOutput",
    "best_engine",
    "open_engine",
    "select_device",
]

ENGINES = ("scalar", "lists", "numpy", "torch")


def best_engine() -> str:
    """The fastest engine that is installed, to train."""
    return "torch" if find_spec("torch") else "numpy"


def open_engine(
    name: str,
    config: ModelConfig,
    weights: Weights,
    *,
    machine: DeviceConfig | None = None,
    optimizer: OptimizerConfig | None = None,
    seed: int = 0,
) -> Engine:
    """An engine that holds these weights.

    Args:
        name: one of `ENGINES`, or "auto" for the one that writes fastest on a CPU, which is
            NumPy: it has less to do around each product. See docs/serve.md.
        config: the architecture and its sizes.
        weights: in those shapes; they are copied.
        machine: what it computes on, as `select_device` gives it; by default the CPU, in float32
            where the engine can.
        optimizer: how it trains.
        seed: random seed of dropout.

    Raises:
        UsageError: no such engine, or not on this machine.
        AnexaError: the engine's library is not installed.
    """
    optimizer = optimizer or OptimizerConfig()
    name = "numpy" if name == "auto" else name
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}: choose one of {', '.join(ENGINES)}")
    if machine is None:
        dtype = "float32" if name in ("numpy", "torch") else "auto"
        machine = select_device(name, config, "cpu", dtype)
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

        return NumpyEngine(config, weights, optimizer, machine.dtype)
    from anexa.engines.torch import TorchEngine

    return TorchEngine(config, weights, optimizer, machine, seed)
