"""The terms of a number, against the number, central differences, PyTorch and the scalar graph."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.engines import Batch
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.scalar import ScalarEngine
from anexa.errors import AnexaError
from anexa.explore import attention_rules, norm_rules, rules
from anexa.explore.rule import Array, Index, Rule, gather
from anexa.explore.terms import Term, explain, explain_gradient, gradient_equation
from anexa.explore.trace import Trace, trace_batch
from anexa.model.architectures import ARCHITECTURES
from anexa.model.config import ModelConfig
from tests.engines.helpers import SCALINGS, configs, needs_torch, random_weights
from tests.examples import examples

BATCH = Batch.from_sequences([[1, 2, 3, 2, 1, 5], [4, 4, 2, 0]])
ROWS = [[1, 2, 3, 2, 1, 5], [4, 4, 2, 0], [6, 1]]
WITH_GAPS = Batch.from_labels(ROWS, ROWS, positions=[[0, 1, 3, 4, 7, 8], None, [2, 3]])
CONFIGS = {
    "microgpt": ModelConfig("microgpt", 7, 8, 8, 2, 2),
    "gpt2": ModelConfig("gpt2", 7, 8, 8, 2, 2),
    "llama": ModelConfig("llama", 7, 8, 8, 4, 2, n_kv_head=2, n_inner=6),
    "mistral": ModelConfig("mistral", 7, 8, 8, 4, 2, head_dim=4, rope_scaling=SCALINGS[1]),
    "qwen2": ModelConfig("qwen2", 7, 8, 8, 2, 2, n_kv_head=1, n_inner=6),
    "qwen3": ModelConfig("qwen3", 7, 8, 8, 4, 2, n_kv_head=2, n_inner=6, head_dim=6),
    "gpt_neo": ModelConfig("gpt_neo", 7, 8, 8, 2, 2, n_inner=6, attention_windows=(2, 0)),
    "gpt_neox": ModelConfig("gpt_neox", 7, 8, 8, 2, 2, partial_rotary_factor=0.5),
}
RULES = [
    rule
    for rule in (vars(rules) | vars(norm_rules) | vars(attention_rules)).values()
    if isinstance(rule, type) and "slopes" in vars(rule)
]
RULES = [rule for rule in RULES if rule not in (Rule, rules.Curve)]
RULES += [rules.GELU, rules.GELUErf]


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {
        name: trace_batch(config, random_weights(config, seed=1), BATCH)
        for name, config in CONFIGS.items()
    }


def elements(tensor: Array, rng: random.Random, count: int = 12) -> list[Index]:
    return [tuple(rng.randrange(n) for n in tensor.shape) for _ in range(count)]


def check_numbers(trace: Trace, rng: random.Random, count: int = 12) -> None:
    """Rebuild random elements of every tensor and of every gradient from their terms."""
    for name in trace.nodes:
        for index in elements(trace.values[name], rng, count):
            found = explain(trace, name, index)
            assert found.rebuilt == pytest.approx(found.value, rel=1e-12, abs=1e-13), (name, index)
    for name in trace.grads:
        for index in elements(trace.grads[name], rng, count):
            found = explain_gradient(trace, name, index)
            assert found.rebuilt == pytest.approx(found.value, rel=1e-12, abs=1e-13), (name, index)


def check_slopes(trace: Trace, rng: random.Random, only: type[Rule] | None = None) -> None:
    """Compare the slopes of every operation with central differences of its own terms."""
    for node in list(trace.nodes.values()):
        if node.name not in trace.grads or (only and type(node.rule) is not only):
            continue
        for source in range(len(node.inputs)):
            for index in elements(node.rule.inputs[source], rng, 3):
                check_slope(trace, node.name, source, index, rng)


def check_slope(trace: Trace, name: str, source: int, index: Index, rng: random.Random) -> None:
    """Compare the slopes of some outputs that depend on an element, and of some that may not."""
    rule = trace.nodes[name].rule
    indices, slopes = rule.slopes(source, index)
    listed = [(tuple(i), slope) for i, slope in zip(indices.tolist(), slopes.tolist())]
    known = dict(listed)
    assert len(known) == len(listed)
    others = elements(rule.output, rng, 4)
    checked = {
        **dict(rng.sample(listed, min(4, len(listed)))),
        **{i: known.get(i, 0.0) for i in others},
    }
    numbers = rule.inputs[source]
    before, found = numbers[index], []
    for moved in (before + 1e-5, before - 1e-5):
        numbers[index] = moved
        found.append(forward(trace, name, list(checked)))
    numbers[index] = before
    for output, up, down in zip(checked, *found):
        difference = 0.0 if up == down else (up - down) / 2e-5  # masked scores are −∞
        assert difference == pytest.approx(checked[output], rel=1e-4, abs=1e-7), (
            name,
            source,
            index,
        )


def forward(trace: Trace, name: str, indices: list[Index]) -> list[float]:
    """Compute elements of a tensor by their terms, after its intermediate results."""
    node = trace.nodes[name]
    saved = {key: trace.values[key].copy() for key in node.auxiliaries}
    for key in reversed(node.auxiliaries):
        everything = list(np.ndindex(trace.values[key].shape))
        trace.values[key].flat[:] = forward(trace, key, everything)
    output = [explain(trace, name, index).rebuilt for index in indices]
    for key, value in saved.items():
        trace.values[key][...] = value
    return output


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_terms_add_up_to_every_number_and_every_gradient(
    traces: dict[str, Trace], architecture: str
) -> None:
    check_numbers(traces[architecture], random.Random(0))


@examples(10)
@given(config=configs(), seed=st.integers(0, 1000))
def test_terms_add_up_for_any_sizes(config: ModelConfig, seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        [rng.randrange(config.vocab_size) for _ in range(rng.randint(2, config.block_size + 1))]
        for _ in range(rng.randint(1, 3))
    ]
    check_numbers(
        trace_batch(config, random_weights(config, seed), Batch.from_sequences(rows)), rng, 3
    )


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_slopes_equal_central_differences(traces: dict[str, Trace], architecture: str) -> None:
    check_slopes(traces[architecture], random.Random(0))


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_terms_and_slopes_hold_with_gaps_between_positions(architecture: str) -> None:
    config = CONFIGS[architecture]
    trace = trace_batch(config, random_weights(config, seed=1), WITH_GAPS)
    check_numbers(trace, random.Random(0))
    check_slopes(trace, random.Random(0))


def test_row_of_the_table_is_that_of_the_position() -> None:
    config = CONFIGS["gpt2"]
    trace = trace_batch(config, random_weights(config, seed=1), WITH_GAPS)
    table = "wpe.weight"
    (name,) = (node.name for node in trace.nodes.values() if table in node.inputs)
    terms = explain(trace, name, (0, 2, 5)).terms
    assert [term.source.index for term in terms if term.source.tensor == table] == [(3, 5)]
    pulled = explain_gradient(trace, table, (2, 5)).terms
    assert {term.source.index for term in pulled} == {(1, 2, 5), (2, 0, 5)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_wrong_slope_in_any_operation_is_noticed(
    traces: dict[str, Trace], rule: type[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    right: Callable[..., Any] = rule.slopes

    def wrong(self: Rule, source: int, index: Index) -> tuple[Any, Array]:
        indices, slopes = right(self, source, index)
        return indices, slopes * 1.001

    monkeypatch.setattr(rule, "slopes", wrong)
    trace = next(
        trace
        for trace in traces.values()
        if any(type(node.rule) is rule and node.inputs for node in trace.nodes.values())
    )
    with pytest.raises(AssertionError):
        check_numbers(trace, random.Random(0))
    with pytest.raises(AssertionError):
        check_slopes(trace, random.Random(0), rule)


@needs_torch
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_gradients_of_activations_equal_those_of_torch(
    traces: dict[str, Trace], architecture: str
) -> None:
    import torch

    from anexa.engines.operations.torch import TorchOperations
    from anexa.model.architectures import get_architecture as get

    config, trace = CONFIGS[architecture], traces[architecture]
    made: list[tuple[str, torch.Tensor]] = []

    class Recording(TorchOperations):
        def __getattribute__(self, name: str) -> Any:
            method = super().__getattribute__(name)
            if name.startswith("_") or name in ("dropout", "transpose") or not callable(method):
                return method

            def apply(*args: Any, **settings: Any) -> Any:
                output = method(*args, **settings)
                outputs = output if isinstance(output, tuple) else (output,)
                for tensor in outputs:
                    tensor.retain_grad()
                    made.append((name, tensor))
                return output

            return apply

    weights = {
        name: torch.tensor(weight.data, dtype=torch.float64).reshape(weight.shape).requires_grad_()
        for name, weight in random_weights(config, seed=1).items()
    }
    tokens, targets = (
        torch.tensor(ids).reshape(BATCH.shape) for ids in (BATCH.inputs, BATCH.targets)
    )
    ops = Recording()
    logits = get(config).forward(ops, config, weights, tokens)
    denominators = torch.tensor(BATCH.loss_denominators, dtype=torch.float64)[:, None]
    ops.cross_entropy(logits, targets, denominators).backward()  # type: ignore[no-untyped-call]
    internal = (".T", ".scores", ".pattern")
    names = [name for name in trace.nodes if name in trace.grads and not name.endswith(internal)]
    assert len(names) == len(made)
    for name, (_, tensor) in zip(names, made):
        assert tensor.grad is not None
        for ours, theirs in (
            (trace.values[name], tensor.detach().numpy()),
            (trace.grads[name], tensor.grad.numpy()),
        ):
            np.testing.assert_allclose(
                ours, theirs, rtol=0, atol=1e-12, equal_nan=False, strict=True, err_msg=name
            )


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_number_of_an_activation_stands_in_the_scalar_graph(
    traces: dict[str, Trace], architecture: str
) -> None:
    config, trace = CONFIGS[architecture], traces[architecture]
    graph = ScalarEngine(config, random_weights(config, seed=1), OptimizerConfig()).graph(BATCH)
    numbers, todo = {id(graph): graph}, [graph]
    while todo:
        for child in todo.pop().children:
            if id(child) not in numbers:
                numbers[id(child)] = child
                todo.append(child)
    data = np.sort([value.data for value in numbers.values()])
    for name in trace.nodes:
        if name not in trace.grads:
            continue  # the scalar engine has 1 / scale, and no log Z
        for index in elements(trace.values[name], random.Random(0)):
            if index and not counted(index):
                continue
            value = trace.values[name][index]
            nearest = data[
                np.clip(np.searchsorted(data, value) + np.arange(-1, 1), 0, len(data) - 1)
            ]
            assert np.abs(nearest - value).min() < 1e-9 or not math.isfinite(value), (name, index)


def counted(index: Index) -> bool:
    """Whether an element belongs to a token before the padding."""
    return index[0] == 0


def test_a_weight_is_pulled_by_the_tokens_that_used_it(traces: dict[str, Trace]) -> None:
    found = explain_gradient(traces["microgpt"], "wte.weight", (2, 3))
    places = {term.source.index[:2] for term in found.terms}
    assert places == {(0, 1), (0, 3), (1, 2)}  # where token 2 is read


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_each_input_has_an_equation_of_its_gradient(
    traces: dict[str, Trace], architecture: str
) -> None:
    for name in traces[architecture].grads:
        for node, position in traces[architecture].consumers[name]:
            assert len(node.rule.gradients) > position, node.name


def test_the_equation_of_a_gradient_is_that_of_the_input_and_of_the_architecture(
    traces: dict[str, Trace],
) -> None:
    found = {
        name: {key: gradient_equation(trace, key) for key in trace.grads}
        for name, trace in traces.items()
    }
    microgpt, gpt2 = found["microgpt"], found["gpt2"]
    assert microgpt["layers.0.attn_wq.weight"] == "dW[o, c] = Σ g[t, o] x[t, c]"
    assert microgpt["layers.0.attn_wq"] == "dq[t] = Σ dS[t, s] k[s] / √D"
    assert microgpt["wpe"] == "dx[i] = Σ g[j] ((i = j) − n[i] n[j] / C) / ρ with n = x / ρ"
    assert gpt2["ln_f.bias"] == "dβ[c] = Σ g[t, c]"


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_slopes_are_the_elements_that_they_name(
    traces: dict[str, Trace], architecture: str
) -> None:
    trace, rng, checked = traces[architecture], random.Random(0), set[type[Rule]]()
    for node in trace.nodes.values():
        scale = node.rule.scale if isinstance(node.rule, attention_rules.AttentionScores) else 1
        for source, name in enumerate(node.inputs if node.name in trace.grads else ()):
            for index in elements(trace.values[name], rng):
                named = node.rule.slope_elements(source, index)
                if named is None:
                    continue
                slopes = node.rule.slopes(source, index)[1]
                found = gather(trace.values[node.sources[named.source]], named.indices)
                assert len(found) == len(slopes)
                assert found * scale == pytest.approx(slopes, rel=1e-12)
                checked.add(type(node.rule))
    assert checked == {
        rules.Linear,
        attention_rules.AttentionScores,
        attention_rules.AttentionOutput,
    }


def test_terms_are_sorted_by_size(traces: dict[str, Trace]) -> None:
    terms = explain(traces["llama"], "logits", (0, 1, 2)).terms
    sizes = [abs(term.contribution) for term in terms]
    assert sizes == sorted(sizes, reverse=True)
    assert isinstance(terms[0], Term)


@pytest.mark.parametrize(
    ("tensor", "index", "message"),
    [
        ("layers.9.relu", (0, 0, 0), "there is no tensor 'layers.9.relu'"),
        ("logits", (0, 0), "logits has the shape"),
        ("logits", (0, 0, 7), "logits has the shape"),
        ("logits", (0, -1, 0), "logits has the shape"),
    ],
)
def test_what_is_not_there_is_refused(
    traces: dict[str, Trace], tensor: str, index: Index, message: str
) -> None:
    for ask in (explain, explain_gradient):
        with pytest.raises(AnexaError, match=message):
            ask(traces["microgpt"], tensor, index)
