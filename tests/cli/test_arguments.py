"""Arguments before Typer parses them: `--debug`, and numbers in the notation of numbers alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from anexa.cli.arguments import take_debug
from anexa.cli.main import COMMANDS
from tests.cli.process import anexa, one_sentence


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        (["--debug"], []),
        (["--debug", "generate", "--n", "2"], ["generate", "--n", "2"]),
        (["generate", "m", "--debug"], ["generate", "m"]),
        (["generate", "--debug", "--prompt", "a", "--debug"], ["generate", "--prompt", "a"]),
        (["generate", "--prompt=a", "--debug"], ["generate", "--prompt=a"]),
        (["generate", "--ignore-eos", "--debug"], ["generate", "--ignore-eos"]),
        (["learn", "--notebook=3", "a", "--debug"], ["learn", "--notebook=3", "a"]),
        (["train", "a.txt", "--no-skip-bad", "--debug"], ["train", "a.txt", "--no-skip-bad"]),
    ],
)
def test_debug_may_stand_anywhere(arguments: list[str], rest: list[str]) -> None:
    assert take_debug(COMMANDS, arguments) == (True, rest)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--prompt", "--debug"],
        ["generate", "-n", "--debug"],
        ["generate", "--", "--debug"],
        ["generate", "--prompt=--debug"],
        ["train", "a.txt", "--out", "--debug"],
        ["learn", "--notebook", "3", "--debug"],
        ["learn", "--notebook=3", "--debug"],
        ["check", "3", "a.py", "--student", "--debug"],
        ["generate"],
        ["--version"],
        [],
    ],
)
def test_a_value_that_is_spelled_as_debug_stays(arguments: list[str]) -> None:
    assert take_debug(COMMANDS, arguments) == (False, arguments)


@pytest.mark.parametrize("text", ["1_0", "10.0"])
def test_whole_numbers_are_digits_alone(text: str, tmp_path: Path) -> None:
    result = anexa("generate", f"--max-tokens={text}", cwd=tmp_path)
    words = "anexa: invalid value for '--max-tokens': "
    assert one_sentence(result).startswith(words)
    assert "is not a whole number such as 10 (see --help)" in result.stderr
    assert result.returncode == 2


@pytest.mark.parametrize("text", ["1_0.5", "0.5 "])
def test_numbers_have_one_notation(text: str, tmp_path: Path) -> None:
    for arguments in (["generate", "--temperature", text], ["train", "a.txt", "--beta1", text]):
        result = anexa(*arguments, cwd=tmp_path)
        words = f"anexa: invalid value for '{arguments[-2]}': {text!r} is not a number such as 0.5"
        assert one_sentence(result).startswith(words)
        assert result.returncode == 2


@pytest.mark.parametrize("text", ["1_0=2", "1=2_0"])
def test_a_bias_is_two_numbers(text: str, tmp_path: Path) -> None:
    result = anexa("generate", "--prompt", "1+1", "--logit-bias", text, cwd=tmp_path)
    assert one_sentence(result) == f"anexa: --logit-bias must be ID=NUMBER, not {text!r}\n"


def test_counts_of_a_reinforcement_have_limits(tmp_path: Path) -> None:
    for option, limit in (("--steps", "1,000,000,000"), ("--evaluations", "1,000,000")):
        result = anexa("reinforce", "m", option, str(10**20), cwd=tmp_path)
        assert one_sentence(result) == f"anexa: {option} must be at most {limit}, not {10**20}\n"
