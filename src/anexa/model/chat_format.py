"""Chat format of Anexa's own chat models.

    <|user|>C3B4A7*B8A6<|assistant|><think>A7B4C3*a6b8:…</think>29842<|endoftext|>

Each tag is one token. What stands between the think tags is the thought, the reasoning before an
answer. The digits of the user's messages have place marks, which only the template adds: messages
are plain. As in Qwen3, thoughts of earlier turns are removed from the prompt, and
`enable_thinking=False` ends the prompt in an empty thought, after which the model answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from anexa.errors import AnexaError
from anexa.model.chat_template import render_template
from anexa.model.place_marks import MARK_PLACES_MACRO
from anexa.model.question import check_question_length, normalize_question
from anexa.model.rendered_prompt import RenderedPrompt
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer

USER, ASSISTANT = "<|user|>", "<|assistant|>"
THINK, END_THINK = "<think>", "</think>"
CHAT_TOKENS = (USER, ASSISTANT, THINK, END_THINK)  # added tokens of these models
# Characters of questions and thoughts of the arithmetic corpus.
ARITHMETIC_CHARACTERS = "0123456789+-*:,"

_END_OF_MESSAGE = "\ue000end of message\ue001"  # private characters, which no text has

Message = Mapping[str, Any]
"""A turn of a conversation: its "role" ("user", "assistant" or "system") and its "content".

As in OpenAI's API, a content may also be a list of parts, each `{"type": "text", "text": …}` or
`{"type": "refusal", "refusal": …}`, and "developer" is another name of "system". An assistant's
message may also have a "reasoning_content".
"""

Tool: TypeAlias = Mapping[str, Any]
"""A function that the model may call, in OpenAI's format: `{"type": "function", "function": …}`."""

PromptEnd: TypeAlias = Literal["answer", "message", "nothing"]
"""End of a chat prompt: the beginning of a new answer, the last message without its end, which the
model continues, or the last message with its end."""

