"""AdamW and Muon equal those of PyTorch, in every engine."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anexa.engines import DeviceConfig, Engine, OptimizerConfig, open_engine
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from anexa.model.weights import Weight, Weights
from tests.engines.helpers import (
    BATCHES,
    EVERY_ENGINE,
    FLOAT64,
    LLAMAS,
    assert_close,
    batches,
    models,
    needs_torch,
    random_weights,
)
from tests.examples import examples

OTHERS = [param for param in FLOAT64 if param.id != "scalar"]
EXACT = DeviceConfig(dtype="float64")

# Some of the batches have gradients that are longer than this together, some shorter ones.
CLIP = 2.5
RATES = [0.01, 0.02, 0.005, 0.0, 0.015]
ADAMW = OptimizerConfig(0.8, 0.97, 1e-7, weight_decay=0.5, max_grad_norm=CLIP)
MUON = OptimizerConfig(0.8, 0.97, 1e-7, weight_decay=0.5, max_grad_norm=CLIP, name="muon")

# The matrices between two activations, each after the number of its block.
INSIDE = {
    "microgpt": (
        *(f"attn_w{letter}.weight" for letter in "qkvo"),
        *(f"mlp_fc{number}.weight" for number in (1, 2)),
    ),
    "gpt2": ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"),
    "llama": (
        *(f"self_attn.{letter}_proj.weight" for letter in "qkvo"),
        *(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")),
    ),
}
INSIDE |= dict.fromkeys(LLAMAS, INSIDE["llama"])
INSIDE |= {
    "gpt_neo": (
        *(f"attn.attention.{name}_proj.weight" for name in ("q", "k", "v", "out")),
        *(f"mlp.{name}.weight" for name in ("c_fc", "c_proj")),
    ),
    "gpt_neox": (
        *(f"attention.{name}.weight" for name in ("query_key_value", "dense")),
        *(f"mlp.{name}.weight" for name in ("dense_h_to_4h", "dense_4h_to_h")),
    ),
}
BLOCKS = {"microgpt": "layers", "gpt2": "h", **dict.fromkeys(LLAMAS, "model.layers")}
BLOCKS |= {"gpt_neo": "transformer.h", "gpt_neox": "gpt_neox.layers"}


def config(model_type: str) -> ModelConfig:
    sizes = (
        {"n_kv_head": 1, "n_inner": 5, "tie_word_embeddings": False} if model_type in LLAMAS else {}
    )
    return ModelConfig(model_type, 7, block_size=6, n_embd=4, n_head=2, n_layer=2, **sizes)  # type: ignore[arg-type]


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest) -> tuple[ModelConfig, Weights]:
    sizes = config(request.param)
    return sizes, random_weights(sizes, seed=2)


def columns(name: str) -> int:
    """Return the number of matrices fused in a weight."""
    return 3 if name.endswith("c_attn.weight") else 1


def train(engine: Engine, start: int = 0, end: int = len(BATCHES)) -> list[float]:
    steps = zip(BATCHES[start:end], RATES[start:end])
    return [engine.train_step(batch, rate).loss for batch, rate in steps]


# ------------------------------------------------------------------ PyTorch's own


class Reference:
    """The optimizers that come with PyTorch, in float64."""

    def __init__(self, weights: Weights, optimizer: OptimizerConfig, by_muon: set[str]) -> None:
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")

        class Exact(self.torch.Tensor):  # type: ignore[name-defined, misc]
            """Orthogonalize in float64, where PyTorch's own Muon would use bfloat16."""

            def bfloat16(self) -> Any:
                return self.clone()

        self.exact = Exact
        self.max_grad_norm, self.optimizers = optimizer.max_grad_norm, []
        # Of each weight the matrices that it is, which to PyTorch's Muon are one each.
        self.pieces = {
            name: [
                self.torch.nn.Parameter(piece.contiguous())
                for piece in self.tensor(weight).chunk(columns(name) if name in by_muon else 1, -1)
            ]
            for name, weight in weights.items()
        }
        adam: dict[bool, list[Any]] = {True: [], False: []}
        for name, pieces in self.pieces.items():
            if name not in by_muon:
                adam[len(weights[name].shape) == 2] += pieces
        self.optimizers.append(
            self.torch.optim.AdamW(
                [
                    {"params": adam[True], "weight_decay": optimizer.weight_decay},
                    {"params": adam[False], "weight_decay": 0.0},
                ][: 2 if adam[False] else 1],
                betas=(optimizer.beta1, optimizer.beta2),
                eps=optimizer.eps,
            )
        )
        if by_muon:
            self.optimizers.append(
                self.torch.optim.Muon(
                    [piece for name in sorted(by_muon) for piece in self.pieces[name]],
                    weight_decay=optimizer.weight_decay,
                    momentum=0.95,
                    nesterov=True,
                    adjust_lr_fn="match_rms_adamw",
                )
            )

    def tensor(self, weight: Weight) -> Any:
        return self.torch.tensor(weight.data, dtype=self.torch.float64).view(weight.shape)

    def step(self, gradients: Weights, rate: float) -> float:
        """A step along these gradients; gives their length together, before they are clipped."""
        for name, pieces in self.pieces.items():
            for piece, grad in zip(pieces, self.tensor(gradients[name]).chunk(len(pieces), -1)):
                piece.grad = grad.contiguous().as_subclass(self.exact)
        every = [piece for pieces in self.pieces.values() for piece in pieces]
        norm = float(self.torch.nn.utils.clip_grad_norm_(every, self.max_grad_norm))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return norm

    def weights(self) -> Weights:
        whole = {name: self.torch.cat(pieces, -1) for name, pieces in self.pieces.items()}
        return {
            name: Weight(tuple(w.shape), array("d", w.detach().flatten().tolist()))
            for name, w in whole.items()
        }


