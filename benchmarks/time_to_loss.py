"""Training time to a target validation loss, compared with nanoGPT's recipe on stock PyTorch.

    python benchmarks/time_to_loss.py [CORPUS] [--loss 1.88] [--seeds 1 2 3]

Both sides train the same model (GPT-2, 4 layers, 4 heads, width 128, context 64) on the first 90 %
of the same text, and are evaluated on the whole last 10 %, ten times during the run, outside of the
measured time:

- stock: nanoGPT's recipe for CPUs (`stock.py`): 2,000 steps of 12 sequences of 64 tokens, AdamW;
  nanoGPT's README gives a loss of about 1.88 on Tiny Shakespeare for it;
- anexa: `anexa train` with the printed options.

The learning rate schedule of each side spans its whole run, so its length is part of the recipe.
Runs are in processes of their own, one at a time, in random order. Prints wall-clock and CPU
seconds to the target loss, and the ratio of stock's to Anexa's, the median over the seeds. If stock
ends above the target, its whole run counts, which favors stock. With one thread, CPU time is what
wall-clock time would be on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from datetime import date
from pathlib import Path

import torch
from stock import StockTraining

from anexa.data import Documents, read_corpus
from anexa.data.splitting import split
from anexa.data.tokens import tokenize
from anexa.engines import Batch
from anexa.errors import AnexaError
from anexa.training import TrainConfig, build_trainer
from anexa.training.tokenizers import make_tokenizer

BATCH_SIZE, CONTEXT = 12, 64  # of nanoGPT's recipe
EVAL_BATCH_SIZE = 64  # sequences in a batch of an evaluation
EVALUATIONS = 10  # evaluations of a run
WARM_UP = 5  # steps of a run before the measured one
ALL_SEQUENCES = 10**9  # sample size: all sequences


class ValidationSet:
    """The validation text, the loss of a model on it, and the training text.

    Attributes:
        training: token ids of the training text, shape (N,).
    """

    def __init__(self, documents: Documents) -> None:
        tokens = tokenize(documents, make_tokenizer("char", documents))
        sequences = split(tokens, CONTEXT, seed=0)[1].eval_sequences(ALL_SEQUENCES)
        full = [s.ids for s in sequences if len(s.ids) == CONTEXT + 1]  # all but the last one
        self._batches = [
            Batch.from_sequences(full[start : start + EVAL_BATCH_SIZE])
            for start in range(0, len(full), EVAL_BATCH_SIZE)
        ]
        # The same training text as that of `split`.
        cut = len(tokens.ids) - 1 - round((len(tokens.ids) - 1) * 0.1)
        self.training = torch.tensor(tokens.ids[: cut + 1].astype("int64"))

    def loss(self, batch_loss: Callable[[Batch], float]) -> float:
        """Compute the mean loss over all tokens from the mean loss of each batch."""
        total = sum(batch_loss(batch) * batch.num_targets for batch in self._batches)
        return total / sum(batch.num_targets for batch in self._batches)


Training = Generator[Callable[[], float], None, None]
"""Yields, before the first and after every step, a function that measures the validation loss."""


def stock(options: argparse.Namespace, validation: ValidationSet) -> Training:
    """Train the baseline."""
    torch.manual_seed(options.seed)
    settings = anexa_settings(options)
    vocab_size = make_tokenizer("char", read_corpus(options.corpus)).vocab_size
    config = settings.model.to_config(vocab_size)
    training = StockTraining(config, validation.training, BATCH_SIZE, options.stock_steps)

    @torch.no_grad()
    def loss(batch: Batch) -> float:
        inputs, targets = (
            torch.frombuffer(a, dtype=torch.int64).view(batch.shape)
            for a in (batch.inputs, batch.targets)
        )
        return float(training.model(inputs, targets))

    def measure() -> float:
        return validation.loss(loss)

    yield measure
    for _ in training:
        yield measure


def anexa(options: argparse.Namespace, validation: ValidationSet) -> Training:
    """Train with Anexa; its own last evaluation and checkpoint count as part of the last step."""
    with tempfile.TemporaryDirectory() as folder:
        run = build_trainer(anexa_settings(options), Path(folder) / "model")

        def measure() -> float:
            return validation.loss(run.engine.loss)

        yield measure
        for _ in run:
            yield measure


def anexa_settings(options: argparse.Namespace) -> TrainConfig:
    """Configure the run of Anexa."""
    return TrainConfig.from_options(
        corpus=options.corpus,
        layout="text",
        block_size=CONTEXT,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        optimizer=options.optimizer,
        evaluations=1,
        seed=options.seed,
        engine="torch",
        device="cpu",
    )


def train(options: argparse.Namespace) -> None:
    """Train in this process; prints seconds and losses as JSON."""
    validation = ValidationSet(read_corpus(options.corpus, "text"))
    begin, steps = {"stock": (stock, options.stock_steps), "anexa": (anexa, options.steps)}[
        options.side
    ]
    # Warm-up, on both sides: libraries load code and choose algorithms at their first use.
    for _, _ in zip(range(1 + WARM_UP), begin(options, validation)):
        pass
    training, wall, cpu = begin(options, validation), 0.0, 0.0
    next(training)
    for step in range(1, steps + 1):
        began = time.perf_counter(), time.process_time()
        loss = next(training)
        wall += time.perf_counter() - began[0]
        cpu += time.process_time() - began[1]
        if step * EVALUATIONS % steps < EVALUATIONS:
            evaluation = {"step": step, "wall": wall, "cpu": cpu, "loss": loss()}
            print(json.dumps(evaluation), flush=True)
    training.close()


def seconds_to_loss(side: str, seed: int, options: argparse.Namespace) -> tuple[float, float]:
    """Run a training process; returns wall-clock and CPU seconds to the target loss or the end."""
    process = subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], "--side", side, "--seed", str(seed)],
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    evaluations = [json.loads(line) for line in process.stdout]
    if process.wait():
        sys.exit(process.returncode)
    last = evaluations[-1]
    reached = next((e for e in evaluations if e["loss"] <= options.loss), None)
    at = reached or last
    what = "reached at" if reached else "not reached by"
    print(
        f"seed {seed}  {side:5} {what} step {at['step']:5,}: "
        f"{at['wall']:6.1f} s, CPU {at['cpu']:6.1f} s; "
        f"final loss {last['loss']:.4f}: {last['wall']:6.1f} s, CPU {last['cpu']:6.1f} s",
        flush=True,
    )
    if side == "anexa" and not reached:
        sys.exit(f"Anexa's final loss is above {options.loss}: give it more --steps")
    return at["wall"], at["cpu"]


def main() -> None:
    """Train both in turn, and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", nargs="?", default="shakespeare", help="corpus name or text file")
    parser.add_argument("--loss", type=float, default=1.88, help="target loss, in nats per token")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="random seeds")
    parser.add_argument("--steps", type=int, default=300, help="option of anexa train")
    parser.add_argument("--batch-size", type=int, default=24, help="option of anexa train")
    parser.add_argument("--learning-rate", type=float, default=0.016, help="option of anexa train")
    parser.add_argument("--optimizer", default="muon", help="option of anexa train")
    parser.add_argument("--stock-steps", type=int, default=2000, help="steps of the baseline")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=("stock", "anexa"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.side:
            train(options)
            return
        documents = read_corpus(options.corpus, "text")
        settings = anexa_settings(options)
    except AnexaError as error:
        sys.exit(f"error: {error}")
    print(
        f"{date.today()}, PyTorch {torch.__version__}, {platform.machine()}, "
        f"{options.threads} thread{'s' if options.threads > 1 else ''}, {documents.name}, "
        f"target validation loss {options.loss:g}"
    )
    print(f"anexa: {settings.command_line()}")
    ratios = []
    for seed in options.seeds:
        sides = ["stock", "anexa"]
        random.Random(seed).shuffle(sides)
        seconds = {side: seconds_to_loss(side, seed, options) for side in sides}
        ratios.append([s / a for s, a in zip(seconds["stock"], seconds["anexa"])])
    wall, cpu = map(statistics.median, zip(*ratios))
    print(f"speedup of anexa over stock: {wall:.2f} in wall-clock time, {cpu:.2f} in CPU time")


if __name__ == "__main__":
    main()
