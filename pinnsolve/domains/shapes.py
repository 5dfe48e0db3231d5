"""Shapes: what all regions of full dimension can do, and their products.

A signed distance is negative inside. That of a product is exact where those of its factors are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Matrix, MatrixBase, Symbol

from pinnsolve.domains.boundaries import Boundary, refuse_common
from pinnsolve.domains.images import (
    ROUNDING,
    Array,
    Bounds,
    Image,
    Mask,
    PointSet,
    UnitPoints,
    kept_fraction,
    normal_symbol,
    spread,
)
from pinnsolve.domains.parts import times
from pinnsolve.domains.pieces import Piece
from pinnsolve.errors import ProblemError


class Shape(ABC):
    """A region of full dimension; those of the same coordinates combine by `|`, `&`, `-`, others multiply by `*`."""

    if TYPE_CHECKING:  # at run time a frozen dataclass gives some of them as fields

        @property
        def coordinates(self) -> tuple[Symbol, ...]:
            """The coordinates in order."""

        @property
        def bounds(self) -> Bounds:
            """A box around the region, the smallest where it is known."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The region in words."""

    @property
    @abstractmethod
    def extent(self) -> float:
        """Measure of the image of the unit cube, with what is rejected."""

    @property
    @abstractmethod
    def boundary(self) -> Boundary:
        """All of the boundary, with outward normals."""

    @abstractmethod
    def image(self, cube: Array) -> Image:
        """Return the images of points (points, dimension) of the unit cube."""

    @abstractmethod
    def signed_distance(self, points: Array) -> Array:
        """Return the distance of each row of points to the boundary, negative inside; for combined regions a lower bound of it."""

    @property
    def dimension(self) -> int:
        """The number of coordinates."""
        return len(self.coordinates)

    @cached_property
    def fraction(self) -> float:
        """The share of the image that is kept: an estimate, from the same points every time."""
        return kept_fraction(self)

    @property
    def measure(self) -> float:
        """Length, area or volume: exact where nothing is rejected, else an estimate, to about 1e-4 of what it is taken from."""
        return self.extent * self.fraction

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column; its entries mean something in terms on a boundary."""
        return Matrix([normal_symbol(c) for c in self.coordinates])

    @property
    def intervals(self) -> Bounds:
        """The coordinates that run over an interval of their own, whatever the others are."""
        return {}

    @property
    def size(self) -> float:
        """The longest extent, a length to which rounding is relative."""
        return max(high - low for low, high in self.bounds.values())

    def contains(self, points: Array) -> Mask:
        """Return for each row (points, coordinates) whether it is inside; points on the boundary, to rounding, are."""
        return self.inside(points, ROUNDING * self.size)

    def inside(self, points: Array, spare: float) -> Mask:
        """Return which points are inside, or outside by no more than a distance; a negative one asks for so much depth."""
        return np.asarray(self.signed_distance(points) <= spare)

    def beside(self, points: Array, displaced: Sequence[Array], spare: float) -> list[Mask]:
        """Return for each displacement which points are inside; it decides for those nearer a boundary than a distance."""
        distances = self.signed_distance(points)
        unsure = np.abs(distances) <= spare
        found = [distances < -spare for _ in displaced]
        for mask, moved in zip(found, displaced, strict=True):
            mask[unsure] = self.inside(moved[unsure], 0.0)
        return found

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return `count` points uniform by measure, made from points of the unit cube."""
        return PointSet(spread(self, unit, count).points, self.measure)

    def walls(self, around: Bounds) -> tuple[Piece, ...]:
        """Return all pieces of surface that the boundary of a combination within a box can consist of."""
        return self.boundary.pieces

    def complement(self) -> Shape | None:
        """Return all that is outside, where this is a region again."""
        return None

    def __or__(self, other: Shape) -> Shape:
        """Return the union."""
        return _combined("union", self, other)

    def __and__(self, other: Shape) -> Shape:
        """Return the intersection."""
        if isinstance(other, Boundary):
            return NotImplemented
        return _combined("intersection", self, other)

    def __sub__(self, other: Shape) -> Shape:
        """Return the difference; what of the other's boundary lies inside becomes boundary, with the normal turned."""
        outside = other.complement() if isinstance(other, Shape) else None
        return _combined("intersection", self, outside) if outside is not None else _combined("difference", self, other)

    def __mul__(self, other: Shape) -> Shape:
        """Return the product with a region of other coordinates, such as an interval of time."""
        return product(self, other) if isinstance(other, Shape) else NotImplemented


def product(*factors: Shape) -> Shape:
    """Return the product of regions of different coordinates."""
    flat: list[Shape] = []
    for factor in factors:
        refuse_common([c for f in flat for c in f.coordinates], factor.coordinates)
        flat += factor.factors if isinstance(factor, Product) else [factor]
    return Product(tuple(flat)) if len(flat) > 1 else flat[0]


