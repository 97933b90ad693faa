"""Continuous-batching scheduler: the decoding loop of both the server and offline generation."""

from __future__ import annotations

from collections import abc, deque
from typing import NamedTuple

import numpy as np

from anexa.engines import BatchEngine, Engine, KVCache, Logits
from anexa.engines.sequential import as_batch_engine
from anexa.errors import AnexaError, OutOfMemoryError
from anexa.generation.logprobs import TokenLogprob, prompt_logprobs
from anexa.generation.prefix_cache import PrefixCache
from anexa.generation.sampling import Sampler, sample_batch
from anexa.generation.window import window_start

PREFILL_CHUNK = 64  # prompt tokens prefilled at once, so that a long prompt does not stall others
MAX_PREFILL_TOKENS = 256  # approximate limit on the prompt tokens of one step


class Sequence:
    """A sequence in the scheduler: its tokens and its decoding state.

    Args:
        prompt_ids: token ids of the prompt, at least one.
        sampler: sampling parameters and random state of the request.
        num_prompt_logprobs: number of most likely tokens to report at each position of the prompt;
            None: no log probabilities of the prompt.

    Attributes:
        tokens: token ids of the prompt and the generated tokens.
        num_prompt_tokens: number of tokens in the prompt.
        sampler: sampling parameters and random state.
        num_prompt_logprobs: number of most likely tokens to report at each position of the prompt.
        prompt_logprobs: log probabilities of the prompt's tokens but the first, after prefill;
            empty if none were asked for, or the prompt exceeds the context.
        num_cached_tokens: number of prompt tokens whose keys and values were reused.
        window_start: index of the first token in the sliding window; 0 while the sequence fits into
            the context.
        kv_cache: keys and values from `window_start` on, during prefill; None before, and after the
            sequence was added to the batch cache.
    """

    def __init__(
        self,
        prompt_ids: abc.Sequence[int],
        sampler: Sampler,
        num_prompt_logprobs: int | None = None,
    ) -> None:
        self.tokens, self.sampler = list(prompt_ids), sampler
        self.num_prompt_tokens = len(self.tokens)
        self.num_prompt_logprobs = num_prompt_logprobs
        self.prompt_logprobs: list[TokenLogprob] = []
        self.num_cached_tokens = 0
        self.window_start = 0
        self.kv_cache: KVCache | None = None

    @property
    def is_prefilling(self) -> bool:
        """Whether no token has been generated yet, and the prompt fits into the context."""
        return len(self.tokens) == self.num_prompt_tokens and self.window_start == 0


class StepOutput(NamedTuple):
    """Output of one step for one sequence: a token, or the error that ended the sequence.

    Attributes:
        sequence: sequence that the step computed.
        token: id of the new token; -1 if there is an error.
        logits: logits of the model for the token, shape (V,), before the sampler changes them;
            empty if there is an error.
        error: the error that ended the sequence, which was removed; None if the step succeeded.
    """

    sequence: Sequence
    token: int
    logits: abc.Sequence[float] = ()
    error: AnexaError | None = None


