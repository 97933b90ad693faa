"""Compilation in the background: `python -m anexa.engines.program.background CONFIG PRECISION`.

CONFIG is the content of the model's `config.json`. A first answer does not wait for the compiler: a
process that finds no machine code of the model in the cache uses another engine. It keeps that
engine after the compilation has finished, so that its numbers do not depend on when that was.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import time
from array import array
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from math import prod
from pathlib import Path

from anexa.cache import CACHE_VARIABLE, cache_folder
from anexa.engines.program import code_cache
from anexa.engines.program.units import code_dependencies
from anexa.model.architectures import config_from_json, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight

COMPILE_TIMEOUT = 300.0  # seconds after which a compilation is ended, and another one may start


def is_compiled(config: ModelConfig, dtype: str) -> bool:
    """Return whether `compile_in_background` has compiled a model into the cache.

    Args:
        config: architecture and sizes of the model.
        dtype: precision, "float32" or "float64".
    """
    return code_cache.read(_mark(config, dtype)) is not None


def compile_in_background(config: ModelConfig, dtype: str) -> subprocess.Popen[bytes] | None:
    """Start a process that compiles a model into the cache, and outlives this one.

    Args:
        config: architecture and sizes of the model.
        dtype: precision, "float32" or "float64".

    Returns:
        The process; None if another one began to compile the model in the last `COMPILE_TIMEOUT`
        seconds and has not succeeded, if the cache cannot be written, or if the process cannot be
        started.
    """
    mark = _mark(config, dtype)
    begun = mark.with_suffix(".begun")
    described = json.dumps(get_architecture(config).to_json(config))
    try:
        code_cache.check_writable(mark.parent)
        with suppress(FileNotFoundError):
            if begun.stat().st_mtime < time.time() - COMPILE_TIMEOUT:
                begun.unlink(missing_ok=True)
        begun.touch(exist_ok=False)
        return subprocess.Popen(
            [sys.executable, "-m", "anexa.engines.program.background", described, dtype],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[3],  # where Python finds our modules, and no others first
            # The cache folder may be relative to the folder of this process.
            env=os.environ | {CACHE_VARIABLE: str(cache_folder())},
            start_new_session=True,  # so that Ctrl-C and a closed terminal do not end it
        )
    except OSError:  # nothing can be begun, for one of the two reasons or lack of memory
        return None


def _mark(config: ModelConfig, dtype: str) -> Path:
    """Return the path of the marker file, which exists when a model has been compiled."""
    key = repr((sorted(asdict(config).items()), dtype, *code_dependencies()))
    return code_cache.path(sha256(key.encode()).hexdigest())


def main() -> None:
    """Compile the model in the arguments, by computing logits once with weights that are all 0.

    It runs at low priority, and is ended after `COMPILE_TIMEOUT`. At the end it writes a file to
    the cache that marks the model as compiled, for `is_compiled`.
    """
    from anexa.engines.numba import NumbaEngine
    from anexa.engines.optimizers import OptimizerConfig

    if hasattr(os, "nice"):
        os.nice(10)  # whoever is waiting for an answer goes first
    faulthandler.dump_traceback_later(COMPILE_TIMEOUT, exit=True)
    config, dtype = config_from_json(json.loads(sys.argv[1])), sys.argv[2]
    weights = {
        name: Weight(parameter.shape, array("f", bytes(4 * prod(parameter.shape))))
        for name, parameter in get_architecture(config).parameters(config).items()
    }
    NumbaEngine(config, weights, OptimizerConfig(), dtype).logits([0])
    mark = _mark(config, dtype)
    code_cache.write(mark, b"compiled")
    # Only now: what has failed would fail again, at every start.
    mark.with_suffix(".begun").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
