"""A request for one sequence and its outputs, exchanged by the worker's thread and the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from anexa.errors import OutOfMemoryError
from anexa.generation import ChatAnswer, Sampler, TextStream
from anexa.generation.constraints import ConstraintError
from anexa.generation.logprobs import TokenLogprob, token_logprob
from anexa.generation.scheduler import Sequence as ScheduledSequence
from anexa.generation.scheduler import StepOutput
from anexa.generation.text_stream import FinishReason
from anexa.server.errors import APIError


@dataclass
class RequestOutput:
    """Part of the output of a request: what was generated since the previous part.

    Attributes:
        text: text of a completion, or content of a chat answer.
        reasoning: text of the thought (the reasoning before a chat answer).
        num_tokens: number of generated tokens, without a token that only ends the sequence.
        logprobs: log probabilities of the tokens that begin in this text, if the request asks for
            them.
        token_times: `time.monotonic()` of each sampled token, including one that ends the sequence.
        is_first: whether this is the first output of the request with text.
        finish_reason: why the sequence ended, "stop" or "length"; None if it continues or failed.
        error: the error that made the request fail; None without an error.
    """

    text: str = ""
    reasoning: str = ""
    num_tokens: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    token_times: list[float] = field(default_factory=list)
    is_first: bool = False
    finish_reason: FinishReason | None = None
    error: APIError | None = None

    @property
    def finished(self) -> bool:
        """Whether no further output follows."""
        return self.finish_reason is not None or self.error is not None

    def merge(self, later: RequestOutput) -> None:
        """Append the next part of the output to this one, in place."""
        self.text += later.text
        self.reasoning += later.reasoning
        self.num_tokens += later.num_tokens
        self.logprobs += later.logprobs
        self.token_times += later.token_times
        self.is_first |= later.is_first
        self.finish_reason, self.error = later.finish_reason, later.error


class Request:
    """A request for one sequence: a completion or a chat answer.

    Iterating over a request in the event loop gives its outputs until it is finished; this is
    possible once. An output has text, or it is the last one. A request that fails ends with an
    output that has an `error`; the iteration raises none.

    Args:
        text: prompt, token limit and stop strings; collects the generated text.
        sampler: sampling parameters and random state.
        is_chat: whether to separate the reasoning of a chat answer from its content.
        num_logprobs: number of most likely tokens to report at each position; None: no log
            probabilities.
        num_prompt_logprobs: number of most likely tokens to report at each position of the prompt;
            None: no log probabilities.
        is_ranked: whether to compute `mean_logprob`.

    Attributes:
        answer: separates reasoning from content, as the text arrives; None unless `is_chat`.
        prompt_logprobs: log probabilities of the prompt's tokens but the first; empty before the
            first output, and if `num_prompt_logprobs` is None.
        num_reasoning_tokens: number of generated tokens of the thought of a chat answer, with the
            tag that ends it.
        num_cached_tokens: number of prompt tokens whose keys and values were reused; 0 before the
            first output.
        mean_logprob: mean log probability of the sampled tokens, including one that ends the
            sequence; 0 before the first, and if `is_ranked` is false.
        sequence: the sequence in the scheduler; None while the request is not scheduled.
        arrival_time: `time.monotonic()` of the request's creation.
        last_token_time: `time.monotonic()` of the last token that the metrics have counted; None
            before the first.
    """

    def __init__(
        self,
        text: TextStream,
        sampler: Sampler,
        *,
        is_chat: bool,
        num_logprobs: int | None = None,
        num_prompt_logprobs: int | None = None,
        is_ranked: bool = False,
    ) -> None:
        self.text, self.sampler, self.num_logprobs = text, sampler, num_logprobs
        self.num_prompt_logprobs = num_prompt_logprobs
        self.prompt_logprobs: list[TokenLogprob] = []
        self.num_cached_tokens = self.num_reasoning_tokens = 0
        self.answer = ChatAnswer(text) if is_chat else None
        self.sequence: ScheduledSequence | None = None
        self.arrival_time = time.monotonic()
        self.last_token_time: float | None = None
        self._is_ranked, self.mean_logprob = is_ranked, 0.0
        self._num_sampled = 0
        self._has_text = False  # used by the thread only
        self._held_logprobs: list[TokenLogprob] = []  # of tokens whose text is not certain
        self._published, self._is_published = RequestOutput(), asyncio.Event()

    def process(self, step: StepOutput, output: RequestOutput) -> None:
        """Add the result of a scheduler step to an output, in place, and to the text so far.

        Called in the worker's thread. An error of the step becomes the error of the output.
        """
        if step.error:
            status, code = 500, None
            if isinstance(step.error, OutOfMemoryError):
                status, code = 503, "overloaded"
            elif isinstance(step.error, ConstraintError):
                status = 400
            output.error = APIError(str(step.error), status=status, code=code)
            return
        self.prompt_logprobs = step.sequence.prompt_logprobs
        self.num_cached_tokens = step.sequence.num_cached_tokens
        num_tokens = self.text.num_tokens
        is_thinking = self.answer is not None and self.answer.is_thinking
        piece = self.text.add(step.token)
        if self.answer is None:
            output.text += piece
        else:
            for part in self.answer.add(piece):
                if part.is_reasoning:
                    output.reasoning += part.text
                else:
                    output.text += part.text
        is_counted = self.text.num_tokens > num_tokens  # else the token only ends the sequence
        output.num_tokens += is_counted
        self.num_reasoning_tokens += is_counted and is_thinking
        if self.num_logprobs is not None and (is_counted or self._reports_end):
            offset = self.text.offset if is_counted else len(self.text.text)
            self._held_logprobs.append(
                token_logprob(step.logits, step.token, self.num_logprobs, offset)
            )
        if self._is_ranked:
            _, logprob, *_ = token_logprob(step.logits, step.token, 0, 0)
            self._num_sampled += 1
            self.mean_logprob += (logprob - self.mean_logprob) / self._num_sampled
        self._release_logprobs(output)
        output.token_times.append(time.monotonic())
        output.is_first |= not self._has_text and bool(output.text or output.reasoning)
        self._has_text |= output.is_first
        output.finish_reason = self.text.finish_reason

    @property
    def _reports_end(self) -> bool:
        """Whether the last token has ended a completion; its log probability is then reported."""
        text = self.text
        return self.answer is None and text.finish_reason == "stop" and not text.is_cut

    def _release_logprobs(self, output: RequestOutput) -> None:
        """Report the tokens that begin in the text so far; those of a stop string never are."""
        text = self.text
        is_whole = text.finish_reason is not None and not text.is_cut
        while self._held_logprobs and (is_whole or self._held_logprobs[0].offset < len(text.text)):
            output.logprobs.append(self._held_logprobs.pop(0))

    def publish(self, output: RequestOutput) -> None:
        """Pass an output to the iterator of the request; called in the event loop."""
        self._published.merge(output)
        if self._published.text or self._published.reasoning or output.finished:
            self._is_published.set()

    async def __aiter__(self) -> AsyncIterator[RequestOutput]:
        finished = False
        while not finished:
            await self._is_published.wait()
            self._is_published.clear()
            output, self._published = self._published, RequestOutput()
            finished = output.finished
            yield output

    async def whole_output(self) -> RequestOutput:
        """Wait until the request is finished, and return all of its output.

        Raises:
            APIError: if the request fails.
        """
        total = RequestOutput()
        async for output in self:
            total.merge(output)
        if total.error:
            raise total.error
        return total
