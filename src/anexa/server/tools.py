"""Tools of a chat request: fields, schemas, and the grammar and parser of tool calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from anexa.generation import LanguageModel
from anexa.generation.grammars import Grammar
from anexa.server import limits
from anexa.server.errors import APIError
from anexa.server.schemas import RequestModel, Text, max_entries
from anexa.server.structured_outputs import Schema, StructuredFields, requested_grammar
from anexa.server.submission import errors_of_field
from anexa.server.tool_calls import (
    PYTHON_TAG,
    TOOL_CALL,
    JSONCallParser,
    NamedCallParser,
    TaggedCallParser,
    ToolCallParser,
)

# JSON schema of the arguments of a function that takes none.
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}

FunctionName = Annotated[str, Field(min_length=1, max_length=limits.MAX_NAME_CHARS)]


class FunctionDefinition(RequestModel):
    """A function that the model may call.

    `parameters` is the JSON schema of its arguments; without it, the function takes none. Whatever
    `strict` is, the arguments match the schema if the request requires the call, and may not match
    it if the model chooses to call.
    """

    name: FunctionName
    description: Text | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class FunctionTool(RequestModel):
    """A tool that the model may call, which is always a function."""

    type: Literal["function"]
    function: FunctionDefinition


Tools = Annotated[list[FunctionTool], Field(fail_fast=True), max_entries(limits.MAX_TOOLS)]


class FunctionChoice(RequestModel):
    """The function that the model has to call."""

    name: FunctionName


class ToolChoice(RequestModel):
    """The tool that the model has to call."""

    type: Literal["function"]
    function: FunctionChoice


class FunctionCall(RequestModel):
    """Call of a function in an earlier answer, with its arguments as JSON."""

    name: FunctionName
    arguments: Text


class ToolCall(RequestModel):
    """A tool call in an earlier answer."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ToolFields(RequestModel):
    """Request fields about tools; without `tools`, a call cannot be required by `tool_choice`."""

    tools: Tools | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = Field(
        None, description='"auto" by default: the model chooses whether to call a tool'
    )
    parallel_tool_calls: bool | None = Field(
        None,
        description="whether an answer may have several calls; true by default. A required call is "
        "the only one",
    )


@dataclass(frozen=True)
class ToolUse:
    """Effect of the tools of a request on the prompt and on the answer.

    Attributes:
        rendered: tools that the chat template shows to the model, in OpenAI's format.
        grammar: grammar of a call, if the answer must be one; for a named function, that of the
            arguments alone. None if any text is allowed.
        new_parser: function that creates a parser of the tool calls in an answer; None if answers
            are not parsed, as with a chat template that describes no known format of calls.
    """

    rendered: Sequence[dict[str, Any]] = ()
    grammar: Grammar | None = None
    new_parser: Callable[[], ToolCallParser] | None = None


def tool_use(body: ToolFields, model: LanguageModel) -> ToolUse:
    """Return the effect of a request's tools: in the prompt, on sampling, and on parsing.

    Raises:
        APIError: if `tool_choice` requires a call without `tools`, or of a tool that is not among
            them; two tools have the same name; or, if a call is required, the parameters of a tool
            are not JSON, too long, or nested too deep. Other faults of a schema are found when it
            is compiled.
    """
    tools, choice = body.tools or [], body.tool_choice or "auto"
    _check_names(tools)
    if not tools and (choice == "required" or isinstance(choice, ToolChoice)):
        raise APIError("tool_choice needs tools to choose from", "tool_choice")
    if not tools or choice == "none":
        return ToolUse()
    rendered = rendered_tools(tools, model)
    if choice == "auto":
        return ToolUse(rendered, None, _parser_of(model, body.parallel_tool_calls is not False))
    for number, tool in enumerate(tools):
        name = f"tools.{number}.function.parameters"
        with errors_of_field(name):
            Grammar.json_schema(_parameters(tool.function), name)
    if choice == "required":
        with errors_of_field("tools"):
            grammar = Grammar.json_schema(_call_schema(tools), "tools")
        return ToolUse(rendered, grammar, JSONCallParser)
    function = _named(tools, choice.function.name)
    with errors_of_field("tools"):
        grammar = Grammar.json_schema(_parameters(function), "tools")
    return ToolUse(rendered, grammar, partial(NamedCallParser, function.name))


