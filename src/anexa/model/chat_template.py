"""Chat templates: programs of strangers, which are to write a text and do nothing else.

Jinja's sandbox keeps them from everything that they are not given. It does not keep them from going
on for ever, or from filling the memory, so here everything that they do is counted: each turn of a
loop, each call, and what they read and write. Before a filter, a method or an operator makes
something, its size is estimated from above. What is not counted are comparisons within lists
(`in`, `unique`, `sort`) and the parsing of the template, whose length is bounded instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, MappingView
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from anexa.errors import AnexaError, short_repr

LONGEST_TEMPLATE = 2**17  # characters; those of chat models have a few thousand
LARGEST = 2**22  # characters, or items, that one filter, method or operator may make
MOST_WORK = 2**19  # about a second: turns, calls, and pieces of 64 characters; more for long texts

_left: ContextVar[int] = ContextVar("_left")  # of the work that a rendering may be


def render_template(template: str, **given: Any) -> str:
    """What a template makes of what it is given.

    Raises:
        AnexaError: it cannot be used, or not for this, or it does too much.
    """
    before = _left.set(sys.maxsize)
    try:
        _left.set(MOST_WORK + _size(given))
        return _compiled(template).render(**given)
    except Exception as error:  # a template is a program: any may come of it
        reason = short_repr(error) or type(error).__name__
        raise AnexaError(f"the chat template cannot be used for this: {reason}") from error
    finally:
        _left.reset(before)


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"it is longer than {LONGEST_TEMPLATE:,} characters")
    return _Environment().from_string(template)


def _spend(work: int) -> None:
    left = _left.get() - work
    _left.set(left)
    if left < 0:
        raise TemplateError("it does too much")


def _size(value: Any) -> int:
    """Of what stands in a value, in characters and items; going through it is work too."""
    size, todo = 0, [value]
    while todo:
        one = todo.pop()
        _spend(1)
        if isinstance(one, str):
            size += 1 + len(one)
        elif isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
            size += len(one)
        elif isinstance(one, (list, tuple, set, frozenset)):
            todo += one
            size += len(one)
        else:
            size += len(one) if isinstance(one, range) else 32
    return size


def _expect(size: int) -> None:
    """That something of at most this size is going to be made."""
    if size > LARGEST:
        raise TemplateError("it makes something too large")
    _spend(size // 64)


def _check_application(value: Any, arguments: list[Any]) -> None:
    """That of a filter or a method, which can write a value anew for each part of its arguments."""
    factor = 1
    for argument in arguments:
        if isinstance(argument, int):
            factor += abs(argument)
        elif isinstance(argument, (str, list, tuple, Mapping)):
            factor += _size(argument)
        if isinstance(argument, tuple) and isinstance(value, str) and "*" in value:  # `%*d`
            factor += sum(abs(width) for width in argument if isinstance(width, int))
    _expect(_size(value) * factor)
    _check_format(value)


def _check_format(value: Any) -> None:
    """A form can ask for a width of its own: `%9999999d`."""
    if isinstance(value, str):
        digits = 0
        for character in value if "%" in value or "{" in value else "":
            digits = digits + 1 if character.isdigit() else 0
            if digits > 4:
                raise TemplateError("it formats numbers of more than four digits")


def _settled(value: Any) -> Any:
    """A list of what would come one by one, so that it can be counted."""
    if not hasattr(value, "__next__") and not isinstance(value, MappingView):
        return value
    items = []
    for item in value:
        _spend(1)
        items.append(item)
    return items


def _counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is worked out only if it can be."""
    passed = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def count(*args: Any, **kwargs: Any) -> Any:
        args = (*args[:passed], *map(_settled, args[passed:]))
        _check_application(args[passed], [*args[passed + 1 :], *kwargs.values()])
        return function(*args, **kwargs)

    return count


# What jinja2 passes the context to it does not work out beforehand, once for all turns of a loop.
@pass_context
def _each(_: Context, value: Any) -> Any:
    """What a loop goes through."""
    value = _settled(value)
    if hasattr(value, "__len__"):
        _spend(len(value))
    return value


@pass_context
def _said(_: Context, value: Any) -> Any:
    """What is written into the text."""
    _expect(_size(value))
    return value


@pass_context
def _joined(_: Context, *values: Any) -> str:
    """`a ~ b`."""
    _expect(sum(map(_size, values)))
    return "".join(map(str, values))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: Jinja's own is for web pages."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


class _Generation(Extension):
    """`{% generation %}`, which marks for training what the assistant says: its content."""

    tags = {"generation"}  # noqa: RUF012 (so jinja2 declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Counting(NodeTransformer):
    """Puts the functions above into a template."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (jinja2 names it so)
        self.generic_visit(node)
        if node.recursive:
            raise TemplateError("it has a recursive loop")
        node.iter = _apply("each of", node.iter)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [
            _apply("said", nodes.Const(n.data) if isinstance(n, nodes.TemplateData) else n)
            for n in node.nodes
        ]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _apply("joined", *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _apply("said", node.expr)
        return node


def _apply(name: str, *values: Any) -> nodes.Expr:
    return nodes.Filter(values[0], name, [*values[1:]], [], None, None)


class _Environment(ImmutableSandboxedEnvironment):
    """As transformers sets it up, so that the same text comes out; and counting."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        del self.globals["lipsum"]  # as much text as is asked for
        self.globals |= {"raise_exception": _raise, "strftime_now": _now}
        self.filters["tojson"] = _to_json
        self.filters = {name: _counted(filter_) for name, filter_ in self.filters.items()}
        self.filters |= {"each of": _each, "said": _said, "joined": _joined}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _Counting().visit(template)
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length(), right.bit_length()
            if bits[0] * (abs(right) if operator == "**" else 1) + bits[1] > 4096:
                raise TemplateError("it makes a number too large")
        elif operator == "+":
            _expect(_size(left) + _size(right))
        else:
            _check_application(left, [right])
            _check_application(right, [left])
        return super().call_binop(context, operator, left, right)

    def call(*args: Any, **kwargs: Any) -> Any:
        """A call of a function, a macro or a method, with the arguments after it."""
        function, given = args[2], [*map(_settled, args[3:]), *kwargs.values()]
        _spend(8)
        # The sandbox has a `str.format` of its own, around the real one.
        owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)
        if isinstance(owner, (str, list, tuple, Mapping)):
            _check_application(owner, given)
        return ImmutableSandboxedEnvironment.call(*args[:3], *given[: len(args) - 3], **kwargs)
