from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from anexa.engines import open_engine
from anexa.errors import AnexaError, OutOfMemoryError
from anexa.model.loading import load_model
from anexa.model.tensors import as_float32
from anexa.model.weights import initial_weights
from anexa.training import RunOptions, Trainer, build_trainer, resume_trainer
from anexa.training.checkpoint import read_checkpoint
from anexa.training.distributed import DistributedContext
from anexa.training.schedule import learning_rate
from anexa.training.sections import ScheduleConfig
from anexa.training.trainer import Callback, StepResult
from tests.training.runs import each_engine, finish, settings, stop_after, weights_file
from tests.training.timer import Timer

# What a run does


@each_engine
def test_the_loss_falls(engine: str, names: Path, tmp_path: Path) -> None:
    run = finish(build_trainer(settings(names, engine=engine, steps=60), tmp_path / "m"))
    first, last = run.state.evaluations[0], run.state.evaluations[-1]
    assert first.validation_loss == pytest.approx(math.log(run.model_config.vocab_size), abs=0.3)
    assert last.validation_loss < 0.85 * first.validation_loss
    assert last.train_loss is not None
    assert last.train_loss < 0.85 * first.validation_loss


def test_every_step_and_evaluation_is_yielded(names: Path, tmp_path: Path) -> None:
    options = RunOptions(timer=Timer(tick=0.001))
    run = build_trainer(settings(names, steps=25, batch_size=2), tmp_path / "m", options)
    steps = list(run)
    assert [step.step for step in steps] == list(range(1, 26))
    assert [step.progress for step in steps] == [number / 25 for number in range(1, 26)]
    evaluated = [step for step in steps if step.evaluation]
    assert len(evaluated) == ScheduleConfig().evaluations
    assert run.state.evaluations[1:] == [step.evaluation for step in evaluated]
    begin = 0
    for step in evaluated:
        losses = [s.loss for s in steps[begin : step.step]]
        assert step.evaluation is not None
        assert step.evaluation.train_loss == pytest.approx(sum(losses) / len(losses))
        begin = step.step
    assert steps[-1].seconds_left == run.clock.final_eval_seconds


def test_step_is_estimated_from_the_tokens_of_an_evaluation(tmp_path: Path) -> None:
    """Also if the validation dataset is small: here it has 2 of 20 documents of the same length."""
    corpus = tmp_path / "words.txt"
    words = map("".join, itertools.islice(itertools.permutations("abcde"), 20))
    corpus.write_text("\n".join(words), encoding="utf-8")
    run = build_trainer(settings(corpus, batch_size=4), tmp_path / "m", RunOptions(timer=Timer()))
    assert len(run.validation.eval_sequences(128)) == 2
    run.clock.final_eval_seconds = 10.0
    assert run.step_seconds == pytest.approx(3 * 10 / 2 * 4)


@pytest.mark.parametrize("end", [{"steps": 1}, {"steps": None, "minutes": 1e-9}])
def test_one_step_moves_the_weights(end: dict[str, Any], names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, warmup=0.05, **end), tmp_path / "m")
    before = run.engine.weights()
    finish(run)
    assert run.state.step == 1
    after = run.engine.weights()
    assert all(before[name] != after[name] for name in ("wte.weight", "lm_head.weight"))


def test_weights_on_disk_are_the_trained_weights(names: Path, tmp_path: Path) -> None:
    run = finish(build_trainer(settings(names), tmp_path / "m"))
    model = load_model(run.folder)
    assert model.weights == run.engine.weights()
    opened = open_engine("numpy", model.config, model.weights)
    tokens = model.tokenizer.encode_prompt("anna")
    assert opened.logits(tokens) == run.engine.logits(tokens)


@pytest.mark.parametrize("layout", ["lines", "text"])
def test_the_validation_text_is_never_trained_on(layout: str, tmp_path: Path) -> None:
    # In microgpt a token that was never read has the embedding that it began with, to the bit.
    symbols = [chr(ord("a") + i) for i in range(20)]
    if layout == "lines":
        text = "".join(f"{symbol}{symbol}\n" for symbol in symbols)
        n_validation = 2  # a tenth of the lines
    else:
        text = "".join(symbol * 20 for symbol in symbols)
        n_validation = 2  # a tenth of the characters, at the end
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text, encoding="utf-8")
    run = build_trainer(settings(corpus, layout=layout, steps=100, batch_size=4), tmp_path / "m")
    before = run.engine.weights()["wte.weight"].data
    finish(run)
    after = run.engine.weights()["wte.weight"].data
    width = run.model_config.n_embd
    unread = [
        symbol
        for i, symbol in enumerate(symbols)
        if before[i * width : (i + 1) * width] == after[i * width : (i + 1) * width]
    ]
    assert len(unread) == n_validation
    if layout == "text":
        assert unread == symbols[-2:]


