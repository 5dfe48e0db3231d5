"""Unknown parameters: symbols and their initial values, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sympy import Expr, Symbol, sympify
from sympy.physics.units import Quantity

from pinnsolve.errors import ProblemError, UnsupportedError


def read_unknowns(unknowns: Mapping[Symbol, float], coordinates: Sequence[Symbol]) -> Mapping[Symbol, float]:
    """Return the initial values as numbers.

    Args:
        unknowns: What the user gave.
        coordinates: Those of the domain, which are not to be found.

    Raises:
        ProblemError: A key that is no symbol of its own, a value that is no finite number, or one of the wrong sign.
        UnsupportedError: Unknowns that are not real.
    """
    if not isinstance(unknowns, Mapping):
        raise ProblemError(
            "unknowns", f"{unknowns!r} is not a mapping", "write unknowns={nu: 0.01} with initial values"
        )
    read = {}
    for symbol, initial in unknowns.items():
        if not isinstance(symbol, Symbol):
            raise ProblemError("unknowns", f"{symbol!r} is not a symbol", "use the parameter's symbol as the key")
        if symbol.name in [c.name for c in coordinates]:
            raise ProblemError(
                f"unknowns, {symbol}", "it is also a coordinate of the domain", "make it one or the other"
            )
        number = sympify(initial) if not isinstance(initial, str) else None
        if isinstance(number, Expr) and number.has(Quantity):
            found = f"the initial value {initial} is a quantity"
            raise ProblemError(f"unknowns, {symbol}", found, f"give a number, and its unit in units={{{symbol}: ...}}")
        if not (isinstance(number, Expr) and number.is_real and math.isfinite(float(number))):
            raise ProblemError(f"unknowns, {symbol}", f"the initial value {initial!r}", "give a finite number")
        value = float(number)
        if (symbol.is_positive and value <= 0) or (symbol.is_negative and value >= 0):
            sign = "positive" if symbol.is_positive else "negative"
            raise ProblemError(
                f"unknowns, {symbol}", f"it is {sign}, its initial value {value:g}", f"start from a {sign} value"
            )
        if symbol.is_real is False or symbol.is_integer:
            raise UnsupportedError(f"unknowns, {symbol}", "only real unknowns can be trained", "declare a real symbol")
        read[symbol] = value
    return MappingProxyType(read)
