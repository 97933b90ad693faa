"""Answers of a model of the corpus garden to questions in phrasings that it was not trained on.

    anexa train garden
    python benchmarks/garden.py models/garden [--wrong 5]
    python benchmarks/garden.py --padding

Prints for each kind of question the share of greedy answers that are right, word for word, and of
those that have the right fact, with their 95 % confidence intervals. With --padding, prints the
share of the tokens of an epoch that is padding, in batches of similar lengths and otherwise.
"""

from __future__ import annotations

import argparse
import platform
import random
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import anexa
from anexa.data.conversation_batches import padding_fraction
from anexa.data.garden import held_out_questions
from anexa.generation import LanguageModel
from anexa.thinking.evaluation import Proportion, complete
from anexa.training.opening import open_corpus


def share(hits: Iterable[bool]) -> str:
    """Format a share with its interval."""
    counted = list(hits)
    proportion = Proportion(sum(counted), len(counted))
    low, high = proportion.interval
    return f"{proportion.value:7.1%} ({low:.1%} to {high:.1%})"


def print_padding(length: int = 256, batch_size: int = 8) -> None:
    """Print which share of the tokens of an epoch is padding, for three kinds of batches."""
    corpus = open_corpus("garden", "auto")
    training, _ = corpus.make_datasets(corpus.make_tokenizer("bpe:1024"), length, 42)
    count = training.sequences_per_epoch // batch_size
    batches = [training.batch(step, batch_size) for step in range(count)]
    sequences = [sequence for batch in batches for sequence in batch]
    random.Random(0).shuffle(sequences)
    size = round(len(sequences) / count)
    shuffled = (sequences[i : i + size] for i in range(0, len(sequences), size))
    full = 1 - sum(len(s.ids) - 1 for s in sequences) / (length * len(sequences))
    print(f"batches of similar lengths        {padding_fraction(iter(batches)):.1%}")
    print(f"as many sequences in random order {padding_fraction(shuffled):.1%}")
    print(f"all as long as the context        {full:.1%}")


def main() -> None:
    """Answer all held-out questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models/garden"))
    parser.add_argument("--padding", action="store_true", help="print shares of padding instead")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--wrong", type=int, default=0, help="number of wrong answers to print")
    options = parser.parse_args()
    if options.padding:
        print_padding()
        return
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
