"""The modules of the glass box's page: what they import is exported, and their types fit."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

PAGES = {
    "./": Path(str(importlib.resources.files("anexa.explore"))) / "page",
    "/page/": Path(str(importlib.resources.files("anexa.server"))) / "page",
}
IMPORT = re.compile(r'^import \{([^}]*)\} from "(\./|/page/)([\w.]+)";$', flags=re.M)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", flags=re.M)
MODULES = sorted(PAGES["./"].glob("*.js"))
COURSE = Path(str(importlib.resources.files("anexa.course"))) / "page/course.js"

# What is read as JSON has no type, nor have the parameters of small functions within a module.
STRICT = {"checkJs": True, "strict": True, "noImplicitAny": False, "noEmit": True}
BROWSER = {"target": "es2023", "lib": ["es2023", "dom", "dom.iterable"], "types": []}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_imports_of_a_module_are_exported(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    found = IMPORT.findall(text)
    assert len(found) == len(re.findall(r"^import\b", text, flags=re.M)), (
        "an import of another form"
    )
    for names, place, file in found:
        exported = EXPORT.findall((PAGES[place] / file).read_text(encoding="utf-8"))
        wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
        assert wanted <= set(exported), f"{module.name} imports from {file}"


@pytest.fixture
def typescript() -> list[str | Path]:
    """The command of TypeScript's compiler, with the Node.js that runs it."""
    folder = os.environ.get("ANEXA_TEST_NODE")
    if not folder:
        pytest.skip("types are checked by TypeScript: ANEXA_TEST_NODE is not set")
    packages = Path(folder) / "node_modules"
    return [packages / ".bin/node", packages / "typescript/bin/tsc"]


def check_types(typescript: list[str | Path], folder: Path, modules: list[Path]) -> list[str]:
    """Lines of TypeScript about these modules and what they import; none if their types fit."""
    places = {"/page/*": PAGES["/page/"], "/explore/*": PAGES["./"]}
    paths = {pattern: [f"{place}/*"] for pattern, place in places.items()}
    options = {**STRICT, **BROWSER, "module": "es2022", "moduleResolution": "bundler"}
    config = {"compilerOptions": {**options, "paths": paths}, "files": [str(x) for x in modules]}
    project = folder / "tsconfig.json"
    project.write_text(json.dumps(config), encoding="utf-8")
    command = [*typescript, "--project", project, "--pretty", "false"]
    result = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert result.returncode in (0, 1, 2), result.stderr
    return result.stdout.splitlines()


@pytest.mark.slow
def test_types_of_the_modules_fit(typescript: list[str | Path], tmp_path: Path) -> None:
    assert check_types(typescript, tmp_path, [*MODULES, COURSE]) == []


@pytest.mark.slow
def test_a_wrong_type_is_found(typescript: list[str | Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.js"
    wrong.write_text(
        'import { exact } from "/explore/format.js";\nexact("0.1");\n', encoding="utf-8"
    )
    (line,) = check_types(typescript, tmp_path, [wrong])
    assert "wrong.js(2,7): error TS2345" in line
