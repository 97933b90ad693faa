"""Labels of conversations: exactly the assistant's answers, for any chat template."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import compress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anexa.data.chat_labels import ChatRenderer
from anexa.data.conversation_sequences import encode_texts
from anexa.data.jsonl import BadRowError
from anexa.errors import AnexaError
from anexa.model.chat_format import CHAT_TEMPLATE, CHAT_TOKENS, Message
from anexa.model.general_template import general_template, general_tokens
from anexa.model.tokenizer import Tokenizer
from anexa.model.tokenizer_config import without_generation_marks
from tests.model.conversations import assistant, user

END = "<|endoftext|>"


def turns(begin: str, end: str) -> str:
    """Write a template with marks; `begin` has the message's role."""
    return (
        "{{- bos_token }}{%- for message in messages -%}"
        f"{{{{- {begin.replace('ROLE', 'message.role')} }}}}"
        "{%- if message.role == 'assistant' -%}{% generation %}"
        f"{{{{- message.content | trim + '{end}' }}}}{{% endgeneration %}}"
        f"{{%- else -%}}{{{{- message.content | trim + '{end}' }}}}{{%- endif -%}}{{{{- '\\n' }}}}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}"
        f"{{{{- {begin.replace('ROLE', repr('assistant'))} }}}}{{%- endif -%}}"
    )


# Templates of several families, and their special tokens.
TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ours": (general_template(thinking=False), general_tokens(thinking=False)),
    "ours in words": (general_template(thinking=False, tagged=False), ()),
    "ours with thoughts": (general_template(thinking=True), general_tokens(thinking=True)),
    "arithmetic": (CHAT_TEMPLATE, CHAT_TOKENS),
    "ChatML": (
        turns(r"'<|im_start|>' + ROLE + '\n'", "<|im_end|>"),
        ("<|im_start|>", "<|im_end|>"),
    ),
    "Llama 3": (
        turns(r"'<|start_header_id|>' + ROLE + '<|end_header_id|>\n\n'", "<|eot_id|>"),
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "Zephyr": (turns(r"'<|' + ROLE + '|>\n'", "</s>"), ("</s>",)),
}
TEXT = "What color is the rose? It is red, as all of them are. Ärger, 你好, 😀!\n\n\t system user"


def tokenizer(special: tuple[str, ...]) -> Tokenizer:
    """Train a byte-level tokenizer with these tokens."""
    return Tokenizer.train_bpe([TEXT] * 2, 320 + len(special), False, special)


SYSTEM: Message = {"role": "system", "content": "Be brief."}
CONVERSATIONS: list[list[Message]] = [
    [user("Hello"), assistant("Hi there!")],
    [
        {"role": "system", "content": "Be brief."},
        user("a b"),
        assistant("c"),
        user("d"),
        assistant("e f"),
    ],
    [user("Ärger?"), assistant("你好, 😀!"), user("\n\nso"), assistant("two\n\nlines")],
    [user("a"), user("b"), assistant("c")],
]


