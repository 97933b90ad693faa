"""The view of a thought, against the engines and the checker."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest

from anexa.engines import Batch, DeviceConfig, open_engine
from anexa.errors import AnexaError, UsageError
from anexa.explore.switches import apply_edits, parse_edit
from anexa.explore.thought_view import ThoughtView
from anexa.explore.thoughts import NUM_HEADS_PER_PART, read_thought
from anexa.explore.trace import trace_batch
from anexa.generation.language_model import BUNDLED_FOLDER, LanguageModel
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.place_marks import mark_places
from anexa.thinking.evaluation import complete
from tests.engines.helpers import random_weights

QUESTION = "58+67"


def finish(job: Generator[float, None, ThoughtView]) -> ThoughtView:
    """Run a job; its progress must grow."""
    before = -1.0
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            view: ThoughtView = stop.value
            return view
        assert before < progress <= 1
        before = progress


def open_model(model: Model) -> LanguageModel:
    return LanguageModel("test", model, open_engine("numpy", model.config, model.weights))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(BUNDLED_FOLDER)


@pytest.fixture(scope="module")
def view(model: Model) -> ThoughtView:
    return finish(read_thought(open_model(model), QUESTION))


def test_the_answer_is_the_models(model: Model, view: ThoughtView) -> None:
    chat = open_model(model).chat([{"role": "user", "content": QUESTION}], temperature=0)
    assert (view.thought, view.answer) == (chat.reasoning, chat.content)
    assert (view.question, view.expected, view.error) == (QUESTION, "125", None)
    texts = [token.text for token in view.tokens]
    assert "".join(texts) == (
        f"<|user|>{mark_places(QUESTION)}<|assistant|><think>{view.thought}</think>125<|endoftext|>"
    )
    assert texts[view.num_prompt_tokens] == "<think>"
    special = ["<|user|>", "<|assistant|>", "<think>", "</think>", "<|endoftext|>"]
    assert [token.text for token in view.tokens if token.special] == special


def test_parts_and_their_sources_are_tokens(view: ThoughtView) -> None:
    texts = [token.text for token in view.tokens]
    (line,) = view.lines
    assert "".join(texts[slice(*line.tokens)]) == line.text == view.thought
    for operand in line.operands:
        assert operand.source == "question"
        assert operand.origin is not None
        assert "".join(texts[slice(*operand.origin)]) == mark_places(str(operand.number))
        assert "".join(texts[slice(*operand.tokens)])[1::2] == str(operand.number)[::-1]
    assert [(part.kind, part.text) for part in view.parts] == [
        ("expression", "A8B5+a7b6"),
        ("fact", "A:8+7+0=15"),
        ("fact", "B:5+6+1=12"),
        ("value", "C1B2A5"),
    ]
    for part in view.parts:
        assert "".join(texts[slice(*part.tokens)]) == part.text
        assert part.true
        assert part.fits
        for source in part.sources:
            assert {texts[token] for token in source.origins} == {texts[source.token]}
    assert [source.role for source in view.parts[2].sources] == ["first", "second", "carry"]
    assert [len(source.origins) for source in view.parts[2].sources] == [2, 2, 1]


def test_masses_are_sums_of_the_attention_pattern(model: Model, view: ThoughtView) -> None:
    ids = [token.id for token in view.tokens]
    trace = trace_batch(model.config, model.weights, Batch.from_sequences([ids]))
    for part in view.parts:
        assert [one.mass for one in part.heads] == sorted(one.mass for one in part.heads)[::-1]
        assert len(part.heads) == model.config.n_layer * model.config.n_head
        for one in part.heads:
            pattern = trace.values[f"model.layers.{one.layer}.attention.pattern"][0, one.head]
            for mass, source in zip(one.masses, part.sources, strict=True):
                total = sum(float(pattern[source.token - 1, token]) for token in source.origins)
                assert mass == pytest.approx(total)
            assert one.mass == pytest.approx(np.mean(one.masses))


def test_losses_without_a_head_are_those_of_zeroed_weights(model: Model, view: ThoughtView) -> None:
    ids = [token.id for token in view.tokens]
    strongest = {
        (one.layer, one.head) for part in view.parts for one in part.heads[:NUM_HEADS_PER_PART]
    }
    assert {(off.layer, off.head) for off in view.without} == strongest
    losses = [("", tuple(part.loss for part in view.parts))]
    losses += [(off.edit, off.losses) for off in view.without]
    for edit, found in losses:
        edits = [parse_edit(edit)] if edit else []
        weights = apply_edits(model.config, model.weights, edits)
        engine = open_engine(
            "numpy", model.config, weights, device_config=DeviceConfig(dtype="float64")
        )
        for part, loss in zip(view.parts, found, strict=True):
            first, stop = part.tokens
            mean = engine.loss(Batch.from_sequences([ids[:stop]], [first]))
            assert loss == pytest.approx(mean * (stop - first), rel=1e-9)


def test_answers_without_a_head_are_those_of_zeroed_weights(
    model: Model, view: ThoughtView
) -> None:
    off = next(off for off in view.without if off.written)
    weights = apply_edits(model.config, model.weights, [parse_edit(off.edit)])
    other = open_model(replace(model, weights=weights))
    prompt = other.render_prompt([{"role": "user", "content": QUESTION}])
    assert off.written is not None
    thought, answer = off.written
    shown = f"{thought}{answer}"
    # `decode` keeps the marks of a thought.
    assert complete(other, [prompt])[0].replace("<think>", "").replace("</think>", "") == shown


def test_edits_come_first(model: Model) -> None:
    edit = parse_edit("head:3.3")
    view = finish(read_thought(open_model(model), QUESTION, [edit]))
    weights = apply_edits(model.config, model.weights, [edit])
    other = finish(read_thought(open_model(replace(model, weights=weights)), QUESTION))
    assert view == other


def test_a_refusal_has_no_thought_and_no_parts(model: Model) -> None:
    view = finish(read_thought(open_model(model), "Hello"))
    assert (view.thought, view.lines, view.parts, view.without) == ("", (), (), ())
    assert view.answer


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_writes_anything_is_shown(model: Model, seed: int) -> None:
    config = replace(model.config, block_size=40, n_layer=1)
    wild = replace(model, config=config, weights=random_weights(config, seed))
    view = finish(read_thought(open_model(wild), QUESTION))
    assert len(view.tokens) == 41 or view.tokens[-1].text == "<|endoftext|>"


def test_what_cannot_be_asked_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="there is nothing to answer"):
        finish(read_thought(open_model(model), " "))
    short = replace(model, config=replace(model.config, block_size=50))
    with pytest.raises(AnexaError, match="the prompt has"):
        finish(read_thought(open_model(short), "1" * 60))
    with pytest.raises(UsageError, match="this model has the layers 0 to 3"):
        finish(read_thought(open_model(model), QUESTION, [parse_edit("head:9.0")]))
    with pytest.raises(AnexaError, match="has no chat template"):
        finish(read_thought(open_model(replace(model, chat_template=None)), QUESTION))
