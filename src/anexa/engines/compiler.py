"""`torch.compile` in training, with a fallback to the plain module if the compiler fails."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anexa.errors import AnexaWarning, one_line

# Environment variables with the cache folders of `torch.compile` and of Triton, its compiler for
# GPUs; PyTorch sets them when it compiles.
INDUCTOR_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
TRITON_CACHE_VARIABLE = "TRITON_CACHE_DIR"
FRESH_CACHE_PREFIX = "anexa-compiler-"  # prefix of the name of a fresh cache
# Parts of the messages when memory runs out: on a CPU, on MPS or in the CUDA driver, and in cuBLAS.
OUT_OF_MEMORY_TEXTS = ("allocate memory", "out of memory", "ALLOC_FAILED")


class CompiledModule:
    """A module compiled by `torch.compile`, which falls back to the module itself.

    Args:
        module: module to compile.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._call: Callable[..., Tensor] = torch.compile(module)

    def run(self, work: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Compute with the compiled module; if the compiler fails, warn, and use the module itself.

        Before that, the compiler is tried once more with an empty cache, in case files in its cache
        are damaged; the environment variable `INDUCTOR_CACHE_VARIABLE` then names the new folder.

        Args:
            work: function of the module and `inputs` that computes the loss and the gradients; both
                are compiled at its first call, which changes no gradient if the compiler fails.
            inputs: further arguments of `work`.

        Returns:
            The result of `work`, the loss.

        Raises:
            RuntimeError: if the memory is too small, or `work` also fails with the module itself.
        """
        try:
            return work(self._call, *inputs)
        except RuntimeError as error:
            if self._call is self._module or is_out_of_memory(error):
                raise
            # The error is the compiler's, or it is raised again without the compiler.
            reason = one_line(str(error).strip().partition("\n")[0])
        # A process that was killed while it compiled may have left half of a file in the cache.
        damaged = _use_fresh_cache()
        self._call = torch.compile(self._module) if damaged else self._module
        result = self.run(work, *inputs)
        if self._call is not self._module:
            _warn(
                f"torch.compile failed with the files in {damaged} ({reason}) and works without "
                "them: delete that folder"
            )
        elif not damaged:  # else it has been said
            _warn(f"training goes on without torch.compile, which failed: {reason}")
        return result


def _use_fresh_cache() -> str | None:
    """Make the compiler use a new, empty cache until the process ends.

    Returns:
        The folder of the cache so far; None if there is none, or it is new.
    """
    before = os.environ.get(INDUCTOR_CACHE_VARIABLE, "")
    if not Path(before).is_dir() or Path(before).name.startswith(FRESH_CACHE_PREFIX):
        return None
    if Path(os.environ.get(TRITON_CACHE_VARIABLE, "")).is_relative_to(before):
        del os.environ[TRITON_CACHE_VARIABLE]  # PyTorch chooses it again, in the new cache
    os.environ[INDUCTOR_CACHE_VARIABLE] = tempfile.mkdtemp(prefix=FRESH_CACHE_PREFIX)
    atexit.register(shutil.rmtree, os.environ[INDUCTOR_CACHE_VARIABLE], ignore_errors=True)
    torch.compiler.reset()
    return before


def _warn(sentence: str) -> None:
    warnings.warn(sentence, AnexaWarning, stacklevel=4)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error means that the memory is too small.

    PyTorch's own allocator for GPUs has a type for it; its other parts only have a message.

    Args:
        error: exception of PyTorch.
    """
    is_of_type = isinstance(error, torch.OutOfMemoryError)
    return is_of_type or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)
