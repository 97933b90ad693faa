"""Rendered conversations equal those of transformers, with the template of arithmetic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.generation.language_model import BUNDLED_FOLDER
from anexa.model.chat_format import (
    ASSISTANT,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    END_THINK,
    THINK,
    USER,
    Message,
    render_messages,
)
from anexa.model.chat_template import render_template
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tokenizer import END_OF_TEXT
from anexa.model.tokenizer_config import without_generation_marks
from anexa.thinking.examples import ALPHABET
from tests.model.conversations import CONVERSATIONS, assistant, user


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder)


def check_alike(
    theirs: Any, model: Model, messages: Sequence[Message], *, thinking: bool = True
) -> None:
    options = {"add_generation_prompt": True, "enable_thinking": thinking}
    assert model.chat_template is not None
    text = render_messages(model.chat_template, messages, thinking=thinking)
    assert theirs.apply_chat_template(messages, tokenize=False, **options) == text
    ids = theirs.apply_chat_template(messages, return_dict=True, **options)["input_ids"]
    assert ids == model.tokenizer.encode(text)


# As transformers has it


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_rendered_conversation_equals_transformers(
    theirs: Any, model: Model, messages: list[Message], thinking: bool
) -> None:
    check_alike(theirs, model, messages, thinking=thinking)


def test_transformers_thinks_by_default(theirs: Any, model: Model) -> None:
    text = theirs.apply_chat_template([user("1+1")], tokenize=False, add_generation_prompt=True)
    assert text == render_messages(CHAT_TEMPLATE, [user("1+1")])
    assert model.chat_template == theirs.chat_template == CHAT_TEMPLATE


texts = (
    st.text()
    | st.text(ALPHABET)
    | st.lists(st.sampled_from([*CHAT_TOKENS, END_OF_TEXT, "<", "1"])).map("".join)
)


@given(text=texts, thinking=st.booleans())
def test_any_text_has_the_tokens_of_transformers(
    theirs: Any, model: Model, text: str, thinking: bool
) -> None:
    check_alike(theirs, model, [user(text)], thinking=thinking)


@given(turns=st.lists(texts, max_size=4), last=texts)
def test_any_conversation_has_the_tokens_of_transformers(
    theirs: Any, model: Model, turns: list[str], last: str
) -> None:
    roles = [user, assistant] * len(turns)
    messages = [role(text) for role, text in zip(roles, turns)]
    check_alike(theirs, model, [*messages, user(last)])


# For programs that know less than transformers


def test_template_stands_in_two_files(folder: Path) -> None:
    """Some programs read only tokenizer_config.json, and do not know `generation`."""
    own = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert own == CHAT_TEMPLATE
    plain = own.replace("{% generation %}", "{% if true %}")
    plain = plain.replace("{% endgeneration %}", "{% endif %}")
    assert config["chat_template"] == plain != own


def test_bundled_template_is_that_of_trained_models() -> None:
    model = load_model(BUNDLED_FOLDER)
    assert model.chat_template == CHAT_TEMPLATE
    for name, content in model.json_files().items():
        assert json.loads((BUNDLED_FOLDER / name).read_text(encoding="utf-8")) == content, name


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_plain_jinja_renders_the_template_in_tokenizer_config(
    model: Model, messages: list[Message], thinking: bool
) -> None:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(model.json_files()["tokenizer_config.json"]["chat_template"])
    text = template.render(messages=messages, add_generation_prompt=True, enable_thinking=thinking)
    assert text == render_messages(CHAT_TEMPLATE, messages, thinking=thinking)


@pytest.mark.parametrize(
    "tag",
    ["{% generation %}", "{%generation%}", "{%- generation -%}", "{%+ generation -%}"],
)
def test_marks_are_left_out_with_the_same_spaces(tag: str) -> None:
    end = tag.replace("generation", "endgeneration")
    template = f"a \n {tag} \n b {{{{ 'c' }}}} \n{end}\n d"
    plain = without_generation_marks(template)
    assert "generation" not in plain
    assert render_template(plain) == render_template(template)
    assert without_generation_marks("{{ generation }}") == "{{ generation }}"


# For training


def test_assistant_tokens_are_marked_for_training(theirs: Any) -> None:
    messages = [user("1+1"), assistant("2"), user("2+2"), assistant("<think>a</think>4")]
    found = theirs.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [i for i, mark in zip(found["input_ids"], found["assistant_masks"]) if mark]
    assert theirs.decode(marked) == "2<|endoftext|>4<|endoftext|>"


# Content as a list of parts


def parts(*texts: str) -> Any:
    return [{"type": "text", "text": text} for text in texts]


def test_content_can_be_a_list_of_text_parts(theirs: Any) -> None:
    plain = [user("12+30"), assistant("<think>a</think>42"), user("1+1")]
    split: Any = [
        {"role": "user", "content": parts("12", "+30")},
        {"role": "assistant", "content": parts("<think>a</thi", "nk>42")},
        {"role": "user", "content": parts("1+1")},
    ]
    expected = render_messages(CHAT_TEMPLATE, plain)
    assert render_messages(CHAT_TEMPLATE, split) == expected
    assert theirs.apply_chat_template(split, tokenize=False, add_generation_prompt=True) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], "no other type can be read"),
        ([*parts("1+1"), {"type": "image"}], "no other type can be read"),
        (["1+1"], "no other type can be read"),
        ({"type": "text", "text": "1+1"}, "no other type can be read"),
        ([{"type": "text"}], "text"),
        ([{"type": "text", "text": 5}], "str"),
        ([], "a message has no content"),
        (None, "a message has no content"),
    ],
)
def test_other_content_is_refused(content: Any, reason: str) -> None:
    for message in (
        {"role": "user", "content": content},
        {"role": "assistant", "content": content},
    ):
        with pytest.raises(AnexaError, match=reason):
            render_messages(CHAT_TEMPLATE, [message])
    with pytest.raises(AnexaError, match="a message has no content"):
        render_messages(CHAT_TEMPLATE, [{"role": "user"}])


# By hand


def test_rendered_conversation_equals_a_literal() -> None:
    conversation = [
        {"role": "system", "content": "nobody heeds this"},
        user("1+1"),
        assistant("<think>A1+a1:A:1+1+0=02:A2</think>2"),
        user("2+2"),
    ]
    text = render_messages(CHAT_TEMPLATE, conversation)
    assert text == "<|user|>A1+A1<|assistant|>2<|endoftext|><|user|>A2+A2<|assistant|>"
    assert render_messages(CHAT_TEMPLATE, conversation, thinking=False) == text + "<think></think>"


def test_every_chat_tag_is_one_token(model: Model) -> None:
    marks = [*CHAT_TOKENS, END_OF_TEXT]
    ids = model.tokenizer.encode("".join(marks))
    assert ids == [model.tokenizer.token_to_id(mark) for mark in marks]
    assert len(set(ids)) == len(marks) == 5
    assert {USER, ASSISTANT, THINK, END_THINK} == set(CHAT_TOKENS)
    assert model.tokenizer.decode(ids) == "".join(CHAT_TOKENS)  # the end is no text
    # They are no words of the alphabet: what is nearly a mark is characters.
    assert len(model.tokenizer.encode("<think >< |user|>")) == len("<think >< |user|>")


@pytest.mark.parametrize("role", ["tool", "", "User", "the\nboss"])
def test_unknown_role_is_refused(role: str) -> None:
    with pytest.raises(AnexaError) as error:
        render_messages(CHAT_TEMPLATE, [{"role": role, "content": "1+1"}])
    said = " ".join(f"the roles are user, assistant and system, not {role}".split())
    assert str(error.value) == f"the chat template cannot be used for this: {said}"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"role": "user"},
        {"content": "1+1"},
        {"role": "user", "content": None},
        {"role": None, "content": "1+1"},
        {"role": "assistant", "content": ["a", "b"]},
    ],
)
def test_incomplete_message_is_refused(message: Any) -> None:
    with pytest.raises(AnexaError, match=r"^the chat template cannot be used for this: .+$"):
        render_messages(CHAT_TEMPLATE, [message])
