"""The arithmetic corpus as a run needs it: conversations as rows of tokens."""

from __future__ import annotations

import hashlib

from anexa.data import Progress
from anexa.data.batches import Dataset, Row
from anexa.errors import UsageError
from anexa.model.chat_format import (
    ASSISTANT,
    CHAT_TEMPLATE,
    CHAT_TOKENS,
    END_THINK,
    THINK,
    USER,
    ask,
)
from anexa.model.tokenizer import END_OF_TEXT, Tokenizer
from anexa.thinking.examples import ALPHABET, Example, Examples
from anexa.thinking.splits import Split


class Arithmetic:
    """See `anexa.training.corpus.Corpus`."""

    name = "arithmetic"
    chat_template: str | None = CHAT_TEMPLATE
    temperature = 0.0  # of several results one is right
    max_new_tokens: int | None = 490  # for 9999*9999
    prompt = ask(CHAT_TEMPLATE, "347*86")

    @property
    def sha256(self) -> str:
        """Of its first examples: another one, if they are generated in another way."""
        examples = [Examples(512, 0).batch(step, 2048) for step in (0, 100, 2000)]
        return hashlib.sha256(repr(examples).encode()).hexdigest()

    def tokenizer(self, spec: str) -> Tokenizer:
        """That of characters, and of the marks of a conversation.

        Raises:
            UsageError: another one is asked for.
        """
        if spec != "char":
            raise UsageError(
                f"the arithmetic corpus is read by character: leave --tokenizer {spec} out"
            )
        return Tokenizer.from_characters([ALPHABET], adds_bos=False, added_tokens=CHAT_TOKENS)

    def rows(
        self,
        tokenizer: Tokenizer,
        block_size: int,
        seed: int,
        progress: Progress | None = None,  # noqa: ARG002 (nothing is encoded beforehand)
    ) -> tuple[Dataset, Dataset]:
        """Rows to train on, and of problems that are held out.

        Raises:
            UsageError: the context has no room for a thought.
        """
        if block_size < 64:
            raise UsageError(
                f"arithmetic needs a --block-size of at least 64, and 512 for all of it, "
                f"not {block_size}"
            )
        parts: tuple[Split, Split] = ("training", "validation")
        training, validation = (
            ChatDataset(tokenizer, block_size, self.examples(block_size + 1, seed, split))
            for part in parts
        )
        return training, validation

    def examples(self, most: int, seed: int, split: Split) -> Examples:
        """What its rows are made from; see `Examples`."""
        return Examples(most, seed, split)


class ChatDataset:
    """`Dataset` of conversations, without end.

    Args:
        tokenizer: with the marks of a conversation.
        length: at most so many tokens of a row are predicted.
        examples: which they are, none longer than `length + 1` tokens.
    """

    def __init__(self, tokenizer: Tokenizer, length: int, examples: Examples) -> None:
        self._tokenizer, self._length, self._examples = tokenizer, length, examples
        marks = (tokenizer.token_to_id(mark) for mark in (ASSISTANT, END_THINK))
        self._assistant, self._end_think = (mark for mark in marks if mark is not None)

    @property
    def per_epoch(self) -> int:
        """See `Dataset`."""
        raise UsageError("arithmetic has no end: give --steps or --minutes, not --epochs")

    def batch(self, step: int, size: int) -> list[Row]:
        """As many rows of like lengths as take the room of `size` rows of full length."""
        examples = self._examples.batch(step, size * self._length)
        return [self._tokenizer.encode(text_of(example)) for example in examples]

    def sample(self, size: int) -> list[Row]:
        """So many rows, of all lengths."""
        return [self._tokenizer.encode(text_of(e)) for e in self._examples.sample(size)]

    def given(self, row: Row) -> int:
        """All before the last answer, and the empty thought where the assistant may not think."""
        length = len(row)
        start = length - list(reversed(row)).index(self._assistant)
        return start + 2 if row[start + 1] == self._end_think else start


def text_of(example: Example) -> str:
    """A conversation from beginning to end, as the chat template and the assistant write it."""
    turns = "".join(
        f"{USER}{question}{ASSISTANT}{answer}{END_OF_TEXT}" for question, answer in example.earlier
    )
    thought = ""
    if example.direct or example.thought is not None:
        thought = f"{THINK}{example.thought or ''}{END_THINK}"
    return f"{turns}{USER}{example.question}{ASSISTANT}{thought}{example.answer}{END_OF_TEXT}"
