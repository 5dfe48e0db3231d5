"""Balls in any number of dimensions, disks and cylinders.

Uniform points of a ball in n dimensions have a radius whose n-th power is uniform, and a uniform direction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array, Bounds, Image, unit_sphere
from pinnsolve.domains.pieces import Sphere, place_text
from pinnsolve.domains.reading import read_coordinate, read_finite, refuse_twins
from pinnsolve.domains.regions import Box
from pinnsolve.domains.shapes import Shape, product
from pinnsolve.errors import ProblemError


@dataclass(frozen=True)
class Ball(Shape):
    """A ball in two or more dimensions, `Ball({x: 0, y: 0, z: 0}, radius=1)`.

    Args:
        centre: The value of each coordinate at the centre.
        radius: Positive.

    Raises:
        ProblemError: A key that is not a symbol, a number that is not finite, or a radius that is not positive.

    Example:
        >>> ball = ps.Ball({x: 0, y: 0, z: 1}, radius=2)
        >>> ball.bounds[z], round(ball.measure, 4)
        ((-1.0, 3.0), 33.5103)
    """

    centre: Mapping[Symbol, float]
    radius: float

    def __init__(self, centre: Mapping[Symbol, Any], *, radius: Any) -> None:
        where = "Ball"
        if not isinstance(centre, Mapping) or len(centre) < 2:
            remedy = "write Ball({x: 0, y: 0, z: 0}, radius=1); in one dimension, Interval(x, -1, 1)"
            raise ProblemError(where, f"the centre {centre!r}", remedy)
        checked = {read_coordinate(where, c): read_finite(where, f"{c} =", value) for c, value in centre.items()}
        refuse_twins(tuple(checked))
        number = read_finite(where, "the radius", radius)
        if number <= 0:
            raise ProblemError(where, f"the radius {radius!r} is not positive", "give a positive radius")
        object.__setattr__(self, "centre", MappingProxyType(checked))
        object.__setattr__(self, "radius", number)

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in the order they were written."""
        return tuple(self.centre)

    @property
    def bounds(self) -> Bounds:
        """The smallest box around it."""
        return {c: (x - self.radius, x + self.radius) for c, x in self.centre.items()}

    @property
    def text(self) -> str:
        """Radius and centre."""
        word = "disk" if len(self.centre) == 2 else "ball"
        return f"the {word} of radius {self.radius:.6g} about {place_text(self.centre.values())}"

    @property
    def extent(self) -> float:
        """pi^(n/2) r^n / Gamma(n/2 + 1)."""
        half = len(self.centre) / 2
        return math.pi**half * self.radius ** len(self.centre) / math.gamma(half + 1)

    @property
    def fraction(self) -> float:
        """Nothing is rejected."""
        return 1.0

    @property
    def boundary(self) -> Boundary:
        """The sphere."""
        return Boundary((Sphere(self.centre, self.radius),), self.coordinates)

    def image(self, cube: Array) -> Image:
        """Map the cube onto the ball, volume to volume."""
        radii = self.radius * cube[:, :1] ** (1 / len(self.centre))
        points = np.array(list(self.centre.values())) + radii * unit_sphere(cube[:, 1:])
        return Image(points, np.ones(len(cube), dtype=bool))

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the sphere, negative inside."""
        offset = points - np.array(list(self.centre.values()))
        return np.asarray(np.linalg.norm(offset, axis=1) - self.radius)


def Disk(centre: Mapping[Symbol, Any], *, radius: Any) -> Ball:
    """Return a ball in the plane, `Disk({x: 0, y: 0}, radius=1)`.

    Raises:
        ProblemError: A centre with other than two coordinates, or what a ball refuses.

    Example:
        >>> ring = ps.Disk({x: 0, y: 0}, radius=2) - ps.Disk({x: 0, y: 0}, radius=1)
        >>> ring.contains(np.array([[1.5, 0.0], [0.5, 0.0]]))
        array([ True, False])
    """
    if not isinstance(centre, Mapping) or len(centre) != 2:
        raise ProblemError("Disk", f"the centre {centre!r}", "write Disk({x: 0, y: 0}, radius=1)")
    return Ball(centre, radius=radius)


def Cylinder(centre: Mapping[Symbol, Any], *, radius: Any, along: Mapping[Symbol, Any]) -> Shape:
    """Return a disk times an interval, `Cylinder({x: 0, y: 0}, radius=1, along={z: (0, 2)})`; ends are `.face(z, 0)`.

    Raises:
        ProblemError: More than one coordinate to extend along, or what disks and intervals refuse.

    Example:
        >>> pipe = ps.Cylinder({x: 0, y: 0}, radius=1, along={z: (0, 2)})
        >>> round(pipe.measure, 4)
        6.2832
    """
    if not isinstance(along, Mapping) or len(along) != 1:
        remedy = "write Cylinder({x: 0, y: 0}, radius=1, along={z: (0, 2)})"
        raise ProblemError("Cylinder", f"along={along!r}", remedy)
    return product(Disk(centre, radius=radius), Box(along))
