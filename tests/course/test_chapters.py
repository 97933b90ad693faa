"""The chapters: their form, their code, and their ways to a reader."""

from __future__ import annotations

import importlib.resources
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from rich.console import Console

from anexa.cli.learn import learn
from anexa.cli.markdown import Document
from anexa.course.chapters import (
    CODE_BLOCK_PATTERN,
    TEACHERS_HEADING,
    Chapter,
    load_chapters,
    parse_live_view,
)
from anexa.course.exercises import EXERCISES
from anexa.course.html import to_html
from anexa.course.notebook import to_notebook
from anexa.course.terminal import to_terminal
from anexa.errors import UsageError
from tests.cli.process import anexa, one_sentence
from tests.explore.explorer import Explorer
from tests.test_docs import ROOT, broken_references, examples, failures, read

EXPLORE = Path(str(importlib.resources.files("anexa.explore"))) / "page"
CHAPTERS = list(load_chapters().values())
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)


def blocks(chapter: Chapter, kind: str) -> list[str]:
    return [block[2] for block in CODE_BLOCK_PATTERN.finditer(chapter.text) if block[1] == kind]


def test_chapters_are_numbered_without_a_gap() -> None:
    assert [chapter.number for chapter in CHAPTERS] == list(range(1, len(CHAPTERS) + 1))
    assert list(EXERCISES) == [chapter.number for chapter in CHAPTERS]


