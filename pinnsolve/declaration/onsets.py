"""Onsets: how fast a solution begins to change from its initial state, as its equations say there.

A factor t^n / T^n leaves the network to be (T / t)^n times as large early as late, where a solution changes many times within the
range T. With tanh(t / T_0)^n, which is the same to first order, it has one size all along. The initial values u have slopes v and
second derivatives w, which are given or follow from the equations, and T_0 = 2 / max(|v| / |u|, sqrt(|w| / |u|)) with half the
range of u for |u|; of fields that begin as constants it is 2 |v| / |w|, or that of the field that changes fastest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

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

_CHANGES = 2.0
"""T_0 times the rate of change."""

_SHORT = 0.3
"""Part of the range that T_0 is at most; a solution that changes more slowly has its power of t."""

_ORDERS = (1, 2)

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
    """Return T_0 for every field that changes several times in the range of a coordinate, as far as the equations tell.

    Args:
        states: Of the fields that evolve.
        coordinate: In which they evolve.
        at: Its value at the start.
        terms: All terms of the problem.
        fields: The real fields.
        domain: The region.
        unknowns: Values of unknown parameters.
    """
    if any(len(values) not in _ORDERS for values in states.values()):
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
    return {name: _CHANGES / rate for name, rate in rates.items() if _CHANGES < rate * longest < np.inf}


def _rates(
    states: _States,
    terms: Sequence[Term],
    slots: Mapping[str, tuple[Symbol, ...]],
    coordinate: Symbol,
    known: Mapping[Symbol, Array],
) -> dict[str, float]:
    """Return the rate at which every field begins to change; none where the equations do not tell."""
    solve = partial(_highest, terms=terms, slots=slots, coordinate=coordinate)
    highest = solve(states)
    if highest is None:
        return {}
    later = Dummy(real=True)
    moved = {name: (values[0] + later * highest[name], *values[1:]) for name, values in states.items()}
    next_ones = solve(moved) if all(len(values) == 1 for values in states.values()) else None
    found = {}
    for name, values in states.items():
        slope, second = (values[1], highest[name]) if len(values) == 2 else (highest[name], None)
        if second is None and next_ones is not None:
            second = next_ones[name].diff(later).xreplace({later: Integer(0)})
        start = _numbers(values[0], known)
        size = float(np.abs(start).max() if len(slots[name]) == 1 else np.ptp(start) / 2)
        v, w = (0.0 if e is None else float(np.abs(_numbers(e, known)).max()) for e in (slope, second))
        found[name] = max(v / size, math.sqrt(w / size)) if size else w / v if v else 0.0
    kicked = {name: (values[1], Integer(0)) for name, values in states.items() if not found[name] and len(values) == 2}
    if any(first != 0 for first, _ in kicked.values()):  # by a slope alone: as fast as from a value of that form
        return _rates({**states, **kicked}, terms, slots, coordinate, known)
    fastest = max(found.values())
    return {name: rate or fastest for name, rate in found.items()}


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
