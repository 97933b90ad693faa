"""Texts that are generated under a grammar match it, for every kind of tokenizer."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anexa
from anexa.engines import open_engine
from anexa.errors import AnexaError, UsageError
from anexa.generation import BatchScheduler, Sampler, SamplingParams
from anexa.generation.grammars import Grammar
from anexa.model.config import ModelConfig
from anexa.model.tokenizer import Tokenizer
from anexa.model.weights import initial_weights

pytest.importorskip("llguidance", reason="llguidance is not installed")

from anexa.generation.constraints import GrammarConstraint
from anexa.generation.grammar_compiler import GrammarCompiler
from tests.generation.compilers import COMPILERS, PRINTABLE, TAGS, characters


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
            detokenizer = tokenizer.detokenizer([tokenizer.eot_token_id])
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
    assert constraint.mask().nonzero()[0].tolist() == [ids[1], tokenizer.eot_token_id]
    constraint.advance(ids[1])
    assert constraint.mask().nonzero()[0].tolist() == [tokenizer.eot_token_id]
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
    assert at_once.mask().nonzero()[0].tolist() == [tokenizer.eot_token_id], "no thought later on"
    inside = compiler.compile(Grammar.regex("a"), thinking=True, in_thought=True)
    for thinking, tokens in ((constraint, [think, b, b]), (inside, [b])):
        for token in tokens:
            thinking.advance(token)
        free = thinking.mask()
        assert free[: tokenizer.vocab_size].sum() == tokenizer.vocab_size - 1
        assert not free[tokenizer.eot_token_id]
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
