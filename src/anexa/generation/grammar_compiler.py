"""Compilation of grammars by llguidance, for the vocabulary of a model.

llguidance was chosen because it needs no automaton of all states: a grammar compiles within
milliseconds, a mask takes tens of microseconds, and the work for each is limited. vLLM, SGLang and
llama.cpp use it too.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from anexa.errors import AnexaError, UsageError, one_line
from anexa.generation.constraints import (
    TOO_COMPLEX_MESSAGE,
    ConstraintError,
    CPUTime,
    GrammarConstraint,
    Vocabulary,
    exceeds_limit,
    matcher_error,
)
from anexa.generation.grammars import Grammar, escape_regex
from anexa.model.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

Result = TypeVar("Result")

# Work that llguidance may do for one grammar.
_LIMITS = {
    "initial_lexer_fuel": 1_000_000,  # about 20 ms
    "step_lexer_fuel": 100_000,  # about 7 ms
    "step_max_items": 50_000,  # about 3 ms
    "max_items_in_row": 2000,
    "max_lexer_states": 20_000,  # at most 2 kB each
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
MAX_MASK_SECONDS = 0.05  # limit on the CPU time of the first mask
# llguidance compiles rules and references by recursion. The longest chain of them that fits into
# `MAX_GRAMMAR_CHARS` needs less than half of this, of which memory is used only as far as needed.
_STACK_BYTES = 2**27
_stack_size_lock = threading.Lock()
_UTF8_BYTES = {*range(0xC0), *range(0xC2, 0xF5)}  # the others occur in no text


class GrammarCompiler:
    """Compiler of grammars for the vocabulary of a model; all threads may use it.

    Args:
        tokenizer: tokenizer of the model.
        vocab_size: number of logits, V; at least the tokenizer's.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary(tokenizer, vocab_size)
        self._lock = threading.Lock()

    def compile(
        self, grammar: Grammar, *, thinking: bool = False, in_thought: bool = False
    ) -> GrammarConstraint:
        """Compile a grammar to a constraint, in up to a second.

        Args:
            grammar: set of the texts that may be generated.
            thinking: whether the text may begin with a thought: reasoning between think tags, which
                the grammar does not restrict.
            in_thought: whether the prompt ends within a thought, which the model continues. Both
                have no effect if the think tags are not single tokens: see `Vocabulary`.

        Returns:
            The constraint at the beginning of the text.

        Raises:
            UsageError: if the grammar is not valid, takes too much work, or has no text that the
                vocabulary can express.
            AnexaError: if llguidance is not installed, or no token of the model ends a text.
        """
        if not self._tokenizer.eos_token_ids:
            raise AnexaError("this model has no token that ends a text, which a grammar needs")
        matcher = _with_large_stack(partial(self._compile, grammar))
        has_thoughts = self._vocabulary.has_thoughts
        return GrammarConstraint(
            self._vocabulary,
            matcher,
            CPUTime(),
            may_think=has_thoughts and thinking and not in_thought,
            is_thinking=has_thoughts and in_thought,
        )

    def _compile(self, grammar: Grammar) -> llguidance.LLMatcher:
        ll = _import_llguidance()
        with self._lock:
            ll_tokenizer, alphabet = self._ll_tokenizer, self._alphabet
        if alphabet is not None:
            unknown = self._tokenizer.unknown_characters(grammar.characters)
            if unknown:
                listed = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
                raise UsageError(f"{grammar.name} needs {listed}, which this model has never seen")
        limits = ll.LLParserLimits(**_LIMITS)
        matcher: llguidance.LLMatcher = ll.LLMatcher(
            ll_tokenizer, self._source(grammar), log_level=0, limits=limits
        )
        if matcher.is_error():
            raise UsageError(f"{grammar.name} is not valid: {_reason(matcher.get_error())}")
        try:
            _check_first_mask(matcher)
        except ConstraintError as error:
            if error.is_too_complex:
                raise UsageError(f"{grammar.name} is too complex: make it simpler") from error
            raise UsageError(f"{grammar.name} allows no text that this model can write") from error
        return matcher

    def _source(self, grammar: Grammar) -> str:
        """Return a grammar in llguidance's format."""
        ll = _import_llguidance()
        if grammar.kind == "json_schema":
            return f'{{"grammars": [{{"json_schema": {grammar.text}}}]}}'
        if grammar.kind == "grammar":
            try:
                return str(ll.grammar_from("grammar", grammar.text))
            except Exception as error:  # of the conversion from GBNF
                raise UsageError(f"{grammar.name} is not valid: {one_line(str(error))}") from error
        pattern = ll.regex_to_lark(grammar.text, use_ascii="dw")  # as in JavaScript
        known = "" if self._alphabet is None else f" & /{self._alphabet}/"
        return str(ll.LLMatcher.grammar_from_lark(f"start: TEXT\nTEXT: /{pattern}/{known}\n"))

    @cached_property
    def _alphabet(self) -> str | None:
        """Regular expression of the texts that the vocabulary can express; None if all texts."""
        tokens = {self._tokenizer.token_bytes(i) for i in range(self._tokenizer.vocab_size)}
        if all(bytes([byte]) in tokens for byte in _UTF8_BYTES):
            return None
        characters = sorted({c for token in tokens if len(c := token.decode(errors="ignore")) == 1})
        return f"[{''.join(map(escape_regex, characters))}]*"

    @cached_property
    def _ll_tokenizer(self) -> llguidance.LLTokenizer:
        wrapper = _import_llguidance().TokenizerWrapper(_TokenizerAdapter(self._tokenizer))
        eos = list(self._tokenizer.eos_token_ids)
        made: llguidance.LLTokenizer = _import_llguidance().LLTokenizer(wrapper, eos_token=eos)
        return made


