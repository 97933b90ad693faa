"""Rendered conversations equal those of transformers, with our templates and with others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.generation.language_model import BUNDLED
from anexa.model.chat_format import (
    ASSISTANT,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    END_THINK,
    THINK,
    USER,
    Message,
    render_continuation,
    render_messages,
)
from anexa.model.chat_template import render_template
from anexa.model.loading import load_model
from anexa.model.model import Model
from anexa.model.tokenizer import END_OF_TEXT
from anexa.model.tokenizer_config import without_generation_marks
from anexa.thinking.examples import ALPHABET
from anexa.training import build_trainer
from tests.training.runs import sums


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


CONVERSATIONS: list[list[Message]] = [
    [user("347*86")],
    [user("")],
    [user(" spaces \n\n and lines\n")],
    [user("{{ 1 }} {% if %} <b>&amp;</b>")],
    [user("15% of 12345, {0:99999} and %99999d")],
    [user("1+1"), assistant("2"), user("and 2+2?")],
    [user("1+1"), assistant("<think>A1+a1:A:1+1+0=02:A2</think>2"), user("2+2")],
    [user("1+1"), assistant("<think>a</think>b<think>c</think>d"), user("2+2")],
    [user("1+1"), assistant("<think>it never ended"), user("2+2")],
    [{"role": "system", "content": "Be brief."}, user("1+1")],
    [user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"), user("g")],
    [user("not answered"), user("1+1")],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an untrained chat model."""
    return build_trainer(sums(), tmp_path_factory.mktemp("chat") / "model").folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read as transformers loads
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    return transformers.AutoTokenizer.from_pretrained(folder)


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
    model = load_model(BUNDLED)
    assert model.chat_template == CHAT_TEMPLATE
    for name, content in model.json_files().items():
        assert json.loads((BUNDLED / name).read_text(encoding="utf-8")) == content, name


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


# Templates from strangers


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ messages[0].__init__.__globals__ }}",
        "{{ raise_exception.__globals__['sys'].exit() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ (messages|attr('__class__')).__mro__ }}",
        "{{ '{0.__class__.__mro__}'.format(1).strip('').__class__.x }}",
        "{{ (''|attr('format'))('{0.__class__}', 1).__class__.x }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(content='') }}",
        "{{ open('/etc/passwd').read() }}",
        "{{ __import__('os') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ range(10 ** 30)|list }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ 1 / 0 }}",
        "{{ 1 + 'a' }}",
        "{{ '%d' % 'a' }}",
        "{{ 'a' * 10 ** 30 }}",
        "{{ [1, 'a']|sort }}",
        "{{ ''|no_such_filter }}",
        "{{ nothing.at.all }}",
        "{{ raise_exception('no\n\nthanks') }}",
        "{{ raise_exception('') }}",
        "{% if %}",
        "{% for message in messages %}",
        "{{",
    ],
)
def test_template_cannot_reach_beyond_its_arguments(template: str) -> None:
    messages = [{"role": "user", "content": "1+1"}]
    began = time.process_time()
    with pytest.raises(AnexaError) as error:
        render_messages(template, messages)
    assert time.process_time() - began < 10
    sentence = str(error.value)
    assert sentence.startswith("the chat template cannot be used for this: ")
    assert sentence == " ".join(sentence.split())
    assert not sentence.endswith(": ")
    assert messages == [{"role": "user", "content": "1+1"}]


@pytest.mark.parametrize("template", ["{{ ''.__class__ }}", "{{ raise_exception.__globals__ }}"])
def test_private_attributes_are_undefined_in_a_template(template: str) -> None:
    assert render_messages(template, []) == ""


def test_template_cannot_change_the_messages() -> None:
    messages = [{"role": "user", "content": "1+1"}]
    spoils = "{% set _ = dict.update(messages[0], content='2+2') %}{{ messages[0].content }}"
    assert render_messages(spoils, messages) == "2+2"
    assert messages == [{"role": "user", "content": "1+1"}]


@pytest.mark.parametrize(
    "template",
    [
        # What templates of published models do.
        "{{ bos_token }}{% for m in messages %}\n  {{ m['role'] }}: {{ m.content | trim }}\n"
        "{% endfor %}\n{{ eos_token }}\n",
        "{%- set ns = namespace(last='') %}{% for m in messages %}{% set ns.last = m.content %}"
        "{% endfor %}{{ ns.last }}",
        "{% for m in messages[::-1] %}{% if loop.index > 2 %}{% break %}{% endif %}"
        "{{ loop.index0 }}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endfor %}",
        "{% if tools is not none %}tools{% endif %}{% if documents %}documents{% endif %}"
        "{{ 'x' if enable_thinking is defined and enable_thinking is false else 'y' }}",
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content')"
        " | join(' ') }}",
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ '[INST] ' ~ m.content ~ ' [/INST]' }}{% endif %}"
        "{% if not loop.last %}{{ '\n' * loop.length }}{% endif %}{% endfor %}",
        "{% macro turn(m, n=2) %}{{ '<|' + m.role + '|>\n' }}{{ m|tojson(indent=n) }}{% endmacro %}"
        "{% for m in messages %}{{ turn(m) | indent(2) }}{{ loop.index % 2 == 0 }}{% endfor %}",
        "{% for role, turns in messages|groupby('role') %}{{ role }}{{ turns|length }}{% endfor %}"
        "{{ '%s of %d' % ('é', messages|length) }}{{ '{:>8}|{}'.format(1, 2) }}{{ 7 // 2 ** 2 }}"
        "{% for key, value in messages[0].items() %}{{ key ~ '=' ~ value }}{% endfor %}"
        "{{ none }}{{ true and 1.5 }}{{ [1, {'a': none}] }}{{ 'a' in messages[0].content }}",
    ],
)
def test_foreign_templates_give_the_text_of_transformers(theirs: Any, template: str) -> None:
    for messages in CONVERSATIONS:
        for thinking in (True, False):
            text = theirs.apply_chat_template(
                messages,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=thinking,
            )
            assert render_messages(template, messages, thinking=thinking) == text


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} "
        "[/INST]{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1].lstrip('\n') }}"
        "{{ eos_token }}{% endfor %}",
    ],
)
def test_continued_message_ends_where_that_of_transformers_does(theirs: Any, template: str) -> None:
    questions = [user("1+1"), assistant("2"), user("2+2")]
    for begun in ("4", "four, 4 and {{ 4 }}", "2", "<b>", "a\nb"):
        messages = [*questions, assistant(begun)]
        text = theirs.apply_chat_template(
            messages, chat_template=template, tokenize=False, continue_final_message=True
        )
        assert render_continuation(template, messages) == text


def test_continuation_needs_a_template_that_shows_the_last_message() -> None:
    for template in ("{{ messages[0].content }}", "{{ messages[-1].role }}"):
        with pytest.raises(AnexaError, match="does not show the end of the last message"):
            render_continuation(template, [user("1+1"), assistant("2")])


def test_prompt_that_opens_a_thought_is_known_to() -> None:
    """Such as those of DeepSeek-R1, whose answers have only the closing tag."""
    opening = "{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}"
    assert render_messages(opening, [user("1")]).in_thought
    assert not render_messages(opening, [user("<think>")], add_generation_prompt=False).in_thought
    assert not render_messages(CHAT_TEMPLATE, [user("1")], thinking=False).in_thought
