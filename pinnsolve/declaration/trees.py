"""Expressions as plain lists, for storing a declaration without pickle and reading it back without evaluating text.

A tree is a JSON list: the name of a node and its arguments. Reading builds only nodes named in a table, so that a file from a
stranger can describe mathematics and nothing else. Nothing is simplified on the way: what was stored is rebuilt as it was, and
a power or a gamma function of huge numbers is not carried out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Basic, Expr, Symbol
from sympy.core.assumptions import common_assumptions
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean
from sympy.physics.units import Quantity
from sympy.physics.units.prefixes import Prefix

from pinnsolve.declaration.functions import KNOWN
from pinnsolve.declaration.measures import named_quantities
from pinnsolve.operators import AppliedField, fields

Tree = list[Any]

_NODES = [
    *KNOWN,
    "ExprCondPair",
    "Add",
    "Mul",
    "Pow",
    "And",
    "Or",
    "Not",
    "Xor",
    "ITE",
    "Implies",
    "Equivalent",
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
    name: ExprCondPair if name == "ExprCondPair" else getattr(sympy, name) for name in _NODES
}
_ARGUMENTS: Mapping[str, Any] = {
    **dict.fromkeys(("And", "Or", "Not", "Xor", "ITE", "Implies", "Equivalent"), Boolean),
    "Piecewise": ExprCondPair,
    "ExprCondPair": (Expr, Boolean),
    "Integral": (Expr, sympy.Tuple),
}
"""What the arguments of a node must be, where that is not an expression."""

_AS_IT_IS = frozenset({"ExprCondPair", "Integral", "Tuple"})
"""Nodes that have no evaluation to leave out."""

_ASSUMPTIONS = frozenset(common_assumptions([sympy.Integer(1)])) | {"polar"}
_CONSTANTS = {
    "pi": sympy.pi,
    "E": sympy.E,
    "I": sympy.I,
    "true": sympy.true,
    "false": sympy.false,
    "EulerGamma": sympy.EulerGamma,
}
_LARGEST_TREE = 200_000
_LONGEST_NAME = _LONGEST_NUMBER = 200
_HIGHEST_ORDER = 100
_DIGITS = 40
"""Digits of a number stored by its value: far more than a double has."""


class TreeError(ValueError):
    """A tree that does not describe an expression."""


def to_tree(expression: Basic) -> Tree:
    """Return the tree of an expression; a number by a function that is not in the table, zeta(3), by its value.

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
        precision = int(expression._prec)
        digits = math.ceil(1 + precision * math.log10(2))  # as many as bring back every bit
        return ["Float", str(sympy.Float(expression, digits)), precision]
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
    if isinstance(expression, Quantity | Prefix) and named_quantities().get(str(expression.name)) == expression:
        return ["Quantity", str(expression.name)]
    name = type(expression).__name__
    if _CLASSES.get(name) is type(expression):
        return [name, *map(to_tree, expression.args)]
    value = expression.evalf(_DIGITS) if isinstance(expression, Expr) and expression.is_number else None
    if not isinstance(value, sympy.Float):
        raise TreeError(f"{name} cannot be stored")
    return to_tree(value)


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
        if name in _SPECIAL:
            return getattr(self, f"_{name.lower()}")(*arguments)
        if name not in _CLASSES:
            raise TreeError(f"unknown node {name[:40]!r}")
        built = [self.read(a) for a in arguments]
        if not all(isinstance(a, _ARGUMENTS.get(name, Expr)) for a in built):
            raise TreeError(f"an argument of {name} that has no place there")
        return _CLASSES[name](*built, **({} if name in _AS_IT_IS else {"evaluate": False}))

    def _symbol(self, name: str, assumptions: Mapping[str, bool]) -> Symbol:
        return Symbol(_name(name), **_assumptions(assumptions))

    def _rational(self, p: str, q: str) -> Expr:
        if max(len(p), len(q)) > _LONGEST_NUMBER or int(q) < 1:
            raise TreeError(f"a fraction without a denominator, or of more than {_LONGEST_NUMBER} digits")
        return sympy.Rational(int(p), int(q))

    def _float(self, digits: str, precision: int) -> Expr:
        if len(digits) > _LONGEST_NUMBER or not 1 <= precision <= 1_000 or not math.isfinite(float(digits)):
            raise TreeError(f"a number that is not finite, or of more than {_LONGEST_NUMBER} digits")
        return sympy.Float(digits, precision=precision)

    def _field(self, name: str, assumptions: Mapping[str, bool], *arguments: Tree) -> Expr:
        read = [self.read(a) for a in arguments]
        if not read or not all(isinstance(a, Expr) for a in read):
            raise TreeError("a field of something that is not an expression")
        if all(isinstance(a, Symbol) for a in read) and len(_name(name).replace(",", " ").split()) == 1:
            return fields(name, *read, **_assumptions(assumptions))
        return UndefinedFunction(_name(name), bases=(AppliedField,), **_assumptions(assumptions))(*read)

    def _derivative(self, inner: Tree, pairs: list[list[Any]]) -> Expr:
        orders = [n for _, n in pairs]
        if not all(type(n) is int and 1 <= n <= _HIGHEST_ORDER for n in orders):
            raise TreeError(f"derivatives of the orders {str(orders)[:80]}")
        return sympy.Derivative(self.read(inner), *((self.read(v), n) for v, n in pairs))

    def _quantity(self, name: str) -> Expr:
        if _name(name) not in named_quantities():
            raise TreeError(f"no quantity of SymPy is named {name[:40]!r}")
        return named_quantities()[name]

    def _subs(self, inner: Tree, variables: list[Tree], point: list[Tree]) -> Expr:
        return sympy.Subs(self.read(inner), tuple(map(self.read, variables)), tuple(map(self.read, point)))


_SPECIAL = frozenset({"Symbol", "Rational", "Float", "Field", "Derivative", "Subs", "Quantity"})


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise TreeError(f"a name of more than {_LONGEST_NAME} letters, or none")
    return name


def _assumptions(assumptions: Any) -> dict[str, bool]:
    read = dict(assumptions)
    if not set(read) <= _ASSUMPTIONS or not all(isinstance(value, bool) for value in read.values()):
        raise TreeError(f"assumptions that SymPy does not have: {str(read)[:80]}")
    return read
