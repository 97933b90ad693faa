from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anexa.training import build_trainer
from tests.cli.process import anexa, one_sentence
from tests.training.test_conversation_corpus import config, write_conversations

FEW = ["--problems", "3", "--engine", "numpy", "--task", "+ 3", "--task", "2x2"]
ONE = ["--seed", "1"]


def test_eval_prints_a_table(tmp_path: Path) -> None:
    result = anexa("eval", *FEW, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    row = r"^(\S+(?: \S+)?) +3 +\d+\.\d% \[\d+\.\d, \d+\.\d\](?: +\d+\.\d%){5}$"
    assert re.findall(row, result.stdout, re.M) == ["+ 3", "2x2"]
    assert result.stdout.startswith("Held-out problems")
    assert result.stdout.endswith("\nnumpy engine, seed 42\n")


def test_eval_prints_json(tmp_path: Path) -> None:
    first, repeated, other = (
        json.loads(anexa("eval", *FEW, "--json", *options, cwd=tmp_path).stdout)
        for options in (ONE, [*ONE, "--processes", "1"], ["--seed", "2"])
    )
    assert first == repeated
    assert first != other
    assert (first["model"], first["engine"], first["seed"]) == ("anexa", "numpy", 1)
    assert [row["task"] for row in first["tasks"]] == ["+ 3", "2x2"]
    for row in first["tasks"]:
        for name in ("thinking", "direct", "sourced", "faithful", "causal"):
            assert row[name]["count"] == 3
            assert row[name]["value"] == row[name]["hits"] / 3
            assert row[name]["interval"][0] <= row[name]["value"] <= row[name]["interval"][1]
        assert row["steps"]["count"] >= 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "1x1"], "no problem of the task '1x1' is evaluated: choose another task"),
        (["--task", "99x9"], "there is no task '99x9': choose from + 2, + 3"),
        (["nothing"], "nothing is not a model folder"),
        (["--problems", "0"], "--problems must be at least 1, not 0"),
        (["--problems", "1000001"], "--problems must be at most 1,000,000, not 1000001"),
        (["--processes", "0"], "--processes must be at least 1, not 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = anexa("eval", *arguments, cwd=tmp_path)
    assert words in one_sentence(result)
    assert result.stdout == ""


def test_model_without_chat_template_is_refused(names_model: Path, tmp_path: Path) -> None:
    result = anexa("eval", names_model, cwd=tmp_path)
    assert "has no chat template" in one_sentence(result)


@pytest.mark.parametrize(
    ("thoughts", "lacks"), [(False, "tokens <think> </think>"), (True, r"characters [-+*:,\d ]+")]
)
def test_chat_models_without_arithmetic_are_refused(
    thoughts: bool, lacks: str, tmp_path: Path
) -> None:
    """Both to evaluate and to reinforce: their tokenizers cannot express the problems."""
    folder = tmp_path / "chat"
    build_trainer(
        config(write_conversations(tmp_path, thoughts=thoughts), tokenizer="char"), folder
    )
    for command in (("eval", "chat", *FEW), ("reinforce", "chat", "--steps", "1")):
        result = anexa(*command, cwd=tmp_path)
        assert result.returncode == 1
        assert re.search(rf"the tokenizer of chat lacks the {lacks}: only", one_sentence(result))
