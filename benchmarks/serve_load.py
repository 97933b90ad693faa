"""Tokens a second of the server, and the wait for the first one, against transformers' `generate`.

    python benchmarks/serve_load.py [FOLDER] [--engine auto] [--streams 32] [--rounds 3]

Everybody answers the same questions, products of four digits by four, greedily: the server to one
stream and to many at once, over HTTP, on this computer; its decoding loop, without HTTP around it;
transformers, one question at a time and many as a batch, its left side filled up; and llama.cpp by
way of llama-cpp-python, where it is installed, on the same model in F32. All sides take turns, and
the medians of their rounds are printed. Tokens are those of the answers, thoughts included; seconds
are those on the clock.
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
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from anexa.generation import LanguageModel, Prompt, Sampler, SamplingParams, TextStream
from anexa.generation.language_model import BUNDLED
from anexa.generation.scheduler import BatchScheduler
from anexa.model.chat_format import render_question
from anexa.model.loading import load_model


class Round(NamedTuple):
    """Result of a round: total tokens per second, and the seconds until each first token."""

    speed: float
    waits: Sequence[float] = ()


def questions(count: int, seed: int) -> list[str]:
    """Draw questions whose thoughts have similar lengths."""
    rng = random.Random(seed)
    digits = "123456789"
    return ["*".join("".join(rng.choices(digits, k=4)) for _ in "ab") for _ in range(count)]


async def stream(address: str, question: str) -> tuple[int, float]:
    """The tokens of an answer, and the seconds until the first."""
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
    answer, wait = b"", 0.0
    while part := await reader.read(65_536):
        answer += part
        if not wait and b'"reasoning"' in answer:
            wait = time.perf_counter() - begun
    writer.close()
    assert b"[DONE]" in answer
    match = re.search(rb'"completion_tokens":(\d+)', answer)
    assert match
    return int(match[1]), wait


def over_http(address: str, asked: Sequence[str], at_once: int) -> Round:
    """Ask the server with `at_once` concurrent streams."""

    async def all_of_them() -> list[tuple[int, float]]:
        done = []
        for start in range(0, len(asked), at_once):
            some = asked[start : start + at_once]
            done += await asyncio.gather(*(stream(address, question) for question in some))
        return done

    begun = time.perf_counter()
    done = asyncio.run(all_of_them())
    seconds = time.perf_counter() - begun
    return Round(sum(tokens for tokens, _ in done) / seconds, [wait for _, wait in done])


def bare(model: LanguageModel, asked: Sequence[str], at_once: int) -> Round:
    """Run the decoding loop and the detokenizer alone, without HTTP."""
    assert model.chat_template
    scheduler = BatchScheduler(model.engine, at_once)
    size = model.engine.config.block_size
    begun, tokens = time.perf_counter(), 0
    for start in range(0, len(asked), at_once):
        inside = {}
        for question in asked[start : start + at_once]:
            prompt = Prompt(model.tokenizer, size, render_question(model.chat_template, question))
            text = TextStream(model.tokenizer, prompt, max_tokens=model.max_new_tokens)
            inside[scheduler.add(prompt.ids, Sampler(SamplingParams(0.0)))] = text
        while inside:
            for output in scheduler.step():
                text = inside[output.sequence]
                text.add(output.token)
                if text.finish_reason:
                    scheduler.remove(output.sequence)
                    tokens += inside.pop(output.sequence).num_tokens
    return Round(tokens / (time.perf_counter() - begun))


class Generate:
    """Transformers' `generate` on the same folder."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._tokenizer.pad_token = self._tokenizer.eos_token

    def __call__(self, asked: Sequence[str], at_once: int) -> Round:
        """Answer in batches of `at_once` conversations."""
        begun, tokens = time.perf_counter(), 0
        for start in range(0, len(asked), at_once):
            conversations = [
                [{"role": "user", "content": question}]
                for question in asked[start : start + at_once]
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


class LlamaCpp:
    """llama-cpp-python on the same model, one thread; it answers one question at a time."""

    def __init__(self, folder: Path, file: Path) -> None:
        import llama_cpp

        from anexa.hub.gguf import write_gguf

        model = load_model(folder)
        assert model.chat_template
        self._template, size = model.chat_template, model.config.block_size
        write_gguf(file, model, "bench")
        self._llama = llama_cpp.Llama(str(file), n_ctx=size, n_threads=1, verbose=False)

    def __call__(self, asked: Sequence[str]) -> Round:
        """Answer one question after another."""
        begun, tokens = time.perf_counter(), 0
        for question in asked:
            prompt = render_question(self._template, question)
            said: Any = self._llama.create_completion(prompt, max_tokens=490, temperature=0)
            tokens += said["usage"]["completion_tokens"]
        return Round(tokens / (time.perf_counter() - begun))


def main() -> None:
    """Measure all sides, and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", type=Path, default=BUNDLED)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    many = options.streams
    folder = options.folder.resolve()
    torch.set_num_threads(1)
    generate, model = Generate(folder), LanguageModel.open(folder, options.engine)
    aside = tempfile.TemporaryDirectory()
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
            "server, 1 stream": lambda seed: over_http(address, questions(4, seed), 1),
            f"server, {many} streams": lambda seed: over_http(address, questions(many, seed), many),
            f"its loop alone, {many} texts": lambda seed: bare(model, questions(many, seed), many),
        }
        sides["transformers, 1 text"] = lambda seed: generate(questions(1, seed), 1)
        sides[f"transformers, a batch of {many}"] = lambda seed: generate(
            questions(many, seed), many
        )
        if find_spec("llama_cpp"):
            llama = LlamaCpp(folder, Path(aside.name) / "model.gguf")
            sides["llama-cpp-python, 1 text"] = lambda seed: llama(questions(1, seed))
        rounds: dict[str, list[Round]] = {name: [] for name in sides}
        for number in range(-1, options.rounds):  # the first one warms up
            for name, side in sides.items():
                done = side(number + 2)
                if number >= 0:
                    rounds[name].append(done)
    finally:
        server.terminate()
        server.wait()
        aside.cleanup()
    speeds = {name: statistics.median(r.speed for r in done) for name, done in rounds.items()}
    print(
        f"{date.today()}  {platform.processor() or platform.machine()}  torch {torch.__version__}  "
        f"the server's engine: {engine}"
    )
    for name, speed in speeds.items():
        print(f"{name:40} {speed:8,.0f} tokens/s")
    print()
    one, together = speeds["server, 1 stream"], speeds[f"server, {many} streams"]
    waits = {name: sorted(wait for r in rounds[name] for wait in r.waits) for name in [*rounds][:2]}
    unloaded, loaded = waits.values()
    p95 = loaded[round(0.95 * (len(loaded) - 1))]
    print(f"one stream: {one / speeds['transformers, 1 text']:.1f} times transformers")
    if "llama-cpp-python, 1 text" in speeds:
        print(f"one stream: {one / speeds['llama-cpp-python, 1 text']:.1f} times llama-cpp-python")
    print(
        f"{many} streams: {together / one:.1f} times one stream, "
        f"{together / speeds[f'transformers, a batch of {many}']:.1f} times transformers' batch"
    )
    loop = speeds[f"its loop alone, {many} texts"]
    print(f"the server takes {1 - together / loop:.0%} of the speed of its loop alone")
    print(
        f"first token: {1000 * statistics.median(unloaded):.1f} ms alone, {1000 * p95:.0f} ms at "
        f"the 95th percentile of {many} ({p95 / statistics.median(unloaded):.0f} times)"
    )


if __name__ == "__main__":
    main()
