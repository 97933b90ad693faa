"""Serving throughput and time to first token (TTFT), compared with transformers and llama.cpp.

    python benchmarks/serve_load.py [FOLDER] [--engine auto] [--concurrency 32] [--rounds 3]

All sides answer the same chat requests (products of two four-digit numbers) with greedy decoding:

- server: `anexa serve` on this computer, over HTTP with streaming, at concurrency 1 and 32;
- scheduler only: the server's decoding loop and detokenizer without HTTP, at concurrency 32;
- transformers: `generate`, with one request and with a left-padded batch of 32;
- llama-cpp-python (if installed): the same model as GGUF in F32, one request at a time.

The sides run in turn, with one thread for transformers and llama.cpp. Prints the median throughput
over the rounds, in output tokens (reasoning included) per second of wall-clock time; the ratios of
the throughputs; and the TTFT: the median at concurrency 1, and the 95th percentile at 32.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch
from llama_cpp_sides import Completions
from transformers import AutoModelForCausalLM, AutoTokenizer

from anexa.generation import LanguageModel, Prompt, Sampler, SamplingParams, TextStream
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.generation.scheduler import BatchScheduler
from anexa.model.chat_format import render_question


class Round(NamedTuple):
    """Result of a round: throughput in tokens per second, and TTFT of each request in seconds."""

    speed: float
    ttfts: Sequence[float] = ()


def questions(count: int, seed: int) -> list[str]:
    """Draw questions whose thoughts have similar lengths."""
    rng = random.Random(seed)
    digits = "123456789"
    return ["*".join("".join(rng.choices(digits, k=4)) for _ in "ab") for _ in range(count)]


async def stream(address: str, question: str) -> tuple[int, float]:
    """Send a streaming request; returns the number of output tokens, and the TTFT in seconds."""
    where = urlsplit(address)
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer, ttft = b"", 0.0
    while part := await reader.read(65_536):
        answer += part
        if not ttft and b'"reasoning"' in answer:
            ttft = time.perf_counter() - begun
    writer.close()
    assert b"[DONE]" in answer
    match = re.search(rb'"completion_tokens":(\d+)', answer)
    assert match
    return int(match[1]), ttft


def over_http(address: str, asked: Sequence[str], concurrency: int) -> Round:
    """Send requests to the server, `concurrency` at a time."""

    async def send_all() -> list[tuple[int, float]]:
        done = []
        for start in range(0, len(asked), concurrency):
            some = asked[start : start + concurrency]
            done += await asyncio.gather(*(stream(address, question) for question in some))
        return done

    begun = time.perf_counter()
    done = asyncio.run(send_all())
    seconds = time.perf_counter() - begun
    return Round(sum(tokens for tokens, _ in done) / seconds, [ttft for _, ttft in done])


def scheduler_only(model: LanguageModel, asked: Sequence[str], concurrency: int) -> Round:
    """Run the scheduler and the detokenizer without HTTP."""
    assert model.chat_template
    scheduler = BatchScheduler(model.engine, concurrency)
    size = model.engine.config.block_size
    begun, tokens = time.perf_counter(), 0
    for start in range(0, len(asked), concurrency):
        running = {}
        for question in asked[start : start + concurrency]:
            prompt = Prompt(model.tokenizer, size, render_question(model.chat_template, question))
            text = TextStream(model.tokenizer, prompt, max_tokens=model.max_new_tokens)
            running[scheduler.add(prompt.ids, Sampler(SamplingParams(0.0)))] = text
        while running:
            for output in scheduler.step():
                text = running[output.sequence]
                text.add(output.token)
                if text.finish_reason:
                    scheduler.remove(output.sequence)
                    tokens += running.pop(output.sequence).num_tokens
    return Round(tokens / (time.perf_counter() - begun))


class Generate:
    """transformers' `generate` on the same model folder."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._tokenizer.pad_token = self._tokenizer.eos_token

    def __call__(self, asked: Sequence[str], batch_size: int) -> Round:
        """Answer in batches of `batch_size` requests."""
        begun, tokens = time.perf_counter(), 0
        for start in range(0, len(asked), batch_size):
            conversations = [
                [{"role": "user", "content": question}]
                for question in asked[start : start + batch_size]
            ]
            inputs: Any = self._tokenizer.apply_chat_template(
                conversations,
                add_generation_prompt=True,
                return_tensors="pt",
                padding=True,
                return_dict=True,
            )
            inputs.pop("token_type_ids", None)
            width = inputs["input_ids"].shape[1]
            with torch.inference_mode():
                out = self._model.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=self._model.config.max_position_embeddings - width,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
            tokens += int((out[:, width:] != self._tokenizer.pad_token_id).sum())
        return Round(tokens / (time.perf_counter() - begun))


