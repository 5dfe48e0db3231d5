"""Sections: a region where some of its coordinates are held, such as the chord of a disk that `u(0, y)` speaks of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array, Bounds, Image, Mask
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import UnsupportedError


@dataclass(frozen=True)
class Section(Shape):
    """All values of the other coordinates for which the region contains every place that is held.

    Args:
        of: The region.
        held: Values of the same coordinates, one mapping for each place.
    """

    of: Shape
    held: tuple[Mapping[Symbol, float], ...]

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those that are not held."""
        return tuple(c for c in self.of.coordinates if c not in self.held[0])

    @property
    def bounds(self) -> Bounds:
        """Those of the region."""
        return {c: self.of.bounds[c] for c in self.coordinates}

    @property
    def text(self) -> str:
        """The region and what is held."""
        held = " and ".join(", ".join(f"{c} = {v:.6g}" for c, v in place.items()) for place in self.held)
        return f"{self.of.text} at {held}"

    @property
    def extent(self) -> float:
        """That of the box around it."""
        return math.prod(high - low for low, high in self.bounds.values())

    @property
    def boundary(self) -> Boundary:
        """Fail: nothing asks for it.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("boundary", f"the boundary of {self.text}", "declare a region of its own")

    def image(self, cube: Array) -> Image:
        """Scale the cube to the box around it; a side of the region is kept, although rounding may put it outside."""
        low, high = np.array(list(self.bounds.values())).T
        points = low + (high - low) * cube
        return Image(points, self.contains(points))

    def contains(self, points: Array) -> Mask:
        """Ask the region at every place."""
        return np.logical_and.reduce([self.of.contains(self._lifted(points, place)) for place in self.held])

    def signed_distance(self, points: Array) -> Array:
        """Return the greatest of those at every place, a lower bound."""
        return np.max([self.of.signed_distance(self._lifted(points, place)) for place in self.held], axis=0)

    def _lifted(self, points: Array, place: Mapping[Symbol, float]) -> Array:
        given = dict(zip(self.coordinates, points.T, strict=True)) | {
            c: np.full(len(points), value) for c, value in place.items()
        }
        return np.stack([given[c] for c in self.of.coordinates], axis=1)
