"""An empty path is refused by name; it is not the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.process import anexa, one_sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "t.txt", "--out", ""], "--out is empty: give a path"),
        (["train", "t.txt", "--out="], "--out is empty: give a path"),
        (["train", "t.txt", "--config", ""], "--config is empty: give a path"),
        (["graph", "a", "a=1", "--out", ""], "--out is empty: give a path"),
        (["export", "", "--to", "gguf"], "a path is empty: give a path"),
        (["check", "1", ""], "a path is empty: give a path"),
        (["learn", "--notebook", "3", ""], "--notebook is empty: give a path"),
        (["learn", "--notebook=3", ""], "--notebook is empty: give a path"),
        (
            ["learn", "--notebook", "", "3.ipynb"],
            "--notebook needs the number of a chapter, not ''",
        ),
        (["compare", "t.txt", "--json", ""], "a path is empty: give a path"),
        (["runs", ""], "a path is empty: give a path"),
        (["chat", ""], "a path is empty: give a path"),
        (["chat", "--", ""], "a path is empty: give a path"),
        (["train", ""], "there is no corpus and no file named ''"),
        (["train", "t.txt", "--from", ""], "--from is empty: give a path"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_text("anna\nbob\n" * 9, encoding="utf-8")
    result = anexa(*arguments, cwd=tmp_path)
    assert sentence in one_sentence(result)
    assert result.returncode == (1 if "there is no corpus" in sentence else 2)
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_an_empty_path_in_a_config_file_is_not_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("anna\nbob\n" * 9, encoding="utf-8")
    (tmp_path / "c.toml").write_text('[finetune]\nfrom = ""\n', encoding="utf-8")
    result = anexa("train", "t.txt", "--config", "c.toml", cwd=tmp_path)
    assert "--from is empty: give a path" in one_sentence(result)
    assert result.returncode == 2


def test_an_empty_text_is_no_empty_path(tmp_path: Path) -> None:
    """Only paths are checked, whatever else is empty."""
    result = anexa("generate", "--prompt", "", "--max-tokens", "1", cwd=tmp_path)
    assert one_sentence(result) == "anexa: there is nothing to answer: ask something\n"
