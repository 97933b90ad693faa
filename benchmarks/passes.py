"""Gain of each pass of the numba engine's compiler: decoding and prefill without one of them.

    python benchmarks/passes.py [--folder FOLDER] [--rounds 200]

The programs, for the model of a folder (by default the bundled one) in float32:

- all: with all passes;
- no fusion: instructions as they were traced;
- no hoisting: weights are packed in each call;
- no narrowing: logits of all tokens of a prompt;
- no sharing: each array has memory of its own.

Prints the microseconds of processor time of a call with one thread, the median over the rounds, and
the ratio to "all", a median of the ratios within a round. The programs take turns in one process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from math import prod
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # of the engine, too

import numpy as np

from anexa.engines.program.fusion import fuse
from anexa.engines.program.hoisting import hoist, narrow
from anexa.engines.program.inference import Inference, compile_written
from anexa.engines.program.memory import ALIGNMENT, Allocation, MemoryPlan, plan_memory
from anexa.engines.program.passes import WrittenInference, write_parts
from anexa.engines.program.program import Program
from anexa.engines.program.runner import aligned_zeros
from anexa.engines.program.sequence_cache import SequenceCache
from anexa.engines.program.trace import inference_program
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.config import ModelConfig
from anexa.model.loading import load_model

DTYPE = "float32"
PROGRAMS = ("all", "no fusion", "no hoisting", "no narrowing", "no sharing")
POSITION = 60  # tokens in the cache of a decode step
# Rows of a call, and whether they are of one text.
WORK = {"decode": (1, False), "decode 32": (32, False), "prompt of 64": (64, True)}


def written_without(config: ModelConfig, left_out: str) -> WrittenInference:
    """Write the programs of inference without a pass."""
    program, preparation, prepared = inference_program(config), Program(), {"": 0}
    if left_out != "no fusion":
        fuse(program)
    if left_out != "no narrowing":
        narrow(program)
    if left_out != "no hoisting":
        preparation, prepared = hoist(program)
    plan = plan_unshared if left_out == "no sharing" else plan_memory
    return write_parts(config, DTYPE, preparation, program, prepared, plan)


def plan_unshared(program: Program) -> MemoryPlan:
    """Return the plan in which each array has memory of its own."""
    shared, plan = plan_memory(program), MemoryPlan()
    outputs = [value.root for i in program.instructions for value in i.outputs]
    for value in dict.fromkeys(value for value in outputs if value in shared.allocations):
        size = value.width if value.has_rows else prod(map(int, value.shape))
        size = -(-size // ALIGNMENT) * ALIGNMENT
        begin = plan.row_size if value.has_rows else plan.fixed_size
        plan.allocations[value] = Allocation(begin, value.has_rows)
        if value.has_rows:
            plan.row_size += size
        else:
            plan.fixed_size += size
    return plan


def call(inference: Inference, config: ModelConfig, work: str) -> Callable[[], object]:
    """Prepare a call: rows of one text, or of as many texts at `POSITION`."""
    rows, one_text = WORK[work]
    caches = [SequenceCache(config, DTYPE, num_blocks=8) for _ in range(1 if one_text else rows)]
    addresses = [caches[0].address] * rows if one_text else [cache.address for cache in caches]
    positions = range(rows) if one_text else [POSITION] * rows
    tokens, first_wanted = [i % config.vocab_size for i in range(rows)], rows - 1 if one_text else 0

    def execute() -> object:
        assert caches  # whose memory the addresses are of
        return inference.run(
            tokens, positions, addresses, first_wanted=first_wanted, one_sequence=one_text
        )

    return execute


def microseconds(execute: Callable[[], object]) -> float:
    """Measure the processor time of a call."""
    begun = time.thread_time_ns()
    execute()
    return (time.thread_time_ns() - begun) / 1000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=BUNDLED_FOLDER, help="model folder")
    parser.add_argument("--rounds", type=int, default=200, help="calls of each program")
    options = parser.parse_args()
    model = load_model(options.folder)
    config = model.config
    vector = np.concatenate([np.asarray(weight.data) for weight in model.weights.values()])
    weights = aligned_zeros(len(vector), DTYPE)
    weights[:] = vector
    inferences = {}
    for name in PROGRAMS:
        program = compile_written(written_without(config, name))
        inferences[name] = Inference(program, config, DTYPE, weights)
        inferences[name].prepare()
    print(f"{platform.machine()}, {date.today()}, {options.rounds} rounds, us of processor time")
    print(f"{'':14}" + "".join(f"{name:>20}" for name in PROGRAMS))
    for work in WORK:
        calls = {name: call(inference, config, work) for name, inference in inferences.items()}
        rounds = [
            {name: microseconds(execute) for name, execute in calls.items()}
            for _ in range(options.rounds)
        ]
        print(f"{work:14}", end="")
        for name in PROGRAMS:
            figure = statistics.median(times[name] for times in rounds)
            ratio = statistics.median(times[name] / times["all"] for times in rounds)
            print(f"{f'{figure:,.1f} ({ratio:.2f})':>20}", end="")
        print()


if __name__ == "__main__":
    main()
