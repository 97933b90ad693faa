"""The numbers of an equation that are not terms: gains, angles, probabilities, parts of a slope."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anexa.engines import Batch
from anexa.explore import attention_rules, norm_rules, rules
from anexa.explore.rule import Rule
from anexa.explore.terms import Explanation, explain, explain_gradient
from anexa.explore.trace import Trace, TraceNode, trace_batch
from anexa.model.config import ModelConfig
from tests.engines.helpers import random_weights

CONFIGS = {
    "microgpt": ModelConfig("microgpt", 7, 8, 8, 2, 2),
    "gpt2": ModelConfig("gpt2", 7, 8, 8, 2, 2),
    "llama": ModelConfig("llama", 7, 8, 8, 4, 2, n_kv_head=2, n_inner=6),
    "qwen3": ModelConfig("qwen3", 7, 8, 8, 4, 2, n_kv_head=2, n_inner=6, head_dim=6),
    "gpt_neox": ModelConfig("gpt_neox", 7, 8, 8, 2, 2, partial_rotary_factor=0.5),
}
BATCH = Batch.from_sequences([[1, 2, 3, 2, 1, 5], [4, 4, 2, 0]])


@pytest.fixture(scope="module", params=CONFIGS)
def trace(request: pytest.FixtureRequest) -> Trace:
    config = CONFIGS[request.param]
    return trace_batch(config, random_weights(config, seed=1), BATCH)


def nodes(trace: Trace, rule: type[Rule]) -> list[TraceNode]:
    return [node for node in trace.nodes.values() if type(node.rule) is rule]


def check_sources(trace: Trace, found: Explanation) -> None:
    """Check that each constant is equal to the number that it is said to be."""
    for symbol, source in found.constant_sources.items():
        value = trace.values[source.tensor][source.index]
        assert found.constants[symbol] == pytest.approx(value, rel=1e-13), (found.target, symbol)


def test_a_norm_has_its_gain_and_its_deviation(trace: Trace) -> None:
    for node in nodes(trace, norm_rules.Norm):
        found = explain(trace, node.name, (0, 2, 3))
        check_sources(trace, found)
        x = next(term for term in found.terms if term.source.tensor == node.inputs[0])
        gain = found.constants.get("γ", 1.0)
        deviation = found.constants["σ" if "μ" in found.equation else "ρ"]
        assert x.factor == pytest.approx(gain / deviation, rel=1e-13)
        assert ("γ" in found.constants) == (len(node.inputs) > 1)
        assert len(found.constant_sources) == len(found.constants)


def test_the_parts_of_the_gradient_of_a_norm_add_up(trace: Trace) -> None:
    norms = nodes(trace, norm_rules.Norm)
    for name in {node.inputs[0] for node in norms}:
        outputs = {node.name for node in norms if node.inputs[0] == name}  # of two, in GPT-NeoX
        for index in np.ndindex(trace.values[name].shape):
            found = explain_gradient(trace, name, index)
            through = [term for term in found.terms if term.source.tensor in outputs]
            parts = [number for symbol, number in found.constants.items() if "part" in symbol]
            assert len(parts) == (3 if "μ" in found.equation else 2)
            expected = math.fsum(term.contribution for term in through)
            assert math.fsum(parts) == pytest.approx(expected, rel=1e-10, abs=1e-13)


def test_an_angle_has_the_cosine_and_the_sine_of_the_terms(trace: Trace) -> None:
    for node in nodes(trace, attention_rules.Rotary):
        for c in range(trace.values[node.name].shape[-1]):
            for explained in (explain, explain_gradient):
                name = node.name if explained is explain else node.inputs[0]
                found = explained(trace, name, (0, 3, c))
                factors = sorted(abs(term.factor) for term in found.terms)
                if not found.constants:
                    assert factors == [1]  # GPT-NeoX does not turn this column
                    continue
                (angle,) = found.constants.values()
                wanted = sorted([abs(math.cos(angle)), abs(math.sin(angle))])
                assert factors == pytest.approx(wanted, rel=1e-12)


def test_the_gradient_of_a_logit_is_that_of_its_probability(trace: Trace) -> None:
    (node,) = nodes(trace, rules.CrossEntropy)
    for index in np.ndindex(trace.values["logits"].shape):
        found = explain_gradient(trace, node.inputs[0], index)
        if not found.terms:
            assert not found.constants  # padding
            continue
        check_sources(trace, found)
        p, target, n = (found.constants[symbol] for symbol in ("p", "target", "N"))
        assert target == trace.batch.targets[index[0] * BATCH.shape[1] + index[1]]
        assert found.value == pytest.approx((p - (index[2] == target)) / n, rel=1e-12)
        assert found.constant_sources["p"].tensor == "loss.probabilities"


def test_the_gradients_of_scores_and_gates_have_their_numbers(trace: Trace) -> None:
    for node in nodes(trace, attention_rules.Softmax):
        if node.name in trace.grads:
            found = explain_gradient(trace, node.inputs[0], (0, 0, 3, 1))
            check_sources(trace, found)
            assert found.constant_sources["P[i]"].tensor == node.name
    for node in nodes(trace, rules.SwiGLU):
        for name in node.inputs:
            found = explain_gradient(trace, name, (0, 2, 1))
            check_sources(trace, found)
            assert list(found.constants) == ["a", "b"]
