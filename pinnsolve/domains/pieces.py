"""Pieces: what boundaries are made of. Faces of boxes, flat facets and spheres.

A piece is the image of a unit cube of one dimension less than its coordinates, with the outward normal at every point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sympy import Symbol

from pinnsolve.domains.images import ROUNDING, Array, Bounds, Image, Mapped, Mask, unit_sphere


class Piece(Mapped, Protocol):
    """A part of a boundary; it lists its own coordinates in its own order."""

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in order."""

    @property
    def hull(self) -> Bounds:
        """A box around the piece; a coordinate that is held has the same number twice."""

    @property
    def measure(self) -> float:
        """Length or area; 1 for a point."""

    @property
    def extent(self) -> float:
        """Measure of the image of the unit cube, with what is rejected."""

    @property
    def text(self) -> str:
        """The piece in words."""

    def holds(self, points: Array, scale: float) -> Mask:
        """Return for each row of points whether it lies on the piece, to rounding relative to a length."""

    def distance(self, points: Array) -> Array:
        """Return the distance of points to the piece."""

    def normals_at(self, points: Array) -> Array:
        """Return the outward normal (points, coordinates) at points on the piece."""


@dataclass(frozen=True)
class Face:
    """One face of a box: a coordinate held at an end, the outward direction, and the ranges of the others."""

    coordinate: Symbol
    value: float
    outward: int
    bounds: Mapping[Symbol, tuple[float, float]]

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The held coordinate first."""
        return (self.coordinate, *self.bounds)

    @property
    def hull(self) -> Bounds:
        """The ranges, and the value held twice."""
        return {self.coordinate: (self.value, self.value), **self.bounds}

    @property
    def measure(self) -> float:
        """Length, area or volume of the face; 1 for a point."""
        return math.prod(high - low for low, high in self.bounds.values())

    @property
    def extent(self) -> float:
        """The measure: nothing is rejected."""
        return self.measure

    @property
    def fraction(self) -> float:
        """All of it."""
        return 1.0

    @property
    def dimension(self) -> int:
        """The number of coordinates that range."""
        return len(self.bounds)

    @property
    def text(self) -> str:
        """The equation of the plane, `x = 0`."""
        return f"{self.coordinate} = {self.value:.6g}"

    def image(self, cube: Array) -> Image:
        """Scale the cube to the ranges."""
        points = np.full((len(cube), len(self.bounds) + 1), self.value)
        if self.bounds:
            low, high = np.array(list(self.bounds.values())).T
            points[:, 1:] = low + (high - low) * cube
        return Image(points, np.ones(len(cube), dtype=bool), self.normals_at(points))

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on the face."""
        low, high = np.array(list(self.hull.values())).T
        # The range of the held coordinate is not known here: rounding is measured by its value and a length of the boundary.
        slack = ROUNDING * np.where(high > low, high - low, np.maximum(np.abs(high), scale))
        return np.asarray(((points >= low - slack) & (points <= high + slack)).all(axis=1))

    def distance(self, points: Array) -> Array:
        """Return the distance to the face."""
        low, high = np.array(list(self.hull.values())).T
        return np.asarray(np.linalg.norm(points - np.clip(points, low, high), axis=1))

    def normals_at(self, points: Array) -> Array:
        """Return the outward direction."""
        normals = np.zeros_like(points, dtype=float)
        normals[:, 0] = self.outward
        return normals


