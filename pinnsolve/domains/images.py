"""Images: points of a region or boundary as the image of the unit cube, on which every way of spreading points works.

A map x = m(s) that carries the unit cube onto a set with equal measure for equal volume makes uniform points of uniform ones, Sobol
points of Sobol points, a grid of a grid. Where no such map is known one onto a larger set is taken, and the points outside are
rejected: those that stay are uniform by measure as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import qmc
from sympy import MatrixBase, Symbol

from pinnsolve.errors import ProblemError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
UnitPoints = Callable[[int, int], Array]
"""Draws (count, dimension) points in the unit cube."""

Bounds = Mapping[Symbol, tuple[float, float]]

ROUNDING = 1e-9
"""Points closer to a boundary than this, relative to the range, are inside."""

TRIAL_POINTS = 2**14
"""Fixed points by which the share of an image that is kept, and so a measure, is estimated where no formula is known: to about
1e-4 of the whole image on curves and areas, whose error is that of so many Sobol points at an edge."""

_MOST_TRIES = 30
_MOST_CANDIDATES = 20_000_000


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


class Image(NamedTuple):
    """What a map makes of points of the unit cube: points, which of them are kept, and normals on a boundary."""

    points: Array
    kept: Mask
    normals: Array | None = None


class Mapped(Protocol):
    """A set that is the image of the unit cube, or a part of that image."""

    @property
    def dimension(self) -> int:
        """Of the cube; 0 for a single point."""

    @property
    def fraction(self) -> float:
        """The share of the image that is kept."""

    def image(self, cube: Array) -> Image:
        """Return the images of points (points, dimension) of the unit cube."""


class Region(Protocol):
    """What the rest of the program asks of a region or of a boundary."""

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates in order."""

    @property
    def bounds(self) -> Bounds:
        """A box around the region, the smallest where it is known."""

    @property
    def normal(self) -> MatrixBase:
        """The outward normal as a SymPy column, valid on boundaries."""

    @property
    def measure(self) -> float:
        """Length, area or volume."""

    @property
    def text(self) -> str:
        """The region in words."""

    def contains(self, points: Array) -> Mask:
        """Return for each row of points whether it is inside; the boundary, to rounding, is."""

    def points(self, unit: UnitPoints, count: int) -> PointSet:
        """Return points uniform by measure, made from points of the unit cube."""


class Solid(Mapped, Region, Protocol):
    """A region of full dimension, as boundaries see it."""

    @property
    def extent(self) -> float:
        """Measure of the image of the unit cube, with what is rejected."""

    @property
    def intervals(self) -> Bounds:
        """The coordinates that run over an interval of their own, whatever the others are."""

    @property
    def size(self) -> float:
        """The longest extent, a length to which rounding is relative."""

    def signed_distance(self, points: Array) -> Array:
        """Return the distance of each row of points to the boundary, or a lower bound of it; negative inside."""

    def beside(self, points: Array, displaced: Sequence[Array], spare: float) -> list[Mask]:
        """Return for each displacement which points are inside; it decides for those nearer a boundary than a distance."""


def normal_symbol(coordinate: Symbol) -> Symbol:
    """Return the symbol of one component of the outward normal; its name cannot be a Python name, so no user has it."""
    return Symbol(f"n[{coordinate.name}]", real=True)


def indicator_symbol(group: str, coordinates: Sequence[Symbol]) -> Symbol:
    """Return the symbol that is 1 in a group of cells and 0 elsewhere; its name tells along which coordinates it jumps."""
    return Symbol(f"in[{group}]({', '.join(c.name for c in coordinates)})", real=True)


def indicates(symbol: Symbol, coordinate: Symbol) -> bool:
    """Return whether a symbol is that of a group of cells, which jumps along a coordinate."""
    found = re.fullmatch(r"in\[.*\]\((.*)\)", symbol.name, flags=re.DOTALL)
    return found is not None and coordinate.name in found[1].split(", ")


def kept_fraction(of: Mapped, *, count: int = TRIAL_POINTS) -> float:
    """Estimate the share of an image that is kept, by the same points every time."""
    if of.dimension == 0:
        return float(of.image(np.zeros((1, 0))).kept[0])
    cube = qmc.Sobol(of.dimension, scramble=True, rng=np.random.default_rng(20)).random(count)
    return float(np.mean(of.image(cube).kept))


def spread(of: Mapped, unit: UnitPoints, count: int) -> Image:
    """Return exactly `count` kept points, made from points of the unit cube.

    Where some are rejected the number drawn is raised until enough are kept; of the few too many, some chosen at random, always
    the same, are left out, because the last ones of a grid all lie on one side.

    Raises:
        ProblemError: Next to nothing is kept.
    """
    wanted = count
    share = of.fraction
    if share < 1:
        wanted = math.ceil(count / max(share, 1.0 / TRIAL_POINTS)) + 2
    for _ in range(_MOST_TRIES):
        cube = unit(wanted, of.dimension) if of.dimension else np.zeros((wanted, 0))
        points, kept, normals = of.image(cube)
        places = np.flatnonzero(kept)
        if len(places) >= count:
            break
        wanted = math.ceil(wanted * min(4.0, max(1.03, count / max(1, len(places))))) + 4
        if wanted > _MOST_CANDIDATES:
            break
    if len(places) < count:
        found = f"only {len(places)} of {len(cube):,} points drawn around it lie in it"
        raise ProblemError("region", found, "use a region that fills more of the box around it")
    if len(places) > count:
        generator = np.random.default_rng(len(places))
        places = np.sort(generator.choice(places, count, replace=False))
    elif len(places) == len(points):
        return Image(points, kept, normals)
    return Image(points[places], kept[places], None if normals is None else normals[places])


def shares(measures: Sequence[float], count: int) -> list[int]:
    """Split a count by measure, largest remainders first, at least one point a part while they last."""
    total = sum(measures)
    ideal = [count * m / total for m in measures]
    found = [int(i) for i in ideal]
    order = sorted(range(len(measures)), key=lambda k: (found[k] > 0, found[k] - ideal[k]))
    for k in order[: count - sum(found)]:
        found[k] += 1
    return found


def columns(points: Array, given: Sequence[Symbol], wanted: Sequence[Symbol]) -> Array:
    """Return the columns of some coordinates, in their order, of points given in another order."""
    if tuple(given) == tuple(wanted):
        return points
    place = {c: k for k, c in enumerate(given)}
    return points[:, [place[c] for c in wanted]]


def unit_sphere(cube: Array) -> Array:
    """Map the unit cube onto the unit sphere, area to area: (points, n - 1) to (points, n), n at least 2.

    The first component x of a uniform point of the sphere in n dimensions is distributed as 2 B - 1 with B of the beta
    distribution of both parameters (n - 1)/2 (in three dimensions uniformly: Archimedes); the others are a uniform point of the
    sphere of one dimension less, scaled by sqrt(1 - x^2).
    """
    count, dimension = len(cube), cube.shape[1] + 1
    points = np.ones((count, dimension))
    left = np.ones(count)
    for k in range(dimension - 2):
        half = (dimension - k - 1) / 2
        share = cube[:, k] if half == 1 else betaincinv(half, half, cube[:, k])
        points[:, k] = left * (2 * share - 1)
        left = left * 2 * np.sqrt(share * (1 - share))
    angle = 2 * np.pi * cube[:, -1]
    points[:, -2], points[:, -1] = left * np.cos(angle), left * np.sin(angle)
    return points
