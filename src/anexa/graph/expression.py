"""Evaluates an arithmetic expression on `Value`s, without executing it as Python code.

Python's parser makes a syntax tree, in which only the node types in `operation` are allowed. They
are computed as in Python: an operation on two numbers gives a number; `a - b` is a + (b × −1).
"""

from __future__ import annotations

import ast
import math
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anexa.errors import AnexaError, UsageError
from anexa.graph.drawing import TIMES, format_number
from anexa.ranges import parse_float
from microgpt import Value, gradients

MAX_EXPRESSION_CHARS = 1000  # characters of an expression
MAX_DEPTH = 100  # levels of nested operations; far below Python's recursion limit

# Functions of the binary operators that an expression may have.
BINARY_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
METHODS = ("log", "exp", "relu")  # methods of `Value` that an expression may call
# What an expression may have, for error messages.
SYNTAX_HINT = "use names, numbers, parentheses, + - * / **, .log() .exp() .relu()"


class NamedValue(Value):
    """A `Value` that records the operation that made it.

    `Value` builds differences and quotients from +, × and **, which this class overrides. So every
    node of the graph has a name, and the graph has no additional nodes.

    Args:
        value: the value to take number, children and local gradients from.
        made_by: the name of the operation; empty for a variable or a constant.

    Raises:
        ArithmeticError: if the number or a local gradient is not a finite real number; operations
            raise it for their result.
    """

    __slots__ = ("made_by",)

    def __init__(self, value: Value, made_by: str = "") -> None:
        for result in (value.data, *value.local_grads):
            check_finite(result)
        super().__init__(value.data, value.children, value.local_grads)
        self.made_by = made_by

    def __add__(self, other: Value | float) -> NamedValue:
        return NamedValue(super().__add__(other), "+")

    def __mul__(self, other: Value | float) -> NamedValue:
        return NamedValue(super().__mul__(other), TIMES)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: float) -> NamedValue:
        return NamedValue(super().__pow__(power), f"** {format_number(power)}")

    def log(self) -> NamedValue:
        """Compute the natural logarithm.

        Raises:
            ValueError: if this value is not above 0.
        """
        return NamedValue(super().log(), "log")

    def exp(self) -> NamedValue:
        """Compute e raised to this value."""
        return NamedValue(super().exp(), "exp")

    def relu(self) -> NamedValue:
        """Compute the ReLU: max(0, this value)."""
        return NamedValue(super().relu(), "relu")


def evaluate_expression(text: str, values: Mapping[str, float]) -> tuple[Value, dict[Value, str]]:
    """Evaluate an expression with `Value`s, which keep the graph of its operations.

    Args:
        text: expression, for example "(a*b + c).relu()".
        values: number of each variable.

    Returns:
        The result, the root of the graph, and the names of the nodes: the name of a variable or of
        an operation; a constant has no name.

    Raises:
        UsageError: if the text is not an expression, or its variables are not those of `values`.
        AnexaError: if there is no finite real result, or no finite local gradient.
    """
    text = text.strip()
    tree = syntax_tree(text)
    used = variable_names(tree, text)
    missing = [name for name in used if name not in values]
    if missing:
        example = " ".join(f"{name}={i}" for i, name in enumerate(missing, start=2))
        folder = "" if values else ", or name a model folder that exists"
        raise UsageError(f"no value for {', '.join(missing)}: add for example {example}{folder}")
    unused = [name for name in values if name not in used]
    if unused:
        raise UsageError(
            f"{', '.join(unused)} is given a value but does not occur in {quote_part(text)}"
        )
    variables = {name: NamedValue(Value(values[name])) for name in used}
    result = evaluate(tree, text, variables)
    root = result if isinstance(result, NamedValue) else Value(result)
    names: dict[Value, str] = {value: name for name, value in variables.items()}
    for node in gradients(root):
        if isinstance(node, NamedValue) and node.made_by:
            names[node] = node.made_by
    return root, names


def read_values(assignments: Sequence[str]) -> dict[str, float]:
    """Parse assignments: ["a=2", "b=-3"] to {"a": 2.0, "b": -3.0}.

    Names get the Unicode normal form NFKC, as in Python.

    Raises:
        UsageError: if an assignment is not a name and a finite number, or a name occurs twice.
    """
    values: dict[str, float] = {}
    for assignment in assignments:
        name, _, digits = (part.strip() for part in assignment.partition("="))
        name = unicodedata.normalize("NFKC", name)  # as Python does with names
        try:
            value = parse_float(digits)
        except ValueError:
            value = math.nan
        if not name.isidentifier() or not math.isfinite(value):
            raise UsageError(f"{assignment!r} is not an assignment such as a=2 or b=-0.5")
        if name in values:
            raise UsageError(f"{name} has two values: give one")
        values[name] = value
    return values


