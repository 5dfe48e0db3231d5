"""Onsets: how fast a solution of second order begins to change from its initial state, as its equations say there.

A factor t^2 / T^2, that of values and slopes at t = 0, leaves the network to be (T / t)^2 times as large early as late where a
solution changes many times within the range T. With t^2 / (t^2 + T_0^2) it has one size all along, and of what saturates this is
the easiest to divide by: tanh(t / T_0)^2 costs small networks three digits. The initial values u have slopes v, and the equations
say with which second derivatives w they go on; the rate of change is max(|v| / |u|, sqrt(|w| / |u|)), where |u| is the largest
value, or half their range where the equations know no zero of u. T_0 is three over that rate, and no more than three tenths of the
range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sympy import Dummy, Expr, Integer, Integral, Matrix, Symbol, lambdify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.evaluation import SYMPY_FAILS
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.images import Array
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape

_PLACES = 512
"""Points of the domain at which initial values are looked at."""

_CHANGES = 3.0
"""T_0 times the rate of change."""

_SHORT = 0.3
"""Part of the range that T_0 is at most, and below which the time of change is short; else a solution has its power of t."""

_ORDER = 2
"""In the coordinate, of the equations; with the first, factors of t are as good."""

_MOST_FIELDS, _MOST_OPERATIONS = 4, 1_000
"""Number of equations, and length of each, up to which they are solved for what they give."""

_States = Mapping[str, tuple[Expr, ...]]
"""The initial values of fields and of their slopes, as many as the order of the equations, by the fields' names."""


def find_onsets(
    states: _States,
    coordinate: Symbol,
    at: float,
    *,
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    domain: Shape,
    unknowns: Mapping[Symbol, float],
) -> dict[str, float]:
    """Return T_0 for every field of second order that changes in a short part of a range, as far as the equations tell.

    Args:
        states: Of the fields that evolve.
        coordinate: In which they evolve.
        at: Its value at the start.
        terms: All terms of the problem.
        fields: The real fields.
        domain: The region.
        unknowns: Values of unknown parameters.
    """
    if all(len(values) != _ORDER for values in states.values()):
        return {}
    places = draw(domain, _PLACES).coordinates
    known = {c: places[:, k] for k, c in enumerate(domain.coordinates)} | {coordinate: np.full(_PLACES, at)}
    known |= {symbol: np.full(1, value) for symbol, value in unknowns.items()}
    slots = {f.func.__name__: f.args for f in fields}
    try:
        rates = _rates(states, terms, slots, coordinate, known)
    except (*SYMPY_FAILS, NameError, SyntaxError, KeyError):
        return {}
    low, high = domain.bounds[coordinate]
    longest = _SHORT * (high - low)
    return {name: min(_CHANGES / rate, longest) for name, rate in rates.items() if 1 < rate * longest < np.inf}


def _rates(
    states: _States,
    terms: Sequence[Term],
    slots: Mapping[str, tuple[Symbol, ...]],
    coordinate: Symbol,
    known: Mapping[Symbol, Array],
) -> dict[str, float]:
    """Return the rate at which every field of second order begins to change; none where the equations do not tell."""
    highest = _highest(states, terms=terms, slots=slots, coordinate=coordinate)
    if highest is None:
        return {}
    floating = {name for name in states if not any(_reads(term, name) for term in terms if term.kind == "equation")}
    rates, kicked = {}, {}
    for name, values in ((name, values) for name, values in states.items() if len(values) == _ORDER):
        start = _numbers(values[0], known)
        size = float(np.ptp(start) / 2 if name in floating else np.abs(start).max())
        slope, second = (float(np.abs(_numbers(e, known)).max()) for e in (values[1], highest[name]))
        if size:
            rates[name] = max(slope / size, math.sqrt(second / size))
        elif slope:
            kicked[name] = values[1], Integer(0)
    if kicked:  # by a slope alone: as fast as from a value of that form
        return _rates({**states, **kicked}, terms, slots, coordinate, known) | rates
    return rates


def _highest(
    states: _States, *, terms: Sequence[Term], slots: Mapping[str, tuple[Symbol, ...]], coordinate: Symbol
) -> dict[str, Expr] | None:
    """Return the highest derivative of every field in the coordinate at the start, which equations give that are linear in it.

    None where they read other fields there, or a derivative of what they give, or are long.
    """
    highest = {name: Dummy(name, real=True) for name in states}
    equations = [term for term in terms if term.kind == "equation"]
    residuals = [_opened(term, states, slots, coordinate, highest) for term in equations if term.region is None]
    if not len(residuals) == len(equations) == len(states) <= _MOST_FIELDS:
        return None
    zero = dict.fromkeys(highest.values(), Integer(0))
    matrix, right = [], []
    for residual in residuals:
        if residual is None or residual.count_ops() > _MOST_OPERATIONS:
            return None
        matrix.append([residual.diff(symbol) for symbol in highest.values()])
        right.append(-residual.xreplace(zero))
        if any(factor.has(*highest.values()) for factor in matrix[-1]):
            return None
    return dict(zip(highest, Matrix(matrix).LUsolve(Matrix(right)), strict=True))


def _reads(term: Term, name: str) -> bool:
    """Return whether a statement reads a field itself, and not its derivatives alone."""
    return any(reading.field == name and not any(reading.orders) for reading in evaluations(term.residual).values())


def _opened(
    term: Term,
    states: _States,
    slots: Mapping[str, tuple[Symbol, ...]],
    coordinate: Symbol,
    highest: Mapping[str, Symbol],
) -> Expr | None:
    """Return a residual at the start, with symbols for the highest derivatives; None where these are not all that is open."""
    if term.residual.has(Integral):
        return None
    put = {}
    for place, reading in evaluations(term.residual).items():
        if reading.field not in states or tuple(reading.location) != tuple(slots[reading.field]):
            return None
        orders = dict(zip(slots[reading.field], reading.orders, strict=True))
        order, values = orders.pop(coordinate), states[reading.field]
        if order > len(values) or (order == len(values) and any(orders.values())):
            return None
        value = highest[reading.field] if order == len(values) else values[order]
        put[place] = value.diff(*((c, n) for c, n in orders.items() if n)) if any(orders.values()) else value
    return term.residual.xreplace(put)


def _numbers(expression: Expr, known: Mapping[Symbol, Array]) -> Array:
    symbols = sorted(expression.free_symbols, key=str)
    with np.errstate(all="ignore"):
        found = lambdify(symbols, expression, "scipy")(*(known[s] for s in symbols))
    values = np.broadcast_to(np.asarray(found, dtype=np.float64), (_PLACES,))
    return values[np.isfinite(values)]
