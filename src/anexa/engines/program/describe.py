"""Programs to read: what each pass of the compiler makes of a model, and the source at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import getdoc
from itertools import zip_longest
from math import prod
from textwrap import fill

from anexa.engines.program.memory import MemoryPlan
from anexa.engines.program.passes import (
    weight_shapes,
    write_batch_program,
    write_inference,
)
from anexa.engines.program.processor import has_llvmlite, register_bytes
from anexa.engines.program.program import Instruction, Program
from anexa.engines.program.trace import inference_program, training_program
from anexa.engines.program.writer import KernelSource, Source, kernels
from anexa.model.config import ModelConfig
from anexa.names import counted

WANTED_MARK = "* "  # in front of instructions that compute only the rows whose results are wanted
OUTPUT_COLUMN_WIDTH = 26  # characters of the column with the arrays that an instruction writes
MAX_LINE_CHARS = 100  # maximum number of characters in a line of an explanation

# Template of the first lines of a description.
INTRODUCTION = """\
# {name}: {model_type}, {parameters:,} parameters, {dtype}

A line is an instruction: the arrays that it writes, their shapes, the kernel, what it reads.
N is the number of rows: the tokens of all sequences together. %1, %2, ... are arrays that the
program computes, and %1[0:8] are columns 0 to 7 of one; all others are weights, tables and inputs.
"""


@dataclass(frozen=True)
class ProgramDescription:
    """The programs of a model as texts for a reader.

    Attributes:
        text: the program after each pass, its memory, its source, and a list of its kernels.
        kernels: source of each kernel, by name.
    """

    text: str
    kernels: dict[str, str]


def describe_inference(config: ModelConfig, dtype: str) -> ProgramDescription:
    """Describe the program that appends tokens to caches: prefill and decode steps.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".

    Returns:
        The description.
    """
    traced, written = inference_program(config), write_inference(config, dtype)
    prepared, program = written.preparation.program, written.inference.program
    narrowed = sum(instruction.only_wanted for instruction in program.instructions)
    sections = [
        *_trace(
            traced,
            "The architecture's function was run once, with operations that record instructions.",
        ),
        *_fusion(traced, [*prepared.instructions, *program.instructions]),
        *_section(
            f"3. Hoisting: {_count(prepared)} executed once",
            "They depend on the weights alone, and their results are kept: "
            f"{_size(written.prepared_size, dtype)}.",
            _listing(prepared),
        ),
        *_section(
            f"4. Each call: {_count(program)}",
            f"{narrowed} of them, marked with {WANTED_MARK.strip()}, compute only the rows whose "
            "logits are wanted: of a prompt, the last one.",
            _listing(
                program, [WANTED_MARK if i.only_wanted else "  " for i in program.instructions]
            ),
        ),
        *_memory(5, written.inference.plan, dtype),
        *_source(6, written.inference.source),
    ]
    sources = [part.source for part in (written.preparation, written.inference)]
    return _description("The program of inference", config, dtype, sections, sources)


def describe_training_step(config: ModelConfig, dtype: str) -> ProgramDescription:
    """Describe the program of a training step: loss, gradients, AdamW.

    Args:
        config: architecture and sizes of the model.
        dtype: precision of the numbers, "float32" or "float64".

    Returns:
        The description.
    """
    traced = training_program(config)
    written = write_batch_program(config, dtype, training_program)
    fused = written.program
    sections = [
        *_trace(
            traced,
            "The architecture's function was run once, with operations that record instructions; "
            "the rules of the tape added the gradients.",
        ),
        *_fusion(traced, fused.instructions),
        *_section("The program after fusion", "", _listing(fused)),
        *_memory(3, written.plan, dtype),
        *_source(4, written.source),
    ]
    name = "The program of a training step"
    return _description(name, config, dtype, sections, [written.source])


def _trace(traced: Program, explanation: str) -> Iterator[str]:
    yield from _section(f"1. Trace: {_count(traced)}", explanation, _listing(traced))


def _fusion(traced: Program, fused: Sequence[Instruction]) -> Iterator[str]:
    before = Counter(instruction.kernel for instruction in traced.instructions)
    after = Counter(instruction.kernel for instruction in fused)
    yield from _section(
        f"2. Fusion: {counted(len(fused), 'instruction')}",
        "Rules joined instructions that are better computed together. Instructions of each kernel, "
        "before and after, where the number changed:",
        [
            f"{kernel:{OUTPUT_COLUMN_WIDTH}} {before[kernel]:4} -> {after[kernel]}"
            for kernel in {**before, **after}
            if before[kernel] != after[kernel]
        ],
    )


def _memory(number: int, plan: MemoryPlan, dtype: str) -> Iterator[str]:
    unshared_fixed, unshared_row = plan.unshared
    explanation = (
        "Arrays that are not needed at the same time share memory. Without that, a row would take "
        f"{_size(unshared_row, dtype)}."
    )
    if unshared_fixed:
        explanation += (
            f" Arrays without a row for each token take {_size(plan.fixed_size, dtype)} instead of "
            f"{_size(unshared_fixed, dtype)}."
        )
    yield from _section(f"{number}. Memory: {_size(plan.row_size, dtype)} a row", explanation, [])


def _source(number: int, source: Source) -> Iterator[str]:
    yield from _section(
        f"{number}. Source",
        "The frame holds addresses and sizes; at(p, n) is the address n numbers after p.",
        source.text.partition("\n\n\n")[2].splitlines(),
    )


def _description(
    name: str, config: ModelConfig, dtype: str, sections: list[str], sources: list[Source]
) -> ProgramDescription:
    parameters = sum(map(prod, weight_shapes(config).values()))
    introduction = INTRODUCTION.format(
        name=name, model_type=config.model_type, parameters=parameters, dtype=dtype
    )
    written = {kernel.name: kernel for source in sources for kernel in source.kernels}
    reason = "" if has_llvmlite() else ", assumed, as llvmlite, which knows, is not installed"
    kernel_lines = _section(
        f"Kernels: {len(written)}",
        "Each is compiled once for all models of a precision, for a processor with vectors of "
        f"{register_bytes()} bytes{reason}. A number behind a name is the width of its tiles.",
        [f"{kernel.name:32} {_purpose(kernel)}" for kernel in written.values()],
    )
    text = "\n".join([introduction.rstrip(), *sections, *kernel_lines, ""])
    return ProgramDescription(text, {name: kernel.text for name, kernel in written.items()})


def _section(title: str, explanation: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"## {title}")
    if explanation:
        yield from ("", fill(explanation, MAX_LINE_CHARS))
    code = [f"    {line}".rstrip() for line in lines]
    if code:
        yield from ("", *code)


def _listing(program: Program, prefixes: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of a program: what is written in one column, what is computed in another.

    Args:
        program: program to list.
        prefixes: text before each instruction, such as the mark of those that compute only wanted
            rows; default: none.
    """
    for instruction, prefix in zip_longest(program.instructions, prefixes, fillvalue=""):
        outputs, _, call = str(instruction).rpartition(" = ")
        yield f"{prefix}{outputs:{OUTPUT_COLUMN_WIDTH}} {call}"
    for name, value in program.results.items():
        yield f"return {value} as {name}"


def _purpose(kernel: KernelSource) -> str:
    """Return the first line of a kernel's docstring."""
    name = kernel.name if kernel.name in kernels() else kernel.name.rpartition("_")[0]
    return (getdoc(kernels()[name]) or "").partition("\n")[0]


def _count(program: Program) -> str:
    return counted(len(program.instructions), "instruction")


def _size(numbers: int, dtype: str) -> str:
    return f"{numbers:,} numbers ({numbers * (4 if dtype == 'float32' else 8):,} bytes)"
