"""Texts that are generated under a grammar match it, for every kind of tokenizer."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from traceback import walk_tb
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as backends

import anexa
from anexa.engines import open_engine
from anexa.errors import AnexaError, UsageError
from anexa.generation import BatchScheduler, Sampler, SamplingParams
from anexa.generation.grammars import (
    MAX_GRAMMAR_CHARS,
    MAX_GRAMMAR_CHOICES,
    MAX_SCHEMA_DEPTH,
    Grammar,
    grammar_of,
)
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import initial_weights

pytest.importorskip("llguidance", reason="llguidance is not installed")

from anexa.generation import constraints
from anexa.generation.constraints import GrammarConstraint
from anexa.generation.grammar_compiler import GrammarCompiler

PRINTABLE = "".join(map(chr, range(32, 127))) + "\n"
TAGS = ["<think>", "</think>"]


def byte_level() -> Tokenizer:
    texts = ['{"name": "hello world", "age": 12}', "yes no maybe éü 日本"] * 3
    return Tokenizer.train_bpe(texts, 320, adds_bos=False)


def metaspace() -> Tokenizer:
    """A tokenizer like Llama's: words with a mark for their space, and bytes for the rest."""
    words = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["▁", "a", "b", "▁a", "ab", "▁ab", "yes", "▁yes", '"', '{"']
    backend = Backend(
        backends.BPE(
            vocab={word: i for i, word in enumerate(words)},
            merges=[("▁", "a"), ("a", "b"), ("▁", "ab")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return Tokenizer(backend, None, [1])


def characters(text: str = PRINTABLE) -> Tokenizer:
    return Tokenizer.from_characters([text], adds_bos=False, added_tokens=TAGS)


COMPILERS = {
    name: (tokenizer, GrammarCompiler(tokenizer, tokenizer.vocab_size + 3))
    for name, tokenizer in (
        ("characters", characters()),
        ("byte level", byte_level()),
        ("metaspace", metaspace()),
    )
}


def finish(
    tokenizer: Tokenizer, constraint: GrammarConstraint, rng: random.Random, limit: int = 400
) -> str | None:
    """Choose allowed tokens at random until one ends the text; None if `limit` do not suffice."""
    ids: list[int] = []
    while len(ids) < limit:
        allowed = constraint.mask().nonzero()[0].tolist()
        ends = [token for token in allowed if token in tokenizer.eos_token_ids]
        token = ends[0] if ends and rng.random() < 0.3 else rng.choice(allowed)
        constraint.advance(token)
        if token in tokenizer.eos_token_ids:
            detokenizer = tokenizer.detokenizer([tokenizer.eot_token])
            return "".join(map(detokenizer.add, ids)) + detokenizer.flush()
        ids.append(token)
    return None


def written(name: str, grammar: Grammar, seed: int = 1) -> str | None:
    tokenizer, compiler = COMPILERS[name]
    return finish(tokenizer, compiler.compile(grammar), random.Random(seed))


ATOMS = st.sampled_from(["a", "b", "[a-c]", "\\d", "x", " ", "[^a]", "yes", "\\."])
REGEXES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)
LITERALS = st.one_of(st.text(PRINTABLE, max_size=5), st.integers(-20, 20), st.booleans(), st.none())
SCHEMAS: Any = st.recursive(
    st.one_of(
        st.sampled_from(
            [
                {"type": "integer"},
                {"type": "boolean"},
                {"type": "null"},
                {"type": "string", "maxLength": 5},
                {"type": "string", "pattern": "^[a-c]{1,3}$"},
                {"type": "integer", "minimum": -3, "maximum": 30},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        ),
        st.lists(LITERALS, min_size=1, max_size=3).map(lambda values: {"enum": values}),
        LITERALS.map(lambda value: {"const": value}),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.text('ab"é\\ ', min_size=1, max_size=3), inner, max_size=3).map(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": [*properties][:2],
                "additionalProperties": False,
            }
        ),
        inner.map(lambda items: {"type": "array", "items": items, "maxItems": 3}),
        st.lists(inner, min_size=1, max_size=2).map(lambda several: {"anyOf": several}),
    ),
    max_leaves=5,
)
NAMES = st.sampled_from([*COMPILERS])
SEEDS = st.integers(0, 2**32)


@given(NAMES, REGEXES, SEEDS)
@settings(max_examples=40, deadline=None)
def test_texts_match_a_regular_expression(name: str, pattern: str, seed: int) -> None:
    text = written(name, Grammar.regex(pattern), seed)
    assert text is None or re.fullmatch(pattern, text)


@given(NAMES, st.lists(st.text(PRINTABLE, min_size=1, max_size=6), min_size=1, max_size=5), SEEDS)
@settings(max_examples=40, deadline=None)
def test_texts_are_one_of_the_choices(name: str, choices: list[str], seed: int) -> None:
    assert written(name, Grammar.choice(choices), seed) in choices


@given(NAMES, SCHEMAS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_texts_conform_to_a_schema(name: str, schema: dict[str, Any], seed: int) -> None:
    validator = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")
    if name == "characters" and "\\u00e9" in json.dumps(schema):
        return
    text = written(name, Grammar.json_schema(schema), seed)
    if text is not None:
        validator.validate(schema, json.loads(text))


@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize(
    "rules",
    [
        'start: "(" start ")" | /[0-9]+/',
        'root ::= "(" root ")" | [0-9]+',
    ],
)
def test_texts_follow_rules(name: str, rules: str) -> None:
    text = written(name, Grammar.rules(rules), 3)
    assert text
    assert re.fullmatch(r"(\()*\d+(\))*", text)
    assert text.count("(") == text.count(")")


def test_every_choice_can_be_generated() -> None:
    choices = ["a", "ab", "abc", "b", "yes", 'é"\\', "\x7f\n日本"]
    tokenizer, compiler = COMPILERS["byte level"]
    constraint, rng = compiler.compile(Grammar.choice(choices)), random.Random(1)
    found = {finish(tokenizer, constraint.copy(), rng) for _ in range(300)}
    assert found == {*choices}


def test_eos_is_allowed_exactly_where_the_text_may_end() -> None:
    tokenizer, compiler = COMPILERS["characters"]
    constraint = compiler.compile(Grammar.regex("ab?"))
    copy = constraint.copy()
    ids = tokenizer.encode("ab")
    assert constraint.mask().nonzero()[0].tolist() == [ids[0]]
    constraint.advance(ids[0])
    assert constraint.mask().nonzero()[0].tolist() == [ids[1], tokenizer.eot_token]
    constraint.advance(ids[1])
    assert constraint.mask().nonzero()[0].tolist() == [tokenizer.eot_token]
    assert copy.mask().nonzero()[0].tolist() == [ids[0]], "a copy has a state of its own"


def test_a_thought_is_free_but_cannot_end_the_text() -> None:
    tokenizer, compiler = COMPILERS["characters"]
    think, end_think = map(tokenizer.token_to_id, TAGS)
    assert think is not None
    assert end_think is not None
    [a, b] = tokenizer.encode("ab")
    constraint = compiler.compile(Grammar.regex("a"), thinking=True)
    assert constraint.mask().nonzero()[0].tolist() == [a, think]
    at_once = constraint.copy()
    at_once.advance(a)
    assert at_once.mask().nonzero()[0].tolist() == [tokenizer.eot_token], "no thought later on"
    inside = compiler.compile(Grammar.regex("a"), thinking=True, in_thought=True)
    for thinking, tokens in ((constraint, [think, b, b]), (inside, [b])):
        for token in tokens:
            thinking.advance(token)
        free = thinking.mask()
        assert free[: tokenizer.vocab_size].sum() == tokenizer.vocab_size - 1
        assert not free[tokenizer.eot_token]
        thinking.advance(end_think)
        assert thinking.mask().nonzero()[0].tolist() == [a]
    constraint = compiler.compile(Grammar.regex("a"))
    assert constraint.mask().nonzero()[0].tolist() == [a], "with thinking off, at once"


def test_a_model_whose_tags_are_not_in_its_texts_keeps_to_the_grammar_at_once() -> None:
    """Nobody could tell its thought from its answer."""
    content = json.loads(characters().to_json())
    for token in content["added_tokens"]:
        token["special"] = True
    tokenizer = Tokenizer.from_json(json.dumps(content))
    compiler = GrammarCompiler(tokenizer, tokenizer.vocab_size)
    constraint = compiler.compile(Grammar.regex("a"), thinking=True)
    assert constraint.mask().nonzero()[0].tolist() == tokenizer.encode("a")


def test_tags_are_not_part_of_a_text() -> None:
    _, compiler = COMPILERS["characters"]
    mask = compiler.compile(Grammar.regex(".*")).mask()
    tokenizer = COMPILERS["characters"][0]
    for tag in TAGS:
        assert not mask[tokenizer.token_to_id(tag)]


def test_only_characters_of_the_vocabulary_are_used() -> None:
    tokenizer = characters("0123456789+-")
    compiler = GrammarCompiler(tokenizer, tokenizer.vocab_size)
    for seed in range(20):
        text = finish(
            tokenizer, compiler.compile(Grammar.regex("1(a|2x?)|q.")), random.Random(seed)
        )
        assert text == "12"
    refused = {
        Grammar.regex("a+"): "regex allows no text that this model can write",
        Grammar.regex("1+a"): "regex allows no text that this model can write",
        Grammar.choice(["1", "yes"]): "choice needs 'y', 'e', 's', which this model has never seen",
        Grammar.json_schema({"type": "object"}): (
            "json_schema needs '{', '}', '[', ']', '\"', …, which this model has never seen"
        ),
        Grammar.rules('start: "x"'): "grammar allows no text that this model can write",
    }
    for grammar, sentence in refused.items():
        with pytest.raises(UsageError) as error:
            compiler.compile(grammar)
        assert str(error.value) == sentence
    constraint = compiler.compile(Grammar.rules('start: "1" x\nx: "a" | "b"'))
    constraint.advance(tokenizer.encode("1")[0])
    with pytest.raises(AnexaError, match="a character that is not in the vocabulary of this model"):
        constraint.mask()


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
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


def chains() -> list[Grammar]:
    """The longest chains of rules and references that fit into a grammar."""
    rules = "\n".join(f"a{i:x}: a{i + 1:x} | A" for i in range(4000))
    refs = {f"{i:x}": {"$ref": f"#/$defs/{i + 1:x}"} for i in range(1900)}
    deep: dict[str, Any] = {}
    for i in range(95):
        schema: dict[str, Any] = {"$ref": f"#/$defs/{i + 1}"}
        for _ in range(55):
            schema = {"items": schema}
        deep[str(i)] = schema
    return [
        Grammar.rules(f'start: a0\n{rules}\na{4000:x}: A\nA: "x"'),
        Grammar.json_schema({"$ref": "#/$defs/0", "$defs": {**refs, f"{1900:x}": {}}}),
        Grammar.json_schema({"$ref": "#/$defs/0", "$defs": {**deep, "95": {}}}),
    ]


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


def test_the_work_for_all_choices_of_a_request_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, compiler = COMPILERS["byte level"]
    first = compiler.compile(Grammar.rules('start: a\na: a a | a "x" a | "x"'))
    several, [x] = [first, first.copy(), first.copy()], tokenizer.encode("x")
    monkeypatch.setattr(constraints, "WORK_SECONDS", 0.005)
    monkeypatch.setattr(constraints, "WORK_SECONDS_PER_TOKEN", 0.0)

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


def test_grammars_in_python() -> None:
    model = anexa.load()
    question = [{"role": "user", "content": "12+30"}]
    answer = model.chat(question, temperature=0, regex="[0-9]+")
    assert (answer.content, answer.finish_reason) == ("42", "stop")
    assert answer.reasoning == "A2B1+a0b3:A:2+0+0=02,B:1+3+0=04:B4A2"
    at_once = model.chat(question, thinking=False, choice=["yes", "no"])
    assert at_once.content in ("yes", "no")
    assert at_once.reasoning is None
    assert re.fullmatch("(ab)+", model.generate("1", grammar='start: "ab"+', max_tokens=500))
    text = "".join(model.stream("1", json_schema={"type": "boolean"}))
    assert text in ("true", "false")
    with pytest.raises(UsageError, match="exclude each other"):
        model.generate("1", regex="a", choice=["b"])
    with pytest.raises(UsageError, match="ignore_eos and a grammar exclude each other"):
        model.generate("1", regex="a", ignore_eos=True)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_alone_as_in_company(temperature: float) -> None:
    """The tokens of a constrained sequence do not depend on the others in its batch."""
    tokenizer, compiler = COMPILERS["byte level"]
    config = ModelConfig(
        "llama", tokenizer.vocab_size + 3, block_size=64, n_embd=16, n_head=2, n_layer=1
    )
    engine = open_engine("numpy", config, initial_weights(config, random.Random(1)))
    grammars = [
        Grammar.json_schema({"type": "array", "items": {"enum": ["a", 1]}, "maxItems": 3}),
        Grammar.regex("(yes|no)( maybe)?"),
        None,
    ]
    prompt = tokenizer.encode("hello")

    def sampler(number: int) -> Sampler:
        grammar = grammars[number % 3]
        constraint = compiler.compile(grammar) if grammar else None
        return Sampler(SamplingParams(temperature, seed=number), constraint)

    def generate(numbers: Sequence[int]) -> list[list[int]]:
        scheduler = BatchScheduler(engine, len(numbers))
        sequences = [scheduler.add(prompt, sampler(number)) for number in numbers]
        generated: list[list[int]] = [[] for _ in numbers]
        while scheduler.num_running or scheduler.num_waiting:
            for step in scheduler.step():
                assert step.error is None
                place = sequences.index(step.sequence)
                generated[place].append(step.token)
                if step.token in tokenizer.eos_token_ids or len(generated[place]) == 40:
                    scheduler.remove(step.sequence)
        return generated

    numbers = range(9)
    together = generate(numbers)
    assert together == [generate([number])[0] for number in numbers]
    for number in (1, 4, 7):
        *ids, last = together[number]
        assert last in tokenizer.eos_token_ids
        assert re.fullmatch("(yes|no)( maybe)?", tokenizer.decode(ids))
