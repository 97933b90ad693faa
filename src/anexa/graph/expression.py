"""Arithmetic as a user types it, made into `Value`s; nothing of it is ever run as Python.

The text becomes a syntax tree, and only what `operands` knows in that tree is computed, as
Python would: numbers stay numbers until they meet a `Value`, and `a - b` is a + (b × −1).
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
from anexa.graph.drawing import TIMES, number
from microgpt import Value, gradients

MAX_LENGTH = 1000
MAX_DEPTH = 100  # far below Python's own limit on recursion

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
METHODS = ("log", "exp", "relu")
VOCABULARY = "use names, numbers, parentheses, + - * / **, .log() .exp() .relu()"


class Recorded(Value):
    """A `Value` that also remembers what made it.

    `Value` builds its differences and quotients from +, × and **: those inherited methods come
    through the ones below. So every node that the engine makes is recorded, and none is added.
    """

    __slots__ = ("made_by",)

    def __init__(self, value: Value, made_by: str = "") -> None:
        """The same node under a name.

        Raises:
            ArithmeticError: its number or a local gradient is not a finite real number.
        """
        for result in (value.data, *value.local_grads):
            check(result)
        super().__init__(value.data, value.children, value.local_grads)
        self.made_by = made_by

    def __add__(self, other: Value | float) -> Recorded:
        return Recorded(super().__add__(other), "+")

    def __mul__(self, other: Value | float) -> Recorded:
        return Recorded(super().__mul__(other), TIMES)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: float) -> Recorded:
        return Recorded(super().__pow__(power), f"** {number(power)}")

    def log(self) -> Recorded:
        """The natural logarithm."""
        return Recorded(super().log(), "log")

    def exp(self) -> Recorded:
        """e to the power of it."""
        return Recorded(super().exp(), "exp")

    def relu(self) -> Recorded:
        """It, or 0 if that is more."""
        return Recorded(super().relu(), "relu")


def parse(text: str, values: Mapping[str, float]) -> tuple[Value, dict[Value, str]]:
    """Compute an expression.

    Args:
        text: such as "(a*b + c).relu()".
        values: the number that each name stands for.

    Returns:
        The result, which knows the whole graph, and the name of each of its nodes: a variable's
        own or the operation's; a plain number has none.

    Raises:
        UsageError: the text is not such an expression, or its names are not those of `values`.
        AnexaError: there is no result: a division by zero, a logarithm of nothing, an overflow.
    """
    text = text.strip()
    tree = syntax_tree(text)
    used = names_in(tree, text)
    missing = [name for name in used if name not in values]
    if missing:
        example = " ".join(f"{name}={i}" for i, name in enumerate(missing, start=2))
        folder = "" if values else ", or name a model folder that exists"
        raise UsageError(f"no value for {', '.join(missing)}: add for example {example}{folder}")
    unused = [name for name in values if name not in used]
    if unused:
        raise UsageError(
            f"{', '.join(unused)} is given a value but does not occur in {quoted(text)}"
        )
    variables = {name: Recorded(Value(values[name])) for name in used}
    result = compute(tree, text, variables)
    root = result if isinstance(result, Recorded) else Value(result)
    names: dict[Value, str] = {value: name for name, value in variables.items()}
    for node in gradients(root):
        if isinstance(node, Recorded) and node.made_by:
            names[node] = node.made_by
    return root, names


def read_values(assignments: Sequence[str]) -> dict[str, float]:
    """What ["a=2", "b=-3"] says: {"a": 2.0, "b": -3.0}.

    Raises:
        UsageError: one of them is not a name and a finite number, or a name comes twice.
    """
    values: dict[str, float] = {}
    for assignment in assignments:
        name, _, digits = (part.strip() for part in assignment.partition("="))
        name = unicodedata.normalize("NFKC", name)  # as Python reads names
        try:
            value = float(digits)
        except ValueError:
            value = math.nan
        if not name.isidentifier() or not math.isfinite(value):
            raise UsageError(f"{assignment!r} does not give a name its value, as a=2 or b=-0.5 do")
        if name in values:
            raise UsageError(f"{name} is given a value twice")
        values[name] = value
    return values


def syntax_tree(text: str) -> ast.expr:
    """Python's own reading of the text, which says nothing yet about what is allowed in it."""
    if not text:
        raise UsageError(f"the expression is empty: {VOCABULARY}")
    if len(text) > MAX_LENGTH:
        raise UsageError(
            f"the expression has {len(text):,} characters: at most {MAX_LENGTH:,} can be drawn"
        )
    # The parser need not see strings, brackets, lambdas and comments at all.
    if stranger := re.search(r"[^\w\s.+*/()-]", text):
        hint = "for a power write **" if stranger[0] == "^" else VOCABULARY
        raise UsageError(f"{stranger[0]!r} cannot be in an expression: {hint}")
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"{quoted(text)} is not an expression: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UsageError(f"{quoted(text)} is nested too deeply") from None


