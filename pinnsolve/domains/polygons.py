"""Polygons, with holes.

A point is inside where a ray from it crosses the sides an odd number of times; its distance is that to the nearest side. The
area is half the sum of cross products of successive vertices (the shoelace formula).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array, Bounds, Image, Mask
from pinnsolve.domains.pieces import Facet, place_text
from pinnsolve.domains.reading import read_coordinate, read_finite, refuse_twins
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError

Vertex = tuple[float, float]
Ring = tuple[Vertex, ...]

_TOUCHING = 1e-12
"""Sides closer than this, relative to the size, touch."""


@dataclass(frozen=True)
class Polygon(Shape):
    """A polygon, `Polygon([(0, 0), (2, 0), (0, 1)], coordinates=(x, y))`, its vertices in either direction.

    Args:
        vertices: At least three points; the last is joined to the first.
        coordinates: The two coordinates.
        holes: Vertices of polygons inside that are left out.

    Raises:
        ProblemError: Too few vertices, sides that cross or touch, or holes that are not inside.

    Example:
        >>> triangle = ps.Polygon([(0, 0), (2, 0), (0, 1)], coordinates=(x, y))
        >>> triangle.measure, triangle.side(0).measure
        (1.0, 2.0)
    """

    vertices: Ring
    coordinates: tuple[Symbol, ...]
    holes: tuple[Ring, ...] = ()

    def __init__(self, vertices: Sequence[Any], *, coordinates: Sequence[Symbol], holes: Sequence[Any] = ()) -> None:
        if not isinstance(coordinates, tuple | list) or len(coordinates) != 2:
            raise ProblemError("Polygon", f"coordinates={coordinates!r}", "write coordinates=(x, y)")
        symbols = tuple(read_coordinate("Polygon", c) for c in coordinates)
        refuse_twins(symbols)
        object.__setattr__(self, "coordinates", symbols)
        object.__setattr__(self, "vertices", _ring("Polygon", vertices))
        if not isinstance(holes, tuple | list):
            raise ProblemError("Polygon", f"holes={holes!r}", "write holes=[[(1, 1), (2, 1), (1, 2)]]")
        object.__setattr__(self, "holes", tuple(_ring(f"Polygon, hole {k}", hole) for k, hole in enumerate(holes)))
        _refuse_crossings(self._starts, self._ends, self._next)
        for k, hole in enumerate(self.holes):
            others = [other for other in self.holes if other is not hole]
            if not _odd(np.array(hole), [self.vertices]).all() or _odd(np.array(hole), others).any():
                found = f"hole {k}, {_shown(hole)}, is not inside the polygon and outside the other holes"
                raise ProblemError("Polygon", found, "move the hole, or combine regions by `-`")

    @property
    def bounds(self) -> Bounds:
        """The smallest box around it."""
        low, high = np.min(self.vertices, axis=0), np.max(self.vertices, axis=0)
        return {c: (float(a), float(b)) for c, a, b in zip(self.coordinates, low, high, strict=True)}

    @property
    def text(self) -> str:
        """The vertices, if there are few."""
        holes = f" with {len(self.holes)} {'hole' if len(self.holes) == 1 else 'holes'}" if self.holes else ""
        return f"the polygon {_shown(self.vertices)}{holes}"

    @property
    def extent(self) -> float:
        """That of the box around it."""
        return math.prod(high - low for low, high in self.bounds.values())

    @cached_property
    def fraction(self) -> float:
        """The exact area, over that of the box around it."""
        return (abs(area(self.vertices)) - sum(abs(area(hole)) for hole in self.holes)) / self.extent

    @cached_property
    def boundary(self) -> Boundary:
        """All sides, those of holes too."""
        return self._sides(range(len(self._starts)))

    def side(self, number: int) -> Boundary:
        """Return the side from a vertex to the next, counted from 0 as written.

        Raises:
            ProblemError: There is no such vertex.
        """
        if not isinstance(number, int) or not 0 <= number < len(self.vertices):
            found = f"the polygon has the sides 0 to {len(self.vertices) - 1}"
            raise ProblemError(f"side({number!r})", found, "name one of them")
        return self._sides([number])

    def hole(self, number: int) -> Boundary:
        """Return the sides of a hole, counted from 0 as written.

        Raises:
            ProblemError: There is no such hole.
        """
        if not isinstance(number, int) or not 0 <= number < len(self.holes):
            raise ProblemError(f"hole({number!r})", f"the polygon has {len(self.holes)} holes", "name one, from 0 on")
        first = len(self.vertices) + sum(len(hole) for hole in self.holes[:number])
        return self._sides(range(first, first + len(self.holes[number])))

    def image(self, cube: Array) -> Image:
        """Scale the cube to the box around it."""
        low, high = np.array(list(self.bounds.values())).T
        points = low + (high - low) * cube
        return Image(points, _odd(points, [self.vertices, *self.holes]))

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the nearest side, negative inside."""
        squares = np.full(len(points), np.inf)
        for start, edge in zip(
            self._starts, self._ends - self._starts, strict=True
        ):  # one side at a time fits the cache
            x, y = points.T - start[:, None]
            share = np.clip((x * edge[0] + y * edge[1]) / (edge @ edge), 0.0, 1.0)
            np.minimum(squares, (x - share * edge[0]) ** 2 + (y - share * edge[1]) ** 2, out=squares)
        distances = np.sqrt(squares)
        return np.where(_odd(points, [self.vertices, *self.holes]), -distances, distances)

    def _sides(self, numbers: Sequence[int]) -> Boundary:
        pieces = []
        for k in numbers:
            start, edge = self._starts[k], self._ends[k] - self._starts[k]
            outward = self._turns[k] * np.array([edge[1], -edge[0]]) / np.hypot(*edge)
            corner, along = tuple(start.tolist()), tuple(edge.tolist())
            pieces.append(Facet(self.coordinates, corner, (along,), tuple(outward.tolist())))
        return Boundary(tuple(pieces), self.coordinates)

    @cached_property
    def _starts(self) -> Array:
        return np.array([vertex for ring in (self.vertices, *self.holes) for vertex in ring])

    @cached_property
    def _ends(self) -> Array:
        return self._starts[self._next]

    @cached_property
    def _next(self) -> np.ndarray:
        """Which side follows each."""
        numbers, first = [], 0
        for ring in (self.vertices, *self.holes):
            numbers += [first + (k + 1) % len(ring) for k in range(len(ring))]
            first += len(ring)
        return np.array(numbers)

    @cached_property
    def _turns(self) -> Array:
        """The sign by which the normal to the right of each side points out of the region."""
        rings = [(self.vertices, 1.0), *((hole, -1.0) for hole in self.holes)]
        return np.concatenate([np.full(len(ring), sign * np.sign(area(ring))) for ring, sign in rings])


