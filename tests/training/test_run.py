from __future__ import annotations

import json
import math
import random
import shutil
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from anexa.engines import open_engine
from anexa.errors import AnexaError, UsageError
from anexa.model.folder import load_model
from anexa.model.tensors import as_float32, read_tensors, write_tensors
from anexa.model.weights import initial_weights
from anexa.training import Run, picture
from anexa.training.checkpoint import STATE, read_state
from anexa.training.metrics import read_metrics
from anexa.training.picture import PICTURE
from anexa.training.presets import DEFAULTS
from anexa.training.schedule import learning_rate
from tests.training.runs import each_engine, finish, settings, weights_file, write_names


@pytest.fixture
def names(tmp_path: Path) -> Path:
    return write_names(tmp_path)


def stop_after(run: Run, steps: int) -> None:
    """Do so many steps, then stop as Ctrl-C does."""
    run.stopping = steps == 0
    for step in run:
        run.stopping = step.number == steps
    assert not run.done
    assert run.history.step == steps
    assert read_state(run.folder).history.step == steps  # nothing is lost


# What a run does


@each_engine
def test_the_loss_falls(engine: str, names: Path, tmp_path: Path) -> None:
    run = finish(Run.start(settings(names, engine=engine, steps=60), tmp_path / "m"))
    first, last = run.history.evaluations[0], run.history.evaluations[-1]
    assert first.validation_loss == pytest.approx(math.log(run.config.vocab_size), abs=0.3)
    assert last.validation_loss < 0.85 * first.validation_loss
    assert last.train_loss is not None
    assert last.train_loss < 0.85 * first.validation_loss


def test_every_step_and_evaluation_is_told(names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, steps=25, batch_size=2), tmp_path / "m")
    steps = list(run)
    assert [step.number for step in steps] == list(range(1, 26))
    assert [step.progress for step in steps] == [number / 25 for number in range(1, 26)]
    evaluated = [step for step in steps if step.evaluation]
    assert len(evaluated) == DEFAULTS["evaluations"]
    assert run.history.evaluations[1:] == [step.evaluation for step in evaluated]
    begin = 0
    for step in evaluated:
        losses = [s.loss for s in steps[begin : step.number]]
        assert step.evaluation is not None
        assert step.evaluation.train_loss == pytest.approx(sum(losses) / len(losses))
        begin = step.number
    assert steps[-1].seconds_left == pytest.approx(0, abs=2)


@pytest.mark.parametrize("end", [{"steps": 1}, {"steps": None, "minutes": 1e-9}])
def test_one_step_moves_the_weights(end: dict[str, object], names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, warmup=0.05, **end), tmp_path / "m")
    before = run.engine.weights()
    finish(run)
    assert run.history.step == 1
    after = run.engine.weights()
    assert all(before[name] != after[name] for name in ("wte.weight", "lm_head.weight"))


def test_what_is_on_disk_is_what_was_trained(names: Path, tmp_path: Path) -> None:
    run = finish(Run.start(settings(names), tmp_path / "m"))
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
    run = Run.start(settings(corpus, layout=layout, steps=100, batch_size=4), tmp_path / "m")
    before = run.engine.weights()["wte.weight"].data
    finish(run)
    after = run.engine.weights()["wte.weight"].data
    width = run.config.n_embd
    unread = [
        symbol
        for i, symbol in enumerate(symbols)
        if before[i * width : (i + 1) * width] == after[i * width : (i + 1) * width]
    ]
    assert len(unread) == n_validation
    if layout == "text":
        assert unread == symbols[-2:]


def test_the_first_weights_come_from_the_seed(names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, engine="lists", seed=7), tmp_path / "m")
    assert run.engine.weights() == initial_weights(run.config, random.Random(7))


# The same again


