"""Answers of a model of the corpus garden to questions in phrasings that it was not trained on.

    anexa train garden
    python benchmarks/garden.py models/garden [--wrong 5]

Prints for each kind of question the share of greedy answers that are right, word for word, and of
those that have the right fact, with their 95 % confidence intervals.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import anexa
from anexa.data.garden import held_out_questions
from anexa.generation import LanguageModel
from anexa.thinking.evaluation import Proportion, complete


def share(hits: Iterable[bool]) -> str:
    """Format a share with its interval."""
    counted = list(hits)
    proportion = Proportion(sum(counted), len(counted))
    low, high = proportion.interval
    return f"{proportion.value:7.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Answer all held-out questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--wrong", type=int, default=0, help="number of wrong answers to print")
    options = parser.parse_args()
    model = LanguageModel.open(options.folder, options.engine)
    questions = list(held_out_questions())
    answers = complete(model, [model.render_prompt(one.messages) for one in questions])
    pairs = list(zip(questions, answers))
    print(f"{date.today()}, {platform.machine()}, anexa {anexa.__version__}, {options.folder}\n")
    print(f"{'question':12} {'number':>7}  {'word for word':26}  {'right fact':26}")
    for kind in [*dict.fromkeys(one.kind for one in questions), "all"]:
        some = [(q, answer) for q, answer in pairs if kind in (q.kind, "all")]
        exact = share(answer == q.answer for q, answer in some)
        facts = share(q.fact.lower() in answer.lower() for q, answer in some)
        print(f"{kind:12} {len(some):7}  {exact:26}  {facts:26}")
    wrong = [(q, answer) for q, answer in pairs if q.fact.lower() not in answer.lower()]
    for question, answer in wrong[: options.wrong]:
        print("\n" + "\n".join(m["content"] for m in question.messages))
        print(f"-> {answer}   (right: {question.answer})")


if __name__ == "__main__":
    main()
