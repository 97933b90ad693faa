"""How the function is computed: four engines that open the same weights and agree."""

from __future__ import annotations

from importlib.util import find_spec

from anexa.engines.adam import Adam
from anexa.engines.protocol import IGNORE, Batch, Cache, Engine
from anexa.errors import AnexaError, UsageError
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

__all__ = ["ENGINES", "IGNORE", "Adam", "Batch", "Cache", "Engine", "best_engine", "open_engine"]

ENGINES = ("scalar", "lists", "numpy", "torch")


def best_engine() -> str:
    """The fastest engine that is installed."""
    return "torch" if find_spec("torch") else "numpy"


def open_engine(
    name: str,
    config: ModelConfig,
    weights: Weights,
    *,
    dtype: str | None = None,
    adam: Adam | None = None,
) -> Engine:
    """An engine that holds these weights.

    Args:
        name: one of `ENGINES`, or "auto" for the best one installed.
        config: the architecture and its sizes.
        weights: in those shapes; they are copied.
        dtype: "float32" (the default of `numpy` and `torch`) or "float64" (the only choice of the
            pure-Python engines).
        adam: the optimizer's settings, for training.

    Raises:
        UsageError: no such engine, or not in this precision.
        AnexaError: the engine's library is not installed.
    """
    adam = adam or Adam()
    name = best_engine() if name == "auto" else name
    if name in ("scalar", "lists") and dtype == "float32":
        raise UsageError(f"the {name} engine computes in float64 only")
    if dtype not in (None, "float32", "float64"):
        raise UsageError(f"there is no precision {dtype!r}: choose float32 or float64")
    if name == "scalar":
        from anexa.engines.scalar import ScalarEngine

        return ScalarEngine(config, weights, adam)
    if name == "lists":
        from anexa.engines.lists import ListsEngine

        return ListsEngine(config, weights, adam)
    if name == "numpy":
        from anexa.engines.numpy import NumpyEngine

        return NumpyEngine(config, weights, adam, dtype or "float32")
    if name == "torch":
        if not find_spec("torch"):
            raise AnexaError("the torch engine needs PyTorch: pip install 'anexa[torch]'")
        from anexa.engines.torch import TorchEngine

        return TorchEngine(config, weights, adam, dtype or "float32")
    raise UsageError(f"there is no engine {name!r}: choose one of {', '.join(ENGINES)}")
