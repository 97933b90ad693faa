from __future__ import annotations

import math

import pytest

from anexa.graph.drawing import to_dot, to_mermaid
from anexa.graph.model_graph import layers_of, model_graph, record_operations
from anexa.graph.svg import to_svg
from anexa.model.architectures import ARCHITECTURES, get_architecture
from anexa.model.config import ModelConfig

TYPES = pytest.mark.parametrize("model_type", ARCHITECTURES)


def config(model_type: str, n_layer: int = 3) -> ModelConfig:
    return ModelConfig(
        model_type, vocab_size=31, block_size=8, n_embd=12, n_head=3, n_layer=n_layer
    )


@TYPES
@pytest.mark.parametrize("n_layer", [1, 2, 3, 200])
def test_every_weight_is_drawn_with_its_shape(model_type: str, n_layer: int) -> None:
    graph = model_graph(config(model_type, n_layer))
    parameters = get_architecture(config(model_type)).parameters(config(model_type, n_layer))
    first = {f"{node.group[1]}." for node in graph.nodes if node.group}
    assert len(first) == 1
    (prefix,) = first
    stem = prefix.removesuffix("0.")
    for name, parameter in parameters.items():
        shape = " × ".join(map(str, parameter.shape))
        if name.startswith(stem) and not name.startswith(prefix):
            continue  # of another layer, which is drawn as the first one
        shown = f"{name.removeprefix(prefix)}  {shape}"
        lines = [
            line
            for node in graph.nodes
            for line in node.details
            if bool(node.group) == name.startswith(prefix)
        ]
        assert any(line == shown or line.startswith(f"{shown},") for line in lines), shown
    count = sum(math.prod(parameter.shape) for parameter in parameters.values())
    assert f"{count:,} parameters" in graph.title
    for write in (to_dot, to_mermaid, to_svg):
        assert write(graph)


@TYPES
def test_graph_leads_from_characters_to_the_loss(model_type: str) -> None:
    graph = model_graph(config(model_type))
    assert [node.title for node in graph.nodes[:3]] == ["characters", "tokenizer", "token ids"]
    assert graph.nodes[-1].title == "loss"
    reached = {len(graph.nodes) - 1}
    for edge in reversed(graph.edges):
        if edge.target in reached:
            reached.add(edge.source)
    assert reached == {*range(len(graph.nodes))}
    (logits,) = [edge.source for edge in graph.edges if edge.label == "logits"]
    assert "→ T × 31" in graph.nodes[logits].details


@TYPES
def test_layers_are_found(model_type: str) -> None:
    steps = record_operations(config(model_type))
    layers = layers_of(steps)
    assert len(layers) == 3
    for layer in layers:
        titles = [step.title for step in steps[layer.start : layer.stop]]
        assert "norm" in titles[0]
        assert titles[-1] == "add"
        assert titles.count("attention") == 1
    assert layers[0].stop == layers[1].start
    assert layers[1].stop == layers[2].start


def test_identical_layers_are_drawn_once() -> None:
    one, many = (model_graph(config("gpt2", n_layer)) for n_layer in (1, 5))
    assert len(one.nodes) == len(many.nodes)
    assert [e.label for e in one.edges] == [e.label for e in many.edges]
    (group,) = {node.group for node in many.nodes if node.group}
    assert group == ("5 layers", "h.0", "… h.4")
