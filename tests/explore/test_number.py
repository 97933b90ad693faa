"""The numbers of the page: their terms, their links, and the steps that led to them."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from anexa.errors import AnexaError
from anexa.explore.number import MAX_TERMS, explain_number
from anexa.explore.number_view import Link, Number
from anexa.explore.overview import describe_map
from anexa.explore.quantities import QuantityName, quantities_of, read_tensor
from anexa.explore.replay import as_array
from anexa.explore.responses import line
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import Session, hurry
from anexa.training import RunOptions, build_trainer
from tests.engines.helpers import needs_torch
from tests.training.runs import finish, settings, write_names

STEPS = 4
SIZES: dict[str, Any] = {
    "n_head": 2,
    "block_size": 8,
    "batch_size": 2,
    "steps": STEPS,
    "n_layer": 1,
}
RUNS: dict[str, dict[str, Any]] = {
    "microgpt": {"n_embd": 52, "weight_decay": 0.1, "grad_clip": 0.5},  # 208 neurons
    "gpt2": {"n_embd": 8, "optimizer": "muon", "preset": "anexa"},
    "llama": {"n_embd": 8, "preset": "anexa-llama"},
    "qwen3": {"n_embd": 8, "preset": "anexa-llama", "model_type": "qwen3"},
}
MICROGPT, GPT2, LLAMA, QWEN3, UNTRAINED = range(5)
OF_STEP = ("change", "m", "v", "clipped", "update")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A run of each architecture, gpt2 with Muon, and a model without its training."""
    folder = tmp_path_factory.mktemp("numbers")
    corpus = write_names(folder)
    keep = RunOptions(keep_steps=20_000_000)
    runs = [
        finish(build_trainer(settings(corpus, **{**SIZES, **own}), folder / name, keep)).folder
        for name, own in RUNS.items()
    ]
    untrained = folder / "untrained"
    shutil.copytree(runs[0], untrained, ignore=shutil.ignore_patterns("training"))
    return Session([*runs, untrained], folder)


def scene(folder: int, step: int | None = None, text: str = "lena", *edits: str) -> Scene:
    return Scene(folder, step, "text", text, edits)


def batch_of(folder: int, step: int) -> Scene:
    return Scene(folder, step, "batch")


def explained(
    session: Session,
    where: Scene,
    tensor: str,
    index: Index,
    quantity: QuantityName = "value",
    versus: Scene | None = None,
) -> Number:
    return explain_number(session, where, tensor, index, quantity, versus or where)


def names(session: Session, where: Scene) -> list[str]:
    return [tensor["name"] for tensor in describe_map(session, where)["tensors"]]


def elements(shape: tuple[int, ...], rng: random.Random, count: int = 1) -> list[Index]:
    return [tuple(rng.randrange(n) for n in shape) for _ in range(count)]


def numbers(session: Session, where: Scene, rng: random.Random) -> Iterator[Number]:
    """A number of up to two quantities of every tensor of a scene."""
    trace = session.trace(where)
    for name in names(session, where):
        quantities = quantities_of(session, where, name)
        for quantity in rng.sample(quantities, min(2, len(quantities))):
            [index] = elements(trace.values[name].shape, rng)
            yield explained(session, where, name, index, quantity)


def target(where: Scene, link: Link) -> Scene:
    """The scene of a link, as the page goes there."""
    if link.folder is not None:
        where = replace(where, folder=link.folder)
    if link.step is not None:
        where = replace(where, step=None if link.step == -1 else link.step)
    if link.batch:
        where = replace(where, kind="batch", text="")
    return where.unedited if link.unedited else where


def follow(session: Session, where: Scene, link: Link) -> Number:
    return explained(session, target(where, link), link.tensor, link.index, link.quantity)


def bound(number: Number) -> dict[str, Any]:
    """The relative and the absolute error that the precision of a number allows."""
    if number.dtype == "float64":
        return {"rel": 1e-11, "abs": 1e-13}
    return {"rel": 2e-5, "abs": 1e-7}


SCENES = [
    pytest.param(where, id=f"{name}-{where.kind}-{where.step}")
    for folder, name in enumerate(RUNS)
    for where in (scene(folder), scene(folder, 0), scene(folder, STEPS), batch_of(folder, 2))
]


@pytest.mark.parametrize("where", SCENES)
def test_every_number_is_rebuilt_from_what_is_shown(session: Session, where: Scene) -> None:
    outer: dict[str, Any] = {"": float, "exp": math.exp, "log": math.log, "sqrt": math.sqrt}
    for number in numbers(session, where, random.Random(0)):
        if number.rebuilt is None:
            assert not number.terms
            assert number.note.endswith(".")
            continue
        assert number.rebuilt == pytest.approx(number.value, **bound(number)), number.link
        for term in number.terms:
            inner = term.value
            if number.inner == "exp":
                inner = math.exp(term.value - number.shift)
            if number.inner == "square":
                inner = (term.value - number.center) ** 2
            assert term.contribution == pytest.approx(term.factor * inner, rel=1e-12)
        parts = [term.contribution for term in number.terms]
        total = math.fsum([number.offset, number.rest, *parts])
        shown = number.shift + outer[number.outer](total)
        assert shown == pytest.approx(number.rebuilt, rel=1e-12, abs=1e-14)
        assert parts == sorted(parts, key=abs, reverse=True) or number.link.quantity == "change"
        assert number.num_terms >= len(parts)


