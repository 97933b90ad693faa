"""Size and speed of a thinking model on the seven products of the mental-arithmetic test.

    python benchmarks/giants_speed.py [FOLDER] [--rounds 5] [--engine auto] > SPEED.json

Without a folder, the bundled model. Prints JSON for `benchmarks/giants.py`: number of parameters,
size of the weights' file, time to open the model, largest resident memory of the process (Linux
only), and for each product the answer, its tokens, and the medians over the rounds of the time to
the first token and of the time to the end of the answer. Greedy decoding, one thread, and the
first round is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from giants_published import MENTAL_PRODUCTS

for library in ("OMP", "OPENBLAS", "NUMBA"):  # before the first import of NumPy
    os.environ[f"{library}_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from anexa.generation import LanguageModel


def answer_once(model: LanguageModel, question: str) -> dict[str, Any]:
    """Answer a question, and measure seconds to the first piece of text and to the end."""
    sampler = model.sampler(model.sampling_params(temperature=0))
    began = time.perf_counter()
    answer = model.answer([{"role": "user", "content": question}], sampler)
    pieces = iter(answer)
    next(pieces, None)
    first = time.perf_counter() - began
    for _ in pieces:
        pass
    seconds = time.perf_counter() - began
    return {"answer": answer.content, "tokens": answer.num_tokens, "first": first, "all": seconds}


def measure_product(model: LanguageModel, factors: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Measure the answers to one product."""
    question = "{}*{}".format(*factors)
    measured = [answer_once(model, question) for _ in range(1 + rounds)][1:]
    answer = measured[0]["answer"]
    return {
        "question": question,
        "answer": answer,
        "right": answer == str(factors[0] * factors[1]),
        "tokens": measured[0]["tokens"],
        "first_token_seconds": _median(some["first"] for some in measured),
        "seconds": _median(some["all"] for some in measured),
    }


def _median(seconds: Iterable[float]) -> float:
    return round(statistics.median(seconds), 6)


def peak_memory() -> int | None:
    """Return the largest resident size of this process in bytes; None outside of Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Measure, and print the report as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", type=Path, help="model folder (default: bundled)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default: 5)")
    parser.add_argument("--engine", default="auto", help="engine (default: auto)")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")

    from anexa.generation import LanguageModel
    from anexa.generation.language_model import BUNDLED_FOLDER
    from anexa.model.weights import num_parameters

    began = time.perf_counter()
    model = LanguageModel.open(options.folder, options.engine)
    opened = time.perf_counter() - began
    weights = (options.folder or BUNDLED_FOLDER) / "model.safetensors"
    products = [measure_product(model, p.factors, options.rounds) for p in MENTAL_PRODUCTS]
    report = {
        "date": str(date.today()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "model": model.name,
        "engine": model.engine.name,
        "parameters": num_parameters(model.engine.config),
        "file_bytes": weights.stat().st_size if weights.is_file() else None,
        "open_seconds": round(opened, 6),
        "memory_bytes": peak_memory(),
        "products": products,
    }
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
