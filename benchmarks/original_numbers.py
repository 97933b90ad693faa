"""Agreement of an engine in float64 with the original's numbers: 1,000 losses and 20 names.

    python benchmarks/original_numbers.py [--engine numba] [--corpus names.txt] [--steps 1000]

Trains the names model as the original does (seed 42, one document a step, learning rate falling
to 0), with `microgpt.py`, whose losses equal the original's to the last bit, and with the engine,
and lets both write 20 names with the same random numbers. Prints how many losses agree to four
decimals and to the last bit, the largest difference, and the names.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from math import exp

from ladder import names_engine

import microgpt
from anexa.engines import Batch, Engine
from anexa.errors import AnexaError

TEMPERATURE, SAMPLES = 0.5, 20


def write_name(engine: Engine, model: microgpt.Model, rng: random.Random) -> str:
    """Sample a name with the engine, as `microgpt.inference` does."""
    cache, tokens = engine.new_kv_cache(), [model.bos]
    for _ in range(engine.config.block_size):
        logits = [float(z) / TEMPERATURE for z in engine.next_logits(tokens[-1:], cache)]
        largest = max(logits)
        weights = [exp(z - largest) for z in logits]
        token = rng.choices(range(len(weights)), weights)[0]
        if token == model.bos:
            break
        tokens.append(token)
    return "".join(model.chars[token] for token in tokens[1:])


def main() -> None:
    """Train both, and print where they agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--engine", default="numba", help="engine (default: numba)")
    parser.add_argument("--corpus", default="names.txt", help="file with one name per line")
    parser.add_argument("--steps", type=int, default=1000, help="training steps (default: 1000)")
    options = parser.parse_args()

    docs, rng = microgpt.read_docs(options.corpus), random.Random(42)
    rng.shuffle(docs)
    model = microgpt.Model(docs, rng)
    engine, encode = names_engine(options.engine, model, "float64")
    rates = [0.01 * (1 - step / options.steps) for step in range(options.steps)]
    ours = [
        engine.train_step(Batch.from_sequences([encode(docs[step % len(docs)])]), rate).loss
        for step, rate in enumerate(rates)
    ]
    theirs = list(microgpt.train(model, docs, options.steps))

    def names(write: Callable[[random.Random], str]) -> list[str]:
        same = random.Random()
        same.setstate(rng.getstate())
        return [write(same) for _ in range(SAMPLES)]

    written = names(lambda same: write_name(engine, model, same))
    original = names(lambda same: microgpt.inference(model, same))
    decimals = sum(f"{mine:.4f}" == f"{other:.4f}" for mine, other in zip(ours, theirs))
    bits = sum(mine == other for mine, other in zip(ours, theirs))
    largest = max(abs(mine - other) for mine, other in zip(ours, theirs))
    print(f"{options.engine}, float64, {options.steps} steps, {len(docs)} documents")
    print(f"losses equal to 4 decimals: {decimals}, to the last bit: {bits}")
    print(f"largest difference of a loss: {largest:.1e}")
    same_names = sum(mine == other for mine, other in zip(written, original))
    print(f"names equal: {same_names} of {SAMPLES}: {' '.join(written)}")


if __name__ == "__main__":
    try:
        main()
    except AnexaError as error:
        sys.exit(f"error: {error}")
