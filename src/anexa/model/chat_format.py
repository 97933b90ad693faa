"""Format of conversations with Anexa's own chat models.

    <|user|>347*86<|assistant|><think>347*6:…</think>29842<|endoftext|>

Each tag is one token. Thoughts of earlier turns are left out, and an empty thought, written for
the model, makes it answer at once: both as in Qwen3, where transformers calls the switch
`enable_thinking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anexa.model.chat_template import render_template
from anexa.model.question import normalize_question
from anexa.model.tokenizer import END_OF_TEXT, RenderedPrompt

USER, ASSISTANT = "<|user|>", "<|assistant|>"
THINK, END_THINK = "<think>", "</think>"
CHAT_TOKENS = (USER, ASSISTANT, THINK, END_THINK)

Message = Mapping[str, str]
"""A turn of a conversation: its "role" ("user", "assistant" or "system") and its "content"."""

# The model was not trained on system messages, so they are skipped; programs send them anyway. The
# marks of `generation` have no dashes: @huggingface/jinja knew them only so before version 0.5.8.
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


def normalize_messages(template: str, messages: Sequence[Message]) -> list[Message]:
    """Spell the messages as the model was trained on them, if the template is `CHAT_TEMPLATE`.

    The messages of other templates stay as they are.
    """
    if template != CHAT_TEMPLATE:
        return [*messages]
    return [{**turn, "content": normalize_question(turn["content"])} for turn in messages]


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
        template: chat template; it can read these arguments, and nothing else.
        messages: turns so far, the last one of the user.
        thinking: whether the assistant may think before it answers.
        bos: token that begins a text.
        eos: token that ends a text.

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
    """Split an answer into its thought, None if there is none, and the text after it.

    After a thought that does not end, the text is empty.
    """
    if not text.startswith(THINK):
        return None, text
    thought, _, content = text.removeprefix(THINK).partition(END_THINK)
    return thought, content
