"""An engine that answers arithmetic perfectly, so that its scores are known in advance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anexa.engines import BatchKVCache, KVCache, Logits
from anexa.generation import LanguageModel
from anexa.model.chat_format import ASSISTANT, CHAT_TEMPLATE, END_THINK, THINK, USER
from anexa.model.config import ModelConfig
from anexa.model.model import Model
from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.problems import Problem, problem
from anexa.thinking.questions import parse_question
from anexa.thinking.thoughts import add

TOKENIZER = ArithmeticCorpus().tokenizer("char")
Answerer = Callable[[Problem, str], str]
"""Function from a problem and the beginning of an answer to the whole answer."""


class UnknownTextError(Exception):
    """Raised for a text that the oracle has no answer to."""


class Oracle:
    """A `BatchEngine` whose likeliest token is the next one of an answer."""

    name, dtype = "oracle", "float32"

    def __init__(self, answerer: Answerer) -> None:
        self.config = ModelConfig("llama", TOKENIZER.vocab_size, 512, 8, 2, 1)
        self._answerer = answerer

    def new_kv_cache(self) -> KVCache:
        return KVCache([])

    def next_logits(self, tokens: Sequence[int], cache: KVCache) -> Sequence[float]:
        cache.layers += tokens
        cache.length += len(tokens)
        try:
            logits: list[float] = self._logits(cache.layers).tolist()
        except UnknownTextError:  # a part of a long prompt, which nobody samples from
            return [math.nan] * TOKENIZER.vocab_size
        return logits

    def new_batch_cache(self, max_num_seqs: int) -> BatchKVCache:  # noqa: ARG002 (there is room for all)
        return BatchKVCache([])

    def add_sequence(self, rows: BatchKVCache, cache: KVCache) -> None:
        rows.layers.append(([*cache.layers], None))

    def remove_sequence(self, rows: BatchKVCache, row: int) -> None:
        rows.layers[row] = rows.layers[-1]
        rows.layers.pop()

    def batch_next_logits(self, tokens: Sequence[int], rows: BatchKVCache) -> Logits:
        for (text, _), token in zip(rows.layers, tokens):
            text.append(token)
        return np.stack([self._logits(text) for text, _ in rows.layers])

    def _logits(self, text: list[int]) -> Logits:
        logits = np.zeros(TOKENIZER.vocab_size)
        logits[self._next(text)] = 9.0
        return logits

    def _next(self, text: list[int]) -> int:
        prompt, _, said = TOKENIZER.decode(text).partition(ASSISTANT)
        asked = parse_question(prompt.removeprefix(USER))
        if asked is None:
            raise UnknownTextError
        answer = self._answerer(problem(*asked), said)
        if not answer.startswith(said):
            raise UnknownTextError
        rest = TOKENIZER.encode(answer[len(said) :])
        return rest[0] if rest else TOKENIZER.eot_token


def oracle(answerer: Answerer) -> LanguageModel:
    """Make a chat model that answers by a function."""
    engine: Any = Oracle(answerer)  # it answers, and has no weights
    return LanguageModel("oracle", Model(engine.config, {}, TOKENIZER, CHAT_TEMPLATE), engine)


def thinks(problem: Problem, said: str) -> str:
    """Answer correctly, or what follows from a given thought; without a thought always 7."""
    if said.startswith(THINK + END_THINK):
        return f"{THINK}{END_THINK}7"
    thought, closed, _ = said.removeprefix(THINK).partition(END_THINK)
    if not closed and not problem.thought.startswith(thought):
        *said_lines, _ = thought.split("\n")
        thought = "\n".join(went_on(said_lines, problem.thought.split("\n")))
        closed = END_THINK
    if closed:
        return f"{THINK}{thought}{END_THINK}{int(thought.rpartition(':')[2])}"
    return f"{THINK}{problem.thought}{END_THINK}{problem.answer}"


def went_on(said: list[str], true: list[str]) -> list[str]:
    """Continue the thought of a product: each part is added to the sum of all parts before."""
    lines = said.copy()
    for line in true[len(said) :]:
        if "*" not in line:
            total, part = (int(lines[n].rpartition(":")[2]) for n in (-2, -1))
            line = add(total, part).text
        lines.append(line)
    return lines
