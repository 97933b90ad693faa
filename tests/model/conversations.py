"""Conversations, as lists of messages."""

from __future__ import annotations

from typing import Any

from anexa.model.chat_format import Message


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str, **more: Any) -> Message:
    return {"role": "assistant", "content": content, **more}


# For the template of arithmetic.
CONVERSATIONS: list[list[Message]] = [
    [user("347*86")],
    [user("")],
    [user(" spaces \n\n and lines\n")],
    [user("{{ 1 }} {% if %} <b>&amp;</b>")],
    [user("15% of 12345, {0:99999} and %99999d")],
    [user("1+1"), assistant("2"), user("and 2+2?")],
    [user("1+1"), assistant("<think>A1+a1:A:1+1+0=02:A2</think>2"), user("2+2")],
    [user("1+1"), assistant("<think>a</think>b<think>c</think>d"), user("2+2")],
    [user("1+1"), assistant("<think>it never ended"), user("2+2")],
    [{"role": "system", "content": "Be brief."}, user("1+1")],
    [user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"), user("g")],
    [user("not answered"), user("1+1")],
]
