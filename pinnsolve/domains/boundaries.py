"""Boundaries: sets of pieces with outward normals, which add, subtract, and gain coordinates by products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Matrix, MatrixBase, Symbol

from pinnsolve.domains.images import (
    ROUNDING,
    Array,
    Bounds,
    Mask,
    PointSet,
    Region,
    Solid,
    UnitPoints,
    columns,
    kept_fraction,
    normal_symbol,
    shares,
    spread,
)
from pinnsolve.domains.parts import Part, times
from pinnsolve.domains.pieces import Face, Piece
from pinnsolve.errors import ProblemError, UnsupportedError

_LOOKS = 256
"""Places at which two pieces are compared."""


@dataclass(frozen=True)
class Boundary:
    """A set of pieces; boundaries add and subtract: `box.boundary - box.face(y, 1)`, `disk.boundary & half`."""

    pieces: tuple[Piece, ...]
    coordinates: tuple[Symbol, ...]

    @property
    def faces(self) -> tuple[Face, ...]:
        """The pieces, where all are faces of a box.

        Raises:
            UnsupportedError: A piece that is curved, at an angle, or cut.
        """
        flat = tuple(piece for piece in self.pieces if isinstance(piece, Face))
        if len(flat) < len(self.pieces):
            found = f"{self.text} is not made of whole faces of a box"
            raise UnsupportedError("boundary", found, "give the statement on faces of a box")
        return flat

    @property
    def bounds(self) -> Bounds:
        """A box around the pieces."""
        hulls = [piece.hull for piece in self.pieces]
        return {c: (min(h[c][0] for h in hulls), max(h[c][1] for h in hulls)) for c in self.coordinates}

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column."""
        return Matrix([normal_symbol(c) for c in self.coordinates])

    @cached_property
    def measure(self) -> float:
        """The sum over the pieces."""
        return sum(piece.measure for piece in self.pieces)

    @property
    def text(self) -> str:
        """Its pieces in words."""
        return " or ".join(dict.fromkeys(piece.text for piece in self.pieces))

    def contains(self, points: Array) -> Mask:
        """Return for each row (points, coordinates) whether it lies on one of the pieces, to rounding."""
        inside = np.zeros(len(points), dtype=bool)
        smallest = min((high - low for low, high in self.bounds.values() if high > low), default=0.0)
        for piece in self.pieces:
            inside |= piece.holds(self._seen(points, piece), smallest)
        return inside

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return `count` points shared among the pieces by their measure, with outward normals."""
        found, normals = [], []
        for piece, share in zip(self.pieces, shares([p.measure for p in self.pieces], count), strict=True):
            if share:
                image = spread(piece, unit, share)
                found.append(columns(image.points, piece.coordinates, self.coordinates))
                if image.normals is not None:
                    normals.append(columns(image.normals, piece.coordinates, self.coordinates))
        return PointSet(np.concatenate(found), self.measure, np.concatenate(normals))

    def distance(self, points: Array) -> Array:
        """Return the distance of points (points, coordinates) to the nearest piece; parts count as far from what they left out."""
        distances = [piece.distance(self._seen(points, piece)) for piece in self.pieces]
        return np.asarray(np.min(distances, axis=0))

    def normals_at(self, points: Array) -> Array:
        """Return the outward normal (points, coordinates) at points of the boundary: that of the nearest piece."""
        distances = [piece.distance(self._seen(points, piece)) for piece in self.pieces]
        nearest = np.stack(distances).argmin(axis=0)
        normals = np.zeros_like(points, dtype=float)
        for k, piece in enumerate(self.pieces):
            rows = np.flatnonzero(nearest == k)
            if len(rows):
                own = piece.normals_at(self._seen(points[rows], piece))
                normals[rows] = columns(own, piece.coordinates, self.coordinates)
        return normals

    def __add__(self, other: Boundary) -> Boundary:
        """Return the union.

        Raises:
            ProblemError: Boundaries of regions with different coordinates.
        """
        self._require_same_coordinates(other)
        return Boundary(self.pieces + tuple(_remaining(other, self)), self.coordinates)

    __or__ = __add__

    def __sub__(self, other: Boundary) -> Boundary:
        """Return the part that the other does not have.

        Raises:
            ProblemError: Nothing is left.
        """
        self._require_same_coordinates(other)
        left = tuple(_remaining(self, other))
        if not left:
            word = "face" if all(isinstance(p, Face) for p in self.pieces) else "part of the boundary"
            raise ProblemError("boundary", f"no {word} is left after the subtraction", "subtract less")
        return Boundary(left, self.coordinates)

    def __and__(self, other: Region) -> Boundary:
        """Return the part inside a region, or common with another boundary: `disk.boundary & ps.HalfSpace(...)`.

        Raises:
            ProblemError: Other coordinates, or nothing is inside.
        """
        if not hasattr(other, "contains"):
            return NotImplemented
        self._require_same_coordinates(other)
        cut = [(piece, Part(piece, within=(other,))) for piece in self.pieces]
        left = [piece if part.fraction == piece.fraction else part for piece, part in cut if part.fraction > 0]
        if not left:
            raise ProblemError("boundary", f"no part of it lies in {other.text}", "name a region that it meets")
        return Boundary(tuple(left), self.coordinates)

    def __mul__(self, other: Solid) -> Boundary:
        """Return the boundary times an interval of time or of a parameter, or another region."""
        if not hasattr(other, "signed_distance"):
            return NotImplemented
        refuse_common(self.coordinates, other.coordinates)
        return Boundary(tuple(times(piece, other) for piece in self.pieces), self.coordinates + other.coordinates)

    __rmul__ = __mul__

    def _require_same_coordinates(self, other: Any) -> None:
        if self.coordinates != other.coordinates:
            ours, theirs = (", ".join(map(str, some.coordinates)) for some in (self, other))
            word = "boundaries" if isinstance(other, Boundary) else "a boundary and a region"
            raise ProblemError(
                "boundary", f"{word} in ({ours}) and in ({theirs})", "multiply both by the same interval first"
            )

    def _seen(self, points: Array, piece: Piece) -> Array:
        return columns(points, self.coordinates, piece.coordinates)


def refuse_common(ours: Sequence[Symbol], theirs: Sequence[Symbol]) -> None:
    """Raise when the factors of a product share a coordinate."""
    common = [str(c) for c in ours if c in theirs]
    if common:
        raise ProblemError(
            "domain", f"both factors have {', '.join(common)}", "multiply regions of different coordinates"
        )


def without_repetition(pieces: Sequence[Piece], of: Solid) -> tuple[Piece, ...]:
    """Return the parts of some pieces that are boundary of a region, each place once."""
    kept: list[Piece] = []
    for number, piece in enumerate(pieces):
        earlier = [p for p in pieces[:number] if _may_meet(piece, p)]
        common = [(p, Part(piece, within=(Boundary((p,), of.coordinates),))) for p in earlier]
        again = [p for p, part in common if kept_fraction(part, count=_LOOKS) > 0]
        without = (Boundary(tuple(again), of.coordinates),) if again else ()
        part = Part(piece, of=of, without=without)
        if part.fraction > 0:
            kept.append(piece if part.fraction == piece.fraction and not is_turned(part) else part)
    return tuple(kept)


def _remaining(boundary: Boundary, less: Boundary) -> list[Piece]:
    left: list[Piece] = []
    for piece in boundary.pieces:
        near = tuple(p for p in less.pieces if _may_meet(piece, p))
        if piece in near:
            continue
        part = Part(piece, without=(Boundary(near, boundary.coordinates),)) if near else piece
        if part.fraction > 0:
            left.append(piece if part.fraction == piece.fraction else part)
    return left


def _may_meet(one: Piece, other: Piece) -> bool:
    """Return whether two pieces can have more than an edge in common, as far as the boxes around them tell."""
    if isinstance(one, Face) and isinstance(other, Face) and one.coordinate != other.coordinate:
        return False
    for c, (low, high) in one.hull.items():
        other_low, other_high = other.hull[c]
        spare = ROUNDING * max(high - low, other_high - other_low, abs(high), abs(low))
        if low > other_high + spare or other_low > high + spare:
            return False
    return True


def is_turned(part: Part) -> bool:
    """Return whether anywhere the region lies on the other side of the piece than the piece's own normal says."""
    cube = np.random.default_rng(21).random((_LOOKS, part.dimension))
    normals, own = part.image(cube).normals, part.piece.image(cube).normals
    return normals is not None and own is not None and bool(((normals * own).sum(axis=1) < 0).any())