@each_engine
def test_a_seed_gives_the_same_bytes(engine: str, names: Path, tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = Run.start(settings(names, engine=engine, steps=10, seed=seed), tmp_path / name)
        files.append(weights_file(finish(run).folder))
    assert files[0] == files[1]
    assert files[0] != files[2]


@each_engine
def test_a_resumed_run_is_one_that_never_stopped(engine: str, names: Path, tmp_path: Path) -> None:
    wanted = settings(names, engine=engine, steps=14, batch_size=2)
    whole = finish(Run.start(wanted, tmp_path / "whole"))
    stopped = Run.start(wanted, tmp_path / "stopped")
    stop_after(stopped, 0)  # before the optimizer has any moments
    for steps in (1, 6, 7, 13):  # within the stretches between checkpoints, and at their ends
        stopped = Run.resume(tmp_path / "stopped")
        assert stopped.resumed
        stop_after(stopped, steps)
    resumed = finish(Run.resume(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)
    assert resumed.history.tokens == whole.history.tokens
    assert [(e.step, e.train_loss, e.validation_loss) for e in resumed.history.evaluations] == [
        (e.step, e.train_loss, e.validation_loss) for e in whole.history.evaluations
    ]
    moments = [read_tensors(run.folder / STATE)[0] for run in (whole, resumed)]
    assert moments[0] == moments[1]


def test_running_text_resumes_too(tmp_path: Path) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text("the cat sat on the mat, and the rat sat on the cat. " * 9, encoding="utf-8")
    wanted = settings(corpus, layout="text", batch_size=3)
    whole = finish(Run.start(wanted, tmp_path / "whole"))
    stop_after(Run.start(wanted, tmp_path / "stopped"), 5)
    resumed = finish(Run.resume(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


def test_the_preset_with_warmup_resumes_too(tmp_path: Path) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text("the cat sat on the mat, and the rat sat on the cat. " * 30, encoding="utf-8")
    wanted = settings(corpus, preset="anexa", steps=2)
    whole = finish(Run.start(wanted, tmp_path / "whole"))
    stop_after(Run.start(wanted, tmp_path / "stopped"), 1)
    resumed = finish(Run.resume(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


# By the clock


@pytest.mark.parametrize(
    ("minutes", "tolerance"), [(0.03, 0.15), pytest.param(0.1, 0.05, marks=pytest.mark.slow)]
)
def test_minutes_are_kept(minutes: float, tolerance: float, names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=None, minutes=minutes)
    run = Run.start(wanted, tmp_path / "m")
    steps = list(run)
    assert run.done
    assert run.history.seconds == pytest.approx(minutes * 60, rel=tolerance)
    assert steps[-1].progress == 1
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    # The last step's rate is that of the progress before it.
    assert learning_rate(1.0, progress[-2], warmup=0.0) < 0.1
    assert len(run.history.evaluations) >= DEFAULTS["evaluations"] - 2


def test_minutes_go_on_after_a_stop(names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, steps=None, minutes=0.02), tmp_path / "m")
    stop_after(run, 50)
    used = run.history.seconds
    assert 0 < used < 1.2
    resumed = finish(Run.resume(tmp_path / "m"))
    assert resumed.history.seconds == pytest.approx(1.2, rel=0.2)


# What goes wrong


@pytest.mark.parametrize("engine", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
@pytest.mark.parametrize("steps", [5, 10, 40])
@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_no_number_ends_the_run(
    engine: str, steps: int, names: Path, tmp_path: Path
) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    wanted = settings(names, preset="anexa", engine=engine, steps=steps, learning_rate=1e30)
    names.write_text("the cat sat on the mat, and the rat sat on the cat. " * 40, encoding="utf-8")
    run = Run.start(wanted, tmp_path / "m")
    losses = []

    def go() -> None:
        for step in run:
            losses.append(step.loss)

    with pytest.raises(AnexaError, match=r"--learning-rate below 1e\+30") as caught:
        go()
    assert all(map(math.isfinite, losses))
    assert f"the loss is no number any more at step {len(losses) + 1}:" in str(caught.value)
    model = load_model(tmp_path / "m")  # the last checkpoint, and it is one of numbers
    logits = open_engine("numpy", model.config, model.weights).logits(model.tokenizer.encode("the"))
    assert all(math.isfinite(z) for row in logits for z in row)


@pytest.mark.parametrize(
    ("preset", "steps"),
    [
        pytest.param("microgpt", 2, id="its gradient is none"),
        pytest.param("anexa", 1, id="its weights give none"),
    ],
)
def test_a_stop_after_a_step_whose_loss_was_a_number_saves_none_that_are_not(
    preset: str, steps: int, names: Path, tmp_path: Path
) -> None:
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "block_size": 8, "warmup": 0.0}
    wild = settings(names, preset=preset, learning_rate=1e30, evaluations=1, **sizes)
    run = Run.start(wild, tmp_path / "m")
    before = run.engine.weights()

    def go() -> None:
        for step in run:
            run.stopping = step.number == steps

    with pytest.raises(AnexaError, match=r"no number any more at step .* below 1e\+30"):
        go()
    assert run.history.step == steps
    assert load_model(tmp_path / "m").weights == as_float32(before)
    assert read_state(tmp_path / "m").weights == before


def test_a_corpus_that_changed_is_noticed(names: Path, tmp_path: Path) -> None:
    stop_after(Run.start(settings(names), tmp_path / "m"), 3)
    before = names.read_bytes()
    names.write_bytes(before + b"zoe\n")
    with pytest.raises(AnexaError, match="has changed since this training began"):
        Run.resume(tmp_path / "m")
    names.unlink()
    with pytest.raises(AnexaError, match="no corpus and no file named"):
        Run.resume(tmp_path / "m")
    names.write_bytes(before)
    assert finish(Run.resume(tmp_path / "m")).done


def test_there_is_nothing_to_resume(names: Path, tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="holds no training that could go on"):
        Run.resume(tmp_path)
    with pytest.raises(AnexaError, match="holds no training that could go on"):
        Run.resume(tmp_path / "nowhere")
    finish(Run.start(settings(names), tmp_path / "m"))
    with pytest.raises(AnexaError, match="is finished: there is nothing left to do"):
        Run.resume(tmp_path / "m")


def test_a_kill_between_a_model_and_its_state_changes_nothing(names: Path, tmp_path: Path) -> None:
    whole = finish(Run.start(settings(names), tmp_path / "whole"))
    stop_after(Run.start(settings(names), tmp_path / "m"), 13)
    later = weights_file(whole.folder)
    assert weights_file(tmp_path / "m") != later
    (tmp_path / "m" / "model.safetensors").write_bytes(later)  # the model is written first
    assert weights_file(finish(Run.resume(tmp_path / "m")).folder) == later


def test_the_model_on_disk_is_the_best_one(names: Path, tmp_path: Path) -> None:
    """Its rate is so high that the validation loss goes up again; the run goes on all the same."""
    run = Run.start(settings(names, steps=100, learning_rate=0.15), tmp_path / "m")
    at_evaluations = {}
    for step in run:
        if step.evaluation:
            at_evaluations[step.number] = step.evaluation.validation_loss, run.engine.weights()
    best, weights = min(at_evaluations.values(), key=lambda pair: pair[0])
    assert best < run.history.evaluations[-1].validation_loss - 0.01, "the last is not the best"
    assert load_model(run.folder).weights == weights
    assert read_state(run.folder).weights == run.engine.weights(), "the state is the last"


def test_a_run_that_stops_early_has_a_model(names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, steps=1000), tmp_path / "m")
    stop_after(run, 7)
    assert load_model(run.folder).weights == run.engine.weights()


def test_a_loss_that_is_low_enough_ends_the_run(names: Path, tmp_path: Path) -> None:
    whole = finish(Run.start(settings(names, steps=100), tmp_path / "whole"))
    third = whole.history.evaluations[3].validation_loss
    wanted = settings(names, steps=100, until_loss=third)
    run = finish(Run.start(wanted, tmp_path / "m"))
    assert run.history.step == 30
    assert run.history.evaluations == [
        replace(e, seconds=ours.seconds)
        for e, ours in zip(whole.history.evaluations[:4], run.history.evaluations)
    ]
    with pytest.raises(AnexaError, match="is finished"):
        Run.resume(tmp_path / "m")


def test_epochs_are_passes_over_the_text(names: Path, tmp_path: Path) -> None:
    run = finish(Run.start(settings(names, steps=None, epochs=2.5, batch_size=4), tmp_path / "m"))
    assert run.history.step == math.ceil(2.5 * 22 / 4)  # of 24 names, two are for validation


def test_what_the_run_measured_is_in_its_metrics(names: Path, tmp_path: Path) -> None:
    run = Run.start(settings(names, steps=20, batch_size=2), tmp_path / "m")
    steps = list(run)
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))
    assert [record.loss for record in records] == [step.loss for step in steps]
    assert [record.learning_rate for record in records] == [
        pytest.approx(learning_rate(0.01, step / 20, warmup=0.0)) for step in range(20)
    ]
    validated = [r.validation_loss for r in records if r.validation_loss is not None]
    assert validated == [e.validation_loss for e in run.history.evaluations[1:]]
    assert records[-1].tokens == run.history.tokens
    assert all(r.gradient_norm > 0 and r.tokens_per_second > 0 for r in records)
    assert all(r.peak_share is not None and 0 < r.peak_share < 1.5 for r in records)


needs_matplotlib = pytest.mark.skipif(not picture.can_draw(), reason="there is no matplotlib")


@needs_matplotlib
@pytest.mark.parametrize(("apart", "pictures"), [(0.0, 10), (1e9, 0)])
def test_the_losses_are_drawn_now_and_then_and_at_the_end(
    apart: float, pictures: int, names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "APART", apart)
    run = Run.start(settings(names), tmp_path / "m", pictures=True)
    drawn, before = 0, b""
    for step in run:
        path = tmp_path / "m" / PICTURE
        now = path.read_bytes() if path.exists() else b""
        drawn, before = drawn + (now != before), now
        if step.evaluation:
            run.metrics.sample(step.number, "a sample")
    assert drawn in (pictures, max(0, pictures - 1))  # the last is drawn after the last step
    assert (tmp_path / "m" / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "m" / PICTURE).read_bytes() != before


@needs_matplotlib
def test_a_run_that_is_stopped_is_drawn_too(names: Path, tmp_path: Path) -> None:
    for steps, drawn in ((0, False), (3, True)):  # of nothing there is no picture
        folder = tmp_path / f"m{steps}"
        stop_after(Run.start(settings(names), folder, pictures=True), steps)
        assert (folder / PICTURE).exists() == drawn


def test_without_matplotlib_nothing_is_drawn(
    names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # so Python finds none
    finish(Run.start(settings(names), tmp_path / "m", pictures=True))
    assert not (tmp_path / "m" / PICTURE).exists()


def test_drawing_takes_no_time_from_the_figures(
    names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(picture, "APART", 0.0)
    finish(Run.start(settings(names), tmp_path / "m", pictures=True))
    records, _ = read_metrics(tmp_path / "m")
    slowest = min(record.tokens_per_second for record in records)
    assert slowest > 20  # a drawing between two steps would leave about 10


def test_a_run_that_goes_on_has_one_history(names: Path, tmp_path: Path) -> None:
    stop_after(Run.start(settings(names), tmp_path / "m"), 13)
    finish(Run.resume(tmp_path / "m"))
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))


def test_a_stop_changes_no_record(names: Path, tmp_path: Path) -> None:
    """Also where a record is the mean over several steps, some of them before the stop."""
    wanted = settings(names, steps=1000, block_size=4, batch_size=1)
    whole = finish(Run.start(wanted, tmp_path / "whole"))
    stop_after(Run.start(wanted, tmp_path / "m"), 131)
    resumed = finish(Run.resume(tmp_path / "m"))
    told = [
        [(r.step, r.loss, r.learning_rate, r.gradient_norm) for r in read_metrics(run.folder)[0]]
        for run in (whole, resumed)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 500


def test_an_evaluation_is_recorded_before_it_is_saved(names: Path, tmp_path: Path) -> None:
    """Whoever is killed between the two has no checkpoint that knows more than the metrics."""
    run = Run.start(settings(names), tmp_path / "m")
    card = tmp_path / "m" / "README.md"
    card.unlink()
    card.mkdir()  # so that saving fails
    with pytest.raises(AnexaError, match=r"README\.md"):
        finish(run)
    card.rmdir()
    assert [r.step for r in read_metrics(tmp_path / "m")[0] if r.validation_loss] == [2]
    assert read_state(tmp_path / "m").history.step == 0
    finish(Run.resume(tmp_path / "m"))
    records, _ = read_metrics(tmp_path / "m")
    assert [record.step for record in records] == list(range(1, 21))


def test_a_run_is_done_by_one_process_at_a_time(names: Path, tmp_path: Path) -> None:
    stop_after(Run.start(settings(names), tmp_path / "m"), 3)
    first, second = Run.resume(tmp_path / "m"), Run.resume(tmp_path / "m")
    steps = iter(first)
    next(steps)
    with pytest.raises(AnexaError, match="is running already"):
        finish(second)
    assert [step.number for step in steps][-1] == 20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 0.5}, "begun with --learning-rate 0.01, not 0.5"),
        ({"corpus": "firstnames"}, "begun with the corpus .*names.txt, not firstnames"),
        ({"n_head": 2}, "begun with --n-head not given, not 2"),
        ({"steps": 40}, "begun with --steps 20, not 40"),
        ({"tokenizer": "bpe:300"}, "begun with --tokenizer char, not bpe:300"),
        ({"batch_tokens": 64}, "goes on with its own --batch-size: leave --batch-tokens out"),
    ],
)
def test_what_makes_it_another_run_is_refused(
    changes: dict[str, object], sentence: str, names: Path, tmp_path: Path
) -> None:
    stop_after(Run.start(settings(names), tmp_path / "m"), 3)
    with pytest.raises(UsageError, match=sentence):
        Run.resume(tmp_path / "m", changes)


