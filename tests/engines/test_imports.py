"""Imports: packages depend on one another in one direction, and light modules stay light."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import anexa
import microgpt

PACKAGE = Path(anexa.__file__).resolve().parent

# What the modules of each package may import, besides the package itself.
BASE = {"cache", "errors", "files", "formats", "names", "output_paths", "process", "ranges"}
ALLOWED: dict[str, set[str]] = {
    "cache": set(),
    "errors": set(),
    "files": {"errors", "output_paths"},
    "formats": {"errors"},
    "names": set(),
    "output_paths": {"errors"},
    "process": {"errors"},
    "ranges": {"errors"},
    "model": BASE,
    "data": {*BASE, "model"},
    "engines": {*BASE, "model", "microgpt"},
    "graph": {*BASE, "model", "engines", "microgpt"},
    "generation": {*BASE, "model", "engines"},
    "thinking": {*BASE, "model", "engines", "data", "generation"},
    "training": {*BASE, "model", "engines", "data", "generation", "thinking", "version"},
    "hub": {*BASE, "model", "engines", "version"},
    "server": {*BASE, "model", "engines", "generation", "thinking", "version"},
    "explore": {
        *(*BASE, "model", "engines", "graph", "data", "generation", "thinking", "training"),
        *("server", "version"),
    },
    "course": {
        *(*BASE, "model", "engines", "data", "generation", "thinking", "training", "microgpt"),
        *("server", "explore"),
    },
    "version": {"generation"},
    "__main__": {"cli"},
}
ALLOWED["cli"] = {*ALLOWED} - {"microgpt", "__main__"}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str, path: Path, anywhere: bool = True) -> set[str]:
    """The project's modules that a module imports: anywhere, or only when it is loaded."""
    known = modules()
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which this test cannot follow"
            source = node.module or ""
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                found.add(whole if whole in known else source)
    return {module for module in found if module.split(".")[0] in ("anexa", "microgpt")}


def part(module: str) -> str:
    """The part of the package that a module belongs to."""
    names = module.split(".")
    if names[0] == "microgpt":
        return "microgpt"
    return names[1] if len(names) > 1 else "version"  # anexa/__init__.py, and there `load`


@pytest.mark.parametrize("name", modules())
def test_package_imports_only_allowed_packages(name: str) -> None:
    own = part(name)
    assert own in ALLOWED, f"say in ALLOWED what {own} may import"
    others = {part(module) for module in imports(name, modules()[name])} - {own}
    assert others <= ALLOWED[own]


def test_allowed_imports_have_no_cycle() -> None:
    assert list(TopologicalSorter(ALLOWED).static_order())


def test_module_imports_have_no_cycle() -> None:
    graph = {name: imports(name, path) for name, path in modules().items()}
    assert list(TopologicalSorter(graph).static_order())


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a new Python process."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    return set(process.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "microgpt",
        "anexa.engines.scalar",
        "anexa.engines.lists",
        "anexa.model.config",
        "anexa.model.weights",
        "anexa.graph.model_graph",
        "anexa.graph.value_graph",
    ],
)
def test_lower_rungs_need_only_the_standard_library(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module.split(".")[0] in loaded
    assert loaded - set(sys.stdlib_module_names) <= {"anexa", "microgpt"}


def test_training_on_the_lower_rungs_needs_only_the_standard_library() -> None:
    """With engines opened by name, as the commands do it."""
    loaded = loaded_by(
        "import random\n"
        "from anexa.engines import Batch, open_engine\n"
        "from anexa.model.config import ModelConfig\n"
        "from anexa.model.weights import initial_weights\n"
        "for model_type in ('microgpt', 'gpt2'):\n"
        "    config = ModelConfig(model_type, 5, 4, 4, 2, 1)\n"
        "    for name in ('scalar', 'lists'):\n"
        "        engine = open_engine(name, config, initial_weights(config, random.Random(0)))\n"
        "        engine.train_step(Batch.from_sequences([[1, 2, 3]]), 0.1)\n"
        "        engine.next_logits([1], engine.new_kv_cache())"
    )
    assert loaded - set(sys.stdlib_module_names) <= {"anexa", "microgpt"}


HEAVY = {
    "torch",
    "numpy",
    "fastapi",
    "uvicorn",
    "starlette",
    "pydantic",
    "prometheus_client",
    "transformers",
    "matplotlib",
}


@pytest.mark.parametrize("module", ["anexa", "anexa.cli.main"])
def test_starting_the_program_imports_nothing_heavy(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert "anexa" in loaded
    assert loaded & HEAVY == set()


def test_numpy_engine_does_not_import_pytorch() -> None:
    statement = (
        "from anexa.engines import open_engine\n"
        "from anexa.model.config import ModelConfig\n"
        "from anexa.model.weights import initial_weights\n"
        "import random\n"
        "config = ModelConfig('gpt2', 5, 4, 4, 2, 1)\n"
        "open_engine('numpy', config, initial_weights(config, random.Random(0))).logits([1])"
    )
    assert "torch" not in loaded_by(statement)


def test_microgpt_is_installed_with_the_package() -> None:
    """The script and the module that the scalar engine imports are one file."""
    spec = importlib.util.find_spec("microgpt")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).samefile(microgpt.__file__)
