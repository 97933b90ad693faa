"""Grammars: the sets of texts that a model may generate, checked and bounded before compilation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

from anexa.errors import UsageError, short_repr

# Maximum length of a regular expression, of rules, of a schema as JSON, or of all choices together.
MAX_GRAMMAR_CHARS = 2**16
MAX_GRAMMAR_CHOICES = 1000  # maximum number of choices
MAX_SCHEMA_DEPTH = 64  # maximum number of nested lists and objects

# Form in which a set of texts is given; see `Grammar.text`.
GrammarKind: TypeAlias = Literal["regex", "choice", "json_schema", "grammar"]
# All kinds, which are also the names of the arguments of `grammar_of`.
GRAMMAR_KINDS: tuple[GrammarKind, ...] = get_args(GrammarKind)

# White space in JSON is bounded, as a model that is at a loss writes blanks without end.
_SCHEMA_OPTIONS = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": " ?",
    "coerce_one_of": False,  # or else texts that match two alternatives of `oneOf` are generated
    "lenient": False,  # keywords that llguidance does not implement are errors
}
_JSON_CHARACTERS = '{}[]":,'


@dataclass(frozen=True)
class Grammar:
    """A set of texts that a model may generate, not compiled yet.

    Attributes:
        kind: the form in which the set is given.
        name: name of the grammar in messages, such as a field of a request.
        text: regular expression of "regex" and "choice", schema as JSON of "json_schema", rules of
            "grammar".
        characters: characters without which a vocabulary cannot express the texts; empty for
            "regex" and "grammar".
    """

    kind: GrammarKind
    name: str
    text: str
    characters: str = ""

    @classmethod
    def regex(cls, pattern: str, name: str = "regex") -> Grammar:
        """Return the set of texts that a regular expression matches from beginning to end.

        Args:
            pattern: regular expression.
            name: name of the grammar in messages, such as the field of a request.

        Raises:
            UsageError: if the expression is not a string, too long, or has an unpaired surrogate.
        """
        return cls("regex", name, _checked(name, pattern))

    @classmethod
    def choice(cls, choices: Sequence[str], name: str = "choice") -> Grammar:
        """Return the set of the texts in a list.

        Args:
            choices: texts to choose from.
            name: name of the grammar in messages, such as the field of a request.

        Raises:
            UsageError: if there are no choices or too many, they are too long together, or a choice
                is empty, not a string, or has an unpaired surrogate.
        """
        if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
            raise UsageError(f"{name} must be a list of strings, not {short_repr(choices)}")
        if not all(isinstance(choice, str) and choice for choice in choices):
            raise UsageError(f"{name} must be a list of strings that are not empty")
        if len(choices) > MAX_GRAMMAR_CHOICES:
            raise UsageError(
                f"{name} must have at most {MAX_GRAMMAR_CHOICES:,} entries, not {len(choices):,}"
            )
        characters = _checked(name, "".join(choices))
        pattern = "|".join("".join(map(escape_regex, choice)) for choice in choices)
        return cls("choice", name, pattern, characters)

    @classmethod
    def json_schema(cls, schema: object, name: str = "json_schema") -> Grammar:
        """Return the set of JSON texts that a JSON schema describes.

        Args:
            schema: schema as an object, or as a string of JSON.
            name: name of the grammar in messages, such as the field of a request.

        Raises:
            UsageError: if the schema is not JSON or not an object, too long, or nested too deep.
        """
        if isinstance(schema, str):
            try:
                schema = json.loads(_checked(name, schema))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{name} is not JSON ({short_repr(error)})") from error
        if not isinstance(schema, dict):
            raise UsageError(f"{name} must be an object, not {short_repr(schema)}")
        depths = [depth for depth, _ in islice(_walk(schema), MAX_GRAMMAR_CHARS + 1)]
        if len(depths) > MAX_GRAMMAR_CHARS:  # each value is at least one character
            raise UsageError(f"{name} must have at most {MAX_GRAMMAR_CHARS:,} characters")
        if max(depths) > MAX_SCHEMA_DEPTH:
            raise UsageError(f"{name} must not nest deeper than {MAX_SCHEMA_DEPTH} levels")
        try:
            text = json.dumps({**schema, "x-guidance": _SCHEMA_OPTIONS}, allow_nan=False)
        except (TypeError, ValueError) as error:  # a value that JSON does not have
            raise UsageError(f"{name} is not JSON ({short_repr(error)})") from error
        return cls(
            "json_schema",
            name,
            _checked(name, text),
            "".join(dict.fromkeys(_JSON_CHARACTERS + _literals(schema))),
        )

    @classmethod
    def rules(cls, text: str, name: str = "grammar") -> Grammar:
        """Return the set of texts of a grammar, written as for Lark or as llama.cpp's GBNF.

        Args:
            text: rules of the grammar.
            name: name of the grammar in messages, such as the field of a request.

        Raises:
            UsageError: if the grammar is not a string, too long, or has an unpaired surrogate.
        """
        return cls("grammar", name, _checked(name, text))


def grammar_of(
    *,
    regex: str | None = None,
    choice: Sequence[str] | None = None,
    json_schema: object = None,
    grammar: str | None = None,
) -> Grammar | None:
    """Return the grammar that one of the arguments gives; None if all are None.

    It is not compiled, so some errors in it come later.

    Args:
        regex: regular expression that the whole text matches.
        choice: texts to choose from.
        json_schema: JSON schema, as an object or as a string of JSON.
        grammar: rules as for Lark or as llama.cpp's GBNF.

    Raises:
        UsageError: if several arguments are not None, or the one is not valid.
    """
    makers: list[tuple[Any, Callable[[Any], Grammar]]] = [
        (regex, Grammar.regex),
        (choice, Grammar.choice),
        (json_schema, Grammar.json_schema),
        (grammar, Grammar.rules),
    ]
    requested = [(make, value) for value, make in makers if value is not None]
    if len(requested) > 1:
        raise UsageError("regex, choice, json_schema and grammar exclude each other: give one")
    return next((make(value) for make, value in requested), None)


def escape_regex(character: str) -> str:
    """Return a regular expression that matches a character."""
    is_plain = character.isascii() and character.isalnum()
    return character if is_plain else f"\\x{{{ord(character):X}}}"


def _checked(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a string, not {short_repr(text)}")
    if len(text) > MAX_GRAMMAR_CHARS:
        raise UsageError(
            f"{name} must have at most {MAX_GRAMMAR_CHARS:,} characters, not {len(text):,}"
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{name} contains an unpaired surrogate, which is not a character")
    return text


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield all values in a JSON value, each with its depth.

    A loop, as a deeply nested value would exceed Python's recursion limit.
    """
    stack = [(0, value)]
    while stack:
        depth, value = stack.pop()
        yield depth, value
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            stack += [(depth + 1, one) for one in inner]


def _literals(schema: dict[str, Any]) -> str:
    """Return the texts that a schema asks for literally: names of properties, and constants."""
    texts: list[str] = []
    for _, value in _walk(schema):
        if isinstance(value, dict):
            properties = value.get("properties")
            texts += properties if isinstance(properties, dict) else ()
            constants = value.get("enum")
            for one in [*(constants if isinstance(constants, list) else ()), value.get("const")]:
                texts += [text for _, text in _walk(one) if isinstance(text, str)]
    return "".join(texts)
