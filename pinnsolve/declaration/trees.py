"""Expressions as plain lists, for storing a declaration without pickle and reading it back without evaluating text.

A tree is a JSON list: the name of a node and its arguments. Reading builds only nodes named in a table, so that a file from a
stranger can describe mathematics and nothing else; sizes are bounded, and powers of large numbers stay unevaluated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Basic, Expr, Symbol
from sympy.core.function import AppliedUndef, UndefinedFunction

from pinnsolve.operators import AppliedField, fields

Tree = list[Any]

_FUNCTIONS = [
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "asin",
    "acos",
    "atan",
    "acot",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "coth",
    "sech",
    "csch",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "Abs",
    "sign",
    "floor",
    "ceiling",
    "Heaviside",
    "loggamma",
    "gamma",
    "sinc",
    "Mod",
    "Max",
    "Min",
    "Piecewise",
    "ExprCondPair",
    "re",
    "im",
    "conjugate",
    "Add",
    "Mul",
    "Pow",
    "And",
    "Or",
    "Not",
    "StrictLessThan",
    "LessThan",
    "StrictGreaterThan",
    "GreaterThan",
    "Equality",
    "Unequality",
    "Integral",
    "Tuple",
]
_CLASSES: Mapping[str, Any] = {
    name: getattr(sympy, name, None) or getattr(sympy.functions.elementary.piecewise, name) for name in _FUNCTIONS
}
_CONSTANTS = {
    "pi": sympy.pi,
    "E": sympy.E,
    "I": sympy.I,
    "true": sympy.true,
    "false": sympy.false,
    "EulerGamma": sympy.EulerGamma,
}
_LARGEST_TREE = 200_000
_LARGEST_POWER = 1_000


class TreeError(ValueError):
    """A tree that does not describe an expression."""


def to_tree(expression: Basic) -> Tree:
    """Return the tree of an expression.

    Raises:
        TreeError: A node that cannot be stored.
    """
    if isinstance(expression, Symbol):
        return ["Symbol", expression.name, {k: bool(v) for k, v in sorted(expression._assumptions_orig.items())}]
    for name, constant in _CONSTANTS.items():
        if expression == constant and type(expression) is type(constant):
            return [name]
    if isinstance(expression, sympy.Rational):
        return ["Rational", str(expression.p), str(expression.q)]
    if isinstance(expression, sympy.Float):
        return ["Float", str(expression), int(expression._prec)]
    if isinstance(expression, AppliedUndef):
        return ["Field", expression.func.__name__, dict(expression.func._kwargs), *map(to_tree, expression.args)]
    if isinstance(expression, sympy.Derivative):
        pairs = [[to_tree(variable), int(count)] for variable, count in expression.variable_count]
        return ["Derivative", to_tree(expression.expr), pairs]
    if isinstance(expression, sympy.Subs):
        return [
            "Subs",
            to_tree(expression.expr),
            [*map(to_tree, expression.variables)],
            [*map(to_tree, expression.point)],
        ]
    name = type(expression).__name__
    if _CLASSES.get(name) is not type(expression):
        raise TreeError(f"{name} cannot be stored")
    return [name, *map(to_tree, expression.args)]


def from_tree(tree: Any) -> Any:
    """Return the expression of a tree.

    Raises:
        TreeError: The tree is malformed, too large, or names a node that is not mathematics.
    """
    try:
        return _Reader().read(tree)
    except TreeError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError, ArithmeticError) as error:
        raise TreeError(f"malformed expression: {error}") from None


class _Reader:
    """Reads one tree, counting its nodes."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, tree: Any) -> Any:
        self.count += 1
        if self.count > _LARGEST_TREE:
            raise TreeError(f"more than {_LARGEST_TREE} nodes")
        if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
            raise TreeError(f"not a node: {str(tree)[:80]}")
        name, *arguments = tree
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        special = getattr(self, f"_{name.lower()}", None) if name in _SPECIAL else None
        if special is not None:
            return special(*arguments)
        if name not in _CLASSES:
            raise TreeError(f"unknown node {name[:40]!r}")
        built = [self.read(a) for a in arguments]
        if name == "Pow":
            return _power(*built)
        return _CLASSES[name](*built)

    def _symbol(self, name: str, assumptions: Mapping[str, bool]) -> Symbol:
        if not isinstance(name, str) or len(name) > 200 or not all(isinstance(v, bool) for v in assumptions.values()):
            raise TreeError("malformed symbol")
        return Symbol(name, **assumptions)

    def _rational(self, p: str, q: str) -> Expr:
        if len(p) > 200 or len(q) > 200:
            raise TreeError("a number of more than 200 digits")
        return sympy.Rational(int(p), int(q))

    def _float(self, digits: str, precision: int) -> Expr:
        if len(digits) > 200 or not 1 <= precision <= 1_000:
            raise TreeError("a number of more than 200 digits")
        if not math.isfinite(float(digits)):
            raise TreeError("a number that is not finite")
        return sympy.Float(digits, precision=precision)

    def _field(self, name: str, assumptions: Mapping[str, bool], *arguments: Tree) -> Expr:
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or not all(isinstance(v, bool) for v in assumptions.values())
        ):
            raise TreeError("malformed field")
        read = [self.read(a) for a in arguments]
        if all(isinstance(a, Symbol) for a in read):
            return fields(name, *read, **assumptions)
        return UndefinedFunction(name, bases=(AppliedField,), **assumptions)(*read)

    def _derivative(self, inner: Tree, pairs: list[list[Any]]) -> Expr:
        return sympy.Derivative(self.read(inner), *((self.read(v), int(n)) for v, n in pairs))

    def _subs(self, inner: Tree, variables: list[Tree], point: list[Tree]) -> Expr:
        return sympy.Subs(self.read(inner), tuple(map(self.read, variables)), tuple(map(self.read, point)))


_SPECIAL = frozenset({"Symbol", "Rational", "Float", "Field", "Derivative", "Subs"})


def _power(base: Expr, exponent: Expr) -> Expr:
    """Build a power, leaving one unevaluated that could take forever to carry out."""
    harmless = not exponent.is_number or (exponent.is_Rational and abs(exponent) <= _LARGEST_POWER)
    return sympy.Pow(base, exponent, evaluate=bool(harmless or not base.is_number))
