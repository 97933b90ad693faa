"""An engine that answers arithmetic perfectly, so that its scores are known in advance."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from anexa.engines import BatchKVCache, KVCache, Logits
from anexa.generation import LanguageModel
from anexa.model.chat_format import ASSISTANT, CHAT_TEMPLATE, END_THINK, THINK, USER
from anexa.model.config import ModelConfig
from anexa.model.model import Model
from anexa.thinking.checker import parse_value
from anexa.thinking.corpus import ArithmeticCorpus
from anexa.thinking.problems import Problem
from anexa.thinking.questions import Question, parse_question
from anexa.thinking.thoughts import REMAINING_SEPARATOR, split_remaining, write_step

TOKENIZER = ArithmeticCorpus().make_tokenizer("char")
Answerer = Callable[[Problem, str], str]
"""Function from a problem and the beginning of an answer to the whole answer."""


class UnknownTextError(Exception):
    """Raised for a text that the oracle has no answer to."""


class Oracle:
    """A `BatchEngine` whose likeliest token is the next one of an answer."""

    name, dtype = "oracle", "float32"

    def __init__(self, answerer: Answerer, block_size: int) -> None:
        self.config = ModelConfig("llama", TOKENIZER.vocab_size, block_size, 8, 2, 1)
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
        # The template has put place marks before the digits.
        question = re.sub("[A-Z](?=[0-9])", "", prompt.removeprefix(USER))
        problem = problem_of(question)
        if problem is None:
            raise UnknownTextError
        answer = self._answerer(problem, said)
        if not answer.startswith(said):
            raise UnknownTextError
        rest = TOKENIZER.encode(answer[len(said) :])
        return rest[0] if rest else TOKENIZER.eot_token_id


@cache
def problem_of(question: str) -> Problem | None:
    """Solve a question of known phrasing; None if the phrasing is not known."""
    asked = parse_question(question)
    if asked.expected is None:
        return None
    return Problem(question, "\n".join(write_lines(asked, {})), asked.expected)


def oracle(answerer: Answerer, block_size: int = 2560) -> LanguageModel:
    """Make a chat model that answers by a function."""
    engine: Any = Oracle(answerer, block_size)  # it answers, and has no weights
    return LanguageModel("oracle", Model(engine.config, {}, TOKENIZER, CHAT_TEMPLATE), engine)


def thinks(problem: Problem, said: str) -> str:
    """Answer correctly, or what follows from a given thought; without a thought always 7."""
    if said.startswith(THINK + END_THINK):
        return f"{THINK}{END_THINK}7"
    thought, closed, _ = said.removeprefix(THINK).partition(END_THINK)
    if not closed and problem.thought.startswith(thought):
        return f"{THINK}{problem.thought}{END_THINK}{problem.answer}"
    asked = parse_question(problem.question)
    *lines, last = thought.split("\n")
    if closed or REMAINING_SEPARATOR in last:  # the last line has its value
        lines.append(last)
    lines = [split_remaining(line)[0] for line in lines]
    if not closed and lines:  # the model may have begun to write what remains
        lines[-1] = lines[-1].removesuffix(REMAINING_SEPARATOR)
    given = {number: value_of(line) for number, line in enumerate(lines)}
    written = write_lines(asked, given)
    for number in range(len(lines)):
        _, remaining = split_remaining(written[number])
        lines[number] += f"{REMAINING_SEPARATOR}{remaining}" if remaining else ""
    lines += written[len(lines) :]
    answer = asked.compute({**given, len(lines) - 1: value_of(lines[-1])}).answer
    return f"{THINK}{chr(10).join(lines)}{END_THINK}{answer}"


def write_lines(asked: Question, given: Mapping[int, tuple[int, int]]) -> list[str]:
    """Write the lines of a thought, with given results of some of its steps."""
    values = asked.compute(given).values
    lines = []
    for number, step in enumerate(asked.steps):
        line = write_step(step.operation, *asked.operands(step, values))
        known = {place: value for place, value in values.items() if place <= number}
        remaining = asked.build_remaining(known)
        is_whole = remaining is None or line.remainder
        lines.append(line if is_whole else line.add_remaining(str(remaining)))
    return [line.text for line in lines]


def value_of(line: str) -> tuple[int, int]:
    """Read the value of a line, and the remainder."""
    return parse_value(split_remaining(line)[0].rpartition(":")[2])