def rendered_tools(tools: Sequence[FunctionTool], model: LanguageModel) -> Sequence[dict[str, Any]]:
    """Return the tools as the chat template reads them; [] if it does not know tools."""
    return [tool.model_dump(exclude_none=True) for tool in tools] if model.supports_tools else []


def answer_grammar(body: StructuredFields, use: ToolUse) -> Grammar | None:
    """Return the grammar of an answer: that of `ToolUse`, or the requested grammar.

    Returns:
        The grammar; None if the answer may be any text.

    Raises:
        APIError: if the request requires a tool call and has a grammar too, or its grammar is not
            valid (see `requested_grammar`).
    """
    grammar = requested_grammar(body)
    if grammar and use.grammar:
        raise APIError(
            f"tool_choice and {grammar.name} exclude each other: leave one out", "tool_choice"
        )
    return grammar or use.grammar


def _check_names(tools: Sequence[FunctionTool]) -> None:
    """Check that all tools have different names.

    Raises:
        APIError: if two tools have the same name.
    """
    names: set[str] = set()
    for number, tool in enumerate(tools):
        if tool.function.name in names:
            name = f"tools.{number}.function.name"
            raise APIError(f"{name} is also the name of an earlier tool", name)
        names.add(tool.function.name)


def _named(tools: Sequence[FunctionTool], name: str) -> FunctionDefinition:
    for tool in tools:
        if tool.function.name == name:
            return tool.function
    names = ", ".join(tool.function.name for tool in tools[:10])
    raise APIError(
        f"tool_choice.function.name must be one of the tools, {names}, not {name!r}",
        "tool_choice.function.name",
    )


def _parser_of(model: LanguageModel, allows_several: bool) -> Callable[[], ToolCallParser] | None:
    """Choose the parser for the format of tool calls that a chat template describes.

    Args:
        model: model with the chat template.
        allows_several: whether an answer may have several calls.

    Returns:
        A function that creates the parser; None if the template describes no known format.
    """
    template = (model.chat_template or "") if model.supports_tools else ""
    if TOOL_CALL in template:
        return partial(TaggedCallParser, allows_several=allows_several)
    if PYTHON_TAG in template or '"parameters"' in template:
        return partial(JSONCallParser, allows_several=allows_several)
    return None


def _parameters(function: FunctionDefinition) -> Schema:
    return NO_ARGUMENTS if function.parameters is None else function.parameters


def _call_schema(tools: Sequence[FunctionTool]) -> Schema:
    """Return the JSON schema of a call of any of the tools, with `name` and `arguments`."""
    calls = []
    for number, tool in enumerate(tools):
        parameters = _with_references(
            _parameters(tool.function), f"#/anyOf/{number}/properties/arguments"
        )
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.function.name}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return {"anyOf": calls}


def _with_references(schema: Schema, path: str) -> Schema:
    """Return a copy of a schema for use within another one, with its `$ref`s adapted.

    Args:
        schema: schema to embed.
        path: path of the schema in the other one, by which the `$ref`s are extended.
    """
    replaced: Schema = json.loads(
        json.dumps(schema),
        object_hook=lambda part: {
            key: path + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else value
            for key, value in part.items()
        },
    )
    return replaced


def with_parsed_arguments(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parse the arguments of all tool calls in messages: chat templates read them as objects.

    Empty arguments become {}. The given messages are not changed.

    Raises:
        APIError: if the arguments of a call are not a JSON object.
    """
    parsed = []
    for number, message in enumerate(messages):
        calls = []
        for index, call in enumerate(message.get("tool_calls") or ()):
            name = f"messages.{number}.tool_calls.{index}.function.arguments"
            try:
                arguments = json.loads(call["function"]["arguments"] or "{}")
            except (ValueError, RecursionError):
                arguments = None
            if not isinstance(arguments, dict):
                raise APIError(f"{name} must be a JSON object as a string", name)
            calls.append({**call, "function": {**call["function"], "arguments": arguments}})
        parsed.append({**message, "tool_calls": calls} if calls else message)
    return parsed
