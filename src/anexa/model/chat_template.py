"""Rendering of chat templates, which are untrusted code.

Jinja's sandbox restricts a template to its arguments, but not its running time and memory. This
module limits both: loop iterations, calls, and characters read and written are counted, and before
a filter, a method or an operator makes a value, an upper bound of the size of the value is checked.
Comparisons within lists (`in`, `unique`, `sort`) and the parsing of the template are not counted;
instead the length of the template is limited.
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

MAX_TEMPLATE_CHARS = 2**17  # characters; templates of chat models have a few thousand
MAX_VALUE_SIZE = 2**22  # characters or items of a value that a filter, method or operator makes
MAX_WORK = 2**19  # units of `_count_work`, about a second; the size of the arguments is added

_work_left: ContextVar[int] = ContextVar("_work_left")


def render_template(template: str, **arguments: Any) -> str:
    """Render a chat template within limits of running time and memory.

    Args:
        template: source of the template, in Jinja.
        arguments: variables of the template, such as `messages` and `add_generation_prompt`.

    Returns:
        The rendered text.

    Raises:
        AnexaError: if the template is invalid, raises an error, or exceeds `MAX_TEMPLATE_CHARS`,
            `MAX_VALUE_SIZE` or `MAX_WORK`.
    """
    token = _work_left.set(sys.maxsize)
    try:
        _work_left.set(MAX_WORK + _size(arguments))
        return _compile(template).render(**arguments)
    except Exception as error:  # a template is a program and can raise anything
        reason = short_repr(error) or type(error).__name__
        raise AnexaError(f"the chat template cannot be used for this: {reason}") from error
    finally:
        _work_left.reset(token)


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    if len(template) > MAX_TEMPLATE_CHARS:
        raise TemplateError(f"it is longer than {MAX_TEMPLATE_CHARS:,} characters")
    return _Environment().from_string(template)


def _count_work(units: int) -> None:
    """Count units of work: an iteration, an item, or 64 characters read or written.

    Raises:
        TemplateError: if the template has used more than `MAX_WORK` units.
    """
    left = _work_left.get() - units
    _work_left.set(left)
    if left < 0:
        raise TemplateError("it does too much work")


def _size(value: Any) -> int:
    """Return the number of characters and items in a value, and count the work of visiting it."""
    size, stack = 0, [value]
    while stack:
        item = stack.pop()
        _count_work(1)
        if isinstance(item, str):
            size += 1 + len(item)
        elif isinstance(item, Mapping):
            stack += [*item.keys(), *item.values()]
            size += len(item)
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack += item
            size += len(item)
        else:
            size += len(item) if isinstance(item, range) else 32
    return size


def _check_size(size: int) -> None:
    """Check the size of a value before it is made, and count the work of making it.

    Args:
        size: upper bound of its characters and items.

    Raises:
        TemplateError: if the size exceeds `MAX_VALUE_SIZE`, or the work `MAX_WORK`.
    """
    if size > MAX_VALUE_SIZE:
        raise TemplateError("it makes a value that is too large")
    _count_work(size // 64)


def _check_call(value: Any, arguments: list[Any]) -> None:
    """Check the size of the result of a filter or method before it is called.

    The upper bound is that of `value.center(9)` or `value.join(…)`: the size of `value` times (1 +
    the integers among the arguments + the sizes of the other arguments).

    Args:
        value: operand of the filter, or object of the method.
        arguments: arguments of the call.

    Raises:
        TemplateError: if the upper bound exceeds `MAX_VALUE_SIZE`.
    """
    factor = 1
    for argument in arguments:
        if isinstance(argument, int):
            factor += abs(argument)
        elif isinstance(argument, (str, list, tuple, Mapping)):
            factor += _size(argument)
        if isinstance(argument, tuple) and isinstance(value, str) and "*" in value:  # `%*d`
            factor += sum(abs(width) for width in argument if isinstance(width, int))
    _check_size(_size(value) * factor)


def _check_format(value: Any) -> None:
    """Check that a format string has no width of more than four digits, such as `%99999d`.

    Raises:
        TemplateError: if it has one.
    """
    if isinstance(value, str):
        digits = 0
        for character in value if "%" in value or "{" in value else "":
            digits = digits + 1 if character.isdigit() else 0
            if digits > 4:
                raise TemplateError("it formats numbers of more than four digits")


def _to_list(value: Any) -> Any:
    """Turn an iterator or view into a list, so that its size is known; return others as given."""
    if not hasattr(value, "__next__") and not isinstance(value, MappingView):
        return value
    items = []
    for item in value:
        _count_work(1)
        items.append(item)
    return items


def _checked_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that its result is checked before it is computed."""
    num_passed = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        args = (*args[:num_passed], *map(_to_list, args[num_passed:]))
        _check_call(args[num_passed], [*args[num_passed + 1 :], *kwargs.values()])
        if function.__name__ == "do_format":
            _check_format(args[num_passed])
        return function(*args, **kwargs)

    return checked


