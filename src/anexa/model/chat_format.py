"""The form of a conversation: who speaks, what is thought and what is said.

    <|user|>347*86<|assistant|><think>347*6:…</think>29842<|endoftext|>

Each mark is one token. What was thought in earlier turns is left out, and an empty thought, written
for the model, makes it answer at once: both as Qwen3 has it, where transformers calls the switch
`enable_thinking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anexa.model.chat_template import render_template
from anexa.model.tokenizer import END_OF_TEXT, RenderedPrompt

USER, ASSISTANT = "<|user|>", "<|assistant|>"
THINK, END_THINK = "<think>", "</think>"
CHAT_TOKENS = (USER, ASSISTANT, THINK, END_THINK)

Message = Mapping[str, str]
"""With a "role", which is "user", "assistant" or "system", and "content"."""

# Nobody has trained the model to heed a system message; programs send one all the same.
CHAT_TEMPLATE = f"""\
{{%- for message in messages -%}}
{{%- if message.role == 'user' -%}}
{{{{- '{USER}' + message.content -}}}}
{{%- elif message.role == 'assistant' -%}}
{{{{- '{ASSISTANT}' + message.content.split('{END_THINK}')[-1] + '{END_OF_TEXT}' -}}}}
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


def render(
    template: str,
    messages: Sequence[Message],
    *,
    thinking: bool = True,
    bos: str = END_OF_TEXT,
    eos: str = END_OF_TEXT,
) -> RenderedPrompt:
    """The text that the assistant's next turn follows.

    Args:
        template: a `chat_template.jinja`; it can read what it is given, and nothing else.
        messages: the turns so far, the last one the user's.
        thinking: whether the assistant may think before it answers.
        bos: what begins a text.
        eos: what ends one.

    Raises:
        AnexaError: the template cannot be used, or not for these messages.
    """
    return RenderedPrompt(
        render_template(
            template,
            messages=[dict(message) for message in messages],  # which it may spoil
            tools=None,
            documents=None,
            add_generation_prompt=True,
            enable_thinking=thinking,
            bos_token=bos,
            eos_token=eos,
        )
    )


def ask(template: str, question: str, *, thinking: bool = True) -> str:
    """`render` of a conversation that a question begins."""
    return render(template, [{"role": "user", "content": question}], thinking=thinking)


def split_answer(text: str) -> tuple[str | None, str]:
    """The thought that an answer begins with, None if there is none, and what is said after it.

    Of a thought that never ends nothing is said after it.
    """
    if not text.startswith(THINK):
        return None, text
    thought, _, said = text.removeprefix(THINK).partition(END_THINK)
    return thought, said
