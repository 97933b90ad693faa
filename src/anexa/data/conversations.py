"""Conversations in the rows of a JSON Lines file: three formats, converted to one.

    {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi!"}]}
    {"conversations": [{"from": "human", "value": "Hello!"}, {"from": "gpt", "value": "Hi!"}]}
    {"instruction": "Greet me.", "output": "Hi!"}

They are OpenAI's, as trl, axolotl and mlx-lm take it, ShareGPT's and Alpaca's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anexa.data.jsonl import BadRowError
from anexa.errors import AnexaError, short_repr
from anexa.model.chat_format import END_THINK, THINK, Message, normalize_messages, split_answer

# Roles of messages in files, and the roles of `Message` that they become.
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
# Roles of messages about tool calls, and the error message for such messages.
TOOL_ROLES = ("tool", "function", "function_call", "observation", "ipython")
NO_TOOLS = "is about a tool call, which cannot be trained on"


def parse_conversation(fields: Mapping[str, Any], kind: str) -> list[Message]:
    """Convert a row to messages, up to the last answer that is learned.

    Args:
        fields: fields of the row.
        kind: name of its format, a key of `FORMATS`.

    Returns:
        Messages with a "role" ("system", "user" or "assistant") and a "content", which is not
        blank: a blank system message is left out. A thought, also one in tags at the start of a
        content, is "reasoning_content". A "weight" of 0, as in OpenAI's files, marks an answer that
        is not learned.

    Raises:
        BadRowError: if the row has no such conversation, or no answer to learn; if it is about a
            tool call, or has an unknown role, a blank message or thought tags within a content.
    """
    if fields.get("tools") or fields.get("functions"):
        raise BadRowError(NO_TOOLS)
    messages = [_normalize(message) for message in FORMATS[kind](fields)]
    messages = [m for m in messages if m["content"].strip() or m["role"] != "system"]
    if any(not message["content"].strip() for message in messages):
        raise BadRowError("has an empty message")
    learned = [
        number
        for number, message in enumerate(messages, 1)
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
    if not learned:
        raise BadRowError("has no turn of the assistant to learn")
    return messages[: learned[-1]]


def _messages(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _list_of_messages(fields, "messages")


def _share_gpt(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = _list_of_messages(fields, "conversations")
    system = fields.get("system")
    return [{"role": "system", "content": system}, *messages] if system else messages


def _alpaca(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    texts = {name: fields.get(name) for name in ("system", "instruction", "input", "output")}
    for name in ("instruction", "output"):
        if name not in fields:
            raise BadRowError(f"has no field {name}")
    for name, text in texts.items():
        if not isinstance(text, str | None):
            raise BadRowError(f"has a field {name} that is not a text", f" but {short_repr(text)}")
    turns = fields.get("history") or []
    if not (
        isinstance(turns, list) and all(isinstance(turn, list) and len(turn) == 2 for turn in turns)
    ):
        raise BadRowError("has a field history that is not a list of questions and answers")
    question = "\n\n".join(text for name in ("instruction", "input") if (text := texts[name]))
    messages = [
        {"role": role, "content": text}
        for turn in [*turns, [question, texts["output"]]]
        for role, text in zip(("user", "assistant"), turn)
    ]
    return [{"role": "system", "content": texts["system"] or ""}, *messages]


# Functions that convert the fields of a row to messages, not yet normalized, by format.
FORMATS: dict[str, Callable[[Mapping[str, Any]], list[Mapping[str, Any]]]] = {
    "messages": _messages,
    "ShareGPT": _share_gpt,
    "Alpaca": _alpaca,
}


def _list_of_messages(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    if name not in fields:
        raise BadRowError(f"has no field {name}")
    messages = fields[name]
    if not (isinstance(messages, list) and all(isinstance(m, dict) for m in messages)):
        raise BadRowError(f"has a field {name} that is not a list of messages")
    return messages


def _normalize(message: Mapping[str, Any]) -> Message:
    """Return a message with the names of OpenAI's format, and its thought apart from its content.

    Raises:
        BadRowError: if its role or its weight is unknown, or its content or thought is not text.
    """
    name = message.get("role", message.get("from"))
    if name in TOOL_ROLES or message.get("tool_calls") or message.get("function_call"):
        raise BadRowError(NO_TOOLS)
    if not isinstance(name, str) or name not in ROLES:
        known = "system, user and assistant, or system, human and gpt"
        what = "a message without a role" if name is None else f"the role {short_repr(name)}"
        raise BadRowError(f"has {what}: the roles are {known}")
    role, content = ROLES[name], message.get("content", message.get("value"))
    given = {
        key: message[key] for key in ("reasoning", "reasoning_content", "weight") if key in message
    }
    for key in ("reasoning", "reasoning_content"):
        if not isinstance(given.get(key), str | None):
            text = short_repr(given[key])
            raise BadRowError(f"has a {key} that is not text", f" but {text}")
    if given.get("weight") not in (None, 0, 1):
        raise BadRowError(f"has the weight {short_repr(given['weight'])}: a weight is 0 or 1")
    try:
        [normalized] = normalize_messages("", [{**given, "role": role, "content": content}])
    except AnexaError as error:
        raise BadRowError(
            "has a message whose content is not text", f" but {short_repr(content)}"
        ) from error
    normalized.pop("reasoning", None)
    thought, rest = split_answer(normalized["content"])
    if role == "assistant" and thought is not None:
        if END_THINK not in normalized["content"]:
            raise BadRowError(f"has a thought without its end, {END_THINK}")
        normalized |= {"reasoning_content": thought.strip("\n"), "content": rest.lstrip("\n")}
    if THINK in normalized["content"] or END_THINK in normalized["content"]:
        raise BadRowError(f"has {THINK} or {END_THINK} within a text")
    return normalized
