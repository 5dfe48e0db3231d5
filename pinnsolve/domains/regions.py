"""Boxes and intervals, the regions whose coordinates range independently; and the names of all that a region consists of.

A box is the product of closed intervals, one for each coordinate; its boundary is a set of faces with outward normals ±1.
Products with time or parameters are boxes again, and a boundary times a box is a boundary: the faces gain coordinates.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary, refuse_common
from pinnsolve.domains.images import ROUNDING, Array, Image, Mask, PointSet, Region, Solid, UnitPoints, normal_symbol
from pinnsolve.domains.pieces import Face
from pinnsolve.domains.reading import read_coordinate, read_number, refuse_twins
from pinnsolve.domains.shapes import Shape, product
from pinnsolve.errors import ProblemError

__all__ = [
    "ROUNDING",
    "Array",
    "Boundary",
    "Box",
    "Face",
    "Interval",
    "PointSet",
    "Region",
    "Solid",
    "UnitPoints",
    "normal_symbol",
]


@dataclass(frozen=True)
class Box(Shape):
    """A product of intervals, `Box({x: (-1, 1), t: (0, 1)})`.

    Args:
        bounds: The low and high end for each coordinate; SymPy numbers such as pi are welcome.

    Raises:
        ProblemError: A key that is not a symbol, or an end that is not finite, or ends in the wrong order.

    Example:
        >>> box = ps.Box({x: (-1, 1), t: (0, 2)})
        >>> box.measure, box.face(x, 1).text
        (4.0, 'x = 1')
    """

    bounds: Mapping[Symbol, tuple[float, float]]

    def __post_init__(self) -> None:
        if not isinstance(self.bounds, Mapping) or not self.bounds:
            raise ProblemError("domain", f"Box({self.bounds!r})", "write Box({x: (-1, 1), t: (0, 1)})")
        checked = {symbol: _interval(symbol, ends) for symbol, ends in self.bounds.items()}
        refuse_twins(tuple(checked))
        object.__setattr__(self, "bounds", MappingProxyType(checked))

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in the order they were written."""
        return tuple(self.bounds)

    @property
    def intervals(self) -> Mapping[Symbol, tuple[float, float]]:
        """All of them."""
        return self.bounds

    @property
    def extent(self) -> float:
        """The product of the lengths."""
        return math.prod(high - low for low, high in self.bounds.values())

    @property
    def fraction(self) -> float:
        """Nothing is rejected."""
        return 1.0

    @property
    def text(self) -> str:
        """The ranges."""
        return ", ".join(f"{low:.6g} <= {c} <= {high:.6g}" for c, (low, high) in self.bounds.items())

    @property
    def boundary(self) -> Boundary:
        """Every face of the box."""
        faces = (_face(self, c, side) for c in self.coordinates for side in (0, 1))
        return Boundary(tuple(faces), self.coordinates)

    def face(self, coordinate: Symbol, value: Any) -> Boundary:
        """Return the face on which a coordinate has one of its end values, `box.face(x, 0)`.

        Raises:
            ProblemError: A coordinate the box does not have, or a value that is not one of its ends.
        """
        if coordinate not in self.bounds:
            raise ProblemError(
                f"face({coordinate}, {value})",
                f"the box has the coordinates {', '.join(map(str, self.coordinates))}",
                "name one of them" + _nearest(str(coordinate), [str(c) for c in self.coordinates]),
            )
        low, high = self.bounds[coordinate]
        place = read_number(f"face({coordinate}, {value})", "the end", value)
        for side, end in enumerate((low, high)):
            if abs(place - end) <= ROUNDING * (high - low):
                return Boundary((_face(self, coordinate, side),), self.coordinates)
        raise ProblemError(
            f"face({coordinate}, {value})", f"{coordinate} runs from {low:g} to {high:g}", "give one of the two ends"
        )

    def contains(self, points: Array) -> Mask:
        """Return for each row (points, coordinates) whether it is inside; points on the boundary, to rounding, are."""
        low, high = np.array(list(self.bounds.values())).T
        slack = ROUNDING * (high - low)
        return np.asarray(((points >= low - slack) & (points <= high + slack)).all(axis=1))

    def image(self, cube: Array) -> Image:
        """Scale the cube to the box."""
        low, high = np.array(list(self.bounds.values())).T
        return Image(low + (high - low) * cube, np.ones(len(cube), dtype=bool))

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the nearest face, negative inside; outside that to the nearest point of the box."""
        low, high = np.array(list(self.bounds.values())).T
        beyond = np.maximum(low - points, points - high)
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        return np.asarray(outside + np.minimum(beyond.max(axis=1), 0.0))

    def __mul__(self, other: Shape) -> Shape:
        """Return the product with a region of other coordinates, such as time or parameters; of boxes a box."""
        if not isinstance(other, Box):
            return product(self, other) if isinstance(other, Shape) else NotImplemented
        refuse_common(self.coordinates, other.coordinates)
        return Box({**self.bounds, **other.bounds})


def Interval(coordinate: Symbol, low: Any, high: Any) -> Box:
    """Return the box with one coordinate, `Interval(t, 0, 10)`.

    Example:
        >>> (ps.Disk({x: 0, y: 0}, radius=1) * ps.Interval(t, 0, 10)).coordinates
        (x, y, t)
    """
    return Box({coordinate: (low, high)})


def _face(box: Box, coordinate: Symbol, side: int) -> Face:
    others = MappingProxyType({c: ends for c, ends in box.bounds.items() if c != coordinate})
    return Face(coordinate, box.bounds[coordinate][side], 2 * side - 1, others)


def _interval(symbol: Any, ends: Any) -> tuple[float, float]:
    read_coordinate("domain", symbol)
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise ProblemError(f"domain, {symbol}", f"range {ends!r}", f"write {symbol}: (low, high)")
    low, high = (read_number(f"domain, {symbol}", "the end", end) for end in ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ProblemError(f"domain, {symbol}", f"the range ({low}, {high}) is not finite", "give finite ends")
    if low >= high:
        raise ProblemError(f"domain, {symbol}", f"the range ({low:g}, {high:g}) is empty", "write the lower end first")
    return low, high


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f", perhaps {close[0]}" if close else ""
