"""Meetings: where conditions on boundaries of any shape meet each other, or an initial state, and must agree.

Values on two pieces of a boundary meet at the ends of these, the vertices of a polygon; a value on a wall meets an initial state
all along the wall. `corners` does the same for the faces of boxes, where it knows the corners themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Expr, Symbol, lambdify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.corners import AGREEMENT
from pinnsolve.declaration.distances import given_value
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.pieces import Face, Facet
from pinnsolve.domains.regions import Array, Boundary, Box
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape, lies_in
from pinnsolve.errors import ProblemError

_ALONG = 64
"""Points along a wall, and as many values of the coordinates that it leaves free."""


@dataclass(frozen=True)
class _Given:
    """The value of a field on a boundary, or where some coordinates are pinned."""

    term: Term
    field: str
    value: Expr
    pinned: Mapping[Symbol, float]


def check_meetings(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> None:
    """Raise when two conditions give a field different values where they meet on a boundary that is not a box's.

    Raises:
        ProblemError: Names both conditions, the place and the two values.
    """
    if isinstance(domain, Box):
        return
    given = list(_given(terms, fields, domain))
    sample = draw(domain, _ALONG).coordinates if given else np.zeros((0, len(domain.coordinates)))
    for first, second in itertools.combinations(given, 2):
        if first.field != second.field or first.value == second.value:
            continue
        points = _common(first, second, domain)
        if points is None or not len(points):
            continue
        one, other = (_values(g.value, domain, points) for g in (first, second))
        around = np.concatenate([one, other, *(_values(g.value, domain, sample) for g in (first, second))])
        size = float(np.max(np.abs(around[np.isfinite(around)]), initial=0.0))
        apart = np.abs(one - other) > AGREEMENT * size
        if apart.any():
            worst = int(np.nanargmax(np.where(apart, np.abs(one - other), 0.0)))
            place = ", ".join(f"{c} = {v:.6g}" for c, v in zip(domain.coordinates, points[worst], strict=True))
            raise ProblemError(
                f"{first.term.name}, {second.term.name}",
                f"at {place} the first says {first.field} = {one[worst]:.6g}, the second {other[worst]:.6g}",
                "make them agree there, or let one stop short of the other by ps.on(region, Eq(...))",
            )


def _given(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> Iterator[_Given]:
    slots = {f.func.__name__: f.args for f in fields}
    for term in terms:
        found = given_value(term)
        if found is None or not found[1].free_symbols <= set(domain.coordinates):
            continue
        (reading,) = evaluations(term.residual).values()
        pairs = zip(slots[reading.field], reading.location, strict=True)
        pinned = {c: float(a) for c, a in pairs if a.is_number}
        if isinstance(term.region, Boundary) or (pinned and term.region is None):
            yield _Given(term, reading.field, found[1], pinned)


def _common(first: _Given, second: _Given, domain: Shape) -> Array | None:
    """Return places (points, coordinates) at which both conditions stand."""
    walls = [g for g in (first, second) if isinstance(g.term.region, Boundary)]
    if not walls:
        return None  # two planes: looked at as corners of boxes are
    if len(walls) == 1:
        region, pinned = walls[0].term.region, {**first.pinned, **second.pinned}
        if region is None or set(pinned) & set(region.coordinates):
            return None
        drawn = draw(region, _ALONG).coordinates
    else:
        ends = [_ends(g.term.region) for g in walls if isinstance(g.term.region, Boundary)]
        region, pinned = walls[0].term.region, {}
        if region is None or region.coordinates != getattr(walls[1].term.region, "coordinates", None):
            return None
        drawn = np.concatenate(ends)
    points = _spread(dict(zip(region.coordinates, drawn.T, strict=True)), pinned, len(drawn), domain)
    stands = np.ones(len(points), dtype=bool)
    for wall in walls:
        if isinstance(wall.term.region, Boundary):
            columns = [domain.coordinates.index(c) for c in wall.term.region.coordinates]
            stands &= wall.term.region.contains(points[:, columns])
    stands &= lies_in(domain, dict(zip(domain.coordinates, points.T, strict=True)))
    return points[stands]


def _spread(known: Mapping[Symbol, Array], pinned: Mapping[Symbol, float], count: int, domain: Shape) -> Array:
    """Complete points by pinned values and, for the other coordinates, values all over their ranges."""
    generator = np.random.default_rng(0)
    columns = []
    for c, (low, high) in domain.bounds.items():
        if c in known:
            columns.append(known[c])
        else:
            columns.append(np.full(count, pinned[c]) if c in pinned else generator.uniform(low, high, count))
    return np.stack(columns, axis=1) if count else np.zeros((0, len(domain.bounds)))


def _ends(boundary: Boundary) -> Array:
    """Return the ends of the pieces of a boundary in the plane, and all corners of facets; parts are cut where nobody knows."""
    found = [np.zeros((0, len(boundary.coordinates)))]
    for piece in boundary.pieces:
        if isinstance(piece, Face | Facet) and piece.dimension == 1:
            points = piece.image(np.array([[0.0], [1.0]])).points
            found.append(points[:, [piece.coordinates.index(c) for c in boundary.coordinates]])
        elif isinstance(piece, Facets):
            found.append(np.unique(piece.corners.reshape(-1, len(boundary.coordinates)), axis=0))
    return np.concatenate(found)


def _values(value: Expr, domain: Shape, points: Array) -> Array:
    with np.errstate(all="ignore"):
        found = np.asarray(lambdify(domain.coordinates, value, "scipy")(*points.T), dtype=float)
    return np.broadcast_to(found, len(points))
