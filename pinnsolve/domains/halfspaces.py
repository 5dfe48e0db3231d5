"""Half-spaces: one side of a line or plane, to cut other regions with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sympy import Add, Float, GreaterThan, LessThan, StrictGreaterThan, StrictLessThan, Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array, Bounds, Image
from pinnsolve.domains.pieces import Facet, Piece
from pinnsolve.domains.reading import read_coordinate, refuse_twins
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError


@dataclass(frozen=True)
class HalfSpace(Shape):
    """Where a linear inequality holds, `HalfSpace(x + 2*y <= 3, coordinates=(x, y))`; unbounded, to combine with other regions.

    Args:
        inequality: Of the coordinates; whether it is strict makes no difference.
        coordinates: All of them, in order.

    Raises:
        ProblemError: No inequality, one that is not linear, or other symbols in it.

    Example:
        >>> half = ps.Disk({x: 0, y: 0}, radius=1) & ps.HalfSpace(x + y <= 0, coordinates=(x, y))
        >>> half.contains(np.array([[-0.5, 0.0], [0.5, 0.0]]))
        array([ True, False])
    """

    coordinates: tuple[Symbol, ...]
    outward: tuple[float, ...] = field(init=False)
    offset: float = field(init=False)

    def __init__(self, inequality: Any, *, coordinates: Sequence[Symbol]) -> None:
        example = "write HalfSpace(x + 2*y <= 3, coordinates=(x, y))"
        if not isinstance(coordinates, tuple | list) or len(coordinates) < 2:
            raise ProblemError("HalfSpace", f"coordinates={coordinates!r}", f"{example}; for one, Interval(x, 0, 1)")
        symbols = tuple(read_coordinate("HalfSpace", c) for c in coordinates)
        refuse_twins(symbols)
        if not isinstance(inequality, LessThan | GreaterThan | StrictLessThan | StrictGreaterThan):
            raise ProblemError("HalfSpace", f"{inequality!r} is not an inequality", example)
        below = inequality.lts - inequality.gts
        slopes = [below.diff(c) for c in symbols]
        rest = below.subs(dict.fromkeys(symbols, 0))
        if any(not s.is_number for s in slopes) or not rest.is_number or (not all(slopes) and not any(slopes)):
            found = f"{inequality} is not linear in {', '.join(map(str, symbols))} with numbers as coefficients"
            raise ProblemError("HalfSpace", found, example)
        length = math.hypot(*map(float, slopes))
        if not 0 < length < math.inf or not math.isfinite(float(rest)):
            raise ProblemError("HalfSpace", f"{inequality} has coefficients that are not finite", example)
        object.__setattr__(self, "coordinates", symbols)
        object.__setattr__(self, "outward", tuple(float(s) / length for s in slopes))
        object.__setattr__(self, "offset", -float(rest) / length)

    @property
    def bounds(self) -> Bounds:
        """The whole of space, or half of it where the plane is one of constant coordinate."""
        ends = {}
        for c, slope in zip(self.coordinates, self.outward, strict=True):
            low = self.offset / slope if slope == -1 else -math.inf
            ends[c] = (low, self.offset / slope if slope == 1 else math.inf)
        return ends

    @property
    def size(self) -> float:
        """The distance of the plane from the origin: there is no other length."""
        return abs(self.offset) or 1.0

    @property
    def text(self) -> str:
        """The inequality."""
        terms = (Float(f"{s:.6g}") * c for c, s in zip(self.coordinates, self.outward, strict=True))
        return f"{Add(*terms)} <= {self.offset:.6g}"

    @property
    def extent(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def fraction(self) -> float:
        """All of it."""
        return 1.0

    @property
    def boundary(self) -> Boundary:
        """No piece of it is bounded.

        Raises:
            ProblemError: Always.
        """
        raise ProblemError(
            "HalfSpace", "its boundary is not bounded", "combine it with a region: (box & half).boundary"
        )

    def walls(self, around: Bounds) -> tuple[Piece, ...]:
        """Return a part of the plane that covers a box."""
        low, high = np.array(list(around.values())).T
        reach = float(np.linalg.norm(high - low))
        if not math.isfinite(reach):
            raise ProblemError("HalfSpace", "it is combined to a region that is not bounded", "intersect it with a box")
        normal, middle = np.array(self.outward), (low + high) / 2
        foot = middle + (self.offset - middle @ normal) * normal
        across = np.linalg.svd(normal[None, :])[2][1:]
        corner = foot - reach / 2 * across.sum(axis=0)
        edges = tuple(tuple((reach * e).tolist()) for e in across)
        return (Facet(self.coordinates, tuple(corner.tolist()), edges, self.outward),)

    def complement(self) -> Shape:
        """Return the other side."""
        other = object.__new__(HalfSpace)
        object.__setattr__(other, "coordinates", self.coordinates)
        object.__setattr__(other, "outward", tuple(-s for s in self.outward))
        object.__setattr__(other, "offset", -self.offset)
        return other

    def image(self, cube: Array) -> Image:
        """Fail: it has no uniform points.

        Raises:
            ProblemError: Always.
        """
        raise ProblemError("HalfSpace", "it is not bounded", "intersect it with a box")

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the plane, negative inside."""
        return np.asarray(points @ np.array(self.outward) - self.offset)
