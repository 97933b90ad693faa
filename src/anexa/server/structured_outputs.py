"""Structured outputs: the fields that ask for them, and the compilation of their grammars."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

import fastapi
from pydantic import ConfigDict, Field

from anexa.generation import LanguageModel, SamplingParams
from anexa.generation.constraints import GrammarConstraint
from anexa.generation.grammars import MAX_GRAMMAR_CHARS, MAX_GRAMMAR_CHOICES, Grammar
from anexa.server import limits
from anexa.server.errors import APIError
from anexa.server.schemas import RequestModel, max_entries
from anexa.server.streaming import cancel_on_disconnect
from anexa.server.submission import errors_of_field
from anexa.server.unsupported import Neutral, Unsupported

JSON_OBJECT = {"type": "object"}  # JSON schema of any object

# A grammar, regular expression or JSON schema as a string; a text to choose, and several of them.
GrammarText = Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR_CHARS)]
Choice = Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR_CHARS)]
Choices = Annotated[
    list[Choice], Field(min_length=1, fail_fast=True), max_entries(MAX_GRAMMAR_CHOICES)
]
Schema = dict[str, Any]  # a JSON schema


class JSONSchemaFormat(RequestModel):
    """A JSON schema with its name. The text always matches the schema, whatever `strict` is."""

    name: Annotated[str, Field(min_length=1, max_length=limits.MAX_NAME_CHARS)]
    description: str | None = None
    json_schema: Schema = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(RequestModel):
    """Format of a text: any text, a JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchemaFormat | None = None
    object_schema: Schema | None = Field(
        None, alias="schema", description="schema of a json_object, as in llama.cpp"
    )


class StructuredOutputs(RequestModel):
    """vLLM's `structured_outputs`: form of the text; a field that is not listed here is refused."""

    model_config = ConfigDict(extra="forbid")

    json_schema: Schema | GrammarText | None = Field(None, alias="json")
    regex: GrammarText | None = None
    choice: Choices | None = None
    grammar: GrammarText | None = None
    json_object: bool | None = None
    structural_tag: Annotated[Unsupported, Neutral()] = None
    whitespace_pattern: Annotated[Unsupported, Neutral()] = None
    disable_additional_properties: Annotated[Unsupported, Neutral(False)] = None


class StructuredFields(RequestModel):
    """Request fields that restrict the generated text, under OpenAI's and vLLM's names."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | GrammarText | None = Field(None, description="JSON schema")
    guided_regex: GrammarText | None = Field(None, description="regular expression")
    guided_choice: Choices | None = Field(None, description="the texts to choose from")
    guided_grammar: GrammarText | None = Field(None, description="grammar for Lark, or GBNF")
    guided_whitespace_pattern: Annotated[Unsupported, Neutral()] = None


def requested_grammar(body: StructuredFields) -> Grammar | None:
    """Return the grammar that a request asks for; None if every text is allowed.

    Raises:
        APIError: if the body has several grammars, a grammar that is not valid, or
            `structured_outputs` or a format "json_schema" without a grammar.
    """
    requested = [*_grammars(body)]
    if len(requested) > 1:
        (first, _), (second, _), *_ = requested
        raise APIError(f"{first} and {second} exclude each other: leave one out", second)
    for name, make in requested:
        with errors_of_field(name):
            return make(name)
    return None


def _grammars(body: StructuredFields) -> Iterator[tuple[str, Callable[[str], Grammar]]]:
    """Yield each field of a body that has a grammar.

    Yields:
        The name of the field, and a function that creates the grammar.
    """
    if (wanted := body.response_format) and wanted.type != "text":
        if wanted.type == "json_object" and wanted.object_schema is not None:
            yield "response_format.schema", partial(Grammar.json_schema, wanted.object_schema)
        elif wanted.type == "json_object":
            yield "response_format", partial(Grammar.json_schema, JSON_OBJECT)
        elif wanted.json_schema is None:
            raise APIError("response_format.json_schema is missing", "response_format.json_schema")
        else:
            schema = wanted.json_schema.json_schema
            yield "response_format.json_schema.schema", partial(Grammar.json_schema, schema)
    fields: dict[str, Any] = {
        "guided_json": body.guided_json,
        "guided_regex": body.guided_regex,
        "guided_choice": body.guided_choice,
        "guided_grammar": body.guided_grammar,
    }
    if outputs := body.structured_outputs:
        if all(value is None for _, value in outputs):
            raise APIError(
                "structured_outputs needs json, regex, choice, grammar or json_object",
                "structured_outputs",
            )
        fields |= {
            "structured_outputs.json": outputs.json_schema,
            "structured_outputs.regex": outputs.regex,
            "structured_outputs.choice": outputs.choice,
            "structured_outputs.grammar": outputs.grammar,
            "structured_outputs.json_object": JSON_OBJECT if outputs.json_object else None,
        }
    for name, value in fields.items():
        if value is not None:
            yield name, partial(_MAKERS[name.rpartition("_")[2].rpartition(".")[2]], value)


_MAKERS: dict[str, Callable[[Any, str], Grammar]] = {
    "json": Grammar.json_schema,
    "object": Grammar.json_schema,
    "regex": Grammar.regex,
    "choice": Grammar.choice,
    "grammar": Grammar.rules,
}


async def compile_grammar(
    http_request: fastapi.Request,
    model: LanguageModel,
    grammar: Grammar | None,
    params: SamplingParams,
    *,
    thinking: bool = False,
    in_thought: bool = False,
) -> GrammarConstraint | None:
    """Compile a grammar in a thread that compiles one grammar at a time.

    If the client disconnects, its grammar leaves the queue.

    Args:
        http_request: request of the client.
        model: model that generates the text.
        grammar: set of the texts that may be generated; None: all texts.
        params: sampling parameters of the request.
        thinking: whether the text may begin with a thought: reasoning that the grammar does not
            restrict.
        in_thought: whether the prompt ends within a thought, which the model continues.

    Returns:
        The constraint at the beginning of the text; None without a grammar.

    Raises:
        APIError: if the grammar is not valid, the model cannot generate a text of it, the request
            has `ignore_eos` too, or the client disconnects.
    """
    if grammar is None:
        return None
    if params.ignore_eos:
        raise APIError(
            f"ignore_eos and {grammar.name} exclude each other: leave one out", "ignore_eos"
        )
    compiler: ThreadPoolExecutor = http_request.app.state.grammar_compiler
    compiling = partial(model.constraint, grammar, thinking=thinking, in_thought=in_thought)

    async def compiled() -> GrammarConstraint:
        with errors_of_field(grammar.name):
            return await asyncio.get_running_loop().run_in_executor(compiler, compiling)

    return await cancel_on_disconnect(http_request, compiled())
