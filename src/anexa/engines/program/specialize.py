"""Copies of kernels in which constants stand in place of their names."""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import Any, TypeAlias, cast

Constant: TypeAlias = int | float | tuple[float, ...]
"""Value that is put in place of a name: a number, or numbers to loop over."""

# Operators that are computed when both operands are constants.
FOLDED_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@cache
def parse_function(function: FunctionType) -> ast.FunctionDef:
    """Parse the source of a function; all calls share the returned tree, so do not change it."""
    (definition,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(definition, ast.FunctionDef)
    return definition


@cache
def parameter_names(function: FunctionType) -> tuple[list[str], list[str]]:
    """Return the names of a kernel's positional parameters and of its keyword-only ones.

    The positional ones are its arrays, `rows` and `length`; the keyword-only ones are its settings.
    """
    arguments = parse_function(function).args
    names = [argument.arg for argument in arguments.args]
    return names, [argument.arg for argument in arguments.kwonlyargs]


def specialize(function: FunctionType, name: str, constants: Mapping[str, Constant]) -> str:
    """Write the source of a copy of a kernel in which some settings and names are constants.

    Its other settings become positional parameters; loops over `tiles` and `row_blocks` are
    expanded.

    Args:
        function: kernel.
        name: name of the copy.
        constants: values of the constants, by the name of the setting or of the global name, such
            as `LANES`; `BLOCK_ROWS` is needed for `row_blocks`.

    Returns:
        The source.
    """
    definition = parse_function(function)
    body = _Constants(constants).block(definition.body)
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        text = str(body[0].value.value).strip().partition("\n")[0]
        body[0] = ast.Expr(ast.Constant(text))
    arrays = [ast.arg(a.arg) for a in definition.args.args]
    arrays += [ast.arg(a.arg) for a in definition.args.kwonlyargs if a.arg not in constants]
    arguments = ast.arguments([], arrays, None, [], [], None, [])
    return ast.unparse(ast.fix_missing_locations(ast.FunctionDef(name, arguments, body, [])))


class _Constants(ast.NodeVisitor):
    """Transformer of a kernel's syntax tree: puts constants in place of names.

    It also computes with the constants, and leaves out branches that they exclude. A node is not
    changed: what is transformed is new, or shared if it stays the same.
    """

    def __init__(self, constants: Mapping[str, Constant]) -> None:
        self._constants = constants

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Transform the statements of a block."""
        found: list[ast.stmt] = []
        for statement in statements:
            result = self.visit(statement)
            found += result if isinstance(result, list) else [result]
        return found

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not node._fields:  # such as an operator
            return node
        fields = {}
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                fields[name] = [self.visit(x) if isinstance(x, ast.AST) else x for x in value]
            else:
                fields[name] = self.visit(value) if isinstance(value, ast.AST) else value
        return type(node)(**fields)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._constants:
            value: Any = self._constants[node.id]  # Python writes a tuple, too, as a constant
            return ast.Constant(value)
        return node

    def visit_BinOp(self, old: ast.BinOp) -> ast.expr:
        node = cast("ast.BinOp", self.generic_visit(old))
        fold = FOLDED_OPERATORS.get(type(node.op))
        if fold and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            return ast.Constant(fold(node.left.value, node.right.value))
        return node

    def visit_UnaryOp(self, old: ast.UnaryOp) -> ast.expr:
        node = cast("ast.UnaryOp", self.generic_visit(old))
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return ast.Constant(-node.operand.value)  # type: ignore[operator]  # it is a number
        return node

    def visit_Call(self, old: ast.Call) -> ast.expr:
        node = cast("ast.Call", self.generic_visit(old))
        numbers = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        is_min = isinstance(node.func, ast.Name) and node.func.id == "min"
        return ast.Constant(min(numbers)) if is_min and len(numbers) == len(node.args) else node  # type: ignore[type-var]

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        test = self.visit(node.test)
        if isinstance(test, ast.Constant):
            return self.block(node.body if test.value else node.orelse)
        return ast.If(test, self.block(node.body), self.block(node.orelse))

    def visit_For(self, node: ast.For) -> ast.stmt | list[ast.stmt]:
        iterated = self.visit(node.iter)
        if isinstance(iterated, ast.Constant):
            return self._unrolled(node, cast("tuple[float, ...]", iterated.value))
        assert isinstance(iterated, ast.Call)
        assert isinstance(iterated.func, ast.Name)
        if iterated.func.id == "row_blocks":
            return self._row_blocks(node, *map(ast.unparse, iterated.args))
        if iterated.func.id == "tiles":
            return self._full_and_last(node, *map(ast.unparse, iterated.args))
        return ast.For(node.target, iterated, self.block(node.body), [])

    def _unrolled(self, node: ast.For, numbers: tuple[float, ...]) -> list[ast.stmt]:
        """Write the body of a loop once for each of the numbers that are constants."""
        name = ast.unparse(node.target)
        bodies = (_Constants({**self._constants, name: x}).block(node.body) for x in numbers)
        return [statement for body in bodies for statement in body]

    def _full_and_last(self, node: ast.For, width: str, lanes: str) -> list[ast.stmt]:
        """Write a loop over the full groups of columns, and its body once more for the last."""
        assert isinstance(node.target, ast.Tuple)
        column, count = map(ast.unparse, node.target.elts)
        loop, last = ast.parse(
            f"for {column} in range(0, {width} - {int(lanes) - 1}, {lanes}):\n    pass\n"
            f"if ({width}) % {lanes} > 0:\n"
            f"    {column} = {width} - ({width}) % {lanes}\n"
            f"    {count} = ({width}) % {lanes}\n"
        ).body
        assert isinstance(loop, ast.For)
        assert isinstance(last, ast.If)
        loop.body = _Constants({**self._constants, count: int(lanes)}).block(node.body)
        last.body += self.block(node.body)
        return [loop, last]

    def _row_blocks(self, node: ast.For, rows: str) -> ast.stmt:
        """Write a loop over blocks of rows, once for each size of a block."""
        assert isinstance(node.target, ast.Tuple)
        row, size = map(ast.unparse, node.target.elts)
        choice: list[ast.stmt] = []
        for number in sorted({2, 4, self._constants["BLOCK_ROWS"]}):
            (case,) = ast.parse(
                f"if {rows} >= {number}:\n"
                f"    for {row} in range(0, {rows}, {number}):\n"
                f"        {row} = min({row}, {rows} - {number})\n"
            ).body
            assert isinstance(case, ast.If)
            assert isinstance(case.body[0], ast.For)
            case.body[0].body += _Constants({**self._constants, size: number}).block(node.body)
            case.orelse = choice
            choice = [case]
        return choice[0]
