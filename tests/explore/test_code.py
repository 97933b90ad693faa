"""The code of a number, against the files of the repository and the engine's own tape."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

from anexa.engines.numpy import NumpyEngine
from anexa.engines.operations import numpy as operations
from anexa.engines.optimizers import OptimizerConfig
from anexa.engines.tape import operations_of
from anexa.explore.code import CodeLines, adamw_code, operation_code, operation_of
from anexa.explore.trace import trace_batch
from anexa.model.architectures import ARCHITECTURES
from tests.engines.helpers import random_weights
from tests.explore.test_terms import BATCH, CONFIGS

ROOT = Path(__file__).parents[2]


def check_lines(found: CodeLines, name: str) -> None:
    """Compare lines with those of the file, which must have a function of this name there."""
    lines = (ROOT / found.file).read_text(encoding="utf-8").splitlines(keepends=True)
    count = len(found.text.splitlines())
    own = lines[found.first_line - 1 : found.first_line - 1 + count]
    assert textwrap.dedent("".join(own)) == found.text
    assert found.text.startswith(f"def {name}(")


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_each_tensor_has_the_operation_that_made_it(architecture: str) -> None:
    config = CONFIGS[architecture]
    weights = random_weights(config, seed=1)
    trace = trace_batch(config, weights, BATCH)
    tape, _ = NumpyEngine(config, weights, OptimizerConfig(), "float64").tape(BATCH)
    made_by = [(x, type(record.operation)) for record in tape.entries for x in record.outputs]
    for name, node in trace.nodes.items():
        operation = operation_of(node.rule)
        owners = [by for x, by in made_by if np.array_equal(x, node.rule.output)]
        owner_name = name.removesuffix(name[name.rfind(".") :])
        if owners:
            assert operation in owners, name
        else:  # an intermediate result belongs to the operation of the tensor before the dot
            assert operation is operation_of(trace.nodes[owner_name].rule), name


@pytest.mark.parametrize("operation", operations_of(operations), ids=lambda x: x.name)
def test_code_is_that_of_the_file(operation: type) -> None:
    check_lines(operation_code(operation), "forward")
    check_lines(operation_code(operation, "backward"), "backward")


def test_updates_have_the_code_of_the_optimizer() -> None:
    check_lines(adamw_code("new"), "step")
    check_lines(adamw_code("clipped"), "step")
    check_lines(adamw_code("update"), "_adam")
    assert adamw_code("m").file == "src/anexa/engines/optimizers/numpy.py"
