"""Speed of a compiled engine, relative to the other engines and to programs by others.

    python benchmarks/compiled.py [ROW ...] [--engine numba] [--folder FOLDER] [--rounds 7]
        [--corpus names.txt] [--port NAME=COMMAND ...] [--port64 NAME=COMMAND ...]

The rows, all of them by default:

- loop: one text by the engine's own loop (`next_logits`, argmax); llama.cpp: `eval` and
  `llama_decode` of llama-cpp-python with the same model and its cache in F32;
- batch: 32 texts by the engine's own loop (`batch_next_logits`, argmax);
- stream: one chat request after another, over HTTP to `anexa serve`; `create_completion` of
  llama-cpp-python; `generate` of transformers;
- streams: 32 chat requests at once, over HTTP; `generate` with a batch of 32;
- names: `train_step` of the names model in float32, one document a step, batches made before the
  measurement, or within it ("from text"); programs by others, given with --port;
- names64: the same in float64; --port64;
- first-token: the logits after a prompt of 100 tokens;
- start: `anexa generate` for one token, from the start of the process to its end;
- first-start: the same with an empty cache of compiled code (one run a round).

Each side runs in a process of its own with one thread of each library, all sides in turn; the
client of the server runs beside it. Times are seconds of the processor, which other programs
disturb less, but of the wall clock where a side has several processes: stream, streams, start and
first-start. Prints the median over the rounds for each side; the ratio to the compiled engine, a
median of the ratios within a round, with the smallest and the largest; and the goal. What is not
installed is left out, and the output says how to get it. A port is a command that trains the model
and prints "… step … 12.34 us".
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import compiled_sides as sides
import llama_cpp_sides as llama
from in_turn import Side, answer_requests, measure_in_turn, ratios, warm_up_sides

from anexa.generation.language_model import BUNDLED_FOLDER

UNITS: Mapping[str, Callable[[float], float]] = {
    "tokens/s": lambda seconds: 1 / seconds,
    "us": lambda seconds: seconds * 1e6,
    "ms": lambda seconds: seconds * 1e3,
}
CONCURRENCY = 32  # sequences of "batch", requests of "streams"
PROMPT = 100  # tokens


@dataclass(frozen=True)
class Row:
    """A comparison: its sides, of which the first is the compiled engine.

    Attributes:
        title: heading of the comparison: the work that is measured.
        unit: one of `UNITS`.
        count: tokens, requests, steps or runs in a measurement.
        prepare: function that prepares each side: see `compiled_sides`.
        goals: for a side, how many times as fast the compiled engine should be.
    """

    title: str
    unit: str
    count: int
    prepare: Mapping[str, Callable[[], sides.Measure]]
    goals: Mapping[str, float] = field(default_factory=dict)


def rows(options: argparse.Namespace) -> dict[str, Row]:
    """Make the rows, with the folder, the corpus and the ports of the command line."""
    ours, folder, many = options.engine, options.folder.resolve(), CONCURRENCY
    engines = dict.fromkeys((ours, "numpy"))

    def training(dtype: str, ports: list[tuple[str, str]]) -> Row:
        steps = partial(sides.names_steps, corpus=options.corpus, dtype=dtype)
        ready = {name: partial(steps, name, prepared=True) for name in engines}
        texts = {f"{name}, from text": partial(steps, name, prepared=False) for name in engines}
        others = {name: partial(sides.port, command) for name, command in ports}
        return Row(
            f"names model, one document a step, {dtype}, microseconds a step",
            "us",
            1000,
            ready | texts | others,
            dict.fromkeys(others, 1.0 if dtype == "float32" else 10.0),
        )

    return {
        "loop": Row(
            "one text, the engine's own loop",
            "tokens/s",
            400,
            {name: partial(sides.engine_loop, name, folder) for name in engines}
            | {
                "llama.cpp, eval": partial(llama.eval_loop, folder, sides.FIRST_TOKEN_ID),
                "llama.cpp, llama_decode": partial(llama.decode_loop, folder, sides.FIRST_TOKEN_ID),
            },
            {"llama.cpp, eval": 1.5},
        ),
        "batch": Row(
            f"{many} texts, the engine's own loop",
            "tokens/s",
            100,
            {name: partial(sides.engine_batch_loop, name, folder, many) for name in engines},
            {"numpy": 2.5},
        ),
        "stream": Row(
            "one stream",
            "tokens/s",
            1,
            {f"server, {name}": partial(sides.server, name, folder, 1) for name in engines}
            | {
                "llama-cpp-python": partial(sides.completions, folder),
                "transformers": partial(sides.transformers, folder, 1),
            },
            {"llama-cpp-python": 2.5, "transformers": 8.0},
        ),
        "streams": Row(
            f"{many} streams",
            "tokens/s",
            many,
            {f"server, {name}": partial(sides.server, name, folder, many) for name in engines}
            | {"transformers": partial(sides.transformers, folder, many)},
            {"server, numpy": 2.5, "transformers": 4.0},
        ),
        "names": training("float32", options.port),
        "names64": training("float64", options.port64),
        "first-token": Row(
            f"first token of a prompt of {PROMPT} tokens",
            "ms",
            10,
            {name: partial(sides.engine_prefill, name, folder, PROMPT) for name in engines}
            | {"llama.cpp, eval": partial(llama.prefill, folder, PROMPT)},
            {"numpy": 2.0},
        ),
        "start": Row(
            "start of the program to its first token",
            "ms",
            3,
            {name: partial(sides.start, name, folder, cached=True) for name in engines},
        ),
        "first-start": Row(
            "start of the program to its first token, without compiled code in the cache",
            "ms",
            1,
            {name: partial(sides.start, name, folder, cached=False) for name in engines},
        ),
    }


def compare(name: str, row: Row, rounds: int) -> None:
    """Measure the sides of a row in turn, and print its table."""
    script = [__file__, *sys.argv[1:], "--side", name]
    processes = {side: Side([*script, side], threads=1) for side in row.prepare}
    print(f"\n{row.title}", flush=True)
    with warm_up_sides(processes) as (ready, reasons):
        figures = measure_in_turn(ready, row.count, rounds)
    base = next(iter(row.prepare))
    for side in row.prepare:
        if side in reasons:
            print(f"  {side:24} left out: {reasons[side]}")
            continue
        shown = UNITS[row.unit](statistics.median(figures[side]))
        line = f"  {side:24}{shown:10,.{0 if row.unit == 'tokens/s' else 1}f} {row.unit}"
        if base in ready and side != base:
            median, least, most = ratios(figures[base], figures[side])
            line += f"   {base} is {median:.2f} times as fast ({least:.2f} to {most:.2f})"
            line += f", goal {row.goals[side]:g}" if side in row.goals else ""
        print(line, flush=True)


def named_command(text: str) -> tuple[str, str]:
    """Split NAME=COMMAND."""
    name, found, command = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name, command


def main() -> None:
    """Measure the chosen rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all")
    parser.add_argument("--engine", default="numba", help="the compiled engine")
    parser.add_argument("--folder", type=Path, default=BUNDLED_FOLDER, help="chat model")
    parser.add_argument("--corpus", default="names.txt", help="file with one name per line")
    parser.add_argument("--rounds", type=int, default=7, help="measurements (default: 7)")
    for option in ("--port", "--port64"):
        parser.add_argument(
            option, type=named_command, action="append", default=[], metavar="NAME=COMMAND"
        )
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)  # for subprocesses
    options = parser.parse_args()
    known = rows(options)
    if options.side:
        row, side = options.side
        answer_requests(known[row].prepare[side])
        return
    unknown = [name for name in options.rows if name not in known]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}: choose from {', '.join(known)}")
    print(
        f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, "
        f"{options.rounds} rounds"
    )
    for name in options.rows or known:
        compare(name, known[name], options.rounds)


if __name__ == "__main__":
    main()
