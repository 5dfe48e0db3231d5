"""Regions: where equations and conditions hold. Boxes, intervals and the faces of boxes.

A box is the product of closed intervals, one for each coordinate; its boundary is a set of faces with outward normals ±1.
Products with time or parameters are boxes again, and a boundary times a box is a boundary: the faces gain coordinates.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Matrix, MatrixBase, Symbol, sympify

from pinnsolve.errors import ProblemError

Array = NDArray[np.float64]
UnitPoints = Callable[[int, int], Array]
"""Draws (count, dimension) points in the unit cube."""

ROUNDING = 1e-9
"""Points closer to a boundary than this, relative to the range, are inside."""


@dataclass(frozen=True)
class PointSet:
    """Points drawn in a region.

    Args:
        coordinates: Array (points, coordinates), in the order of the region's coordinates.
        measure: Length, area or volume of the region.
        normals: Outward unit normals (points, coordinates), on boundaries.
    """

    coordinates: Array
    measure: float
    normals: Array | None = None


class Region(Protocol):
    """What the rest of the program asks of a region."""

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in order."""

    @property
    def bounds(self) -> Mapping[Symbol, tuple[float, float]]:
        """The smallest box around the region."""

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column, valid on boundaries."""

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Return for each row of points whether it is inside; the boundary, to rounding, is."""

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return points uniform by measure, made from points of the unit cube."""


@dataclass(frozen=True)
class Box:
    """A product of intervals, `Box({x: (-1, 1), t: (0, 1)})`.

    Args:
        bounds: The low and high end for each coordinate; SymPy numbers such as pi are welcome.

    Raises:
        ProblemError: A key that is not a symbol, or an end that is not finite, or ends in the wrong order.
    """

    bounds: Mapping[Symbol, tuple[float, float]]

    def __post_init__(self) -> None:
        if not isinstance(self.bounds, Mapping) or not self.bounds:
            raise ProblemError("domain", f"Box({self.bounds!r})", "write Box({x: (-1, 1), t: (0, 1)})")
        checked = {symbol: _interval(symbol, ends) for symbol, ends in self.bounds.items()}
        _refuse_twins(tuple(checked))
        object.__setattr__(self, "bounds", MappingProxyType(checked))

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in the order they were written."""
        return tuple(self.bounds)

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column; its entries mean something in terms on a boundary."""
        return Matrix([normal_symbol(c) for c in self.coordinates])

    @property
    def measure(self) -> float:
        """The product of the lengths."""
        return math.prod(high - low for low, high in self.bounds.values())

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
        for side, end in enumerate((low, high)):
            if abs(float(value) - end) <= ROUNDING * (high - low):
                return Boundary((_face(self, coordinate, side),), self.coordinates)
        raise ProblemError(
            f"face({coordinate}, {value})", f"{coordinate} runs from {low:g} to {high:g}", "give one of the two ends"
        )

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Return for each row (points, coordinates) whether it is inside; points on the boundary, to rounding, are."""
        low, high = np.array(list(self.bounds.values())).T
        slack = ROUNDING * (high - low)
        return np.asarray(((points >= low - slack) & (points <= high + slack)).all(axis=1))

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return `count` points, the unit cube's scaled to the box."""
        low, high = np.array(list(self.bounds.values())).T
        return PointSet(low + (high - low) * unit(count, len(self.bounds)), self.measure)

    def __mul__(self, other: Box) -> Box:
        """Return the product with a box of other coordinates, such as time or parameters."""
        if not isinstance(other, Box):
            return NotImplemented
        _refuse_common(self.coordinates, other.coordinates)
        return Box({**self.bounds, **other.bounds})


def Interval(coordinate: Symbol, low: Any, high: Any) -> Box:
    """Return the box with one coordinate, `Interval(t, 0, 10)`."""
    return Box({coordinate: (low, high)})


@dataclass(frozen=True)
class Face:
    """One face of a box: a coordinate held at an end, the outward direction, and the ranges of the others."""

    coordinate: Symbol
    value: float
    outward: int
    bounds: Mapping[Symbol, tuple[float, float]]

    @property
    def measure(self) -> float:
        """Length, area or volume of the face; 1 for a point."""
        return math.prod(high - low for low, high in self.bounds.values())


