"""The programs of a model: its forward function, run once with the operations for tracing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from math import prod

from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.program.operations import TracingTape
from anexa.engines.program.program import ROWS, Program, Value
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig


def inference_program(config: ModelConfig, *, headless: bool = False) -> Program:
    """Trace the program that appends tokens to KV caches.

    A row is a token of any sequence. Inputs are for each row `tokens`, `positions` (number of
    tokens before it) and `caches` (address of the cache of its sequence).

    Args:
        config: architecture and sizes of the model.
        headless: whether to leave out the output head.

    Returns:
        A program with the result "logits", (N, V); with `headless`, the result "hidden_states",
        (N, C), instead.
    """
    program, tape = Program(), TracingTape(recording=False)
    architecture = get_architecture(config)
    weights = {
        name: program.weight(name, parameter.shape)
        for name, parameter in architecture.parameters(config).items()
    }
    tokens, positions = program.input("tokens", (ROWS,)), program.input("positions", (ROWS,))
    ops = tape.ops
    if headless:
        ops = HeadlessOperations(ops, weights[architecture.head(config)]).ops
    name = "hidden_states" if headless else "logits"
    layers = range(config.n_layer)
    program.results[name] = architecture.forward(ops, config, weights, tokens, positions, layers)
    return program


def loss_program(config: ModelConfig) -> Program:
    """Trace the program that computes the loss of a batch.

    A row is a token of a batch of sequences, each of `length` tokens. Inputs are for each row
    `tokens`, `positions` and `targets`, and for each sequence its weight, `sequence_weights`.

    Returns:
        A program with the result "loss", (1,).
    """
    program, tape = Program(), TracingTape(recording=False)
    program.results["loss"], _ = _trace_loss(program, tape, config)
    return program


@cache
def partial_training(trainable: tuple[str, ...]) -> Callable[[ModelConfig], Program]:
    """Return a function that traces a training step in which only some weights are trained.

    The function is like `training_program`, with results for the gradients of these weights only.
    Where a weight is frozen, the vector `gradients` is not written, and must be 0 for the norm.
    Equal names give the same function.

    Args:
        trainable: names of the weights that are trained.
    """

    def training_program(config: ModelConfig) -> Program:
        return _training_program(config, trainable)

    return training_program


def training_program(config: ModelConfig) -> Program:
    """Trace the program of a training step: loss, gradients, their norm, and AdamW.

    Inputs beside those of `loss_program` are the vectors of all weights, `weights`, of their
    gradients, `gradients`, and of their moments, `m` and `v`; `segments`, the ranges of weights
    that AdamW updates; and `scalars`: see the kernel `adamw`.

    Returns:
        A program with the results "loss", (1,), and "norm", (1,): the norm of all gradients
        together; and the gradient of each weight as a result with the name of the weight.
    """
    return _training_program(config, get_architecture(config).parameters(config))


def _training_program(config: ModelConfig, trainable: Iterable[str]) -> Program:
    program, tape = Program(), TracingTape()
    program.results["loss"], weights = _trace_loss(program, tape, config)
    gradients = tape.backward(program.results["loss"], loss_grad=program.results["loss"])
    for name in trainable:
        weight = weights[name]
        gradient = gradients[id(weight)]
        owned = gradient.base is None and gradient.kind == "computed"
        if not owned or gradient in program.results.values():
            gradient, source = program.computed(weight.shape), gradient
            program.emit_into("copy", (source,), gradient)
        program.results[name] = gradient
    size = sum(prod(map(int, weight.shape)) for weight in weights.values())
    names = "weights", "gradients", "m", "v", "segments", "scalars"
    inputs = [program.input(name, (size,)) for name in names]
    (program.results["norm"],) = program.emit("gradient_norm", inputs[1:2], (1,))
    program.emit("adamw", (*inputs, program.results["norm"]))
    return program


def _trace_loss(
    program: Program, tape: TracingTape, config: ModelConfig
) -> tuple[Value, dict[str, Value]]:
    """Append the loss of a batch to a program.

    Returns:
        The loss, and the weights by name.
    """
    architecture = get_architecture(config)
    weights = {
        name: program.weight(name, parameter.shape)
        for name, parameter in architecture.parameters(config).items()
    }
    rows = [program.input(name, (ROWS,)) for name in ("tokens", "positions", "targets")]
    tokens, positions, targets = rows
    sequence_weights = program.input("sequence_weights", (1,))
    (denominators,) = program.emit("loss_denominators", (targets, sequence_weights), (ROWS,))
    logits = architecture.forward(tape.ops, config, weights, tokens, positions)
    return tape.ops.cross_entropy(logits, targets, denominators), weights