@pytest.mark.parametrize("where", SCENES)
def test_every_link_leads_to_the_number_that_the_term_names(session: Session, where: Scene) -> None:
    rng = random.Random(1)
    followed = 0
    for number in numbers(session, where, rng):
        for term in rng.sample(number.terms, min(2, len(number.terms))):
            if term.to:
                found = follow(session, where, term.to)
                # The gradients of a run have its precision; the page computes them again.
                again = term.to.batch
                error = {"rel": 1e-3, "abs": 1e-6} if again else {"rel": 0, "abs": 0}
                assert term.value == pytest.approx(found.value, **error), (number.link, term.to)
                followed += 1
            if term.factor_to:
                follow(session, where, term.factor_to)
        for use in number.uses[:1]:
            follow(session, where, use)
        assert number.num_uses >= len(number.uses)
    assert followed > 30


@pytest.mark.parametrize("where", SCENES)
def test_a_number_is_that_of_its_tensor(session: Session, where: Scene) -> None:
    rng = random.Random(2)
    for number in numbers(session, where, rng):
        tensor, quantity = number.link.tensor, number.link.quantity
        whole = read_tensor(session, where, tensor, quantity, where)
        assert number.value == whole[number.link.index], number.link
        assert number.others[quantity] == number.value
        assert set(number.others) <= set(number.quantities)
        other, value = rng.choice(list(number.others.items()))
        again = explained(session, where, tensor, number.link.index, cast("QuantityName", other))
        assert again.value == value


def test_quantities_are_those_of_the_moment(session: Session) -> None:
    def of(where: Scene, name: str) -> tuple[str, ...]:
        return quantities_of(session, where, name)

    both = ("value", "gradient")
    assert of(scene(MICROGPT, STEPS), "wte.weight") == (*both, *OF_STEP)
    assert of(scene(MICROGPT, 0), "wte.weight") == both
    assert of(scene(MICROGPT), "wte.weight") == both
    assert of(scene(UNTRAINED), "wte.weight") == both
    assert of(scene(MICROGPT, STEPS), "logits") == both
    assert of(scene(MICROGPT, STEPS), "loss.log_sum") == ("value",)
    muon = "h.0.mlp.c_fc.weight"
    assert of(scene(GPT2, 1), muon) == (*both, "change", "m", "clipped", "update")
    described = describe_map(session, scene(GPT2, 1))["tensors"]
    assert {tensor["name"]: tensor["quantities"] for tensor in described}[muon] == of(
        scene(GPT2, 1), muon
    )


def test_norms_of_heads_name_the_head(session: Session) -> None:
    name, index = "model.layers.0.self_attn.q_norm", (0, 3, 6)
    number = explained(session, scene(QWEN3), name, index)
    scale = explained(session, scene(QWEN3), f"{name}.scale", (0, 3, 1))
    assert scale.places[1:] == ("head 1",)
    assert scale.num_terms == 4, "one for each channel of the head"
    deviations = [term.factor_to for term in number.terms if term.factor_to]
    assert [(link.tensor, link.index) for link in deviations] == [(f"{name}.scale", (0, 3, 1))]


@pytest.mark.parametrize("folder", [MICROGPT, GPT2, LLAMA])
def test_weights_of_a_step_are_those_of_the_run(session: Session, folder: int) -> None:
    run = session.folder(folder).run
    rng = random.Random(3)
    for step in range(STEPS + 1):
        frame = hurry(run.state(step))
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


@pytest.mark.parametrize(
    ("folder", "tensor", "source"),
    [
        (MICROGPT, "layers.0.relu", "layers.0.mlp_fc1"),
        (GPT2, "h.0.gelu", "h.0.mlp.c_fc"),
        (LLAMA, "model.layers.0.swiglu", "model.layers.0.mlp.gate_proj"),
    ],
)
def test_a_point_is_on_its_curve(session: Session, folder: int, tensor: str, source: str) -> None:
    where = scene(folder)
    trace = session.trace(where)
    for index in elements(trace.values[tensor].shape, random.Random(4), 8):
        curve = explained(session, where, tensor, index).curve
        assert curve is not None
        x, y = curve.point
        assert (x, y) == (trace.values[source][index], trace.values[tensor][index])
        assert list(curve.x) == sorted(curve.x)
        assert curve.x[0] < x < curve.x[-1]
        at = int(np.searchsorted(curve.x, x))
        step = curve.x[1] - curve.x[0]
        low, high = sorted(curve.y[at - 1 : at + 1])
        assert low - step * 0.05 <= y <= high + step * 0.05
        assert curve.slope == pytest.approx((curve.y[at] - curve.y[at - 1]) / step, abs=0.1)
        gradient = explained(session, where, source, index, "gradient")
        assert gradient.curve == curve
        [term] = gradient.terms
        assert term.factor == pytest.approx(curve.slope)


