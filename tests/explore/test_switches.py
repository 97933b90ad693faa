"""Switches, against zeros that are put into the computation itself, with every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import DeviceConfig, open_engine
from anexa.engines.numpy import ArrayTape
from anexa.errors import UsageError
from anexa.explore.rule import Array
from anexa.explore.switches import Edit, apply_edits, parse_edit
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights
from tests.engines.helpers import FLOAT64, LLAMAS, models, random_weights
from tests.explore.test_terms import BATCH, CONFIGS

TOKENS = [1, 2, 3, 2, 1, 5]


class SwitchedTape(ArrayTape, operations=()):
    """A tape that puts zeros where a head or a neuron writes its output.

    Args:
        edit: the head or neuron.
        config: the sizes.
    """

    def __init__(self, edit: Edit, config: ModelConfig) -> None:
        super().__init__(recording=False)
        self.edit, self.width = edit, config.head_dim if edit.kind == "head" else 1
        self.seen = 0

    def switch(self, kind: str, y: Array) -> Array:
        if kind == self.edit.kind:
            if self.seen == self.edit.index[0]:
                y = y.copy()
                start = self.edit.index[1] * self.width
                y[..., start : start + self.width] = 0
            self.seen += 1
        return y

    def attention(self, *args: Any, **settings: Any) -> Array:
        return self.switch("head", self.operations["attention"]().forward(*args, **settings))

    def gelu(self, *args: Any) -> Array:
        return self.switch("neuron", self.operations["gelu"]().forward(*args))

    def gelu_erf(self, *args: Any) -> Array:
        return self.switch("neuron", self.operations["gelu_erf"]().forward(*args))

    def relu(self, *args: Any) -> Array:
        return self.switch("neuron", self.operations["relu"]().forward(*args))

    def swiglu(self, *args: Any) -> Array:
        return self.switch("neuron", self.operations["swiglu"]().forward(*args))


def run(tape: ArrayTape, config: ModelConfig, weights: Weights) -> Array:
    arrays = {name: np.array(w.data).reshape(w.shape) for name, w in weights.items()}
    tokens = np.array([TOKENS]) % config.vocab_size
    logits: Array = get_architecture(config).forward(
        tape.ops, config, arrays, tokens[:, : config.block_size]
    )
    return logits


@given(models(), st.data())
def test_switched_off_parts_write_nothing(
    model: tuple[ModelConfig, Weights], data: st.DataObject
) -> None:
    config, weights = model
    kind = data.draw(st.sampled_from(("head", "neuron")))
    count = config.n_head if kind == "head" else config.n_inner
    layer = data.draw(st.integers(0, config.n_layer - 1))
    edit = parse_edit(f"{kind}:{layer}.{data.draw(st.integers(0, count - 1))}")
    expected = run(SwitchedTape(edit, config), config, weights)
    found = run(ArrayTape(recording=False), config, apply_edits(config, weights, [edit]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", FLOAT64)
@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_every_engine_has_the_same_loss_without_a_head(name: str, model_type: str) -> None:
    config = CONFIGS[model_type]
    weights = random_weights(config, seed=1)
    edited = apply_edits(config, weights, [parse_edit("head:1.1"), parse_edit("neuron:0.5")])
    device_config = DeviceConfig(dtype="float64")
    engine = open_engine(name, config, edited, device_config=device_config)
    reference = open_engine("numpy", config, weights, device_config=device_config)
    by_hand = {key: [*w.data] for key, w in weights.items()}
    attention, mlp = {
        "microgpt": ("layers.1.attn_wo", "layers.0.mlp_fc2"),
        "gpt2": ("h.1.attn.c_proj", "h.0.mlp.c_proj"),
        **dict.fromkeys(
            LLAMAS, ("model.layers.1.self_attn.o_proj", "model.layers.0.mlp.down_proj")
        ),
        "gpt_neo": ("transformer.h.1.attn.attention.out_proj", "transformer.h.0.mlp.c_proj"),
        "gpt_neox": (
            "gpt_neox.layers.1.attention.dense",
            "gpt_neox.layers.0.mlp.dense_4h_to_h",
        ),
    }[model_type]
    for matrix, columns in ((attention, range(*_head_one(config))), (mlp, range(5, 6))):
        key = f"{matrix}.weight"
        rows, width = weights[key].shape
        for place in range(rows * width):
            if (place // width if model_type == "gpt2" else place % width) in columns:
                by_hand[key][place] = 0.0
    assert {key: [*w.data] for key, w in edited.items()} == by_hand
    loss = engine.loss(BATCH)
    assert abs(loss - reference.loss(BATCH)) > 1e-6
    reference = open_engine("numpy", config, edited, device_config=device_config)
    assert loss == pytest.approx(reference.loss(BATCH), rel=1e-12)


def _head_one(config: ModelConfig) -> tuple[int, int]:
    return config.head_dim, 2 * config.head_dim


def test_a_position_is_a_row_of_zeros() -> None:
    config = CONFIGS["gpt2"]
    weights = random_weights(config, seed=1)
    edited = apply_edits(config, weights, [parse_edit("position:3")])
    table = np.array(edited["wpe.weight"].data).reshape(edited["wpe.weight"].shape)
    before = np.array(weights["wpe.weight"].data).reshape(table.shape)
    assert not table[3].any()
    before[3] = 0
    np.testing.assert_array_equal(table, before)


def test_a_weight_is_set_and_the_last_edit_counts() -> None:
    config = CONFIGS["llama"]
    weights = random_weights(config, seed=1)
    name = "model.layers.0.mlp.up_proj.weight"
    edits = [parse_edit(f"set:{name}[2,5]={number}") for number in ("7", "-1.5e-3")]
    edited = apply_edits(config, weights, edits)
    place = 2 * weights[name].shape[1] + 5
    assert edited[name].data[place] == -1.5e-3
    assert [a for a, b in zip(edited[name].data, weights[name].data) if a != b] == [-1.5e-3]


def test_only_changed_weights_are_copied_and_the_originals_stay() -> None:
    config = CONFIGS["llama"]
    weights = random_weights(config, seed=1)
    before = {name: [*weight.data] for name, weight in weights.items()}
    edits = [parse_edit("head:0.3"), parse_edit("neuron:0.0"), parse_edit("head:0.2")]
    edited = apply_edits(config, weights, edits)
    changed = [name for name in weights if edited[name] is not weights[name]]
    assert changed == [
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
    ]
    assert before == {name: [*weight.data] for name, weight in weights.items()}
    assert list(edited) == list(weights)


COUNTS = st.integers(0, 999_999_999)
FINITE = st.floats(-3e38, 3e38)


@given(
    st.builds(Edit, st.sampled_from(("head", "neuron")), st.tuples(COUNTS, COUNTS))
    | st.builds(Edit, st.just("position"), st.tuples(COUNTS))
    | st.builds(
        Edit,
        st.just("set"),
        st.lists(COUNTS, min_size=1, max_size=3).map(tuple),
        st.sampled_from(["wte.weight", "h.0.attn.c_attn.bias", "lm_head.weight"]),
        FINITE,
    )
)
def test_edits_are_parsed_as_they_are_written(edit: Edit) -> None:
    assert parse_edit(str(edit)) == edit


WORDS = st.sampled_from(["head:", "neuron:", "position:", "set:", "wte", ".weight", "[0", "]=", ""])


@given(st.lists(WORDS | st.text("0123456789.,-+=[]:e\n é", max_size=3), max_size=6).map("".join))
def test_any_text_is_a_switch_or_refused_in_one_sentence(text: str) -> None:
    try:
        edit = parse_edit(text)
    except UsageError as error:
        message = str(error)
    else:
        message = ""
        assert parse_edit(str(edit)) == edit
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "head",
            "head:",
            "head:1",
            "head:-1.0",
            "head:a.b",
            "head:1.2.3",
            "Head:0.1",
            "x:1.2",
        ),
        *("position:", "position:1.5", "neuron:0", "set:wte.weight=1", "set:[0,0]=1", "head:٣.١"),
        *("set:wte.weight[0,]=1", "set:wte.weight[-1,0]=1", "head:0.1\n", f"head:0.{'9' * 5000}"),
    ],
)
def test_what_is_no_switch_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no switch: write head:LAYER\.HEAD") as caught:
        parse_edit(text)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize(
    "number",
    ["nan", "inf", "-inf", "1e39", "1e400", "one", "1.2.3", "--1", "٣", "1_0", "1e1_0", "0x10"],
)
def test_what_no_weight_can_be_is_refused(number: str) -> None:
    with pytest.raises(UsageError, match="is no number that a weight can have"):
        parse_edit(f"set:wte.weight[0,0]={number}")


@pytest.mark.parametrize(
    ("model_type", "text", "message"),
    [
        ("gpt2", "head:2.0", r"head:2\.0: this model has the layers 0 to 1"),
        ("llama", "head:0.4", r"head:0\.4: this model has the heads 0 to 3"),
        ("llama", "neuron:0.6", "this model has the neurons 0 to 5"),
        ("gpt2", "neuron:0.32", "this model has the neurons 0 to 31"),
        ("microgpt", "position:8", "this model has the positions 0 to 7"),
        ("llama", "position:0", "a llama model has no table of positions to switch off"),
        ("gpt2", "set:nothing[0]=1", "this model has no weight 'nothing'"),
        ("gpt2", "set:ln_f.bias[8]=1", r"ln_f\.bias has the shape \[8\]"),
        ("gpt2", "set:ln_f.bias[0,0]=1", r"ln_f\.bias has the shape \[8\]"),
    ],
)
def test_what_a_model_does_not_have_is_refused(model_type: str, text: str, message: str) -> None:
    config = CONFIGS[model_type]
    with pytest.raises(UsageError, match=message):
        apply_edits(config, random_weights(config, 1), [parse_edit(text)])
