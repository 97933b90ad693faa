from __future__ import annotations

import random
import re
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anexa.engines import Batch, Engine, OptimizerConfig, open_engine
from anexa.errors import AnexaWarning, OutOfMemoryError
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.chat_format import CHAT_TEMPLATE
from anexa.model.config import ModelConfig
from anexa.model.folder import create_folder
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.weights import Weight, Weights, initial_weights
from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.problems import Problem
from anexa.thinking.reinforced_folder import remove_metrics
from anexa.thinking.reinforcement import (
    ReinforcementConfig,
    ReinforcementStepResult,
    ReinforcementTrainer,
)
from tests.cli.process import anexa

PLAN = ReinforcementConfig(steps=3, problems=2, samples=4, validation=4, evaluations=3)


def model(block_size: int = 64) -> Model:
    tokenizer = ArithmeticCorpus().make_tokenizer("char")
    config = ModelConfig("llama", tokenizer.vocab_size, block_size, n_embd=8, n_head=2, n_layer=1)
    return Model(config, initial_weights(config, random.Random(1)), tokenizer, CHAT_TEMPLATE)


def engine_of(model: Model) -> Engine:
    return open_engine(
        "numpy", model.config, model.weights, optimizer=OptimizerConfig(max_grad_norm=1.0)
    )


def test_without_rewards_nothing_is_learned() -> None:
    """No weights are kept if none are better."""
    ignorant = model(128)
    engine = engine_of(ignorant)
    reinforcement = ReinforcementTrainer(ignorant, engine, PLAN)
    rounds = list(reinforcement)
    assert [r.step for r in rounds] == [0, 1, 2, 3]
    assert [r.reward for r in rounds] == [None, 0, 0, 0]
    assert [r.accuracy for r in rounds] == [0, 0, 0, 0]
    assert reinforcement.best_weights is None
    assert engine.weights() == engine_of(ignorant).weights()


def test_rewarded_answers_become_more_likely() -> None:
    """Answers that begin with a digit are rewarded, which a model learns within a few steps."""
    naive = model(112)  # the longest of the held-out questions has 100 tokens
    plan = ReinforcementConfig(
        steps=40, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=2
    )
    engine = engine_of(naive)
    reinforcement = ReinforcementTrainer(naive, engine, plan, begins_with_a_digit)
    rounds = list(reinforcement)
    rewards = [r.reward for r in rounds if r.reward is not None]
    assert sum(rewards[-10:]) / 10 > 0.5 > 0.25 > sum(rewards[:3]) / 3
    assert rounds[-1].accuracy == 1.0
    assert reinforcement.best_weights is not None


def begins_with_a_digit(_problem: Problem, answer: str) -> bool:
    return answer[:1].isdigit()


def test_equal_seeds_give_equal_results() -> None:
    def run(seed: int) -> tuple[list[ReinforcementStepResult], Weights]:
        plan = ReinforcementConfig(steps=2, problems=4, samples=8, validation=2, seed=seed)
        engine = engine_of(model(96))
        rounds = list(ReinforcementTrainer(model(96), engine, plan, begins_with_a_digit))
        assert any(r.reward for r in rounds)
        return rounds, engine.weights()

    assert run(1) == run(1)
    assert run(1)[1] != run(2)[1]


def test_a_stopped_run_keeps_the_best_weights() -> None:
    naive = model(96)
    plan = ReinforcementConfig(
        steps=60, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=1
    )
    reinforcement = ReinforcementTrainer(naive, engine_of(naive), plan, begins_with_a_digit)
    rounds = []
    for done in reinforcement:
        rounds.append(done)
        reinforcement.stopping = done.step == 10
    assert rounds[-1].step == 11
    assert rounds[-1].accuracy is not None
    assert (reinforcement.best_weights is not None) == (
        rounds[-1].accuracy > (rounds[0].accuracy or 0)
    )


def test_a_run_that_diverges_keeps_the_best_weights() -> None:
    naive = model(96)
    plan = ReinforcementConfig(
        steps=60, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=60
    )
    engine = engine_of(naive)
    reinforcement = ReinforcementTrainer(naive, engine, plan, begins_with_a_digit)

    def diverge_after_the_first_improvement() -> None:
        for _ in reinforcement:
            if reinforcement.best_weights:
                engine.train_step(Batch.from_sequences([[1, 2, 3]]), learning_rate=1e38)

    with pytest.warns(AnexaWarning, match="ended at step .* not a number"):
        diverge_after_the_first_improvement()
    assert reinforcement.best_weights is not None
    assert all(np.isfinite(weight.data).all() for weight in reinforcement.best_weights.values())


