"""Is it the thinking? Models of one size, trained on as many tokens, that do something else.

    python benchmarks/thinking_controls.py [thinking gpt2 direct reversed dots] [--steps 2000]

- thinking: what `anexa train arithmetic` trains;
- gpt2: the same with learned positions, LayerNorm and GELU, as GPT-2 has them;
- direct: answers at once, no thoughts;
- reversed: answers at once, units first: 4525 is written 5254;
- dots: a thought is as many dots as it would have characters, so that there is as much to compute
  with and nothing to read.

All have four layers of width 128, the same options, and 4,096 tokens a step; where there are no
thoughts, that is ten times as many problems. What is asked, held out and counted is as in `anexa
eval`. Dots are put there before the answer, so that none is missing.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from anexa.generation import LanguageModel
from anexa.model.chat_format import END_THINK, THINK, render_question
from anexa.model.weights import num_parameters
from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.evaluation import complete
from anexa.thinking.examples import Example, Examples
from anexa.thinking.problems import Problem
from anexa.thinking.splits import Split
from anexa.thinking.tasks import distinct_problems, task_names
from anexa.training import TrainConfig, Trainer, build_from_corpus


def at_once(example: Example) -> Example:
    """Remove the thought."""
    return example if example.thought is None else replace(example, thought=None, direct=True)


def units_first(example: Example) -> Example:
    """Remove the thought, and write the digits of the answer from the units to the left."""
    if example.thought is None and not example.direct:  # no sum
        return example
    return replace(at_once(example), answer=example.answer[::-1])


def dotted(example: Example) -> Example:
    """Replace the thought by dots, also in examples without a thought."""
    if example.thought is None:
        return example
    return replace(example, thought="." * len(example.thought))


CHANGES: dict[str, Callable[[Example], Example]] = {
    "thinking": lambda example: example,
    "gpt2": lambda example: example,
    "direct": at_once,
    "reversed": units_first,
    "dots": dotted,
}


class Changed(Examples):
    """Source of examples that changes each example before they are grouped by length."""

    change: Callable[[Example], Example]

    def example(self, rng: random.Random, longest: int) -> Example:
        """See `Examples`."""
        return self.change(super().example(rng, longest))


class Control(ArithmeticCorpus):
    """The arithmetic corpus with changed examples."""

    def __init__(self, name: str) -> None:
        self._change = CHANGES[name]

    def examples(self, max_tokens: int, seed: int, split: Split) -> Examples:
        """See `Arithmetic`."""
        examples = Changed(max_tokens, seed, split)
        examples.change = self._change
        return examples


def train(name: str, steps: int, folder: Path) -> Trainer:
    """Train a model of one kind."""
    config = TrainConfig.from_options(corpus="arithmetic", steps=steps, evaluations=1)
    if name == "gpt2":
        config = config.replace(model_type="gpt2", n_inner=0)
    run = build_from_corpus(config, folder, Control(name))
    run.fit()
    return run


def right(name: str, model: LanguageModel, problems: Sequence[Problem]) -> float:
    """Measure the fraction of problems that a model answers correctly in the form of its kind."""
    assert model.chat_template is not None
    prompts = [
        render_question(
            model.chat_template, problem.question, thinking=name not in ("direct", "reversed")
        )
        for problem in problems
    ]
    if name == "dots":
        dots = (THINK + "." * len(problem.thought) + END_THINK for problem in problems)
        prompts = [prompt + thought for prompt, thought in zip(prompts, dots)]
    said = [answer.split(END_THINK)[-1] for answer in complete(model, prompts)]
    expected = [
        problem.answer[::-1] if name == "reversed" else problem.answer for problem in problems
    ]
    return sum(one == other for one, other in zip(said, expected)) / len(problems)


def main() -> None:
    """Train a model of each kind, and print its accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(CHANGES))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=42, help="of the problems")
    parser.add_argument("--out", type=Path, help="where the models are kept")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.kinds or CHANGES:
        if name not in CHANGES:
            parser.error(f"{name} is none of {', '.join(CHANGES)}")
        with tempfile.TemporaryDirectory() as directory:
            run = train(name, options.steps, (options.out or Path(directory)) / name)
            history = run.state
            print(
                f"{name}: {num_parameters(run.model_config):,} parameters, {history.step:,} steps, "
                f"{history.tokens:,} tokens that were learned, {history.seconds / 60:.0f} minutes"
            )
            model = LanguageModel.open(run.folder, "torch")
            for kind in task_names():
                rng = random.Random(f"{options.seed} {kind}")
                problems = distinct_problems(kind, options.problems, rng)
                print(f"  {kind:20} {right(name, model, problems):7.1%}", flush=True)


if __name__ == "__main__":
    main()
