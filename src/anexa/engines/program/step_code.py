"""Machine code of a program's function `step`, which only calls kernels: LLVM IR, without Numba.

`step` differs from model to model, kernels do not. Its source has few forms of expressions, so it
is translated here, in milliseconds, and not kept in the cache.
"""

from __future__ import annotations

import ast
import struct
from typing import Any

from anexa.engines.program.units import symbol_of
from anexa.engines.program.writer import KernelSource, Source

STEP_SYMBOL = "anexa_step"  # symbol of the function of a program
POINTER_TYPES = ("numbers", "doubles", "integers")  # types of arguments, see `KernelSource`
# LLVM's instruction for each operator, on int64.
OPERATORS: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}

Operand = tuple[str, str]
"""Type, named as in `KernelSource`, and register or constant of LLVM IR."""


def compile_step(source: Source, machine: Any) -> bytes:
    """Compile the function of a program to an object file.

    Args:
        source: source of the program.
        machine: LLVM's target machine of the processor.

    Returns:
        The content of the object file.
    """
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(step_ir(source))
    module.verify()
    return bytes(machine.emit_object(module))


def step_ir(source: Source) -> str:
    """Translate the function of a program to LLVM IR: a module that defines `STEP_SYMBOL`."""
    return _Translator(source).module()


class _Translator:
    """Translator of one function: assignments of numbers and pointers, and calls of kernels."""

    def __init__(self, source: Source) -> None:
        (definition,) = ast.parse(source.text).body[-1:]
        assert isinstance(definition, ast.FunctionDef)
        self._definition, self._dtype = definition, source.dtype
        self._kernels = {kernel.name: kernel for kernel in source.kernels}
        self._elements = {
            "numbers": "double" if source.dtype == "float64" else "float",
            "doubles": "double",
            "integers": "i64",
        }
        self._variables: dict[str, Operand] = {"frame": ("integers", "%frame")}
        self._lines: list[str] = []

    def module(self) -> str:
        """Return the text of a module that defines `STEP_SYMBOL` and declares the kernels."""
        for statement in self._definition.body:
            self._statement(statement)
        return "\n".join(
            [
                *map(self._declaration, self._kernels.values()),
                f"define void @{STEP_SYMBOL}(ptr %frame) {{",
                *self._lines,
                "ret void",
                "}",
            ]
        )

    def _declaration(self, kernel: KernelSource) -> str:
        types = ", ".join(map(_llvm_type, kernel.arguments))
        return f"declare void @{symbol_of(kernel.name, self._dtype)}({types})"

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Expr):
            assert isinstance(statement.value, ast.Call)
            self._call_kernel(statement.value)
            return
        assert isinstance(statement, ast.Assign)
        (target,), value = statement.targets, statement.value
        targets, values = [target], [value]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            targets, values = target.elts, value.elts
        for name, expression in zip(targets, values, strict=True):
            assert isinstance(name, ast.Name)
            self._variables[name.id] = self._operand(expression)

    def _call_kernel(self, call: ast.Call) -> None:
        assert isinstance(call.func, ast.Name)
        kernel = self._kernels[call.func.id]
        arguments = []
        for kind, expression in zip(kernel.arguments, call.args, strict=True):
            found, operand = self._operand(expression)
            if kind == "float64" and found == "int64":
                found, operand = "float64", _double(int(operand))  # a constant, as 1 for 1.0
            assert found == kind, f"{ast.unparse(call)}: {found} for {kind}"
            arguments.append(f"{_llvm_type(kind)} {operand}")
        symbol = symbol_of(kernel.name, self._dtype)
        self._lines.append(f"call void @{symbol}({', '.join(arguments)})")

    def _operand(self, expression: ast.expr) -> Operand:
        """Append the instructions that compute an expression.

        Returns:
            The type of the result, and its register or constant.
        """
        match expression:
            case ast.Constant(value=int(number)):
                return "int64", str(number)
            case ast.Constant(value=float(number)):
                return "float64", _double(number)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self._operand(ast.Constant(-number))
            case ast.Name(id=name):
                return self._variables[name]
            case ast.BinOp(left=left, op=operator, right=right):
                (_, x), (_, y) = self._operand(left), self._operand(right)
                return "int64", self._register(f"{OPERATORS[type(operator)]} i64 {x}, {y}")
            case ast.Subscript(value=pointer, slice=index):
                address = self._address(pointer, index)
                return "int64", self._register(f"load i64, ptr {address}")
            case ast.Call(func=ast.Name(id="at"), args=[pointer, offset]):
                return self._operand(pointer)[0], self._address(pointer, offset)
            case ast.Call(func=ast.Name(id=kind), args=[word]) if kind in POINTER_TYPES:
                return kind, self._register(f"inttoptr i64 {self._operand(word)[1]} to ptr")
        raise AssertionError(ast.unparse(expression))

    def _address(self, pointer: ast.expr, offset: ast.expr) -> str:
        kind, base = self._operand(pointer)
        _, index = self._operand(offset)
        element = self._elements[kind]
        return self._register(f"getelementptr {element}, ptr {base}, i64 {index}")

    def _register(self, instruction: str) -> str:
        name = f"%r{len(self._lines)}"
        self._lines.append(f"{name} = {instruction}")
        return name


def _llvm_type(kind: str) -> str:
    return {"int64": "i64", "float64": "double"}.get(kind, "ptr")


def _double(number: float) -> str:
    """Format a float64 as LLVM IR does, by its bits."""
    return f"0x{struct.pack('>d', number).hex()}"
