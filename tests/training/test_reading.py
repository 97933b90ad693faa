"""Runs on folders and on files with rows: their options are recorded, and found when resumed."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from anexa.errors import AnexaError, UsageError
from anexa.training import TrainConfig, build_trainer, resume_trainer
from anexa.training.config_file import encode_toml, read_options
from anexa.training.conversation_corpus import ConversationCorpus
from anexa.training.opening import open_corpora
from anexa.training.sections import DataConfig
from tests.data.helpers import write
from tests.training.runs import finish, settings, stop_after, weights_file

LINES = ["an owl", "a cat", "a dog", "the fox", "a hen", "the cow", "an ant", "one bee"]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of texts, and of others that are read only if they are named."""
    for number, line in enumerate(LINES):
        path = tmp_path / "notes" / f"{number % 2}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, f"# {line}\n\n{line} is here.\n")
    write(tmp_path / "notes" / "a.log", "zzz")
    return tmp_path / "notes"


def rows(path: Path) -> str:
    bad = '{"body": 1}\n'
    return write(path, bad + "".join(json.dumps({"body": line}) + "\n" for line in LINES))


def test_a_run_on_a_folder_is_resumed_exactly(notes: Path, tmp_path: Path) -> None:
    whole = finish(build_trainer(settings(notes), tmp_path / "whole"))
    stop_after(build_trainer(settings(notes), tmp_path / "part"), 7)
    moved = notes.rename(tmp_path / "moved")
    with pytest.raises(AnexaError, match=r"the corpus of this run, .*notes, is gone: give a file"):
        resume_trainer(tmp_path / "part")
    finish(resume_trainer(tmp_path / "part", {"corpus": str(moved)}))
    assert weights_file(tmp_path / "part") == weights_file(whole.folder)
    write(moved / "0" / "0.md", "another text")
    with pytest.raises(UsageError, match="whose text is another one"):
        resume_trainer(tmp_path / "whole", {"corpus": str(moved), "steps": 1000})


def test_options_of_reading_are_recorded(tmp_path: Path) -> None:
    config = settings(Path(rows(tmp_path / "a.jsonl")), field="body", skip_bad=True)
    run = finish(build_trainer(config, tmp_path / "run"))
    assert "left out: line 1, which has no text in the field 'body'" in run.notes
    assert run.config.data.field == "body"
    again = TrainConfig.from_options(**read_options(tmp_path / "run" / "training" / "config.toml"))
    assert again.data == run.config.data
    assert {"--field", "body", "--skip-bad"} <= set(shlex.split(run.config.command_line()))


@pytest.mark.parametrize("include", [(), ("*.log",), ("*.log", "a/**/*.md")])
def test_patterns_survive_json_toml_and_the_command(
    include: tuple[str, ...], notes: Path, tmp_path: Path
) -> None:
    config = settings(notes, include=include)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    options = read_options(Path(write(tmp_path / "c.toml", encode_toml(config))))
    assert TrainConfig.from_options(**options).data == config.data
    words = shlex.split(config.command_line())
    assert tuple(b for a, b in pairwise(words) if a == "--include") == include


def test_resuming_keeps_the_patterns(notes: Path, tmp_path: Path) -> None:
    stop_after(build_trainer(settings(notes, include=("*.md",)), tmp_path / "run"), 3)
    with pytest.raises(UsageError, match=r"started with --include \*\.md, not \*\.log: leave it"):
        resume_trainer(tmp_path / "run", {"include": ["*.log"]})
    finish(resume_trainer(tmp_path / "run", {"include": ["*.md"]}))


def test_of_several_corpora_each_takes_the_options_that_are_for_it(
    notes: Path, tmp_path: Path
) -> None:
    path, text = rows(tmp_path / "a.jsonl"), write(tmp_path / "a.txt", "Some text. " * 99)
    both = open_corpora(DataConfig((str(notes), path, text), field="body", skip_bad=True))
    assert any("no text in the field 'body'" in note for note in both.notes)
    with pytest.raises(UsageError, match="--field 'body' has no effect: none of the corpora"):
        open_corpora(DataConfig((str(notes), text), field="body"))
    (tmp_path / "posts").mkdir()
    rows(tmp_path / "posts" / "a.jsonl")
    posts = open_corpora(DataConfig((str(tmp_path / "posts"), text), field="body", skip_bad=True))
    assert "posts: read: the rows of 1 file (a.jsonl)" in posts.notes


def test_a_field_is_read_from_conversations_if_it_is_named(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "title": "a title",
    }
    path = write(tmp_path / "a.jsonl", f"{json.dumps(row)}\n" * 9)
    assert isinstance(open_corpora(DataConfig((path,))), ConversationCorpus)
    titles = open_corpora(DataConfig((path,), field="title"))
    assert titles.size == 9 * len("a title")
    with pytest.raises(UsageError, match=r"--include .* has no effect: .* is one"):
        open_corpora(DataConfig((path,), field="title", include=("*.jsonl",)))
