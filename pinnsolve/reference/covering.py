"""Coverings: a region filled with triangles or tetrahedra, its boundary sorted by the conditions that hold there.

A plane region of curves is traced and triangulated; a mesh is taken as it is, every cell as the simplices it divides into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.cells import divide
from pinnsolve.domains.images import Array, Mask
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.simplices import signed_measures
from pinnsolve.domains.topology import find_facets
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.elements import Elements
from pinnsolve.reference.natural_conditions import Stretch
from pinnsolve.reference.outlines import Outline, trace
from pinnsolve.reference.regional import Placed, Regional, refusal
from pinnsolve.reference.triangulation import Numbers, Triangulation, triangulate

LEAST_HALVINGS = 2
_FIRST_TRIANGLES, _FIRST_IN_TIME = 100, 40
_MOST_NODES = 250_000
_ATTEMPTS = 5
_LOOKS = 5
"""Places on each curve at which conditions are tried."""

_MOST_LOOKS = 50
_TOWARDS = 0.9
"""How far towards its corners a side of a mesh is asked for its conditions."""


@dataclass(frozen=True)
class Covering:
    """A region and its boundary, ready for elements.

    Args:
        coarsest: The first triangulation.
        kinds: For each tag of its boundary the number of the stretch.
        stretches: Parts of the boundary that bear the same conditions.
        inner: Some places inside (places, coordinates and groups of cells).
        groups: The values by groups of cells (groups, cells).
    """

    coarsest: Triangulation
    kinds: Numbers
    stretches: tuple[Stretch, ...]
    inner: Array
    groups: Array


def cover(problem: Problem, regional: Regional, *, order: int, size: float | None) -> Covering:
    """Return the covering of a problem's region.

    Args:
        problem: The declaration.
        regional: The same, read.
        order: Of the elements.
        size: The length of the finest edges, if it is given.

    Raises:
        UnsupportedError: The region cannot be triangulated, or a condition ends within a side of a mesh.
        ProblemError: A size that asks for too many elements.
    """
    if isinstance(regional.shape, Mesh):
        return _cover_mesh(problem, regional, regional.shape, size)
    conditions = [placed for placed in regional.terms if placed.on_boundary]
    boundaries = [placed.region for placed in conditions if isinstance(placed.region, Boundary)]
    outline = trace(regional.shape, boundaries, lambda places: _marks(problem, regional, conditions, places))
    coarsest = _coarsest(outline, regional, order, size)
    every, kinds = np.unique(outline.marks, axis=0, return_inverse=True)
    looks = (np.arange(_LOOKS) + 0.5) / _LOOKS
    stretches = []
    for kind, marks in enumerate(every):
        own = [curve for curve, k in zip(outline.curves, kinds.ravel(), strict=True) if k == kind]
        places = np.concatenate([curve.at(looks) for curve in own])
        normals = regional.shape.boundary.normals_at(places)
        stretches.append(Stretch(_numbers(marks), _points(problem, regional, places), normals))
    centres = coarsest.points[coarsest.cells].mean(axis=1)
    inner = _points(problem, regional, centres)
    return Covering(coarsest, kinds.ravel(), tuple(stretches), inner, np.zeros((0, len(coarsest.cells))))


def _cover_mesh(problem: Problem, regional: Regional, mesh: Mesh, size: float | None) -> Covering:
    simplices, owners = _simplices(mesh)
    used, renumbered = np.unique(simplices, return_inverse=True)
    points, cells = np.asarray(mesh.nodes[used]), renumbered.reshape(simplices.shape)
    topology = find_facets(cells)
    outer = topology.outer
    corners = points[topology.facets[outer]]
    conditions = [placed for placed in regional.terms if placed.on_boundary]
    centres = corners.mean(axis=1)
    marks = _marks(problem, regional, conditions, centres)
    for corner in corners.swapaxes(0, 1):
        beside = _marks(problem, regional, conditions, centres + _TOWARDS * (corner - centres))
        if (beside != marks).any():
            number = int(np.argmax((beside != marks).any(axis=0)))
            raise refusal(conditions[number].reading.name, "it ends within a side of a cell of the mesh")
    every, tags = np.unique(marks, axis=0, return_inverse=True)
    values = np.zeros((len(regional.groups), mesh.count))
    for row, symbol in zip(values, regional.groups, strict=True):
        row[mesh.groups[mesh.indicators[symbol]]] = 1.0
    groups = values[:, owners]
    behind = topology.owners[outer, 0]
    generator = np.random.default_rng(0)
    stretches = []
    for kind, held in enumerate(every):
        own = generator.permutation(np.flatnonzero(tags.ravel() == kind))[:_MOST_LOOKS]
        places = _points(problem, regional, centres[own], groups[:, behind[own]])
        stretches.append(Stretch(_numbers(held), places, mesh.boundary.normals_at(centres[own])))
    longest = float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())
    wanted = longest if size is None else max(longest, float(size) * 2**LEAST_HALVINGS)
    _check_size(size, len(points) * (wanted / size) ** points.shape[1] if size is not None else 0.0)
    coarsest = Triangulation(points, cells, topology.facets[outer], tags.ravel(), (), wanted, np.arange(len(cells)))
    inner = _points(problem, regional, points[cells].mean(axis=1), groups)
    return Covering(coarsest, np.arange(len(every)), tuple(stretches), inner, groups)


def _simplices(mesh: Mesh) -> tuple[Numbers, Numbers]:
    """Return the simplices of a mesh, all turned alike, and the cell of each."""
    found, owners, first = [], [], 0
    for kind, rows in mesh.cells.items():
        pieces, own = divide(kind, rows)
        found.append(pieces)
        owners.append(own + first)
        first += len(rows)
    simplices = np.concatenate(found)
    turned = signed_measures(mesh.nodes[simplices]) < 0
    simplices[turned, :2] = simplices[turned, 1::-1]
    return simplices, np.concatenate(owners)


def _marks(problem: Problem, regional: Regional, conditions: Sequence[Placed], places: Array) -> Mask:
    """Return which conditions hold at places of the boundary (places, conditions)."""
    points = _points(problem, regional, places)[:, : len(problem.coordinates)]
    held = [placed.holds(points, problem.coordinates, size=regional.shape.size) for placed in conditions]
    return np.column_stack([np.zeros((len(places), 0), dtype=bool), *held])


def _numbers(marks: Mask) -> tuple[int, ...]:
    return tuple(int(k) for k in np.flatnonzero(marks))


def _points(problem: Problem, regional: Regional, places: Array, groups: Array | None = None) -> Array:
    """Return places in space as points of all coordinates, in the middle of the time, followed by values by groups of cells."""
    columns = [
        np.full(len(places), np.mean(problem.bounds[c]))
        if k == regional.time
        else places[:, regional.shape.coordinates.index(c)]
        for k, c in enumerate(problem.coordinates)
    ]
    return np.column_stack([*columns, *(np.zeros((0, len(places))) if groups is None else groups)])


def _coarsest(outline: Outline, regional: Regional, order: int, wanted: float | None) -> Triangulation:
    """Return the first triangulation, fine enough for its curved triangles not to be turned over."""
    area = regional.shape.measure
    size = _edge_of(area / (_FIRST_TRIANGLES if regional.time is None else _FIRST_IN_TIME))
    if wanted is not None:
        length = sum(curve.length for curve in outline.curves)
        _check_size(wanted, (order / wanted) * (order / wanted * area + length))
        size = min(wanted * 2 ** max(LEAST_HALVINGS, int(np.log2(size / wanted))), outline.size)
    for _ in range(_ATTEMPTS):
        found = triangulate(outline, size)
        if not Elements(found, order, np.zeros((0, len(found.cells)))).is_turned_over:
            return found
        size /= 2
    raise refusal("domain", "its boundary is too curved for triangles of this size")


def _check_size(size: float | None, nodes: float) -> None:
    if size is not None and nodes > _MOST_NODES:
        found = f"size={size!r} asks for about {nodes:,.0f} nodes"
        raise ProblemError("FiniteElements", found, f"give a size for fewer than {_MOST_NODES:,}")


def _edge_of(area: float) -> float:
    """Return the edge of an equilateral triangle."""
    return float(np.sqrt(4 * area / np.sqrt(3)))