def test_what_it_was_begun_with_may_be_said_again(names: Path, tmp_path: Path) -> None:
    whole = finish(Run.start(settings(names, n_embd=8), tmp_path / "whole"))
    stop_after(Run.start(settings(names, n_embd=8), tmp_path / "m"), 3)
    same = {"steps": 20, "n_embd": 8, "engine": "numpy", "dtype": "auto", "corpus": str(names)}
    resumed = finish(Run.resume(tmp_path / "m", same | {"micro_batch": 3}))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


def test_a_run_goes_on_without_the_tokenizer_that_it_took_over(names: Path, tmp_path: Path) -> None:
    other = finish(Run.start(settings(names, steps=1), tmp_path / "other")).folder
    tokenizer = shutil.copy(other / "tokenizer.json", tmp_path / "taken.json")
    stop_after(Run.start(settings(names, tokenizer=str(tokenizer)), tmp_path / "m"), 3)
    Path(tokenizer).unlink()  # the model has its own copy
    finish(Run.resume(tmp_path / "m"))


def test_a_run_that_cannot_begin_leaves_no_folder(names: Path, tmp_path: Path) -> None:
    names.write_text("too short\n", encoding="utf-8")
    with pytest.raises(AnexaError, match="too short"):
        Run.start(settings(names), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_a_folder_is_not_written_twice(names: Path, tmp_path: Path) -> None:
    run = finish(Run.start(settings(names), tmp_path / "m"))
    before = weights_file(run.folder)
    with pytest.raises(AnexaError, match=r"exists already: .* --resume"):
        Run.start(settings(names, seed=1), tmp_path / "m")
    assert weights_file(run.folder) == before


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(5000))


