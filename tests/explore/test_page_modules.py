"""The modules of the glass box's page: each import names a file and something that it exports."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import pytest

PAGES = {
    "./": Path(str(importlib.resources.files("anexa.explore"))) / "page",
    "/page/": Path(str(importlib.resources.files("anexa.server"))) / "page",
}
IMPORT = re.compile(r'^import \{([^}]*)\} from "(\./|/page/)([\w.]+)";$', flags=re.M)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", flags=re.M)
MODULES = sorted(PAGES["./"].glob("*.js"))


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
