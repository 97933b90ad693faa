"""Chat templates for conversations of any kind: system prompts, several turns, thoughts.

    <|system|>You are Fern.<|user|>Hello!<|assistant|>Hi! I am Fern.<|endoftext|>

Each tag is one token. A model without these tokens, such as a base model from the Hub, has the
same roles as plain words, so that its vocabulary stays as it is:

    System: You are Fern.

    User: Hello!

    Assistant: Hi! I am Fern.<|endoftext|>

With thoughts, an answer begins with its thought (the reasoning before it, between think tags), as
in Qwen3: an empty one if the model answers at once. Thoughts of earlier turns are removed from the
prompt, and `enable_thinking=False` ends the prompt in an empty thought.
"""

from __future__ import annotations

from anexa.model.chat_format import ASSISTANT, CONTENT_TEXT_MACRO, END_THINK, THINK, USER

SYSTEM_TAG = "<|system|>"
# What precedes a message of each role: a tag, or plain words.
ROLE_TAGS = {"system": SYSTEM_TAG, "user": USER, "assistant": ASSISTANT}
ROLE_WORDS = {"system": "System: ", "user": "User: ", "assistant": "Assistant:"}


def general_tokens(*, thinking: bool) -> tuple[str, ...]:
    """Return the special tokens of roles that `general_template` writes, besides the EOS token.

    Args:
        thinking: whether the tags of a thought are among them.
    """
    return (*ROLE_TAGS.values(), *((THINK, END_THINK) if thinking else ()))


def general_template(*, thinking: bool, tagged: bool = True) -> str:
    """Return a chat template (Jinja) for conversations of any kind.

    Args:
        thinking: whether answers begin with a thought; otherwise the template leaves thoughts out
            and ignores `enable_thinking`.
        tagged: whether the roles are tags, each a token of the model; otherwise they are plain
            words, such as "User:".

    Returns:
        The source of the template.
    """
    roles, space = (ROLE_TAGS, "") if tagged else (ROLE_WORDS, " ")
    end, before_answer, after_answer = "", "", ""
    if not tagged:
        end, before_answer, after_answer = r" + '\n\n'", "' ' + ", r"{{- '\n\n' -}}" + "\n"
    thought = f"""\
{{%- if not loop.last -%}}
{{%- set content = content.split('{END_THINK}')[-1] -%}}
{{%- elif not content.startswith('{THINK}') -%}}
{{%- set content = '{THINK}' + (message.reasoning_content or '') + '{END_THINK}' + content -%}}
{{%- endif -%}}
"""
    no_thought = f"""\
{{%- if enable_thinking is defined and not enable_thinking -%}}
{{{{- '{space}{THINK}{END_THINK}' -}}}}
{{%- endif -%}}
"""
    return f"""\
{CONTENT_TEXT_MACRO}{{%- for message in messages -%}}
{{%- set content = text_of(message.content) -%}}
{{%- if message.role in ('system', 'developer') -%}}
{{{{- '{roles["system"]}' + content{end} -}}}}
{{%- elif message.role == 'user' -%}}
{{{{- '{roles["user"]}' + content{end} -}}}}
{{%- elif message.role == 'assistant' -%}}
{thought if thinking else ""}\
{{{{- '{roles["assistant"]}' -}}}}
{{% generation %}}
{{{{- {before_answer}content + eos_token -}}}}
{{% endgeneration %}}
{after_answer}\
{{%- else -%}}
{{{{- raise_exception('the roles are user, assistant and system, not ' + message.role) -}}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
{{{{- '{roles["assistant"]}' -}}}}
{no_thought if thinking else ""}\
{{%- endif -%}}
"""
