"""The text of a prompt, as a chat template renders it."""

from __future__ import annotations


class RenderedPrompt(str):
    """A prompt rendered by a chat template, which writes BOS itself where the model needs it.

    Attributes:
        in_thought: whether the prompt ends within a thought, which the model continues.
    """

    in_thought: bool

    def __new__(cls, text: str, in_thought: bool = False) -> RenderedPrompt:
        """Create a prompt from a rendered text, BOS included; `in_thought` is the attribute."""
        prompt = super().__new__(cls, text)
        prompt.in_thought = in_thought
        return prompt
