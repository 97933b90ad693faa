"""Tokens a second that NumPy and PyTorch write, by the size of the model: one text, and many.

    python benchmarks/decoding.py [--texts 32] [--rounds 3]

Random weights, the texts in the middle of a context of 512 tokens. "alone" is `next_logits`, by
which `anexa generate` and `anexa chat` write; "rows" is `batch_next_logits`, by which the server
does. The two take turns, and the medians of their rounds are printed.
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

from anexa.engines import BatchEngine, open_engine
from anexa.model.config import ModelConfig
from anexa.model.weights import initial_weights, num_parameters

# n_embd, n_head, n_layer
SIZES = [(128, 4, 4), (192, 6, 6), (256, 8, 6), (384, 6, 6), (512, 8, 8)]
PROMPT = [1] * 256
SECONDS = 0.3  # of one round


def per_second(step: Callable[[], None], tokens: int) -> float:
    """Measure tokens per second, with `tokens` new tokens in each step."""
    step()
    begun, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < SECONDS:
        step()
        steps += 1
    return tokens * steps / passed


def speeds(engine: BatchEngine, texts: int) -> Sequence[float]:
    """Measure one sequence alone, one sequence in a batch, and a batch of `texts` sequences."""

    def alone() -> None:
        cache.length = len(PROMPT)
        for layer in cache.layers:
            layer.length = len(PROMPT)
        engine.next_logits([2], cache)

    def together() -> None:
        rows.lengths = [len(PROMPT)] * len(rows.lengths)
        engine.batch_next_logits([2] * len(rows.lengths), rows)

    cache, rows = engine.new_kv_cache(), engine.new_batch_cache(texts)
    engine.next_logits(PROMPT, cache)
    engine.add_sequence(rows, cache)
    found = [per_second(alone, 1), per_second(together, 1)]
    cache.length = len(PROMPT)
    for _ in range(texts - 1):
        engine.add_sequence(rows, cache)
    return [*found, per_second(together, texts)]


def main() -> None:
    """Measure all sizes, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{date.today()}  {platform.machine()}  torch {torch.__version__}")
    print(f"{'':10}{'numpy: alone':>14}{'1 row':>10}{f'{options.texts} rows':>10}", end="")
    print(f"{'torch: alone':>14}{'1 row':>10}{f'{options.texts} rows':>10}")
    for width, heads, layers in SIZES:
        config = ModelConfig("llama", 256, 512, width, heads, layers)
        weights = initial_weights(config, random.Random(0))
        rounds: dict[str, list[Sequence[float]]] = {"numpy": [], "torch": []}
        for _ in range(options.rounds):
            for name, done in rounds.items():
                engine = open_engine(name, config, weights)
                assert isinstance(engine, BatchEngine)
                done.append(speeds(engine, options.texts))
        print(f"{num_parameters(config) / 1e6:8.1f}M ", end="")
        for done in rounds.values():
            for width_of, figures in zip((14, 10, 10), zip(*done)):
                print(f"{statistics.median(figures):{width_of},.0f}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
