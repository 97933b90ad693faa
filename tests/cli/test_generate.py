from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anexa import load
from tests.cli.process import ANEXA, anexa, environment


def samples(*arguments: str | Path, cwd: Path) -> dict[str, Any]:
    result = anexa("generate", *arguments, "--engine", "numpy", "--json", cwd=cwd)
    assert (result.returncode, result.stderr) == (0, "")
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_json_has_the_texts_and_how_they_were_made(names_model: Path, tmp_path: Path) -> None:
    report = samples(names_model, "--prompt", "an", "-n", "3", "--seed", "5", cwd=tmp_path)
    assert list(report) == ["model", "engine", "seed", "prompt", "samples"]
    assert report["model"] == str(names_model)
    assert (report["engine"], report["seed"], report["prompt"]) == ("numpy", 5, "an")
    assert len(report["samples"]) == 3
    for sample in report["samples"]:
        assert list(sample) == ["text", "tokens", "finish_reason"]
        assert len(sample["text"]) == sample["tokens"]
        assert sample["finish_reason"] in ("stop", "length")
    assert len({sample["text"] for sample in report["samples"]}) > 1


def test_a_seed_gives_the_same_texts(text_model: Path, tmp_path: Path) -> None:
    reports = [
        samples(text_model, "-n", "2", "--max-tokens", "30", "--seed", seed, cwd=tmp_path)
        for seed in ("1", "1", "2")
    ]
    assert reports[0] == reports[1]
    assert reports[0]["samples"] != reports[2]["samples"]
    assert all(s["finish_reason"] == "length" and s["tokens"] == 30 for s in reports[0]["samples"])


def test_stop_strings_end_the_text(text_model: Path, tmp_path: Path) -> None:
    [whole] = samples(text_model, cwd=tmp_path)["samples"]
    [stopped] = samples(text_model, "--stop", "at", "--stop", "q", cwd=tmp_path)["samples"]
    assert "at" in whole["text"]
    assert stopped["text"] == whole["text"].partition("at")[0]
    assert stopped["finish_reason"] == "stop"


def test_plain_text_is_the_prompt_and_what_follows(names_model: Path, tmp_path: Path) -> None:
    arguments = [str(names_model), "--prompt", "an", "-n", "2"]
    result = anexa("generate", *arguments, "--engine", "numpy", cwd=tmp_path)
    report = samples(*arguments, cwd=tmp_path)
    assert result.stdout == "".join(f"an{sample['text']}\n" for sample in report["samples"])
    assert result.stderr == "seed 42\n"


def test_sampling_options_are_applied(text_model: Path, tmp_path: Path) -> None:
    options: list[tuple[str, ...]] = [
        ("--temperature", "0"),
        ("--top-k", "1"),
        ("--top-p", "0.001"),
    ]
    texts = {
        samples(text_model, *option, "--seed", str(i), cwd=tmp_path)["samples"][0]["text"]
        for i, option in enumerate(options)
    }
    assert len(texts) == 1


def test_options_are_those_of_python(text_model: Path, tmp_path: Path) -> None:
    options = {
        "--min-p": "0.2",
        "--repetition-penalty": "1.3",
        "--frequency-penalty": "0.4",
        "--presence-penalty": "-0.3",
        "--logit-bias": "3=-2.5",
        "--stop-token-id": "7",
        "--min-tokens": "12",
        "--temperature": "1",
    }
    arguments = [str(text_model), *(word for pair in options.items() for word in pair)]
    [sample] = samples(*arguments, "--ignore-eos", cwd=tmp_path)["samples"]
    expected = load(text_model).generate(
        min_p=0.2,
        repetition_penalty=1.3,
        frequency_penalty=0.4,
        presence_penalty=-0.3,
        logit_bias={3: -2.5},
        stop_token_ids=[7],
        min_tokens=12,
        ignore_eos=True,
        temperature=1,
    )
    assert sample["text"] == expected


