"""Anexa's template for any conversation: the same text in transformers, trl and plain Jinja."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anexa.errors import AnexaError
from anexa.model.chat_format import Message, render_continuation, render_messages
from anexa.model.general_template import general_template, general_tokens
from anexa.model.loading import load_model
from anexa.model.operations import IGNORE_INDEX
from anexa.model.tokenizer_config import without_generation_marks
from anexa.training import build_trainer
from tests.model.conversations import assistant, user
from tests.training.test_conversation_corpus import config, write_conversations

VARIANTS = [
    pytest.param(thinking, tagged, id=f"{'thinking' * thinking or 'plain'}, {tagged=}")
    for thinking, tagged in itertools.product((False, True), (False, True))
]
each_variant = pytest.mark.parametrize(("thinking", "tagged"), VARIANTS)


SYSTEM: Message = {"role": "system", "content": "Be brief."}
PARTS = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
CONVERSATIONS: list[list[Message]] = [
    [user("Hello")],
    [SYSTEM, user("Hello")],
    [user("a"), assistant("b"), user("c")],
    [SYSTEM, user("a"), assistant("b", reasoning_content="x"), user("c")],
    [user("a"), assistant("<think>x</think>b"), user("c")],
    [user(PARTS), assistant("b"), user(" spaces \n\n and lines\n")],
    [{"role": "developer", "content": "Be brief."}, user("{{ 1 }} {% if %}")],
]


@pytest.mark.parametrize(
    ("thinking", "tagged", "expected"),
    [
        (
            False,
            True,
            "<|system|>Be brief.<|user|>a<|assistant|>b<|endoftext|><|user|>c<|assistant|>",
        ),
        (
            False,
            False,
            "System: Be brief.\n\nUser: a\n\nAssistant: b<|endoftext|>\n\nUser: c\n\nAssistant:",
        ),
    ],
)
def test_format(thinking: bool, tagged: bool, expected: str) -> None:
    template = general_template(thinking=thinking, tagged=tagged)
    messages = [SYSTEM, user("a"), assistant("b", reasoning_content="x"), user("c")]
    assert render_messages(template, messages) == expected
    assert render_messages(template, messages, thinking=False) == expected


def test_format_with_thoughts() -> None:
    template = general_template(thinking=True)
    messages = [user("a"), assistant("b", reasoning_content="x")]
    end = "<|endoftext|>"
    assert render_messages(template, messages, add_generation_prompt=False) == (
        f"<|user|>a<|assistant|><think>x</think>b{end}"
    )
    asked = [*messages, user("c")]
    prompt = f"<|user|>a<|assistant|>b{end}<|user|>c<|assistant|>"
    assert render_messages(template, asked) == prompt
    assert render_messages(template, asked, thinking=False) == f"{prompt}<think></think>"


def test_last_message_can_be_continued() -> None:
    template = general_template(thinking=True)
    for last, expected in (
        ({"content": "b"}, "<think></think>b"),
        ({"content": "b", "reasoning_content": "x"}, "<think>x</think>b"),
        ({"content": "", "reasoning_content": "x"}, "<think>x"),
        ({"content": "<think>x"}, "<think>x"),
        ({"content": "<think>x</think>b"}, "<think>x</think>b"),
    ):
        messages = [user("a"), {"role": "assistant", **last}]
        assert render_continuation(template, messages) == f"<|user|>a<|assistant|>{expected}"


@each_variant
@pytest.mark.parametrize("messages", CONVERSATIONS, ids=str)
@pytest.mark.parametrize("thinks", [True, False])
def test_plain_jinja_renders_the_same_without_marks(
    thinking: bool, tagged: bool, messages: list[Message], thinks: bool
) -> None:
    """As programs do that do not know `generation`, with and without trimmed blocks."""
    template = general_template(thinking=thinking, tagged=tagged)
    for trims in (True, False):
        environment = jinja2.Environment(trim_blocks=trims, lstrip_blocks=trims)
        text = environment.from_string(without_generation_marks(template)).render(
            messages=messages,
            add_generation_prompt=True,
            enable_thinking=thinks,
            eos_token="<|endoftext|>",
        )
        if trims:
            assert text == render_messages(template, messages, thinking=thinks)
        else:
            assert text.replace("\n", "") == render_messages(
                template, messages, thinking=thinks
            ).replace("\n", "")


@each_variant
def test_other_roles_and_parts_are_refused(thinking: bool, tagged: bool) -> None:
    template = general_template(thinking=thinking, tagged=tagged)
    for message, problem in (
        ({"role": "tool", "content": "x"}, "not tool"),
        (user([{"type": "image_url"}]), "no other type"),
        (user(None), "no content"),
    ):
        with pytest.raises(AnexaError, match=problem):
            render_messages(template, [message])


# As transformers and trl have it


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "thinking"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an untrained chat model."""
    where = tmp_path_factory.mktemp("general")
    path = write_conversations(where, thoughts=request.param)
    options = config(path, tokenizer="bpe:300", block_size=128)
    return build_trainer(options, where / "model").folder


contents = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@hypothesis_settings(max_examples=30)
@given(turns=st.lists(contents, max_size=4), last=contents, thinks=st.booleans())
def test_any_conversation_has_the_tokens_of_transformers(
    theirs: Any, folder: Path, turns: list[str], last: str, thinks: bool
) -> None:
    model = load_model(folder)
    assert model.chat_template is not None
    roles = [user, assistant] * len(turns)
    messages = [*(role(text) for role, text in zip(roles, turns)), user(last)]
    options = {"add_generation_prompt": True, "enable_thinking": thinks}
    text = render_messages(model.chat_template, messages, thinking=thinks)
    assert theirs.apply_chat_template(messages, tokenize=False, **options) == text
    ids = theirs.apply_chat_template(messages, return_dict=True, **options)["input_ids"]
    assert ids == model.tokenizer.encode(text)


def test_transformers_learns_the_same_tokens(theirs: Any, folder: Path) -> None:
    """The labels equal transformers' mask, from which trl takes its labels."""
    thoughts = "<think>" in theirs.chat_template
    corpus = write_conversations(folder.parent, thoughts=thoughts)
    again = config(corpus, tokenizer=str(folder), block_size=128)
    run = build_trainer(again, folder.parent / "again")
    for sequence in run.training.eval_sequences(10):
        found = theirs.apply_chat_template(
            messages_of(theirs.decode(sequence.ids)),
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        assert found["input_ids"] == list(sequence.ids)
        mask = [int(label != IGNORE_INDEX) for label in sequence.labels]
        if thoughts:  # earlier answers are learned with their thoughts, in other sequences
            last = max(n for n, label in enumerate(mask) if not label) + 1
            assert found["assistant_masks"][last:] == mask[last:]
            assert not any(mask[:last])
        else:
            assert found["assistant_masks"] == mask


def messages_of(text: str) -> list[Message]:
    """Parse a rendered conversation."""
    messages: list[Message] = []
    roles = {token: token.strip("<|>") for token in general_tokens(thinking=False)}
    for part in text.replace("<|endoftext|>", "").split("<|")[1:]:
        role, _, content = f"<|{part}".partition("|>")
        thought, _, rest = content.removeprefix("<think>").rpartition("</think>")
        more = {"reasoning_content": thought} if "</think>" in content else {}
        messages.append({"role": roles[f"{role}|>"], "content": rest, **more})
    return messages
