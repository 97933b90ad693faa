"""The numbers of the page: their terms, their links, and the steps that led to them."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from anexa.errors import AnexaError, UsageError
from anexa.explore.number import MAX_TERMS
from anexa.explore.number_view import Link, NumberView
from anexa.explore.overview import describe_map
from anexa.explore.quantities import (
    QuantityName,
    check_quantity,
    element_of_run,
    quantities_of,
    read_tensor,
)
from anexa.explore.responses import json_line
from anexa.explore.rule import Index
from anexa.explore.scene import Scene
from anexa.explore.session import Session
from tests.explore.scenes import (
    GPT2,
    LLAMA,
    MICROGPT,
    OF_STEP,
    QWEN3,
    RUNS,
    STEPS,
    UNTRAINED,
    batch_of,
    elements,
    explained,
    numbers,
    scene,
)


def target(where: Scene, link: Link) -> Scene:
    """The scene of a link, as the page goes there."""
    if link.folder is not None:
        where = replace(where, folder=link.folder)
    if link.step is not None:
        where = replace(where, step=None if link.step == -1 else link.step)
    if link.batch:
        where = replace(where, kind="batch", text="")
    return where.unedited if link.unedited else where


def follow(session: Session, where: Scene, link: Link) -> NumberView:
    return explained(session, target(where, link), link.tensor, link.index, link.quantity)


def bound(number: NumberView) -> dict[str, Any]:
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
        for symbol, link in number.constant_links.items():
            found = follow(session, where, link)
            assert found.value == pytest.approx(number.constants[symbol], rel=1e-12), number.link
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
    assert scale.index_names[1:] == ("head 1",)
    assert scale.num_terms == 4, "one for each channel of the head"
    deviations = [term.factor_to for term in number.terms if term.factor_to]
    assert [(link.tensor, link.index) for link in deviations] == [(f"{name}.scale", (0, 3, 1))]


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
        json.loads(json_line(number.to_dict()))


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
    ("tensor", "index", "there", "message"),
    [
        ("wte.weight", (0, 0), scene(GPT2), "has another shape in the scene to compare with"),
        ("lm_head.weight", (0, 0), scene(GPT2), "the scene to compare with has no lm_head.weight"),
        (
            "logits",
            (0, 0, 0),
            scene(MICROGPT, None, "len"),
            "has another shape in the scene to compare with",
        ),
    ],
)
def test_differences_need_the_same_shape(
    session: Session, tensor: str, index: Index, there: Scene, message: str
) -> None:
    here = scene(MICROGPT)
    for ask in (
        lambda: explained(session, here, tensor, index, "difference", there),
        lambda: read_tensor(session, here, tensor, "difference", there),
    ):
        with pytest.raises(AnexaError, match=message):
            ask()


def test_unknown_tensors_and_moments_are_refused(session: Session) -> None:
    """By the functions on quantities themselves, which other code may call."""
    where, folder = scene(GPT2, 2), session.folder(GPT2)
    for quantity in ("value", "gradient", "m"):
        with pytest.raises(UsageError, match="there is no tensor nope in this model"):
            check_quantity(session, where, "nope", quantity)
    with pytest.raises(UsageError, match="the run has no value of nope after step 2"):
        element_of_run(folder, 2, "nope", (0, 0))
    with pytest.raises(
        UsageError, match=r"the run has no v of h\.0\.mlp\.c_fc\.weight after step 2"
    ):
        element_of_run(folder, 2, "h.0.mlp.c_fc.weight", (0, 0), "v")