# Macro of Anexa's templates: the text of a content, which is a string or a list of text parts.
CONTENT_TEXT_MACRO = """\
{%- macro text_of(content) -%}
{%- if content is string -%}
{{- content -}}
{%- elif not content -%}
{{- raise_exception('a message has no content') -}}
{%- else -%}
{%- for part in content -%}
{%- if part.type != 'text' -%}
{{- raise_exception('the parts of a content are texts: no other type can be read') -}}
{%- endif -%}
{{- '' + part.text -}}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""

# System messages are skipped: the model was not trained on them, but many clients send them. The
# `generation` tags have no dashes, which @huggingface/jinja does not support before version 0.5.8.
CHAT_TEMPLATE = f"""\
{CONTENT_TEXT_MACRO}{MARK_PLACES_MACRO}{{%- for message in messages -%}}
{{%- if message.role == 'user' -%}}
{{{{- '{USER}' + mark_places(text_of(message.content)) -}}}}
{{%- elif message.role == 'assistant' -%}}
{{{{- '{ASSISTANT}' -}}}}
{{% generation %}}
{{{{- text_of(message.content).split('{END_THINK}')[-1] + '{END_OF_TEXT}' -}}}}
{{% endgeneration %}}
{{%- elif message.role != 'system' -%}}
{{{{- raise_exception('the roles are user, assistant and system, not ' + message.role) -}}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
{{{{- '{ASSISTANT}' -}}}}
{{%- if enable_thinking is defined and not enable_thinking -%}}
{{{{- '{THINK}{END_THINK}' -}}}}
{{%- endif -%}}
{{%- endif -%}}
"""


def normalize_messages(template: str, messages: Sequence[Message]) -> list[dict[str, str]]:
    """Convert messages to the form for chat templates: a role, and one text as content.

    The content of an assistant's message may be None, which means an empty text; its "reasoning" is
    another name of "reasoning_content". The role "developer" becomes "system".

    For `CHAT_TEMPLATE`, thoughts in the contents of the assistant's messages are removed, and all
    contents are normalized by `normalize_question`. If the last message is the assistant's, its
    content stays as it is, as the model may have to continue it.

    Args:
        template: chat template that the messages are for.
        messages: messages, which are not changed.

    Returns:
        New messages, which keep the other keys of the old ones.

    Raises:
        AnexaError: if a role is not a string, or a content neither a string nor text parts.
        QuestionTooLongError: if, for `CHAT_TEMPLATE`, a user's message is too long.
    """
    normalized = []
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), _text_of(message.get("content"))
        if role == "assistant" and message.get("content") is None:
            content = ""
        if not isinstance(role, str) or content is None:
            raise AnexaError(
                f"message {number} needs a role and a content, which is a string or a list of text "
                'parts such as {"type": "text", "text": "7*8"}'
            )
        is_last_answer = role == "assistant" and number == len(messages)
        if template == CHAT_TEMPLATE and not is_last_answer:
            if role == "assistant":
                content = content.rpartition(END_THINK)[2]  # all that the template keeps
            elif role == "user":
                check_question_length(content)
            content = normalize_question(content)
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        more = {"reasoning_content": reasoning} if isinstance(reasoning, str) else {}
        role = "system" if role == "developer" else role
        normalized.append({**message, **more, "role": role, "content": content})
    return normalized


def has_text_to_continue(message: Message) -> bool:
    """Return whether a message has a content or a reasoning that the model can continue.

    Args:
        message: message that `normalize_messages` has returned.
    """
    return bool(message["content"] or message.get("reasoning_content"))


def _text_of(content: object) -> str | None:
    """Return the content of a message as one text; None if it is neither text nor text parts."""
    if not isinstance(content, list | tuple):
        return content if isinstance(content, str) else None
    parts = [part for part in content if isinstance(part, Mapping)]
    named = [part.get(part["type"]) for part in parts if part.get("type") in ("text", "refusal")]
    texts = [text for text in named if isinstance(text, str)]
    return "".join(texts) if len(texts) == len(content) else None


def render_messages(
    template: str,
    messages: Sequence[Message],
    *,
    thinking: bool = True,
    bos: str = END_OF_TEXT,
    eos: str = END_OF_TEXT,
    add_generation_prompt: bool = True,
    tools: Sequence[Tool] = (),
) -> RenderedPrompt:
    """Render a conversation as the prompt for the assistant's next turn.

    Args:
        template: chat template; it can only read the other arguments.
        messages: messages so far.
        thinking: whether the assistant may think before it answers (`enable_thinking`).
        bos: BOS token.
        eos: EOS token.
        add_generation_prompt: whether the prompt ends with the beginning of the assistant's turn.
        tools: functions that the model may call.

    Returns:
        The prompt: a string that knows whether it ends within a thought.

    Raises:
        AnexaError: if the template is invalid, or refuses these messages.
    """
    text = render_template(
        template,
        messages=[dict(message) for message in messages],  # copies, which it may change
        tools=[dict(tool) for tool in tools] or None,
        documents=None,
        add_generation_prompt=add_generation_prompt,
        enable_thinking=thinking,
        bos_token=bos,
        eos_token=eos,
    )
    return RenderedPrompt(text, add_generation_prompt and text.rstrip().endswith(THINK))


def render_continuation(
    template: str,
    messages: Sequence[Message],
    *,
    bos: str = END_OF_TEXT,
    eos: str = END_OF_TEXT,
    tools: Sequence[Tool] = (),
) -> RenderedPrompt:
    """Render a conversation as the prompt for the rest of its last message.

    The prompt ends where the content of the last message does; without a content, where its
    reasoning does, which is then continued. A content may begin with its thought, in tags.

    Args:
        template: chat template; it can only read the other arguments.
        messages: messages so far; the last one has a content, or a reasoning.
        bos: BOS token.
        eos: EOS token.
        tools: functions that the model may call.

    Returns:
        The prompt: a string that knows whether it ends within a thought.

    Raises:
        AnexaError: if the template is invalid, refuses these messages, or leaves out the last one.
    """
    *previous, last = messages
    content, reasoning = last["content"], last.get("reasoning_content") or ""
    in_thought = not content or content.rfind(THINK) > content.rfind(END_THINK)
    if template == CHAT_TEMPLATE and last["role"] == "assistant":
        # The template leaves thoughts out, but the model has learned to give results after one.
        has_thought = content.startswith(THINK)
        thought = "" if has_thought else f"{THINK}{reasoning}{END_THINK if content else ''}"
        prompt = render_messages(template, previous, bos=bos, eos=eos)
        return RenderedPrompt(prompt + thought + content, in_thought)
    name, text = ("content", content) if content else ("reasoning_content", reasoning)
    ending_in_mark = {**last, name: text + _END_OF_MESSAGE}
    prompt = render_messages(
        template,
        [*previous, ending_in_mark],
        bos=bos,
        eos=eos,
        add_generation_prompt=False,
        tools=tools,
    )
    before, mark, _ = prompt.rpartition(_END_OF_MESSAGE)
    if not mark:
        raise AnexaError("the chat template does not show the end of the last message")
    return RenderedPrompt(before, in_thought)


def render_question(template: str, question: str, *, thinking: bool = True) -> str:
    """Return the prompt for the answer to a single question, by a chat template.

    Raises:
        AnexaError: if the template is invalid, or refuses the question.
    """
    return render_messages(template, [{"role": "user", "content": question}], thinking=thinking)


def split_answer(text: str) -> tuple[str | None, str]:
    """Split an answer into its thought (the text between the think tags) and the text after it.

    Returns:
        The thought, None if there is none; and the text, empty if the thought does not end.
    """
    if not text.startswith(THINK):
        return None, text
    thought, _, content = text.removeprefix(THINK).partition(END_THINK)
    return thought, content


def can_think(template: str | None, tokenizer: Tokenizer) -> bool:
    """Return whether a chat model may think: its template or its vocabulary has the think tags.

    Args:
        template: chat template of the model; None for a base model.
        tokenizer: tokenizer of the model.
    """
    if template is None:
        return False
    return END_THINK in template or None not in map(tokenizer.token_to_id, (THINK, END_THINK))


def check_answers_arithmetic(tokenizer: Tokenizer, name: str) -> None:
    """Check that a model can be asked arithmetic problems, and can think about them.

    Args:
        tokenizer: tokenizer of the model.
        name: name of the model, for the error message.

    Raises:
        AnexaError: if the tokenizer lacks a think tag, or a character of arithmetic.
    """
    lacking = [tag for tag in (THINK, END_THINK) if tokenizer.token_to_id(tag) is None]
    if lacking := lacking or tokenizer.unknown_characters(ARITHMETIC_CHARACTERS):
        noun = "tokens" if lacking[0] == THINK else "characters"
        raise AnexaError(
            f"the tokenizer of {name} lacks the {noun} "
            f"{' '.join(lacking)}: only a model that thinks about arithmetic can be evaluated or "
            "reinforced, such as one of anexa train arithmetic"
        )