def area(ring: Ring) -> float:
    """Return the area, positive where the vertices run against the clock."""
    x, y = np.array(ring).T
    x, y = x - x[0], y - y[0]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def is_convex(ring: Ring) -> bool:
    """Return whether no vertex is re-entrant."""
    corners = np.array(ring)
    turns = _turn(np.roll(corners, 1, axis=0), corners, np.roll(corners, -1, axis=0)) * np.sign(area(ring))
    return bool((turns >= -_TOUCHING * np.ptp(corners, axis=0).max() ** 2).all())


def pockets(ring: Ring) -> tuple[Ring, list[Ring]]:
    """Return the convex hull of a polygon and what lies between them: polygons, each closed by a side of the hull."""
    corners = np.array(ring)
    on_hull = sorted(ConvexHull(corners).vertices.tolist())
    between: list[Ring] = []
    for first, last in zip(on_hull, [*on_hull[1:], on_hull[0] + len(ring)], strict=True):
        chain = tuple(ring[k % len(ring)] for k in range(first, last + 1))
        if len(chain) > 2 and abs(area(chain)) > _TOUCHING * np.ptp(corners, axis=0).max() ** 2:
            between.append(chain)
    return tuple(ring[k] for k in on_hull), between


def _ring(where: str, vertices: Any) -> Ring:
    example = "write Polygon([(0, 0), (2, 0), (0, 1)], coordinates=(x, y))"
    try:
        pairs = [tuple(vertex) for vertex in vertices]
    except TypeError:
        pairs = []
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise ProblemError(
            where, f"the vertices {vertices!r}"[:200], f"give at least three pairs of numbers; {example}"
        )
    a, b = ([read_finite(where, "the vertex", pair[k]) for pair in pairs] for k in (0, 1))
    ring = tuple(zip(a, b, strict=True))
    size = max(np.ptp(a), np.ptp(b))
    for k, (one, other) in enumerate(zip(ring, ring[1:] + ring[:1], strict=True)):
        if math.dist(one, other) <= _TOUCHING * size:
            found = f"the vertices {k} and {(k + 1) % len(ring)} are both {place_text(one)}"
            raise ProblemError(where, found, "name every vertex once; the last is joined to the first by itself")
    if abs(area(ring)) <= _TOUCHING * size**2:
        raise ProblemError(where, f"{_shown(ring)} has no area", "give vertices that do not lie on one line")
    return ring


def _odd(points: Array, rings: Sequence[Ring]) -> Mask:
    """Return for each point whether a ray to the right crosses an odd number of sides."""
    x, y = points.T
    odd = np.zeros(len(points), dtype=bool)
    for ring in rings:
        for (a, b), (c, d) in zip(ring, ring[1:] + ring[:1], strict=True):
            across = (b > y) != (d > y)
            if across.any():
                odd[across] ^= x[across] < a + (y[across] - b) / (d - b) * (c - a)
    return odd


def _refuse_crossings(starts: Array, ends: Array, following: np.ndarray) -> None:
    """Raise where two sides have more in common than one end of successive ones."""
    size = float(np.ptp(starts, axis=0).max())
    for k in range(len(starts)):
        others = np.arange(k + 1, len(starts))
        follows = (others == following[k]) | (following[others] == k)
        a, b, c, d = starts[k], ends[k], starts[others], ends[others]
        crossing = (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)
        near = [_gap(c, a, b), _gap(d, a, b), _gap(a, c, d), _gap(b, c, d)]
        touching = np.sum([gap <= _TOUCHING * size for gap in near], axis=0)
        # Successive sides share one end, which is near both; one more point, and they lie on each other.
        bad = (crossing & ~follows) | (touching > np.where(follows, 2, 0))
        if bad.any():
            other = others[int(np.argmax(bad))]
            sides = [f"{place_text(starts[j])} to {place_text(ends[j])}" for j in (k, other)]
            raise ProblemError(
                "Polygon",
                f"the sides from {sides[0]} and from {sides[1]} cross or touch",
                "list the vertices in the order in which they follow each other",
            )


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Return twice the area of a triangle, positive against the clock."""
    u, v = b - a, c - a
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def _gap(point: Array, start: Array, end: Array) -> Array:
    """Return the distance of a point to a side."""
    edge, offset = end - start, point - start
    share = np.clip((edge * offset).sum(axis=-1) / (edge**2).sum(axis=-1), 0.0, 1.0)
    return np.asarray(np.linalg.norm(offset - share[..., None] * edge, axis=-1))


def _shown(ring: Ring) -> str:
    return ", ".join(map(place_text, ring)) if len(ring) <= 8 else f"of {len(ring)} vertices"
