"""Chat templates of other models: rendered as by transformers, and kept to their messages."""

from __future__ import annotations

import time
from typing import Any

import pytest

from anexa.errors import AnexaError
from anexa.model.chat_format import CHAT_TEMPLATE, render_continuation, render_messages
from tests.model.conversations import CONVERSATIONS, assistant, user
from tests.slowness import is_within


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
    assert is_within(time.process_time() - began, 10)
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
