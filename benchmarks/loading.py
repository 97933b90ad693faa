"""Time and memory of opening a model of GPT-2's size, beside transformers.

    python benchmarks/loading.py [--layers 12] [--runs 3]

The folder has random weights in float32: 498 MB with 12 layers. Each way runs in processes of its
own, in turn with the others: the model is opened, and computes the logits of one token, for which
all weights are read. The file is in the disk cache. Memory is the largest resident size of the
process minus that before the opening, as a multiple of the file; the seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.model import Model
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import Weight

OPEN = """
import json, sys, time
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))
folder, name = sys.argv[1:]
if name == "transformers":
    import torch
    from transformers import GPT2LMHeadModel
    import transformers.models.gpt2.modeling_gpt2
else:
    import anexa
    import anexa.model.loading, anexa.engines.numpy
    if name == "torch":
        import anexa.engines.torch
before, began = resident("VmRSS"), time.perf_counter()
if name == "transformers":
    model = GPT2LMHeadModel.from_pretrained(folder)
    opened = time.perf_counter() - began
    with torch.inference_mode():
        model(torch.tensor([[1]]))
else:
    model = anexa.load(folder, engine=name)
    opened = time.perf_counter() - began
    model.engine.logits([1])
token = time.perf_counter() - began
print(json.dumps([opened, token, resident("VmHWM") - before]))
"""
WAYS = ("transformers", "torch", "numpy")


def main() -> None:
    """Measure all ways, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=12, help="number of blocks (default: 12)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        create_folder(folder, gpt2(options.layers), "")
        size = (folder / "model.safetensors").stat().st_size
        measured: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(options.runs):
            for way in WAYS:
                measured[way].append(run(folder, way))
    print(f"{date.today()}  {size / 1e6:.0f} MB  {os.cpu_count()} cores")
    print(f"{'':14}{'opened':>9}{'1st token':>11}{'ratio':>8}{'memory':>9}")
    first = statistics.median(token for _, token, _ in measured[WAYS[0]])
    for way, runs in measured.items():
        opened, token, memory = (statistics.median(column) for column in zip(*runs))
        print(
            f"{way:14}{opened:>7.2f} s{token:>9.2f} s{token / first:>8.2f}{memory / size:>7.2f} x"
        )


def gpt2(n_layer: int) -> Model:
    """Make a GPT-2 with random weights."""
    return random_model(ModelConfig("gpt2", 50257, 1024, 768, 12, n_layer))


def random_model(config: ModelConfig) -> Model:
    """Make a model with random weights and a tokenizer of a few characters."""
    rng, weights = np.random.default_rng(0), {}
    for name, parameter in get_architecture(config).parameters(config).items():
        numbers = rng.standard_normal(parameter.shape, np.float32)
        numbers *= np.float32(parameter.std)
        numbers += np.float32(parameter.mean)
        weights[name] = Weight(parameter.shape, numbers.ravel().data)  # type: ignore[arg-type]
    return Model(config, weights, Tokenizer.from_characters(["a garden"], adds_bos=False))


def run(folder: Path, way: str) -> list[float]:
    """Open the model once: seconds to open it and to the first token, and bytes of memory."""
    result = subprocess.run(
        [sys.executable, "-c", OPEN, folder, way], capture_output=True, check=True
    )
    numbers: list[float] = json.loads(result.stdout)
    return numbers


if __name__ == "__main__":
    main()
