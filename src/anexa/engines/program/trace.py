"""The programs of a model: its forward function, run once with operations that take notes."""

from __future__ import annotations

from anexa.engines.operations.headless import HeadlessOperations
from anexa.engines.program.operations import NoteTape
from anexa.engines.program.program import ROWS, Program
from anexa.model.architectures import architecture
from anexa.model.config import ModelConfig


def inference_program(config: ModelConfig, *, headless: bool = False) -> Program:
    """Make the program that appends tokens to caches.

    A row is a token of any sequence. Inputs are for each row `tokens`, `positions` (number of
    tokens before it) and `caches` (address of the cache of its sequence).

    Args:
        config: the architecture and its sizes.
        headless: leave out the output head.

    Returns:
        A program with the result "logits", (N, V), or with the last hidden states, (N, C), as the
        result "hidden_states".
    """
    program, tape = Program(), NoteTape(recording=False)
    its = architecture(config)
    weights = {
        name: program.weight(name, parameter.shape)
        for name, parameter in its.parameters(config).items()
    }
    tokens, positions = program.input("tokens", (ROWS,)), program.input("positions", (ROWS,))
    ops = HeadlessOperations(tape.ops, weights[its.head(config)]).ops if headless else tape.ops
    name = "hidden_states" if headless else "logits"
    layers = range(config.n_layer)
    program.results[name] = its.forward(ops, config, weights, tokens, positions, layers)
    return program