class BatchScheduler:
    """Continuous batching: each step generates one token for every running sequence.

    The server adds and removes sequences between steps; `generate_batch` adds a list of prompts and
    runs until all are done. The logits of a sequence are bit-identical to those that it has alone:
    prompts are prefilled one by one, in chunks of fixed size, and decoding is batch-invariant.

    If memory runs out, the kept prefixes are released first. If prefill then still runs out of
    memory, the sequence waits until another one is done. If decoding does, the half of the running
    sequences with the fewest tokens ends with an `OutOfMemoryError`, and the maximum number of
    running sequences is lowered until all of them are done.

    Args:
        engine: engine with the model's weights; one that cannot batch computes the sequences one
            by one.
        max_num_seqs: maximum number of running sequences; further ones wait. PyTorch allocates the
            memory for their keys and values at once.
        prefix_cache_bytes: maximum memory of the keys and values of prompts that are kept for
            later prompts with the same beginning; 0: none.
    """

    def __init__(
        self,
        engine: Engine | BatchEngine,
        max_num_seqs: int = 32,
        prefix_cache_bytes: int = 0,
    ) -> None:
        self._engine = as_batch_engine(engine)
        self._prefix_cache = PrefixCache(self._engine, PREFILL_CHUNK, prefix_cache_bytes)
        self._batch_cache = self._engine.new_batch_cache(max_num_seqs)
        self._max_num_seqs = self._max_running = max_num_seqs
        self._waiting: deque[Sequence] = deque()
        self._prefilling: deque[Sequence] = deque()
        self._decoding: list[Sequence] = []  # in the order of the batch cache

    @property
    def num_running(self) -> int:
        """Number of sequences in prefill or decoding."""
        return len(self._prefilling) + len(self._decoding)

    @property
    def num_waiting(self) -> int:
        """Number of sequences that wait until a running one is removed."""
        return len(self._waiting)

    def add(
        self,
        prompt_ids: abc.Sequence[int],
        sampler: Sampler,
        num_prompt_logprobs: int | None = None,
    ) -> Sequence:
        """Queue a prompt; its sequence generates tokens until it is removed.

        Args:
            prompt_ids: token ids of the prompt, at least one.
            sampler: sampling parameters and random state of the request.
            num_prompt_logprobs: number of most likely tokens to report at each position of the
                prompt; None: no log probabilities of the prompt.

        Returns:
            The sequence.
        """
        sequence = Sequence(prompt_ids, sampler, num_prompt_logprobs)
        self._waiting.append(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        """Remove a waiting or running sequence; does nothing if it is neither."""
        for queue in (self._waiting, self._prefilling):
            if sequence in queue:
                queue.remove(sequence)
        if sequence in self._decoding:
            self._leave_batch(self._decoding.index(sequence))

    def step(self) -> list[StepOutput]:
        """Decode one token for each decoding sequence, then prefill up to `MAX_PREFILL_TOKENS`.

        A sequence whose prefill ends generates its first token in the same step. New tokens are
        appended to `Sequence.tokens`.

        Returns:
            A token or an error for each sequence that was decoded or whose prefill ended.
        """
        if not self.num_running:
            self._max_running = self._max_num_seqs
            self._prefix_cache.resume()
        while self._waiting and self.num_running < self._max_running:
            self._prefilling.append(self._waiting.popleft())
        return self._decode() + self._prefill()

    def _decode(self) -> list[StepOutput]:
        self._requeue_moved_windows()
        sequences = [*self._decoding]
        if not sequences:
            return []
        last_tokens = [sequence.tokens[-1] for sequence in sequences]
        try:
            logits_BV = self._engine.batch_next_logits(last_tokens, self._batch_cache)
        except MemoryError as error:
            if self._prefix_cache.suspend():
                return self._decode()
            return [self._fail(sequence, error) for sequence in self._evict()]
        except Exception as error:  # of any kind: it fails the sequences of this step, no others
            return [self._fail(sequence, error) for sequence in sequences]
        return self._sample(sequences, logits_BV)

    def _requeue_moved_windows(self) -> None:
        """Move sequences whose sliding window has moved back to prefill."""
        block_size = self._engine.config.block_size
        for index in reversed(range(len(self._decoding))):
            sequence = self._decoding[index]
            if window_start(len(sequence.tokens), block_size) != sequence.window_start:
                self._leave_batch(index)
                self._prefilling.append(sequence)

    def _prefill(self) -> list[StepOutput]:
        """Prefill sequences one by one, so that only one KV cache exists besides the batch's."""
        outputs: list[StepOutput] = []
        num_tokens = 0
        while self._prefilling and num_tokens < MAX_PREFILL_TOKENS:
            sequence = self._prefilling[0]
            try:
                kv_cache = self._kv_cache_of(sequence)
                begin = sequence.window_start + kv_cache.length
                chunk = sequence.tokens[begin : begin + PREFILL_CHUNK]
                num_tokens += len(chunk)
                logits_V = self._compute_chunk(sequence, begin, chunk, kv_cache)
                if begin + len(chunk) < len(sequence.tokens):
                    continue
                self._engine.add_sequence(self._batch_cache, kv_cache)
            except MemoryError as error:
                if self._prefix_cache.suspend():
                    sequence.kv_cache = None
                    continue
                if self.num_running == 1:
                    return [*outputs, self._fail(sequence, error)]
                self._max_running = self.num_running - 1  # retried when another one is done
                self._waiting.appendleft(self._prefilling.popleft())
                sequence.kv_cache = None
                return outputs
            except Exception as error:  # of any kind: it fails this sequence, no others
                outputs.append(self._fail(sequence, error))
                continue
            sequence.kv_cache = None
            self._decoding.append(self._prefilling.popleft())
            outputs += self._sample([sequence], np.asarray(logits_V)[None])
        return outputs

    def _kv_cache_of(self, sequence: Sequence) -> KVCache:
        if sequence.kv_cache is None:
            block_size = self._engine.config.block_size
            sequence.window_start = window_start(len(sequence.tokens), block_size)
            kv_cache = self._engine.new_kv_cache()
            if sequence.is_prefilling:
                sequence.prompt_logprobs.clear()
                if sequence.num_prompt_logprobs is None:  # else all positions are computed
                    self._prefix_cache.restore(sequence.tokens, kv_cache)
                sequence.num_cached_tokens = kv_cache.length
            sequence.kv_cache = kv_cache
        return sequence.kv_cache

    def _compute_chunk(
        self, sequence: Sequence, begin: int, chunk: list[int], kv_cache: KVCache
    ) -> abc.Sequence[float]:
        """Append a chunk to the cache of a sequence; return the logits of the next token, (V,).

        Args:
            sequence: sequence in prefill.
            begin: index of the chunk's first token in the window.
            chunk: token ids of the chunk.
            kv_cache: keys and values of the tokens before the chunk.
        """
        if sequence.num_prompt_logprobs is None or not sequence.is_prefilling:
            logits_V = self._engine.next_logits(chunk, kv_cache)
        else:
            logits_TV = self._engine.prompt_logits(chunk, kv_cache)
            following = sequence.tokens[begin + 1 : begin + len(chunk) + 1]
            sequence.prompt_logprobs += prompt_logprobs(
                logits_TV, following, sequence.num_prompt_logprobs
            )
            logits_V = logits_TV[-1]
        if len(chunk) == PREFILL_CHUNK and sequence.is_prefilling:
            self._prefix_cache.store(sequence.tokens, kv_cache)
        return logits_V

    def _sample(self, sequences: list[Sequence], logits_BV: Logits) -> list[StepOutput]:
        """Sample the next token of each sequence, and append it."""
        outputs = []
        samplers = [sequence.sampler for sequence in sequences]
        tokens = sample_batch(logits_BV, samplers, sequences)
        for sequence, token, logits_V in zip(sequences, tokens, logits_BV):
            if isinstance(token, AnexaError):
                outputs.append(self._fail(sequence, token))
            else:
                sequence.tokens.append(token)
                outputs.append(StepOutput(sequence, token, logits_V))
        return outputs

    def _evict(self) -> list[Sequence]:
        """Choose the sequences to end as memory has run out: the half with the fewest tokens.

        The maximum number of running sequences becomes the size of the other half.

        Returns:
            The sequences to end.
        """
        by_length = sorted(self._decoding, key=lambda sequence: len(sequence.tokens), reverse=True)
        kept = len(by_length) // 2
        self._max_running = max(1, kept)
        return by_length[kept:]

    def _leave_batch(self, index: int) -> None:
        self._engine.remove_sequence(self._batch_cache, index)
        self._decoding[index] = self._decoding[-1]
        self._decoding.pop()

    def _fail(self, sequence: Sequence, error: Exception) -> StepOutput:
        self.remove(sequence)
        return StepOutput(sequence, -1, error=_as_anexa_error(error))


def _as_anexa_error(error: Exception) -> AnexaError:
    if isinstance(error, AnexaError):
        return error
    short = " ".join(str(error).split())[:200] or type(error).__name__
    converted = (
        OutOfMemoryError("there is not enough memory at the moment: try again in a second")
        if isinstance(error, MemoryError)
        else AnexaError(f"the model could not be computed: {short}")
    )
    converted.__cause__ = error
    return converted
