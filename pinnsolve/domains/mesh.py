"""Meshes: regions made of cells, whose named groups of cells are regions and whose named groups of sides are boundaries.

Every cell is taken as the simplices it divides into, in which points are drawn, located and integrated; what a cell of higher order
has beside its corners, or a side whose corners are not in a plane, is left out with a notice.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Add, Expr, Symbol, sympify

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.cells import Whole
from pinnsolve.domains.facets import Facets, Key
from pinnsolve.domains.images import ROUNDING, Array, Bounds, Image, Mask, indicator_symbol
from pinnsolve.domains.location import Locator
from pinnsolve.domains.mesh_structure import Structure, build, check, check_structure, curvature_notice
from pinnsolve.domains.reading import read_coordinate, refuse_twins
from pinnsolve.domains.shapes import Shape
from pinnsolve.domains.simplices import along_curve, measures, spread_over
from pinnsolve.errors import MeshError, ProblemError

_SHOWN = 12
"""Names of groups listed in a message."""


@dataclass(frozen=True, eq=False, repr=False)
class Mesh(Shape):
    """A region made of segments, triangles, quadrilaterals, tetrahedra, pyramids, prisms or hexahedra.

    `Mesh.read("part.msh", coordinates=(x, y))` reads one; `mesh["steel"]` is a group of cells, a region again, and `mesh["inlet"]`
    one of their sides, a boundary. A mesh is equal to itself alone.

    Args:
        nodes: Points (nodes, coordinates).
        cells: For each kind of cell, by the names of meshio, the nodes at its corners (cells, corners), from 0.
        coordinates: One symbol for each column of the nodes.
        groups: Groups of cells by name: their numbers, counted through all kinds in the order of `cells`.
        parts: Groups of sides by name: for each kind of side the nodes at its corners.
        source: What messages call it.
        blocks: A number for each cell; within a block all cells must be turned the same way. None: one block.
        of: For a group of cells, the mesh of which it is one, and its name.
        file: From which it was read.

    Raises:
        MeshError: Anything that would make a wrong answer of it.
        ProblemError: Coordinates that are not symbols.

    Example:
        >>> nodes, cells = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), {"triangle": np.array([[0, 1, 2]])}
        >>> mesh = ps.Mesh(nodes, cells, (x, y), parts={"wall": {"line": np.array([[0, 1]])}})
        >>> mesh.measure, mesh["wall"].measure
        (0.5, 1.0)
    """

    nodes: Array
    cells: Mapping[str, Whole]
    coordinates: tuple[Symbol, ...]
    groups: Mapping[str, Whole] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Whole]] = field(default_factory=dict)
    source: str = "mesh"
    blocks: Whole | None = None
    of: tuple[Mesh, str] | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        symbols = tuple(read_coordinate("Mesh", c) for c in self.coordinates)
        refuse_twins(symbols)
        whole = partial(_frozen, self.source, "iu")
        nodes = np.atleast_2d(_frozen(self.source, "iuf", "nodes", self.nodes))
        if nodes.shape[1:] != (len(symbols),):
            found = f"nodes in an array {nodes.shape}, and {len(symbols)} coordinates"
            raise MeshError(self.source, found, "give one symbol for each dimension")
        cells = {kind: whole(f"cells {kind!r}", rows) for kind, rows in self.cells.items()}
        parts = {
            n: {kind: whole(f"sides {n!r}", rows) for kind, rows in some.items()} for n, some in self.parts.items()
        }
        blocks = np.zeros(sum(map(len, cells.values())), dtype=np.int64) if self.blocks is None else self.blocks
        given = {
            "coordinates": symbols,
            "nodes": nodes,
            "cells": MappingProxyType(cells),
            "groups": MappingProxyType({name: whole(f"group {name!r}", rows) for name, rows in self.groups.items()}),
            "parts": MappingProxyType(parts),
            "blocks": whole("blocks", blocks),
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if self.of is None:
            check(nodes, cells, self.groups, parts, given["blocks"], self.source)
            check_structure(self._structure, cells, self.source)
            notice = curvature_notice(cells, nodes, self.source)
            if notice is not None:
                warnings.warn(notice, stacklevel=3)

    @staticmethod
    def read(path: str | Path, *, coordinates: Sequence[Symbol]) -> Mesh:
        """Read a mesh of any format that meshio reads, with its named groups.

        Args:
            path: Relative paths start at the folder of the file that calls this.
            coordinates: One symbol for each dimension.

        Raises:
            MeshError: The file is missing, unreadable, or holds a mesh that cannot be used.
        """
        import sys

        from pinnsolve.domains.mesh_reading import read_mesh

        caller = sys._getframe(1).f_globals.get("__file__")
        file = Path(path) if caller is None else Path(caller).resolve().parent / path
        return Mesh(**read_mesh(file, tuple(coordinates)), file=file)

    def __repr__(self) -> str:
        return f"Mesh({self.source}, {self.digest[:16]})" if self.of is None else f"{self.of[0]!r}[{self.of[1]!r}]"

    @cached_property
    def digest(self) -> str:
        """A hash of points, cells and groups."""
        digest = hashlib.sha256(self.nodes.tobytes())
        for name, array in _named_arrays(self):
            digest.update(f"{name} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
        return digest.hexdigest()

    @property
    def count(self) -> int:
        """The number of cells."""
        return sum(map(len, self.cells.values()))

    @cached_property
    def bounds(self) -> Bounds:
        """The smallest box around it."""
        corners = self.nodes[self._structure.simplices]
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        return MappingProxyType({c: (float(a), float(b)) for c, a, b in zip(self.coordinates, low, high, strict=True)})

    @property
    def text(self) -> str:
        """Its file, or its group and file."""
        return self.source if self.of is None else f'"{self.of[1]}" of {self.of[0].text}'

    @cached_property
    def extent(self) -> float:
        """The sum over the cells."""
        return float(self._sizes.sum())

    @property
    def fraction(self) -> float:
        """All of it."""
        return 1.0

    @cached_property
    def boundary(self) -> Boundary:
        """All sides that belong to one cell only."""
        return Boundary(tuple(self._structure.outer.values()), self.coordinates)

    @property
    def simplices(self) -> Whole:
        """The nodes at the corners of the simplices (simplices, n + 1) that the cells divide into, all turned alike."""
        return self._structure.simplices

    @cached_property
    def corners(self) -> Array:
        """The nodes at corners of its own cells (corners, coordinates)."""
        return self.nodes[np.unique(self.simplices)]

    @property
    def facets(self) -> Mapping[str, Whole]:
        """For each group of sides the corners (sides, n) of its segments or triangles."""
        return self._structure.named

    def __getitem__(self, name: str) -> Any:
        """Return a group of cells, a region, or a group of sides, a boundary.

        Raises:
            MeshError: There is no such group, two of one name, or one that is no side of any cell.
        """
        if name in self.groups and name in self.parts:
            found = f"{name!r} is a group of cells and one of sides"
            raise MeshError(self.source, found, "give them different names in the mesher")
        if name in self.groups:
            return self._group(name)
        if name not in self.parts:
            names = list(map(repr, dict.fromkeys([*self.groups, *self.parts])))
            listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            close = _nearest(name, [*self.groups, *self.parts])
            raise MeshError(self.source, f"no group {name!r}", f"it has {listed or 'no groups'}{close}")
        missing, total = self._structure.missing[name], sum(map(len, self.parts[name].values()))
        if missing if self.of is None else missing == total:
            found = f"{missing} of {total} entries of the group {name!r} are no sides of any cell"
            raise MeshError(self.source, found, "name sides of the cells that the mesh is made of")
        pieces = self._structure.pieces(name)
        return Boundary(pieces, self.coordinates)

    def interface(self, first: str, second: str) -> Boundary:
        """Return what lies between two groups of cells, with the normal out of the first.

        Raises:
            MeshError: There is no such group of cells, or they have no side in common.
        """
        piece = self.between(first, second)
        if piece is None:
            found = f"{first!r} and {second!r} have no side in common"
            raise MeshError(self.source, found, "name two groups of cells that touch")
        return Boundary((piece,), self.coordinates)

    def between(self, first: str, second: str) -> Facets | None:
        """Return the sides that two groups of cells have in common, with the normal out of the first, if there are any.

        Raises:
            MeshError: There is no such group of cells.
        """
        for name in (first, second):
            self._require_group(name)
        return self._structure.between(first, second)

    def piece(self, key: Key) -> Facets:
        """Return the piece of boundary or interface that has a key.

        Raises:
            LookupError: There is none.
        """
        return self._structure.piece(key)

    def where(self, values: Mapping[str, Any]) -> Expr:
        """Return a coefficient by groups of cells: `mesh.where({"steel": 50, "air": 0.02})`, numbers or expressions.

        It is a sum over symbols that are 1 in a group and 0 elsewhere; differentiating it is refused, as of any jump.

        Raises:
            MeshError: A group that does not exist, or cells in none of the groups or in several.
        """
        if not isinstance(values, Mapping) or not values:
            raise ProblemError("where(...)", f"{values!r}", 'write mesh.where({"steel": 50, "air": 0.02})')
        stands = np.zeros(self.count, dtype=int)
        for name in values:
            self._require_group(name)
            stands[self.groups[name]] += 1
        for bad, word in ((stands == 0, "none"), (stands > 1, "several")):
            if bad.any():
                found = f"{int(bad.sum())} of {self.count} cells are in {word} of {', '.join(map(repr, values))}"
                raise MeshError(self.source, found, "give one value for every cell")
        return Add(*(sympify(value) * indicator_symbol(name, self.coordinates) for name, value in values.items()))

    @property
    def indicators(self) -> Mapping[Symbol, str]:
        """The symbol of each group of cells, and its name."""
        return {indicator_symbol(name, self.coordinates): name for name in self.groups}

    def members(self, name: str, points: Array) -> Mask:
        """Return which points (points, coordinates) lie in cells of a group; on a boundary, in the cell behind it."""
        inside = np.zeros(self.count + 1, dtype=bool)  # the last for points outside
        inside[self.groups[name]] = True
        return inside[self.cells_at(points)]

    def cells_at(self, points: Array) -> Whole:
        """Return the number of a cell that contains each point (points, coordinates), to rounding; -1 outside."""
        simplices = self._locator.find(points)
        found = np.where(simplices >= 0, self._structure.owners[simplices], -1)
        lost = np.flatnonzero(found < 0)
        if len(lost):
            spare = ROUNDING * self.size
            distances, cells = self._structure.nearest_outer(points[lost], 2 * spare)
            near = distances <= spare
            found[lost[near]] = cells[near]
        return found

    def image(self, cube: Array) -> Image:
        """Spread the cube over the cells, volume to volume, along a curve that fills space."""
        points, _ = spread_over(self._corners, self._cumulated, cube)
        return Image(points, np.ones(len(points), dtype=bool))

    def signed_distance(self, points: Array) -> Array:
        """Return the distance to the nearest side, negative inside."""
        distances = self._structure.nearest_outer(points)[0]
        return np.where(self._locator.find(points) >= 0, -distances, distances)

    def inside(self, points: Array, spare: float) -> Mask:
        """Locate the points; those near the boundary are asked for their distance."""
        inside = self._locator.find(points) >= 0
        rows = np.flatnonzero(inside) if spare < 0 else np.flatnonzero(~inside)
        near = self._structure.near_outer(points[rows], abs(spare))
        inside[rows[near]] = spare >= 0
        return inside

    def quadrature(self, degree: int) -> tuple[Array, Array]:
        """Return points (points, coordinates) and weights that integrate polynomials of a degree over every cell exactly."""
        from pinnsolve.domains.mesh_quadrature import simplex_rule

        shares, weights = simplex_rule(len(self.coordinates), degree)
        points = np.einsum("qk,skc->sqc", shares, self._corners).reshape(-1, len(self.coordinates))
        return points, np.outer(measures(self._corners), weights).ravel()

    def quadrature_points(self, count: int) -> Array:
        """Return the points of the quadrature of lowest degree that has at least so many."""
        degree = 1
        while len(self._corners) * (degree // 2 + 1) ** len(self.coordinates) < count:
            degree += 2
        return self.quadrature(degree)[0]

    def _group(self, name: str) -> Mesh:
        if name not in self._structure.regions:
            chosen = np.zeros(self.count, dtype=bool)
            chosen[self.groups[name]] = True
            if not chosen.any():
                raise MeshError(self.source, f"no cell in the group {name!r}", "name a group that has cells")
            cells, first = {}, 0
            for kind, rows in self.cells.items():
                own = rows[chosen[first : first + len(rows)]]
                first += len(rows)
                if len(own):
                    cells[kind] = own
            self._structure.regions[name] = Mesh(
                self.nodes, cells, self.coordinates, parts=self.parts, source=self.source, of=(self, name)
            )
        return self._structure.regions[name]

    def _require_group(self, name: str) -> None:
        if name not in self.groups:
            listed = ", ".join(map(repr, self.groups)) or "no group of cells"
            raise MeshError(self.source, f"no group of cells {name!r}", f"it has {listed}{_nearest(name, self.groups)}")

    @cached_property
    def _structure(self) -> Structure:
        return build(
            self.nodes,
            self.cells,
            self.coordinates,
            groups=self.groups,
            parts=self.parts,
            text=self.text,
            mesh=self,
        )

    @cached_property
    def _sizes(self) -> Array:
        return measures(self._corners)

    @cached_property
    def _corners(self) -> Array:
        """The corners of the simplices (simplices, n + 1, n), along a curve that fills space."""
        corners = self.nodes[self._structure.simplices]
        return corners[along_curve(corners.mean(axis=1))]

    @cached_property
    def _cumulated(self) -> Array:
        return np.cumsum(self._sizes)

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self.nodes[self._structure.simplices])


def _named_arrays(mesh: Mesh) -> Iterable[tuple[str, Whole]]:
    yield from mesh.cells.items()
    yield from mesh.groups.items()
    for name, kinds in mesh.parts.items():
        for kind, rows in kinds.items():
            yield f"{name} {kind}", rows


def _frozen(source: str, kinds: str, what: str, values: Any) -> Any:
    """Return an array of numbers that nobody changes any more."""
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(None)
    if (array.dtype.kind not in kinds and array.size) or array.ndim == 0:
        word = "numbers" if "f" in kinds else "whole numbers"
        raise MeshError(source, f"{what} are not an array of {word}", "give a NumPy array")
    array = array.astype(np.float64 if "f" in kinds else np.int64)
    array.flags.writeable = False
    return array


def _nearest(name: str, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; perhaps {close[0]!r}" if close else ""
