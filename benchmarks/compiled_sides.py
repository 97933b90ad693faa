"""The sides of `compiled.py` that are engines, servers and programs.

Each function prepares a side, and returns what measures it: a function that takes a count of
tokens, requests, steps or runs, and returns the seconds of one of them: of the processor, or of the
wall clock where the work is in several processes (requests, and the start of the program).
"""

from __future__ import annotations

import atexit
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count as numbers
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

import numpy as np
from in_turn import SideUnavailable, environment, processor_seconds_each, seconds_each
from ladder import names_engine

import microgpt
from anexa.engines import Batch, BatchEngine, Engine, open_engine
from anexa.model.loading import load_model

Measure: TypeAlias = Callable[[int], float]

FIRST_TOKEN_ID = 5  # first token of a text; the time does not depend on it
WARM_UP = 500  # training steps before the measurement
STEP_TIME_PATTERN = re.compile(r"step\W+([\d.]+) us\b")  # "training per step   10.41 us"


def open_float32_engine(name: str, folder: Path) -> Engine:
    """Open a model folder with an engine, in float32."""
    model = load_model(folder)
    return open_engine(name, model.config, model.weights)


# ------------------------------------------------------------------ engines


def engine_loop(name: str, folder: Path) -> Measure:
    """Write one text with `next_logits` and argmax; measures seconds per token."""
    engine = open_float32_engine(name, folder)

    def seconds(count: int) -> float:
        cache, token = engine.new_kv_cache(), FIRST_TOKEN_ID

        def step() -> None:
            nonlocal token
            token = int(np.argmax(engine.next_logits([token], cache)))

        return processor_seconds_each(step, count)

    return seconds


def engine_batch_loop(name: str, folder: Path, num_seqs: int) -> Measure:
    """Write several texts with `batch_next_logits` and argmax; measures seconds per token."""
    engine = open_float32_engine(name, folder)
    if not isinstance(engine, BatchEngine):
        raise SideUnavailable(f"the {name} engine has no batch of sequences")

    def seconds(count: int) -> float:
        batch_cache, tokens = engine.new_batch_cache(num_seqs), [FIRST_TOKEN_ID] * num_seqs
        for number in range(num_seqs):
            cache = engine.new_kv_cache()
            prompt = [FIRST_TOKEN_ID] * (8 + number)  # prompts of different lengths
            engine.next_logits(prompt, cache)
            engine.add_sequence(batch_cache, cache)

        def step() -> None:
            nonlocal tokens
            tokens = np.argmax(engine.batch_next_logits(tokens, batch_cache), axis=1).tolist()

        return processor_seconds_each(step, count) / num_seqs

    return seconds


def engine_prefill(name: str, folder: Path, num_tokens: int) -> Measure:
    """Compute the logits after a prompt; measures the seconds until they are there."""
    engine = open_float32_engine(name, folder)
    prompt = random.Random(0).choices(range(engine.config.vocab_size), k=num_tokens)
    return lambda count: processor_seconds_each(
        lambda: engine.next_logits(prompt, engine.new_kv_cache()), count
    )


# ------------------------------------------------------------------ requests


def server(name: str, folder: Path, concurrency: int) -> Measure:
    """Answer requests over HTTP with `anexa serve`; measures seconds an output token."""
    from serve_load import over_http, questions

    process = subprocess.Popen(
        [sys.executable, "-m", "anexa", "serve", folder, "--port=0", f"--engine={name}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.terminate)
    assert process.stdout
    assert process.stderr
    first = process.stdout.readline()
    if not first:
        raise SideUnavailable(" ".join(process.stderr.read().split()))
    address, seeds = first.split()[-1], numbers()
    return lambda count: 1 / over_http(address, questions(count, next(seeds)), concurrency).speed


def transformers(folder: Path, batch_size: int) -> Measure:
    """Answer requests with `generate` of transformers; measures seconds an output token."""
    if not (find_spec("transformers") and find_spec("torch")):
        raise SideUnavailable("transformers is not installed: pip install transformers torch")
    from serve_load import Generate, questions

    generate, seeds = Generate(folder), numbers()
    return lambda count: 1 / generate(questions(count, next(seeds)), batch_size).speed


def completions(folder: Path) -> Measure:
    """Answer requests with llama-cpp-python; measures seconds an output token."""
    from llama_cpp_sides import Completions
    from serve_load import questions

    complete, seeds = Completions(folder), numbers()
    return lambda count: 1 / complete(questions(count, next(seeds)))


# ------------------------------------------------------------------ training of the names model


def names_steps(name: str, corpus: str, dtype: str, prepared: bool) -> Measure:
    """Train the names model, one document a step; measures the seconds of `train_step`.

    Args:
        name: the engine.
        corpus: file with one name per line.
        dtype: "float32" or "float64".
        prepared: make all batches before; else each from its text, within the measured time.
    """
    docs = microgpt.read_docs(corpus)
    random.Random(42).shuffle(docs)
    engine, encode = names_engine(name, microgpt.Model(docs, random.Random(42)), dtype)
    some = docs[:1000]  # the ports train on as many
    ready = [Batch.from_sequences([encode(doc)]) for doc in some]
    batches: Iterator[Batch] = (
        cycle(ready) if prepared else (Batch.from_sequences([encode(doc)]) for doc in cycle(some))
    )

    def step() -> None:
        engine.train_step(next(batches), 0.001)

    processor_seconds_each(step, WARM_UP)
    return lambda count: processor_seconds_each(step, count)


def processor_seconds_of_children() -> float:
    """Return the seconds that the processor has computed for processes that have ended.

    Raises:
        SideUnavailable: on Windows, which does not count them.
    """
    try:
        import resource
    except ModuleNotFoundError as error:
        raise SideUnavailable(
            "the processor's time of another program is not known on Windows"
        ) from error
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def port(command: str) -> Measure:
    """Run a program that trains the names model; reads the microseconds a step that it prints.

    They are of the wall clock, and become seconds of the processor by the share of it that the
    program had.
    """

    def seconds(_: int) -> float:  # the program has its own count
        begun, before = time.perf_counter(), processor_seconds_of_children()
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        share = (processor_seconds_of_children() - before) / (time.perf_counter() - begun)
        found = STEP_TIME_PATTERN.search(done.stdout)
        if not found:
            raise SideUnavailable(f"{command} does not print its microseconds a step")
        if not share > 0:  # some kernels count the processor's time in ticks of 10 ms
            raise SideUnavailable(f"{command} ends before the processor's clock has moved")
        return float(found[1]) / 1e6 * min(1.0, share)

    return seconds


# ------------------------------------------------------------------ start of the program


def start(name: str, folder: Path, cached: bool) -> Measure:
    """Run `anexa generate` for one token; measures the seconds from its start to its end.

    Args:
        name: the engine.
        folder: the model.
        cached: keep compiled code between the runs; else each run starts with an empty cache.
    """
    command = [sys.executable, "-m", "anexa", "generate", str(folder), "--prompt", "12*34"]
    command += ["--max-tokens", "1", "--engine", name]
    kept = tempfile.mkdtemp()

    def run() -> None:
        aside = kept if cached else tempfile.mkdtemp()
        done = subprocess.run(
            command,
            env=environment(None) | {"ANEXA_CACHE": aside, "NUMBA_CACHE_DIR": aside},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SideUnavailable(" ".join(done.stderr.split()))

    return lambda count: statistics.median(seconds_each(run, 1) for _ in range(count))