# jinja2 evaluates a filter of constants once, at compile time; not one that takes the context.
@pass_context
def _iterate(_: Context, value: Any) -> Any:
    """Convert the iterable of a `for` loop to a list and count its items (filter)."""
    value = _to_list(value)
    if hasattr(value, "__len__"):
        _count_work(len(value))
    return value


@pass_context
def _output(_: Context, value: Any) -> Any:
    """Count the characters of an output, or of the left side of a comparison (filter)."""
    _check_size(_size(value))
    return value


@pass_context
def _concat(_: Context, *values: Any) -> str:
    """Join values to a text, in place of the operator `~` (filter)."""
    _check_size(sum(map(_size, values)))
    return "".join(map(str, values))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Convert a value to JSON as the filter `tojson` of transformers; Jinja's escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format_: str) -> str:
    return datetime.now().strftime(format_)


class _Generation(Extension):
    """Tag `{% generation %}`, which marks the assistant's text for training: keeps its content."""

    tags = {"generation"}  # noqa: RUF012 (so jinja2 declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


# Names of the filters above; a template cannot use them, since they are not identifiers.
ITERATE, OUTPUT, CONCAT = "checked iterate", "checked output", "checked concat"


class _Instrument(NodeTransformer):
    """Transformer of a parsed template that inserts the filters above, which count and check."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 (jinja2 names it so)
        self.generic_visit(node)
        if node.recursive:
            raise TemplateError("it has a recursive loop")
        node.iter = _apply(ITERATE, node.iter)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [
            _apply(OUTPUT, nodes.Const(n.data) if isinstance(n, nodes.TemplateData) else n)
            for n in node.nodes
        ]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _apply(CONCAT, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _apply(OUTPUT, node.expr)
        return node


def _apply(name: str, *values: Any) -> nodes.Expr:
    return nodes.Filter(values[0], name, [*values[1:]], [], None, None)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja environment with transformers' options, and with the limits of this module."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        del self.globals["lipsum"]  # makes text of any length
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self.filters["tojson"] = _to_json
        self.filters = {name: _checked_filter(filter_) for name, filter_ in self.filters.items()}
        self.filters |= {ITERATE: _iterate, OUTPUT: _output, CONCAT: _concat}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _Instrument().visit(template)
        return template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length(), right.bit_length()
            if bits[0] * (abs(right) if operator == "**" else 1) + bits[1] > 4096:
                raise TemplateError("it makes a number that is too large")
        elif operator == "+":
            _check_size(_size(left) + _size(right))
        else:
            _check_call(left, [right])
            _check_call(right, [left])
            if operator == "%":
                _check_format(left)
        return super().call_binop(context, operator, left, right)

    def call(*args: Any, **kwargs: Any) -> Any:
        """Call a function, macro or method from a template, after a check of its arguments.

        Args:
            args: self, context, function, and the positional arguments of the call.
            kwargs: keyword arguments of the call.
        """
        function, arguments = args[2], [*map(_to_list, args[3:]), *kwargs.values()]
        _count_work(8)
        # The sandbox wraps `str.format` in a function of its own.
        method = getattr(function, "__wrapped__", function)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, list, tuple, Mapping)):
            _check_call(owner, arguments)
            if method.__name__ in ("format", "format_map"):
                _check_format(owner)
        return ImmutableSandboxedEnvironment.call(*args[:3], *arguments[: len(args) - 3], **kwargs)
