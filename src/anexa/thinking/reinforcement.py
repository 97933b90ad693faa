"""Reinforcement learning with verifiable rewards, given by the checker to sampled thoughts.

REINFORCE (Williams, 1992) with a group baseline. For each problem the model samples several
thoughts; the reward is 1 if all steps and the answer are true, else 0. The advantage, the reward
minus the mean reward of the problem's samples, is the weight of the sequence in the loss. Each
sample is used for one step, so importance ratios as in PPO and GRPO would all be 1.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from anexa.engines import Batch, Engine
from anexa.errors import AnexaError, AnexaWarning, error_sentence
from anexa.generation import SamplingParams, generate_batch
from anexa.generation.sampling_params import RANGES
from anexa.model.chat_format import render_question, split_answer
from anexa.model.model import Model
from anexa.model.weights import Weights
from anexa.ranges import Range
from anexa.thinking.checker import check
from anexa.thinking.examples import draw_any_problem
from anexa.thinking.problems import Problem

_RANGES = {
    "steps": Range(int, ge=1, le=10**9),
    "problems": Range(int, ge=1, le=2**16),
    "samples": Range(int, ge=2, le=2**16),
    "learning_rate": Range(float, gt=0),
    "evaluations": Range(int, ge=1, le=10**6),
    "validation": Range(int, ge=1, le=10**6),
    "seed": RANGES["seed"],
}


@dataclass(frozen=True)
class ReinforcementConfig:
    """Configuration of a reinforcement run. All counts are at least 1.

    Attributes:
        steps: number of optimizer steps, at most 10⁹.
        problems: number of problems in a step, at most 65,536.
        samples: number of sampled thoughts for each problem, from 2 to 65,536.
        learning_rate: learning rate, above 0; constant.
        evaluations: number of evaluations, at most 10⁶, spread evenly over the steps, besides the
            one before the first step.
        validation: number of held-out problems in each evaluation, at most 10⁶.
        seed: random seed of the problems and the sampling.

    Raises:
        UsageError: if a value is out of range.
    """

    steps: int = 100
    problems: int = 16
    samples: int = 8
    learning_rate: float = 2e-4
    evaluations: int = 5
    validation: int = 500
    seed: int = 42

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _RANGES[name].check(f"--{name.replace('_', '-')}", value)


@dataclass(frozen=True)
class ReinforcementStepResult:
    """Result of one step.

    Attributes:
        step: step number from 1; 0 for the evaluation before training.
        reward: mean reward of the sampled thoughts, from 0 to 1; None for step 0.
        accuracy: fraction of the held-out problems that greedy decoding solves with an entirely
            true thought; None if not evaluated after this step.
    """

    step: int
    reward: float | None
    accuracy: float | None


class ReinforcementTrainer:
    """A reinforcement run. Iterating over it executes the steps, which change the engine's weights.

    Args:
        model: a model that thinks about arithmetic.
        engine: engine with the model's weights and an optimizer.
        config: configuration of the run.
        reward: reward function `(problem, completion) -> bool`, where the completion is the text of
            thought and answer; default: `is_verified`.

    Attributes:
        best_weights: weights with the highest accuracy so far; None while the initial weights are
            best.
        best_result: result of the step that made these weights; None like `best_weights`.
        initial_accuracy: accuracy of the initial weights; None until they are evaluated.
        stopping: set it to True to end the run after the current step and an evaluation.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        config: ReinforcementConfig,
        reward: Callable[[Problem, str], bool] | None = None,
    ) -> None:
        assert model.chat_template is not None
        self._reward = reward or is_verified
        self._template, self._tokenizer = model.chat_template, model.tokenizer
        self._engine, self._config = engine, config
        self._rng = random.Random(f"{config.seed} reinforcement")
        self._sampling_rng = random.Random(f"{config.seed} sampling")
        held_out = random.Random(f"{config.seed} validation")
        self._validation = [
            draw_any_problem(held_out, split="validation") for _ in range(config.validation)
        ]
        self.best_weights: Weights | None = None
        self.best_result: ReinforcementStepResult | None = None
        self.initial_accuracy: float | None = None
        self.stopping = False

    def __iter__(self) -> Iterator[ReinforcementStepResult]:
        """Yield the accuracy before training as step 0, then each step.

        Raises:
            AnexaError: if a step fails, for example because the weights diverge, before an
                evaluation was better than the first. A later failure ends the run with a warning,
                and `best_weights` is kept.
        """
        config = self._config
        highest = self.initial_accuracy = self._accuracy()
        yield ReinforcementStepResult(0, None, highest)
        if self.stopping:
            return
        for step in range(1, config.steps + 1):
            accuracy, better_weights = None, None
            try:
                reward = self._step()
                last = self.stopping
                due = step * config.evaluations // config.steps
                if last or due > (step - 1) * config.evaluations // config.steps:
                    accuracy = self._accuracy()
                    if accuracy > highest:
                        better_weights = self._engine.weights()
            except (AnexaError, MemoryError) as error:
                if self.best_weights is None:
                    raise
                message = f"the run ended at step {step}: {error_sentence(error)}"
                warnings.warn(message, AnexaWarning, stacklevel=2)
                return
            done = ReinforcementStepResult(step, reward, accuracy)
            if accuracy is not None and better_weights is not None:
                highest, self.best_result, self.best_weights = accuracy, done, better_weights
            yield done
            if last:
                return

    def _step(self) -> float:
        """Sample thoughts, reward them, take an optimizer step, and return the mean reward."""
        samples = self._config.samples
        problems = [draw_any_problem(self._rng) for _ in range(self._config.problems)]
        repeated = [problem for problem in problems for _ in range(samples)]
        params = [SamplingParams(1.0, seed=self._sampling_rng.getrandbits(63)) for _ in repeated]
        prompts, texts = self._sample_answers(repeated, params)
        rewards = np.array(self._rewards(repeated, texts), float)
        grouped = rewards.reshape(-1, samples)
        advantages = (grouped - grouped.mean(axis=1, keepdims=True)).ravel()
        used = np.flatnonzero(advantages)  # an advantage of 0 has no gradient
        if len(used):
            end = self._tokenizer.eot_token_id
            rows = [[*prompts[i], *texts[i], end] for i in used]
            limit = self._engine.config.block_size + 1
            batch = Batch.from_sequences(
                [row[:limit] for row in rows],
                [len(prompts[i]) for i in used],
                [float(advantages[i]) for i in used],
            )
            self._engine.train_step(batch, self._config.learning_rate)
        return float(rewards.mean())

    def _accuracy(self) -> float:
        """Measure the fraction of held-out problems solved by an entirely true thought."""
        _, texts = self._sample_answers(self._validation)
        right = self._rewards(self._validation, texts)
        return sum(right) / len(right)

    def _sample_answers(
        self, problems: list[Problem], params: list[SamplingParams] | None = None
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return the prompts of the problems and the completions, as token ids; default greedy."""
        questions = (render_question(self._template, problem.question) for problem in problems)
        prompts = [self._tokenizer.encode(question) for question in questions]
        return prompts, generate_batch(self._engine, prompts, self._tokenizer.eot_token_id, params)

    def _rewards(self, problems: list[Problem], texts: list[list[int]]) -> list[bool]:
        decoded = map(self._tokenizer.decode, texts)
        return [self._reward(problem, answer) for problem, answer in zip(problems, decoded)]


def is_verified(problem: Problem, completion: str) -> bool:
    """Return whether the answer is correct, and the checker finds no mistake in the thought.

    Args:
        problem: the problem.
        completion: text of thought and answer, with their tags.
    """
    thought, said = split_answer(completion)
    return said == problem.answer and check(problem.question, thought or "", said).all_true
