"""Corners: where two conditions meet and must agree.

A condition that gives the value of a field on a plane, u(x, 0) = f(x), and another on a plane across it, u(0, t) = g(t), both
speak of the corner; f(0) and g(0) must agree, but for the tail of a pulse, or no continuous field satisfies them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Derivative, Expr, Float, Integer, Integral, Subs, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.regions import ROUNDING, Boundary, Face
from pinnsolve.domains.shapes import Shape, lies_in
from pinnsolve.errors import ProblemError

Bounds = Mapping[Symbol, tuple[float, float]]

AGREEMENT = 1e-3
"""Values at a corner contradict when they differ by more than this, relative to the size of the data. By less they do where a wall
cuts off the tail of a pulse: one of the two is then left to the loss, and no more than the neighbourhood is as uncertain."""

_MOST_FACES = 12
"""Faces on which the data of one statement are sized; a box of a hundred dimensions has two hundred, all much alike."""


@dataclass(frozen=True)
class GivenValue:
    """The value of a field on a plane: which term says so, where, and the ranges over which it does."""

    term: str
    field: str
    coordinate: Symbol
    at: float
    value: Expr
    ranges: Mapping[Symbol, tuple[float, float]]


def given_values(terms: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds) -> Iterator[GivenValue]:
    """Yield every condition that gives the value of one field on a plane by coordinates alone."""
    slots = {f.func.__name__: f.args for f in fields}
    for term in terms:
        readings = evaluations(term.residual)
        if term.kind != "condition" or len(readings) != 1:
            continue
        (place, reading), *_ = readings.items()
        slope = term.residual.diff(place) if isinstance(place, AppliedUndef) else None
        if slope is None or any(reading.orders) or not slope.is_number or slope == 0:
            continue
        value = (
            -term.residual.xreplace({place: Integer(0)}) / slope
        )  # as written: expanding (2 x - 1)^64 loses all digits
        if not value.free_symbols <= set(bounds):
            continue
        inside = dict(term.region.bounds) if term.region is not None else {}
        if isinstance(term.region, Boundary):
            for face in (piece for piece in term.region.pieces if isinstance(piece, Face)):
                ranges = {c: face.bounds.get(c, bounds[c]) for c in slots[reading.field] if c != face.coordinate}
                yield GivenValue(term.name, reading.field, face.coordinate, face.value, value, ranges)
            continue
        pinned = [(c, float(a)) for c, a in zip(slots[reading.field], reading.location, strict=True) if a.is_number]
        if len(pinned) == 1:
            (coordinate, at), *_ = pinned
            ranges = {c: inside.get(c, bounds[c]) for c in slots[reading.field] if c != coordinate}
            yield GivenValue(term.name, reading.field, coordinate, at, value, ranges)


def check_corners(terms: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds, *, domain: Shape) -> None:
    """Raise when two conditions give a field different values where their planes meet, or a value is not a real number.

    Raises:
        ProblemError: Names both conditions, the corner and the two values; or the condition and a place.
    """
    given = list(given_values(terms, fields, bounds))
    sizes: dict[str, float] = {}
    faces = Counter[tuple[str, Expr]]()
    for value in given:
        faces[value.term, value.value] += 1
        if faces[value.term, value.value] <= _MOST_FACES:
            sizes[value.field] = max(sizes.get(value.field, 0.0), _size(value))
    for first, second in itertools.combinations(given, 2):
        if first.field != second.field or first.value == second.value:
            continue
        if first.coordinate == second.coordinate:
            meet = _overlap(first, second, bounds)
        else:
            meet = _reaches(first, second) and _reaches(second, first)
        for corner in _corner_points(first, second) if meet else ():
            if not lies_in(domain, {c: np.array([v]) for c, v in corner.items()})[0]:
                continue
            one, other = (_number(v.value, corner) for v in (first, second))
            if one is None or other is None:
                continue
            if abs(one - other) > AGREEMENT * max(sizes[first.field], abs(one), abs(other)):
                raise ProblemError(
                    f"{first.term}, {second.term}",
                    f"at {', '.join(f'{c} = {v:g}' for c, v in corner.items())} the first says "
                    f"{first.field} = {one:.6g}, the second {other:.6g}",
                    "make them agree there, or leave the corner out of one: "
                    f"ps.on(ps.Interval({second.coordinate}, low, high), Eq(...)) with a range that stops short of it",
                )


def _reaches(value: GivenValue, other: GivenValue) -> bool:
    low, high = value.ranges[other.coordinate]
    slack = ROUNDING * (high - low)
    return low - slack <= other.at <= high + slack


def _overlap(first: GivenValue, second: GivenValue, bounds: Bounds) -> bool:
    """Return whether two values are given on one plane, over more than a common edge."""
    low, high = bounds[first.coordinate]
    shared = [(max(a[0], b[0]), min(a[1], b[1])) for c, a in first.ranges.items() for b in [second.ranges[c]]]
    return abs(first.at - second.at) <= ROUNDING * (high - low) and all(a < b for a, b in shared)


def _corner_points(first: GivenValue, second: GivenValue) -> Iterator[dict[Symbol, float]]:
    corner = {first.coordinate: first.at, second.coordinate: second.at}
    shared = {
        c: (max(ends[0], second.ranges[c][0]), min(ends[1], second.ranges[c][1]))
        for c, ends in first.ranges.items()
        if c in second.ranges
    }
    for fraction in (0.0, 0.31, 0.5, 0.77, 1.0) if shared else (0.0,):
        yield corner | {c: low + fraction * (high - low) for c, (low, high) in shared.items()}


def _number(value: Expr, place: Mapping[Symbol, float]) -> float | None:
    simple = not value.has(Integral, Derivative, Subs)  # none of whose symbols are bound
    number = (value.xreplace({c: Float(v) for c, v in place.items()}) if simple else value.subs(place)).evalf()
    return float(number) if number.is_real and np.isfinite(float(number)) else None


def _size(value: GivenValue) -> float:
    """The largest magnitude of a condition's data on a diagonal of its plane, dense enough to meet a localised pulse."""
    sizes = [0.0]
    for fraction in np.linspace(0, 1, 41) if value.value.free_symbols else (0.5,):
        place = {c: float(low + fraction * (high - low)) for c, (low, high) in value.ranges.items()}
        number = _number(value.value, place | {value.coordinate: value.at})
        if number is None and 0 < fraction < 1:  # a singularity at an end, such as 1/x, is met by no point
            shown = ", ".join(f"{c} = {v:g}" for c, v in place.items() if c in value.value.free_symbols)
            raise ProblemError(
                value.term,
                f"{value.value} is not a finite real number at {shown or 'any point'}",
                "give data that are real and finite in the whole range",
            )
        sizes.append(abs(number) if number is not None else 0.0)
    return max(sizes)
