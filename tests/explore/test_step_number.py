"""The numbers of a weight at a step of a run: its change, and how the optimizer came to it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.explore.quantities import QuantityName, quantities_of, read_tensor
from anexa.explore.replay import as_array
from anexa.explore.session import Session, run_with_timeout
from anexa.training import build_trainer
from tests.engines.helpers import needs_torch
from tests.explore.scenes import (
    GPT2,
    LLAMA,
    MICROGPT,
    SIZES,
    STEPS,
    UNTRAINED,
    batch_of,
    elements,
    explained,
    scene,
)
from tests.training.runs import finish, settings, write_names


@pytest.mark.parametrize("folder", [MICROGPT, GPT2, LLAMA])
def test_weights_of_a_step_are_those_of_the_run(session: Session, folder: int) -> None:
    run = session.folder(folder).require_replay()
    rng = random.Random(3)
    for step in range(STEPS + 1):
        frame = run_with_timeout(run.state(step))
        for name, weight in frame.weights.items():
            [index] = elements(weight.shape, rng)
            number = explained(session, scene(folder, step), name, index)
            assert number.value == as_array(weight)[index]
            assert number.dtype == "float32"
            if not step:
                assert number.note.startswith("An initial weight")
                continue
            [before] = [t for t in number.terms if t.to and t.to.quantity == "value"]
            assert before.to is not None
            assert before.to.step == step - 1
            change = explained(session, scene(folder, step), name, index, "change")
            assert change.value == number.value - before.value


def test_a_weight_of_adamw_is_rebuilt_with_its_constants(session: Session) -> None:
    where, index = scene(MICROGPT, 3), (0, 5)
    quantities: tuple[QuantityName, ...] = ("value", "update", "m", "v", "clipped")
    new, update, m, v, clipped = (
        explained(session, where, "wte.weight", index, quantity) for quantity in quantities
    )
    before = {
        quantity: explained(session, scene(MICROGPT, 2), "wte.weight", index, quantity).value
        for quantity in quantities
    }
    assert clipped.constants["max_grad_norm"] == 0.5
    gradient = explained(session, batch_of(MICROGPT, 2), "wte.weight", index, "gradient").value
    g = gradient * min(1, 0.5 / (clipped.constants["|g|"] + 1e-6))
    assert clipped.value == pytest.approx(g, rel=1e-4)
    β1, β2 = m.constants["β₁"], v.constants["β₂"]
    assert m.value == pytest.approx(β1 * before["m"] + (1 - β1) * g, rel=1e-4)
    assert v.value == pytest.approx(β2 * before["v"] + (1 - β2) * g * g, rel=1e-4)
    t, ε = update.constants["t"], update.constants["ε"]
    assert t == 3
    assert update.constants["v'"] == v.value
    u = (m.value / (1 - β1**t)) / (math.sqrt(v.value / (1 - β2**t)) + ε)
    assert update.value == pytest.approx(u, rel=1e-5)
    r, decay = new.constants["r"], new.constants["λ"]
    assert decay == 0.1
    assert new.value == pytest.approx((1 - r * decay) * before["value"] - r * u, rel=1e-5)


def test_singular_values_of_muon_come_close_to_one(session: Session) -> None:
    name = "h.0.attn.c_attn.weight"  # three matrices in one
    first, other = (
        explained(session, scene(GPT2, 2), name, index, "update") for index in ((0, 0), (0, 23))
    )
    assert first.singular_values != other.singular_values
    for number in (first, other):
        assert len(number.singular_values) == 6
        for values in number.singular_values:
            assert list(values) == sorted(values, reverse=True)
            assert len(values) == 8
        assert math.hypot(*number.singular_values[0]) == pytest.approx(1, rel=0.05)  # but for ε
        before, after = number.singular_values[0], number.singular_values[-1]
        assert after[0] < 1.3
        assert after[-1] > min(0.3, 100 * before[-1])
    whole = read_tensor(session, scene(GPT2, 2), name, "update", scene(GPT2, 2))
    wanted = np.linalg.svd(whole[:, :8], compute_uv=False)
    assert first.singular_values[-1] == pytest.approx(wanted, rel=1e-4)
    adamw = explained(session, scene(GPT2, 2), "wte.weight", (0, 0))
    assert adamw.singular_values == ()


def test_code_is_that_of_the_optimizer(session: Session) -> None:
    def starts(folder: int, name: str, quantity: QuantityName) -> str:
        code = explained(session, scene(folder, 2), name, (0, 0), quantity).code
        assert code is not None
        return code.text.partition("(")[0]

    assert starts(GPT2, "h.0.mlp.c_fc.weight", "update") == "def orthogonalize"
    assert starts(GPT2, "h.0.mlp.c_fc.weight", "m") == "def _muon"
    assert starts(GPT2, "h.0.mlp.c_fc.weight", "value") == "def step"
    assert starts(MICROGPT, "wte.weight", "m") == "def _adam"
    assert starts(MICROGPT, "lm_head.weight", "gradient") == "def backward"


def test_a_switched_weight_is_said_to_be_one(session: Session) -> None:
    where = scene(MICROGPT, 2, "lena", "set:wte.weight[1,2]=0.5")
    number = explained(session, where, "wte.weight", (1, 2))
    assert (number.value, number.note) == (0.5, "A weight, with the switches that are set.")
    run = explained(session, where.unedited, "wte.weight", (1, 2), "m")
    assert explained(session, where, "wte.weight", (1, 2), "m").value == run.value


def test_weights_without_steps_say_why(session: Session) -> None:
    note = explained(session, scene(UNTRAINED), "wte.weight", (1, 2)).note
    assert "has no steps to show" in note
    assert note.endswith(".")
    note = explained(session, scene(MICROGPT), "wte.weight", (1, 2)).note
    assert "Choose a step" in note


@needs_torch
def test_dropout_leaves_no_gradients(tmp_path: Path) -> None:
    wanted = settings(write_names(tmp_path), engine="torch", dropout=0.5, n_embd=8, **SIZES)
    session = Session([finish(build_trainer(wanted, tmp_path / "run")).folder], tmp_path)
    where = scene(0, 2)
    assert quantities_of(session, where, "wte.weight") == ("value", "gradient", "change", "m", "v")
    kept: tuple[QuantityName, ...] = ("value", "m", "v")
    for quantity in kept:
        assert "dropout" in explained(session, where, "wte.weight", (1, 2), quantity).note
    change = explained(session, where, "wte.weight", (1, 2), "change")
    assert change.value == change.terms[0].value - change.terms[1].value
    with pytest.raises(AnexaError, match="has no update: the run has dropout"):
        explained(session, where, "wte.weight", (0, 0), "update")
