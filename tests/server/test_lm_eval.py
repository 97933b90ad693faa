"""lm-evaluation-harness gives a served model the figures that it gives the model's folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anexa.generation.language_model import BUNDLED_FOLDER
from tests.conftest import ROOT
from tests.server.process import ServerProcess, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("lm_eval"), reason="lm_eval is not installed"),
    pytest.mark.skipif(not find_spec("accelerate"), reason="accelerate is not installed"),
]

TASKS = ("choice", "rolling", "generation")
QUESTIONS = [
    {"question": "12+34", "choices": ["46", "47", "36"], "text": "12+34=46"},
    {"question": "7*8", "choices": ["56", "54", "1"], "text": "7*8=56," * 40},
    {"question": "347*86", "choices": ["29842", "29832"], "text": "100-58=42," * 300},  # in windows
    {"question": "100-58", "choices": ["42", "-42"], "text": "<think>1+1:1+1=2:2</think>2"},
]
# The harness keeps a token of the context free in a request, and one more in the windows of a text.
MAX_LENGTH = 2560
Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model without a number of tokens of its own, which the harness would use."""
    path = tmp_path_factory.mktemp("lm_eval") / "sums"
    shutil.copytree(BUNDLED_FOLDER, path)
    settings = json.loads((path / "generation_config.json").read_text(encoding="utf-8"))
    del settings["max_new_tokens"]
    (path / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def evaluate(folder: Path) -> Evaluate:
    """Run the harness, and return the responses of each task."""
    questions = folder.parent / "questions.jsonl"
    lines = [json.dumps(question) + "\n" for question in QUESTIONS]
    questions.write_text("".join(lines), encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder.parent)}

    def run(kind: str, batch_size: int, *tasks: str, **arguments: object) -> dict[str, Any]:
        listed = ",".join(f"{name}={value}" for name, value in arguments.items())
        command = ["tests.server.lm_eval_figures", kind, listed, str(questions), str(batch_size)]
        result = subprocess.run(
            [sys.executable, "-m", *command, *tasks],
            cwd=ROOT,
            env={**os.environ, **offline},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return figures

    return run


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[ServerProcess]:
    with serving(folder, "--engine", "numpy", cwd=folder.parent) as running:
        yield running


@pytest.fixture(scope="module")
def expected(evaluate: Evaluate, folder: Path) -> dict[str, Any]:
    """The responses of transformers on the folder."""
    arguments = {"pretrained": folder, "dtype": "float32", "max_length": MAX_LENGTH - 2}
    return evaluate("hf", 1, *TASKS, **arguments)


@pytest.mark.parametrize(
    ("batch_size", "arguments"),
    [
        (1, {}),  # with the server's tokenizer, and token ids in the requests
        (3, {"tokenized_requests": False, "tokenizer_backend": "huggingface"}),
        (2, {"num_concurrent": 3}),
    ],
)
def test_completions_have_the_figures_of_the_folder(
    evaluate: Evaluate,
    served: ServerProcess,
    folder: Path,
    expected: dict[str, Any],
    batch_size: int,
    arguments: dict[str, object],
) -> None:
    """Log-likelihood, rolling log-likelihood and generation."""
    url = f"{served.address}/v1/completions"
    if "tokenizer_backend" in arguments:
        arguments = {**arguments, "tokenizer": folder}
    responses = evaluate(
        "local-completions",
        batch_size,
        *TASKS,
        model="sums",
        base_url=url,
        max_length=MAX_LENGTH,
        max_retries=1,
        **arguments,
    )
    assert responses["generation"] == expected["generation"]
    for name in ("choice", "rolling"):
        numbers, others = _numbers(responses[name]), _numbers(expected[name])
        assert numbers == pytest.approx(others, abs=1e-3, rel=1e-5)
    assert _is_greedy(responses["choice"]) == _is_greedy(expected["choice"])


def test_chat_completions_have_the_answers_of_the_folder(
    evaluate: Evaluate, served: ServerProcess, folder: Path
) -> None:
    url = f"{served.address}/v1/chat/completions"
    answers = evaluate("local-chat-completions", 1, "chat", model="sums", base_url=url)
    arguments = {"pretrained": folder, "dtype": "float32", "think_end_token": "</think>"}
    assert answers == evaluate("hf", 1, "chat", **arguments)
    assert answers["chat"][2] == [["29842"]]


def _numbers(responses: Any) -> list[float]:
    """The log probabilities among the responses, which a choice has with `is_greedy`."""
    found = [response for question in responses for [response] in question]
    return [response[0] if isinstance(response, list) else response for response in found]


def _is_greedy(responses: Any) -> list[list[bool]]:
    """Whether each choice of each question is what the model generates greedily."""
    return [[response[1] for [response] in question] for question in responses]
