"""Outlines: the boundary of a plane region as curves that end where something changes.

Every piece of the boundary is a part of a line or of a circle. It is cut where it meets other pieces, exactly, and where a
condition begins or ends, by bisection. What lies between two cuts is boundary of the region as a whole or not at all, and bears the
same conditions everywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Mask, columns
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Face, Facet, Piece, Sphere
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import UnsupportedError
from pinnsolve.reference.curves import Arc, Segment, ends, meetings
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.reading import REMEDY

Marks = Callable[[Array], Mask]
"""Which conditions hold at points of the boundary, (points, conditions) of true and false."""

_SAME = 1e-9
"""Points closer than this, relative to the size of the region, are one."""

_LOOKS = 65
"""Places between two cuts at which it is asked whether anything changes."""

_BISECTIONS = 60


@dataclass(frozen=True)
class Outline:
    """The boundary of a plane region.

    Args:
        curves: Its smooth parts.
        marks: For each curve which conditions hold on it (curves, conditions).
        size: Length to which rounding is relative.
    """

    curves: tuple[Segment | Arc, ...]
    marks: Mask
    size: float


def trace(shape: Shape, boundaries: Sequence[Boundary], marks: Marks) -> Outline:
    """Return the outline of a plane region.

    Args:
        shape: The region.
        boundaries: Where conditions hold; their corners are corners of the outline.
        marks: Which conditions hold at points.

    Raises:
        UnsupportedError: A piece that is neither straight nor a part of a circle.
    """
    pieces = shape.boundary.pieces
    bases = [_curve(piece, shape.coordinates) for piece in pieces]
    others = [_curve(p, shape.coordinates) for b in boundaries for p in b.pieces if _lies_in(p, shape.coordinates)]
    every = list(dict.fromkeys([*bases, *others]))
    curves: list[Segment | Arc] = []
    found: list[Array] = []
    for piece, base in zip(pieces, bases, strict=True):

        def seen(points: Array, piece: Piece = piece) -> Array:
            on = piece.holds(columns(points, shape.coordinates, piece.coordinates), shape.size)
            return np.column_stack([on, marks(points)])

        for part in _split(base, every, seen, spare=_SAME * shape.size):
            seen_there = seen(part.at(np.array([0.5])))[0]
            if seen_there[0]:
                curves.append(part)
                found.append(seen_there[1:])
    return Outline(tuple(curves), np.array(found), shape.size)


def _split(
    base: Segment | Arc, every: Sequence[Segment | Arc], seen: Callable[[Array], Array], *, spare: float
) -> list[Segment | Arc]:
    """Cut a curve where it meets others and where anything seen on it changes."""
    found = [ends(every)]
    for other in every:
        points = meetings(base, other) if other != base else np.zeros((0, 2))
        least = spare / other.length
        found.append(points[np.abs(other.parameters(points) - 0.5) <= 0.5 + least])
    points = np.concatenate(found)
    near = np.linalg.norm(base.project(points) - points, axis=1) <= spare
    inner = base.parameters(points[near])
    least = spare / base.length
    cuts = _distinct(inner, least, closed=isinstance(base, Arc) and base.turn >= 2 * math.pi)
    parts = []
    for first, last in itertools.pairwise(cuts):
        piece = base.between(first, last)
        inside = [0.0, *_changes(piece, seen), 1.0]
        parts += [piece.between(a, b) for a, b in itertools.pairwise(inside)]
    return parts


def _distinct(inner: Array, least: float, *, closed: bool) -> list[float]:
    """Return increasing parameters, the ends of an open curve among them; of a circle a full turn from the first."""
    kept: list[float] = [] if closed else [0.0]
    for cut in np.sort(np.mod(inner, 1.0) if closed else inner):
        if (not kept or cut - kept[-1] > least) and (closed or least < cut < 1 - least):
            kept.append(float(cut))
    if not closed:
        return [*kept, 1.0]
    if len(kept) > 1 and kept[0] + 1 - kept[-1] <= least:
        kept.pop()
    return [*kept, kept[0] + 1.0] if kept else [0.0, 1.0]


def _changes(curve: Segment | Arc, seen: Callable[[Array], Array]) -> list[float]:
    looks = (np.arange(_LOOKS) + 0.5) / _LOOKS
    found = seen(curve.at(looks))
    cuts = []
    for k in np.flatnonzero((found[1:] != found[:-1]).any(axis=1)):
        low, high = looks[k], looks[k + 1]
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            same = (seen(curve.at(np.array([middle])))[0] == found[k]).all()
            low, high = (middle, high) if same else (low, middle)
        cuts.append(float((low + high) / 2))
    return cuts


def _curve(piece: Piece, coordinates: tuple[Symbol, ...]) -> Segment | Arc:
    """Return the whole line or circle of which a piece is a part."""
    while isinstance(piece, Part | Wall):
        piece = piece.piece
    if isinstance(piece, Sphere):
        x, y = (piece.centre[c] for c in coordinates)
        return Arc((x, y), piece.radius, 0.0, 2 * math.pi)
    if isinstance(piece, Facet):
        corner = dict(zip(piece.coordinates, piece.corner, strict=True))
        edge = dict(zip(piece.coordinates, piece.edges[0], strict=True))
        x, y = (corner[c] for c in coordinates)
        dx, dy = (edge[c] for c in coordinates)
        return Segment((x, y), (x + dx, y + dy))
    if isinstance(piece, Face):
        low, high = zip(*(piece.hull[c] for c in coordinates), strict=True)
        return Segment(tuple(low), tuple(high))
    found = f"no finite-element reference: {piece.text} is neither straight nor a part of a circle"
    raise UnsupportedError("boundary", found, REMEDY)


def _lies_in(piece: Piece, coordinates: tuple[Symbol, ...]) -> bool:
    """Return whether a piece is a curve in the plane of some coordinates, for whatever others."""
    while isinstance(piece, Part | Wall):
        piece = piece.piece
    hull: Mapping[Symbol, tuple[float, float]] = piece.hull
    if isinstance(piece, Face):
        return piece.coordinate in coordinates and set(coordinates) <= set(hull)
    return set(coordinates) == set(piece.coordinates)
