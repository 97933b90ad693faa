"""Learning from its own thoughts: those that lead to the truth, step by step, become likelier.

The policy gradient (Williams, 1992) in its simplest form: of several thoughts about a problem, each
is rewarded with 1 if every step of it and its answer are true, else with 0. What it gains beyond
the mean of them weighs its tokens, all tokens of a step alike. Each thought is used once, so the
ratios and bounds of later methods would be 1 and never reached.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from anexa.engines import Batch, Engine
from anexa.generation.offline import TokenSelector, generate_batch, greedy, sample_gumbel
from anexa.model.chat_format import ask, split_answer
from anexa.model.folder import Model
from anexa.model.weights import Weights
from anexa.thinking.checker import check
from anexa.thinking.examples import draw_any
from anexa.thinking.problems import Problem


@dataclass(frozen=True)
class Plan:
    """How to reinforce a model.

    Attributes:
        steps: of the optimizer.
        problems: in a step.
        samples: thoughts about each of them.
        learning_rate: constant.
        evaluations: how often held-out problems are put to it, spread evenly over the steps.
        validation: how many of them.
        seed: of problems and draws.
    """

    steps: int = 100
    problems: int = 16
    samples: int = 8
    learning_rate: float = 2e-4
    evaluations: int = 5
    validation: int = 500
    seed: int = 42


@dataclass(frozen=True)
class Round:
    """What a step has to show.

    Attributes:
        step: counted from 1; 0 before the first.
        reward: the share of its thoughts that are wholly true; None before the first step.
        accuracy: greedy, on held-out problems, if it was measured after this step.
    """

    step: int
    reward: float | None
    accuracy: float | None


class Reinforcement:
    """Iterate over it to have it done.

    Args:
        model: that thinks about arithmetic.
        engine: with its weights; numpy or torch, and an optimizer.
        plan: how.
        reward: whether an answer to a problem, thought included, is to become likelier.

    Attributes:
        best: the weights with the highest accuracy so far; None while those of the beginning are
            not surpassed.
        stopping: set it, and the step that is being done is the last one.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        plan: Plan,
        reward: Callable[[Problem, str], bool] | None = None,
    ) -> None:
        assert model.chat_template is not None
        self._reward = reward or is_true
        self._template, self._tokenizer = model.chat_template, model.tokenizer
        self._engine, self._plan = engine, plan
        self._rng = random.Random(f"{plan.seed} reinforcement")
        self._choose = sample_gumbel(np.random.default_rng(plan.seed))
        held_out = random.Random(f"{plan.seed} validation")
        self._validation = [draw_any(held_out, split="validation") for _ in range(plan.validation)]
        self.best: Weights | None = None
        self.stopping = False

    def __iter__(self) -> Iterator[Round]:
        """The accuracy at the beginning, then every step."""
        plan = self._plan
        highest = self._accuracy()
        yield Round(0, None, highest)
        if self.stopping:
            return
        for step in range(1, plan.steps + 1):
            reward = self._step()
            last = self.stopping
            due = step * plan.evaluations // plan.steps
            accuracy = None
            if last or due > (step - 1) * plan.evaluations // plan.steps:
                accuracy = self._accuracy()
                if accuracy > highest:
                    highest, self.best = accuracy, self._engine.weights()
            yield Round(step, reward, accuracy)
            if last:
                return

    def _step(self) -> float:
        """Think, judge, and learn; the mean reward."""
        samples = self._plan.samples
        problems = [draw_any(self._rng) for _ in range(self._plan.problems)]
        repeated = [problem for problem in problems for _ in range(samples)]
        prompts, texts = self._answers(repeated, self._choose)
        rewards = np.array(self._rewards(repeated, texts), float)
        grouped = rewards.reshape(-1, samples)
        advantages = (grouped - grouped.mean(axis=1, keepdims=True)).ravel()
        used = np.flatnonzero(advantages)  # of a problem always or never solved there is nothing
        if len(used):
            end = self._tokenizer.eot_token
            rows = [[*prompts[i], *texts[i], end] for i in used]
            limit = self._engine.config.block_size + 1
            batch = Batch.from_sequences(
                [row[:limit] for row in rows],
                [len(prompts[i]) for i in used],
                [float(advantages[i]) for i in used],
            )
            self._engine.train_step(batch, self._plan.learning_rate)
        return float(rewards.mean())

    def _accuracy(self) -> float:
        """The share of held-out problems that are solved by a thought that is wholly true."""
        _, texts = self._answers(self._validation, greedy)
        right = self._rewards(self._validation, texts)
        return sum(right) / len(right)

    def _answers(
        self, problems: list[Problem], choose: TokenSelector
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Prompts, and what the model writes."""
        questions = (ask(self._template, problem.question) for problem in problems)
        prompts = [self._tokenizer.encode(question) for question in questions]
        return prompts, generate_batch(self._engine, prompts, self._tokenizer.eot_token, choose)

    def _rewards(self, problems: list[Problem], texts: list[list[int]]) -> list[bool]:
        answers = map(self._tokenizer.decode, texts)
        return [self._reward(problem, answer) for problem, answer in zip(problems, answers)]


def is_true(problem: Problem, answer: str) -> bool:
    """Whether an answer is right, and every step of the thought before it."""
    thought, said = split_answer(answer)
    return said == problem.answer and check(problem.question, thought or "", said).all_true
