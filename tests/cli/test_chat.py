from __future__ import annotations

import re
from pathlib import Path

from tests.cli.process import anexa, converse


def chat(model: Path, *lines: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the response to each line; a line may be `quit`."""
    opening, asked, answers = converse(model, *lines, options=options)
    assert opening == "Type the beginning of a text; /help lists commands (seed 42).\n"
    assert asked == [*lines][: len(asked)]
    return answers


def test_each_line_gets_a_response_until_the_input_ends(names_model: Path) -> None:
    answers = chat(names_model, "an", "", "el")
    assert len(answers) == 3
    for prompt, answer in zip(["an", "", "el"], answers):
        assert re.fullmatch(rf"Response: {prompt}[a-z]*\n\n", answer)


def test_quit_ends_the_chat(names_model: Path) -> None:
    for word in ("quit", "exit", "/quit", "/exit", " quit "):
        text = f"an\n{word}\nel\n"
        result = anexa("chat", names_model, "--engine", "numpy", cwd=names_model.parent, text=text)
        assert result.returncode == 0
        assert result.stdout.count("Response: ") == 1


def test_empty_input_ends_the_chat(names_model: Path) -> None:
    assert chat(names_model) == []


def test_commands_change_the_settings(names_model: Path) -> None:
    usual = "temperature 0.8, top-k off, top-p off, seed 42, max-tokens 200\n"
    answers = chat(
        names_model,
        "/temperature 1.5",
        "/top-k 3",
        "/top-p 0.9",
        "/seed 7",
        "/max-tokens 5",
        "/top-k off",
        "/top-p off",
        "/reset",
    )
    assert answers == [
        usual.replace("temperature 0.8", "temperature 1.5"),
        "temperature 1.5, top-k 3, top-p off, seed 42, max-tokens 200\n",
        "temperature 1.5, top-k 3, top-p 0.9, seed 42, max-tokens 200\n",
        "temperature 1.5, top-k 3, top-p 0.9, seed 7, max-tokens 200\n",
        "temperature 1.5, top-k 3, top-p 0.9, seed 7, max-tokens 5\n",
        "temperature 1.5, top-k off, top-p 0.9, seed 7, max-tokens 5\n",
        "temperature 1.5, top-k off, top-p off, seed 7, max-tokens 5\n",
        usual,
    ]


def test_commands_change_the_responses(text_model: Path) -> None:
    options = ("--max-tokens", "40")
    asked = ["the", "the", "/seed 42", "the", "/reset", "the", "/top-k 1", "the", "the"]
    first, second, _, repeated, _, reset, _, greedy, greedy_again = chat(
        text_model, *asked, options=options
    )
    assert first == repeated == reset
    assert first != second
    assert greedy == greedy_again
    [_, one] = chat(text_model, "/max-tokens 1", "the", options=options)
    assert len(one) == len("Response: the.\n\n")
    [_, cold] = chat(text_model, "/temperature 0", "the", options=options)
    assert cold == greedy


def test_reset_restores_the_settings_of_the_command_line(names_model: Path) -> None:
    options = ("--temperature", "0.5", "--top-k", "9", "--top-p", "0.7", "--max-tokens", "11")
    given = "temperature 0.5, top-k 9, top-p 0.7, seed 42, max-tokens 11\n"
    answers = chat(names_model, "/temperature 2", "/max-tokens 3", "/reset", options=options)
    assert answers[-1] == given
    assert given not in answers[:-1]


def test_penalties_are_settings(names_model: Path) -> None:
    options = ("--repetition-penalty", "1.5", "--temperature", "0")
    commands = ("/min-p 0.1", "/frequency-penalty 0.5", "/min-p off", "/repetition-penalty off")
    given = "temperature 0, top-k off, top-p off, repetition-penalty 1.5, seed 42, max-tokens 200\n"
    answers = chat(names_model, *commands, "/reset", options=options)
    assert answers[3] == given.replace("repetition-penalty 1.5", "frequency-penalty 0.5")
    assert answers[4] == given


def test_help_lists_the_commands(names_model: Path) -> None:
    [answer] = chat(names_model, "/help")
    sampling = ("temperature", "top-k", "top-p", "min-p", "seed", "max-tokens")
    penalties = ("repetition-penalty", "frequency-penalty", "presence-penalty")
    for name in (*sampling, *penalties, "reset", "help"):
        assert f"/{name}" in answer
    assert "quit" in answer


def test_invalid_input_is_reported_and_changes_nothing(names_model: Path) -> None:
    wrong = {
        "/hello": "there is no command /hello: /help lists them",
        "/": "there is no command /: /help lists them",
        "/temperature": "/temperature needs a number, not ''",
        "/temperature warm": "/temperature needs a number, not 'warm'",
        "/temperature -1": "temperature must be at least 0, not -1.0",
        "/temperature nan": "temperature must be a finite number, not nan",
        "/top-k 0": "top_k must be at least 1, not 0",
        "/temperature 1_0": "/temperature needs a number, not '1_0'",
        "/top-k 2.5": "/top-k needs a number, not '2.5'",
        "/top-k 1_0": "/top-k needs a number, not '1_0'",
        "/top-p -1": "top_p must be at least 0, not -1.0",
        "/top-p 2": "top_p must be at most 1, not 2.0",
        "/min-p 2": "min_p must be at most 1, not 2.0",
        "/repetition-penalty 0": "repetition_penalty must be above 0, not 0.0",
        "/frequency-penalty much": "/frequency-penalty needs a number, not 'much'",
        "/presence-penalty -3": "presence_penalty must be at least -2, not -3.0",
        "/seed x": "/seed needs a number, not 'x'",
        "/seed 1_0": "/seed needs a number, not '1_0'",
        "/max-tokens many": "/max-tokens needs a number, not 'many'",
        "/max-tokens 0": "max_tokens must be at least 1, not 0",
        "/max-tokens -1": "max_tokens must be at least 1, not -1",
        "Ab9": "this model has never seen 'A', '9': leave them out of the prompt",
        "a" * 17: "This model's maximum context length is 16 tokens. However, the prompt has 18 "
        "tokens: shorten it",
    }
    answers = chat(names_model, *wrong, "/seed 42")
    assert answers[:-1] == [f"{sentence}\n" for sentence in wrong.values()]
    assert answers[-1] == "temperature 0.8, top-k off, top-p off, seed 42, max-tokens 200\n"
