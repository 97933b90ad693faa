from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import anexa
from anexa.errors import AnexaError, UsageError
from anexa.generation import LanguageModel, Sampler
from anexa.model.chat_format import ASSISTANT, CHAT_TEMPLATE, END_THINK, THINK, USER
from anexa.model.folder import create_folder
from anexa.model.model import DEFAULT_TEMPERATURE, Model
from anexa.model.tokenizer import END_OF_TEXT
from tests.cli.process import anexa as anexa_command
from tests.generation.models import config_of, letters, weights_of
from tests.generation.parrot import DIRECT, KNOWN
from tests.training.runs import each_engine

QUESTION = [{"role": "user", "content": "riddle"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    tokenizer = letters()
    config = config_of("gpt2", tokenizer.vocab_size)
    folder = tmp_path_factory.mktemp("texts") / "model"
    create_folder(folder, Model(config, weights_of(config), tokenizer), "")
    return folder


# Texts


def test_a_folder_may_be_a_string_or_a_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {anexa.load(where, engine="numpy").generate("ab") for where in (folder, str(folder))}
    monkeypatch.chdir(folder)
    model = anexa.load(".", engine="numpy")
    assert texts == {model.generate("ab")}
    assert model.name == "model"


@each_engine
def test_engines_are_chosen_by_name(engine: str, folder: Path) -> None:
    model = anexa.load(folder, engine=engine)
    assert model.engine.name == engine
    expected = anexa.load(folder, engine="numpy").generate("ab", max_tokens=20)
    assert model.generate("ab", max_tokens=20) == expected


def test_texts_equal_those_of_the_command_line(folder: Path, parrot: Path, tmp_path: Path) -> None:
    model = anexa.load(folder, engine="numpy")
    options = ["--engine", "numpy", "--json"]
    result = anexa_command("generate", folder, "--prompt", "ab", *options, cwd=tmp_path)
    [sample] = json.loads(result.stdout)["samples"]
    assert sample["text"] == model.generate("ab")
    asked = ["--top-k", "3", "--top-p", "0.9", "--seed", "5", "--max-tokens", "50", "--stop", "b"]
    asked += ["--temperature", "2"]
    result = anexa_command("generate", folder, "--prompt", "a", *asked, *options, cwd=tmp_path)
    [sample] = json.loads(result.stdout)["samples"]
    assert sample["text"] == model.generate(
        "a", top_k=3, top_p=0.9, seed=5, max_tokens=50, stop=["b"], temperature=2
    )
    asked = ["--prompt", "riddle", "--temperature", "3", "--seed", "9"]
    result = anexa_command("generate", parrot, *asked, *options, cwd=tmp_path)
    [sample] = json.loads(result.stdout)["samples"]
    answer = anexa.load(parrot, engine="numpy").chat(QUESTION, temperature=3, seed=9)
    assert (sample["reasoning"], sample["content"]) == (answer.reasoning, answer.content)


def test_a_stream_adds_up_to_the_generated_text(folder: Path) -> None:
    model = anexa.load(folder, engine="numpy")
    pieces = list(model.stream("ab", max_tokens=30, temperature=1.5))
    assert len(pieces) > 1
    assert "".join(pieces) == model.generate("ab", max_tokens=30, temperature=1.5)
    assert model.generate("ab") == model.generate("ab"), "each begins the draws anew"
    assert model.generate("ab") != model.generate("ab", seed=7)


def test_invalid_arguments_are_refused(folder: Path, parrot: Path) -> None:
    model, answers = anexa.load(folder), anexa.load(parrot)
    with pytest.raises(UsageError, match="temperature must be at least 0, not -1"):
        model.generate(temperature=-1)
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not 0"):
        answers.chat(QUESTION, max_tokens=0)
    with pytest.raises(UsageError, match="top_k must be at least 1, not 0"):
        answers.chat(QUESTION, top_k=0)
    with pytest.raises(UsageError, match="there is no sampling parameter 'warmth': choose from"):
        model.generate("ab", warmth=0)
    with pytest.raises(UsageError, match="there is no engine 'abacus'"):
        anexa.load(folder, engine="abacus")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnexaError, match="nowhere is not a model folder: there is no such folder"):
        anexa.load(tmp_path / "nowhere")
    with pytest.raises(AnexaError, match=r"config\.json"):
        anexa.load(tmp_path)


# The temperature


def with_generation_config(folder: Path, to: Path, text: str | None) -> Path:
    """Copy a model folder, with `text` as its `generation_config.json`."""
    shutil.copytree(folder, to)
    if text is None:
        (to / "generation_config.json").unlink()
    else:
        (to / "generation_config.json").write_text(text, encoding="utf-8")
    return to


@pytest.mark.parametrize(
    ("text", "temperature"),
    [
        (None, 0.0),  # greedy, as in transformers
        ("{}", 0.0),
        ('{"temperature": 0.3}', 0.0),
        ('{"do_sample": true}', 1.0),
        ('{"do_sample": true, "temperature": 2}', 2.0),
        ('{"do_sample": true, "temperature": 0}', 0.0),
        ('{"do_sample": false}', 0.0),
        ('{"do_sample": false, "temperature": 0.7}', 0.0),
    ],
)
def test_the_temperature_is_the_models_own(
    text: str | None, temperature: float, folder: Path, tmp_path: Path
) -> None:
    model = anexa.load(with_generation_config(folder, tmp_path / "m", text), engine="numpy")
    assert model.temperature == temperature
    assert model.sampling_params().temperature == temperature
    assert model.sampling_params(seed=3).temperature == temperature
    assert model.sampling_params(1.5, top_k=2).temperature == 1.5
    assert model.sampling_params(0).temperature == 0
    assert model.generate("ab") == model.generate("ab", temperature=temperature)


@pytest.mark.parametrize("value", ['"warm"', "-1", "NaN", "Infinity", "[]", "1e999"])
def test_an_invalid_temperature_in_the_folder_is_refused(
    value: str, folder: Path, tmp_path: Path
) -> None:
    copy = with_generation_config(folder, tmp_path / "m", f'{{"temperature": {value}}}')
    with pytest.raises(AnexaError, match=r"generation_config\.json"):
        anexa.load(copy)


def test_a_saved_model_keeps_its_temperature(folder: Path, parrot: Path) -> None:
    assert anexa.load(folder).temperature == DEFAULT_TEMPERATURE
    assert anexa.load(parrot).temperature == 0


# Answers


def test_an_answer_has_reasoning_and_content(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    answer = model.chat(QUESTION)
    assert f"<think>{answer.reasoning}</think>{answer.content}" == KNOWN["riddle"]
    assert answer.finish_reason == "stop"
    assert answer.incomplete_reason is None
    direct = model.chat(QUESTION, thinking=False)
    assert (direct.reasoning, direct.content) == (None, DIRECT["riddle"])
    short = model.chat(QUESTION, max_tokens=3)
    assert (short.reasoning, short.num_tokens, short.finish_reason) == ("hm", 3, "length")
    stopped = model.chat(QUESTION, stop=["2"])
    assert (stopped.reasoning, stopped.content) == ("hm\nhm", "4")


@each_engine
def test_every_engine_answers_alike(engine: str, parrot: Path) -> None:
    answer = anexa.load(parrot, engine=engine).chat([{"role": "user", "content": "2+3"}])
    assert f"<think>{answer.reasoning}</think>{answer.content}" == KNOWN["2+3"]


def test_an_answer_ends_with_the_context(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    block_size = model.engine.config.block_size
    for thinking in (True, False):
        messages = [{"role": "user", "content": "x" * (block_size - 10)}]
        answer = model.chat(messages, thinking=thinking, temperature=0)
        read = model.num_prompt_tokens(messages) + (0 if thinking else 2)
        if answer.finish_reason == "length":
            assert read + answer.num_tokens == block_size
        else:
            assert read + answer.num_tokens < block_size
    messages = [{"role": "user", "content": "x" * block_size}]
    with pytest.raises(
        AnexaError, match=r"length is 160 tokens. However, the prompt has 162 tokens"
    ):
        model.chat(messages)


def test_a_model_without_chat_template_does_not_answer(folder: Path) -> None:
    model = anexa.load(folder)
    assert model.chat_template is None
    with pytest.raises(AnexaError, match=r"^model has no chat template, so it cannot answer"):
        model.chat(QUESTION)
    with pytest.raises(AnexaError, match=r"^model has no chat template, so it cannot answer"):
        model.answer(QUESTION, Sampler(model.sampling_params()))


@pytest.mark.parametrize("unknown", ["×", "😀", "\ud83d", "\0", "é"])
def test_what_a_foreign_chat_model_cannot_read_is_refused(unknown: str, parrot: Path) -> None:
    model = LanguageModel.open(parrot, "numpy")
    model.chat_template = f"{{# another #}}{CHAT_TEMPLATE}"
    messages = [{"role": "user", "content": f"7{unknown}8" * 30}]
    sentence = f"this model has never seen {unknown!r}: leave it out of the prompt"
    for refused in (model.chat, model.num_prompt_tokens):
        with pytest.raises(AnexaError) as error:
            refused(messages)
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "a conversation needs a message of the user"),
        ([{"role": "user", "content": " \u200b\n"}], "there is nothing to answer: ask something"),
        ([{"role": "user", "content": "＜think＞"}], "message 1 contains <think>, which is"),
        ([{"role": "assistant", "content": ""}], "a conversation needs a message of the user"),
        ([{"role": "system", "content": "a"}], "a conversation needs a message of the user"),
        ("riddle", "a conversation is a list of messages, such as"),
        (["riddle"], "a conversation is a list of messages, such as"),
        ([{"role": "user"}], "message 1 needs a role and a content, which is a string or"),
        ([{"content": "riddle"}], "message 1 needs a role and a content"),
        ([{"role": "user", "content": None}], "message 1 needs a role and a content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "message 1 needs a role and a content"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "2+3"}, {"type": "image"}]}],
            "message 1 needs a role and a content",
        ),
        (
            [{"role": "judge", "content": "a"}],
            "the roles are user, assistant and system, not judge",
        ),
        *(
            ([*QUESTION, {"role": role, "content": f"a{mark}b"}], f"message 2 contains {mark}, ")
            for role in ("user", "system")
            for mark in (USER, ASSISTANT, THINK, END_THINK, END_OF_TEXT)
        ),
    ],
)
def test_malformed_conversations_are_refused(messages: Any, words: str, parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    with pytest.raises(AnexaError, match=re.escape(words)):
        model.chat(messages)


def test_a_system_message_changes_nothing_whatever_its_length_and_place(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    long = {"role": "system", "content": "be brief " * 10_000}
    answer = model.chat(QUESTION, temperature=0)
    for messages in ([long, *QUESTION], [*QUESTION, long], [*QUESTION, {**long, "content": ""}]):
        other = model.chat(messages, temperature=0)
        assert (other.reasoning, other.content) == (answer.reasoning, answer.content)


@pytest.mark.parametrize("empty", [{}, {"content": None}, {"content": ""}])
def test_an_assistants_message_may_be_empty(empty: dict[str, Any], parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    prompt = model.render_prompt([*QUESTION, {"role": "assistant", **empty}, *QUESTION])
    assert f"{ASSISTANT}{END_OF_TEXT}{USER}" in prompt


def test_a_developers_message_is_a_system_message(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    first = {"role": "developer", "content": [{"type": "text", "text": "be brief"}]}
    assert model.render_prompt([first, *QUESTION]) == model.render_prompt(QUESTION)


def test_an_answer_has_no_more_tokens_than_there_is_room_for(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    assert model.answer_token_limit(100, None) == model.answer_token_limit(100, 10**6) == 60
    assert model.answer_token_limit(100, 7) == 7
    prompt = len(model.tokenizer.encode_prompt(model.render_prompt(QUESTION)))
    answer = model.chat(QUESTION, temperature=1e9, max_tokens=10**6, seed=4)
    assert answer.finish_reason == "stop" or answer.num_tokens == 160 - prompt


def test_earlier_answers_may_contain_their_reasoning(parrot: Path) -> None:
    turns = [
        *QUESTION,
        {"role": "assistant", "content": f"{THINK}x{END_THINK}y"},
        *QUESTION,
    ]
    prompt = anexa.load(parrot, engine="numpy").render_prompt(turns)
    assert prompt == f"{USER}riddle{ASSISTANT}y{END_OF_TEXT}{USER}riddle{ASSISTANT}"


# A last message that the model continues


@pytest.mark.parametrize(
    ("question", "begun", "rest"),
    [
        ("riddle", {"reasoning_content": "hm\nhm", "content": "4"}, (None, "2")),
        ("riddle", {"reasoning": "hm\nhm", "content": "4"}, (None, "2")),
        ("riddle", {"content": "<think>hm\nhm</think>4"}, (None, "2")),
        ("riddle", {"reasoning_content": "hm\n", "content": ""}, ("hm", "42")),
        ("riddle", {"reasoning_content": "hm\n"}, ("hm", "42")),
        ("riddle", {"content": "<think>hm"}, ("\nhm", "42")),
        ("riddle", {"content": "no i"}, (None, "dea")),
        ("riddle", {"content": ""}, ("hm\nhm", "42")),
        ("riddle", {"content": None}, ("hm\nhm", "42")),
        ("2+3", {"content": [{"type": "text", "text": "<think>A2+a3:A:2"}]}, ("+3+0=05:A5", "5")),
    ],
)
def test_last_message_of_the_assistant_is_continued(
    question: str, begun: dict[str, Any], rest: tuple[str | None, str], parrot: Path
) -> None:
    model = anexa.load(parrot, engine="numpy")
    messages = [{"role": "user", "content": question}, {"role": "assistant", **begun}]
    answer = model.chat(messages)
    assert (answer.reasoning, answer.content) == rest
    assert answer.incomplete_reason is None


def test_continued_thought_is_not_searched_for_stop_strings(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    begun = {"role": "assistant", "reasoning_content": "h"}
    answer = model.chat([{"role": "user", "content": "riddle"}, begun], stop=["m", "2"])
    assert (answer.reasoning, answer.content) == ("m\nhm", "4")


def test_end_of_the_prompt_can_be_chosen(parrot: Path) -> None:
    model = anexa.load(parrot, engine="numpy")
    said = [*QUESTION, {"role": "assistant", "content": "4"}]
    ended = f"<|user|>{QUESTION[0]['content']}<|assistant|>4<|endoftext|>"
    assert model.render_prompt(said, end="nothing") == ended
    assert model.render_prompt(said, end="answer") == f"{ended}<|assistant|>"
    assert model.render_prompt(said) == model.render_prompt(said, end="message")
    begun = [{"role": "user", "content": "2+"}]
    assert model.render_prompt(begun, end="message") == "<|user|>A2+"
    assert model.render_prompt(begun, end="nothing") == "<|user|>A2+"
