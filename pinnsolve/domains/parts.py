"""Walls and parts: pieces of boundaries made of other pieces, by a product with a region or by cutting.

Which part of a piece is boundary of a region that was combined from others is asked of that region, point by point: it is where the
region lies on exactly one side, and the normal points to the other. So boundaries that coincide are counted once or not at all,
as they should, without a case for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from sympy import Symbol

from pinnsolve.domains.images import ROUNDING, Array, Bounds, Image, Mask, Region, Solid, columns, kept_fraction
from pinnsolve.domains.pieces import Face, Piece

_ASIDE = 1e-5
"""How far to either side of a boundary a region is asked where another boundary runs along it, relative to its size."""


@dataclass(frozen=True)
class Wall:
    """A piece times a region of other coordinates: a side of a cylinder, a face that lasts for some time."""

    piece: Piece
    region: Solid

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those of the piece, then those of the region."""
        return (*self.piece.coordinates, *self.region.coordinates)

    @property
    def hull(self) -> Bounds:
        """Those of both."""
        return {**self.piece.hull, **self.region.bounds}

    @property
    def measure(self) -> float:
        """The product."""
        return self.piece.measure * self.region.measure

    @property
    def extent(self) -> float:
        """The product."""
        return self.piece.extent * self.region.extent

    @property
    def fraction(self) -> float:
        """The product."""
        return self.piece.fraction * self.region.fraction

    @property
    def dimension(self) -> int:
        """The sum."""
        return self.piece.dimension + self.region.dimension

    @property
    def text(self) -> str:
        """That of the piece."""
        return self.piece.text

    def image(self, cube: Array) -> Image:
        """Divide the cube between the two, so that points spread evenly in all dimensions together."""
        own = self.piece.image(cube[:, : self.piece.dimension])
        other = self.region.image(cube[:, self.piece.dimension :])
        points = np.concatenate([own.points, other.points], axis=1)
        return Image(points, own.kept & other.kept, self._widened(own.normals))

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on the piece and in the region."""
        own, other = self._split(points)
        return self.piece.holds(own, scale) & self.region.contains(other)

    def distance(self, points: Array) -> Array:
        """Return the distance to the piece, and far away outside the region."""
        own, other = self._split(points)
        return self.piece.distance(own) + np.where(self.region.contains(other), 0.0, self.region.size)

    def normals_at(self, points: Array) -> Array:
        """Return those of the piece; they have no component in the region's coordinates."""
        return self._widened(self.piece.normals_at(self._split(points)[0]))

    def _split(self, points: Array) -> tuple[Array, Array]:
        first = len(self.piece.coordinates)
        return points[:, :first], points[:, first:]

    def _widened(self, normals: Array | None) -> Array:
        known = np.zeros((0, len(self.piece.coordinates))) if normals is None else normals
        return np.concatenate([known, np.zeros((len(known), len(self.region.coordinates)))], axis=1)


@dataclass(frozen=True)
class Part:
    """A part of a piece: what is boundary of a region, inside some regions or boundaries, and not on some others.

    Points within rounding of its own ends belong to it or not by chance.
    """

    piece: Piece
    of: Solid | None = None
    within: tuple[Region, ...] = ()
    without: tuple[Region, ...] = ()

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those of the piece."""
        return self.piece.coordinates

    @property
    def hull(self) -> Bounds:
        """A box around it, not always the smallest."""
        found = dict(self.piece.hull)
        for region in (*self.within, *([self.of] if self.of else [])):
            for c, (low, high) in region.bounds.items():
                found[c] = (max(low, found[c][0]), min(high, found[c][1]))
        return found

    @property
    def measure(self) -> float:
        """An estimate, from the same points every time."""
        return self.fraction * self.piece.extent

    @property
    def extent(self) -> float:
        """That of the whole piece."""
        return self.piece.extent

    @cached_property
    def fraction(self) -> float:
        """An estimate, from the same points every time."""
        return kept_fraction(self)

    @property
    def dimension(self) -> int:
        """That of the piece."""
        return self.piece.dimension

    @property
    def text(self) -> str:
        """The piece, of which this is a part, or all with the normal turned."""
        whole = isinstance(self.piece, Part) or self.fraction == self.piece.fraction
        return self.piece.text if whole else f"a part of {self.piece.text}"

    def image(self, cube: Array) -> Image:
        """Keep what belongs to the part."""
        points, kept, normals = self.piece.image(cube)
        chosen, turned = self.choose(points, self.piece.normals_at(points) if normals is None else normals)
        return Image(points, kept & chosen, turned)

    def choose(self, points: Array, outward: Array) -> tuple[Mask, Array]:
        """Return which points of the piece belong to the part, and its normals there, from those of the piece."""
        sign, on = self._sides(points, outward)
        return on & self._chosen(points), sign[:, None] * outward

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on the part."""
        near = self.piece.holds(points, scale)
        found = np.zeros(len(points), dtype=bool)
        some = points[near]
        found[near] = self._sides(some, self.piece.normals_at(some))[1] & self._chosen(some)
        return found

    def distance(self, points: Array) -> Array:
        """Return the distance to the piece, and far away beside the part."""
        on = self._sides(points, self.piece.normals_at(points))[1] & self._chosen(points)
        longest = max(high - low for low, high in self.piece.hull.values())
        return self.piece.distance(points) + np.where(on, 0.0, longest)

    def normals_at(self, points: Array) -> Array:
        """Return those of the piece, turned where the region lies on its other side."""
        outward = self.piece.normals_at(points)
        return self._sides(points, outward)[0][:, None] * outward

    def _sides(self, points: Array, outward: Array) -> tuple[Array, Mask]:
        """Return the sign of the normal, and whether the region lies on exactly one side."""
        if self.of is None:
            return np.ones(len(points)), np.ones(len(points), dtype=bool)
        step = _ASIDE * self.of.size * outward
        here, inwards, outwards = (
            columns(p, self.coordinates, self.of.coordinates) for p in (points, points - step, points + step)
        )
        spare = ROUNDING * self.of.size
        below, above = self.of.beside(here, (inwards, outwards), spare)
        return np.where(below, 1.0, -1.0), below != above

    def _chosen(self, points: Array) -> Mask:
        chosen = np.ones(len(points), dtype=bool)
        for region in self.within:
            chosen &= region.contains(columns(points, self.coordinates, region.coordinates))
        for region in self.without:
            chosen &= ~region.contains(columns(points, self.coordinates, region.coordinates))
        return chosen


def times(piece: Piece, region: Solid) -> Piece:
    """Return a piece times a region of other coordinates; a face times a box is a face."""
    if isinstance(piece, Face) and set(region.intervals) == set(region.coordinates):
        return Face(piece.coordinate, piece.value, piece.outward, MappingProxyType({**piece.bounds, **region.bounds}))
    return Wall(piece, region)
