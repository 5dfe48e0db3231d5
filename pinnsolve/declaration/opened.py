"""Opened residuals: their summands, with a symbol in place of every derivative of a field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Add, Expr, Symbol

from pinnsolve.declaration.magnitudes import Array
from pinnsolve.declaration.terms import Evaluation


@dataclass(frozen=True)
class Opened:
    """A residual with a symbol in place of every derivative of a field.

    Attributes:
        name: The term's.
        kind: The term's.
        parts: The summands.
        readings: What each symbol stands for.
        known: Values of all other symbols, at places or one for all.
    """

    name: str
    kind: str
    parts: tuple[Expr, ...]
    readings: Mapping[Symbol, Evaluation]
    known: Mapping[Symbol, Array]


def linear_coefficients(each: Opened) -> dict[Symbol, Expr] | None:
    """Return the factors of the derivatives in a linear residual; None for others."""
    whole = Add(*each.parts)
    found = {symbol: whole.diff(symbol) for symbol in each.readings}
    return None if any(c.has(*each.readings) for c in found.values()) else found


def power_of_length(reading: Evaluation, lengths: Mapping[str, tuple[float, ...]]) -> float:
    """Return h^α."""
    return math.prod(h**order for h, order in zip(lengths[reading.field], reading.orders, strict=True))