def test_initial_weights_depend_on_the_seed(names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, engine="lists", seed=7), tmp_path / "m")
    assert run.engine.weights() == initial_weights(run.model_config, random.Random(7))


# The same again


@each_engine
def test_equal_seeds_write_equal_bytes(engine: str, names: Path, tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = settings(names, engine=engine, steps=10, seed=seed, n_embd=8)
        run = build_trainer(config, tmp_path / name)
        files.append(weights_file(finish(run).folder))
    assert files[0] == files[1]
    assert files[0] != files[2]


# By the clock


@pytest.mark.parametrize("minutes", [0.02, 0.05])
def test_a_run_in_minutes_takes_that_long(minutes: float, names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=None, minutes=minutes)
    run = build_trainer(wanted, tmp_path / "m", RunOptions(timer=Timer(tick=0.001)))
    steps = list(run)
    assert run.done
    assert run.state.seconds == pytest.approx(minutes * 60, abs=0.02)
    assert steps[-1].progress == 1
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    # The last step's rate is that of the progress before it.
    assert learning_rate(1.0, progress[-2], warmup=0.0) < 0.1
    assert len(run.state.evaluations) >= ScheduleConfig().evaluations - 2


# What goes wrong


@pytest.mark.parametrize("engine", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
@pytest.mark.parametrize("steps", [5, 10, 40])
@pytest.mark.filterwarnings("error")
def test_non_finite_loss_ends_the_run(engine: str, steps: int, names: Path, tmp_path: Path) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    wanted = settings(names, preset="anexa", engine=engine, steps=steps, learning_rate=1e30)
    names.write_text("the cat sat on the mat, and the rat sat on the cat. " * 40, encoding="utf-8")
    run = build_trainer(wanted, tmp_path / "m")
    losses = []

    def go() -> None:
        for step in run:
            losses.append(step.loss)

    with pytest.raises(AnexaError, match=r"--learning-rate below 1e\+30") as caught:
        go()
    assert all(map(math.isfinite, losses))
    assert f"the loss is nan at step {len(losses) + 1}:" in str(caught.value)
    model = load_model(tmp_path / "m")  # the last checkpoint, and it is one of numbers
    logits = open_engine("numpy", model.config, model.weights).logits(model.tokenizer.encode("the"))
    assert all(math.isfinite(z) for row in logits for z in row)


class OutOfMemoryCallback(Callback):
    """Callback that ends a run after its first step, as an engine without memory does."""

    def on_step(self, trainer: Trainer, result: StepResult) -> None:  # noqa: ARG002
        raise OutOfMemoryError("the memory is not enough: lower --n-embd")


def test_a_memory_error_of_a_run_says_that_its_checkpoint_is_complete(
    names: Path, tmp_path: Path
) -> None:
    run = build_trainer(settings(names), tmp_path / "m")
    with pytest.raises(OutOfMemoryError) as caught:
        run.fit([OutOfMemoryCallback()])
    assert str(caught.value) == (
        "the memory is not enough: lower --n-embd; the last checkpoint is complete"
    )
    assert read_checkpoint(tmp_path / "m").state.step == 0


@pytest.mark.parametrize(
    ("preset", "steps"),
    [
        pytest.param("microgpt", 2, id="its gradient is none"),
        pytest.param("anexa", 1, id="its weights give none"),
    ],
)
def test_a_stopped_run_never_saves_non_finite_weights(
    preset: str, steps: int, names: Path, tmp_path: Path
) -> None:
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "block_size": 8, "warmup": 0.0}
    wild = settings(names, preset=preset, learning_rate=1e30, evaluations=1, **sizes)
    run = build_trainer(wild, tmp_path / "m")
    before = run.engine.weights()

    def go() -> None:
        for step in run:
            run.stopping = step.step == steps

    with pytest.raises(AnexaError, match=r"is nan at step .* below 1e\+30"):
        go()
    assert run.state.step == steps
    assert load_model(tmp_path / "m").weights == as_float32(before)
    assert read_checkpoint(tmp_path / "m").weights == before


@pytest.mark.parametrize("moment", range(1, 9))
def test_stopping_works_at_any_moment(moment: int, names: Path, tmp_path: Path) -> None:
    """Also if the signal arrives while the processes communicate."""

    class Interrupted(DistributedContext):
        running: ClassVar[list[Trainer]] = []
        spoken = 0

        def broadcast(self, *numbers: float) -> tuple[float, ...]:
            heard = super().broadcast(*numbers)
            Interrupted.spoken += len(self.running)
            if Interrupted.spoken == moment:
                self.running[0].stopping = True
            return heard

    run = build_trainer(settings(names), tmp_path / "m", RunOptions(Interrupted()))
    Interrupted.running.append(run)
    assert len(list(run)) <= 1 + moment // 2
    assert not run.done
    assert read_checkpoint(run.folder).state.step == run.state.step


def test_the_model_on_disk_is_the_best_one(tmp_path: Path) -> None:
    """The training text says that b follows a, the validation text that it does half of the time.

    So the validation loss falls while the model learns that there is nothing but a and b, and rises
    as it becomes sure of their order, whatever the rounding; the run goes on all the same.
    """
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("abcdefghijklmnopqrst" + 430 * "ab" + 24 * "aabb", encoding="utf-8")
    wanted = settings(corpus, layout="text", steps=100, learning_rate=0.003)
    run = build_trainer(wanted, tmp_path / "m")
    at_evaluations = {}
    for step in run:
        if step.evaluation:
            at_evaluations[step.step] = step.evaluation.validation_loss, run.engine.weights()
    best, weights = min(at_evaluations.values(), key=lambda pair: pair[0])
    assert best < run.state.evaluations[0].validation_loss - 1, "it has learned something"
    assert best < run.state.evaluations[-1].validation_loss - 1, "the last is not the best"
    assert load_model(run.folder).weights == weights
    assert read_checkpoint(run.folder).weights == run.engine.weights(), "the state is the last"


def test_a_run_stopped_early_has_a_model(names: Path, tmp_path: Path) -> None:
    run = build_trainer(settings(names, steps=1000), tmp_path / "m")
    stop_after(run, 7)
    assert load_model(run.folder).weights == run.engine.weights()


def test_until_loss_ends_the_run(names: Path, tmp_path: Path) -> None:
    whole = finish(build_trainer(settings(names, steps=100), tmp_path / "whole"))
    third = whole.state.evaluations[3].validation_loss
    wanted = settings(names, steps=100, until_loss=third)
    run = finish(build_trainer(wanted, tmp_path / "m"))
    assert run.state.step == 30
    assert run.state.evaluations == [
        replace(e, seconds=ours.seconds)
        for e, ours in zip(whole.state.evaluations[:4], run.state.evaluations)
    ]
    with pytest.raises(AnexaError, match="is finished"):
        resume_trainer(tmp_path / "m")


def test_an_epoch_is_a_pass_over_the_text(names: Path, tmp_path: Path) -> None:
    run = finish(
        build_trainer(settings(names, steps=None, epochs=2.5, batch_size=4), tmp_path / "m")
    )
    assert run.state.step == math.ceil(2.5 * 22 / 4)  # of 24 names, two are for validation


def test_a_second_process_cannot_train_in_the_folder(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    first, second = resume_trainer(tmp_path / "m"), resume_trainer(tmp_path / "m")
    steps = iter(first)
    next(steps)
    with pytest.raises(AnexaError, match="is already running"):
        finish(second)
    assert [step.step for step in steps][-1] == 20


def test_a_failed_start_leaves_no_folder(names: Path, tmp_path: Path) -> None:
    names.write_text("too short\n", encoding="utf-8")
    with pytest.raises(AnexaError, match="too short"):
        build_trainer(settings(names), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_existing_folder_is_refused(names: Path, tmp_path: Path) -> None:
    run = finish(build_trainer(settings(names), tmp_path / "m"))
    before = weights_file(run.folder)
    with pytest.raises(AnexaError, match=r"exists already: .* --resume"):
        build_trainer(settings(names, seed=1), tmp_path / "m")
    assert weights_file(run.folder) == before
