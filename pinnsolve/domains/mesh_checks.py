"""Checks of a mesh: everything that would make a wrong answer of it is refused here, with counts and numbers.

Points and cells are numbered from 1 in messages, as mesh files do, cells of each kind by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.spatial import cKDTree

from pinnsolve.domains.cells import KINDS, Whole, pulled, sides_of_four
from pinnsolve.domains.images import Array, Mask
from pinnsolve.domains.location import Locator
from pinnsolve.domains.simplices import distances_to, longest_edges, signed_measures
from pinnsolve.domains.topology import Topology, components
from pinnsolve.errors import MeshError

_FLAT = 1e-12
"""A cell whose measure, relative to that of a cube on its longest edge, is below this is degenerate."""

_FEW = 0.1
"""Below this share, cells turned over against the others are mistakes; programs to which it is all one turn about half of them."""

_SHOWN = 3
_CENTRE_SPARE = 1e-6

FLAT_SIDE = 1e-9
"""A side whose fourth corner is farther than this from the plane of the others, relative to the longest edge, is not plane."""


def check_points(points: Array, source: str) -> None:
    """Raise unless there are points, all finite and none absurdly far."""
    if not len(points):
        raise MeshError(source, "no points", "write the mesh again, with its points")
    bad = np.asarray(~np.isfinite(points).all(axis=1))
    if bad.any():
        found = f"{_counted(bad, 'points', 'has', 'have')} coordinates that are not finite numbers"
        raise MeshError(source, found, "write the mesh again")
    with np.errstate(over="ignore"):
        size = float(np.ptp(points, axis=0).max())
    if not 1e-150 < size < 1e150:
        raise MeshError(source, f"the points extend over {size:g}", "scale the mesh to lengths of ordinary size")


def check_indices(kind: str, cells: Whole, count: int, source: str) -> None:
    """Raise unless cells of a kind name points that exist, each once."""
    name = KINDS[kind].name
    outside = np.asarray(((cells < 0) | (cells >= count)).any(axis=1))
    if outside.any():
        found = f"{_counted(outside, name, 'names', 'name')} points that do not exist; there are {count}"
        raise MeshError(source, found, "write the mesh again, with every point that its cells use")
    ordered = np.sort(cells, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        found = f"{_counted(twice, name, 'has', 'have')} a point twice among its corners"
        raise MeshError(source, found, "remove degenerate cells in the mesher")
    _, first = np.unique(ordered, axis=0, return_index=True)
    if len(first) < len(cells):
        again = np.ones(len(cells), dtype=bool)
        again[first] = False
        found = f"{_counted(again, name, 'stands', 'stand')} there for the second time"
        raise MeshError(source, found, "remove repeated cells in the mesher")


def check_shapes(kind: str, cells: Whole, points: Array, blocks: Whole, source: str) -> None:
    """Raise unless cells of a kind have a measure and are turned the same way within a block.

    Args:
        kind: Of full dimension.
        cells: (cells, corners).
        points: (points, coordinates).
        blocks: A number for each cell; those of different blocks, such as two surfaces of a drawing, may be turned differently.
        source: For messages.
    """
    name = KINDS[kind].name
    parts = pulled(kind, cells)
    corners = points[parts]
    count, each = parts.shape[:2]
    flat_corners = corners.reshape(count * each, *corners.shape[2:])
    sizes = signed_measures(flat_corners).reshape(count, each)
    edges = longest_edges(points[cells])
    flat = np.asarray((np.abs(sizes) <= _FLAT * edges[:, None] ** points.shape[1]).any(axis=1))
    if flat.any():
        found = f"{_counted(flat, name, 'has', 'have')} no {_measure_word(points.shape[1])}"
        raise MeshError(source, found, "remove degenerate cells in the mesher")
    mixed = np.asarray(~((sizes > 0).all(axis=1) | (sizes < 0).all(axis=1)))
    if mixed.any():
        found = f"{_counted(mixed, name, 'is', 'are')} not convex, or its corners are out of order"
        raise MeshError(source, found, "repair the cells in the mesher")
    turned = sizes[:, 0] < 0
    total, negative = (np.bincount(blocks, weights=w, minlength=blocks.max() + 1) for w in (None, turned))
    share = (negative / np.maximum(total, 1))[blocks]
    few: Mask = ((share > 0) & (share < _FEW) & turned) | ((share > 1 - _FEW) & (share < 1) & ~turned)
    if few.any():
        found = (
            f"{_counted(few, name, 'is', 'are')} inverted, turned over against the others of the same surface or volume"
        )
        raise MeshError(source, found, "give all cells of a surface or volume one orientation in the mesher")


def check_conformity(
    topology: Topology, simplices: Whole, points: Array, name: Callable[[int], str], source: str
) -> None:
    """Raise unless simplices meet in whole facets, two at each, on opposite sides of it.

    Args:
        topology: Of the simplices.
        simplices: (simplices, n + 1).
        points: (points, n).
        name: Returns the cell of a simplex in words.
        source: For messages.
    """
    crowded = topology.counts > 2
    if crowded.any():
        example = name(int(topology.owners[np.argmax(crowded), 0]))
        found = f"{int(crowded.sum())} sides belong to more than two cells, such as one of {example}"
        raise MeshError(source, found, "remove cells that lie on each other in the mesher")
    inner = np.flatnonzero(topology.counts == 2)
    if len(inner):
        first, second = (
            signed_measures(points[np.concatenate([topology.facets[inner], topology.opposite[inner, k, None]], axis=1)])
            for k in (0, 1)
        )
        folded = inner[(first > 0) == (second > 0)]
        if len(folded):
            pair = " and ".join(name(int(s)) for s in topology.owners[folded[0]])
            found = (
                f"{len(folded)} pairs of cells overlap: they lie on the same side of what they share, such as {pair}"
            )
            raise MeshError(source, found, "remove folded cells in the mesher")
    _check_overlap(simplices, points, name, source)


def check_seams(topology: Topology, points: Array, named: Mask, source: str) -> None:
    """Raise where the boundary lies on itself, because parts are not joined, or where a single cell is missing.

    Args:
        topology: Of the simplices.
        points: (points, n).
        named: Which facets of all belong to a group of facets.
        source: For messages.
    """
    outer = topology.outer
    corners = points[topology.facets[outer]]
    _check_slits(corners, source)
    if not named.any() or points.shape[1] < 2:
        return
    part = components(_neighbours(topology.facets[outer]), len(outer))
    size = np.bincount(part)
    unnamed = np.bincount(part, weights=~named[outer]) == size
    outward = corners.mean(axis=1) - points[topology.opposite[outer, 0]]
    hole, where = 0, ""
    for k in np.flatnonzero((size == points.shape[1] + 1) & unnamed):
        rows = part == k
        centre = corners[rows].mean(axis=(0, 1))
        if ((centre - corners[rows].mean(axis=1)) * outward[rows]).sum(axis=1).min() > 0:
            hole += 1
            where = where or ", ".join(f"{v:.6g}" for v in centre)
    if hole:
        word = "a cell is" if hole == 1 else "cells are"
        found = f"{hole} {'hole' if hole == 1 else 'holes'} of the size of one cell, without a name: {word} missing at ({where})"
        raise MeshError(source, found, "add the cell, or name the sides of the hole as a group")


def curved_sides(kind: str, cells: Whole, points: Array) -> tuple[int, float]:
    """Return how many sides of cells in space are not plane, and the largest distance of a corner to the plane of three others."""
    sides = sides_of_four(kind, cells) if points.shape[1] == 3 else np.zeros((0, 4), dtype=np.int64)
    if not len(sides):
        return 0, 0.0
    a, b, c, d = (points[sides[:, k]] for k in range(4))
    normal = np.cross(c - a, d - b)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    gap = np.abs(((b - a) * normal).sum(axis=1))
    curved = gap > FLAT_SIDE * longest_edges(points[sides])
    different = np.unique(np.sort(sides[curved], axis=1), axis=0)
    return len(different), float(gap.max())


def describe_cells(kinds: Mapping[str, int], numbers: Whole) -> str:
    """Return some cells, numbered through all kinds, in words: `triangles 3, 8 and 9`."""
    first = 0
    parts = []
    for kind, count in kinds.items():
        own = numbers[(numbers >= first) & (numbers < first + count)] - first
        if len(own):
            parts.append(_which(np.isin(np.arange(count), own), KINDS[kind].name))
        first += count
    return ", ".join(parts)


def _check_overlap(simplices: Whole, points: Array, name: Callable[[int], str], source: str) -> None:
    """Raise where the centre of one simplex lies in another: parts that lie on each other without sharing anything."""
    corners = points[simplices]
    for rows, others in Locator(corners).containing(corners.mean(axis=1)):
        apart = rows != others
        if apart.any():
            first = int(np.argmax(apart))
            pair = f"{name(int(rows[first]))} and {name(int(others[first]))}"
            raise MeshError(
                source, f"cells overlap, such as {pair}", "remove cells that lie on each other in the mesher"
            )


def _check_slits(corners: Array, source: str) -> None:
    centres, sizes = corners.mean(axis=1), longest_edges(corners)
    scale = float(sizes.max()) or float(np.ptp(centres, axis=0).max()) or 1.0
    near = cKDTree(centres).query(
        centres, k=range(2, min(4, len(centres)) + 1), distance_upper_bound=_CENTRE_SPARE * scale
    )
    rows, columns = np.nonzero(np.isfinite(near[0]))
    pairs = np.stack([rows, near[1][rows, columns]], axis=1)
    if not len(pairs):
        return
    one, other = corners[pairs[:, 0]], corners[pairs[:, 1]]
    gaps = np.max([distances_to(one[:, k], other) for k in range(one.shape[1])], axis=0)
    spare = _CENTRE_SPARE * sizes[pairs].min(axis=1) if corners.shape[1] > 1 else FLAT_SIDE * scale
    close = gaps <= spare
    if close.any():
        place = ", ".join(f"{v:.6g}" for v in centres[pairs[np.argmax(close), 0]])
        count = len(np.unique(pairs[close, 0]))
        found = f"{count} sides of the boundary lie on each other and are not joined, such as those at ({place})"
        raise MeshError(source, found, "merge points that coincide in the mesher (in Gmsh: coherence)")


def _neighbours(facets: Whole) -> Whole:
    """Return pairs of facets that have all but one corner in common."""
    count, corners = facets.shape
    ridges = np.concatenate([np.delete(facets, k, axis=1) for k in range(corners)])
    owners = np.tile(np.arange(count), corners)
    _, number = np.unique(ridges, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    same = number.ravel()[order][1:] == number.ravel()[order][:-1]
    return np.stack([owners[order][1:], owners[order][:-1]], axis=1)[same]


def _counted(bad: Mask, name: str, one: str, several: str) -> str:
    """Return in words how many of all are bad, and which: `3 of 40 triangles (numbers 5, 8, 9) have`."""
    total = int(bad.sum())
    return f"{total} of {len(bad)} {name} ({_numbers(np.flatnonzero(bad))}) {one if total == 1 else several}"


def _which(bad: Mask, name: str) -> str:
    return f"{name} {_numbers(np.flatnonzero(bad))}"


def _numbers(rows: Whole) -> str:
    shown = ", ".join(str(int(r) + 1) for r in rows[:_SHOWN])
    return f"number {shown}" if len(rows) == 1 else f"numbers {shown}{', …' if len(rows) > _SHOWN else ''}"


def _measure_word(dimension: int) -> str:
    return {1: "length", 2: "area", 3: "volume"}[dimension]
