"""Differences of tensors between two scenes, against NumPy and the weights in the folders."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.explore.differences import compare_scenes, measure_difference, subtract_tensors
from anexa.explore.number import explain_number
from anexa.explore.quantities import read_tensor
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import Session
from anexa.generation.language_model import BUNDLED_FOLDER

ANNA = Scene(text="anna")
SET = "set:wte.weight[0,3]=2.5"


@pytest.fixture(scope="module")
def session(names_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The names run, a copy of it, and the bundled model."""
    scratch = tmp_path_factory.mktemp("differences")
    copy = scratch / "copy"
    shutil.copytree(names_model, copy)
    return Session([names_model, copy, BUNDLED_FOLDER], scratch)


def test_a_copy_differs_in_nothing(session: Session) -> None:
    found = compare_scenes(session, ANNA, Scene(1, text="anna"))
    assert found.notes == ()
    assert {one.name for one in found.tensors} == session.trace(ANNA).values.keys()
    for one in found.tensors:
        assert (one.norm, one.relative, one.largest, one.obstacle) == (0, 0, 0, "")


def test_figures_are_those_of_the_subtracted_arrays(session: Session) -> None:
    edited = Scene(text="anna", edits=(SET, "head:0.1"))
    found = compare_scenes(session, edited, ANNA)
    here, there = session.trace(edited).values, session.trace(ANNA).values
    pictures = subtract_tensors(session.trace(edited), session.trace(ANNA))
    for one in found.tensors:
        is_mask = np.isinf(here[one.name]) & np.isinf(there[one.name])
        wanted = np.where(is_mask, 0, here[one.name]) - np.where(is_mask, 0, there[one.name])
        assert one.norm == pytest.approx(math.sqrt((wanted**2).sum()))
        assert one.relative is not None
        base = math.sqrt((there[one.name][~is_mask] ** 2).sum())
        assert one.relative * base == pytest.approx(one.norm)
        assert one.index is not None
        assert one.largest is not None
        assert one.largest == wanted[one.index]
        assert abs(one.largest) == np.abs(wanted).max()
        assert np.array_equal(pictures[one.name], wanted)
    relative = [one.relative or 0.0 for one in found.tensors]
    assert relative == sorted(relative, reverse=True)
    by_name = {one.name: one for one in found.tensors}
    assert by_name["wte.weight"].index == (0, 3)
    assert by_name["layers.0.attn_wq.weight"].norm == 0  # no switch changes it


def test_steps_of_a_run_differ_in_every_weight(session: Session) -> None:
    for _ in session.folder(0).require_replay().state(10):
        pass
    found = compare_scenes(session, ANNA, Scene(step=10, text="anna"))
    assert all(one.norm for one in found.tensors if one.kind == "weight")


def test_other_architectures_and_vocabularies_are_said(session: Session) -> None:
    found = compare_scenes(session, Scene(2, text="anna"), ANNA)
    assert any("llama here and microgpt there" in note for note in found.notes)
    assert any("vocabularies differ" in note for note in found.notes)
    assert any("are not in this model" in note for note in found.notes)
    by_name = {one.name: one for one in found.tensors}
    assert by_name["model.embed_tokens.weight"].obstacle.startswith("There is no ")
    assert by_name["logits"].obstacle.startswith("Its shape is ")
    numbers = [one.norm is not None for one in found.tensors]
    assert numbers == sorted(numbers, reverse=True)  # those without a number are last


def test_other_tokens_leave_only_the_weights(session: Session) -> None:
    found = compare_scenes(session, ANNA, Scene(text="nina"))
    assert found.notes == ("The models read other tokens: only weights are compared.",)
    for one in found.tensors:
        assert (one.norm is None) == (one.kind == "activation")


def test_what_is_not_finite_is_measured() -> None:
    inf, nan = math.inf, math.nan
    masked = measure_difference("x", "activation", np.array([1.0, -inf]), np.array([3.0, -inf]))
    assert (masked.norm, masked.relative, masked.largest, masked.index) == (2, 2 / 3, -2, (0,))
    grown = measure_difference("x", "activation", np.array([1.0, inf]), np.array([1.0, 2.0]))
    assert (grown.norm, grown.relative, grown.largest, grown.index) == (inf, inf, inf, (1,))
    broken = measure_difference("x", "weight", np.array([[9.0, nan]]), np.array([[0.0, 0.0]]))
    assert broken.index == (0, 1)
    assert math.isnan(broken.norm or 0)
    new = measure_difference("x", "weight", np.array([1.0]), np.array([0.0]))
    assert new.relative == inf


@pytest.mark.parametrize("index", [(0, 0, 0, 3), (0, 0, 4, 1)])
def test_windows_and_numbers_have_the_same_difference(session: Session, index: Index) -> None:
    name, edited = "layers.0.attention.scores", Scene(text="anna", edits=(SET,))
    found = read_tensor(session, edited, name, "difference", ANNA)
    number = explain_number(session, edited, name, index, "difference", ANNA)
    assert number.value == found[index]
    is_mask = index[3] > index[2]
    assert (number.value == 0) == is_mask


def test_a_scene_that_cannot_be_computed_is_refused(session: Session) -> None:
    with pytest.raises(AnexaError, match="chat template"):
        compare_scenes(
            session, Scene(2, kind="chat", text="1+2"), Scene(0, kind="chat", text="1+2")
        )