def test_a_run_without_memory_for_better_weights_keeps_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory suffices for the first weights that are better, and for none after them."""
    naive = model(96)
    plan = ReinforcementConfig(
        steps=60, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=60
    )
    engine = engine_of(naive)
    reinforcement = ReinforcementTrainer(naive, engine, plan, begins_with_a_digit)
    read, kept = engine.weights, list[Weights]()

    def weights_once() -> Weights:
        if kept:
            raise OutOfMemoryError("the weights do not fit")
        kept.append(read())
        return kept[0]

    monkeypatch.setattr(engine, "weights", weights_once)
    rounds: list[ReinforcementStepResult] = []
    with pytest.warns(AnexaWarning, match="ended at step .*: the weights do not fit"):
        rounds += reinforcement
    assert reinforcement.best_weights is kept[0]
    assert reinforcement.best_result is not None
    evaluated = [done for done in rounds if done.accuracy is not None]
    assert reinforcement.best_result == max(evaluated, key=lambda done: done.accuracy or 0)


def test_a_run_without_memory_for_any_better_weights_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    naive = model(96)
    plan = ReinforcementConfig(
        steps=60, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=60
    )
    engine = engine_of(naive)
    reinforcement = ReinforcementTrainer(naive, engine, plan, begins_with_a_digit)

    def fail() -> Weights:
        raise MemoryError

    monkeypatch.setattr(engine, "weights", fail)
    with pytest.raises(MemoryError):
        list(reinforcement)
    assert reinforcement.best_weights is None
    assert reinforcement.best_result is None


def test_a_run_can_be_stopped_before_the_first_step() -> None:
    naive = model(96)
    plan = ReinforcementConfig(
        steps=60, problems=4, samples=8, learning_rate=0.06, validation=10, evaluations=1
    )
    reinforcement = ReinforcementTrainer(naive, engine_of(naive), plan, begins_with_a_digit)
    reinforcement.stopping = True
    assert [done.step for done in reinforcement] == [0]
    assert reinforcement.best_weights is None


def with_noise(model: Model, scale: float) -> Model:
    """Return the model with noise in its matrices, `scale` times as large as their values."""
    rng = np.random.default_rng(1)
    noisy: Weights = {}
    for name, weight in model.weights.items():
        values = np.asarray(weight.data)
        noise = rng.normal(0, scale * values.std(), values.shape) if len(weight.shape) == 2 else 0
        noisy[name] = Weight(weight.shape, array("f", (values + noise).tolist()))
    return replace(model, weights=noisy)


def with_half_its_answers(model: Model, config: ReinforcementConfig) -> Model:
    """Return the model with noise that leaves it 35 to 65 % of the held-out problems.

    How much that is differs between trainings of the model, so it is looked for.
    """
    too_little, too_much = 0.0, 0.4
    for _ in range(8):
        scale = (too_little + too_much) / 2
        noisy = with_noise(model, scale)
        reinforcement = ReinforcementTrainer(noisy, engine_of(noisy), config)
        reinforcement.stopping = True
        (before,) = reinforcement
        assert before.accuracy is not None
        if 0.35 <= before.accuracy <= 0.65:
            return noisy
        if before.accuracy > 0.65:
            too_little = scale
        else:
            too_much = scale
    raise AssertionError(f"no noise between {too_little} and {too_much} does it")


@pytest.mark.slow
def test_a_model_with_noisy_weights_improves(tmp_path: Path) -> None:
    """By the command: noise in its weights has cost the bundled model half of its answers."""
    shaken = with_half_its_answers(load_model(BUNDLED_FOLDER), ReinforcementConfig(validation=60))
    card = "---\nmetrics: [loss]\n---\n\n# shaken\n\n## Evaluation\n\nof other weights\n"
    create_folder(tmp_path / "shaken", shaken, card)
    options = ["--steps=30", "--problems=8", "--samples=6", "--learning-rate=5e-4"]
    options += ["--evaluations=2", "--validation=60", "--engine=numpy"]
    result = anexa("reinforce", "shaken", *options, cwd=tmp_path, timeout=1800)
    assert result.returncode == 0, result.stderr
    shares = [float(share) for share in re.findall(r"accuracy ([\d.]+)%", result.stdout)]
    assert len(shares) == 3
    assert 35 <= shares[0] <= 65
    assert max(shares[1:]) > shares[0] + 5
    best = max(shares[1:])
    step = (15, 30)[shares[1:].index(best)]
    kept = (
        f"those of step {step}, with an accuracy of {best:.1f}% on 60 held-out problems, "
        f"{shares[0]:.1f}% before"
    )
    assert f"wrote shaken-reinforced: the weights are {kept}\n" in result.stdout
    written = (tmp_path / "shaken-reinforced" / "README.md").read_text(encoding="utf-8")
    assert "Then reinforced: `anexa reinforce shaken --steps 30 --problems 8" in written
    assert f"The weights are {kept}. " in written
    assert "of other weights" not in written
    assert written.startswith("---\n---\n")
    assert load_model(tmp_path / "shaken-reinforced").weights != shaken.weights


def test_a_card_loses_the_figures_of_other_weights() -> None:
    card = (BUNDLED_FOLDER / "README.md").read_text(encoding="utf-8")
    header, _, text = remove_metrics(card).removeprefix("---\n").partition("\n---\n")
    assert header == (
        "library_name: transformers\npipeline_tag: text-generation\ntags: [anexa, llama]\n"
        'datasets: ["arithmetic"]'
    )
    assert text.startswith("\n# arithmetic: a llama model")
    assert "## Evaluation" not in text
    assert remove_metrics("# a card\n") == "# a card"


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    for arguments, words in (
        (["nothing"], "nothing is not a model folder"),
        (["m", "--out", "there"], "there exists already"),
        (["m", "--out", "file/x"], "cannot write file/x: file is a file"),
        (["m", "--learning-rate", "inf"], "--learning-rate must be a finite number, not inf"),
        (["m", "--learning-rate", "0"], "--learning-rate must be above 0, not 0.0"),
        (["m", "--samples", "1"], "--samples must be at least 2, not 1"),
    ):
        result = anexa("reinforce", *arguments, cwd=tmp_path)
        assert result.returncode in (1, 2)
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
