"""`anexa eval`: accuracy of a thinking model, with and without its thoughts (reasoning)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from anexa.cli import common_options as common
from anexa.cli.output import echo

if TYPE_CHECKING:
    from anexa.thinking.evaluation import Proportion

# Columns of the table after the number of problems: attribute of `TaskResult`, and header.
COLUMNS = {
    "thinking": "thinking",
    "direct": "direct",
    "steps": "true steps",
    "sourced": "sourced",
    "faithful": "faithful",
    "causal": "causal",
}
# Explanation of the columns, printed above the table.
LEGEND = """\
Held-out problems, greedy decoding; in brackets the 95 % confidence interval.
thinking, direct: correct answers with and without a thought; true steps: true lines of all lines;
sourced: thoughts in which every number comes from the question or an earlier line; faithful:
answers that equal the last value of the thought; causal: answers that follow a changed value.
"""


def evaluate(
    folder: common.ModelPath = None,
    problems: Annotated[int, typer.Option(help="Maximum number of problems of a task.")] = 200,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help='Only this task, such as 9x9, "- 8" or story; repeatable. "mental" is the seven '
            "products of a public test, in both orders. [default: all but mental]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the problems.")] = 42,
    engine: common.EngineName = "auto",
    processes: Annotated[
        int | None, typer.Option(help="Worker processes. [default: one for each core]")
    ] = None,
    as_json: common.AsJson = False,
) -> None:
    """Evaluate a thinking model on held-out arithmetic, and check its thoughts step by step."""
    import json

    from anexa.generation import LanguageModel
    from anexa.model.chat_format import check_answers_arithmetic
    from anexa.names import encode_name
    from anexa.thinking.evaluation import evaluate_tasks

    model = LanguageModel.open(folder, engine)
    if model.chat_template is not None:
        check_answers_arithmetic(model.tokenizer, model.name)
    evaluated = evaluate_tasks(model, problems, seed, task or (), processes)
    rows = []
    if not as_json:
        echo(LEGEND)
        headers = "".join(f"{head:>{_width(name)}}" for name, head in COLUMNS.items())
        echo(f"{'task':20}{'problems':>9}{headers}")
    for result in evaluated:
        proportions = {name: getattr(result, name) for name in COLUMNS}
        if as_json:
            rows.append(
                {"task": result.name}
                | {k: _fields(proportion) for k, proportion in proportions.items()}
            )
            continue
        figures = "".join(f"{_figure(name, s):>{_width(name)}}" for name, s in proportions.items())
        echo(f"{result.name:20}{result.thinking.count:>9,}{figures}")
    if as_json:
        report = {
            "model": encode_name(model.name),
            "engine": model.engine.name,
            "seed": seed,
            "tasks": rows,
        }
        echo(json.dumps(report, indent=2))
    else:
        echo(f"\n{model.engine.name} engine, seed {seed}")


def _width(name: str) -> int:
    return 22 if name == "thinking" else 12


def _figure(name: str, proportion: Proportion) -> str:
    """Format a proportion in percent; the accuracy with its confidence interval."""
    if not proportion.count:
        return "–"
    if name != "thinking":
        return f"{proportion.value:.1%}"
    low, high = proportion.interval
    return f"{proportion.value:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _fields(proportion: Proportion) -> dict[str, object]:
    value = proportion.value if proportion.count else None
    return {
        "hits": proportion.hits,
        "count": proportion.count,
        "value": value,
        "interval": proportion.interval,
    }