@dataclass(frozen=True)
class Facet:
    """A flat piece anywhere in space: a corner and orthogonal edges that span it. In the plane, an edge."""

    coordinates: tuple[Symbol, ...]
    corner: tuple[float, ...]
    edges: tuple[tuple[float, ...], ...]
    outward: tuple[float, ...]

    @property
    def hull(self) -> Bounds:
        """The smallest box around it."""
        ends = [[(min(0.0, e[k]), max(0.0, e[k])) for e in self.edges] for k in range(len(self.corner))]
        return {
            c: (x + sum(low for low, _ in reach), x + sum(high for _, high in reach))
            for c, x, reach in zip(self.coordinates, self.corner, ends, strict=True)
        }

    @property
    def measure(self) -> float:
        """The product of the lengths of its edges."""
        return math.prod(math.hypot(*edge) for edge in self.edges)

    @property
    def extent(self) -> float:
        """The measure: nothing is rejected."""
        return self.measure

    @property
    def fraction(self) -> float:
        """All of it."""
        return 1.0

    @property
    def dimension(self) -> int:
        """The number of edges."""
        return len(self.edges)

    @property
    def text(self) -> str:
        """Its ends in the plane, its normal in space."""
        if len(self.edges) != 1:
            return f"the plane through {place_text(self.corner)} with the normal {place_text(self.outward)}"
        end = [x + d for x, d in zip(self.corner, self.edges[0], strict=True)]
        return f"the edge from {place_text(self.corner)} to {place_text(end)}"

    def image(self, cube: Array) -> Image:
        """Combine the edges."""
        points = np.array(self.corner) + cube @ np.array(self.edges)
        return Image(points, np.ones(len(cube), dtype=bool), self.normals_at(points))

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on it."""
        return np.asarray(self.distance(points) <= slack(self.hull, scale))

    def distance(self, points: Array) -> Array:
        """Return the distance to it."""
        edges, offset = np.array(self.edges), points - np.array(self.corner)
        shares = np.clip(offset @ edges.T / (edges**2).sum(axis=1), 0.0, 1.0)
        return np.asarray(np.linalg.norm(offset - shares @ edges, axis=1))

    def normals_at(self, points: Array) -> Array:
        """Return the one normal."""
        return np.tile(np.array(self.outward), (len(points), 1))


@dataclass(frozen=True)
class Sphere:
    """The boundary of a ball, a circle in the plane."""

    centre: Mapping[Symbol, float]
    radius: float

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those of the centre."""
        return tuple(self.centre)

    @property
    def hull(self) -> Bounds:
        """The smallest box around it."""
        return {c: (x - self.radius, x + self.radius) for c, x in self.centre.items()}

    @property
    def measure(self) -> float:
        """2 pi^(n/2) r^(n-1) / Gamma(n/2)."""
        half = len(self.centre) / 2
        return 2 * math.pi**half * self.radius ** (len(self.centre) - 1) / math.gamma(half)

    @property
    def extent(self) -> float:
        """The measure: nothing is rejected."""
        return self.measure

    @property
    def fraction(self) -> float:
        """All of it."""
        return 1.0

    @property
    def dimension(self) -> int:
        """One less than that of space."""
        return len(self.centre) - 1

    @property
    def text(self) -> str:
        """Radius and centre."""
        word = "circle" if len(self.centre) == 2 else "sphere"
        return f"the {word} of radius {self.radius:.6g} about {place_text(self.centre.values())}"

    def image(self, cube: Array) -> Image:
        """Map the cube onto the sphere, area to area."""
        normals = unit_sphere(cube)
        points = np.array(list(self.centre.values())) + self.radius * normals
        return Image(points, np.ones(len(cube), dtype=bool), normals)

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on it."""
        return np.asarray(self.distance(points) <= slack(self.hull, scale))

    def distance(self, points: Array) -> Array:
        """Return the distance to it."""
        offset = points - np.array(list(self.centre.values()))
        return np.asarray(np.abs(np.linalg.norm(offset, axis=1) - self.radius))

    def normals_at(self, points: Array) -> Array:
        """Return the radial direction; at the centre, where there is none, the first axis."""
        offset = points - np.array(list(self.centre.values()))
        length = np.linalg.norm(offset, axis=1, keepdims=True)
        first = np.eye(1, len(self.centre))
        return np.where(length > 0, offset / np.where(length > 0, length, 1.0), first)


def slack(bounds: Bounds, scale: float) -> float:
    """Return the distance that counts as none: relative to a length, and to the size of the numbers themselves."""
    longest = max(high - low for low, high in bounds.values())
    largest = max(max(abs(low), abs(high)) for low, high in bounds.values())
    return ROUNDING * max(scale, longest) + 8 * np.finfo(float).eps * largest


def place_text(values: Iterable[float]) -> str:
    """Return a point in words, `(0, 1)`."""
    return f"({', '.join(f'{v:.6g}' for v in values)})"
