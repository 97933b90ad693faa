"""Grammars that are wrong, too large or too complex are refused, in one sentence."""

from __future__ import annotations

import sys
from contextlib import suppress
from traceback import walk_tb
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models as backends

from anexa.errors import AnexaError, UsageError
from anexa.generation.grammars import (
    MAX_GRAMMAR_CHARS,
    MAX_GRAMMAR_CHOICES,
    MAX_SCHEMA_DEPTH,
    Grammar,
    grammar_of,
)
from anexa.model.tokenizer import Tokenizer

pytest.importorskip("llguidance", reason="llguidance is not installed")

from anexa.generation import constraints
from anexa.generation.grammar_compiler import GrammarCompiler
from tests.generation.compilers import COMPILERS
from tests.generation.hard_grammars import LOOP, chains, nested

WRONG = [
    (lambda: Grammar.regex("(?=a)b"), "look-ahead"),
    (lambda: Grammar.regex("(a)\\1"), "backreferences are not supported"),
    (lambda: Grammar.regex("(a"), "regex is not valid: unclosed group"),
    (lambda: Grammar.regex("(" * 10_000 + ")" * 10_000), "regex is not valid"),
    (lambda: Grammar.regex("[^\\s\\S]"), "regex allows no text"),
    (lambda: Grammar.regex("a" * (MAX_GRAMMAR_CHARS + 1)), "at most 65,536 characters"),
    (lambda: Grammar.regex("\ud800"), "unpaired surrogate"),
    (lambda: Grammar.regex(5), "regex must be a string, not 5"),  # type: ignore[arg-type]
    (lambda: Grammar.choice([]), "choice must be a list of strings"),
    (lambda: Grammar.choice("yes"), "choice must be a list of strings"),
    (lambda: Grammar.choice([""]), "not empty"),
    (lambda: Grammar.choice([1]), "not empty"),  # type: ignore[list-item]
    (lambda: Grammar.choice(["a"] * (MAX_GRAMMAR_CHOICES + 1)), "at most 1,000 entries"),
    (lambda: Grammar.json_schema("{"), "json_schema is not JSON"),
    (lambda: Grammar.json_schema("[" * 50_000), "json_schema is not JSON"),
    (lambda: Grammar.json_schema([]), "json_schema must be an object"),
    (lambda: Grammar.json_schema(nested(10_000)), "must not nest deeper than 64 levels"),
    (lambda: Grammar.json_schema({"type": {1, 2}}), "json_schema is not JSON"),
    (lambda: Grammar.json_schema({"const": float("nan")}), "json_schema is not JSON"),
    (lambda: Grammar.json_schema({"type": "foo"}), "Invalid type: foo"),
    (lambda: Grammar.json_schema({"not": {}}), "json_schema is not valid: Unimplemented keys"),
    (lambda: Grammar.json_schema({"not": {}, "x-guidance": {"lenient": True}}), "Unimplemented"),
    (lambda: Grammar.json_schema(LOOP), "no text"),
    (lambda: Grammar.json_schema({"$ref": "https://example.com/schema.json"}), "Resource"),
    (lambda: Grammar.json_schema({"type": "integer", "minimum": 3, "maximum": 1}), "Unsatisfiable"),
    (lambda: Grammar.json_schema({"const": "x" * 70_000}), "at most 65,536 characters"),
    (lambda: Grammar.rules("start: ("), "grammar is not valid: 1\\(9\\)"),
    (lambda: Grammar.rules("start: nothing"), 'unknown name: "nothing"'),
    (lambda: Grammar.rules("root ::= ("), "Failed to convert"),
    (lambda: Grammar.rules("root ::= " + "(" * 20_000), "grammar is not valid"),
    (lambda: Grammar.rules("start: " + "(" * 20_000), "too deeply nested"),
    (lambda: Grammar.rules("start: start"), "allows no text"),
    (lambda: Grammar.rules(""), "grammar is not valid"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_is_wrong_is_said_in_a_sentence(make: Any, words: str) -> None:
    _, compiler = COMPILERS["byte level"]
    with pytest.raises(UsageError, match=words) as error:
        compiler.compile(make())
    message = str(error.value)
    assert len(message) < 300
    assert message.isprintable()


def test_a_schema_may_be_as_deep_as_allowed() -> None:
    _, compiler = COMPILERS["byte level"]
    compiler.compile(Grammar.json_schema(nested(MAX_SCHEMA_DEPTH)))


@pytest.mark.parametrize("number", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_long_chains_do_not_overflow_the_stack(number: int) -> None:
    _, compiler = COMPILERS["byte level"]
    grammar = chains()[number]
    assert len(grammar.text) > 0.85 * MAX_GRAMMAR_CHARS
    with suppress(UsageError):  # that it is too complex
        compiler.compile(grammar).mask()


def test_the_work_for_a_mask_is_bounded() -> None:
    tokenizer, compiler = COMPILERS["byte level"]
    rules = [f'x{i}: "x{i}"' for i in range(2500)]
    start = "start: " + " | ".join(f"x{i}" for i in range(2500))
    constraint = compiler.compile(Grammar.rules("\n".join([start, *rules])))

    def write() -> None:
        for token in tokenizer.encode("x123"):
            constraint.advance(token)
            constraint.mask()

    with pytest.raises(AnexaError, match="too complex"):
        write()


def test_the_work_for_all_choices_of_a_request_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, compiler = COMPILERS["byte level"]
    first = compiler.compile(Grammar.rules('start: a\na: a a | a "x" a | "x"'))
    several, [x] = [first, first.copy(), first.copy()], tokenizer.encode("x")
    monkeypatch.setattr(constraints, "MAX_CPU_SECONDS", 0.005)
    monkeypatch.setattr(constraints, "MAX_CPU_SECONDS_PER_TOKEN", 0.0)

    def write() -> None:
        for _ in range(200):
            for constraint in several:
                assert constraint.mask()[x]
                constraint.advance(x)

    with pytest.raises(AnexaError, match="too complex"):
        write()
    for constraint in several:
        with pytest.raises(AnexaError, match="too complex"):
            constraint.mask()


def test_an_error_does_not_hold_the_memory_of_its_grammar() -> None:
    _, compiler = COMPILERS["byte level"]
    for grammar in (Grammar.regex("a{100000}"), Grammar.regex("[^\\s\\S]"), Grammar.regex("(")):
        with pytest.raises(UsageError) as raised:
            compiler.compile(grammar)
        error: BaseException | None = raised.value
        while error is not None:
            for frame, _ in walk_tb(error.__traceback__):
                kinds = {type(value).__name__ for value in frame.f_locals.values()}
                assert "LLMatcher" not in kinds
            error = error.__cause__


def test_one_grammar_at_a_time() -> None:
    assert grammar_of() is None
    assert grammar_of(regex="a") == Grammar.regex("a")
    assert grammar_of(choice=["a"]) == Grammar.choice(["a"])
    assert grammar_of(json_schema={}) == Grammar.json_schema({})
    assert grammar_of(grammar='start: "a"') == Grammar.rules('start: "a"')
    with pytest.raises(UsageError, match="exclude each other"):
        grammar_of(regex="a", choice=["a"])
    with pytest.raises(UsageError, match="choice must be a list"):
        grammar_of(choice=[])


def test_a_vocabulary_without_an_end_is_refused() -> None:
    backend = Backend(backends.BPE(vocab={"a": 0}, merges=[]))
    with pytest.raises(AnexaError, match="no token that ends a text"):
        GrammarCompiler(Tokenizer(backend), 1).compile(Grammar.regex("a"))


def test_without_llguidance_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    _, compiler = COMPILERS["characters"]
    with pytest.raises(AnexaError, match=r"pip install 'anexa\[structured\]'"):
        compiler.compile(Grammar.regex("a"))
