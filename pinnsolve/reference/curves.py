"""Curves in the plane: segments and arcs, their projections and the points in which two of them meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pinnsolve.reference.finite_differences import Array

Point = tuple[float, float]

_TOUCHING = 1e-9
"""Relative to the size of two circles, how far from tangent they may be to touch in one point."""


class Curve(Protocol):
    """A smooth curve with a parameter from 0 to 1."""

    @property
    def length(self) -> float:
        """Its length."""

    @property
    def turn(self) -> float:
        """The angle by which its direction changes, not negative."""

    def at(self, parameters: Array) -> Array:
        """Return the points (points, 2) of parameters."""

    def project(self, points: Array) -> Array:
        """Return the nearest points of the whole line or circle."""

    def parameters(self, points: Array) -> Array:
        """Return the parameters of the projections of points."""

    def between(self, first: float, last: float) -> Curve:
        """Return the part between two parameters."""


@dataclass(frozen=True)
class Segment:
    """A straight edge."""

    start: Point
    end: Point

    @property
    def length(self) -> float:
        """The distance of its ends."""
        return math.dist(self.start, self.end)

    @property
    def turn(self) -> float:
        """None."""
        return 0.0

    def at(self, parameters: Array) -> Array:
        """Interpolate between the ends."""
        start, end = np.array(self.start), np.array(self.end)
        share = np.asarray(parameters)[:, None]
        return np.asarray((1 - share) * start + share * end)

    def project(self, points: Array) -> Array:
        """Drop perpendiculars on the line."""
        return self.at(self.parameters(points))

    def parameters(self, points: Array) -> Array:
        """Return the shares of the way from start to end."""
        along = np.array(self.end) - np.array(self.start)
        return np.asarray((points - np.array(self.start)) @ along / (along @ along))

    def between(self, first: float, last: float) -> Segment:
        """Return a part."""
        start, end = self.at(np.array([first, last])).tolist()
        return Segment(tuple(start), tuple(end))


@dataclass(frozen=True)
class Arc:
    """An arc against the clock; a turn of 2 pi is a circle."""

    centre: Point
    radius: float
    first: float
    turn: float

    @property
    def length(self) -> float:
        """Radius times turn."""
        return self.radius * self.turn

    def at(self, parameters: Array) -> Array:
        """Turn about the centre."""
        angles = self.first + self.turn * np.asarray(parameters)
        return np.array(self.centre) + self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def project(self, points: Array) -> Array:
        """Move points along their radii; the centre to any place."""
        return self.at(self.parameters(points))

    def parameters(self, points: Array) -> Array:
        """Return the shares of the turn; beyond the ends the nearer one counts as 0 or 1 and more."""
        x, y = (points - np.array(self.centre)).T
        beyond = 2 * np.pi - self.turn
        angles = np.mod(np.arctan2(y, x) - self.first + beyond / 2, 2 * np.pi) - beyond / 2
        return np.asarray(angles / self.turn)

    def between(self, first: float, last: float) -> Arc:
        """Return a part."""
        return Arc(self.centre, self.radius, self.first + first * self.turn, (last - first) * self.turn)


def meetings(one: Segment | Arc, other: Segment | Arc) -> Array:
    """Return the points (points, 2) in which the lines and circles of two curves meet; none where they coincide."""
    if isinstance(one, Segment):
        return _line_line(one, other) if isinstance(other, Segment) else _line_circle(one, other)
    return _line_circle(other, one) if isinstance(other, Segment) else _circle_circle(one, other)


def ends(curves: Sequence[Segment | Arc]) -> Array:
    """Return the ends of curves that have some (points, 2)."""
    open_curves = [c for c in curves if not (isinstance(c, Arc) and c.turn >= 2 * np.pi)]
    return np.concatenate([np.zeros((0, 2)), *(c.at(np.array([0.0, 1.0])) for c in open_curves)])


def _line_line(one: Segment, other: Segment) -> Array:
    start, along = np.array(one.start), np.array(one.end) - np.array(one.start)
    origin, across = np.array(other.start), np.array(other.end) - np.array(other.start)
    area = along[0] * across[1] - along[1] * across[0]
    if abs(area) <= _TOUCHING * np.linalg.norm(along) * np.linalg.norm(across):
        return np.zeros((0, 2))
    gap = origin - start
    return np.asarray([start + (gap[0] * across[1] - gap[1] * across[0]) / area * along])


def _line_circle(line: Segment, circle: Arc) -> Array:
    centre = np.array(circle.centre)
    foot = line.project(centre[None])[0]
    along = (np.array(line.end) - np.array(line.start)) / line.length
    reaches = _half_chords(circle.radius, math.dist(foot, centre))
    return np.asarray([foot + reach * along for reach in reaches]).reshape(-1, 2)


def _circle_circle(one: Arc, other: Arc) -> Array:
    gap = np.array(other.centre) - np.array(one.centre)
    distance = float(np.linalg.norm(gap))
    if distance <= _TOUCHING * max(one.radius, other.radius):
        return np.zeros((0, 2))
    along = gap / distance
    near = (distance**2 + one.radius**2 - other.radius**2) / (2 * distance)
    foot = np.array(one.centre) + near * along
    across = np.array([-along[1], along[0]])
    return np.asarray([foot + reach * across for reach in _half_chords(one.radius, abs(near))]).reshape(-1, 2)


def _half_chords(radius: float, distance: float) -> list[float]:
    square = radius**2 - distance**2
    if square < -_TOUCHING * radius**2:
        return []
    return [0.0] if square <= _TOUCHING * radius**2 else [-math.sqrt(square), math.sqrt(square)]
