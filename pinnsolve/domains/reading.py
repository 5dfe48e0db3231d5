"""Reading what a user writes into regions: coordinates and numbers, with what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sympy import Expr, Symbol, SympifyError, sympify
from sympy.physics.units import Quantity

from pinnsolve.errors import ProblemError


def read_coordinate(where: str, symbol: Any) -> Symbol:
    """Return a coordinate.

    Raises:
        ProblemError: It is not a symbol.
    """
    if not isinstance(symbol, Symbol):
        found = f"{symbol!r} is a {type(symbol).__name__}, not a SymPy symbol"
        raise ProblemError(where, found, 'use x = symbols("x") as the key')
    return symbol


def read_number(where: str, what: str, value: Any) -> float:
    """Return a real number, given as a number of Python, NumPy or SymPy.

    Raises:
        ProblemError: It is something else.
    """
    try:
        number = sympify(value) if not isinstance(value, str | bool) else None
    except SympifyError:
        number = None
    if isinstance(number, Expr) and number.has(Quantity):
        remedy = "give a number: regions are in the units that Problem(..., units={...}) gives their coordinates"
        raise ProblemError(where, f"{what} {value} is a quantity", remedy)
    if not isinstance(number, Expr) or number.free_symbols or number.is_real is False:
        raise ProblemError(where, f"{what} {value!r} is not a real number", "give a real number")
    return float(number)


def read_finite(where: str, what: str, value: Any) -> float:
    """Return a finite real number.

    Raises:
        ProblemError: It is something else.
    """
    number = read_number(where, what, value)
    if not math.isfinite(number):
        raise ProblemError(where, f"{what} {value!r} is not finite", "give a finite number")
    return number


def refuse_twins(coordinates: Sequence[Symbol]) -> None:
    """Raise when two coordinates share a name, or are one."""
    names = [c.name for c in coordinates]
    for name in names:
        if names.count(name) > 1:
            same = len({c for c in coordinates if c.name == name}) == 1
            found = "the coordinate stands twice" if same else "two symbols of this name with different assumptions"
            raise ProblemError(f"domain, {name}", found, "declare the symbol once")
