"""Unions, intersections and differences of regions.

Signed distances are the least and the greatest of two (Ricci 1973): right in sign, and never larger than the true distance in
magnitude. Where boundaries coincide and nothing is left between them, they are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy.stats import qmc
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary, without_repetition
from pinnsolve.domains.images import ROUNDING, Array, Bounds, Image, Mask, unit_sphere
from pinnsolve.domains.pieces import Piece
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError

_NEARBY, _WAYS = 1e-6, 64
"""How far from a boundary, relative to the size, and in how many directions an inside is looked for."""

_SIGNS = {"union": "|", "intersection": "&", "difference": "-"}


@dataclass(frozen=True)
class Combination(Shape):
    """The union, intersection or difference of two regions of the same coordinates.

    Raises:
        ProblemError: Different coordinates, or nothing inside.
    """

    kind: str
    first: Shape
    second: Shape

    def __post_init__(self) -> None:
        ours, theirs = (f"({', '.join(map(str, side.coordinates))})" for side in (self.first, self.second))
        if ours != theirs or self.first.coordinates != self.second.coordinates:
            same = set(self.first.coordinates) == set(self.second.coordinates)
            remedy = "write them in one order" if same else "multiply by the interval of the coordinate that is missing"
            raise ProblemError(self._sign, f"regions in {ours} and in {theirs}", remedy)
        empty = any(low >= high for low, high in self.bounds.values())
        if empty or (math.isfinite(self.extent) and self.fraction == 0):
            found = f"nothing, or next to nothing, lies in {self.text}"
            raise ProblemError(self._sign, found, "check sizes and places of the two regions")

    @property
    def _sign(self) -> str:
        return f"region {_SIGNS[self.kind]} region"

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """Those of both."""
        return self.first.coordinates

    @cached_property
    def bounds(self) -> Bounds:
        """A box around the region, for intersections and differences not always the smallest."""
        if self.kind == "difference":
            return self.first.bounds
        pairs = {c: (self.first.bounds[c], self.second.bounds[c]) for c in self.coordinates}
        if self.kind == "union":
            return {c: (min(a[0], b[0]), max(a[1], b[1])) for c, (a, b) in pairs.items()}
        return {c: (max(a[0], b[0]), min(a[1], b[1])) for c, (a, b) in pairs.items()}

    @property
    def text(self) -> str:
        """Both in words."""
        word = {"union": "together with", "intersection": "within", "difference": "without"}[self.kind]
        sides = (f"({s.text})" if isinstance(s, Combination) else s.text for s in (self.first, self.second))
        return f" {word} ".join(sides)

    @property
    def size(self) -> float:
        """The longest extent; of a region that is not bounded, the greater length of the two it is made of."""
        longest = max(high - low for low, high in self.bounds.values())
        return longest if math.isfinite(longest) else max(self.first.size, self.second.size)

    @property
    def extent(self) -> float:
        """That of what points are drawn in: of both for a union, else of the smallest that is known to be large enough."""
        if self.kind == "union":
            return self.first.extent + self.second.extent
        return self.first.extent if self.kind == "difference" else min(self._extents)

    @cached_property
    def boundary(self) -> Boundary:
        """The parts of both boundaries with the region on one side alone."""
        return Boundary(without_repetition(self.walls(self.bounds), self), self.coordinates)

    def walls(self, around: Bounds) -> tuple[Piece, ...]:
        """Return those of both."""
        return (*self.first.walls(around), *self.second.walls(around))

    def image(self, cube: Array) -> Image:
        """Draw in one region, or in both in turn, and keep what belongs to the combination."""
        if self.kind == "difference":
            points, kept, _ = self.first.image(cube)
            return Image(points, kept & ~self.second.inside(points, 0.0))
        if self.kind == "intersection":
            return self._intersection(cube)
        share = self.first.extent / self.extent
        here = cube[:, 0] < share
        points, kept = np.empty((len(cube), self.dimension)), np.empty(len(cube), dtype=bool)
        for rows, side, low, width in ((here, self.first, 0.0, share), (~here, self.second, share, 1 - share)):
            stretched = cube[rows]
            stretched[:, 0] = np.clip((stretched[:, 0] - low) / width, 0.0, 1.0)
            points[rows], kept[rows], _ = side.image(stretched)
        kept[~here] &= ~self.first.inside(points[~here], 0.0)
        return Image(points, kept)

    def signed_distance(self, points: Array) -> Array:
        """Take the least or the greatest of both."""
        first, second = self.first.signed_distance(points), self.second.signed_distance(points)
        if self.kind == "union":
            return np.asarray(np.minimum(first, second))
        return np.asarray(np.maximum(first, second if self.kind == "intersection" else -second))

    def contains(self, points: Array) -> Mask:
        """Ask both; on the boundary of one, also whether anything of the combination is near.

        Where two boundaries coincide nothing may be left: of [0, 2] without [1, 2], the point 2 is not a part.
        """
        spare = ROUNDING * self.size
        found, deep = self.inside(points, spare), self.inside(points, -spare)
        unsure = np.flatnonzero(found & ~deep)
        steps = _NEARBY * self.size * _directions(self.dimension)
        around = points[unsure, None, :] + steps
        near = self.inside(around.reshape(-1, self.dimension), -spare).reshape(len(unsure), len(steps))
        found[unsure] = near.any(axis=1)
        return found

    def inside(self, points: Array, spare: float) -> Mask:
        """Ask both."""
        first = self.first.inside(points, spare)
        if self.kind == "difference":
            return first & ~self.second.inside(points, -spare)
        second = self.second.inside(points, spare)
        return first | second if self.kind == "union" else first & second

    def beside(self, points: Array, displaced: Sequence[Array], spare: float) -> list[Mask]:
        """Ask both."""
        pairs = zip(*(side.beside(points, displaced, spare) for side in (self.first, self.second)), strict=True)
        if self.kind == "union":
            return [first | second for first, second in pairs]
        return [first & (second if self.kind == "intersection" else ~second) for first, second in pairs]

    @property
    def _extents(self) -> tuple[float, float, float]:
        around = math.prod(high - low for low, high in self.bounds.values())
        return self.first.extent, self.second.extent, around

    def _intersection(self, cube: Array) -> Image:
        least = int(np.argmin(self._extents))
        if not math.isfinite(self._extents[least]):
            raise ProblemError(self._sign, f"{self.text} is not bounded", "intersect it with a box")
        if least == 2:
            low, high = np.array(list(self.bounds.values())).T
            points = low + (high - low) * cube
            return Image(points, self.inside(points, 0.0))
        drawn, other = (self.first, self.second) if least == 0 else (self.second, self.first)
        points, kept, _ = drawn.image(cube)
        return Image(points, kept & other.inside(points, 0.0))


@cache
def _directions(dimension: int) -> Array:
    """Return unit vectors that point almost everywhere."""
    if dimension == 1:
        return np.array([[-1.0], [1.0]])
    cube = qmc.Sobol(dimension - 1, scramble=True, rng=np.random.default_rng(22)).random(_WAYS)
    return unit_sphere(cube)
