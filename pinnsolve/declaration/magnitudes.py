"""Magnitudes: how large expressions are at places of a region, as numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Symbol, lambdify

Array = NDArray[np.float64]


def numbers(expression: Expr, known: Mapping[Symbol, Array]) -> Array:
    """Return the finite values of an expression at the places."""
    symbols = sorted(expression.free_symbols, key=str)
    with np.errstate(all="ignore"):
        try:
            found = lambdify(symbols, expression, "scipy")(*(known[s] for s in symbols))
            values = np.atleast_1d(np.asarray(found))
            if values.dtype == object:  # whole numbers that are longer than those of NumPy
                values = values.astype(np.float64)
        except (TypeError, ValueError, NameError, KeyError, NotImplementedError, SyntaxError, ArithmeticError):
            return np.zeros(0)
    return np.asarray(values[np.isfinite(values)], dtype=np.float64) if np.isrealobj(values) else np.zeros(0)


def largest(expression: Expr, known: Mapping[Symbol, Array]) -> float:
    """Return the largest magnitude of an expression at the places; 0 where it has no value."""
    values = np.abs(numbers(expression, known))
    return float(values.max()) if values.size else 0.0


def usual(expression: Expr, known: Mapping[Symbol, Array]) -> float:
    """Return the median magnitude of a coefficient where it is not 0: the largest of 1 / r says how near to 0 one looked."""
    values = np.abs(numbers(expression, known))
    values = values[values > 0]
    return float(np.median(values)) if values.size else 0.0


def root_mean_square(expression: Expr, known: Mapping[Symbol, Array]) -> float:
    """Return the root of the mean square of an expression at the places; 0 where it has no value."""
    values = numbers(expression, known)
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
