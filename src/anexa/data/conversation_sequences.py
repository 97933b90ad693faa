"""Encoding of conversations as labeled sequences that fit the context, and their split."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from anexa.data.chat_labels import ChatRenderer, LabeledText
from anexa.data.conversation_batches import ConversationDataset
from anexa.data.conversation_file import Conversation, Conversations
from anexa.data.download import Progress
from anexa.data.jsonl import BadRowError, BadRows
from anexa.data.tokens import Array
from anexa.errors import AnexaError
from anexa.model.chat_format import Message
from anexa.model.tokenizer import Tokenizer
from anexa.names import counted

Sequences: TypeAlias = list[tuple[Array, npt.NDArray[np.bool_]]]
"""For each sequence of T tokens: token ids, and whether each token has a loss; shape (T,) each."""

CONVERSATION_ENCODE_BATCH_SIZE = 256  # number of conversations that are encoded at once
MIN_TURN_TOKENS = (
    2  # minimum tokens of a turn, which bounds the number of turns that fit the context
)
VALIDATION_FRACTION = 0.1  # fraction of the different conversations that is held out for validation


@dataclass(frozen=True)
class EncodedConversations:
    """Conversations as labeled token sequences, before they are split for validation.

    Attributes:
        name: name of the corpus.
        ids: token ids of all sequences, shape (N,).
        loss_mask: whether each token has a loss, shape (N,).
        spans: start and end of each sequence in `ids`, shape (S, 2).
        origins: index in `digests` of the conversation that each sequence is from, shape (S,).
        digests: hash of each conversation; copies of a conversation have the same hash.
        notes: sentences about what was cut, left out, or occurs twice.
    """

    name: str
    ids: Array
    loss_mask: npt.NDArray[np.bool_]
    spans: Array
    origins: Array
    digests: tuple[bytes, ...]
    notes: tuple[str, ...]

    def split(self, length: int, seed: int) -> tuple[ConversationDataset, ConversationDataset]:
        """Split the conversations into a training and a validation dataset.

        The fraction `VALIDATION_FRACTION` of the different conversations is held out, at least one
        and never all. All sequences of a conversation, and all copies of it, are in the same
        dataset.

        Args:
            length: maximum number of predicted tokens in a sequence.
            seed: random seed of the split and of the order of the sequences.

        Returns:
            The training dataset, which has the notes, and the validation dataset.

        Raises:
            AnexaError: if there are fewer than two different conversations.
        """
        present = dict.fromkeys(self.digests[n] for n in np.unique(self.origins).tolist())
        if len(present) < 2:
            raise AnexaError(
                f"{self.name} has {counted(len(present), 'conversation')} to train on, copies "
                "not counted, but training and validation need one each: add other conversations"
            )
        key = str(seed).encode()
        ranked = sorted(present, key=lambda digest: blake2b(digest, key=key).digest())
        held_out = set(
            ranked[: min(len(ranked) - 1, max(1, round(VALIDATION_FRACTION * len(ranked))))]
        )
        is_held_out = np.array([digest in held_out for digest in self.digests])[self.origins]
        claim = "the validation conversations, and copies of them, are not trained on"
        training, validation = (
            ConversationDataset(
                self.ids, self.loss_mask, self.spans[chosen], length, seed, claim, notes
            )
            for chosen, notes in ((~is_held_out, self.notes), (is_held_out, ()))
        )
        return training, validation


def encode_conversations(
    conversations: Conversations,
    template: str,
    tokenizer: Tokenizer,
    length: int,
    progress: Progress | None = None,
) -> EncodedConversations:
    """Encode conversations as sequences that fit the context.

    A conversation that is too long is cut between turns, and a turn that is too long alone is left
    out. The notes of the result say so.

    Args:
        conversations: conversations of a file, which is read.
        template: chat template of the model.
        tokenizer: tokenizer of the model.
        length: maximum number of predicted tokens in a sequence.
        progress: progress callback: `(bytes_done, bytes_total)` of text.

    Returns:
        The sequences, of at most `length` + 1 tokens each.

    Raises:
        AnexaError: if the template cannot be used for training, or refuses a conversation although
            `conversations.skip_bad` is false; if no conversation is left; if the file has changed
            since it was scanned.
    """
    encoder = _Encoder(conversations, template, tokenizer, length)
    iterator, done = iter(conversations), 0
    while some := list(islice(iterator, CONVERSATION_ENCODE_BATCH_SIZE)):
        encoder.add(some)
        done += sum(len(m["content"].encode()) for one in some for m in one.messages)
        if progress is not None:
            progress(min(done, conversations.size), conversations.size)
    return encoder.finish()


class _Encoder:
    """Accumulator of sequences; the arguments are those of `encode_conversations`."""

    def __init__(
        self, conversations: Conversations, template: str, tokenizer: Tokenizer, length: int
    ) -> None:
        self._name, self._tokenizer, self._length = conversations.name, tokenizer, length
        self._renderer = ChatRenderer(template, tokenizer)
        self._bad_rows = BadRows(conversations.name, conversations.skip_bad)
        self._dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
        self._ids: list[Array] = []
        self._loss_mask: list[npt.NDArray[np.bool_]] = []
        self._origins: list[int] = []
        self._digests: list[bytes] = []
        self._num_cut = self._num_left_out = 0

    def add(self, conversations: Sequence[Conversation]) -> None:
        rendered = []
        for conversation in conversations:
            try:
                rendered.append((conversation, self._renderer.render(conversation.messages)))
            except BadRowError as error:
                self._bad_rows.add(conversation.line, error)
        encoded = iter(
            encode_texts(self._tokenizer, [text for _, texts in rendered for text in texts])
        )
        for conversation, texts in rendered:
            sequences = list(islice(encoded, len(texts)))
            if any(len(ids) > self._length + 1 for ids, _ in sequences):
                try:
                    sequences = self._cut(conversation.messages)
                except BadRowError as error:
                    self._bad_rows.add(conversation.line, error)
                    continue
            number = len(self._digests)
            self._digests.append(blake2b(conversation.to_json().encode(), digest_size=16).digest())
            for ids, loss_mask in sequences:
                self._ids.append(ids.astype(self._dtype))
                self._loss_mask.append(loss_mask)
                self._origins.append(number)

    def _cut(self, messages: Sequence[Message]) -> Sequences:
        """Encode a conversation in pieces that fit the context.

        Raises:
            BadRowError: if the template refuses a piece.
        """

        def encode(some: Sequence[Message]) -> Sequences | None:
            sequences = encode_texts(self._tokenizer, self._renderer.render(some))
            fits = all(len(ids) <= self._length + 1 for ids, _ in sequences)
            return sequences if fits else None

        found, num_left_out = [], 0
        max_turns = max(1, self._length // MIN_TURN_TOKENS)
        for sequences in cut_at_turns(messages, encode, max_turns):
            if sequences is None:
                num_left_out += 1
            else:
                found += sequences
        self._num_cut += 1
        self._num_left_out += num_left_out
        return found

    def finish(self) -> EncodedConversations:
        if not self._ids:
            raise AnexaError(
                f"{self._name} has no conversation that fits the context of {self._length} tokens: "
                "give a larger --block-size"
            )
        ends = np.cumsum([len(ids) for ids in self._ids])
        starts = np.concatenate([[0], ends[:-1]])
        return EncodedConversations(
            self._name,
            np.concatenate(self._ids),
            np.concatenate(self._loss_mask),
            np.stack([starts, ends], axis=1),
            np.array(self._origins),
            tuple(self._digests),
            (*self._bad_rows.notes(), *self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        total = len(self._digests)
        if self._num_cut:
            yield (
                f"{self._num_cut:,} of {counted(total, 'conversation')} are longer than the "
                f"context of {self._length} tokens, and are cut between turns"
            )
        if self._num_left_out:
            yield (
                f"left out: {counted(self._num_left_out, 'turn')} longer than the context of "
                f"{self._length} tokens"
            )
        copies = total - len(set(self._digests))
        if copies:
            yield (
                f"{copies:,} of {counted(total, 'conversation')} are copies of another one; copies "
                "are never divided between training and validation"
            )


def encode_texts(tokenizer: Tokenizer, texts: Sequence[LabeledText]) -> Sequences:
    """Encode rendered conversations; a token has a loss if any of its characters is in an answer.

    The first token of a sequence has no loss, because nothing predicts it.

    Args:
        tokenizer: tokenizer of the model.
        texts: rendered conversations with the spans of their answers.

    Returns:
        A sequence for each text.
    """
    sequences = []
    for text, (ids, offsets) in zip(texts, tokenizer.encode_offsets([t.text for t in texts])):
        loss_mask = np.zeros(len(ids), bool)
        for start, end in text.spans:
            first = offsets[:, 1].searchsorted(start, side="right")
            loss_mask[first : offsets[:, 0].searchsorted(end, side="left")] = True
        loss_mask[:1] = False  # nothing predicts the first token
        sequences.append((ids, loss_mask))
    return sequences


def cut_at_turns(
    messages: Sequence[Message],
    encode: Callable[[Sequence[Message]], Sequences | None],
    max_turns: int,
) -> Iterator[Sequences | None]:
    """Cut a conversation between turns into pieces that fit, each as long as possible.

    A turn is a message of the user and all messages up to the next one of the user; without a
    message of the user, all messages are one turn. Each piece begins with what precedes the first
    turn, such as the system message.

    Args:
        messages: messages of the conversation.
        encode: function that encodes messages as sequences; returns None if they do not fit.
        max_turns: maximum number of turns of a piece.

    Yields:
        The sequences of a piece, as `encode` returns them; None for a turn that does not fit alone.
    """
    starts = [number for number, m in enumerate(messages) if m["role"] == "user"] or [0]
    before, bounds = messages[: starts[0]], [*starts, len(messages)]

    def piece(first: int, count: int) -> Sequences | None:
        return encode([*before, *messages[bounds[first] : bounds[first + count]]])

    first = 0
    while first < len(starts):
        counts = range(1, min(max_turns, len(starts) - first) + 1)
        fitting = bisect_left(counts, True, key=lambda count: piece(first, count) is None)
        yield piece(first, fitting) if fitting else None
        first += fitting or 1