def learned_text(renderer: ChatRenderer, messages: list[Message]) -> list[str]:
    """Return the answers of a conversation that are learned, in their order."""
    texts = renderer.render(messages)
    return [text.text[slice(*span)] for text in texts for span in text.spans]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("messages", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
def test_answers_are_learned_once_and_nothing_else(name: str, messages: list[Message]) -> None:
    template, special = TEMPLATES[name]
    learned = learned_text(ChatRenderer(template, tokenizer(special)), messages)
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    assert len(learned) == len(answers)
    for text, answer in zip(learned, answers):
        before, _, end = text.partition(answer)
        assert before in ("", " ", "<think></think>")
        assert end in (END, *special)


contents = st.text("ab \n你", min_size=1).filter(str.strip)


@hypothesis_settings(max_examples=30)
@given(
    pairs=st.lists(st.tuples(contents, contents), min_size=1, max_size=4),
    system=st.none() | contents,
    name=st.sampled_from([name for name in TEMPLATES if name != "arithmetic"]),
)
def test_labels_are_the_answers_of_any_conversation(
    pairs: list[tuple[str, str]], system: str | None, name: str
) -> None:
    template, _ = TEMPLATES[name]
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for question, answer in pairs:
        messages += [user(question), assistant(answer)]
    with_marks, without = (
        ChatRenderer(one, TOKENIZERS[name]).render(messages)
        for one in (template, without_generation_marks(template))
    )
    assert with_marks == without  # found by rendering alone
    learned = [text.text[slice(*span)] for text in with_marks for span in text.spans]
    assert [a.strip() in text for (_, a), text in zip(pairs, learned)] == [True] * len(pairs)
    ends = [text[-1] for text in learned]
    assert ends == [ends[0]] * len(pairs)


TOKENIZERS = {name: tokenizer(special) for name, (_, special) in TEMPLATES.items()}


# As transformers and trl have it


def transformers_labels(
    template: str, tokens: Tokenizer, messages: list[Message]
) -> tuple[list[int], list[int]]:
    """Return the ids and the assistant's mask of transformers."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    bos, eos = tokens.bos_eos
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens._backend, bos_token=bos, eos_token=eos
    )
    found = theirs.apply_chat_template(
        messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
    )
    return found["input_ids"], found["assistant_masks"]


def our_labels(
    template: str, tokens: Tokenizer, messages: list[Message]
) -> tuple[list[int], list[int]]:
    """Return the ids of the last sequence of a conversation, and which of them are learned."""
    [*_, (ids, loss_mask)] = encode_texts(tokens, ChatRenderer(template, tokens).render(messages))
    return ids.tolist(), loss_mask.astype(int).tolist()


@pytest.mark.parametrize("name", sorted({*TEMPLATES} - {"ours with thoughts"}))
@pytest.mark.parametrize("messages", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
def test_labels_are_those_of_transformers(name: str, messages: list[Message]) -> None:
    template, _ = TEMPLATES[name]
    if name == "arithmetic":
        messages = [m for m in messages if m["role"] != "system"]
    expected = transformers_labels(template, TOKENIZERS[name], messages)
    assert our_labels(template, TOKENIZERS[name], messages) == expected


def trl_templates() -> Path:
    """Return the folder of trl's templates, without importing it."""
    found = find_spec("trl")
    return Path(found.origin or "").parent / "chat_templates" if found else Path("no trl")


FAMILIES = {
    "qwen2_5": ("<|im_start|>", "<|im_end|>"),
    "qwen3": ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    "qwen3_instruct_2507": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "phi3": ("<|user|>", "<|assistant|>", "<|end|>", "<|system|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "cohere": ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
}


@pytest.mark.integration
@pytest.mark.skipif(not trl_templates().is_dir(), reason="trl is not installed")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("number", [0, 2])
def test_labels_are_those_of_trl(family: str, number: int) -> None:
    """The template of a model, without marks, has the labels of trl's, with marks."""
    folder, messages = trl_templates(), CONVERSATIONS[number][:2]
    tokens = tokenizer(FAMILIES[family])
    marked = (folder / f"{family}_training.jinja").read_text(encoding="utf-8")
    plain = (folder / f"{family}.jinja").read_text(encoding="utf-8")
    ids, mask = transformers_labels(marked, tokens, messages)
    our_ids, our_mask = our_labels(plain, tokens, messages)
    assert our_ids == ids
    # Some of trl's have a line end around the answer, which is of the prompt, or never generated.
    ours, theirs = (
        tokens.decode(list(compress(ids, one)), skip_special_tokens=False)
        for one in (our_mask, mask)
    )
    assert ours == theirs.strip()


# Thoughts


def test_earlier_answers_are_learned_with_the_thoughts_that_the_prompt_removes() -> None:
    template, special = TEMPLATES["ours with thoughts"]
    messages = [
        user("a"), assistant("b", reasoning_content="x"),
        user("c"), assistant("d", reasoning_content="y"),
    ]  # fmt: skip
    first, second = ChatRenderer(template, tokenizer(special)).render(messages)
    assert first.text == f"<|user|>a<|assistant|><think>x</think>b{END}"
    assert second.text == (
        f"<|user|>a<|assistant|>b{END}<|user|>c<|assistant|><think>y</think>d{END}"
    )
    assert [first.text[slice(*span)] for span in first.spans] == [f"<think>x</think>b{END}"]
    assert [second.text[slice(*span)] for span in second.spans] == [f"<think>y</think>d{END}"]


def test_template_without_thoughts_has_them_in_the_answer() -> None:
    template, special = TEMPLATES["ChatML"]
    messages = [user("a"), assistant("b", reasoning_content="x")]
    learned = learned_text(ChatRenderer(template, tokenizer(special)), messages)
    assert learned == ["<think>\nx\n</think>\n\nb<|im_end|>"]


def test_answer_with_weight_zero_is_not_learned() -> None:
    template, special = TEMPLATES["ours"]
    messages = [user("a"), assistant("b", weight=0), user("c"), assistant("d")]
    assert learned_text(ChatRenderer(template, tokenizer(special)), messages) == [f"d{END}"]


# Bad input

BAD_TEMPLATES = {
    "{{ 1 / 0 }}": "is refused by the chat template",
    "{% for m in messages %}": "is refused by the chat template",
    "{{ messages | length }}{% if add_generation_prompt %}>{% endif %}": (
        "does not continue the prompt of an answer"
    ),
    "always the same": "has an answer that the chat template does not show as it is",
    "{% if messages | length > 1 %}{{ raise_exception('one only') }}{% endif %}": "one only",
}


@pytest.mark.parametrize(("template", "problem"), BAD_TEMPLATES.items())
def test_template_that_cannot_be_trained_is_refused(template: str, problem: str) -> None:
    with pytest.raises(
        AnexaError, match="the chat template of the model cannot be trained: a conversation "
    ) as caught:
        ChatRenderer(template, tokenizer(()))
    assert problem in str(caught.value)


def test_conversation_that_the_template_refuses() -> None:
    template = TEMPLATES["ours"][0].replace("== 'user'", "== 'user' and message.content != 'no'")
    renderer = ChatRenderer(template, tokenizer(general_tokens(thinking=False)))
    with pytest.raises(BadRowError, match=r"refused by the chat template: .*not user"):
        renderer.render([user("no"), assistant("b")])


@pytest.mark.parametrize(
    "messages",
    [[user("a<|user|>b"), assistant("c")], [user("a"), assistant(f"b{END}c")]],
    ids=["user", "assistant"],
)
def test_special_tokens_in_a_text_are_refused(messages: list[Message]) -> None:
    template, special = TEMPLATES["ours"]
    with pytest.raises(BadRowError, match="is a special token of the model"):
        ChatRenderer(template, tokenizer(special)).render(messages)


def test_special_tokens_that_the_template_does_not_use_are_refused() -> None:
    template, special = TEMPLATES["ChatML"]
    begin, end = (tokenizer(special).token_to_id(token) for token in special)
    assert end is not None
    chat = tokenizer(special).with_special_tokens(begin, [end])
    with pytest.raises(BadRowError, match=r"contains <\|endoftext\|>, which is a special token"):
        ChatRenderer(template, chat).render([user(f"a{END}b"), assistant("c")])
