"""A resumed run equals an uninterrupted run; a run that cannot be resumed is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anexa.errors import AnexaError, UsageError
from anexa.explore.replay import Replay
from anexa.model.loading import load_model
from anexa.model.tensors import read_tensors, write_tensors
from anexa.training import RunOptions, build_trainer, resume_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH, FORMAT_VERSION, read_checkpoint
from tests.training.runs import each_engine, finish, settings, stop_after, weights_file, write_names
from tests.training.timer import Timer


@each_engine
def test_resumed_run_equals_uninterrupted_run(engine: str, names: Path, tmp_path: Path) -> None:
    wanted = settings(names, engine=engine, steps=14, batch_size=2, n_embd=8)
    whole = finish(build_trainer(wanted, tmp_path / "whole"))
    stopped = build_trainer(wanted, tmp_path / "stopped")
    stop_after(stopped, 0)  # before the optimizer has any moments
    for steps in (1, 6, 7, 13):  # within the stretches between checkpoints, and at their ends
        stopped = resume_trainer(tmp_path / "stopped")
        assert stopped.resumed
        stop_after(stopped, steps)
    resumed = finish(resume_trainer(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)
    assert resumed.state.tokens == whole.state.tokens
    assert [(e.step, e.train_loss, e.validation_loss) for e in resumed.state.evaluations] == [
        (e.step, e.train_loss, e.validation_loss) for e in whole.state.evaluations
    ]
    moments = [read_tensors(run.folder / CHECKPOINT_PATH)[0] for run in (whole, resumed)]
    assert moments[0] == moments[1]


@pytest.mark.parametrize(
    ("wanted", "stop"),
    [
        pytest.param({"layout": "text", "batch_size": 3}, 5, id="running text"),
        pytest.param({"preset": "anexa", "steps": 2}, 1, id="a preset with warm-up"),
    ],
)
def test_resumed_run_equals_uninterrupted_run_with_other_options(
    wanted: dict[str, Any], stop: int, tmp_path: Path
) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text("the cat sat on the mat, and the rat sat on the cat. " * 30, encoding="utf-8")
    whole = finish(build_trainer(settings(corpus, **wanted), tmp_path / "whole"))
    stop_after(build_trainer(settings(corpus, **wanted), tmp_path / "stopped"), stop)
    resumed = finish(resume_trainer(tmp_path / "stopped"))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


def test_minutes_continue_after_a_stop(names: Path, tmp_path: Path) -> None:
    wanted = settings(names, steps=None, minutes=0.01)  # 0.6 seconds
    run = build_trainer(wanted, tmp_path / "m", RunOptions(timer=Timer(tick=0.001)))
    stop_after(run, 50)
    used = run.state.seconds
    assert 0.1 < used < 0.5
    later = Timer(now=5.0, tick=0.001)
    resumed = finish(resume_trainer(tmp_path / "m", options=RunOptions(timer=later)))
    assert resumed.state.seconds == pytest.approx(0.6, abs=0.02)
    assert later.now - 5.0 == pytest.approx(0.6 - used, abs=0.02)


def test_changed_corpus_is_refused(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    before = names.read_bytes()
    names.write_bytes(before + b"zoe\n")
    with pytest.raises(AnexaError, match="has changed since this run was started"):
        resume_trainer(tmp_path / "m")
    names.unlink()
    with pytest.raises(AnexaError, match=r"the corpus of this run, .*names.txt, is gone: give a"):
        resume_trainer(tmp_path / "m")
    names.write_bytes(before)
    assert finish(resume_trainer(tmp_path / "m")).done


def test_changed_files_of_a_folder_are_named(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (notes / "old").mkdir(parents=True)
    text = "the cat sat on the mat, and the rat sat on the cat. " * 10
    paths = [notes / name for name in ("a.md", "b.md", "old/c.md", "d.md", "e.md", "f.png")]
    for number, path in enumerate(paths):
        path.write_text(f"{number} {text}", encoding="utf-8")
        os.utime(path, (1e9, 1e9))
    stop_after(build_trainer(settings(notes), tmp_path / "m"), 2)

    def refused(sentence: str) -> None:
        with pytest.raises(
            AnexaError, match=rf"the corpus notes has changed .*{sentence}\): restore"
        ):
            resume_trainer(tmp_path / "m")

    before = paths[0].read_bytes()
    paths[0].unlink()
    paths[5].write_bytes(b"a picture")
    no_later_file = (
        "; no file in it has a later modification time, so some were removed, renamed, or copied "
        "in with an older time"
    )
    refused(no_later_file)
    paths[0].write_bytes(before)
    later = time.time() + 100
    os.utime(paths[0], (1e9, 1e9))
    copied = notes / "copied.md"
    copied.write_text("all new", encoding="utf-8")
    os.utime(copied, (1e9, 1e9))
    refused(no_later_file)
    copied.unlink()
    paths[2].write_text("shorter", encoding="utf-8")
    os.utime(paths[2], (later, later))
    refused("; modified or added since: old/c.md")
    for path in (*paths, notes / "g.md"):
        path.write_text("all new", encoding="utf-8")
        os.utime(path, (later, later))
    refused("; modified or added since: a.md, b.md, d.md and 3 others")


def test_folder_without_unfinished_run_is_refused(names: Path, tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="holds no training that can be resumed"):
        resume_trainer(tmp_path)
    with pytest.raises(AnexaError, match="holds no training that can be resumed"):
        resume_trainer(tmp_path / "nowhere")
    finish(build_trainer(settings(names), tmp_path / "m"))
    with pytest.raises(AnexaError, match="is finished after --steps 20: lengthen it with"):
        resume_trainer(tmp_path / "m")


def test_a_kill_between_weights_and_checkpoint_changes_nothing(names: Path, tmp_path: Path) -> None:
    whole = finish(build_trainer(settings(names), tmp_path / "whole"))
    stop_after(build_trainer(settings(names), tmp_path / "m"), 13)
    later = weights_file(whole.folder)
    assert weights_file(tmp_path / "m") != later
    (tmp_path / "m" / "model.safetensors").write_bytes(later)  # the model is written first
    assert weights_file(finish(resume_trainer(tmp_path / "m")).folder) == later


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 0.5}, "started with --learning-rate 0.01, not 0.5"),
        ({"corpus": "firstnames"}, "started with the corpus .*names.txt, not firstnames"),
        ({"n_head": 2}, "started with --n-head 4, not 2"),
        ({"epochs": 2.0}, "started with --epochs not given, not 2.0"),
        ({"steps": 40}, "started with --steps 20, not 40"),
        ({"tokenizer": "bpe:300"}, "started with --tokenizer char, not bpe:300"),
        ({"batch_tokens": 64}, "keeps its own --batch-size: leave --batch-tokens out"),
    ],
)
def test_changed_options_are_refused(
    changes: dict[str, object], sentence: str, names: Path, tmp_path: Path
) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    with pytest.raises(UsageError, match=sentence):
        resume_trainer(tmp_path / "m", changes)


def test_unchanged_options_may_be_repeated(names: Path, tmp_path: Path) -> None:
    whole = finish(build_trainer(settings(names, n_embd=8), tmp_path / "whole"))
    stop_after(build_trainer(settings(names, n_embd=8), tmp_path / "m"), 3)
    same = {"steps": 20, "n_embd": 8, "engine": "numpy", "dtype": "auto", "corpus": str(names)}
    resumed = finish(resume_trainer(tmp_path / "m", same | {"device": "cpu"}))
    assert weights_file(resumed.folder) == weights_file(whole.folder)


def test_resuming_does_not_need_the_original_tokenizer_file(names: Path, tmp_path: Path) -> None:
    other = finish(build_trainer(settings(names, steps=1), tmp_path / "other")).folder
    tokenizer = shutil.copy(other / "tokenizer.json", tmp_path / "taken.json")
    stop_after(build_trainer(settings(names, tokenizer=str(tokenizer)), tmp_path / "m"), 3)
    Path(tokenizer).unlink()  # the model has its own copy
    finish(resume_trainer(tmp_path / "m"))


def test_finished_run_is_lengthened_as_one_run(names: Path, tmp_path: Path) -> None:
    """Its steps are those that a run of the new length does after that step."""
    run = finish(build_trainer(settings(names, steps=20), tmp_path / "m"))
    for steps in (10, 20):
        with pytest.raises(AnexaError, match=r"lengthen it with .* --steps 40"):
            resume_trainer(run.folder, {"steps": steps})
    with pytest.raises(UsageError, match="started with --minutes not given, not 1"):
        resume_trainer(run.folder, {"minutes": 1.0})
    longer = resume_trainer(run.folder, {"steps": 40})
    assert (longer.state.step, longer.state.progress, longer.lengthened) == (20, 0.5, True)
    assert longer.learning_rate == pytest.approx(0.005)  # half of the highest: as at step 20 of 40
    stop_after(longer, 27)
    resumed = finish(resume_trainer(run.folder))
    assert not resumed.lengthened
    assert [e.step for e in resumed.state.evaluations] == [*range(0, 21, 2), *range(24, 41, 4)]
    again = finish(build_trainer(settings(names, steps=20), tmp_path / "again"))
    straight = finish(resume_trainer(again.folder, {"steps": 40}))
    assert straight.engine.weights() == resumed.engine.weights()
    assert weights_file(again.folder) == weights_file(run.folder)
    thrice = finish(resume_trainer(run.folder, {"steps": 41}))
    assert thrice.state.earlier_lengths == [20, 40]
    assert read_checkpoint(run.folder).config.schedule.steps == 41


def test_finished_run_of_minutes_is_lengthened(names: Path, tmp_path: Path) -> None:
    options = RunOptions(timer=Timer(tick=0.001))
    wanted = settings(names, steps=None, minutes=0.005)
    run = finish(build_trainer(wanted, tmp_path / "m", options))
    before, seconds = run.state.step, run.state.seconds
    assert seconds == pytest.approx(0.3, abs=0.02)
    longer = finish(resume_trainer(run.folder, {"minutes": 0.01}, options))
    assert longer.state.step == pytest.approx(2 * before, rel=0.1)
    assert longer.state.seconds == pytest.approx(0.6, abs=0.02)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(5000))


def without_metadata(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {})


def with_metadata_of_no_json(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {"format": FORMAT_VERSION, "run": "{"})


def with_metadata_of_another_kind(path: Path) -> None:
    write_tensors(path, read_tensors(path)[0], {"format": FORMAT_VERSION, "run": "[1, 2]"})


def with_settings_of_nonsense(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    run = json.loads(metadata["run"])
    run["config"]["schedule"]["steps"] = "many"
    write_tensors(path, tensors, {"format": FORMAT_VERSION, "run": json.dumps(run)})


def with_an_unknown_preset(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    run = json.loads(metadata["run"])
    run["config"]["preset"] = "giant"
    write_tensors(path, tensors, {"format": FORMAT_VERSION, "run": json.dumps(run)})


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
def test_damaged_checkpoint_is_refused(
    engine: str, damage: Callable[[Path], None], names: Path, tmp_path: Path
) -> None:
    stop_after(build_trainer(settings(names, engine=engine), tmp_path / "m"), 3)
    damage(tmp_path / "m" / CHECKPOINT_PATH)
    with pytest.raises(AnexaError, match=r"state\.safetensors") as caught:
        resume_trainer(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1
    load_model(tmp_path / "m")  # the model itself is as good as before


def test_checkpoint_of_an_older_format_is_refused_as_such(names: Path, tmp_path: Path) -> None:
    """Format 4 had another hash of the weights, and another name for it in `steps.jsonl`."""
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    path = tmp_path / "m" / CHECKPOINT_PATH
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, {**metadata, "format": "4"})
    sentence = rf"written by another version of Anexa \(format 4, not {FORMAT_VERSION}\): its "
    with pytest.raises(AnexaError, match=sentence):
        resume_trainer(tmp_path / "m")
    with pytest.raises(AnexaError, match=sentence):
        Replay(tmp_path / "m")


def test_checkpoint_without_model_files_is_refused(names: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(names), tmp_path / "m"), 3)
    shutil.move(tmp_path / "m" / "config.json", tmp_path / "config.json")
    with pytest.raises(AnexaError, match=r"it has no config\.json"):
        resume_trainer(tmp_path / "m")


@pytest.mark.parametrize("attempt", range(5))
def test_the_last_steps_of_a_run_in_minutes_are_saved(
    attempt: int, names: Path, tmp_path: Path
) -> None:
    """Also if time passes between two steps, as a display takes some."""
    rng, timer = random.Random(attempt), Timer(tick=0.0005)
    wanted = settings(names, steps=None, minutes=0.01)
    run = build_trainer(wanted, tmp_path / "m", RunOptions(timer=timer))
    steps = []
    for step in run:
        timer.now += rng.uniform(0, 0.01)
        timer.tick = rng.uniform(0, 0.001)
        steps.append(step)
    assert run.done
    assert steps[-1].progress == 1
    assert steps[-1].evaluation is not None
    assert read_checkpoint(run.folder).state.step == run.state.step == steps[-1].step
    with pytest.raises(AnexaError, match="is finished"):
        resume_trainer(run.folder)


def test_a_moved_folder_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_names(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = build_trainer(settings(Path("names.txt"), steps=4), tmp_path / "m")
    for step in run:
        run.stopping = step.step == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert finish(resume_trainer(tmp_path / "m")).state.step == 4
