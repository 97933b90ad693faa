"""Trace of a batch: its tensors, their gradients, and the rules of their operations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anexa.engines.batch import Batch
from anexa.engines.numpy import NumpyEngine
from anexa.engines.operations import arrays
from anexa.engines.operations import numpy as operations
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.tape import Operation, TapeEntry
from anexa.explore import attention_rules, norm_rules, rules
from anexa.explore.rule import Array, Rule
from anexa.graph.model_graph import layers_of
from anexa.graph.symbols import RecordedOperation
from anexa.model.config import ModelConfig
from anexa.model.weights import Weights

# Names of the two tensors that every trace has.
LOSS = "loss"
LOGITS = "logits"


@dataclass(frozen=True)
class TraceNode:
    """A tensor of a computation, and the operation that computed it.

    Attributes:
        name: name of the tensor.
        rule: rule of the operation that computed it, which explains its elements.
        inputs: names of the differentiable inputs.
        auxiliaries: names of the intermediate results that the rule's terms refer to.
        related: names of further tensors that constants of the gradient are elements of.
    """

    name: str
    rule: Rule
    inputs: tuple[str, ...]
    auxiliaries: tuple[str, ...] = ()
    related: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all tensors that the rule's terms refer to."""
        return (*self.inputs, *self.auxiliaries)


class Trace:
    """The tensors of a forward and a backward computation, by name.

    Weights have Hugging Face's names. The output of an operation with a weight has the name of its
    module, as PyTorch's hooks know it (`h.0.mlp.c_fc`); that of any other operation is
    called after its layer and the operation (`h.0.gelu`). Attention has the intermediate tensors
    `.scores`, `.log_sum` and `.pattern`, a norm `.scale` and `.mean`, the loss `.log_sum` and
    `.probabilities`.

    Activations have the axis B of the batch in front.

    Args:
        batch: token sequences and targets.
        weights: weights by name.

    Attributes:
        values: tensors by name, the weights among them; in the precision of the computation.
        grads: dL/d(tensor) by name. Of the intermediate tensors only `.scores` and `.pattern` have
            one.
        nodes: the node of each tensor, by its name; weights have none.
        consumers: for the name of each tensor, the operations with a gradient that use it: pairs of
            a node and the tensor's position in `TraceNode.inputs`.
        batch: token sequences and targets that were the input.
    """

    def __init__(self, batch: Batch, weights: dict[str, Array]) -> None:
        self.batch = batch
        self.values: dict[str, Array] = dict(weights)
        self.grads: dict[str, Array] = {}
        self.nodes: dict[str, TraceNode] = {}
        self.consumers: dict[str, list[tuple[TraceNode, int]]] = defaultdict(list)

    def add(
        self,
        name: str,
        rule: Rule,
        inputs: Sequence[str],
        auxiliaries: Sequence[str] = (),
        grad: Array | None = None,
        related: Sequence[str] = (),
    ) -> None:
        """Add a tensor that an operation computed.

        Args:
            name: name of the tensor.
            rule: rule of the operation, with its output.
            inputs: names of the differentiable inputs.
            auxiliaries: names of the intermediate results that the rule's terms refer to.
            grad: dL/d(tensor); None for an intermediate result, which is no consumer of its inputs.
            related: names of further tensors that constants of the gradient are elements of.
        """
        node = TraceNode(name, rule, tuple(inputs), tuple(auxiliaries), tuple(related))
        self.values[name], self.nodes[name] = rule.output, node
        if grad is not None:
            self.grads[name] = grad
            for position, source in enumerate(inputs):
                self.consumers[source].append((node, position))


def trace_batch(
    config: ModelConfig, weights: Weights, batch: Batch, dtype: str = "float64"
) -> Trace:
    """Compute the loss of a batch and all gradients with the engine `numpy`, and keep all tensors.

    Args:
        config: architecture and sizes of the model.
        weights: weights by name.
        batch: token sequences and targets.
        dtype: precision, "float64" or "float32".

    Returns:
        The tensors, their gradients, and the rules that explain them.
    """
    engine = NumpyEngine(config, weights, OptimizerConfig(), dtype)
    tape, loss = engine.tape(batch)
    grads = tape.backward(loss, np.ones_like(loss))
    found = Trace(batch, engine.arrays)
    found.grads = {name: grads[id(weight)] for name, weight in engine.arrays.items()}
    names = {id(weight): name for name, weight in engine.arrays.items()}
    builder = _Builder(found, grads, names)
    for entry, name in zip(tape.entries, _output_names(tape.entries, names)):
        builder.add(entry, name)
    return found


