"""Chat format of Anexa's own chat models.

    <|user|>347*86<|assistant|><think>347*6:…</think>29842<|endoftext|>

Each tag is one token. As in Qwen3, thoughts of earlier turns are removed from the prompt, and
`enable_thinking=False` ends the prompt in an empty thought, after which the model answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anexa.errors import AnexaError
from anexa.model.chat_template import render_template
from anexa.model.question import normalize_question
from anexa.model.tokenizer import END_OF_TEXT, RenderedPrompt

USER, ASSISTANT = "<|user|>", "<|assistant|>"
THINK, END_THINK = "<think>", "</think>"
CHAT_TOKENS = (USER, ASSISTANT, THINK, END_THINK)

Message = Mapping[str, Any]
"""A turn of a conversation: its "role" ("user", "assistant" or "system") and its "content".

As in OpenAI's API, a content may also be a list of parts, each `{"type": "text", "text": …}` or
`{"type": "refusal", "refusal": …}`, and "developer" is another name of "system".
"""

# System messages are skipped: the model was not trained on them, but many clients send them. The
# `generation` tags have no dashes, which @huggingface/jinja does not support before version 0.5.8.
CHAT_TEMPLATE = f"""\
{{%- macro text_of(content) -%}}
{{%- if content is string -%}}
{{{{- content -}}}}
{{%- elif not content -%}}
{{{{- raise_exception('a message has no content') -}}}}
{{%- else -%}}
{{%- for part in content -%}}
{{%- if part.type != 'text' -%}}
{{{{- raise_exception('the parts of a content are texts: no other type can be read') -}}}}
{{%- endif -%}}
{{{{- '' + part.text -}}}}
{{%- endfor -%}}
{{%- endif -%}}
{{%- endmacro -%}}
{{%- for message in messages -%}}
{{%- if message.role == 'user' -%}}
{{{{- '{USER}' + text_of(message.content) -}}}}
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

    For `CHAT_TEMPLATE`, the text is also normalized by `normalize_question`. The content of an
    assistant's message may be None, which means an empty text.

    Raises:
        AnexaError: if a role or a content is not text.
    """
    normalized = []
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), _text_of(message.get("content"))
        if role == "assistant" and message.get("content") is None:
            content = ""
        if not isinstance(role, str) or content is None:
            raise AnexaError(
                f"message {number} needs a role and a content: strings, or as the content a list "
                'of text parts such as {"type": "text", "text": "7*8"}'
            )
        if template == CHAT_TEMPLATE:
            content = normalize_question(content)
        role = "system" if role == "developer" else role
        normalized.append({**message, "role": role, "content": content})
    return normalized


def _text_of(content: object) -> str | None:
    """Return the content of a message as one text; None if it is no text."""
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
) -> RenderedPrompt:
    """Render a conversation as the prompt for the assistant's next turn.

    Args:
        template: chat template; it can only read the other arguments.
        messages: messages so far, the last one from the user.
        thinking: whether the assistant may think before it answers (`enable_thinking`).
        bos: BOS token.
        eos: EOS token.

    Raises:
        AnexaError: if the template is invalid, or refuses these messages.
    """
    return RenderedPrompt(
        render_template(
            template,
            messages=[dict(message) for message in messages],  # copies, which it may change
            tools=None,
            documents=None,
            add_generation_prompt=True,
            enable_thinking=thinking,
            bos_token=bos,
            eos_token=eos,
        )
    )


def render_question(template: str, question: str, *, thinking: bool = True) -> str:
    """Render a conversation of one question."""
    return render_messages(template, [{"role": "user", "content": question}], thinking=thinking)


def split_answer(text: str) -> tuple[str | None, str]:
    """Split an answer into its thought and the text after it.

    The thought is None if there is none. The text is empty if the thought does not end.
    """
    if not text.startswith(THINK):
        return None, text
    thought, _, content = text.removeprefix(THINK).partition(END_THINK)
    return thought, content
