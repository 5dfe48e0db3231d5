"""Facets: a piece of boundary made of the sides of cells, or of the sides between two groups of cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.cells import Whole
from pinnsolve.domains.images import Array, Bounds, Image, Mask
from pinnsolve.domains.location import Nearest
from pinnsolve.domains.pieces import slack
from pinnsolve.domains.simplices import along_curve, measures, spread_over

Key = tuple[str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Facets:
    """Some facets of a mesh: points, segments or triangles, each with its normal.

    A piece is equal to itself alone; a mesh gives the same piece whenever it is asked.

    Args:
        coordinates: In order.
        corners: (facets, n, n).
        normals: Unit normals (facets, n).
        cells: The number of the cell behind each facet, out of which its normal points.
        text: The piece in words.
        mesh: Of which they are.
        key: Which piece of it: "outer" with the names of its groups of sides and of cells, "inner" with one of sides, or "between"
            with two of cells.
        inner: Whether cells lie on both sides.
    """

    coordinates: tuple[Symbol, ...]
    corners: Array
    normals: Array
    cells: Whole
    text: str
    mesh: Any
    key: Key
    inner: bool = False

    def __repr__(self) -> str:
        return f"Facets({self.mesh!r}, {self.key})"

    @cached_property
    def hull(self) -> Bounds:
        """The smallest box around it."""
        low, high = self.corners.min(axis=(0, 1)), self.corners.max(axis=(0, 1))
        return {c: (float(a), float(b)) for c, a, b in zip(self.coordinates, low, high, strict=True)}

    @cached_property
    def measure(self) -> float:
        """The sum over the facets; their number, where they are points."""
        return float(self.sizes.sum())

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
        """One less than that of the mesh."""
        return len(self.coordinates) - 1

    @cached_property
    def sizes(self) -> Array:
        """The length or area of each facet."""
        return measures(self.corners)

    def image(self, cube: Array) -> Image:
        """Spread the cube over the facets, along a curve that fills space."""
        points, places = spread_over(self.corners[self._order], np.cumsum(self.sizes[self._order]), cube)
        return Image(points, np.ones(len(points), dtype=bool), self.normals[self._order[places]])

    def holds(self, points: Array, scale: float) -> Mask:
        """Return which points lie on it."""
        spare = slack(self.hull, scale)
        return self._nearest.near(points, spare)

    def distance(self, points: Array) -> Array:
        """Return the distance to the nearest facet."""
        return self._nearest.find(points)[0]

    def nearest(self, points: Array, within: float) -> Array:
        """Return the distance to the nearest facet, infinity where it exceeds a limit."""
        return self._nearest.find(points, within=within)[0]

    def normals_at(self, points: Array) -> Array:
        """Return the normal of the nearest facet."""
        return np.asarray(self.normals[self._nearest.find(points)[1]])

    def cells_at(self, points: Array) -> Whole:
        """Return the cell behind the nearest facet."""
        return np.asarray(self.cells[self._nearest.find(points)[1]])

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self.corners)

    @cached_property
    def _order(self) -> np.ndarray:
        return along_curve(self.corners.mean(axis=1))