def main() -> None:
    """Measure all sides, and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", type=Path, default=BUNDLED_FOLDER, help="chat model")
    parser.add_argument("--engine", default="auto", help="engine of the server (default: auto)")
    parser.add_argument(
        "--concurrency", type=int, default=32, help="concurrent requests (default: 32)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements (default: 3)")
    options = parser.parse_args()
    many = options.concurrency
    folder = options.folder.resolve()
    torch.set_num_threads(1)
    generate, model = Generate(folder), LanguageModel.open(folder, options.engine)
    engine = model.engine.name
    server = subprocess.Popen(
        [sys.executable, "-m", "anexa", "serve", folder, "--port=0", f"--engine={engine}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        address = server.stdout.readline().split()[-1]
        sides: dict[str, Callable[[int], Round]] = {
            "server, concurrency 1": lambda seed: over_http(address, questions(4, seed), 1),
            f"server, concurrency {many}": lambda seed: over_http(
                address, questions(many, seed), many
            ),
            f"scheduler only, concurrency {many}": lambda seed: scheduler_only(
                model, questions(many, seed), many
            ),
        }
        sides["transformers, batch 1"] = lambda seed: generate(questions(1, seed), 1)
        sides[f"transformers, batch {many}"] = lambda seed: generate(questions(many, seed), many)
        if find_spec("llama_cpp"):
            complete = Completions(folder)
            sides["llama-cpp-python, batch 1"] = lambda seed: Round(complete(questions(1, seed)))
        rounds: dict[str, list[Round]] = {name: [] for name in sides}
        for number in range(-1, options.rounds):  # round -1 is the warm-up
            for name, side in sides.items():
                done = side(number + 2)
                if number >= 0:
                    rounds[name].append(done)
    finally:
        server.terminate()
        server.wait()
    speeds = {name: statistics.median(r.speed for r in done) for name, done in rounds.items()}
    print(
        f"{date.today()}  {platform.processor() or platform.machine()}  torch {torch.__version__}  "
        f"engine {engine}"
    )
    for name, speed in speeds.items():
        print(f"{name:40} {speed:8,.0f} tokens/s")
    print()
    one, loaded = speeds["server, concurrency 1"], speeds[f"server, concurrency {many}"]
    ttfts = [sorted(ttft for r in rounds[name] for ttft in r.ttfts) for name in [*rounds][:2]]
    median, p95 = statistics.median(ttfts[0]), ttfts[1][round(0.95 * (len(ttfts[1]) - 1))]
    print(f"concurrency 1: {one / speeds['transformers, batch 1']:.1f} x transformers")
    if "llama-cpp-python, batch 1" in speeds:
        print(f"concurrency 1: {one / speeds['llama-cpp-python, batch 1']:.1f} x llama-cpp-python")
    print(
        f"concurrency {many}: {loaded / one:.1f} x concurrency 1, "
        f"{loaded / speeds[f'transformers, batch {many}']:.1f} x transformers' batch of {many}"
    )
    loop = speeds[f"scheduler only, concurrency {many}"]
    print(f"overhead of HTTP: {1 - loaded / loop:.0%} of the scheduler's throughput")
    print(
        f"TTFT: median {1000 * median:.1f} ms at concurrency 1, "
        f"95th percentile {1000 * p95:.0f} ms at concurrency {many} ({p95 / median:.0f} x)"
    )


if __name__ == "__main__":
    main()
