"""Speed and memory of continuing a model of GPT-2's size, beside the Trainer of transformers.

    python benchmarks/finetuning.py [--layers 12] [--steps 3] [--rounds 1] [--rank 8]
    python benchmarks/finetuning.py --litgpt ENVIRONMENT/bin/python

The model has random weights in float32, and the batches are 4 sequences of 128 random tokens, the
same for all sides: all weights are trained, or adapters (LoRA, with `peft` on the other side), by
AdamW in float32 on the CPU. Each side runs in a process of its own, in turn with the others. The
first step, which allocates and warms up, is not counted; the speed is that of the median step.
Memory is the largest resident size of the process above that before the model is opened. Ratios are
ours to theirs: above 1 is faster, and below 1 takes less memory. With OMP_NUM_THREADS=1, the
seconds are processor time, which other programs on the machine change little.

With `--litgpt`, the Python of an environment that has litgpt, the other side is litgpt, which has
no GPT-2: both have a Llama of that width, with 32,000 tokens. Its model, loss and optimizer take
the steps that its `finetune_full` and `finetune_lora` take.
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

from loading import gpt2, random_model

from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.model import Model

BATCH_SIZE, SEQUENCE_TOKENS = 4, 128

COMMON = """
import json, os, random, sys, time
from pathlib import Path
import torch
folder, steps, rank, batch, length = sys.argv[1], *map(int, sys.argv[2:])
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))
rng = random.Random(0)
rows = [[rng.randrange(32000) for _ in range(length + 1)] for _ in range(batch * (steps + 1))]
seconds = []
clock = time.process_time if os.environ.get("OMP_NUM_THREADS") == "1" else time.perf_counter
"""

OURS = (
    COMMON
    + """
import anexa.engines.torch
from anexa.engines import Batch, OptimizerConfig, open_engine
from anexa.model.adapters import add_adapters, with_lora_rank
from anexa.model.loading import load_model
before = resident("VmRSS")
model = load_model(Path(folder))
config, weights = model.config, model.weights
if rank:
    config = with_lora_rank(config, rank)
    weights = add_adapters(weights, config, rng)
engine = open_engine("torch", config, weights, optimizer=OptimizerConfig(max_grad_norm=1.0))
for step in range(steps + 1):
    data = Batch.from_sequences(rows[batch * step : batch * (step + 1)])
    began = clock()
    engine.train_step(data, 1e-4)
    seconds.append(clock() - began)
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
        self.began = clock()
    def on_step_end(self, *_, **__):
        seconds.append(clock() - self.began)
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

LITGPT = (
    COMMON
    + """
from litgpt.lora import GPT, Config, mark_only_lora_as_trainable
from litgpt.utils import chunked_cross_entropy
before = resident("VmRSS")
its = json.loads((Path(folder) / "config.json").read_text())
lora = dict.fromkeys(("query", "key", "value", "projection", "mlp"), bool(rank))
model = GPT(Config(
    name="llama", block_size=its["max_position_embeddings"], vocab_size=its["vocab_size"],
    padded_vocab_size=its["vocab_size"], n_layer=its["num_hidden_layers"],
    n_head=its["num_attention_heads"], n_embd=its["hidden_size"], rotary_percentage=1.0,
    parallel_residual=False, bias=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP",
    intermediate_size=its["intermediate_size"], lora_r=rank, lora_alpha=rank or 1,
    **{f"lora_{name}": value for name, value in lora.items()},
))
model.max_seq_length = length + 1
if rank:
    mark_only_lora_as_trainable(model)
model.train()
trained = [weight for weight in model.parameters() if weight.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
for step in range(steps + 1):
    began = clock()
    tokens = torch.tensor(rows[batch * step : batch * (step + 1)])
    loss = chunked_cross_entropy(model(tokens)[..., :-1, :], tokens[..., 1:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(clock() - began)
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
    parser.add_argument("--litgpt", help="Python of an environment that has litgpt")
    options = parser.parse_args()
    theirs = (options.litgpt, LITGPT) if options.litgpt else (sys.executable, THEIRS)
    print(
        f"{date.today()}  {os.cpu_count()} cores  {BATCH_SIZE} x {SEQUENCE_TOKENS} tokens per step"
    )
    print(f"{'':14}{'ours':>12}{'theirs':>15}{'ratio':>7}{'ours':>10}{'theirs':>9}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        create_folder(folder, (llama if options.litgpt else gpt2)(options.layers), "")
        for name, rank in (("all weights", 0), ("adapters", options.rank)):
            speeds, memory = measure(folder, theirs, options.steps, rank, options.rounds)
            row = (
                f"{name:14}{speeds[0]:>8.1f} t/s{speeds[1]:>11.1f} t/s{speeds[0] / speeds[1]:>7.2f}"
            )
            row += f"{memory[0] / 1e9:>7.2f} GB{memory[1] / 1e9:>6.2f} GB"
            print(f"{row}{memory[0] / memory[1]:>7.2f}", flush=True)


def measure(
    folder: Path, theirs: tuple[str, str], steps: int, rank: int, rounds: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return tokens per second and bytes of memory, each of our side and of theirs."""
    sides = ((sys.executable, OURS), theirs)
    seconds: list[list[float]] = [[], []]
    memory: list[list[float]] = [[], []]
    for _ in range(rounds):
        for side, (python, program) in enumerate(sides):
            numbers = [*map(str, (steps, rank, BATCH_SIZE, SEQUENCE_TOKENS))]
            result = subprocess.run(
                [python, "-c", program, folder, *numbers],
                stdout=subprocess.PIPE,
                check=True,
                cwd=folder.parent,
            )
            taken, most = json.loads(result.stdout.splitlines()[-1])
            seconds[side] += taken
            memory[side].append(most)
    ours, others = (BATCH_SIZE * SEQUENCE_TOKENS / statistics.median(taken) for taken in seconds)
    return (ours, others), (max(memory[0]), max(memory[1]))


def llama(n_layer: int) -> Model:
    """Make a Llama of GPT-2's width with random weights."""
    return random_model(
        ModelConfig("llama", 32000, 1024, 768, 12, n_layer, n_inner=2048, tie_word_embeddings=False)
    )


if __name__ == "__main__":
    main()
