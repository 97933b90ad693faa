from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from anexa.errors import AnexaError
from anexa.training import Trainer
from anexa.training.checkpoint import CHECKPOINT, FORMAT, read_checkpoint
from anexa.training.lock import Lock
from anexa.training.summary import Summary, summarise
from tests.training.runs import finish, settings, write_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder whose training is done."""
    return finish(Trainer.start(settings(write_names(tmp_path), steps=2), tmp_path / "m")).folder


def test_it_says_what_the_checkpoint_says(tmp_path: Path) -> None:
    corpus = write_names(tmp_path)
    run = Trainer.start(settings(corpus, steps=20), tmp_path / "m")
    for step in run:
        run.stopping = step.number == 7
    state = read_checkpoint(run.folder)
    stopped = summarise(run.folder)
    assert stopped == Summary(
        folder=run.folder,
        model_type="microgpt",
        parameters=sum(len(weight.data) for weight in state.weights.values()),
        state="stopped",
        corpus="names.txt",
        corpus_sha256=state.corpus_sha256,
        step=7,
        tokens=state.history.tokens,
        seconds=state.history.seconds,
        best_loss=min(e.validation_loss for e in state.history.evaluations if e.step),
        last_loss=state.history.evaluations[-1].validation_loss,
        settings=state.settings,
    )
    assert stopped.tokens_per_second == state.history.tokens / state.history.seconds
    with Lock(run.folder):
        assert summarise(run.folder).state == "running"
    finish(Trainer.resume(run.folder))
    done = summarise(run.folder)
    assert (done.state, done.step) == ("done", 20)


def test_before_the_first_step_there_is_no_loss(tmp_path: Path) -> None:
    run = Trainer.start(settings(write_names(tmp_path)), tmp_path / "m")
    summary = summarise(run.folder)
    assert (summary.state, summary.step, summary.best_loss) == ("stopped", 0, None)
    assert (summary.last_loss, summary.tokens_per_second) == (None, None)


def test_a_model_of_elsewhere_is_known_by_its_size(folder: Path) -> None:
    trained = summarise(folder)
    shutil.rmtree(folder / "training")
    assert summarise(folder) == Summary(folder, "microgpt", trained.parameters)


def test_no_weight_is_read(folder: Path) -> None:
    """Weights of another number are as good, and there may be far more than fit in memory."""
    before = summarise(folder)
    (folder / "model.safetensors").unlink()
    content = bytearray((folder / CHECKPOINT).read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header:] = b"\xff" * (len(content) - header)
    (folder / CHECKPOINT).write_bytes(content)
    assert summarise(folder) == before


@pytest.mark.parametrize(
    "run",
    [
        *("", "7", "{}", "[" * 9999, '{"history": 7}', '{"history": {}, "settings": {}}'),
        f'{{"settings": {{}}, "history": {{"evaluations": [], "progress": {10**400}}}}}',
    ],
)
def test_a_checkpoint_of_something_else_is_told(run: str, folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, folder / CHECKPOINT, {"format": FORMAT, "run": run})
    with pytest.raises(AnexaError, match=r"state\.safetensors is damaged: it does not describe"):
        summarise(folder)
    save_file({"w": np.zeros(3)}, folder / CHECKPOINT)
    with pytest.raises(AnexaError, match=r"state\.safetensors is damaged"):
        summarise(folder)
    for content in (b"", b"GGUF" * 99):
        (folder / CHECKPOINT).write_bytes(content)
        with pytest.raises(AnexaError, match=r"state\.safetensors is damaged or not a safetensors"):
            summarise(folder)
    (folder / CHECKPOINT).unlink()
    (folder / CHECKPOINT).mkdir()
    with pytest.raises(AnexaError, match=r"cannot read .*state\.safetensors: it is not a file"):
        summarise(folder)


def test_what_is_no_model_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="is not a model folder"):
        summarise(tmp_path / "nowhere")
    with pytest.raises(AnexaError, match="is not a model folder"):
        summarise(tmp_path)
