"""Closed surfaces of triangles, as .stl and .obj files hold them: the region is what they enclose.

A point is inside where a ray from it crosses the surface an odd number of times. Rays along three directions that no drawing has
are asked, and the majority decides, so that a ray through an edge, which counts two triangles, misleads nobody. The volume is that
of the divergence theorem.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.cells import Whole
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.images import Array, Bounds, Image, Mask
from pinnsolve.domains.location import Locator
from pinnsolve.domains.mesh_checks import check_indices, check_points
from pinnsolve.domains.mesh_reading import read_surface
from pinnsolve.domains.reading import read_coordinate, refuse_twins
from pinnsolve.domains.shapes import Shape
from pinnsolve.domains.simplices import measures, signed_measures
from pinnsolve.errors import MeshError

_DIRECTIONS = 3
_FLAT = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Surface(Shape):
    """The inside of a closed surface: `Surface.read("part.stl", coordinates=(x, y, z))`. It is equal to itself alone.

    Args:
        nodes: Points (nodes, 3); those that coincide are one.
        triangles: The nodes at the corners (triangles, 3), all turned alike.
        coordinates: Three symbols.
        source: What messages call it.
        file: From which it was read.

    Raises:
        MeshError: A surface that is not closed, whose triangles are not turned alike, or that encloses nothing.
        ProblemError: Coordinates that are not symbols.

    Example:
        >>> nodes = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> triangles = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
        >>> round(ps.Surface(nodes, triangles, (x, y, z)).measure, 4)
        0.1667
    """

    nodes: Array
    triangles: Whole
    coordinates: tuple[Symbol, ...]
    source: str = "surface"
    file: Path | None = None

    def __post_init__(self) -> None:
        symbols = tuple(read_coordinate("Surface", c) for c in self.coordinates)
        refuse_twins(symbols)
        nodes, triangles = np.array(self.nodes, dtype=np.float64), np.array(self.triangles, dtype=np.int64)
        if len(symbols) != 3 or nodes.shape[1:] != (3,) or triangles.shape[1:] != (3,):
            found = f"nodes {nodes.shape}, triangles {triangles.shape} and {len(symbols)} coordinates"
            raise MeshError(self.source, found, "give points and triangles in three dimensions")
        check_points(nodes, self.source)
        if not len(triangles):
            raise MeshError(self.source, "no triangles", "write the surface again")
        nodes, renumbered = np.unique(nodes, axis=0, return_inverse=True)
        triangles = _renumbered(triangles, renumbered.ravel(), self.source)
        _check_closed(nodes, triangles, self.source)
        volume = _volume(nodes[triangles])
        if abs(volume) <= _FLAT * math.prod(np.ptp(nodes, axis=0)):
            raise MeshError(self.source, "a surface that encloses nothing", "give a closed surface")
        if volume < 0:
            triangles = triangles[:, ::-1].copy()
        for name, value in {"coordinates": symbols, "nodes": nodes, "triangles": triangles}.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @staticmethod
    def read(path: str | Path, *, coordinates: Sequence[Symbol]) -> Surface:
        """Read the triangles and quadrilaterals of a surface in any format that meshio reads.

        Args:
            path: Relative paths start at the folder of the file that calls this.
            coordinates: Three symbols.

        Raises:
            MeshError: The file is missing, unreadable, or holds no closed surface.
        """
        caller = sys._getframe(1).f_globals.get("__file__")
        file = Path(path) if caller is None else Path(caller).resolve().parent / path
        nodes, triangles = read_surface(file)
        return Surface(nodes, triangles, tuple(coordinates), file.name, file)

    def __repr__(self) -> str:
        digest = hashlib.sha256(self.nodes.tobytes() + self.triangles.tobytes()).hexdigest()
        return f"Surface({self.source}, {digest[:16]})"

    @property
    def text(self) -> str:
        """Its file."""
        return f"the inside of {self.source}"

    @cached_property
    def bounds(self) -> Bounds:
        """The smallest box around it."""
        low, high = self.nodes.min(axis=0), self.nodes.max(axis=0)
        return {c: (float(a), float(b)) for c, a, b in zip(self.coordinates, low, high, strict=True)}

    @property
    def extent(self) -> float:
        """That of the box around it."""
        return math.prod(high - low for low, high in self.bounds.values())

    @cached_property
    def fraction(self) -> float:
        """The exact volume, over that of the box."""
        return _volume(self._corners) / self.extent

    @cached_property
    def boundary(self) -> Boundary:
        """All triangles."""
        return Boundary((self.piece,), self.coordinates)

    @cached_property
    def piece(self) -> Facets:
        """The one piece of its boundary."""
        normals = np.cross(self._corners[:, 1] - self._corners[:, 0], self._corners[:, 2] - self._corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        cells = np.zeros(len(normals), dtype=np.int64)
        return Facets(self.coordinates, self._corners, normals, cells, self.source, self, ("outer", (), ()))

    def image(self, cube: Array) -> Image:
        """Scale the cube to the box around it."""
        low, high = np.array(list(self.bounds.values())).T
        points = low + (high - low) * cube
        return Image(points, self._odd(points))

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the nearest triangle, negative inside."""
        distances = self.piece.distance(points)
        return np.where(self._odd(points), -distances, distances)

    def inside(self, points: Array, spare: float) -> Mask:
        """Count crossings; points near the surface are asked for their distance."""
        inside = self._odd(points)
        rows = np.flatnonzero(inside if spare < 0 else ~inside)
        near = self.piece.nearest(points[rows], 2 * abs(spare)) <= abs(spare)
        inside[rows[near]] = spare >= 0
        return inside

    def _odd(self, points: Array) -> Mask:
        votes = np.zeros(len(points), dtype=np.int64)
        for turn, locator, planes in self._views:
            turned = points @ turn.T
            crossings = np.zeros(len(points), dtype=np.int64)
            for rows, triangles in locator.containing(turned[:, :2]):
                a, b, c = planes[triangles].T
                above = a * turned[rows, 0] + b * turned[rows, 1] + c > turned[rows, 2]
                crossings[rows[above]] += 1
            votes += crossings % 2
        return np.asarray(votes > _DIRECTIONS // 2)

    @cached_property
    def _corners(self) -> Array:
        return self.nodes[self.triangles]

    @cached_property
    def _views(self) -> list[tuple[Array, Locator, Array]]:
        """For each direction: the rotation to it, where triangles lie across it, and their planes z = a x + b y + c."""
        found = []
        for turn in Rotation.random(_DIRECTIONS, rng=np.random.default_rng(24)).as_matrix():
            corners = self._corners @ turn.T
            across = np.abs(signed_measures(corners[:, :, :2])) > _FLAT * measures(corners)
            some = corners[across]
            ones = np.ones((*some.shape[:2], 1))
            planes = np.linalg.solve(np.concatenate([some[:, :, :2], ones], axis=2), some[:, :, 2, None])[:, :, 0]
            found.append((turn, Locator(some[:, :, :2]), planes))
        return found


def _renumbered(triangles: Whole, numbers: Whole, source: str) -> Whole:
    """Return triangles by the numbers of points that are different, without those that have none but two of them."""
    if triangles.min() < 0 or triangles.max() >= len(numbers):
        raise MeshError(
            source, f"triangles name points that do not exist; there are {len(numbers)}", "write the surface again"
        )
    found = numbers[triangles]
    check_indices("triangle", found, len(numbers), source)
    return found


def _check_closed(nodes: Array, triangles: Whole, source: str) -> None:
    """Raise unless every edge belongs to two triangles, which run along it in opposite directions."""
    flat = measures(nodes[triangles]) <= 0
    if flat.any():
        raise MeshError(
            source, f"{int(flat.sum())} of {len(flat)} triangles have no area", "remove degenerate triangles"
        )
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    _, first, which, counts = np.unique(
        np.sort(edges, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    faults = ((counts > 2, "belong to several triangles"), (counts == 1, "belong to one triangle only: it has holes"))
    for bad, found in faults:
        if bad.any():
            place = ", ".join(f"{v:.6g}" for v in nodes[edges[first[int(np.argmax(bad))]]].mean(axis=0))
            raise MeshError(
                source, f"{int(bad.sum())} of {len(bad)} edges {found}, such as one at ({place})", "close the surface"
            )
    forward = np.bincount(which.ravel(), weights=edges[:, 0] < edges[:, 1])
    turned = forward != 1
    if turned.any():
        found = f"triangles at {int(turned.sum())} of {len(turned)} edges are turned over against each other"
        raise MeshError(source, found, "orient the triangles alike")


def _volume(corners: Array) -> float:
    """Return the volume that oriented triangles enclose."""
    middle = corners.mean(axis=(0, 1))
    a, b, c = (corners[:, k] - middle for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)
