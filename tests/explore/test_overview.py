"""The first scene of a folder, which is computed in advance."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.explore.overview import example_scene
from anexa.explore.run import prepare
from anexa.explore.session import Session
from anexa.model.folder import create_folder
from anexa.training import RunOptions, build_trainer
from tests.model.helpers import small_model, without_end
from tests.training.runs import finish, settings, write_names


def test_example_of_a_short_context_leaves_room_for_bos_and_eos(tmp_path: Path) -> None:
    model = small_model(adds_bos=True)  # untrained: it generates until the context is full
    create_folder(tmp_path / "small", model, "")
    session = Session([tmp_path / "small"], tmp_path)
    assert session.trace(example_scene(session.folder(0), 0)).batch.num_targets == 16


def test_example_of_a_model_that_ends_every_text_has_something_to_predict(tmp_path: Path) -> None:
    """Greedy decoding gives an empty text, which without BOS is a single token."""
    model = small_model()
    token_id, width = model.tokenizer.eot_token_id, model.config.n_embd
    np.asarray(model.weights["ln_f.weight"].data)[:] = 0
    np.asarray(model.weights["ln_f.bias"].data)[:] = 1  # so that a logit is a row's sum
    embeddings = np.asarray(model.weights["wte.weight"].data)
    embeddings[token_id * width : (token_id + 1) * width] = 1
    create_folder(tmp_path / "ending", model, "")
    session = Session([tmp_path / "ending"], tmp_path)
    folder = session.folder(0)
    assert folder.language_model(folder.model.weights).generate(temperature=0) == ""
    assert session.trace(example_scene(folder, 0)).batch.num_targets > 0


@pytest.mark.parametrize("block_size", [3, 16])
def test_example_of_a_run_has_the_first_text_of_its_first_step(
    tmp_path: Path, block_size: int
) -> None:
    config = settings(write_names(tmp_path), block_size=block_size, steps=2)
    keep = RunOptions(history_budget=20_000_000)
    folder = finish(build_trainer(config, tmp_path / "run", keep)).folder
    session = Session([folder], tmp_path)
    scene = example_scene(session.folder(0), 0)
    [text, *_] = session.folder(0).require_replay().documents(1)
    assert text.startswith(scene.text)
    assert len(scene.text) == min(len(text), block_size - 1)  # between BOS and EOS
    assert session.trace(scene).batch.num_targets == len(scene.text) + 1


def test_runs_are_prepared_although_the_first_scene_fails(tmp_path: Path) -> None:
    create_folder(tmp_path / "endless", small_model(tokenizer=without_end()), "")
    config = settings(write_names(tmp_path), steps=2)
    keep = RunOptions(history_budget=20_000_000)
    folder = finish(build_trainer(config, tmp_path / "run", keep)).folder
    session = Session([tmp_path / "endless", folder], tmp_path)
    with pytest.raises(AnexaError, match="no token to begin a text"):
        example_scene(session.folder(0), 0)
    prepare(session)
    shutil.rmtree(folder / "training" / "history")
    assert session.folder(1).weights(1), "it is in memory"