@each_chapter
def test_code_of_a_chapter_runs(
    chapter: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found, absent = examples(chapter.text)
    assert found
    assert not absent, "the course needs the base package only"
    report = failures(chapter.path, found)
    assert not report, report


@each_chapter
def test_form_of_a_chapter(chapter: Chapter) -> None:
    text = chapter.text
    assert text.startswith(f"# {chapter.number}. ")
    assert chapter.title.endswith("?")
    assert re.search(r"^\*Builds on: ", text, flags=re.M)
    assert text.count("\n## Exercise: ") == 1
    assert text.count(TEACHERS_HEADING) == 1
    assert blocks(chapter, "glass-box")
    assert f"anexa check {chapter.number} mine.py\n" in blocks(chapter, "sh")
    assert blocks(chapter, "yours") == [
        EXERCISES[chapter.number].by_hand_numbers(chapter.number, "") + "\n"
    ]
    prose = CODE_BLOCK_PATTERN.sub("", text)
    assert "!" not in prose
    # Such a line of a paragraph would become a list.
    assert not re.search(r"^(?!\d+\. |   ).+\n1\. ", prose, flags=re.M)


@each_chapter
def test_lesson_takes_45_minutes(chapter: Chapter) -> None:
    notes = chapter.text.partition(TEACHERS_HEADING)[2]
    assert sum(map(int, re.findall(r"^- (\d+) minutes: ", notes, flags=re.M))) == 45


@each_chapter
def test_command_of_the_check_has_the_name_of_the_student(chapter: Chapter) -> None:
    command = f"anexa check {chapter.number} mine.py --student"
    assert f"{command} Ada\n" in chapter.for_student("Ada")
    assert f"{command} 'Ada & Bob'\n" in chapter.for_student("Ada & Bob")
    assert "--student Ada" not in chapter.for_student("")


@each_chapter
def test_references_of_a_chapter(chapter: Chapter) -> None:
    assert broken_references(chapter.path) == []


@each_chapter
def test_live_views_can_be_shown(chapter: Chapter, explorer: Explorer) -> None:
    views = set(re.findall(r"^  (\w+): \[", read(EXPLORE / "main.js"), flags=re.M))
    for block in blocks(chapter, "glass-box"):
        address = parse_live_view(block).address
        found = re.fullmatch(r"#/(\w+)\?(.+)", address)
        assert found, address
        assert found[1] in views
        query = dict(pair.split("=") for pair in unquote(found[2]).split("&"))
        if found[1] == "thought":
            thought = explorer.job("thought", folder=1, question=query["chat"])
            assert thought["parts"]
            continue
        path = found[1] if found[1] in ("map", "number", "text") else "map"
        if path == "number":
            folder = {"folder": 1} if "chat" in query else {}  # the bundled model answers
            assert explorer.get("number", **query, **folder)
        else:
            scene = {key: query[key] for key in ("text", "step", "edit") if key in query}
            assert explorer.get(path, **scene)


@each_chapter
def test_html_of_a_chapter(chapter: Chapter) -> None:
    html = to_html(chapter, "Ada")
    assert EXERCISES[chapter.number].by_hand_numbers(chapter.number, "Ada").split("\n")[0] in html
    assert html.count('<aside class="live"') == len(blocks(chapter, "glass-box"))
    assert html.count("<details>") == 1
    prose = re.sub(r"<pre.*?</pre>", "", html, flags=re.S)
    assert ".md" not in prose
    assert "`" not in prose


@each_chapter
def test_chapter_in_a_terminal(chapter: Chapter) -> None:
    text = to_terminal(chapter, "Ada")
    assert EXERCISES[chapter.number].by_hand_numbers(chapter.number, "Ada") in text
    assert text.count("**In the glass box**") == len(blocks(chapter, "glass-box"))
    assert ".md)" not in text


@each_chapter
def test_no_line_of_code_is_wrapped_in_a_terminal(chapter: Chapter) -> None:
    terminal = io.StringIO()
    console = Console(file=terminal, width=60)
    console.print(Document(to_terminal(chapter, "Ada")), crop=False)
    shown = {line.rstrip() for line in terminal.getvalue().split("\n")}
    for code in blocks(chapter, "python"):
        assert {f" {line}" for line in code.splitlines() if line} <= shown


def test_readme_leads_to_the_course() -> None:
    readme = " ".join(read(ROOT / "README.md").partition("## Start")[0].split())
    assert "New to this? `anexa learn` opens a course in your browser" in readme
    assert f"Teachers find {len(CHAPTERS)} lessons in it" in readme


def test_list_and_chapter_of_the_command(tmp_path: Path) -> None:
    listed = anexa("learn", "--list", cwd=tmp_path)
    assert listed.stdout.splitlines()[0] == f" 1  {CHAPTERS[0].title}"
    assert len(listed.stdout.splitlines()) == len(CHAPTERS)
    shown = anexa("learn", "1", "--student", "Ada", cwd=tmp_path)
    assert EXERCISES[1].by_hand_numbers(1, "Ada").split("\n")[0] in shown.stdout
    assert "A number for each letter" in shown.stdout
    missing = anexa("learn", "99", cwd=tmp_path)
    assert missing.returncode == 2
    assert "there is no chapter 99" in one_sentence(missing)


@each_chapter
def test_notebook_has_the_code_of_the_chapter(chapter: Chapter) -> None:
    notebook = json.loads(to_notebook(chapter, "Ada"))
    cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    texts = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    sources = "".join(example.source for example in examples(chapter.text)[0])
    assert "\n".join(cells) == sources.rstrip("\n")
    assert EXERCISES[chapter.number].by_hand_numbers(chapter.number, "Ada") in texts[-1]
    assert "%%writefile mine.py" in texts[-1]
    assert "For teachers" not in texts[-1]


@pytest.mark.slow  # the same code runs in `test_code_of_a_chapter_runs`
@each_chapter
def test_code_of_a_notebook_runs(
    chapter: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names: dict[str, object] = {}
    for cell in json.loads(to_notebook(chapter, "Ada"))["cells"]:
        if cell["cell_type"] == "code" and not cell["metadata"]:
            exec(cell["source"], names)


def test_notebook_of_the_command(tmp_path: Path) -> None:
    written = anexa("learn", "--notebook", "1", "one.ipynb", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "")
    text = (tmp_path / "one.ipynb").read_text(encoding="utf-8")
    assert text == to_notebook(CHAPTERS[0], "")
    again = anexa("learn", "--notebook", "1", "one.ipynb", cwd=tmp_path)
    assert "one.ipynb" in one_sentence(again)
    nowhere = anexa("learn", "--notebook", "99", "two.ipynb", cwd=tmp_path)
    assert "there is no chapter 99" in one_sentence(nowhere)
    assert not (tmp_path / "two.ipynb").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"number": 3, "show_list": True}, "CHAPTER has no effect with --list"),
        ({"show_list": True, "notebook": ("3", Path("a"))}, "--notebook has no effect with --list"),
        ({"number": 4, "notebook": ("3", Path("a"))}, "CHAPTER has no effect with --notebook"),
        ({"number": 3, "port": 8200}, "--port has no effect with CHAPTER"),
        ({"student": "Ada", "show_list": True}, "--student has no effect with --list"),
        ({"force": True}, "--force has no effect without --notebook"),
    ],
)
def test_options_without_an_effect_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}: leave it out$"):
        learn(**options)


def test_course_over_http(explorer: Explorer) -> None:
    assert explorer.get("course") == [
        {"number": chapter.number, "title": chapter.title} for chapter in CHAPTERS
    ]
    found = explorer.get("course/1", student="Ada")
    assert found["html"] == to_html(CHAPTERS[0], "Ada")
    assert "there is no chapter 99" in explorer.error("course/99")
    assert "at most 60" in explorer.error("course/1", student="x" * 61)
