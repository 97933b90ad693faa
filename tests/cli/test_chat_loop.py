"""`anexa chat` with models that answer."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import anexa as anexa_package
from anexa.cli.chat_loop import ChatLoop, verdict_sentence
from anexa.errors import OUT_OF_MEMORY
from anexa.generation import SamplingParams
from anexa.thinking.problems import make_problem
from anexa.training import TrainConfig, build_trainer
from tests.cli.process import anexa, converse
from tests.generation.parrot import AFTER_HELLO, KNOWN
from tests.training.runs import finish, sums
from tests.training.test_conversation_corpus import config, write_conversations

# What the terminal shows of the model's answers.
SHOWN = {
    "2+3": "│ A2+a3:A:2+3+0=05:A5\n5\n✓ the one step is true\n",
    "2+4": "│ A2+a4:A:2+4+0=07:A7\n7\n✗ 2+4+0 is 6, not 07\n",
    "21*12": "│ A1B2*a2b1:A1*a2+0=02;A2,A1*b1+0=01,B2*a2+01=05;B5,B2*b1+0=02;C2:C2B5A2\n"
    "252\n"
    "✓ the one step is true\n",
    "hello": "I work out sums.\n",
    "endless": "│ it never ends\n(the thought did not end, so there is no answer)\n",
    "twice": "│ once\nso\n│ twice\nthen\n(the answer contains a second thought)\n",
    "stray": "ab\n",
    "empty": "nothing\n",
    "riddle": "│ hm\n│ hm\n42\n",
    "again": "What?\n",
}
CHAIN = "A1-a5:A:1<5,A:05-1-0=4:-A4:=(-A4)*A3\n-(A4*a3):A4*a3+0=12;A2:-B1A2"
NEW = "/new", "a new conversation\n"


def chat(model: Path, *lines: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the response to each line."""
    opening, asked, answers = converse(model, *lines, options=options)
    assert opening == "Ask something; /help lists commands (seed 42).\n"
    assert len(asked) == len(lines)
    return answers


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained model with room for long questions."""
    folder = tmp_path_factory.mktemp("untrained") / "model"
    return build_trainer(sums(block_size=512), folder).folder


def test_reasoning_is_shown_behind_a_bar_and_judged(parrot: Path) -> None:
    assert SHOWN.keys() == KNOWN.keys()
    asked = [line for question in KNOWN for line in (question, "/new")]
    answers = chat(parrot, *asked)
    assert dict(zip(asked[::2], answers[::2])) == {
        question: f"{shown}\n" for question, shown in SHOWN.items()
    }
    assert set(answers[1::2]) == {NEW[1]}


def test_an_answer_without_memory_does_not_end_the_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = anexa_package.load(engine="numpy")
    encode, errors = model.tokenizer.encode_prompt, [MemoryError()]

    def fail_once(text: str) -> list[int]:
        if errors:
            raise errors.pop()
        return encode(text)

    monkeypatch.setattr(model.tokenizer, "encode_prompt", fail_once)
    monkeypatch.setattr("sys.stdin", io.StringIO("1+1\n12+30\n"))
    ChatLoop(model, SamplingParams(0.0, seed=1), think="hide").run()
    first, second = capsys.readouterr().out.split("Prompt: ")[1:]
    assert first == f"1+1\n{OUT_OF_MEMORY}\n"
    assert second.startswith("12+30\n42\n")


def test_reasoning_can_be_hidden_or_turned_off(parrot: Path) -> None:
    lines = {
        "/think hide": "think hide\n",
        "21*12": "252\n✓ the one step is true\n\n",
        "/new": NEW[1],
        "/think off": "think off\n",
        "2+3": "5\n\n",
        "/new ": NEW[1],
        "riddle": "no idea\n\n",
        " /new": NEW[1],
        "/think on": "think on\n",
        " riddle ": f"{SHOWN['riddle']}\n",
    }
    assert chat(parrot, *lines) == list(lines.values())
    for option, shown in {
        "hide": "42\n\n",
        "off": "no idea\n\n",
        "on": "│ hm\n│ hm\n42\n\n",
    }.items():
        assert chat(parrot, "riddle", options=("--think", option)) == [shown]


def test_messages_are_remembered_until_a_new_conversation(parrot: Path) -> None:
    first, again, _, anew = chat(parrot, "hello", "again", "/new", "again")
    assert (first, again, anew) == ("I work out sums.\n\n", "hello again\n\n", "What?\n\n")


def test_a_long_conversation_drops_its_oldest_turns(parrot: Path) -> None:
    *hellos, again = chat(parrot, *["hello"] * 40, "again")
    note = "(1 earlier turn was dropped, to leave room for the answer)\n"
    answer = f"{AFTER_HELLO['hello']}\n\n"
    kept = hellos.index(note + answer)
    assert 0 < kept < 10
    assert hellos == [answer] * kept + [note + answer] * (40 - kept)
    assert again == note + "hello again\n\n"


def test_settings_default_to_the_models_own(parrot: Path) -> None:
    usual = "temperature 0, top-k off, top-p off, seed 42, max-tokens off\n"
    short = usual.replace("max-tokens off", "max-tokens 3")
    lines = {
        "/max-tokens 3": short,
        "riddle": "│ hm\n(the thought was cut off after 3 tokens: allow more, or ask for less)\n\n",
        "/new": NEW[1],
        "hello": "I w\n(the answer was cut off after 3 tokens: allow more, or ask for less)\n\n",
        "/reset": usual,
    }
    assert chat(parrot, *lines) == list(lines.values())
    [warm] = chat(parrot, "/seed 1", options=("--temperature", "0.5", "--max-tokens", "9"))
    assert warm == "temperature 0.5, top-k off, top-p off, seed 1, max-tokens 9\n"


def test_help_lists_the_commands(parrot: Path) -> None:
    [answer] = chat(parrot, "/help")
    for line in ("/think on", "/think hide", "/think off", "/new", "/temperature T", "/reset"):
        assert re.search(rf"^{line}  ", answer, re.M), line


@pytest.mark.parametrize("thoughts", [False, True])
def test_think_is_listed_if_the_model_can(thoughts: bool, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    build_trainer(config(write_conversations(tmp_path, thoughts=thoughts)), folder)
    [answer, think] = chat(folder, "/help", "/think off")
    assert ("/think" in answer) == thoughts
    assert "/new  " in answer
    assert think == ("think off\n" if thoughts else "/think has no effect: chat does not think\n")
    result = anexa("chat", folder, "--think", "hide", cwd=tmp_path)
    assert result.returncode == (0 if thoughts else 2)
    assert ("--think has no effect: chat does not think" in result.stderr) != thoughts


def test_unanswerable_lines_are_reported_and_forgotten(parrot: Path) -> None:
    context = "This model's maximum context length is 160 tokens. However, the prompt has"
    wrong = {
        "": "there is nothing to answer: ask something\n",
        " \t ": "there is nothing to answer: ask something\n",
        "9" * 300: f"{context} 300 characters of questions: shorten it\n",
        f"{'9' * 80}*{'8' * 80}": f"{context} 161 characters of questions: shorten it\n",
        "word " * 190: f"{context} 949 characters of questions: shorten it\n",
        "/think": "/think is one of on, off, hide, not ''\n",
        "/think aloud": "/think is one of on, off, hide, not 'aloud'\n",
        "/thinkon": "there is no command /thinkon: /help lists them\n",
    }
    answers = chat(parrot, "hello", *wrong, "again")
    assert answers[0] == "I work out sums.\n\n"
    assert answers[1:-1] == list(wrong.values())
    assert answers[-1] == "hello again\n\n"


def test_strange_questions_get_an_answer_or_a_sentence(untrained: Path) -> None:
    strange = [
        "9" * 300,
        f"{'9' * 200}*{'8' * 200}",
        "abc",
        "!?",
        "{{ 1 }}",
        "{% for %}",
        "<think>",
        "</think>",
        "<|user|><|assistant|>",
        "<|endoftext|>",
        "2+3<|endoftext|><|user|>",
        "a\tb",
        "9" * 509,
        "1+1",
    ]
    answers = chat(untrained, *strange, options=("--max-tokens", "20"))
    for question, answer in zip(strange, answers):
        assert answer.endswith("\n"), question
        assert "error" not in answer


def test_an_answer_ends_where_the_context_does(untrained: Path) -> None:
    [cut] = chat(untrained, "9" * 250)
    assert cut.endswith(" was cut off after 10 tokens: allow more, or ask for less)\n\n")
    [too_long] = chat(untrained, "9" * 256)
    assert "maximum context length is 512 tokens. However, the prompt has 514 tokens" in too_long
    [unread] = chat(untrained, "9" * 1204)
    assert "a question has 1,204 characters, of which this model reads at most 1,000" in unread


def test_a_check_mark_needs_a_question_that_the_checker_understands() -> None:
    said: Any = SimpleNamespace(reasoning=make_problem("*", 347, 6).thought, content="2082")
    assert "✓ the one step is true" in verdict_sentence("What is 347 times 6?", said)
    assert "✗" in verdict_sentence("347 pluſ 6", said), "the model could not read these numbers"
    for question in ("347^6", "347*6*2*", "347 apples in 6 boxes"):
        judged = verdict_sentence(question, said)
        assert "✓" not in judged
        assert "the one step is true; the checker cannot read the question" in judged
    assert "✗" in verdict_sentence("347*7", said)
    assert "✗" in verdict_sentence("347/6", said)
    chain: Any = SimpleNamespace(reasoning=CHAIN, content="-12")
    assert "✓ all 2 steps are true" in verdict_sentence("(1-5)*3", chain)


# System prompts


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model that says the letter of its system prompt."""
    folder = tmp_path_factory.mktemp("obedient")
    rows = [
        {
            "messages": [
                {"role": "system", "content": f"say {letter}"},
                {"role": "user", "content": f"go {number}"},
                {"role": "assistant", "content": f"{letter}."},
            ]
        }
        for letter in "ab"
        for number in range(10)
    ]
    path = folder / "letters.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_inner": 32, "block_size": 64}
    options = {"tokenizer": "char", "batch_size": 2, "steps": 150, "evaluations": 1, **sizes}
    return finish(
        build_trainer(
            TrainConfig.from_options(corpus=str(path), engine="numpy", **options), folder / "model"
        )
    ).folder


def test_system_prompt_is_that_of_each_conversation(obedient: Path) -> None:
    greedy = ("--temperature", "0", "--system", "say a")
    lines = ("go 3", "/new", "go 5", "/system say b", "go 3", "/new", "go 5", "/system")
    a, b = "a.\n\n", "b.\n\n"
    new = "a new conversation with the same system prompt\n"
    with_prompt = "a new conversation with this system prompt\n"
    assert chat(obedient, *lines, options=greedy) == [
        *(a, new, a, with_prompt, b, new, b),
        "/system needs a text, or off\n",
    ]


def test_system_prompt_can_be_left_out_again(obedient: Path) -> None:
    [_, reply] = chat(obedient, "go 3", "/system off", options=("--system", "say a"))
    assert reply == NEW[1]


def test_model_that_reads_no_system_prompt_refuses_it(parrot: Path) -> None:
    refused = anexa("chat", parrot, "--system", "Be brief.", cwd=parrot.parent)
    assert refused.returncode == 2
    assert "does not read system prompts: leave it out" in refused.stderr
    [answer] = chat(parrot, "/system Be brief.")
    assert "does not read system prompts" in answer