def operands(node: ast.expr, text: str) -> list[ast.expr]:
    """What an operation is applied to; this is the list of everything that is allowed.

    Raises:
        UsageError: the node is something else.
    """
    match node:
        case ast.Name():
            return []
        case ast.Constant() if type(node.value) in (int, float):
            return []
        case ast.UnaryOp(op=ast.USub()):
            return [node.operand]
        case ast.BinOp() if type(node.op) in BINARY:
            return [node.left, node.right]
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=[], keywords=[]):
            if name in METHODS:
                return [value]
    raise UsageError(f"{quoted(text, node)} cannot be drawn: {VOCABULARY}")


def names_in(tree: ast.expr, text: str) -> list[str]:
    """The names in an expression, after a look at every corner of it.

    Raises:
        UsageError: something in it is not allowed, or is nested too deeply.
    """
    names = []
    nodes = [(tree, 1)]
    while nodes:
        node, depth = nodes.pop()
        if depth > MAX_DEPTH:
            raise UsageError(f"{quoted(text)} is nested too deeply: {MAX_DEPTH} levels are allowed")
        if isinstance(node, ast.Name) and node.id not in names:
            names.append(node.id)
        nodes += [(operand, depth + 1) for operand in reversed(operands(node, text))]
    return names


def compute(node: ast.expr, text: str, variables: Mapping[str, Recorded]) -> Recorded | float:
    """The result of an expression that `names_in` has looked through.

    Raises:
        UsageError: an exponent is not a number.
        AnexaError: there is no finite real result.
    """
    arguments = [compute(operand, text, variables) for operand in operands(node, text)]
    match node, arguments:
        case ast.BinOp(op=ast.Pow()), [_, Recorded()]:
            raise UsageError(f"the exponent in {quoted(text, node)} must be a plain number")
    try:
        return apply(node, arguments, variables)
    except ZeroDivisionError:
        reason = "it, or its slope, divides by zero"
    except OverflowError:
        reason = "the result is too large for a number"
    except ValueError:
        reason = "only a number above 0 has a logarithm"
    except ArithmeticError as error:
        reason = str(error)
    where = ", ".join(f"{name} = {number(value.data)}" for name, value in variables.items())
    raise AnexaError(f"cannot compute {quoted(text, node)}{where and f' at {where}'}: {reason}")


def apply(
    node: ast.expr, arguments: list[Recorded | float], variables: Mapping[str, Recorded]
) -> Recorded | float:
    """One operation, by `Value`'s own methods where a `Value` takes part, else by Python's."""
    result: Any
    match node:
        case ast.Name():
            return variables[node.id]
        case ast.Constant():
            result = float(node.value)  # type: ignore[arg-type]  # `operands` saw to it
        case ast.UnaryOp():
            result = operator.neg(arguments[0])
        case ast.BinOp():
            result = BINARY[type(node.op)](*arguments)
        case ast.Call(func=ast.Attribute(attr=method)):
            value = arguments[0]  # a number has no such methods: it becomes a Value
            receiver = value if isinstance(value, Recorded) else Recorded(Value(value))
            result = getattr(receiver, method)()
    if isinstance(result, Recorded):
        return result
    return check(result)


def check(result: float | complex) -> float:
    """Let only finite real numbers pass.

    Raises:
        ArithmeticError: it is something else.
    """
    if isinstance(result, complex):  # what Python makes of (-8) ** 0.5
        raise ArithmeticError("a fractional power of a negative number is not a real number")
    if not math.isfinite(result):
        raise OverflowError
    return result


def quoted(text: str, node: ast.expr | None = None) -> str:
    """The part of the text that a node stands for, shortened for an error message."""
    part = (node and ast.get_source_segment(text, node)) or text
    return repr(part if len(part) <= 60 else f"{part[:57]}...")
