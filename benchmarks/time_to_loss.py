"""Seconds of training until a validation loss, against nanoGPT's recipe on PyTorch's stock modules.

    python benchmarks/time_to_loss.py [CORPUS] [--loss 1.88] [--seeds 1 2 3]

One model (GPT-2, 4 layers, 4 heads, width 128, context 64) and one text, whose last tenth is for
validation. Stock follows nanoGPT's words on CPUs: 12 rows of 64 tokens, AdamW, 2,000 steps, which
end at about 1.88 on Tiny Shakespeare. Ours is `anexa train` with the options printed. Both end
where their learning rate has fallen to its lowest, so a recipe's length is part of it.

Each training has a process of its own, one at a time, stock and ours in turn. Their losses are
over all of the validation part, at every tenth of a training; that takes no time from it. The
ratio is of stock's seconds to ours, both until the loss is reached; or, where stock ends above it,
of all of stock's seconds, which flatters stock. Beside the seconds on the wall stand those that the
processor worked: with one thread, they are what the former would be on a machine all to itself.
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
from anexa.data.batches import split
from anexa.data.tokens import tokenize
from anexa.engines import Batch
from anexa.errors import AnexaError
from anexa.training import TrainConfig, build_trainer
from anexa.training.corpus import make_tokenizer

ROWS, CONTEXT = 12, 64  # of the stock recipe
PIECE = 64  # rows that are evaluated at once
MOMENTS = 10  # evaluations of a training
WARM_UP = 5  # steps of another training, before the one that is timed
ALL = 10**9  # rows: as many as there are


class Yardstick:
    """The validation text, and the loss of a model on it."""

    def __init__(self, documents: Documents) -> None:
        tokens = tokenize(documents, make_tokenizer("char", documents))
        rows = split(tokens, CONTEXT, seed=0)[1].sample(ALL)
        whole = [row for row in rows if len(row) == CONTEXT + 1]  # all but the last one
        self._batches = [
            Batch.from_sequences(whole[start : start + PIECE])
            for start in range(0, len(whole), PIECE)
        ]
        # What is not for validation, as `split` has it.
        cut = len(tokens.ids) - 1 - round((len(tokens.ids) - 1) * 0.1)
        self.training = torch.tensor(tokens.ids[: cut + 1].astype("int64"))

    def loss(self, of: Callable[[Batch], float]) -> float:
        """Compute the mean loss over all tokens; `of` computes the mean loss of a batch."""
        total = sum(of(batch) * batch.num_targets for batch in self._batches)
        return total / sum(batch.num_targets for batch in self._batches)


Training = Generator[Callable[[], float], None, None]
"""Yields before the first step and after every step a function that returns the validation loss."""


def stock(options: argparse.Namespace, yardstick: Yardstick) -> Training:
    """Train the stock model, and yield after each step."""
    torch.manual_seed(options.seed)
    settings = our_settings(options)
    vocab_size = make_tokenizer("char", read_corpus(options.corpus)).vocab_size
    config = settings.model.to_config(vocab_size)
    training = StockTraining(config, yardstick.training, ROWS, options.stock_steps)

    @torch.no_grad()
    def loss(batch: Batch) -> float:
        inputs, targets = (
            torch.frombuffer(a, dtype=torch.int64).view(batch.shape)
            for a in (batch.inputs, batch.targets)
        )
        return float(training.model(inputs, targets))

    def measure() -> float:
        return yardstick.loss(loss)

    yield measure
    for _ in training:
        yield measure


def ours(options: argparse.Namespace, yardstick: Yardstick) -> Training:
    """Train with Anexa. The last evaluation and checkpoint are part of the last step."""
    with tempfile.TemporaryDirectory() as folder:
        run = build_trainer(our_settings(options), Path(folder) / "model")

        def measure() -> float:
            return yardstick.loss(run.engine.loss)

        yield measure
        for _ in run:
            yield measure


def our_settings(options: argparse.Namespace) -> TrainConfig:
    """Configure the run of Anexa."""
    return TrainConfig.from_options(
        corpus=options.corpus,
        layout="text",
        block_size=CONTEXT,
        steps=options.steps,
        batch_size=options.rows,
        learning_rate=options.learning_rate,
        optimizer=options.optimizer,
        evaluations=1,
        seed=options.seed,
        engine="torch",
        device="cpu",
    )


def train(options: argparse.Namespace) -> None:
    """Train in this process; prints seconds and losses as JSON."""
    yardstick = Yardstick(read_corpus(options.corpus, "text"))
    begin, steps = {"stock": (stock, options.stock_steps), "ours": (ours, options.steps)}[
        options.side
    ]
    # What is loaded and chosen at first use is no part of the training, on either side.
    for _, _ in zip(range(1 + WARM_UP), begin(options, yardstick)):
        pass
    training, wall, busy = begin(options, yardstick), 0.0, 0.0
    next(training)
    for step in range(1, steps + 1):
        began = time.perf_counter(), time.process_time()
        loss = next(training)
        wall += time.perf_counter() - began[0]
        busy += time.process_time() - began[1]
        if step * MOMENTS % steps < MOMENTS:
            moment = {"step": step, "wall": wall, "busy": busy, "loss": loss()}
            print(json.dumps(moment), flush=True)
    training.close()


def follow(side: str, seed: int, options: argparse.Namespace) -> tuple[float, float]:
    """Run a training process; returns wall-clock and busy seconds until the loss or the end."""
    process = subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], "--side", side, "--seed", str(seed)],
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    moments = [json.loads(line) for line in process.stdout]
    if process.wait():
        sys.exit(process.returncode)
    last = moments[-1]
    reached = next((m for m in moments if m["loss"] <= options.loss), None)
    at = reached or last
    what = "reached at" if reached else "not reached by"
    print(
        f"seed {seed}  {side:5} {what} step {at['step']:5,}: "
        f"{at['wall']:6.1f} s, busy {at['busy']:6.1f} s; "
        f"it ends at {last['loss']:.4f}: {last['wall']:6.1f} s, busy {last['busy']:6.1f} s",
        flush=True,
    )
    if side == "ours" and not reached:
        sys.exit(f"ours ends above {options.loss}: give it more --steps")
    return at["wall"], at["busy"]


def main() -> None:
    """Train both in turn, and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", nargs="?", default="shakespeare", help="a name or a text file")
    parser.add_argument("--loss", type=float, default=1.88, help="to be reached, nats a token")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=300, help="of ours")
    parser.add_argument("--rows", type=int, default=24, help="of ours in a step")
    parser.add_argument("--learning-rate", type=float, default=0.016, help="of ours")
    parser.add_argument("--optimizer", default="muon", help="of ours")
    parser.add_argument("--stock-steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=("stock", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.side:
            train(options)
            return
        documents = read_corpus(options.corpus, "text")
        settings = our_settings(options)
    except AnexaError as error:
        sys.exit(f"error: {error}")
    print(
        f"{date.today()}, PyTorch {torch.__version__}, {platform.machine()}, "
        f"{options.threads} thread{'s' if options.threads > 1 else ''}, {documents.name}, "
        f"until a validation loss of {options.loss:g}"
    )
    print(f"ours: {settings.command()}")
    ratios = []
    for seed in options.seeds:
        sides = ["stock", "ours"]
        random.Random(seed).shuffle(sides)
        seconds = {side: follow(side, seed, options) for side in sides}
        ratios.append([s / o for s, o in zip(seconds["stock"], seconds["ours"])])
    wall, busy = map(statistics.median, zip(*ratios))
    print(
        f"stock takes {wall:.2f} times as long as ours; of the processor's time, {busy:.2f} times"
    )


if __name__ == "__main__":
    main()
