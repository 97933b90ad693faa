"""Weights that a run leaves as they are, and what the glass box says about the initial ones."""

from __future__ import annotations

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.explore.quantities import QuantityName, quantities_of, read_tensor
from anexa.explore.session import Session
from anexa.training import RunOptions, TrainConfig, build_trainer
from tests.explore.scenes import SIZES, STEPS, explained, scene
from tests.training.runs import finish, settings, write_names

FROZEN, ADAMW, MUON = "wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight"


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A run by Muon that starts from a model and leaves its embeddings as they are."""
    folder = tmp_path_factory.mktemp("frozen")
    corpus = write_names(folder)
    base = finish(
        build_trainer(settings(corpus, "anexa", n_embd=8, **SIZES), folder / "base")
    ).folder
    wanted = TrainConfig.from_options(
        corpus=str(corpus),
        from_=str(base),
        freeze="embeddings",
        optimizer="muon",
        learning_rate=0.01,
        engine="numpy",
        batch_size=2,
        steps=STEPS,
        evaluations=1,
    )
    keep = RunOptions(history_budget=20_000_000)
    return Session([finish(build_trainer(wanted, folder / "run", keep)).folder], folder)


def test_frozen_weights_have_no_quantities_of_the_optimizer(finetuned: Session) -> None:
    both = ("value", "gradient")
    assert quantities_of(finetuned, scene(0, 2), FROZEN) == (*both, "change")
    assert quantities_of(finetuned, scene(0, 0), FROZEN) == both
    assert quantities_of(finetuned, scene(0, 2), MUON) == (
        *both,
        *("change", "m", "clipped", "update"),
    )
    change = read_tensor(finetuned, scene(0, 2), FROZEN, "change", scene(0, 2))
    assert not np.any(change)


@pytest.mark.parametrize("step", [0, 1, STEPS])
@pytest.mark.parametrize("quantity", ["m", "v", "clipped", "update"])
def test_a_frozen_weight_is_said_to_be_one(
    finetuned: Session, step: int, quantity: QuantityName
) -> None:
    with pytest.raises(AnexaError, match=f"has no {quantity}: this weight is frozen in the run"):
        explained(finetuned, scene(0, step), FROZEN, (0, 0), quantity)
    number = explained(finetuned, scene(0, step), FROZEN, (0, 0))
    assert number.note == (
        "This weight is frozen in the run: it is that of the model that the run started from."
    )
    assert number.value == finetuned.folder(0).model.weights[FROZEN].data[0]


def test_muon_never_keeps_squares(finetuned: Session) -> None:
    """No later step has them, so the advice is not to choose one."""
    for step in (0, 2):
        with pytest.raises(AnexaError, match="has no v: Muon keeps only the mean"):
            explained(finetuned, scene(0, step), MUON, (0, 0), "v")
    with pytest.raises(AnexaError, match="has no v at step 0, with which the history begins"):
        explained(finetuned, scene(0, 0), ADAMW, (0, 0), "v")


def test_initial_weights_are_those_of_the_model_that_the_run_started_from(
    finetuned: Session,
) -> None:
    note = explained(finetuned, scene(0, 0), MUON, (0, 0)).note
    assert note == "An initial weight, that of the model that the run started from."
