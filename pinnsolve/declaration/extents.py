"""Extents: where a term holds, in words."""

from __future__ import annotations

from sympy import Symbol

from pinnsolve.declaration.places import region_of
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.regions import Boundary, Box, Face
from pinnsolve.domains.shapes import Shape, factors_of
from pinnsolve.problem import Problem


def place(term: Term, problem: Problem) -> str:
    """Return where a term holds, such as `x = -1, 0 <= t <= 1`."""
    if term.columns:
        return f"at {len(next(iter(term.columns.values())))} measured points"
    parts = []
    ranges = dict(problem.bounds)
    on_boundary = isinstance(term.region, Boundary)
    if term.region is not None:
        parts += [f"on {term.region.text}"] if on_boundary else []
        ranges |= term.region.bounds
    pinned = _pinned(term, problem)
    parts += [
        f"{c} = {' and '.join(number(v) for v in values)}{problem.units.suffix(c.name)}" for c, values in pinned.items()
    ]
    region = region_of(term, problem.domain, problem.fields)
    for factor in factors_of(region) if isinstance(region, Shape) and not on_boundary else ():
        if not isinstance(factor, Box):
            parts.append(f"in {factor.text}")
            ranges = {c: ends for c, ends in ranges.items() if c not in factor.coordinates}
    if isinstance(term.region, Boundary) and not all(isinstance(piece, Face) for piece in term.region.pieces):
        ranges = {c: ends for c, ends in ranges.items() if c not in term.region.coordinates}
    for coordinate in (c for c in term.free if c in ranges):
        low, high = ranges[coordinate]
        if low < high:
            parts.append(f"{number(low)} <= {coordinate} <= {number(high)}{problem.units.suffix(coordinate.name)}")
    text = ", ".join(parts)
    reads_normal = on_boundary and term.residual.free_symbols & set(problem.normal)
    return f"{text} (n is the outward normal)" if reads_normal else text or "everywhere"


def number(value: float) -> str:
    """Return a number with at most six digits."""
    return f"{value:.6g}"


def _pinned(term: Term, problem: Problem) -> dict[Symbol, list[float]]:
    slots = {f.func.__name__: f.args for f in problem.fields}
    found: dict[Symbol, list[float]] = {}
    for reading in evaluations(term.residual).values():
        for coordinate, argument in zip(slots[reading.field], reading.location, strict=True):
            if argument.is_number and coordinate not in term.free:
                values = found.setdefault(coordinate, [])
                if float(argument) not in values:
                    values.append(float(argument))
    return {c: sorted(v) for c, v in found.items()}
