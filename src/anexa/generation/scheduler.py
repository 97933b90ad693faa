"""Many texts written together: they come and go between steps, and none knows of the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from anexa.engines import BatchEngine, Engine, KVCache
from anexa.errors import AnexaError
from anexa.generation.decoding import window_start
from anexa.generation.sampling import Sampler

CHUNK = 64  # tokens of a prompt that are read at once: no text stalls the others for longer
PROMPTS = 256  # tokens of prompts that are read in a step


class ShortOfMemoryError(AnexaError):
    """There is not enough memory for this text, or for as many as there are."""


class Stream:
    """A text that is being continued.

    Attributes:
        tokens: its prompt, and what has been drawn so far.
        sampler: draws them.
        start: the first token that the model sees.
        cache: what the engine has read from there on; None before it has begun, and once the text
            is one of the rows.
    """

    def __init__(self, prompt: Sequence[int], sampler: Sampler) -> None:
        self.tokens, self.sampler = list(prompt), sampler
        self.start = 0
        self.cache: KVCache | None = None


class Drawn(NamedTuple):
    """What a step has brought for a text.

    Attributes:
        stream: the text.
        token: one more; -1 if there is an error.
        logits: (V,), what it was drawn by.
        error: what ended the text.
    """

    stream: Stream
    token: int
    logits: Sequence[float] = ()
    error: AnexaError | None = None


class BatchScheduler:
    """One decoding loop for many texts.

    With an engine that takes many, texts are rows of one computation, and each
    is, to the last bit, what it would be alone: prompts are read one by one, in chunks that depend
    on nothing else. Other engines read one text after another.

    Where memory is short, texts that are not begun wait for others to be done. If a step needs more
    than there is, those texts end of which least is written. Fewer have a place until all are done.

    Args:
        engine: the model.
        most: texts that have a place; the others wait. Their keys and values are nearly all the
            memory that is taken; with PyTorch it is taken at once.
    """

    def __init__(self, engine: Engine, most: int = 32) -> None:
        self._engine, self._places, self._most = engine, most, most
        self._batch_engine: BatchEngine | None = None
        if isinstance(engine, BatchEngine):
            self._batch_engine = engine
            self._rows = engine.new_batch_cache(most)
        self._waiting: deque[Stream] = deque()
        self._reading: deque[Stream] = deque()
        self._writing: list[Stream] = []  # in the order of the rows, where there are any
        self._left = 0  # tokens of prompts that may still be read in this step

    @property
    def running(self) -> int:
        """How many texts have a place."""
        return len(self._reading) + len(self._writing)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def add(self, prompt: Sequence[int], sampler: Sampler) -> Stream:
        """Have a prompt of at least one token continued, until it is removed."""
        stream = Stream(prompt, sampler)
        self._waiting.append(stream)
        return stream

    def remove(self, stream: Stream) -> None:
        """Free the place of a text, wherever it is in its course; nothing, if it has none."""
        for line in (self._waiting, self._reading):
            if stream in line:
                line.remove(stream)
        if stream in self._writing:
            self._leave(self._writing.index(stream))

    def step(self) -> list[Drawn]:
        """Draw a token for each text that is being written, and read some more of the prompts."""
        if not self.running:
            self._most = self._places
        while self._waiting and self.running < self._most:
            self._reading.append(self._waiting.popleft())
        return self._write() + self._read()

    def _write(self) -> list[Drawn]:
        for row in reversed(range(len(self._writing))):
            stream = self._writing[row]
            if window_start(len(stream.tokens), self._engine.config.block_size) != stream.start:
                self._leave(row)  # what the model sees begins later now: it is read anew
                stream.cache = None
                self._reading.append(stream)
        if not self._writing:
            return []
        texts = [*self._writing]
        if not self._batch_engine:
            return [drawn for text in texts for drawn in self._draw_alone(text)]
        last = [text.tokens[-1] for text in texts]
        try:
            logits_BV = self._batch_engine.batch_next_logits(last, self._rows)
        except MemoryError as error:
            return [self._fail(text, error) for text in self._shed()]
        except Exception as error:  # whatever it is: the texts of this step are lost, no others
            return [self._fail(text, error) for text in texts]
        return [
            drawn
            for text, logits_V in zip(texts, logits_BV)
            for drawn in self._draw(text, lambda logits_V: logits_V, logits_V)
        ]

    def _read(self) -> list[Drawn]:
        """One prompt after another, so that only one of them takes memory of its own."""
        drawn: list[Drawn] = []
        self._left = PROMPTS
        while self._reading and self._left > 0:
            stream = self._reading[0]
            try:
                drawn += self._draw(stream, self._read_on, stream)
            except MemoryError as error:
                if self.running == 1:
                    return [*drawn, self._fail(stream, error)]
                self._most = self.running - 1  # it waits until one of the others is done
                self._reading.popleft()
                stream.cache = None
                self._waiting.appendleft(stream)
                return drawn
        return drawn

    def _read_on(self, stream: Stream) -> Sequence[float] | None:
        """A chunk more of a text; the logits of what follows it, if that was the last one."""
        if stream.cache is None:
            stream.start = window_start(len(stream.tokens), self._engine.config.block_size)
            stream.cache = self._engine.new_kv_cache()
        begin = stream.start + stream.cache.length
        chunk = stream.tokens[begin : begin + CHUNK]
        self._left -= len(chunk)
        logits_V = self._engine.next_logits(chunk, stream.cache)
        if begin + len(chunk) < len(stream.tokens):
            return None
        if stream in self._reading:  # it is written from now on
            if self._batch_engine:
                self._batch_engine.add_sequence(self._rows, stream.cache)
                stream.cache = None
            self._reading.remove(stream)
            self._writing.append(stream)
        return logits_V

    def _draw_alone(self, text: Stream) -> list[Drawn]:
        try:
            return self._draw(text, self._read_on, text)
        except MemoryError as error:
            self._most = max(1, self.running - 1)
            return [self._fail(text, error)]

    def _shed(self) -> list[Stream]:
        """The half of the texts that has been written least of, which are to have no place now."""
        by_length = sorted(self._writing, key=lambda text: len(text.tokens), reverse=True)
        kept = len(by_length) // 2
        self._most = max(1, kept)
        return by_length[kept:]

    def _leave(self, row: int) -> None:
        if self._batch_engine:
            self._batch_engine.remove_sequence(self._rows, row)
        self._writing[row] = self._writing[-1]
        self._writing.pop()

    def _draw(
        self, stream: Stream, logits_of: Callable[[Any], Sequence[float] | None], argument: Any
    ) -> list[Drawn]:
        """The next token of a text, if there are logits to draw it by."""
        try:
            logits_V = logits_of(argument)
            if logits_V is None:
                return []
            token = stream.sampler.draw(logits_V)
        except MemoryError:
            raise
        except Exception as error:  # whatever it is: this text is lost, no other
            return [self._fail(stream, error)]
        stream.tokens.append(token)
        return [Drawn(stream, token, logits_V)]

    def _fail(self, stream: Stream, error: Exception) -> Drawn:
        """The end of a text."""
        self.remove(stream)
        return Drawn(stream, -1, error=_as_sentence(error))


def _as_sentence(error: Exception) -> AnexaError:
    if isinstance(error, AnexaError):
        return error
    if isinstance(error, MemoryError):
        return ShortOfMemoryError("there is not enough memory at the moment: try again in a second")
    short = " ".join(str(error).split())[:200] or type(error).__name__
    return AnexaError(f"the model could not be computed: {short}")
