"""Decoding throughput of the NumPy and PyTorch engines, by model size and batch size.

    python benchmarks/decoding.py [--batch-size 32] [--rounds 3]

Prints tokens per second for Llama models with random weights, at position 256 of a context of 512
tokens, in three columns per engine:

- single: one sequence by `next_logits`, as in `anexa generate` and `anexa chat`;
- batch 1: one sequence by `batch_next_logits`, the batched decoding step of the server;
- batch 32 (`--batch-size`): that many sequences by `batch_next_logits`, tokens of all together.

The engines run in turn, and the medians over the rounds are printed. CPU only.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date

import torch

from anexa.engines import BatchEngine, Engine, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights, num_parameters

# n_embd, n_head, n_layer
SIZES = [(128, 4, 4), (192, 6, 6), (256, 8, 6), (384, 6, 6), (512, 8, 8)]
CONTEXT = 512  # tokens
PROMPT = [1] * 256
MEASUREMENT_SECONDS = 0.3  # duration of one measurement


def per_second(step: Callable[[], None], tokens: int) -> float:
    """Measure tokens per second, with `tokens` new tokens in each step."""
    step()
    begun, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < MEASUREMENT_SECONDS:
        step()
        steps += 1
    return tokens * steps / passed


def decode_single(engine: Engine | BatchEngine) -> Callable[[], None]:
    """Prefill a sequence; returns a decoding step of it, always at the same position."""
    cache = engine.new_kv_cache()
    engine.next_logits(PROMPT, cache)

    def step() -> None:
        cache.truncate(len(PROMPT))
        engine.next_logits([2], cache)

    return step


def decode_batch(engine: BatchEngine, batch_size: int) -> Callable[[], None]:
    """Prefill a batch of sequences; returns a decoding step of it, always at the same position."""
    cache, batch_cache = engine.new_kv_cache(), engine.new_batch_cache(batch_size)
    engine.next_logits(PROMPT, cache)
    for _ in range(batch_size):
        engine.add_sequence(batch_cache, cache)

    def step() -> None:
        batch_cache.lengths = [len(PROMPT)] * batch_size
        engine.batch_next_logits([2] * batch_size, batch_cache)

    return step


def speeds(engine: BatchEngine, batch_size: int) -> Sequence[float]:
    """Measure tokens per second of a single sequence, a batch of 1, and one of `batch_size`."""
    return [
        per_second(decode_single(engine), 1),
        per_second(decode_batch(engine, 1), 1),
        per_second(decode_batch(engine, batch_size), batch_size),
    ]


def main() -> None:
    """Measure all sizes, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--batch-size", type=int, default=32, help="sequences (default: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements (default: 3)")
    options = parser.parse_args()
    print(f"{date.today()}  {platform.machine()}  torch {torch.__version__}  tokens per second")
    batch = f"batch {options.batch_size}"
    print(f"{'parameters':10}{'numpy: single':>15}{'batch 1':>10}{batch:>10}", end="")
    print(f"{'torch: single':>15}{'batch 1':>10}{batch:>10}")
    for width, heads, layers in SIZES:
        config = ModelConfig("llama", 256, CONTEXT, width, heads, layers)
        weights = initial_weights(config, random.Random(0))
        rounds: dict[str, list[Sequence[float]]] = {"numpy": [], "torch": []}
        for _ in range(options.rounds):
            for name, done in rounds.items():
                engine = open_engine(name, config, weights)
                assert isinstance(engine, BatchEngine)
                done.append(speeds(engine, options.batch_size))
        print(f"{num_parameters(config) / 1e6:8.1f}M ", end="")
        for done in rounds.values():
            for width_of, figures in zip((15, 10, 10), zip(*done)):
                print(f"{statistics.median(figures):{width_of},.0f}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
