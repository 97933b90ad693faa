"""The inference program of a model, compiled, and its calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anexa.engines.program.build import CompiledStep
from anexa.engines.program.fusion import fuse
from anexa.engines.program.hoisting import hoist, narrow
from anexa.engines.program.memory import plan_memory
from anexa.engines.program.runner import Array, Runner, aligned
from anexa.engines.program.trace import inference_program
from anexa.engines.program.writer import Writer, weight_offsets
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig

MAX_ROWS = 64  # rows in a call: more would take memory, and gain no speed


class Inference:
    """Computes logits, or last hidden states, for rows: tokens with the caches of their sequences.

    The result for a row has the same bits, whatever other rows are in a call.

    Args:
        config: the architecture and its sizes.
        dtype: "float32" or "float64".
        weights: all weights as one vector, in the order of the architecture.
        headless: compute the last hidden states.
    """

    def __init__(
        self, config: ModelConfig, dtype: str, weights: Array, *, headless: bool = False
    ) -> None:
        program = inference_program(config, headless=headless)
        fuse(program)
        narrow(program)
        preparation, prepared = hoist(program)
        parameters = architecture(config).parameters(config)
        offsets = weight_offsets({name: p.shape for name, p in parameters.items()}) | prepared
        constants = {"n_layer": config.n_layer}
        arrays = {
            "weights": weights,
            "prepared": aligned(prepared[""], dtype),
            "scratch": aligned(-(-config.block_size // MAX_ROWS) * MAX_ROWS, dtype),
            **rotary_tables(config, dtype),
        }
        runners = []
        for part, title in ((preparation, "preparation of weights"), (program, "inference")):
            plan = plan_memory(part)
            source = Writer(part, plan, offsets, constants, dtype, title).write()
            runners.append(Runner(source, CompiledStep(source), plan, dtype, arrays))
        self._preparation, self._runner = runners
        self._result = next(iter(program.results.values()))
        self._inputs = np.zeros((3, MAX_ROWS), np.int64)  # tokens, positions, caches
        for name, array in zip(("tokens", "positions", "caches"), self._inputs):
            self._runner.set_word(name, array.ctypes.data)

    def prepare(self) -> None:
        """Compute what depends on the weights alone: after they have changed."""
        self._preparation.run(0)

    def run(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        caches: Sequence[int],
        first_wanted: int = 0,
    ) -> Array:
        """Append each row's token to its cache.

        Args:
            tokens: token of each row, at most `MAX_ROWS`.
            positions: position of each row's token in its sequence.
            caches: address of the cache of each row's sequence.
            first_wanted: index of the first row whose result is wanted.

        Returns:
            The results of the rows from `first_wanted` on, (rows, width); the next call changes
            them.

        Raises:
            MemoryError: if the memory is too small.
        """
        rows = len(tokens)
        self._runner.reserve(rows)
        self._inputs[0, :rows], self._inputs[1, :rows] = tokens, positions
        self._inputs[2, :rows] = caches
        self._runner.run(rows, first_wanted)
        return self._runner.result(self._result)[first_wanted:rows]


def rotary_tables(config: ModelConfig, dtype: str) -> dict[str, Array]:
    """Compute cos α and sin α of rotary positions, (context, D/2): α = position · θ^(−2i/D)."""
    half = config.head_dim // 2
    frequencies = config.rope_theta ** (-np.arange(half) / half)
    angles_TD = np.arange(config.block_size)[:, None] * frequencies
    return {
        name: np.ascontiguousarray(function(angles_TD).astype(dtype))
        for name, function in (("cos", np.cos), ("sin", np.sin))
    }
