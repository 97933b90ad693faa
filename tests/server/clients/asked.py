"""What every client is asked: by its command line, as it runs without this project's packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS, MODEL, THOUGHT = sys.argv[1:]  # the thought that answers QUESTION
QUESTION, ANSWER = "347*86", "29842"
MESSAGES = [{"role": "user", "content": QUESTION}]
# Two questions as long as a question may be: the letter of a digit's place is a token as well.
LONGEST = "1" * 1000
TOO_LONG_MESSAGES = [{"role": "user", "content": LONGEST}] * 2
TOO_LONG = "1" * 2600  # as a text without a chat template
UNKNOWN = "gpt-4o"  # no served model's name


@contextmanager
def raises(kind: type[Exception], words: str) -> Iterator[None]:
    """Check that the block raises an exception of a client's own, with these words."""
    raised = ""
    try:
        yield
    except kind as error:
        raised = str(error)
    assert words in raised, raised or f"there was no {kind.__name__}"
