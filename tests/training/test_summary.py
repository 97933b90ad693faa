from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.training import build_trainer, resume_trainer
from anexa.training.checkpoint import CHECKPOINT_PATH, FORMAT_VERSION, read_checkpoint
from anexa.training.lock import TrainingLock
from anexa.training.summary import RunSummary, summarize
from tests.training.runs import finish, settings, write_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Model folder of a finished training."""
    return finish(build_trainer(settings(write_names(tmp_path), steps=2), tmp_path / "m")).folder


def test_summary_agrees_with_the_checkpoint(tmp_path: Path) -> None:
    corpus = write_names(tmp_path)
    run = build_trainer(settings(corpus, steps=20), tmp_path / "m")
    for step in run:
        run.stopping = step.step == 7
    state = read_checkpoint(run.folder)
    stopped = summarize(run.folder)
    assert stopped == RunSummary(
        folder=run.folder,
        model_type="microgpt",
        parameters=sum(len(weight.data) for weight in state.weights.values()),
        state="stopped",
        corpus="names.txt",
        corpus_sha256=state.corpus_sha256,
        step=7,
        tokens=state.state.tokens,
        seconds=state.state.seconds,
        best_loss=min(e.validation_loss for e in state.state.evaluations if e.step),
        best_step=state.state.kept_step_and_loss[0],
        last_loss=state.state.evaluations[-1].validation_loss,
        config=state.config,
    )
    assert stopped.tokens_per_second == state.state.tokens / state.state.seconds
    with TrainingLock(run.folder):
        assert summarize(run.folder).state == "running"
    finish(resume_trainer(run.folder))
    done = summarize(run.folder)
    assert (done.state, done.step) == ("done", 20)


def test_before_the_first_step_there_is_no_loss(tmp_path: Path) -> None:
    run = build_trainer(settings(write_names(tmp_path)), tmp_path / "m")
    summary = summarize(run.folder)
    assert (summary.state, summary.step, summary.best_loss) == ("stopped", 0, None)
    assert (summary.last_loss, summary.tokens_per_second) == (None, None)


def test_summary_of_a_foreign_model_has_its_size(folder: Path) -> None:
    trained = summarize(folder)
    shutil.rmtree(folder / "training")
    assert summarize(folder) == RunSummary(folder, "microgpt", trained.parameters)


def test_summary_reads_no_weights(folder: Path) -> None:
    """The weights may have other shapes, and more bytes than fit into memory."""
    before = summarize(folder)
    (folder / "model.safetensors").unlink()
    content = bytearray((folder / CHECKPOINT_PATH).read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header:] = b"\xff" * (len(content) - header)
    (folder / CHECKPOINT_PATH).write_bytes(content)
    assert summarize(folder) == before


@pytest.mark.parametrize(
    "run",
    [
        *("", "7", "{}", "[" * 9999, '{"state": 7}', '{"state": {}, "config": {}}'),
        f'{{"config": {{}}, "state": {{"evaluations": [], "progress": {10**400}}}}}',
    ],
)
def test_damaged_checkpoint_is_an_error(run: str, folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, folder / CHECKPOINT_PATH, {"format": FORMAT_VERSION, "run": run})
    with pytest.raises(AnexaError, match=r"state\.safetensors is damaged: it does not describe"):
        summarize(folder)
    save_file({"w": np.zeros(3)}, folder / CHECKPOINT_PATH)
    with pytest.raises(AnexaError, match=r"state\.safetensors is damaged"):
        summarize(folder)
    for content in (b"", b"GGUF" * 99):
        (folder / CHECKPOINT_PATH).write_bytes(content)
        with pytest.raises(AnexaError, match=r"state\.safetensors is damaged or not a safetensors"):
            summarize(folder)
    (folder / CHECKPOINT_PATH).unlink()
    (folder / CHECKPOINT_PATH).mkdir()
    with pytest.raises(AnexaError, match=r"cannot read .*state\.safetensors: it is not a file"):
        summarize(folder)


def test_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="is not a model folder"):
        summarize(tmp_path / "nowhere")
    with pytest.raises(AnexaError, match="is not a model folder"):
        summarize(tmp_path)
