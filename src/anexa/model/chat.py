"""The form of a conversation: who speaks, what is thought and what is said.

    <|user|>347*86<|assistant|><think>347*6:…</think>29842<|endoftext|>

Each mark is one token. What was thought in earlier turns is left out, and an empty thought, written
for the model, makes it answer at once: both as Qwen3 has it, where transformers calls the switch
`enable_thinking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from anexa.errors import AnexaError
from anexa.model.tokenizer import BOUNDARY

USER, ASSISTANT = "<|user|>", "<|assistant|>"
THINK, END_THINK = "<think>", "</think>"
MARKS = (USER, ASSISTANT, THINK, END_THINK)

Message = Mapping[str, str]
"""With a "role", which is "user", "assistant" or "system", and "content"."""

# Nobody has trained the model to heed a system message; programs send one all the same.
CHAT_TEMPLATE = f"""\
{{%- for message in messages -%}}
{{%- if message.role == 'user' -%}}
{{{{- '{USER}' + message.content -}}}}
{{%- elif message.role == 'assistant' -%}}
{{{{- '{ASSISTANT}' + message.content.split('{END_THINK}')[-1] + '{BOUNDARY}' -}}}}
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


def render(template: str, messages: Sequence[Message], *, thinking: bool = True) -> str:
    """The text that the assistant's next turn follows.

    Args:
        template: a `chat_template.jinja`; it can read what it is given, and nothing else.
        messages: the turns so far, the last one the user's.
        thinking: whether the assistant may think before it answers.

    Raises:
        AnexaError: the template cannot be used, or not for these messages.
    """
    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages],  # which it may spoil
            tools=None,
            documents=None,
            add_generation_prompt=True,
            enable_thinking=thinking,
            bos_token=BOUNDARY,
            eos_token=BOUNDARY,
        )
    except Exception as error:  # a template is a program: any may come of it
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AnexaError(f"the chat template cannot be used for this: {reason}") from error


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


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    # As transformers sets it up, so that the same text comes out.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    return environment.from_string(template)


def _raise(message: str) -> None:
    raise TemplateError(message)
