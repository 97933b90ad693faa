"""Speed and memory of continuing a model of GPT-2's size, beside the Trainer of transformers.

    python benchmarks/finetuning.py [--layers 12] [--steps 3] [--rounds 1] [--rank 8]

The model has random weights in float32, and the batches are 4 sequences of 128 random tokens, the
same for all sides: all weights are trained, or adapters (LoRA, with `peft` on the other side), by
AdamW in float32 on the CPU. Each side runs in a process of its own, in turn with the others. The
first step, which allocates and warms up, is not counted; the speed is that of the median step.
Memory is the largest resident size of the process above that before the model is opened. Ratios are
ours to theirs: above 1 is faster, and below 1 takes less memory.
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

from loading import gpt2

from anexa.model.folder import create_folder

BATCH, LENGTH = 4, 128

COMMON = """
import json, random, sys, time
from pathlib import Path
import torch
folder, steps, rank, batch, length = sys.argv[1], *map(int, sys.argv[2:])
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))
rng = random.Random(0)
rows = [[rng.randrange(50257) for _ in range(length + 1)] for _ in range(batch * (steps + 1))]
seconds = []
"""

OURS = (
    COMMON
    + """
import anexa.engines.torch
from anexa.engines import Batch, OptimizerConfig, open_engine
from anexa.model.adapters import add_adapters, with_rank
from anexa.model.loading import load_model
before = resident("VmRSS")
model = load_model(Path(folder))
config, weights = model.config, model.weights
if rank:
    config = with_rank(config, rank)
    weights = add_adapters(weights, config, rng)
engine = open_engine("torch", config, weights, optimizer=OptimizerConfig(max_grad_norm=1.0))
for step in range(steps + 1):
    data = Batch.from_sequences(rows[batch * step : batch * (step + 1)])
    began = time.perf_counter()
    engine.train_step(data, 1e-4)
    seconds.append(time.perf_counter() - began)
print(json.dumps([seconds[1:], resident("VmHWM") - before]))
"""
)

THEIRS = (
    COMMON
    + """
from transformers import GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
import peft
before = resident("VmRSS")
model = GPT2LMHeadModel.from_pretrained(folder)
if rank:
    targets = ["c_attn", "c_proj", "c_fc"]
    lora = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, fan_in_fan_out=True)
    model = peft.get_peft_model(model, lora)
class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__):
        self.began = time.perf_counter()
    def on_step_end(self, *_, **__):
        seconds.append(time.perf_counter() - self.began)
arguments = TrainingArguments(
    "trainer", max_steps=steps + 1, per_device_train_batch_size=batch, learning_rate=1e-4,
    report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no",
)
# The logits of one token more than ours have: their labels are shifted inside of the model.
data = [{"input_ids": torch.tensor(row), "labels": torch.tensor(row)} for row in rows]
Trainer(model, arguments, train_dataset=data, callbacks=[Clock()]).train()
print(json.dumps([seconds[1:], resident("VmHWM") - before]))
"""
)


def main() -> None:
    """Measure both sides with all weights and with adapters, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=12, help="number of blocks (default: 12)")
    parser.add_argument("--steps", type=int, default=3, help="counted steps (default: 3)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each side (default: 1)")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters (default: 8)")
    options = parser.parse_args()
    print(f"{date.today()}  {os.cpu_count()} cores  {BATCH} x {LENGTH} tokens per step")
    print(f"{'':14}{'ours':>12}{'theirs':>15}{'ratio':>7}{'ours':>10}{'theirs':>9}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        create_folder(folder, gpt2(options.layers), "")
        for name, rank in (("all weights", 0), ("adapters", options.rank)):
            speeds, memory = measure(folder, options.steps, rank, options.rounds)
            row = (
                f"{name:14}{speeds[0]:>8.1f} t/s{speeds[1]:>11.1f} t/s{speeds[0] / speeds[1]:>7.2f}"
            )
            row += f"{memory[0] / 1e9:>7.2f} GB{memory[1] / 1e9:>6.2f} GB"
            print(f"{row}{memory[0] / memory[1]:>7.2f}", flush=True)


def measure(
    folder: Path, steps: int, rank: int, rounds: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return tokens per second and bytes of memory, each of our side and of theirs."""
    seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    memory: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(rounds):
        for side in (OURS, THEIRS):
            numbers = [*map(str, (steps, rank, BATCH, LENGTH))]
            result = subprocess.run(
                [sys.executable, "-c", side, folder, *numbers],
                stdout=subprocess.PIPE,
                check=True,
                cwd=folder.parent,
            )
            taken, most = json.loads(result.stdout.splitlines()[-1])
            seconds[side] += taken
            memory[side].append(most)
    speeds = {side: BATCH * LENGTH / statistics.median(seconds[side]) for side in seconds}
    peaks = {side: max(memory[side]) for side in memory}
    return (speeds[OURS], speeds[THEIRS]), (peaks[OURS], peaks[THEIRS])


if __name__ == "__main__":
    main()
