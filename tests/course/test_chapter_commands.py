"""The commands of the chapters, and their files and programs that are not typed in Python."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from anexa.course.chapters import CODE_BLOCK_PATTERN, Chapter
from tests.cli.process import anexa, run
from tests.course.test_chapters import CHAPTERS, blocks, each_chapter


@each_chapter
def test_kinds_of_blocks_are_those_that_tests_execute(chapter: Chapter) -> None:
    """`test_chapters.py` runs Python and opens glass boxes; the tests below run the commands."""
    kinds = {"python", "glass-box", "yours", "sh"} | (
        {"py", "text"} if chapter.number == 17 else set()
    )
    assert {block[1] for block in CODE_BLOCK_PATTERN.finditer(chapter.text)} <= kinds
    if chapter.number != 13:
        assert blocks(chapter, "sh") == [f"anexa check {chapter.number} mine.py\n"]


@pytest.mark.slow
def test_commands_of_chapter_13_compare_two_losses(tmp_path: Path) -> None:
    commands = [shlex.split(line) for line in blocks(CHAPTERS[12], "sh")[0].splitlines()]
    losses = []
    for command in commands:
        trained = anexa(*command[1:], cwd=tmp_path, timeout=600)
        assert trained.returncode == 0, trained.stderr
        [done] = [line for line in trained.stdout.splitlines() if line.startswith("done")]
        losses.append(float(done.rpartition(" ")[2]))
    assert len(losses) == 2
    assert abs(losses[0] - losses[1]) < 0.1, "the chapter says that they are close"


@pytest.mark.slow
def test_model_of_chapter_17_opens_elsewhere_and_its_conversations_train(tmp_path: Path) -> None:
    for module in ("torch", "transformers"):
        pytest.importorskip(module)
    sizes = ("--preset", "microgpt", "--engine", "numpy", "--no-chat")
    (tmp_path / "diary.txt").write_text("mia likes tea\ntom likes milk\n" * 10, encoding="utf-8")
    trained = anexa("train", "diary.txt", *sizes, "--steps", "3", "--out", "mine", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    [program] = blocks(CHAPTERS[16], "py")
    opened = run([sys.executable, "-c", program], cwd=tmp_path, timeout=600)
    assert opened.returncode == 0, opened.stderr
    [lines] = blocks(CHAPTERS[16], "text")
    (tmp_path / "chat.jsonl").write_text(lines * 25, encoding="utf-8")
    chat = (
        "train",
        "chat.jsonl",
        "--engine",
        "numpy",
        "--steps",
        "2",
        "--no-chat",
        "--out",
        "chat",
    )
    trained = anexa(*chat, cwd=tmp_path, timeout=600)
    assert trained.returncode == 0, trained.stderr


def test_drawing_of_the_notes_of_chapter_4(tmp_path: Path) -> None:
    [command] = re.findall(r"`anexa (graph .*?)`", CHAPTERS[3].text)
    drawn = anexa(*shlex.split(command), cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    inputs = re.findall(r"([abc])<br/>data −?\d+<br/>grad (−?\d+)", drawn.stdout)
    assert inputs == [("a", "−2"), ("b", "4"), ("c", "2")]
