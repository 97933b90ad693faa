"""A model's architecture as a picture, from characters to the loss.

The architecture's own `forward` is run on shapes in place of numbers, by operations that only
write down what they are asked for. So the picture shows what is computed, whatever it is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from anexa.graph.drawing import Edge, Graph, Kind, Node
from anexa.graph.symbols import Recorder, Step, Symbol, shape_text
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig

LAYER = re.compile(r".+?\.\d+(?=\.)")  # how the names of a layer's weights begin


@dataclass(frozen=True)
class Layer:
    """The steps of one layer: those from `start` to before `stop`."""

    name: str
    start: int
    stop: int


def model_graph(config: ModelConfig) -> Graph:
    """The architecture with these sizes: operations, their weights, and what flows between them.

    Layers that do the same are drawn once, under the names of the first, with their number.

    Raises:
        AnexaError: there is no such architecture, or its layers differ and are too many.
    """
    steps = recorded_steps(config)
    layers = layers_of(steps)
    drawn, gone = layers, range(0)
    if len(layers) > 1 and alike(steps, layers):
        drawn, gone = layers[:1], range(layers[1].start, layers[-1].stop)
    nodes, edges = [], []
    for i, step in enumerate(steps):
        if i in gone:
            continue
        prefix, group = "", tuple[str, ...]()
        for layer in drawn:
            if layer.start <= i < layer.stop:
                prefix = f"{layer.name}."
                group = ("1 layer", layer.name)
                if gone:
                    group = (f"{len(layers)} layers", layers[0].name, f"… {layers[-1].name}")
        nodes.append(Node(f"s{i}", step.title, tuple(details(step, prefix)), kind(step), group))
        for source, label in step.inputs:
            # What takes from the last layer takes from the one that is drawn in its place.
            shown = source - len(gone) if source in gone else source
            edges.append(Edge(f"s{shown}", f"s{i}", label))
    parameters = architecture(config).parameters(config).values()
    count = sum(math.prod(parameter.shape) for parameter in parameters)
    return Graph(
        f"{config.model_type}: {count:,} parameters",
        nodes,
        edges,
        note=f"T: the tokens read at once, at most {config.block_size:,}",
    )


def recorded_steps(config: ModelConfig) -> list[Step]:
    """What happens from characters to the loss, in order."""
    chosen, recorder = architecture(config), Recorder()
    weights = {
        name: Symbol(parameter.shape, weight=name)
        for name, parameter in chosen.parameters(config).items()
    }
    characters = recorder.record("characters", [], None)
    vocabulary = [f"{config.vocab_size:,} different tokens"]
    tokens = recorder.record("tokenizer", [characters], None, notes=vocabulary)
    tokens_T = recorder.record("token ids", [tokens], ("T",))
    logits_TV = chosen.forward(recorder, config, weights, tokens_T)
    targets_T = recorder.record("next token ids", [], ("T",), notes=["the same, one place later"])
    recorder.record(
        "loss", [recorder.cross_entropy(logits_TV, targets_T, loss_denominator=1)], None
    )
    return recorder.steps


def layers_of(steps: list[Step]) -> list[Layer]:
    """The layers, as the names of the weights tell them.

    Some steps have no weights. A layer begins after the last step before its first weight through
    which all goes, and ends with the first one after its last weight: in a transformer these
    are the additions to the residual stream.
    """
    used: dict[str, list[int]] = {}
    for i, step in enumerate(steps):
        for weight, _ in step.weights:
            if match := LAYER.match(weight):
                used.setdefault(match[0], []).append(i)
    # The furthest step that takes from one before step i: not beyond i means that all goes by i.
    last_use = list(range(len(steps)))
    for i, step in enumerate(steps):
        for source, _ in step.inputs:
            last_use[source] = i
    reach = accumulate(last_use[:-1], max, initial=0)
    narrow = [i for i, furthest in enumerate(reach) if furthest <= i]
    layers = []
    earliest = 0
    for name, places in used.items():
        first, last = places[0], places[-1]
        start = max((i + 1 for i in narrow if earliest <= i + 1 <= first), default=first)
        stop = min((i + 1 for i in narrow if i >= last), default=last + 1)
        layers.append(Layer(name, start, stop))
        earliest = stop
    return layers


def alike(steps: list[Step], layers: list[Layer]) -> bool:
    """Whether the layers follow each other and differ in nothing but their names."""

    def form(layer: Layer) -> list[object]:
        return [
            (
                step.title,
                details(step, f"{layer.name}."),
                [(source - layer.start, label) for source, label in step.inputs],
            )
            for step in steps[layer.start : layer.stop]
        ]

    follow = all(layer.stop == after.start for layer, after in pairwise(layers))
    return follow and all(form(layer) == form(layers[0]) for layer in layers)


def details(step: Step, prefix: str) -> list[str]:
    """The lines of a step's box; names of weights lose the prefix that the frame shows."""
    weights = [f"{name.removeprefix(prefix)}  {remark}" for name, remark in step.weights]
    shape = [] if step.shape is None else [f"→ {shape_text(step.shape)}"]
    return [*step.notes, *weights, *shape]


def kind(step: Step) -> Kind:
    """Data, operations with weights and without, and the loss have a colour each."""
    if not step.inputs:
        return "input"
    if step.title == "loss":
        return "output"
    return "weighted" if step.weights else "operation"