def test_regex_is_the_form_of_each_text(names_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    options = ("--regex", "(na){2,3}m", "-n", "3", "--temperature", "2")
    texts = [sample["text"] for sample in samples(names_model, *options, cwd=tmp_path)["samples"]]
    assert len(texts) == 3
    assert {*texts} <= {"nanam", "nananam"}


def test_regex_excludes_ignore_eos(names_model: Path, tmp_path: Path) -> None:
    options = ("--regex", "a+", "--ignore-eos")
    result = anexa("generate", str(names_model), *options, cwd=tmp_path)
    sentence = "anexa: --ignore-eos and --regex exclude each other: leave one out\n"
    assert (result.returncode, result.stderr) == (2, sentence)


# Chat models


def test_grammar_is_the_form_of_the_answer_alone(parrot: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    options = ("--prompt", "2+3", "--json-schema", '{"type": "integer"}')
    [sample] = samples(parrot, *options, cwd=tmp_path)["samples"]
    assert (sample["reasoning"], sample["content"]) == ("A2+a3:A:2+3+0=05:A5", "5")
    result = anexa("generate", str(parrot), *options, "--regex", "5", cwd=tmp_path)
    sentence = "anexa: --regex and --json-schema exclude each other: leave one out\n"
    assert (result.returncode, result.stderr) == (2, sentence)


def test_json_of_an_answer_has_reasoning_and_content(parrot: Path, tmp_path: Path) -> None:
    report = samples(parrot, "--prompt", " 2+3 ", "-n", "2", cwd=tmp_path)
    assert list(report) == ["model", "engine", "seed", "prompt", "samples"]
    assert report["prompt"] == " 2+3 "
    expected = {
        "reasoning": "A2+a3:A:2+3+0=05:A5",
        "content": "5",
        "tokens": len("A2+a3:A:2+3+0=05:A5") + 3,
        "finish_reason": "stop",
        "incomplete_reason": None,
    }
    assert report["samples"] == [expected] * 2, "the model's own temperature is 0"
    [sample] = samples(parrot, "--prompt", "2+3", "--no-think", cwd=tmp_path)["samples"]
    assert (sample["reasoning"], sample["content"]) == (None, "5")


def test_an_answer_is_shown_as_in_a_conversation(parrot: Path, tmp_path: Path) -> None:
    options = [str(parrot), "--engine", "numpy", "--prompt"]
    result = anexa("generate", *options, "riddle", "-n", "2", cwd=tmp_path)
    assert result.stdout == "│ hm\n│ hm\n42\n" * 2
    assert (result.returncode, result.stderr) == (0, "seed 42\n")
    result = anexa("generate", *options, "riddle", "--no-think", cwd=tmp_path)
    assert result.stdout == "no idea\n"


def test_an_incomplete_answer_says_why(parrot: Path, tmp_path: Path) -> None:
    wrong = {
        ("endless",): "the thought did not end, so there is no answer",
        ("twice",): "the answer contains a second thought",
        ("riddle", "--max-tokens", "3"): "the thought was cut off after 3 tokens: allow more, or "
        "ask for less",
        ("hello", "--max-tokens", "6"): "the answer was cut off after 6 tokens: allow more, or "
        "ask for less",
    }
    for (prompt, *options), sentence in wrong.items():
        arguments = [str(parrot), "--prompt", prompt, *options]
        [sample] = samples(*arguments, cwd=tmp_path)["samples"]
        assert sample["incomplete_reason"] == sentence
        result = anexa("generate", *arguments, "--engine", "numpy", cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, f"({sentence})\nseed 42\n")
        lines = result.stdout.splitlines()
        assert [line for line in lines if not line.startswith("│ ")] == (
            sample["content"].splitlines() if prompt != "twice" else ["so", "then"]
        )


def test_sampling_options_are_applied_to_answers(parrot: Path, tmp_path: Path) -> None:
    asked = [str(parrot), "--prompt", "hello", "-n", "3"]
    cold = samples(*asked, cwd=tmp_path)["samples"]
    assert samples(*asked, "--temperature", "9", "--top-k", "1", cwd=tmp_path)["samples"] == cold
    warm = samples(*asked, "--temperature", "9", "--max-tokens", "9", cwd=tmp_path)["samples"]
    assert len({str(sample) for sample in warm}) == 3
    [stopped] = samples(str(parrot), "--prompt", "hello", "--stop", "out", cwd=tmp_path)["samples"]
    assert stopped["content"] == "I work "
    assert stopped["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        ([], 2, "there is nothing to answer: ask something"),
        (["--prompt", " \n"], 2, "there is nothing to answer: ask something"),
        (
            ["--prompt", "2<think>"],
            1,
            "message 1 contains <think>, which is a special token of the model: remove it",
        ),
        (
            ["--prompt", "9" * 300],
            1,
            "This model's maximum context length is 160 tokens. However, the prompt has 300 "
            "characters of questions: shorten it",
        ),
        (["--prompt", "2+3", "--max-tokens", "0"], 2, "max_tokens must be at least 1, not 0"),
        (
            ["--prompt", "2+3", "--temperature", "-1"],
            2,
            "temperature must be at least 0, not -1.0",
        ),
    ],
)
def test_unanswerable_questions_are_one_sentence(
    options: list[str], status: int, sentence: str, parrot: Path, tmp_path: Path
) -> None:
    for form in ([], ["--json"]):
        result = anexa("generate", parrot, "--engine", "numpy", *options, *form, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (status, "")
        assert result.stderr == f"anexa: {sentence}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipes")
def test_a_closed_pipe_prints_no_error(text_model: Path, tmp_path: Path) -> None:
    arguments = ["generate", str(text_model), "--engine", "numpy", "--max-tokens", "1000000"]
    with subprocess.Popen(
        [*ANEXA, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 1


def test_an_output_encoding_without_the_characters_is_no_error(tmp_path: Path) -> None:
    # The usual encoding of files and pipes on Windows.
    windows = environment(PYTHONUTF8="0", PYTHONIOENCODING="cp1252")
    (tmp_path / "names.txt").write_text("анна\nнина\nинна\n" * 9, encoding="utf-8")
    options = ["--preset", "microgpt", "--engine", "numpy", "--steps", "10"]
    commands: list[list[str]] = [
        ["train", "names.txt", *options, "--out", "m"],
        ["generate", "m", "--engine", "numpy", "--prompt", "анна"],
        ["generate", "m", "--engine", "numpy", "--prompt", "анна", "--json"],
    ]
    for command in commands:
        result = subprocess.run(
            [*ANEXA, *command],
            cwd=tmp_path,
            env=windows,
            capture_output=True,
            encoding="cp1252",
            check=False,
        )
        assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["prompt"] == "анна"  # JSON loses nothing
