"""The numba engine's calls: what is refused."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import pytest

from anexa.engines import Batch, DeviceConfig, OptimizerConfig, open_engine
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights

if not find_spec("numba"):
    pytest.skip("needs Numba", allow_module_level=True)

from anexa.engines.numba import NumbaEngine

pytestmark = pytest.mark.filterwarnings("ignore:compiling the model")
CONFIG = ModelConfig("microgpt", 11, 8, 4, 1, 1)


@pytest.fixture(scope="module")
def engine() -> NumbaEngine:
    return NumbaEngine(CONFIG, random_weights(CONFIG, 0), OptimizerConfig(), "float64")


def step(engine: NumbaEngine, tokens: Sequence[int]) -> object:
    """A decoding step after a full context, or of an unknown token."""
    cache, batch = engine.new_kv_cache(), engine.new_batch_cache(1)
    engine.next_logits([1] * (len(tokens) - 1), cache)
    engine.add_sequence(batch, cache)
    return engine.batch_next_logits(tokens[-1:], batch)


CALLS: list[Callable[[NumbaEngine, Sequence[int]], object]] = [
    lambda engine, tokens: engine.logits(tokens),
    lambda engine, tokens: engine.hidden_states(tokens),
    lambda engine, tokens: engine.next_logits(tokens, engine.new_kv_cache()),
    step,
]


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("tokens", [[1, 11], [1, -1], [1, 10**12], [1] * 9])
def test_tokens_that_have_no_embedding_are_refused(
    engine: NumbaEngine, call: Callable[[NumbaEngine, Sequence[int]], object], tokens: list[int]
) -> None:
    """Machine code would read, and write, what lies elsewhere in memory."""
    with pytest.raises(IndexError, match=r"is not in the vocabulary|is longer than the context"):
        call(engine, tokens)
    call(engine, [1, 10])


@pytest.mark.slow
@pytest.mark.parametrize("sequences", [[[1] * 10], [[1, 2], [1] * 10]])
def test_batches_beyond_the_context_are_refused(
    engine: NumbaEngine, sequences: list[list[int]]
) -> None:
    batch, fits = Batch.from_sequences(sequences), Batch.from_sequences([[1] * 9])
    for function in (engine.loss, engine.gradients, lambda batch: engine.train_step(batch, 0.0)):
        for _ in range(2):
            with pytest.raises(IndexError, match="is longer than the context of 8 tokens"):
                function(batch)
        function(fits)


def test_numbers_far_below_those_of_float32_are_compared() -> None:
    """Scores of attention and logits around −1e100, of which the largest counts."""
    config = ModelConfig("microgpt", 11, 8, 4, 1, 1)
    weights = random_weights(config, 1)
    for name in ("layers.0.attn_wq.weight", "lm_head.weight"):
        weights[name].data[:] = array("d", [-1e100 * abs(x) for x in weights[name].data])
    batch = Batch.from_sequences([[1, 2, 3, 4, 5]])
    exact = DeviceConfig(dtype="float64")
    ours, numpy = (open_engine(n, config, weights, device_config=exact) for n in ("numba", "numpy"))
    assert ours.loss(batch) == pytest.approx(numpy.loss(batch), rel=1e-12)
    for mine, theirs in zip(ours.logits([1, 2, 3]), numpy.logits([1, 2, 3])):
        assert mine == pytest.approx(theirs, rel=1e-12)
