"""Grammars with long chains, deep nesting and loops."""

from __future__ import annotations

from typing import Any

from anexa.generation.grammars import Grammar

LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


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
