"""The passes of the compiler, in order: from a model to the source of its programs.

They need neither Numba nor the weights of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from anexa.engines.program.fusion import fuse
from anexa.engines.program.hoisting import hoist, narrow
from anexa.engines.program.memory import MemoryPlan, plan_memory
from anexa.engines.program.program import Program
from anexa.engines.program.trace import inference_program, loss_program, training_program
from anexa.engines.program.writer import Source, Writer, weight_offsets
from anexa.model.architectures import get_architecture
from anexa.model.config import ModelConfig


@dataclass(frozen=True)
class WrittenProgram:
    """A program after all passes of the compiler, ready for Numba.

    Attributes:
        program: instructions after all passes.
        plan: positions of the arrays in memory.
        source: source of the program's function and kernels.
    """

    program: Program
    plan: MemoryPlan
    source: Source


@dataclass(frozen=True)
class WrittenInference:
    """The programs of a model's inference.

    Attributes:
        preparation: program that computes the arrays that depend on the weights alone.
        inference: program that appends tokens to KV caches and computes the result.
        prepared_size: total size of the arrays that `preparation` computes, in numbers.
    """

    preparation: WrittenProgram
    inference: WrittenProgram
    prepared_size: int


def write_inference(config: ModelConfig, dtype: str, *, headless: bool = False) -> WrittenInference:
    """Trace, fuse, narrow, hoist and write the programs of a model's inference.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        headless: whether to leave out the output head; the result is then the hidden states after
            the last norm, not the logits. In both cases they are those of the rows that a call asks
            for.

    Returns:
        The programs and their source.
    """
    program = inference_program(config, headless=headless)
    fuse(program)
    narrow(program)
    preparation, prepared = hoist(program)
    return write_parts(config, dtype, preparation, program, prepared)


def write_parts(
    config: ModelConfig,
    dtype: str,
    preparation: Program,
    program: Program,
    prepared: Mapping[str, int],
    plan_memory: Callable[[Program], MemoryPlan] = plan_memory,
) -> WrittenInference:
    """Plan the memory and write the source of programs after all other passes.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        preparation: program that computes what depends on the weights alone.
        program: program of a call.
        prepared: offset of each array that `preparation` computes, and their total size under the
            name "", in numbers, as `hoist` returns them.
        plan_memory: function that plans the memory of each of the two programs.

    Returns:
        The programs and their source.
    """
    offsets = {**weight_offsets(weight_shapes(config)), **prepared}

    def written(part: Program, title: str) -> WrittenProgram:
        plan = plan_memory(part)
        source = Writer(part, plan, offsets, {"n_layer": config.n_layer}, dtype, title).write()
        return WrittenProgram(part, plan, source)

    return WrittenInference(
        written(preparation, "preparation of weights"), written(program, "inference"), prepared[""]
    )


def write_batch_program(
    config: ModelConfig, dtype: str, trace: Callable[[ModelConfig], Program]
) -> WrittenProgram:
    """Trace, fuse and write a program whose rows are the tokens of a batch.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".
        trace: function that makes the program: `loss_program`, `training_program` or the result of
            `partial_training`.

    Returns:
        The program and its source; gradients of weights have no memory in its plan, as they are
        written into the vector "gradients".
    """
    program, shapes = trace(config), weight_shapes(config)
    gradients = [value for name, value in program.results.items() if name in shapes]
    fuse(program)
    plan = plan_memory(program, gradients)
    title = trace.__name__.replace("_", " ")
    offsets, constants = weight_offsets(shapes), {"n_layer": config.n_layer}
    return WrittenProgram(
        program, plan, Writer(program, plan, offsets, constants, dtype, title).write()
    )


def all_sources(config: ModelConfig, dtype: str) -> Iterator[Source]:
    """Yield four sources: preparation, inference with the head, loss, and training step."""
    written = write_inference(config, dtype)
    yield from (written.preparation.source, written.inference.source)
    for trace in (loss_program, training_program):
        yield write_batch_program(config, dtype, trace).source


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a model, by name."""
    parameters = get_architecture(config).parameters(config)
    return {name: parameter.shape for name, parameter in parameters.items()}
