"""Markdown tables of `giants.py`: measured figures beside published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from giants_published import (
    ACCURACIES,
    GRID,
    MENTAL_MODELS,
    MENTAL_PRODUCTS,
    MENTAL_SCORES,
    SOURCES,
    Accuracy,
    MentalProduct,
)

NOT_MEASURED = "not measured yet"
MAX_TRAINED = 9  # digits of the longest square product in training
TRIES = 35  # five of each of the seven products


@dataclass(frozen=True)
class Measured:
    """Measured figures of the bundled model.

    Attributes:
        tasks: field "thinking" of the report of `anexa eval --json`, by task.
        speed: report of `giants_speed.py`; None if there is none.
        results_link: Markdown for the file of `tasks`.
        speed_link: Markdown for the file of `speed`.
    """

    tasks: dict[str, dict[str, Any]]
    speed: dict[str, Any] | None
    results_link: str | None = None
    speed_link: str | None = None


def sections(measured: Measured) -> dict[str, str]:
    """Format all tables as Markdown, by name."""
    return {
        "digits": digits(measured),
        "sources": sources(),
        "products": products(measured),
        "scores": scores(),
        "size": size(measured),
        "readme": readme(measured),
    }


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(link: str | None) -> str:
    return f"\n\nAnexa's figures are from {link}." if link else ""


def square(digits: int) -> str:
    """Name the task of products of two factors of equal length."""
    return f"{digits}x{digits}"


def describe(task: str) -> str:
    """Describe the problems of a task."""
    if task.startswith("+ "):
        return f"sums, {task[2:]} digits"
    beyond = int(task.split("x")[0]) > MAX_TRAINED
    return f"products, {task}" + (" (longer than in training)" if beyond else "")


def ours(measured: Measured, task: str) -> str:
    """Format our accuracy on a task, with its 95 % confidence interval."""
    found = measured.tasks.get(task)
    if not found or not found["count"]:
        return NOT_MEASURED if not measured.tasks else "not measured"
    low, high = (_percent(100 * bound) for bound in found["interval"])
    share = _percent(100 * found["hits"] / found["count"])
    return f"{share} % of {found['count']:,} [{low}, {high}]"


def _percent(value: float) -> str:
    """Format a percentage with one decimal; 100 only if nothing was wrong."""
    return f"{value:.1f}" if value == 100 else f"{min(value, 99.9):.1f}"


def theirs(some: Accuracy) -> str:
    """Format a published accuracy with its model."""
    size = f" ({some.parameters})" if some.parameters else ""
    return f"{some.model}{size}: {some.percent:g} % [{SOURCES.index(some.source) + 1}]"


def digits(measured: Measured) -> str:
    """Compare accuracies by the number of digits."""
    tasks = [square(n) for n in range(2, 14) if measured.tasks.get(square(n))]
    # The lattice transformer has a figure for each length: it does not make a row by itself.
    tasks += [some.task for some in ACCURACIES if some.model != GRID]
    tasks += [f"+ {n}" for n in (20, 24) if measured.tasks.get(f"+ {n}")]
    rows = []
    for task in sorted(set(tasks), key=_order):
        published = [theirs(some) for some in ACCURACIES if some.task == task]
        rows.append([describe(task), ours(measured, task), "<br>".join(published)])
    header = ["problems", "Anexa", "published (parameters)"]
    return _table(header, rows) + _origin(measured.results_link)


def _order(task: str) -> tuple[bool, int]:
    return task[0] == "+", int(task[2:] if task[0] == "+" else task.split("x")[0])


def sources() -> str:
    """List the sources and the conditions of their figures."""
    return "\n".join(
        f"{number}. [{some.title}]({some.url}), {some.date}. {some.conditions}"
        for number, some in enumerate(SOURCES, 1)
    )


def products(measured: Measured) -> str:
    """Compare the results on the seven products."""
    found = {row["question"]: row for row in measured.speed["products"]} if measured.speed else {}
    rows = []
    for product in MENTAL_PRODUCTS:
        a, b = product.factors
        row = found.get(f"{a}*{b}")
        cell = NOT_MEASURED
        if row:
            verdict = "right" if row["right"] else "wrong"
            cell = f"{verdict}, {row['tokens']:,} tokens, {row['seconds']:.2f} s"
        rows.append(
            [f"{a:,} × {b:,}", cell, f"{product.right} ({100 * product.right // MENTAL_MODELS} %)"]
        )
    header = ["product", "Anexa", f"right of {MENTAL_MODELS} models, April 2025"]
    return _table(header, rows) + _origin(measured.speed_link)


def answer(measured: Measured, product: MentalProduct) -> str:
    """Say whether our answer to a product was right, and how long it took."""
    question = "{}*{}".format(*product.factors)
    for row in measured.speed["products"] if measured.speed else ():
        if row["question"] == question:
            verdict = "right" if row["right"] else "wrong"
            return f"{verdict}, {row['tokens']:,} tokens, {row['seconds']:.2f} s"
    return NOT_MEASURED


def scores() -> str:
    """List the new models of June 2026 with their scores, tokens and seconds."""
    rows = [
        [
            some.model,
            f"{some.right} of {TRIES}",
            f"{some.tokens / TRIES:,.0f}",
            f"{some.seconds / TRIES:.1f} s",
        ]
        for some in MENTAL_SCORES
    ]
    return _table(["model", "right", "tokens an answer", "time of an answer"], rows)


def size(measured: Measured) -> str:
    """Compare size and speed."""
    s = measured.speed or {}
    done = [row for row in s.get("products", ()) if row["tokens"]]
    tokens = sum(row["tokens"] for row in done)
    rate = tokens / sum(row["seconds"] for row in done) if done else None
    first = max((row["first_token_seconds"] for row in done), default=None)
    top = [some for some in MENTAL_SCORES if some.right == TRIES]
    fastest = min(top, key=lambda some: some.seconds)
    slowest = max(top, key=lambda some: some.seconds)
    between = [f"{some.seconds / TRIES:.1f} s ({some.model})" for some in (fastest, slowest)]
    rows = [
        ["parameters", _or(s.get("parameters"), "{:,}"), "117 million (GPT-2 small) [3]"],
        [
            "file of the weights",
            _or(s.get("file_bytes"), "{:.1f} MB", 1e6),
            "498 MB (GPT-2 small for products, [folder]"
            "(https://huggingface.co/yuntian-deng/gpt2-implicit-cot-multiplication-20-digits/tree/main))",
        ],
        [
            "memory of the process, with Python and its libraries",
            _or(s.get("memory_bytes"), "{:.0f} MB", 1e6),
            "–",
        ],
        ["time to open", _or(s.get("open_seconds"), "{:.2f} s"), "–"],
        [
            "time to the first text, longest of the seven",
            _or(first, "{:.1f} ms", 1e-3),
            "–",
        ],
        ["tokens per second", _or(rate, "{:,.0f}"), "–"],
        [
            "time of an answer, mean of the seven",
            _or(sum(row["seconds"] for row in done) / len(done) if done else None, "{:.2f} s"),
            f"{' to '.join(between)}, network included: the table above",
        ],
        [
            "energy of an answer",
            "not measured",
            "0.24 Wh, the median text prompt of Gemini Apps, which is seldom a product ([Elsworth "
            "et al., August 2025](https://arxiv.org/abs/2508.15734), abstract)",
        ],
        [
            "what leaves the machine",
            "nothing",
            "the question: the models of the table above were asked through "
            "[OpenRouter](https://github.com/sanand0/llmmath#setup)",
        ],
    ]
    machine = ""
    if s:
        machine = (
            f"\n\nAnexa: {s['date']}, {s['machine']}, Python {s['python']}, engine {s['engine']}, "
            f"one thread ({measured.speed_link})."
        )
    return _table(["", "Anexa", "others"], rows) + machine


def readme(measured: Measured) -> str:
    """Format the short table of the README: two lengths of products, and the test's sixth."""
    rows = []
    for task in ("3x3", "9x9"):
        published = [
            f"{some.model}: {some.percent:g} % ({some.source.date})"
            for some in ACCURACIES
            if some.task == task
        ]
        rows.append([f"products of {task} digits", ours(measured, task), "<br>".join(published)])
    product = MENTAL_PRODUCTS[5]
    name = "{:,} × {:,}".format(*product.factors)
    others = f"right: {product.right} of {MENTAL_MODELS} models (April 2025)"
    rows.append([name, answer(measured, product), others])
    return _table(["", "Anexa", "published"], rows)


def _or(value: float | None, form: str, unit: float = 1) -> str:
    if value is None:
        return NOT_MEASURED
    return form.format(value if unit == 1 else value / unit)