def syntax_tree(text: str) -> ast.expr:
    """Parse a text with Python's parser; `variable_names` checks what the tree may contain.

    Raises:
        UsageError: if the text is empty, too long, nested too deeply or no expression, or has a
            character that no expression has.
    """
    if not text:
        raise UsageError(f"the expression is empty: {SYNTAX_HINT}")
    if len(text) > MAX_EXPRESSION_CHARS:
        raise UsageError(
            f"the expression has {len(text):,} characters: at most {MAX_EXPRESSION_CHARS:,} can "
            "be drawn"
        )
    # Strings, brackets, lambdas and comments never reach Python's parser.
    if stranger := re.search(r"[^\w\s.+*/()-]", text):
        hint = "for a power write **" if stranger[0] == "^" else SYNTAX_HINT
        raise UsageError(f"{stranger[0]!r} cannot be in an expression: {hint}")
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"{quote_part(text)} is not an expression: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UsageError(f"{quote_part(text)} is nested too deeply") from None


def operation(
    node: ast.expr, text: str, variables: Mapping[str, NamedValue]
) -> tuple[Callable[..., Any], list[ast.expr]]:
    """Return the function that a node of the syntax tree applies, and the nodes of its operands.

    Args:
        node: node of the syntax tree.
        text: the whole expression, for error messages.
        variables: value of each variable, by name.

    Returns:
        The function and the nodes; for a name or a number, a function without arguments that
        returns its value, and no nodes.

    Raises:
        UsageError: if the node is neither a name nor a number nor an operation with `Value`s.
    """
    match node:
        case ast.Name():
            return lambda: variables[node.id], []
        case ast.Constant() if type(node.value) in (int, float):
            return lambda: float(node.value), []  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.USub()):
            return operator.neg, [node.operand]
        case ast.BinOp() if type(node.op) in BINARY_OPERATORS:
            return BINARY_OPERATORS[type(node.op)], [node.left, node.right]
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=[], keywords=[]):
            if name in METHODS:
                return lambda x: getattr(as_value(x), name)(), [value]
    raise UsageError(f"{quote_part(text, node)} cannot be drawn: {SYNTAX_HINT}")


def variable_names(tree: ast.expr, text: str) -> list[str]:
    """List the variables of an expression, and check the whole expression.

    Args:
        tree: the whole expression, parsed.
        text: the same as text, for error messages.

    Returns:
        The names, each once, in the order in which they first occur.

    Raises:
        UsageError: if a part of the expression is forbidden or nested too deeply.
    """
    names = []
    nodes = [(tree, 1)]
    while nodes:
        node, depth = nodes.pop()
        if depth > MAX_DEPTH:
            raise UsageError(
                f"{quote_part(text)} is nested too deeply: {MAX_DEPTH} levels are allowed"
            )
        if isinstance(node, ast.Name) and node.id not in names:
            names.append(node.id)
        _, operands = operation(node, text, {})
        nodes += [(operand, depth + 1) for operand in reversed(operands)]
    return names


def evaluate(node: ast.expr, text: str, variables: Mapping[str, NamedValue]) -> NamedValue | float:
    """Compute an expression that `variable_names` has checked.

    Args:
        node: node of the syntax tree.
        text: the whole expression, for error messages.
        variables: value of each variable.

    Returns:
        A `NamedValue`; or a plain number, as an operation on plain numbers gives one.

    Raises:
        UsageError: if an exponent is not a plain number.
        AnexaError: if there is no finite real result.
    """
    function, operands = operation(node, text, variables)
    arguments = [evaluate(operand, text, variables) for operand in operands]
    if function is operator.pow and isinstance(arguments[1], NamedValue):
        raise UsageError(f"the exponent in {quote_part(text, node)} must be a plain number")
    try:
        result = function(*arguments)
        return result if isinstance(result, NamedValue) else check_finite(result)
    except ZeroDivisionError:
        reason = "the result or its gradient divides by zero"
    except OverflowError:
        reason = "the result is too large for a number"
    except ValueError:
        reason = "the logarithm needs a number above 0"
    except ArithmeticError as error:
        reason = str(error)
    where = ", ".join(f"{name} = {format_number(value.data)}" for name, value in variables.items())
    raise AnexaError(f"cannot compute {quote_part(text, node)}{where and f' at {where}'}: {reason}")


def as_value(number: NamedValue | float) -> NamedValue:
    """Convert a plain number to a `NamedValue`, for the methods of `Value`."""
    return number if isinstance(number, NamedValue) else NamedValue(Value(number))


def check_finite(result: float | complex) -> float:
    """Check that a result is a finite real number.

    Returns:
        The result.

    Raises:
        ArithmeticError: if the result is complex, infinite or not a number.
    """
    if isinstance(result, complex):  # for example (-8) ** 0.5
        raise ArithmeticError("a fractional power of a negative number is not a real number")
    if not math.isfinite(result):
        raise OverflowError
    return result


def quote_part(text: str, node: ast.expr | None = None) -> str:
    """Return the part of an expression that a node was parsed from, quoted for an error message.

    Args:
        text: the whole expression.
        node: node of the syntax tree; None: the whole expression.
    """
    part = (node and ast.get_source_segment(text, node)) or text
    return repr(part if len(part) <= 60 else f"{part[:57]}...")
