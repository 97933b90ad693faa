"""Time to the first token of each turn of a conversation, with reuse of its beginning and without.

    python benchmarks/conversation.py [--turns 10] [--rounds 5] [--engine numpy]

Two servers serve the same Llama model with random weights: one with `--prefix-cache 0`, and one
with the default. Each turn sends the conversation so far, as token ids, and 200 new ones: answers
of 100 tokens and questions of 100. The time is that of a request for one token, over HTTP.

The servers take turns. Prints the median over the rounds in milliseconds, the ratio, and how many
tokens were reused; every round is another conversation.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anexa.model.config import ModelConfig
from anexa.model.folder import write_model
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import initial_weights, num_parameters

TURN_TOKENS = 200


def write_random_model(folder: Path, num_tokens: int) -> ModelConfig:
    """Write a model with random weights whose context has room for a conversation."""
    tokenizer = Tokenizer.from_characters(["".join(map(chr, range(32, 127)))], adds_bos=False)
    block_size = num_tokens + 64
    config = ModelConfig("llama", tokenizer.vocab_size, block_size, n_embd=128, n_head=4, n_layer=4)
    model = Model(config, initial_weights(config, random.Random(0)), tokenizer)
    folder.mkdir()
    write_model(folder, model, "random weights")
    return config


def serve(stack: ExitStack, folder: Path, *options: str) -> str:
    """Start a server that ends with the stack; returns its host and port."""
    command = [sys.executable, "-m", "anexa", "serve", str(folder), "--port=0", *options]
    server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(server.terminate)
    assert server.stdout
    return urlsplit(server.stdout.readline().split()[-1]).netloc


def measure_first_token(address: str, ids: list[int]) -> tuple[float, int]:
    """Ask for one token; returns the seconds that it took, and the number of reused tokens."""
    body = json.dumps({"prompt": ids, "max_tokens": 1, "temperature": 0})
    connection = HTTPConnection(address)
    begun = time.perf_counter()
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer: Any = json.loads(response.read())
    seconds = time.perf_counter() - begun
    connection.close()
    assert response.status == 200, answer
    return seconds, answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def main() -> None:
    """Measure all turns, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--turns", type=int, default=10, help="turns (default: 10)")
    parser.add_argument("--rounds", type=int, default=5, help="conversations (default: 5)")
    parser.add_argument("--engine", default="numpy", help="engine of the servers (default: numpy)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model"
        config = write_random_model(folder, TURN_TOKENS * options.turns)
        engine = f"--engine={options.engine}"
        servers = [serve(stack, folder, engine, "--prefix-cache=0"), serve(stack, folder, engine)]
        found: list[list[list[tuple[float, int]]]] = [[[], []] for _ in range(options.turns)]
        for number in range(-1, options.rounds):  # round -1 is the warm-up
            rng = random.Random(number + 1)
            ids = rng.choices(range(config.vocab_size), k=TURN_TOKENS * options.turns)
            for turn in range(options.turns):
                for side, address in enumerate(servers):
                    measured = measure_first_token(address, ids[: TURN_TOKENS * (turn + 1)])
                    if number >= 0:
                        found[turn][side].append(measured)
    parameters = f"{num_parameters(config) / 1e6:.1f}M parameters"
    print(
        f"{date.today()}  {platform.machine()}  {options.engine}  {parameters}  ms to first token"
    )
    print(f"{'turn':>4}{'tokens':>8}{'reused':>8}{'without':>10}{'with':>8}{'ratio':>8}")
    for turn, sides in enumerate(found, 1):
        without, with_ = (statistics.median(seconds for seconds, _ in side) for side in sides)
        reused = sides[1][-1][1]
        print(
            f"{turn:4}{turn * TURN_TOKENS:8,}{reused:8,}{1000 * without:10.1f}{1000 * with_:8.1f}"
            f"{without / with_:8.1f}"
        )


if __name__ == "__main__":
    main()