def without_metadata(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {})


def with_metadata_of_no_json(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {"run": "{"})


def with_metadata_of_another_kind(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {"run": "[1, 2]"})


def with_settings_of_nonsense(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    run = json.loads(metadata["run"])
    run["settings"]["steps"] = "many"
    write_tensors(path, tensors, {"run": json.dumps(run)})


def with_an_unknown_preset(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    run = json.loads(metadata["run"])
    run["settings"]["preset"] = "giant"
    write_tensors(path, tensors, {"run": json.dumps(run)})


def without_a_weight(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    del tensors["w.lm_head.weight"]
    write_tensors(path, tensors, metadata)


def without_a_moment(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    del tensors["m.lm_head.weight"]
    write_tensors(path, tensors, metadata)


def with_a_weight_of_another_shape(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    tensors["w.lm_head.weight"] = tensors["w.wpe.weight"]
    write_tensors(path, tensors, metadata)


def with_a_header_too_long(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])


@pytest.mark.parametrize("engine", ["lists", "numpy"])
@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        emptied,
        garbled,
        without_metadata,
        with_metadata_of_no_json,
        with_metadata_of_another_kind,
        with_settings_of_nonsense,
        with_an_unknown_preset,
        without_a_weight,
        without_a_moment,
        with_a_weight_of_another_shape,
        with_a_header_too_long,
    ],
)
def test_a_damaged_state_is_noticed(
    engine: str, damage: Callable[[Path], None], names: Path, tmp_path: Path
) -> None:
    stop_after(Run.start(settings(names, engine=engine), tmp_path / "m"), 3)
    damage(tmp_path / "m" / STATE)
    with pytest.raises(AnexaError, match=r"state\.safetensors") as caught:
        Run.resume(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1
    load_model(tmp_path / "m")  # the model itself is as good as before


def test_a_state_without_its_model_is_noticed(names: Path, tmp_path: Path) -> None:
    stop_after(Run.start(settings(names), tmp_path / "m"), 3)
    shutil.move(tmp_path / "m" / "config.json", tmp_path / "config.json")
    with pytest.raises(AnexaError, match=r"it has no config\.json"):
        Run.resume(tmp_path / "m")


@pytest.mark.parametrize("attempt", range(5))
def test_the_last_steps_of_some_minutes_are_saved(
    attempt: int, names: Path, tmp_path: Path
) -> None:
    """Whatever takes the time between two steps: here, as a display would."""
    run = Run.start(settings(names, steps=None, minutes=0.01, seed=attempt), tmp_path / "m")
    steps = []
    for step in run:
        time.sleep(0.0005)
        steps.append(step)
    assert run.done
    assert steps[-1].progress == 1
    assert steps[-1].evaluation is not None
    assert read_state(run.folder).history.step == run.history.step == steps[-1].number
    with pytest.raises(AnexaError, match="is finished"):
        Run.resume(run.folder)


def test_a_run_goes_on_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_names(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = Run.start(settings(Path("names.txt"), steps=4), tmp_path / "m")
    for step in run:
        run.stopping = step.number == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert finish(Run.resume(tmp_path / "m")).history.step == 4
