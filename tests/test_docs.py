"""The documentation: its examples are executed, and its links and paths are checked."""

from __future__ import annotations

import doctest
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(\s*<?([^)\s>]+)|\b(?:href|src|srcset)="([^"]+)"')
CODE = re.compile(r"`([^`\n]+)`")
REPOSITORY_PATH = re.compile(
    r"(?:src|docs|tests|benchmarks)/[\w./-]+|microgpt\.py|pyproject\.toml|CONTRIBUTING\.md"
)
OPTIONAL = ("torch", "numba", "transformers", "llguidance", "pyarrow")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def examples(text: str) -> tuple[list[doctest.Example], list[str]]:
    """The examples in the Python blocks of a page, and the packages whose absence leaves some out.

    A block that speaks of an optional package is left out where that is not installed, so no
    later block may build on it.
    """
    found: list[doctest.Example] = []
    absent: dict[str, None] = {}
    for block in BLOCK.finditer(text):
        language, code = block[2], block[3]
        if language != "python":
            continue
        needed = [name for name in OPTIONAL if re.search(rf"\b{name}\b", code)]
        missing = [name for name in needed if not find_spec(name)]
        absent |= dict.fromkeys(missing)
        if not missing:
            first_line = text.count("\n", 0, block.start(3))
            for example in doctest.DocTestParser().get_examples(code):
                example.lineno += first_line
                found.append(example)
    return found, list(absent)


def failures(page: Path, found: list[doctest.Example]) -> str:
    """Run the examples of a page in one namespace; returns doctest's report of the failures."""
    report: list[str] = []
    test = doctest.DocTest(found, {}, page.name, str(page), 0, None)
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    return "".join(report)


def broken_references(page: Path) -> list[str]:
    """Relative links, and paths of this repository in backticks, that lead nowhere."""
    prose = BLOCK.sub("", read(page))
    broken = []
    for link in (match[1] or match[2] for match in LINK.finditer(prose)):
        target, _, heading = unquote(link).partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        base = ROOT if target.startswith("/") else page.parent
        path = base / target.lstrip("/") if target else page
        if not path.exists() or (heading and heading not in headings(path)):
            broken.append(link)
    for code in CODE.findall(prose):
        if REPOSITORY_PATH.fullmatch(code) and not (ROOT / code).exists():
            broken.append(code)
    return broken


def headings(page: Path) -> set[str]:
    """The names by which links on GitHub lead to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_EXAMPLES = [page for page in PAGES if any(examples(read(page)))]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
def test_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found, absent = examples(read(page))
    report = failures(page, found)
    assert not report, report
    if absent:
        pytest.skip(f"the others pass, but some examples need {' and '.join(absent)}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_references(page: Path) -> None:
    assert broken_references(page) == []


def test_no_page_loses_its_examples() -> None:
    # The chapters of the course have a test of their own (tests/course/test_chapters.py).
    pages = "api compiled conversations data decisions explore interoperate promises reading"
    assert {f"docs/{page}.md" for page in pages.split()} <= set(map(name, WITH_EXAMPLES))


def test_a_wrong_example_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n```python\n>>> x = 2\n```\n- B\n\n  ```python\n  >>> x + 1\n  4\n  ```\n"
        "```text\n>>> 1 + 1\n3\n```\n",
        encoding="utf-8",
    )
    found, absent = examples(read(page))
    report = failures(page, found)
    assert len(found) == 2
    assert not absent
    assert "line 8" in report
    assert "Expected:\n    4\nGot:\n    3" in report


def test_examples_of_a_package_that_is_absent_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{__name__}.find_spec", lambda name: None if name == "torch" else object())
    found, absent = examples(
        "```python\n>>> import torch\n```\n```python\n>>> 1\n1\n```\n"
        '```python\n>>> open_engine("torch")\n```\n```python\n>>> import transformers\n```\n'
    )
    assert [example.source for example in found] == ["1\n", "import transformers\n"]
    assert absent == ["torch"]


def test_broken_references_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# The `a` part's name\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](there.md) [b](there.md#the-a-parts-name) [c](#here) [d](https://example.org)\n"
        "[e](gone.md) [j](there.md#part) [k](#part)\n"
        '![f](gone.png "title") <img src="gone.svg"> [g](/docs/gone.md) [h](/microgpt.py)\n'
        "`src/anexa/model/` `src/anexa/gone.py` `microgpt.py` `docs/*.md` `README.md`\n"
        "```text\n[i](gone.md) `src/anexa/gone.py`\n```\n",
        encoding="utf-8",
    )
    assert broken_references(page) == [
        "gone.md",
        "there.md#part",
        "#part",
        "gone.png",
        "gone.svg",
        "/docs/gone.md",
        "src/anexa/gone.py",
    ]
