"""Gathering: derivatives of a field that a residual reads only in one fixed sum become one differential operator.

A residual R depends on s_1, …, s_n only through Σ a_i s_i exactly when its partial derivatives are ∂R/∂s_i = a_i G with numbers
a_i and one G. The Laplacian of a Poisson equation is such a sum, and so is u_t + c u_x with a number c; a jet carries the sum in
fewer channels than its parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from fractions import Fraction

from sympy import Dummy, Expr, Number, Rational, S

from pinnsolve.jets import Derivative, MultiIndex, operator

Readings = Mapping[Dummy, tuple[Hashable, MultiIndex]]
"""For each symbol that stands for a derivative: what is differentiated, and the multi-index."""


def gather(expression: Expr, readings: Readings) -> tuple[Expr, dict[Dummy, Derivative]]:
    """Replace derivatives that are read only in a fixed sum.

    Args:
        expression: A residual in the symbols of its derivatives.
        readings: What the symbols stand for; derivatives of different things, or of different order, stay apart.

    Returns:
        The residual in fewer symbols, and the derivative that each of these now stands for.
    """
    left: dict[Dummy, Derivative] = {symbol: index for symbol, (_, index) in readings.items()}
    for symbols in _alike(readings):
        sums: dict[Expr, dict[Dummy, Expr]] = {}
        for symbol in symbols:
            factor, rest = _factored(expression.diff(symbol))
            if factor and factor.is_finite:
                sums.setdefault(rest, {})[symbol] = factor
        for factors in sums.values():
            if len(factors) < 2:
                continue
            first, *others = factors
            left[first] = operator({readings[s][1]: _fraction(a / factors[first]) for s, a in factors.items()})
            for other in others:
                del left[other]
            expression = expression.xreplace(dict.fromkeys(others, S.Zero))
    return expression, left


def _alike(readings: Readings) -> Iterable[list[Dummy]]:
    """Symbols whose derivatives can be summed, in their order."""
    groups: dict[tuple[Hashable, int], list[Dummy]] = {}
    for symbol, (what, index) in readings.items():
        if any(index):
            groups.setdefault((what, sum(index)), []).append(symbol)
    return [group for group in groups.values() if len(group) > 1]


def _factored(derivative: Expr) -> tuple[Number, Expr]:
    """A number and the rest, such that equal rests are equal expressions whatever their sign and scale."""
    content, primitive = derivative.primitive()
    factor, rest = primitive.as_coeff_Mul()
    if rest.could_extract_minus_sign():
        factor, rest = -factor, -rest
    return content * factor, rest


def _fraction(number: Expr) -> Fraction:
    return Fraction(number.p, number.q) if isinstance(number, Rational) else Fraction(float(number))