class _Builder:
    """Builder of a trace: adds the operations that were applied on a tape.

    Args:
        found: trace to add to.
        grads: gradients of all tensors, by `id`.
        names: names of the weights, by `id`; `add` completes them.
    """

    def __init__(self, found: Trace, grads: dict[int, Array], names: dict[int, str]) -> None:
        self.found, self.grads, self.names = found, grads, names

    def add(self, entry: TapeEntry[Array], name: str) -> None:
        """Add the outputs of an operation, and its intermediate results."""
        sources = [self.names[id(tensor)] for tensor in entry.inputs]
        x, operation = list(entry.inputs), entry.operation
        for i, output in enumerate(entry.outputs):
            single = len(entry.outputs) == 1
            self.names[id(output)] = own = name if single else f"{name}.{i}"
            add, grad = self.found.add, self.grads[id(output)]
            if isinstance(operation, operations.Attention):
                pattern = self._add_pattern(name, sources, x, grad, operation)
                add(
                    name,
                    attention_rules.AttentionOutput([pattern, x[2]], output, operation.window),
                    [f"{name}.pattern", sources[2]],
                    grad=grad,
                )
            elif isinstance(operation, (operations.LayerNorm, operations.RMSNorm)):
                auxiliaries = self._add_deviation(name, sources, x, operation)
                tensors = [self.found.values[auxiliary] for auxiliary in auxiliaries]
                add(name, norm_rules.Norm(x, output, tensors), sources, auxiliaries, grad)
            elif isinstance(operation, operations.CrossEntropy):
                self._add_loss(name, sources, x, output, operation)
            else:
                add(own, _simple_rule(operation, x, output, i), sources, grad=grad)

    def _add_pattern(
        self, name: str, sources: list[str], x: list[Array], g_BTC: Array, operation: Any
    ) -> Array:
        """Add the scores and the pattern of an attention.

        Returns:
            The pattern, (B, H, T, S).
        """
        q_BHTD, k_BHSD, v_BHSD, p_BHTS = operation.saved
        g_BHTD = operation.heads(g_BTC)
        n = p_BHTS.shape[-1]
        scores = (q_BHTD * operation.scale) @ k_BHSD.swapaxes(-1, -2)
        mask_TS = arrays.causal_mask(n, 0, scores.dtype, operation.window)
        scores += mask_TS
        d_pattern = np.where(mask_TS == 0, g_BHTD @ v_BHSD.swapaxes(-1, -2), 0)
        d_scores = p_BHTS * (d_pattern - (p_BHTS * d_pattern).sum(axis=-1, keepdims=True))
        rule = attention_rules.AttentionScores(
            x[:2], scores, q_BHTD.shape[1], operation.scale, operation.window
        )
        self.found.add(f"{name}.scores", rule, sources[:2], grad=d_scores)
        log_sum = attention_rules.LogSumExp([scores], _log_sum_exp(scores))
        self.found.add(f"{name}.log_sum", log_sum, [f"{name}.scores"])
        softmax = attention_rules.Softmax([scores], p_BHTS, [log_sum.output])
        pattern = f"{name}.pattern"
        self.found.add(
            pattern, softmax, [f"{name}.scores"], [f"{name}.log_sum"], d_pattern, [pattern]
        )
        return softmax.output

    def _add_deviation(
        self, name: str, sources: list[str], x: list[Array], operation: Any
    ) -> list[str]:
        """Add the deviation of a norm, and in LayerNorm the mean.

        Returns:
            The names of the tensors that were added.
        """
        if isinstance(operation, operations.RMSNorm):
            rule = norm_rules.Deviation(x[:1], operation.rho_T1[..., 0], operation.eps)
            self.found.add(f"{name}.scale", rule, sources[:1])
            return [f"{name}.scale"]
        mean = norm_rules.Mean(x[:1], arrays.mean(x[0])[..., 0])
        self.found.add(f"{name}.mean", mean, sources[:1])
        sigma = operation.sigma_T1[..., 0]
        rule = norm_rules.Deviation(x[:1], sigma, operation.eps, [mean.output])
        self.found.add(f"{name}.scale", rule, sources[:1], [f"{name}.mean"])
        return [f"{name}.scale", f"{name}.mean"]

    def _add_loss(
        self, name: str, sources: list[str], x: list[Array], output: Array, operation: Any
    ) -> None:
        """Add log Z and p of every token, and the loss."""
        log_sum = attention_rules.LogSumExp(x, _log_sum_exp(x[0]))
        self.found.add(f"{name}.log_sum", log_sum, sources)
        p_BTV = operation.p_TV.reshape(x[0].shape)
        self.found.add(
            f"{name}.probabilities",
            attention_rules.Softmax(x, p_BTV, [log_sum.output]),
            sources,
            [f"{name}.log_sum"],
        )
        shape = self.found.batch.shape
        rule = rules.CrossEntropy(
            x,
            output,
            [log_sum.output],
            operation.targets_T.reshape(shape),
            operation.denominator_T.reshape(shape),
        )
        grad = self.grads[id(output)]
        self.found.add(name, rule, sources, [f"{name}.log_sum"], grad, [f"{name}.probabilities"])