@dataclass(frozen=True)
class Boundary:
    """A set of faces of a box; boundaries add and subtract: `box.boundary - box.face(y, 1)`."""

    faces: tuple[Face, ...]
    coordinates: tuple[Symbol, ...]

    @property
    def bounds(self) -> Mapping[Symbol, tuple[float, float]]:
        """The smallest box around the faces."""
        spans = {c: [f.bounds.get(c, (f.value, f.value)) for f in self.faces] for c in self.coordinates}
        return {c: (min(s[0] for s in ends), max(s[1] for s in ends)) for c, ends in spans.items()}

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column."""
        return Matrix([normal_symbol(c) for c in self.coordinates])

    @property
    def measure(self) -> float:
        """The sum over the faces."""
        return sum(face.measure for face in self.faces)

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Return for each row (points, coordinates) whether it lies on one of the faces, to rounding."""
        inside = np.zeros(len(points), dtype=bool)
        smallest = min((high - low for low, high in self.bounds.values() if high > low), default=0.0)
        for face in self.faces:
            ranges = {c: face.bounds.get(c, (face.value, face.value)) for c in self.coordinates}
            low, high = np.array(list(ranges.values())).T
            # The range of the held coordinate is not known here: rounding is measured by its value and the smallest extent.
            slack = ROUNDING * np.where(high > low, high - low, np.maximum(np.abs(high), smallest))
            inside |= ((points >= low - slack) & (points <= high + slack)).all(axis=1)
        return inside

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return `count` points shared among the faces by their measure, with outward normals."""
        shares = _shares([face.measure for face in self.faces], count)
        parts = [self._face_points(face, unit, share) for face, share in zip(self.faces, shares, strict=True) if share]
        return PointSet(
            np.concatenate([p.coordinates for p in parts]),
            self.measure,
            np.concatenate([p.normals for p in parts if p.normals is not None]),
        )

    def normals_at(self, points: Array) -> Array:
        """Return the outward normal (points, coordinates) at points of the boundary: that of the nearest face."""
        columns = [self.coordinates.index(face.coordinate) for face in self.faces]
        distances = np.stack([abs(points[:, k] - f.value) for k, f in zip(columns, self.faces, strict=True)])
        nearest = distances.argmin(axis=0)
        normals = np.zeros_like(points, dtype=float)
        normals[np.arange(len(points)), np.array(columns)[nearest]] = np.array([f.outward for f in self.faces])[nearest]
        return normals

    def _face_points(self, face: Face, unit: UnitPoints, count: int) -> PointSet:
        columns = {c: k for k, c in enumerate(self.coordinates)}
        coordinates = np.full((count, len(columns)), face.value)
        normals = np.zeros_like(coordinates)
        normals[:, columns[face.coordinate]] = face.outward
        if face.bounds:
            low, high = np.array(list(face.bounds.values())).T
            coordinates[:, [columns[c] for c in face.bounds]] = low + (high - low) * unit(count, len(face.bounds))
        return PointSet(coordinates, face.measure, normals)

    def __add__(self, other: Boundary) -> Boundary:
        """Return the union.

        Raises:
            ProblemError: Boundaries of regions with different coordinates.
        """
        self._require_same_coordinates(other)
        return Boundary(self.faces + tuple(f for f in other.faces if f not in self.faces), self.coordinates)

    def __sub__(self, other: Boundary) -> Boundary:
        """Return the faces that the other does not have.

        Raises:
            ProblemError: Nothing is left.
        """
        self._require_same_coordinates(other)
        left = tuple(f for f in self.faces if f not in other.faces)
        if not left:
            raise ProblemError("boundary", "no face is left after the subtraction", "subtract fewer faces")
        return Boundary(left, self.coordinates)

    def _require_same_coordinates(self, other: Boundary) -> None:
        if self.coordinates != other.coordinates:
            ours, theirs = (", ".join(map(str, boundary.coordinates)) for boundary in (self, other))
            raise ProblemError(
                "boundary", f"boundaries in ({ours}) and in ({theirs})", "multiply both by the same interval first"
            )

    def __mul__(self, other: Box) -> Boundary:
        """Return the boundary times an interval of time or of a parameter."""
        if not isinstance(other, Box):
            return NotImplemented
        _refuse_common(self.coordinates, other.coordinates)
        faces = tuple(
            Face(f.coordinate, f.value, f.outward, MappingProxyType({**f.bounds, **other.bounds})) for f in self.faces
        )
        return Boundary(faces, self.coordinates + other.coordinates)

    __rmul__ = __mul__


def normal_symbol(coordinate: Symbol) -> Symbol:
    """Return the symbol of one component of the outward normal; its name cannot be a Python name, so no user has it."""
    return Symbol(f"n[{coordinate.name}]", real=True)


def _face(box: Box, coordinate: Symbol, side: int) -> Face:
    others = MappingProxyType({c: ends for c, ends in box.bounds.items() if c != coordinate})
    return Face(coordinate, box.bounds[coordinate][side], 2 * side - 1, others)


def _interval(symbol: Any, ends: Any) -> tuple[float, float]:
    if not isinstance(symbol, Symbol):
        raise ProblemError(
            "domain", f"{symbol!r} is a {type(symbol).__name__}, not a SymPy symbol", 'use x = symbols("x") as the key'
        )
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise ProblemError(f"domain, {symbol}", f"range {ends!r}", f"write {symbol}: (low, high)")
    low, high = (_number(symbol, end) for end in ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ProblemError(f"domain, {symbol}", f"the range ({low}, {high}) is not finite", "give finite ends")
    if low >= high:
        raise ProblemError(f"domain, {symbol}", f"the range ({low:g}, {high:g}) is empty", "write the lower end first")
    return low, high


def _number(symbol: Symbol, end: Any) -> float:
    value = sympify(end) if not isinstance(end, str) else None
    if not isinstance(value, Expr) or value.free_symbols or value.is_real is False:
        raise ProblemError(f"domain, {symbol}", f"the end {end!r} is not a real number", "give two real numbers")
    return float(value)


def _refuse_twins(coordinates: tuple[Symbol, ...]) -> None:
    names = [c.name for c in coordinates]
    for name in names:
        if names.count(name) > 1:
            raise ProblemError(
                f"domain, {name}", "two symbols of this name with different assumptions", "declare the symbol once"
            )


def _refuse_common(ours: tuple[Symbol, ...], theirs: tuple[Symbol, ...]) -> None:
    common = [str(c) for c in ours if c in theirs]
    if common:
        raise ProblemError(
            "domain", f"both factors have {', '.join(common)}", "multiply regions of different coordinates"
        )


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f", perhaps {close[0]}" if close else ""


def _shares(measures: list[float], count: int) -> list[int]:
    """Split a count by measure, largest remainders first, at least one point a part while they last."""
    total = sum(measures)
    ideal = [count * m / total for m in measures]
    shares = [int(i) for i in ideal]
    order = sorted(range(len(measures)), key=lambda k: (shares[k] > 0, shares[k] - ideal[k]))
    for k in order[: count - sum(shares)]:
        shares[k] += 1
    return shares
