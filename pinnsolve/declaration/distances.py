"""Functions that vanish on the boundary of a region of any shape, and on it alone: factors for conditions met exactly.

Where no curve or plane that carries a piece of the boundary passes through the region, as for a disk, a convex polygon or a box
with round holes, the product of their equations is such a function, a polynomial. Else R-functions combine the equations as the
region was combined (Rvachev 1963; Shapiro, Theory of R-functions and applications, 1991):

    a and b:  a + b - sqrt(a^2 + b^2)        a or b:  a + b + sqrt(a^2 + b^2)        not a:  -a

which is positive inside, zero on the boundary, equal to the distance to first order there, and smooth but where both are zero: at
corners, where second derivatives grow without bound (Sukumar and Srivastava, Computer Methods in Applied Mechanics and Engineering
389, 2022, section 4). Nothing is rounded off, so that the conditions hold to rounding; a term has no point at a corner itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from sympy import Add, Dummy, Expr, Float, Integer, Mul, lambdify, sqrt
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.coverage import Stretch, stretches
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.balls import Ball
from pinnsolve.domains.combinations import Combination
from pinnsolve.domains.halfspaces import HalfSpace
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Face, Facet, Piece, Sphere
from pinnsolve.domains.polygons import Polygon, Ring, area, is_convex, pockets
from pinnsolve.domains.regions import Array, Boundary, Box
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Product, Shape, factors_of
from pinnsolve.domains.surfaces import Surface
from pinnsolve.errors import UnsupportedError

_PLACES = 4096
"""Points of a region at which a function must have one sign."""

_ZERO = 1e-9
"""A value below this, relative to the greatest in the region, is none."""


@dataclass(frozen=True)
class Enclosure:
    """Values given on all the boundary of a factor of a domain, as a function of the whole: u = values + factor N.

    Args:
        terms: The conditions that give them.
        values: Equal to what is given, on the boundary.
        factor: Zero there.
        smooth: Whether the factor is a polynomial.
    """

    terms: frozenset[str]
    values: Expr
    factor: Expr
    smooth: bool


def approximate_distance(region: Shape) -> Expr:
    """Return a function that is positive inside, zero on the boundary with slope one, and negative outside.

    Raises:
        UnsupportedError: A region of another kind.
    """
    if isinstance(region, Ball):
        square = Add(*((c - _number(x)) ** 2 for c, x in region.centre.items()))
        return (_number(region.radius) ** 2 - square) / (2 * _number(region.radius))
    if isinstance(region, Box):
        return reduce(
            _both, ((c - _number(a)) * (_number(b) - c) / _number(b - a) for c, (a, b) in region.bounds.items())
        )
    if isinstance(region, HalfSpace):
        return _number(region.offset) - Add(
            *(_number(s) * c for c, s in zip(region.coordinates, region.outward, strict=True))
        )
    if isinstance(region, Polygon):
        return reduce(_both, [_ring(region.vertices, region), *(-_ring(hole, region) for hole in region.holes)])
    if isinstance(region, Product):
        return reduce(_both, map(approximate_distance, region.factors))
    if isinstance(region, Combination):
        first, second = approximate_distance(region.first), approximate_distance(region.second)
        if region.kind == "union":
            return -_both(-first, -second)
        return _both(first, second if region.kind == "intersection" else -second)
    raise UnsupportedError("hard=True", f"no function that vanishes on the boundary of {region.text}", "leave hard out")


def find_enclosures(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape
) -> dict[AppliedUndef, Enclosure]:
    """Return for each field whose value is given on all of the boundary of the one factor that is no box, how to meet it.

    Args:
        terms: Every term.
        fields: The real fields.
        domain: The region.
    """
    curved = [factor for factor in factors_of(domain) if not isinstance(factor, Box)]
    if len(curved) != 1 or isinstance(curved[0], Mesh | Surface):  # no equation describes the boundary of a mesh
        return {}
    found = list(stretches(terms, fields, domain))
    enclosures = {}
    for field in fields:
        given = {t.name: value for t in terms if (value := _value(t, field, domain)) is not None}
        if given and all(s.covered_by(given) for s in found):
            enclosure = _enclosure(curved[0], found, given)
            if enclosure is not None:
                enclosures[field] = enclosure
    return enclosures


def given_value(term: Term) -> tuple[AppliedUndef, Expr] | None:
    """Return the field and the value that a condition gives it, where it gives the value of one field."""
    readings = list(evaluations(term.residual).items())
    if term.kind != "condition" or len(readings) != 1 or any(readings[0][1].orders):
        return None
    place, stand_in = readings[0][0], Dummy()
    opened = term.residual.xreplace({place: stand_in})
    slope = opened.diff(stand_in)
    if not isinstance(place, AppliedUndef) or not slope.is_number or slope == 0:
        return None
    return place, -opened.subs(stand_in, 0) / slope


def _value(term: Term, field: AppliedUndef, domain: Shape) -> Expr | None:
    found = given_value(term) if isinstance(term.region, Boundary) else None
    if found is None or found[0] != field or not found[1].free_symbols <= set(domain.coordinates):
        return None
    return found[1]


def _enclosure(factor: Shape, found: Sequence[Stretch], given: Mapping[str, Expr]) -> Enclosure | None:
    """Return the one value with a factor that vanishes, or several values on parts that do not touch, joined."""
    names = frozenset(given)
    groups: dict[Expr, list[Piece]] = {}
    for stretch in found:
        for name in stretch.names:
            if name in given:
                groups.setdefault(given[name].expand(), []).append(stretch.piece)
    inside = draw(factor, _PLACES).coordinates
    factors = {value: _carriers(pieces, factor, inside) for value, pieces in groups.items()}
    if len(groups) == 1:
        ((value, product),) = factors.items()
        smooth = product is not None
        whole = product if product is not None else approximate_distance(factor)
        return Enclosure(names, value, _scaled(whole, factor, inside), smooth)
    shared = [piece for k, pieces in enumerate(groups.values()) for piece in pieces if _in_others(piece, groups, k)]
    if shared or any(product is None for product in factors.values()):
        return None
    scaled = {value: _scaled(p, factor, inside) for value, p in factors.items() if p is not None}
    weights = {value: Mul(*(p for other, p in scaled.items() if other != value)) for value in scaled}
    walls = draw(factor.boundary, _PLACES).coordinates
    total = Add(*weights.values())
    if _values(total, factor, walls).min() <= 1e-3 * _values(total, factor, inside).max():
        return None  # parts that touch: the values between them would have a singular point at the corner
    values = Add(*(value * weight for value, weight in weights.items())) / total
    return Enclosure(names, values, Mul(*scaled.values()), True)


def _in_others(piece: Piece, groups: Mapping[Expr, list[Piece]], number: int) -> bool:
    return any(piece in pieces for k, pieces in enumerate(groups.values()) if k != number)


def _carriers(pieces: Sequence[Piece], factor: Shape, inside: Array) -> Expr | None:
    """Return the product of the equations of what carries some pieces, or None where one changes its sign inside."""
    equations: list[Expr] = []
    for piece in pieces:
        equation = _equation(piece)
        values = _values(equation, factor, inside)
        size = np.abs(values).max()
        if values.min() > 0:
            equations.append(equation)
        elif values.max() < 0:
            equations.append(-equation)
        else:
            return None
        if np.abs(values).min() < _ZERO * size:
            return None
    return Mul(*dict.fromkeys(equations))


def _equation(piece: Piece) -> Expr:
    while isinstance(piece, Part | Wall):
        piece = piece.piece
    if isinstance(piece, Face):
        return piece.coordinate - _number(piece.value)
    if isinstance(piece, Facet):
        parts = zip(piece.coordinates, piece.corner, piece.outward, strict=True)
        return Add(*(_number(n) * (c - _number(x)) for c, x, n in parts))
    if isinstance(piece, Sphere):
        return approximate_distance(Ball(piece.centre, radius=piece.radius))
    raise UnsupportedError("hard=True", f"no equation of {piece.text}", "leave hard out")


def _scaled(expression: Expr, factor: Shape, inside: Array) -> Expr:
    """Return a positive function divided by its greatest value."""
    return expression / Float(f"{_values(expression, factor, inside).max():.3g}")


def _values(expression: Expr, factor: Shape, points: Array) -> Array:
    function = lambdify(factor.coordinates, expression, "numpy")
    return np.broadcast_to(np.asarray(function(*points.T), dtype=float), len(points))


def _ring(ring: Ring, polygon: Polygon) -> Expr:
    """Return the function of a polygon without holes: all of its sides if it is convex, else its hull without the pockets."""
    x, y = polygon.coordinates
    if is_convex(ring):
        turn = 1 if area(ring) > 0 else -1
        sides = []
        for (a, b), (c, d) in zip(ring, ring[1:] + ring[:1], strict=True):
            length = turn * float(np.hypot(c - a, d - b))
            sides.append(_number((c - a) / length) * (y - _number(b)) - _number((d - b) / length) * (x - _number(a)))
        return reduce(_both, sides)
    hull, rest = pockets(ring)
    return reduce(_both, [_ring(hull, polygon), *(-_ring(pocket, polygon) for pocket in rest)])


def _both(a: Expr, b: Expr) -> Expr:
    return a + b - sqrt(a**2 + b**2)


def _number(value: float) -> Expr:
    return Integer(int(value)) if float(value).is_integer() else Float(value)
