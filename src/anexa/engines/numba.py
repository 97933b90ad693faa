"""Rung 4: the function written out as one program, and compiled by Numba."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import cast

import numpy as np

from anexa.engines.batch import Batch
from anexa.engines.operations.arrays import as_weights
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.program.inference import MAX_ROWS_PER_CALL, Inference, compile_inference
from anexa.engines.program.runner import Array, aligned_zeros
from anexa.engines.program.sequence_cache import SequenceCache
from anexa.engines.program.training import TrainingStep
from anexa.engines.protocol import BatchKVCache, KVBlock, KVCache, Logits, TrainStepOutput
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights


class NumbaEngine:
    """Engine and batch engine on a program compiled by Numba, in float32 or float64.

    The results for a sequence do not depend on the other sequences in the batch, because a kernel
    adds up every sum in the same order for any batch. `Engine` and `BatchEngine` document the
    methods. The first call that needs a program compiles it, or takes it from the cache.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name, which are copied.
        optimizer: configuration of the optimizer.
        dtype: precision, "float32" or "float64".
    """

    name = "numba"

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        optimizer: OptimizerConfig,
        dtype: str = "float32",
    ) -> None:
        self.config, self.dtype = config, dtype
        self._weights = aligned_zeros(sum(len(weight.data) for weight in weights.values()), dtype)
        self._training = TrainingStep(config, dtype, self._weights, optimizer)
        for name, view in self._training.weights.items():
            view[...] = np.asarray(weights[name].data).reshape(view.shape)
        self._programs: dict[bool, Inference] = {}  # by whether they leave out the head
        self._prepared: set[bool] = set()  # those that were prepared for the present weights
        self._preparing = Lock()

    def logits(self, tokens: Sequence[int]) -> list[list[float]]:
        logits_TV = self.prompt_logits(tokens, self.new_kv_cache())
        return cast("list[list[float]]", np.asarray(logits_TV).tolist())

    def hidden_states(self, tokens: Sequence[int]) -> list[list[float]]:
        states_TC = self._append(self._headless, tokens, self.new_kv_cache(), 0)
        return cast("list[list[float]]", states_TC.tolist())

    def loss(self, batch: Batch) -> float:
        return self._training.loss(batch)

    def gradients(self, batch: Batch) -> tuple[float, Weights]:
        loss, gradients = self._training.gradients(batch)
        return loss, as_weights(gradients)

    def train_step(self, batch: Batch, learning_rate: float) -> TrainStepOutput:
        self._prepared.clear()
        return self._training.train_step(batch, learning_rate)

    def optimizer_state(self) -> Weights:
        return as_weights(self._training.state())

    def load_optimizer_state(self, state: Weights, step: int) -> None:
        self._training.load_optimizer_state(state, step)

    def new_kv_cache(self) -> KVCache:
        return KVCache([SequenceCache(self.config, self.dtype, num_blocks=4)])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        logits_1V = self._append(self._inference, tokens, cache, len(tokens) - 1)
        return cast("Sequence[float]", logits_1V[0])

    def prompt_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[Sequence[float]]:
        return cast("Sequence[Sequence[float]]", self._append(self._inference, tokens, cache, 0))

    def copy_block(self, cache: KVCache, start: int, end: int) -> KVBlock:
        keys, values = cache.layers[0].copy_tokens(start, end)
        return KVBlock([(keys, values)], end - start, keys.nbytes + values.nbytes)

    def append_block(self, cache: KVCache, block: KVBlock) -> None:
        cache.layers[0].append_tokens(*block.layers[0])
        cache.length += block.length

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:  # noqa: ARG002 (it grows as needed)
        return BatchKVCache([])

    def add_sequence(self, batch_cache: BatchKVCache, cache: KVCache) -> None:
        batch_cache.layers.append(cache.layers[0].copy())
        batch_cache.lengths.append(cache.length)

    def remove_sequence(self, batch_cache: BatchKVCache, index: int) -> None:
        for column in (batch_cache.layers, batch_cache.lengths):
            column[index] = column[-1]
            column.pop()

    def batch_next_logits(self, tokens: Sequence[int], batch_cache: BatchKVCache) -> Logits:
        caches: list[SequenceCache] = batch_cache.layers
        lengths = batch_cache.lengths
        for cache, length in zip(caches, lengths):
            cache.reserve(length + 1)
        addresses = [cache.address for cache in caches]
        logits = []
        for begin in range(0, len(tokens), MAX_ROWS_PER_CALL):
            part = slice(begin, begin + MAX_ROWS_PER_CALL)
            logits.append(self._inference.run(tokens[part], lengths[part], addresses[part]))
        logits_BV = _joined(logits)
        batch_cache.lengths = [length + 1 for length in lengths]
        for cache in caches:
            cache.length += 1
        return logits_BV

    def weights(self) -> Weights:
        return as_weights(self._training.weights)

    @property
    def _inference(self) -> Inference:
        return self._inference_program(headless=False)

    @property
    def _headless(self) -> Inference:
        return self._inference_program(headless=True)

    def _inference_program(self, *, headless: bool) -> Inference:
        """Return a program that is prepared for the present weights.

        Args:
            headless: whether the program returns the last hidden states instead of logits.
        """
        with self._preparing:
            if headless not in self._programs:
                program = compile_inference(self.config, self.dtype, headless)
                inference = Inference(program, self.config, self.dtype, self._weights)
                self._programs[headless] = inference
            if headless not in self._prepared:
                self._programs[headless].prepare()
                self._prepared.add(headless)
            return self._programs[headless]

    def _append(
        self, inference: Inference, tokens: Sequence[int], kv_cache: KVCache, first_wanted: int
    ) -> Array:
        """Append tokens to the cache of one sequence, and compute logits or hidden states.

        Args:
            inference: program to run.
            tokens: T ≥ 1 token ids.
            kv_cache: cache of the sequence.
            first_wanted: index of the first token whose result is wanted.

        Returns:
            The results of the tokens from there on, (number of tokens, V) or (number of tokens, C).
        """
        cache: SequenceCache = kv_cache.layers[0]
        start = kv_cache.length
        cache.reserve(start + len(tokens))
        address, results = cache.address, []
        for begin in range(0, len(tokens), MAX_ROWS_PER_CALL):
            part = tokens[begin : begin + MAX_ROWS_PER_CALL]
            positions = range(start + begin, start + begin + len(part))
            caches = [address] * len(part)
            wanted = first_wanted - begin
            results.append(
                inference.run(part, positions, caches, first_wanted=wanted, one_sequence=True)
            )
        joined = _joined(results)
        kv_cache.length = cache.length = start + len(tokens)
        return joined


def _joined(results: list[Array]) -> Array:
    """Concatenate the results of successive calls along the tokens.

    Raises:
        MemoryError: if the memory is too small.
    """
    return results[0] if len(results) == 1 else np.concatenate(results)