def lies_in(region: Shape, columns: Mapping[Symbol, Array]) -> Mask:
    """Return which points are in a region, as far as some of its coordinates tell: of a factor with others, only the ranges."""
    inside = np.ones(len(next(iter(columns.values()))) if columns else 1, dtype=bool)
    for factor in factors_of(region):
        known = [c for c in factor.coordinates if c in columns]
        if len(known) == factor.dimension:
            inside &= factor.contains(np.stack([columns[c] for c in known], axis=1))
            continue
        for c in known:
            low, high = factor.bounds[c]
            spare = ROUNDING * (high - low)
            inside &= (columns[c] >= low - spare) & (columns[c] <= high + spare)
    return inside


def factors_of(region: Any) -> tuple[Any, ...]:
    """Return the factors of a product; of any other region itself."""
    return region.factors if isinstance(region, Product) else (region,)


@dataclass(frozen=True)
class Product(Shape):
    """A product of regions of different coordinates, `Disk({x: 0, y: 0}, radius=1) * Interval(t, 0, 1)`."""

    factors: tuple[Shape, ...]

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those of the factors, one after the other."""
        return tuple(c for factor in self.factors for c in factor.coordinates)

    @property
    def bounds(self) -> Bounds:
        """Those of the factors."""
        return {c: ends for factor in self.factors for c, ends in factor.bounds.items()}

    @property
    def intervals(self) -> Bounds:
        """Those of the factors."""
        return {c: ends for factor in self.factors for c, ends in factor.intervals.items()}

    @property
    def text(self) -> str:
        """The factors in words."""
        return ", times ".join(factor.text for factor in self.factors)

    @property
    def extent(self) -> float:
        """The product."""
        return math.prod(factor.extent for factor in self.factors)

    @cached_property
    def fraction(self) -> float:
        """The product."""
        return math.prod(factor.fraction for factor in self.factors)

    @property
    def boundary(self) -> Boundary:
        """The boundary of each factor times all others."""
        pieces: list[Piece] = []
        for factor in self.factors:
            others = [other for other in self.factors if other is not factor]
            pieces += (reduce(times, others, piece) for piece in factor.boundary.pieces)
        return Boundary(tuple(pieces), self.coordinates)

    def face(self, coordinate: Symbol, value: Any) -> Boundary:
        """Return the part of the boundary where a coordinate has one of its end values, `cylinder.face(z, 0)`.

        Raises:
            ProblemError: A coordinate without an interval of its own, or a value that is not one of its ends.
        """
        for factor in self.factors:
            if coordinate in factor.intervals and hasattr(factor, "face"):
                others = [other for other in self.factors if other is not factor]
                pieces = factor.face(coordinate, value).pieces
                return Boundary(tuple(reduce(times, others, piece) for piece in pieces), self.coordinates)
        found = f"{', '.join(map(str, self.intervals)) or 'no coordinate'} has an interval of its own"
        raise ProblemError(f"face({coordinate}, {value})", found, "name one of these, or use .boundary")

    def image(self, cube: Array) -> Image:
        """Divide the cube among the factors."""
        images = [factor.image(part) for factor, part in zip(self.factors, self._split(cube), strict=True)]
        kept = np.logical_and.reduce([image.kept for image in images])
        return Image(np.concatenate([image.points for image in images], axis=1), kept)

    def signed_distance(self, points: Array) -> Array:
        """Combine those of the factors as those of the sides of a box."""
        parts = [f.signed_distance(p) for f, p in zip(self.factors, self._split(points), strict=True)]
        distances = np.stack(parts)
        outside = np.linalg.norm(np.maximum(distances, 0.0), axis=0)
        return np.asarray(outside + np.minimum(distances.max(axis=0), 0.0))

    def contains(self, points: Array) -> Mask:
        """Ask every factor, each with its own rounding."""
        parts = zip(self.factors, self._split(points), strict=True)
        return np.logical_and.reduce([factor.contains(part) for factor, part in parts])

    def inside(self, points: Array, spare: float) -> Mask:
        """Ask every factor."""
        parts = zip(self.factors, self._split(points), strict=True)
        return np.logical_and.reduce([factor.inside(part, spare) for factor, part in parts])

    def beside(self, points: Array, displaced: Sequence[Array], spare: float) -> list[Mask]:
        """Ask every factor."""
        moved = zip(*map(self._split, displaced), strict=True)
        parts = zip(self.factors, self._split(points), moved, strict=True)
        masks = [factor.beside(here, there, spare) for factor, here, there in parts]
        return [np.logical_and.reduce(some) for some in zip(*masks, strict=True)]

    def _split(self, points: Array) -> Iterable[Array]:
        return np.split(points, np.cumsum([factor.dimension for factor in self.factors])[:-1], axis=1)


def _combined(kind: str, first: Shape, second: Any) -> Shape:
    from pinnsolve.domains.combinations import Combination  # which are shapes themselves

    return Combination(kind, first, second) if isinstance(second, Shape) else NotImplemented
