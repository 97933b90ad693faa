"""Constrained decoding: computes at each step which tokens the grammar of a text allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anexa.errors import AnexaError
from anexa.model.chat_format import END_THINK, THINK
from anexa.model.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

Mask = npt.NDArray[np.bool_]  # (V,): True for an allowed token

# Limit on the CPU time of the constraints of a request, in seconds: a constant, and more for each
# of its tokens. The other sequences in the batch wait meanwhile.
MAX_CPU_SECONDS, MAX_CPU_SECONDS_PER_TOKEN = 1.0, 0.0005
# Message of a `ConstraintError` about a limit.
TOO_COMPLEX_MESSAGE = "the grammar is too complex for this text: make it simpler"


class ConstraintError(AnexaError):
    """Raised when no token can continue a text under its grammar.

    Attributes:
        is_too_complex: whether a limit on CPU time or memory ended the search for the next tokens;
            otherwise no token fits.
    """

    def __init__(self, message: str, *, is_too_complex: bool) -> None:
        super().__init__(message)
        self.is_too_complex = is_too_complex


class Vocabulary:
    """A model's vocabulary: its size, and the tokens that begin and end a thought or end a text.

    A thought is the reasoning of a model before its answer, between `<think>` and `</think>`.

    Args:
        tokenizer: tokenizer of the model.
        vocab_size: number of logits, V; at least the tokenizer's.

    Attributes:
        think_id: id of `<think>`; None if it is not one token, or special and thus not in texts.
        end_think_id: id of `</think>`; None under the same conditions.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        self.think_id, self.end_think_id = self._tag_id(THINK), self._tag_id(END_THINK)

    @property
    def has_thoughts(self) -> bool:
        """Whether `<think>` and `</think>` are single tokens that appear in decoded texts."""
        return self.think_id is not None and self.end_think_id is not None

    def _tag_id(self, tag: str) -> int | None:
        """Return the id of a tag of a thought; None if the tag does not appear in decoded texts."""
        token = self._tokenizer.token_to_id(tag)
        is_seen = token is not None and self._tokenizer.token_bytes(token) == tag.encode()
        return token if is_seen else None

    @cached_property
    def thought_mask(self) -> Mask:
        """Tokens of a thought: all but those that would end the sequence, shape (V,)."""
        mask = np.ones(self._vocab_size, np.bool_)
        mask[list(self._tokenizer.eos_token_ids)] = False
        return mask

    def pad_mask(self, mask: npt.NDArray[Any]) -> Mask:
        """Extend a mask over the tokenizer's ids with False to the shape (V,) of the logits."""
        padded = np.zeros(self._vocab_size, np.bool_)
        length = min(self._tokenizer.vocab_size, len(mask))
        padded[:length] = mask[:length]
        return padded


class GrammarConstraint:
    """The state of one sequence: which tokens may follow, so that its text matches a grammar.

    A model that thinks may begin with a thought: reasoning between `<think>` and `</think>`, which
    the grammar does not restrict. The sequence cannot end within it.

    Args:
        vocabulary: vocabulary of the model.
        matcher: matcher at the beginning of the text.
        cpu_time: CPU time of this sequence and its copies together.
        may_think: whether the text may begin with a thought.
        is_thinking: whether the prompt ends within a thought.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        matcher: llguidance.LLMatcher,
        cpu_time: CPUTime,
        *,
        may_think: bool = False,
        is_thinking: bool = False,
    ) -> None:
        self._vocabulary, self._matcher, self._cpu_time = vocabulary, matcher, cpu_time
        self._may_think, self._is_thinking = may_think, is_thinking

    def copy(self) -> GrammarConstraint:
        """Return a copy of the state, for another sequence that begins with the same text."""
        return GrammarConstraint(
            self._vocabulary,
            self._matcher.deep_copy(),
            self._cpu_time,
            may_think=self._may_think,
            is_thinking=self._is_thinking,
        )

    def mask(self) -> Mask:
        """Return the mask of allowed next tokens, shape (V,), with EOS if the text may end.

        The caller must not change the mask: that of a thought is shared.

        Raises:
            ConstraintError: if no token is allowed, or the computation takes too much work.
        """
        if self._is_thinking:
            return self._vocabulary.thought_mask
        with self._cpu_time.measure():
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise matcher_error(self._matcher)
        mask = self._vocabulary.pad_mask(np.unpackbits(bits, bitorder="little"))
        if self._may_think:
            mask[self._vocabulary.think_id] = True
        return mask

    def advance(self, token: int) -> None:
        """Append the next token to the text.

        Raises:
            ConstraintError: if the grammar does not allow the token.
        """
        if self._is_thinking:
            self._is_thinking = token != self._vocabulary.end_think_id
        elif self._may_think and token == self._vocabulary.think_id:
            self._may_think, self._is_thinking = False, True
        else:
            self._may_think = False
            with self._cpu_time.measure():
                is_allowed = self._matcher.consume_token(token)
            if not is_allowed:
                raise matcher_error(self._matcher)


class CPUTime:
    """CPU time that the constraints of one request have taken, in the thread of the scheduler."""

    def __init__(self) -> None:
        self._seconds, self._num_parts = 0.0, 0

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Context manager that adds the CPU time of its block to that of the request.

        The work for a token has two such blocks: its mask, and its addition to the text.

        Raises:
            ConstraintError: if the time exceeds the limit for the tokens so far.
        """
        started = time.thread_time()
        yield
        self._seconds += time.thread_time() - started
        self._num_parts += 1
        if self._seconds > MAX_CPU_SECONDS + MAX_CPU_SECONDS_PER_TOKEN * self._num_parts / 2:
            raise ConstraintError(TOO_COMPLEX_MESSAGE, is_too_complex=True)


def matcher_error(matcher: llguidance.LLMatcher) -> ConstraintError:
    """Create the error for a matcher that has failed."""
    if exceeds_limit(matcher.get_error()):
        return ConstraintError(TOO_COMPLEX_MESSAGE, is_too_complex=True)
    return ConstraintError(
        "the grammar needs a character that is not in the vocabulary of this model",
        is_too_complex=False,
    )


def exceeds_limit(error: str) -> bool:
    """Return whether an error of llguidance is about one of its limits."""
    words = ("limit", "too many", "too complex", "too large", "fuel", "precomputation", "max is")
    return any(word in error for word in words)
