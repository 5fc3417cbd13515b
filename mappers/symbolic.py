"""Sizes that may be symbols: exact integer expressions, their text, and many of them evaluated at once.

A size is an `int`, or a sympy expression over positive integer symbols such as `B` (batch) and `S` (sequence length).
The text of an expression is Python's own arithmetic, so that one string serves JSON and the compiled evaluator.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np
import sympy

Size: TypeAlias = "int | sympy.Expr"


@cache
def symbol(name: str) -> sympy.Symbol:
    """The size symbol of that name: a positive integer."""
    if not name.isidentifier():
        raise ValueError(f"symbol: a size's name must be an identifier such as 'B' or 'S', got {name!r}")
    return sympy.Symbol(name, integer=True, positive=True)


def as_size(value: object) -> Size:
    """An int where the expression is a number, else the expanded expression, so that equal sizes compare equal."""
    if isinstance(value, int):
        return int(value)
    expression = sympy.expand(value)
    return int(expression) if expression.is_Integer else expression


@lru_cache(maxsize=65536)
def product(sizes: tuple[Size, ...]) -> Size:
    """The product of sizes, expanded; 1 for none."""
    numbers = prod(size for size in sizes if isinstance(size, int))
    rest = [size for size in sizes if not isinstance(size, int)]
    return as_size(sympy.Mul(numbers, *rest)) if rest else numbers


@lru_cache(maxsize=65536)
def to_text(size: Size) -> str:
    """Python arithmetic over the symbols: "262144*B*S**2", "P + 1", "(S + 1)//2".

    Raises ValueError for what has no integer arithmetic here (only + * ** // % Max Min do).
    """
    if isinstance(size, int):
        return str(size)
    if size.is_Symbol or size.is_Integer:
        return str(size)
    if isinstance(size, sympy.floor):
        numerator, denominator = size.args[0].as_numer_denom()
        return f"(({to_text(numerator)})//({to_text(denominator)}))"
    if isinstance(size, sympy.Mod):
        return f"(({to_text(size.args[0])})%({to_text(size.args[1])}))"
    if isinstance(size, sympy.Max | sympy.Min):
        name = type(size).__name__
        return f"{name}({', '.join(to_text(argument) for argument in _ordered(size))})"
    if isinstance(size, sympy.Pow) and size.exp.is_Integer and size.exp > 0:
        return f"{_bracketed(size.base)}**{size.exp}"
    if isinstance(size, sympy.Mul):
        return "*".join(_bracketed(argument) for argument in size.as_ordered_factors())
    if isinstance(size, sympy.Add):
        return " + ".join(to_text(argument) for argument in size.as_ordered_terms())
    raise ValueError(f"size {size} uses {type(size).__name__}, which is not integer arithmetic of + * ** // % Max Min")


def _ordered(size: sympy.Expr) -> list[Any]:
    return sorted(size.args, key=sympy.default_sort_key)


def _bracketed(size: sympy.Expr) -> str:
    text = to_text(size)
    return f"({text})" if isinstance(size, sympy.Add) else text


@lru_cache(maxsize=65536)
def from_text(text: str) -> Size:
    """The size a text stands for; reads what `to_text` writes and nothing else."""
    try:
        size: Size = as_size(_build(ast.parse(text, mode="eval").body))
        return size
    except (SyntaxError, TypeError, KeyError) as error:
        raise ValueError(f"size {text!r} is not integer arithmetic over symbols: {error}") from None


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Pow: lambda a, b: a**b,
    ast.FloorDiv: lambda a, b: sympy.floor(a / b),
    ast.Mod: lambda a, b: sympy.Mod(a, b),
}


def _build(tree: ast.expr) -> Any:
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return sympy.Integer(tree.value)
    if isinstance(tree, ast.Name):
        return symbol(tree.id)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_build(tree.operand)
    if isinstance(tree, ast.BinOp):
        return _BINARY[type(tree.op)](_build(tree.left), _build(tree.right))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("Max", "Min"):
        return getattr(sympy, tree.func.id)(*map(_build, tree.args))
    raise TypeError(f"{ast.dump(tree)[:60]} is not allowed")


def from_torch(expression: Any, names: dict[Any, str]) -> Size:
    """A torch SymInt's sympy expression over our symbols.

    names: torch's symbols -> names of ours. torch.utils._sympy's FloorDiv, Mod, PythonMod, Max and Min become sympy's
    (all sizes are positive, so the kinds of Mod agree). Raises ValueError for a symbol without a name.
    """
    if expression.is_Symbol:
        if expression not in names:
            raise ValueError(f"symbol {expression} belongs to no dimension of an input")
        return symbol(names[expression])
    if not expression.args:
        return as_size(expression)
    arguments = [from_torch(argument, names) for argument in expression.args]
    kind = type(expression).__name__
    if kind in ("FloorDiv", "CleanDiv"):
        return as_size(sympy.floor(sympy.sympify(arguments[0]) / arguments[1]))
    if kind in ("Mod", "PythonMod"):
        return as_size(sympy.Mod(*arguments))
    if kind in ("Max", "Min"):
        return as_size(getattr(sympy, kind)(*arguments))
    if kind in ("Add", "Mul", "Pow"):
        return as_size(expression.func(*arguments))
    raise ValueError(f"size {expression} uses {kind}, which has no integer arithmetic here; make that dimension static")


def symbols_of(sizes: Iterable[Size]) -> set[str]:
    """Names of the symbols in any of the sizes."""
    return {free.name for size in sizes if not isinstance(size, int) for free in size.free_symbols}


def _max(*values: Any) -> Any:
    return (
        max(values)
        if all(isinstance(value, int) for value in values)
        else np.maximum.reduce(np.broadcast_arrays(*values))
    )


def _min(*values: Any) -> Any:
    return (
        min(values)
        if all(isinstance(value, int) for value in values)
        else np.minimum.reduce(np.broadcast_arrays(*values))
    )


def compile_sizes(sizes: Sequence[Size], names: Sequence[str]) -> Callable[..., tuple[Any, ...]]:
    """One function of the named symbols that returns every size, in exact integer arithmetic.

    The arguments may be ints, or int64 arrays that broadcast: exact as long as a result stays below 2**63.
    """
    if missing := symbols_of(sizes) - set(names):
        raise ValueError(f"sizes use {', '.join(sorted(missing))}, symbols are {', '.join(names) or 'none'}")
    # The text comes from to_text, which writes nothing but arithmetic over identifiers.
    source = f"lambda {', '.join(names)}: ({''.join(to_text(size) + ', ' for size in sizes)})"
    function: Callable[..., tuple[Any, ...]] = eval(source, {"__builtins__": {}, "Max": _max, "Min": _min})
    return function