def test_only_curves_have_one(session: Session) -> None:
    up = "model.layers.0.mlp.up_proj"
    logits = explained(session, scene(LLAMA), "logits", (0, 1, 2))
    assert logits.curve is None
    for tensor in ("logits", up):
        assert explained(session, scene(LLAMA), tensor, (0, 1, 2), "gradient").curve is None


def test_differences_lead_to_both_numbers(session: Session) -> None:
    here = scene(MICROGPT, 3, "lena", "head:0.1")
    for there in (
        scene(MICROGPT, 1),
        scene(MICROGPT, None),
        scene(MICROGPT, 3),
        scene(UNTRAINED, None, "lena", "head:0.1"),
    ):
        for tensor, index in (("logits", (0, 2, 3)), ("wte.weight", (1, 2))):
            number = explained(session, here, tensor, index, "difference", there)
            own, other = number.terms
            assert own.to is not None
            assert other.to is not None
            assert target(here, other.to) == there
            assert follow(session, here, own.to).value == own.value
            assert follow(session, here, other.to).value == other.value
            assert number.value == number.rebuilt == own.value - other.value
            whole = read_tensor(session, here, tensor, "difference", there)
            assert whole[index] == number.value


def test_terms_that_are_not_listed_are_added_up(session: Session) -> None:
    number = explained(session, scene(MICROGPT), "layers.0.mlp_fc2", (0, 1, 2))
    assert (len(number.terms), number.num_terms) == (MAX_TERMS, 208)
    everything = [term.contribution for term in number.terms]
    assert math.fsum([*everything, number.rest]) == pytest.approx(number.value, abs=1e-13)


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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_are_not_finite_are_shown(session: Session) -> None:
    where = scene(
        MICROGPT, None, "lena", "set:lm_head.weight[1,2]=3e38", "set:wte.weight[1,2]=3e38"
    )
    rng = random.Random(5)
    found = list(numbers(session, where, rng))
    trace = session.trace(where)
    for name in ("loss.log_sum", "loss.probabilities", "loss"):
        for index in elements(trace.values[name].shape, rng, 6):
            found.append(explained(session, where, name, index))
    for number in found:
        json.loads(line(number.to_dict()))


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


@pytest.mark.parametrize(
    ("where", "tensor", "index", "quantity", "message"),
    [
        (scene(MICROGPT), "nope", (0,), "value", "there is no tensor 'nope'"),
        (scene(MICROGPT), "logits", (0, 0), "value", "it has no element (0, 0)"),
        (scene(MICROGPT), "logits", (0, 0, 99), "gradient", "it has no element (0, 0, 99)"),
        (scene(MICROGPT), "logits", (0, 0, 0), "m", "logits has no m: only the weights of a run"),
        (scene(MICROGPT, 2), "loss.log_sum", (0, 0), "gradient", "without a gradient"),
        (scene(MICROGPT), "wte.weight", (0, 0), "m", "has no m without a step: choose one"),
        (scene(MICROGPT, 0), "wte.weight", (0, 0), "change", "at step 0, with which the history"),
        (scene(GPT2, 2), "h.0.mlp.c_fc.weight", (0, 0), "v", "Muon keeps only the mean"),
        (scene(UNTRAINED), "wte.weight", (0, 0), "v", "has no steps to show"),
        (scene(UNTRAINED, 2), "wte.weight", (0, 0), "value", "has no steps to show"),
        (scene(MICROGPT, 9), "wte.weight", (0, 0), "value", "there is no step 9"),
        (batch_of(MICROGPT, STEPS), "logits", (0, 0, 0), "value", "there is no step 5"),
        (scene(9), "logits", (0, 0, 0), "value", "there is no folder 9"),
        (scene(MICROGPT, None, "l€na"), "logits", (0, 0, 0), "value", "€"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(
    session: Session,
    where: Scene,
    tensor: str,
    index: Index,
    quantity: QuantityName,
    message: str,
) -> None:
    with pytest.raises(AnexaError) as refused:
        explained(session, where, tensor, index, quantity)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    if "no element" not in message:
        with pytest.raises(AnexaError) as refused:
            read_tensor(session, where, tensor, quantity, where)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("tensor", "index", "there"),
    [
        ("wte.weight", (0, 0), scene(GPT2)),
        ("lm_head.weight", (0, 0), scene(GPT2)),
        ("logits", (0, 0, 0), scene(MICROGPT, None, "len")),
    ],
)
def test_differences_need_the_same_shape(
    session: Session, tensor: str, index: Index, there: Scene
) -> None:
    here = scene(MICROGPT)
    for ask in (
        lambda: explained(session, here, tensor, index, "difference", there),
        lambda: read_tensor(session, here, tensor, "difference", there),
    ):
        with pytest.raises(AnexaError, match="another shape in the scene to compare with"):
            ask()
