"""Search for stop strings in a text while it is being generated."""

from __future__ import annotations

import re
from collections.abc import Sequence

from anexa.errors import UsageError, short_repr
from anexa.model.chat_format import END_THINK, THINK

# A tag that begins or ends a thought; a group, so that `split` keeps the tags.
_TAG = re.compile(f"({re.escape(THINK)}|{re.escape(END_THINK)})")
_HIDDEN = "\ud800"  # half of a UTF-16 pair: it occurs in no text and in no stop string


class StopStrings:
    """Stop strings that end a text wherever they occur in it.

    Text that may be the beginning of a stop string is held back, and searched again together with
    the text that is generated next.

    Args:
        stop: string that ends the text, or several.

    Attributes:
        strings: strings that end a text.

    Raises:
        UsageError: if a stop string is not a string, or is empty.
    """

    def __init__(self, stop: str | Sequence[str] = ()) -> None:
        stop = (stop,) if isinstance(stop, str) else stop
        if not isinstance(stop, Sequence) or not all(isinstance(text, str) for text in stop):
            raise UsageError(f"stop must be a string or a list, not {short_repr(stop)}")
        if "" in stop:
            raise UsageError("stop must not be empty")
        self.strings = tuple(stop)

    def find(self, text: str, *, is_last: bool) -> int | None:  # noqa: ARG002 (a subclass uses it)
        """Find the first stop string in a text.

        Args:
            text: text that has not been released yet.
            is_last: whether the generated text ends here, so that no tag can be completed; it
                matters to `AnswerStopStrings` alone.

        Returns:
            Its index; None if the text contains none.
        """
        return min((at for at in map(text.find, self.strings) if at >= 0), default=None)

    def num_held(self, text: str) -> int:
        """Return the length of the longest suffix of a text that begins a longer stop string."""
        return stop_prefix_length(text, self.strings)

    def release(self, text: str) -> None:
        """Note a text that is no longer held back; without thoughts nothing depends on it."""


class AnswerStopStrings(StopStrings):
    """Stop strings that end a chat answer; thoughts are not searched.

    A thought is the reasoning between `<think>` and `</think>`; the tags are not searched either.

    Args:
        stop: string that ends the answer, or several.
        in_thought: whether the generated text begins within a thought.
    """

    def __init__(self, stop: str | Sequence[str] = (), *, in_thought: bool = False) -> None:
        super().__init__(stop)
        self._in_thought = in_thought  # at the beginning of the text that is held back

    def find(self, text: str, *, is_last: bool) -> int | None:
        """Return the index of the first stop string outside of thoughts and tags, or None.

        Unless `is_last`, what may be the beginning of a tag at the end is not searched.
        """
        tag = 0 if is_last else stop_prefix_length(text, (THINK, END_THINK))
        searched = self._hide_thoughts(text[: len(text) - tag])
        return super().find(searched, is_last=is_last)

    def num_held(self, text: str) -> int:
        """Return the length of the longest suffix that begins a longer stop string or tag.

        0 if there are no stop strings.
        """
        if not self.strings:
            return 0
        tag = stop_prefix_length(text, (THINK, END_THINK))
        return max(tag, super().num_held(self._hide_thoughts(text)))

    def release(self, text: str) -> None:
        """Remember whether a text that is no longer held back ends within a thought."""
        tags = _TAG.findall(text)
        if tags:
            self._in_thought = tags[-1] == THINK

    def _hide_thoughts(self, text: str) -> str:
        """Replace each character of thoughts and tags by one that is in no stop string."""
        parts, in_thought = [], self._in_thought
        for part in _TAG.split(text):
            is_tag = part in (THINK, END_THINK)
            in_thought = part == THINK if is_tag else in_thought
            parts.append(_HIDDEN * len(part) if is_tag or in_thought else part)
        return "".join(parts)


def stop_prefix_length(text: str, stop: Sequence[str]) -> int:
    """Return the length of the longest suffix of a text that begins a longer stop string."""
    longest = 0
    for word in stop:
        at = text.find(word[0], max(0, len(text) - len(word) + 1))
        while at >= 0 and not word.startswith(text[at:]):
            at = text.find(word[0], at + 1)
        if at >= 0:
            longest = max(longest, len(text) - at)
    return longest
