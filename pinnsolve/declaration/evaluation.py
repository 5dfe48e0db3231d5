"""The number that SymPy finds for an expression at a place, where it finds one."""

from __future__ import annotations

import cmath
from collections.abc import Mapping

from sympy import Derivative, Expr, Subs, Symbol, zoo

SYMPY_FAILS = (ArithmeticError, AttributeError, NotImplementedError, RecursionError, TypeError, ValueError)
"""What SymPy raises where a function has no value at an argument, or it does not know how to find it."""


_EXACT = 2**53
"""Whole numbers below are numbers of double precision."""


def number_at(expression: Expr, place: Mapping[Symbol, complex]) -> complex | None:
    """Return the value at a place, to double precision; None where SymPy finds no finite number.

    Derivatives that are left, such as those of floor, it would approximate for minutes.
    """
    if expression.has(Derivative, Subs):
        return None
    if expression.is_Integer and abs(int(expression)) < _EXACT:  # SymPy would evaluate its digits
        return complex(int(expression))
    try:
        value = expression if expression.is_Number else expression.evalf(subs=place)
        number = complex(value)
    except SYMPY_FAILS:
        return None
    return number if cmath.isfinite(number) else None


def evaluated(number: Expr) -> Expr:
    """Return a number to the digits of double precision; zoo, SymPy's complex infinity, where it finds none."""
    try:
        return number.evalf(17)
    except SYMPY_FAILS:
        return zoo