class _TokenizerAdapter:
    """A tokenizer as llguidance wants it: over bytes.

    Attributes:
        tokens: bytes of each token.
        special_token_ids: tokens that are not text, such as `<think>`.
        eos_token_id: id of the token that ends a text.
        bos_token_id: None: no grammar contains the beginning of a text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        tags = [tag for tag in tokenizer.added_tokens if tag[:1] == "<" and tag[-1:] == ">"]
        tag_ids = {token for tag in tags if (token := tokenizer.token_to_id(tag)) is not None}
        self.special_token_ids = sorted(tag_ids.union(tokenizer.eos_token_ids))
        self.eos_token_id, self.bos_token_id = tokenizer.eot_token_id, None
        self._ids = {data: token for token, data in reversed([*enumerate(self.tokens)]) if data}
        for token in self.special_token_ids:
            self._ids.pop(self.tokens[token], None)
        self._max_length = max(map(len, self._ids), default=0)

    def __call__(self, data: bytes | str) -> list[int]:
        """Encode bytes as the tokenizer does, or else by the longest tokens.

        If no token begins with a byte, that byte and all after it are left out.
        """
        data = data.encode() if isinstance(data, str) else data
        with suppress(UnicodeDecodeError):
            ids = self._tokenizer.encode(data.decode())
            if b"".join(self.tokens[token] for token in ids) == data:
                return ids
        ids, start = [], 0
        while start < len(data):
            ends = range(min(len(data), start + self._max_length), start, -1)
            end = next((end for end in ends if data[start:end] in self._ids), None)
            if end is None:
                break
            ids.append(self._ids[data[start:end]])
            start = end
        return ids


def _import_llguidance() -> Any:
    """Import llguidance, which is optional.

    Raises:
        AnexaError: if llguidance is not installed.
    """
    try:
        return import_module("llguidance")
    except ModuleNotFoundError as error:
        raise AnexaError("grammars need llguidance: pip install 'anexa[structured]'") from error


def _with_large_stack(function: Callable[[], Result]) -> Result:
    """Run a function in a thread with a stack of `_STACK_BYTES`."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # raised below
            _release_locals(error)
            future.set_exception(error)

    thread = threading.Thread(target=run, name="anexa-grammar", daemon=True)
    with _stack_size_lock:
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return future.result()


def _release_locals(error: BaseException | None) -> None:
    """Release the local variables of the functions that an error has ended.

    One of them may be a grammar of 100 MB, which else lives until the garbage collector finds the
    error, much later.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__


def _check_first_mask(matcher: llguidance.LLMatcher) -> None:
    """Check that a text of the grammar can begin with some token.

    Args:
        matcher: matcher at the beginning of the text.

    Raises:
        ConstraintError: if no first token is allowed, or the check takes too much work.
    """
    started = time.thread_time()
    matcher.compute_bitmask()
    if matcher.is_error():
        raise matcher_error(matcher)
    if time.thread_time() - started > MAX_MASK_SECONDS:
        raise ConstraintError(TOO_COMPLEX_MESSAGE, is_too_complex=True)


def _reason(error: str) -> str:
    """Return the reason in an error of llguidance, in one line without the place."""
    lines = error.splitlines() or [""]
    if exceeds_limit(error):
        return "it is too complex"
    reason = next((line for line in lines if line.startswith("error: ")), lines[0])
    return one_line(reason.removeprefix("error: "))