def train_both(engine: Engine, reference: Reference) -> None:
    """Train both on the engine's gradients, step by step; both must find the same norm."""
    norms = []
    for batch, rate in zip(BATCHES, RATES):
        norms.append(reference.step(engine.gradients(batch)[1], rate))
        assert engine.train_step(batch, rate).gradient_norm == pytest.approx(norms[-1], rel=1e-12)
    assert min(norms) < CLIP < max(norms), "some are clipped, some are not"


@pytest.mark.parametrize("name", FLOAT64)
def test_adamw_equals_that_of_pytorch(name: str, model: tuple[ModelConfig, Weights]) -> None:
    reference = Reference(model[1], ADAMW, by_muon=set())
    engine = open_engine(name, *model, device_config=EXACT, optimizer=ADAMW)
    train_both(engine, reference)
    ours, theirs = engine.weights(), reference.weights()
    for key, weight in theirs.items():
        assert list(ours[key].data) == pytest.approx(list(weight.data), rel=1e-12, abs=1e-13), key


@pytest.mark.parametrize("name", FLOAT64)
def test_muon_equals_that_of_pytorch(name: str, model: tuple[ModelConfig, Weights]) -> None:
    """Except for ε: for PyTorch the smallest norm of a matrix, for us an addend of the norm."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon: 2.9 is the first")
    inside = {key for key in model[1] if key.endswith(INSIDE[model[0].model_type])}
    reference = Reference(model[1], MUON, inside)
    engine = open_engine(name, *model, device_config=EXACT, optimizer=MUON)
    train_both(engine, reference)
    ours, theirs = engine.weights(), reference.weights()
    for key, weight in theirs.items():
        bound = 2e-5 if key in inside else 1e-12
        assert list(ours[key].data) == pytest.approx(list(weight.data), rel=bound, abs=bound), key


# ------------------------------------------------------------------ which weights, which state


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_muon_updates_the_matrices_inside_the_blocks(model_type: str) -> None:
    expected = {
        f"{BLOCKS[model_type]}.{layer}.{name}" for layer in (0, 1) for name in INSIDE[model_type]
    }
    matrices = MUON.muon_weights(config(model_type))
    assert matrices == {name: columns(name) for name in expected}
    assert ADAMW.muon_weights(config(model_type)) == {}


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_state_has_the_names_and_shapes_of_the_config(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """m of every weight, v of the weights that AdamW updates."""
    sizes, weights = model
    engine = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=MUON)
    assert engine.optimizer_state() == {}
    train(engine, end=1)
    expected = {f"m.{key}": w.shape for key, w in weights.items()}
    inside = INSIDE[sizes.model_type]
    expected |= {f"v.{key}": w.shape for key, w in weights.items() if not key.endswith(inside)}
    state = engine.optimizer_state()
    assert {key: w.shape for key, w in state.items()} == expected
    assert MUON.state_shapes(sizes) == expected
    assert {w.typecode for w in state.values()} == {"f" if dtype == "float32" else "d"}


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
def test_resumed_muon_run_equals_uninterrupted_run(
    name: str, dtype: str, model: tuple[ModelConfig, Weights]
) -> None:
    """Bit for bit; without the state the run would differ."""
    machine, stop = DeviceConfig(dtype=dtype), 2
    whole = open_engine(name, *model, device_config=machine, optimizer=MUON)
    losses = train(whole)
    first = open_engine(name, *model, device_config=machine, optimizer=MUON)
    assert train(first, end=stop) == losses[:stop]
    second, forgetful = (
        open_engine(name, model[0], first.weights(), device_config=machine, optimizer=MUON)
        for _ in range(2)
    )
    second.load_optimizer_state(first.optimizer_state(), stop)
    assert second.optimizer_state() == first.optimizer_state()
    assert train(second, stop) == losses[stop:]
    assert second.weights() == whole.weights()
    assert second.optimizer_state() == whole.optimizer_state()
    train(forgetful, stop)
    assert forgetful.weights() != whole.weights()


@needs_torch
@pytest.mark.parametrize("optimizer", [ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize(("stopped", "resumed"), [("numpy", "torch"), ("torch", "lists")])
def test_engine_resumes_the_run_of_another_engine(
    stopped: str, resumed: str, optimizer: OptimizerConfig, model: tuple[ModelConfig, Weights]
) -> None:
    whole = open_engine(resumed, *model, device_config=EXACT, optimizer=optimizer)
    losses = train(whole)
    first = open_engine(stopped, *model, device_config=EXACT, optimizer=optimizer)
    train(first, end=3)
    second = open_engine(
        resumed, model[0], first.weights(), device_config=EXACT, optimizer=optimizer
    )
    second.load_optimizer_state(first.optimizer_state(), 3)
    assert train(second, 3) == pytest.approx(losses[3:], rel=1e-9)
    assert_close(second.weights(), whole.weights(), bound=1e-9)
    assert_close(second.optimizer_state(), whole.optimizer_state(), bound=1e-9)


# ------------------------------------------------------------------ all engines alike


@pytest.mark.parametrize(("name", "dtype"), EVERY_ENGINE)
@pytest.mark.parametrize("optimizer", [ADAMW, MUON], ids=["adamw", "muon"])
def test_norm_is_that_of_unclipped_gradients(
    name: str, dtype: str, optimizer: OptimizerConfig, model: tuple[ModelConfig, Weights]
) -> None:
    optimizer = replace(optimizer, max_grad_norm=0.5)
    engine = open_engine(name, *model, device_config=DeviceConfig(dtype=dtype), optimizer=optimizer)
    loss, gradients = engine.gradients(BATCHES[0])
    norm = math.hypot(*(g for weight in gradients.values() for g in weight.data))
    assert norm > optimizer.max_grad_norm, "it would be clipped"
    update = engine.train_step(BATCHES[0], 0.01)
    assert update.loss == loss
    assert update.gradient_norm == pytest.approx(norm, rel=1e-12 if dtype == "float64" else 1e-5)


@cache
def trained_by_scalar(
    model_type: str, optimizer: OptimizerConfig
) -> tuple[list[float], Weights, Weights]:
    """The losses of a run of `scalar`, its weights, and its optimizer state."""
    sizes = config(model_type)
    engine = open_engine("scalar", sizes, random_weights(sizes, seed=2), optimizer=optimizer)
    return train(engine), engine.weights(), engine.optimizer_state()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("optimizer", [ADAMW, MUON], ids=["adamw", "muon"])
def test_several_steps_equal_those_of_scalar(
    name: str, optimizer: OptimizerConfig, model: tuple[ModelConfig, Weights]
) -> None:
    engine = open_engine(name, *model, device_config=EXACT, optimizer=optimizer)
    losses, weights, state = trained_by_scalar(model[0].model_type, optimizer)
    assert train(engine) == pytest.approx(losses, rel=1e-9)
    assert_close(engine.weights(), weights, bound=1e-9)
    assert_close(engine.optimizer_state(), state, bound=1e-9)


@pytest.mark.parametrize("name", OTHERS)
@examples(15)
@given(data=st.data())
def test_muon_equals_that_of_scalar_on_any_small_model(name: str, data: st.DataObject) -> None:
    """The bound is wide: Muon enlarges small singular values and their rounding errors."""
    sizes, weights = data.draw(models(name))
    assume(sizes.n_embd > 1)  # where LayerNorm gives 0, and a gradient is nothing but rounding
    optimizer = OptimizerConfig(
        weight_decay=data.draw(st.sampled_from([0.0, 0.5])),
        max_grad_norm=data.draw(st.sampled_from([0.0, 0.1, 10.0])),
        name="muon",
        momentum=data.draw(st.sampled_from([0.0, 0.6, 0.95])),
    )
    engine, reference = (
        open_engine(one, sizes, weights, device_config=EXACT, optimizer=optimizer)
        for one in (name, "scalar")
    )
    for rate in (0.01, 0.002):
        batch = data.draw(batches(sizes))
        update, expected = engine.train_step(batch, rate), reference.train_step(batch, rate)
        assert update == pytest.approx(expected, rel=1e-8, abs=1e-12)
    assert_close(engine.weights(), reference.weights(), bound=1e-8)
