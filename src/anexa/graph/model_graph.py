"""Graph of a model's architecture, from characters to the loss.

The architecture's `forward` is traced: it runs on symbolic tensors, with operations that are
recorded instead of computed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from anexa.graph.drawing import Edge, Graph, Node, NodeKind
from anexa.graph.symbols import RecordedOperation, Recorder, SymbolicTensor, format_shape
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig

# Prefix of the names of a layer's weights, such as h.0.
LAYER_PREFIX_PATTERN = re.compile(r".+?\.\d+(?=\.)")


@dataclass(frozen=True)
class Layer:
    """A layer of a traced model: the operations with the indices from `start` to `stop` − 1.

    Attributes:
        name: prefix of the names of its weights.
        start: index of its first operation.
        stop: index after its last operation.
    """

    name: str
    start: int
    stop: int


def model_graph(config: ModelConfig) -> Graph:
    """Draw an architecture: its operations, their weights, and the tensors between them.

    Identical layers are drawn once, under the names of the first layer, with the number of layers.

    Raises:
        AnexaError: if the graph is too large to be drawn, as with many different layers.
    """
    steps = record_operations(config)
    layers = layers_of(steps)
    shown_layers, omitted = layers, range(0)
    if len(layers) > 1 and are_identical(steps, layers):
        shown_layers, omitted = layers[:1], range(layers[1].start, layers[-1].stop)
    nodes: list[Node] = []
    edges = []
    index: dict[int, int] = {}  # of the node that shows a step, by the number of the step
    for i, step in enumerate(steps):
        if i in omitted:
            continue
        prefix, group = "", tuple[str, ...]()
        for layer in shown_layers:
            if layer.start <= i < layer.stop:
                prefix = f"{layer.name}."
                group = ("1 layer", layer.name)
                if omitted:
                    group = (f"{len(layers)} layers", layers[0].name, f"… {layers[-1].name}")
        index[i] = len(nodes)
        nodes.append(
            Node(step.title, tuple(detail_lines(step, prefix)), operation_node_kind(step), group)
        )
        for source, label in step.inputs:
            # The drawn layer stands for the last layer: its output goes to what follows.
            shown = source - len(omitted) if source in omitted else source
            edges.append(Edge(index[shown], index[i], label))
    parameters = get_architecture(config).parameters(config).values()
    count = sum(math.prod(parameter.shape) for parameter in parameters)
    return Graph(
        f"{config.model_type}: {count:,} parameters",
        nodes,
        edges,
        note=f"T: number of tokens, at most {config.block_size:,}",
    )


def record_operations(config: ModelConfig) -> list[RecordedOperation]:
    """Trace a model: list its operations in order, from characters to the loss.

    Nothing is computed but shapes, so weights are not needed.
    """
    chosen, recorder = get_architecture(config), Recorder()
    weights = {
        name: SymbolicTensor(parameter.shape, weight=name)
        for name, parameter in chosen.parameters(config).items()
    }
    characters = recorder.record("characters", [], None)
    vocabulary = [f"{config.vocab_size:,} different tokens"]
    tokens = recorder.record("tokenizer", [characters], None, notes=vocabulary)
    tokens_T = recorder.record("token ids", [tokens], ("T",))
    logits_TV = chosen.forward(recorder, config, weights, tokens_T)
    targets_T = recorder.record(
        "next token ids", [], ("T",), notes=["the same, one position later"]
    )
    recorder.record(
        "loss", [recorder.cross_entropy(logits_TV, targets_T, loss_denominator=1)], None
    )
    return recorder.steps


def layers_of(steps: list[RecordedOperation]) -> list[Layer]:
    """Find the layers of a traced model by the names of its weights.

    Some operations have no weights. A bottleneck is an operation that all paths pass through; in a
    transformer these are the additions to the residual stream. A layer begins after the last
    bottleneck before its first weight, and ends with the first bottleneck after its last weight.

    Returns:
        The layers in order; [] if the name of no weight has the prefix of a layer.
    """
    used: dict[str, list[int]] = {}
    for i, step in enumerate(steps):
        for weight, _ in step.weights:
            if match := LAYER_PREFIX_PATTERN.match(weight):
                used.setdefault(match[0], []).append(i)
    # Operation i is a bottleneck if no operation before it is an input of an operation after it.
    last_use = list(range(len(steps)))
    for i, step in enumerate(steps):
        for source, _ in step.inputs:
            last_use[source] = i
    furthest_use = accumulate(last_use[:-1], max, initial=0)
    bottlenecks = [i for i, furthest in enumerate(furthest_use) if furthest <= i]
    layers = []
    earliest = 0
    for name, users in used.items():
        first, last = users[0], users[-1]
        start = max((i + 1 for i in bottlenecks if earliest <= i + 1 <= first), default=first)
        stop = min((i + 1 for i in bottlenecks if i >= last), default=last + 1)
        layers.append(Layer(name, start, stop))
        earliest = stop
    return layers


def are_identical(steps: list[RecordedOperation], layers: list[Layer]) -> bool:
    """Return whether layers follow one another directly, and differ only in names of weights."""

    def form(layer: Layer) -> list[object]:
        return [
            (
                step.title,
                detail_lines(step, f"{layer.name}."),
                [(source - layer.start, label) for source, label in step.inputs],
            )
            for step in steps[layer.start : layer.stop]
        ]

    follow = all(layer.stop == after.start for layer, after in pairwise(layers))
    return follow and all(form(layer) == form(layers[0]) for layer in layers)


def detail_lines(step: RecordedOperation, prefix: str) -> list[str]:
    """List the lines in an operation's box; names of weights without `prefix`.

    Args:
        step: operation.
        prefix: start of the names of weights that is not shown, such as "h.0." or "".
    """
    weights = [f"{name.removeprefix(prefix)}  {remark}" for name, remark in step.weights]
    shape = [] if step.shape is None else [f"→ {format_shape(step.shape)}"]
    return [*step.notes, *weights, *shape]


def operation_node_kind(step: RecordedOperation) -> NodeKind:
    """Return the kind of an operation's box, which gives its color.

    It is an input, an operation without or with weights, or the loss.
    """
    if not step.inputs:
        return "input"
    if step.title == "loss":
        return "output"
    return "weighted" if step.weights else "operation"
