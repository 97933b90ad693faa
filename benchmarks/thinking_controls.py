"""Ablation of the thinking model: accuracy with other training data or another architecture.

    python benchmarks/thinking_controls.py [thinking gpt2 direct reversed dots] [--steps 2000]

Trains one model per variant, and prints its accuracy on the held-out problems of `anexa eval`:

- thinking: the model of `anexa train arithmetic`;
- gpt2: the same data, with the GPT-2 architecture instead of Llama;
- direct: no thoughts, only answers;
- reversed: no thoughts, and the digits of the answer reversed: 5254 for 4525;
- dots: each thought replaced by dots, one per character: the same number of tokens to compute on,
  without their content. In the evaluation, the prompt contains the dots.

All variants have 4 layers, width 128, the same options, and 4,096 tokens per step. Without
thoughts, a step therefore has about ten times as many problems.
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
from anexa.thinking.examples import Example, ExampleGenerator
from anexa.thinking.problems import Problem
from anexa.thinking.splits import Split
from anexa.thinking.tasks import draw_distinct_problems, resolve_task_names
from anexa.training import TrainConfig, Trainer, build_from_corpus


def at_once(example: Example) -> Example:
    """Remove the thought."""
    return example if example.thought is None else replace(example, thought=None, direct=True)


def units_first(example: Example) -> Example:
    """Remove the thought, and reverse the digits of the answer: units first."""
    if example.thought is None and not example.direct:  # a refusal
        return example
    return replace(at_once(example), answer=example.answer[::-1])


def dotted(example: Example) -> Example:
    """Replace the thought, if there is one, by dots."""
    if example.thought is None:
        return example
    return replace(example, thought="." * len(example.thought))


VARIANTS: dict[str, Callable[[Example], Example]] = {
    "thinking": lambda example: example,
    "gpt2": lambda example: example,
    "direct": at_once,
    "reversed": units_first,
    "dots": dotted,
}


class TransformedExamples(ExampleGenerator):
    """Generator of examples with a transform, applied before they are batched by length."""

    transform: Callable[[Example], Example]

    def draw_example(self, rng: random.Random, max_thought_chars: int) -> Example:
        """See `ExampleGenerator`."""
        return self.transform(super().draw_example(rng, max_thought_chars))


class VariantCorpus(ArithmeticCorpus):
    """The arithmetic corpus of a variant."""

    def __init__(self, name: str) -> None:
        self._transform = VARIANTS[name]

    def examples(self, max_tokens: int, seed: int, split: Split) -> ExampleGenerator:
        """See `ArithmeticCorpus`."""
        examples = TransformedExamples(max_tokens, seed, split)
        examples.transform = self._transform
        return examples


def train(name: str, steps: int, folder: Path) -> Trainer:
    """Train the model of a variant."""
    config = TrainConfig.from_options(corpus="arithmetic", steps=steps, evaluations=1)
    if name == "gpt2":
        config = config.replace(model_type="gpt2", n_inner=0)
    run = build_from_corpus(config, folder, VariantCorpus(name))
    run.fit()
    return run


def accuracy(name: str, model: LanguageModel, problems: Sequence[Problem]) -> float:
    """Measure the fraction of correct answers, in the format of the variant."""
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
    """Train the model of each variant, and print its accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=2000, help="training steps (default: 2000)")
    parser.add_argument("--problems", type=int, default=200, help="per task (default: 200)")
    parser.add_argument("--seed", type=int, default=42, help="random seed of the problems")
    parser.add_argument("--out", type=Path, help="folder to keep the models in")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.variants or VARIANTS:
        if name not in VARIANTS:
            parser.error(f"there is no variant {name}: choose from {', '.join(VARIANTS)}")
        with tempfile.TemporaryDirectory() as directory:
            run = train(name, options.steps, (options.out or Path(directory)) / name)
            state = run.state
            print(
                f"{name}: {num_parameters(run.model_config):,} parameters, {state.step:,} steps, "
                f"{state.tokens:,} predicted tokens, {state.seconds / 60:.0f} minutes"
            )
            model = LanguageModel.open(run.folder, "torch")
            for kind in resolve_task_names():
                rng = random.Random(f"{options.seed} {kind}")
                problems = draw_distinct_problems(kind, options.problems, rng)
                print(f"  {kind:20} {accuracy(name, model, problems):7.1%}", flush=True)


if __name__ == "__main__":
    main()