RULES: dict[type[Operation[Any]], type[Rule]] = {
    operations.Add: rules.Add,
    operations.Linear: rules.Linear,
    operations.GELU: rules.GELU,
    operations.GELUErf: rules.GELUErf,
    operations.ReLU: rules.ReLU,
    operations.SwiGLU: rules.SwiGLU,
}
"""Rules that need only the inputs and the output of their operation; `_Builder` and `_simple_rule`
create the others."""


def _simple_rule(operation: Any, x: list[Array], output: Array, part: int) -> Rule:
    """Create the rule of one output of an operation without intermediate results."""
    if isinstance(operation, operations.Embedding):
        return rules.Embedding(x, output, operation.tokens_T)
    if isinstance(operation, operations.Transpose):
        return rules.Identity(x, output)
    if isinstance(operation, operations.Split):
        own = np.arange(output.shape[-1]).reshape(operation.groups, -1)
        first = own + own[:, :1] * (x[0].shape[-1] // output.shape[-1] - 1)
        return rules.Identity(x, output, (first + part * own.shape[1]).ravel())
    if isinstance(operation, operations.Rotary):
        cos, sin = operation.cos[..., 0, 0, :], operation.sines[..., 0, 1, :]
        shape = *output.shape[:2], cos.shape[-1]
        cos_BTR, sin_BTR = np.broadcast_to(cos, shape), np.broadcast_to(sin, shape)
        return attention_rules.Rotary(x, output, cos_BTR, sin_BTR, operation.head_dim)
    if isinstance(operation, operations.Positions):
        positions_BT = np.broadcast_to(operation.positions_T, output.shape[:2])
        return rules.Positions(x, output, positions_BT)
    return RULES[type(operation)](x, output)


def _log_sum_exp(x: Array) -> Array:
    """Compute log Σ e^x along the last axis."""
    largest = x.max(axis=-1)
    result: Array = largest + np.log(np.exp(x - largest[..., None]).sum(axis=-1))
    return result


def _output_names(records: Sequence[TapeEntry[Array]], weights: dict[int, str]) -> list[str]:
    """Choose the name of the output of each operation on a tape.

    Args:
        records: applied operations, in order.
        weights: names of the weights, by `id`.

    Returns:
        The names, by the scheme of `Trace`.
    """
    steps, made_by = list[RecordedOperation](), dict[int, int]()
    for i, entry in enumerate(records):
        inputs = [(made_by[id(x)], "") for x in entry.inputs if id(x) in made_by]
        own = [(weights[id(x)], "") for x in entry.inputs if id(x) in weights]
        steps.append(RecordedOperation(entry.operation.name, tuple(inputs), tuple(own)))
        made_by |= {id(output): i for output in entry.outputs}
    layers = layers_of(steps)
    names: list[str] = []
    for i, step in enumerate(steps):
        layer = next((layer.name + "." for layer in layers if layer.start <= i < layer.stop), "")
        behind = [steps[j] for j, _ in step.inputs if steps[j].title == "transpose"]
        modules = [name for s in (step, *behind) for name, _ in s.weights]
        if step.title == "transpose":
            name = f"{modules[0]}.T"
        elif modules:
            name = modules[0].rpartition(".")[0]
        else:
            name = layer + step.title
        names.append(name)
    names[-1] = LOSS
    names[steps[-1].inputs[0][0]] = LOGITS
    repeated = Counter(names)
    counts: Counter[str] = Counter()
    for i, name in enumerate(names):
        counts[name] += 1
        if repeated[name] > 1:
            names[i] = f"{name}_{counts[name]}"
    return names
