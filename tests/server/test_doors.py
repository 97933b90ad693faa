"""Python, command line and API give one answer to a question, and one sentence to a wrong value.

The page is asked in `test_page`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import anexa
from anexa.errors import AnexaError, UsageError
from anexa.thinking.refusals import NOT_ARITHMETIC_REFUSAL
from tests.cli.process import anexa as command
from tests.cli.process import one_sentence
from tests.server.doors import QUESTIONS, REFUSED, is_sum
from tests.server.process import MESSAGES, ServerProcess


def contents() -> Iterator[tuple[Any, str]]:
    """Yield contents of a message and the answers: all questions, and every fourth as a part too.

    Parts become a text before it is read, so what a text is does not matter to them.
    """
    for number, (question, expected) in enumerate(QUESTIONS.items()):
        yield question, expected
        if number % 4 == 0:
            yield [{"type": "text", "text": question}], expected


def test_questions_by_python() -> None:
    model = anexa.load()
    for content, expected in contents():
        answer = model.chat([{"role": "user", "content": content}])
        assert answer.content == expected
        assert bool(answer.reasoning) == is_sum(expected)


def test_questions_by_api(server: ServerProcess) -> None:
    for content, expected in contents():
        body = server.chat(messages=[{"role": "user", "content": content}]).json()
        message = body["choices"][0]["message"]
        assert message["content"] == expected
        assert bool(message["reasoning"]) == is_sum(expected)


def test_questions_by_command_line(tmp_path: Path) -> None:
    questions = [question for question in QUESTIONS if len(question.splitlines()) == 1]
    text = "".join(f"/new\n{question.rstrip()}\n" for question in questions)
    result = command("chat", "--think", "hide", cwd=tmp_path, text=text)
    turns = result.stdout.split("a new conversation\n")[1:]
    answers = {q: turn.splitlines()[1] for q, turn in zip(questions, turns, strict=True)}
    assert answers == {question: QUESTIONS[question] for question in questions}
    sums = [turn for q, turn in zip(questions, turns) if is_sum(QUESTIONS[q])]
    assert all("✓" in turn for turn in sums), "the checker reads what the model reads"
    [question] = [question for question in QUESTIONS if "\n" in question.strip()]
    result = command("generate", "--json", "--prompt", question, cwd=tmp_path)
    assert json.loads(result.stdout)["samples"][0]["content"] == QUESTIONS[question]


def test_a_question_that_is_too_long_is_refused(server: ServerProcess) -> None:
    sentence = (
        "a question has 1,204 characters, of which this model reads at most 1,000: shorten it"
    )
    messages = [{"role": "user", "content": "9" * 1204}]
    for more in ({}, {"truncation": "auto"}):  # as the page asks
        response = server.chat(messages=messages, **more)
        assert (response.status_code, response.json()["error"]["message"]) == (400, sentence)
    with pytest.raises(AnexaError) as error:
        anexa.load().chat(messages)
    assert str(error.value) == sentence
    for length in (1204, 20_000):
        body = {"question": "9" * length, "thought": "A1+a1:A:1+1+0=02:A2", "answer": "2"}
        response = server.post("/check", json=body)
        said = response.json()["error"]
        assert (response.status_code, said["param"]) == (400, "question")
        assert said["message"] == sentence.replace("1,204", f"{length:,}")


def test_an_earlier_question_that_is_too_long_is_dropped_if_turns_may_be(
    server: ServerProcess,
) -> None:
    turns = [("1+1", "2"), ("9" * 1204, "9"), ("2+2", "4"), ("12+30", None)]
    history = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn)
        if text
    ]
    body = server.chat(messages=history, truncation="auto", temperature=0).json()
    assert (body["dropped_turns"], body["choices"][0]["message"]["content"]) == (2, "42")
    asked = {"model": "anexa", "input": history, "temperature": 0}
    body = server.post("/v1/responses", json={**asked, "truncation": "auto"}).json()
    assert body["output"][-1]["content"][0]["text"] == "42"
    assert body["dropped_turns"] == 2
    refused = server.post("/v1/responses", json=asked)
    assert "has 1,204 characters" in refused.json()["error"]["message"]
    kept = anexa.load().truncate(history)
    assert (len(kept.messages), kept.num_dropped) == (3, 2)


def test_bytes_that_are_no_utf_8_are_unreadable(tmp_path: Path) -> None:
    lines = "12+30\udcff\n"
    result = command("chat", cwd=tmp_path, text=lines, errors="surrogateescape")
    assert NOT_ARITHMETIC_REFUSAL in result.stdout
    assert (result.returncode, result.stderr) == (0, "")


def test_refused_values_by_python() -> None:
    model = anexa.load()
    for name, value, sentence in REFUSED:
        if name != "n":
            wrong: dict[str, Any] = {name: value}
            for generate in (model.generate, lambda **more: model.chat(MESSAGES, **more)):
                with pytest.raises(UsageError) as error:
                    generate(**wrong)
                assert str(error.value) == sentence


def test_refused_values_by_api(server: ServerProcess) -> None:
    for name, value, sentence in REFUSED:
        error = server.chat(**{name: value}).json()["error"]
        assert (error["message"], error["param"]) == (sentence, name)


def test_refused_values_by_command_line(tmp_path: Path) -> None:
    options = [one for one in REFUSED if one[0] in ("n", "stop")]
    for name, value, sentence in options:
        result = command("generate", "--prompt", "1+1", f"--{name}={value}", cwd=tmp_path)
        assert one_sentence(result) == f"anexa: {sentence}\n"
        assert result.returncode == 2
    typed = [one for one in REFUSED if one not in options]
    lines = [f"/{name.replace('_', '-')} {value}\n" for name, value, _ in typed]
    result = command("chat", cwd=tmp_path, text="".join(lines))
    said = [line for line in result.stdout.splitlines()[1:] if not line.startswith("Prompt: ")]
    assert said == [sentence for *_, sentence in typed]
