"""The structure of a mesh: its simplices, how they touch, and the pieces that its boundary and its interfaces consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.cells import KINDS, Whole, divide
from pinnsolve.domains.facets import Facets, Key
from pinnsolve.domains.images import Array, Mask
from pinnsolve.domains.location import Nearest
from pinnsolve.domains.mesh_checks import (
    check_conformity,
    check_indices,
    check_points,
    check_seams,
    check_shapes,
    curved_sides,
)
from pinnsolve.domains.simplices import signed_measures, unit_normals
from pinnsolve.domains.topology import Topology, find_facets
from pinnsolve.errors import MeshError

Sides = Mapping[str, Mapping[str, Whole]]


@dataclass(frozen=True, eq=False)
class Structure:
    """What follows from points, cells and groups.

    Args:
        points: (points, n).
        coordinates: In order.
        simplices: (simplices, n + 1), all turned alike.
        owners: The cell of each simplex.
        topology: Of the simplices.
        groups: Cells by name.
        parts: Facets by name, as numbers in the topology.
        missing: For each part, how many of its sides are none of any cell.
        text: What the mesh is called.
        mesh: Whose structure it is.
    """

    points: Array
    coordinates: tuple[Symbol, ...]
    simplices: Whole
    owners: Whole
    topology: Topology
    groups: Mapping[str, Whole]
    parts: Mapping[str, Whole]
    missing: Mapping[str, int]
    text: str
    mesh: Any
    regions: dict[str, Any] = field(default_factory=dict)
    _interfaces: dict[tuple[str, ...], Facets | None] = field(default_factory=dict)

    @cached_property
    def named(self) -> Mapping[str, Whole]:
        """For each part the corners (facets, n) of its facets."""
        return {name: self.topology.facets[rows] for name, rows in self.parts.items()}

    @cached_property
    def outer(self) -> Mapping[tuple[tuple[str, ...], tuple[str, ...]], Facets]:
        """The boundary, in pieces that lie in the same parts and beside the same groups of cells, by the names of both."""
        facets = self.topology.outer
        beside = self.owners[self.topology.owners[facets, 0]]
        masks = np.concatenate([_memberships(self.parts, facets), _memberships(self.groups, beside)], axis=1)
        kinds, which = np.unique(masks, axis=0, return_inverse=True)
        names = [*self.parts, *self.groups]
        split = len(self.parts)
        labels = [
            tuple(tuple(n for n, m in zip(some, mask, strict=True) if m) for some, mask in halves)
            for kind in kinds
            for halves in [((names[:split], kind[:split]), (names[split:], kind[split:]))]
        ]
        rest = "the boundary without a name" if any(p for p, _ in labels) else "the boundary"
        found = {}
        for number, (parts, groups) in enumerate(labels):
            several = sum(p == parts for p, _ in labels) > 1
            text = f"{_listed(parts) or rest} of {self.text}" + (
                f" beside {_listed(groups)}" if several and groups else ""
            )
            rows = facets[which.ravel() == number]
            found[parts, groups] = self._piece(rows, 0, text, ("outer", parts, groups))
        return found

    def pieces(self, name: str) -> tuple[Facets, ...]:
        """Return the pieces of a part: those of the boundary, and what of it lies between cells."""
        found = [piece for (parts, _), piece in self.outer.items() if name in parts]
        rows = self.parts[name]
        inner = rows[self.topology.counts[rows] == 2]
        if len(inner):
            if ("part", name) not in self._interfaces:
                self._interfaces["part", name] = self._inner(name, inner)
            found += [piece for piece in [self._interfaces["part", name]] if piece is not None]
        return tuple(found)

    def between(self, first: str, second: str) -> Facets | None:
        """Return the facets between two groups of cells, with the normal out of the first; None where there are none."""
        if (first, second) not in self._interfaces:
            inner = np.flatnonzero(self.topology.counts == 2)
            cells = self.owners[self.topology.owners[inner]]
            one, other = (np.isin(cells, self.groups[name]) for name in (first, second))
            straight = one[:, 0] & other[:, 1] & ~one[:, 1] & ~other[:, 0]
            turned = one[:, 1] & other[:, 0] & ~one[:, 0] & ~other[:, 1]
            text = f"the interface between {first!r} and {second!r} of {self.text}"
            piece = None
            if (straight | turned).any():
                side = np.where(straight, 0, 1)[straight | turned]
                piece = self._piece(inner[straight | turned], side, text, ("between", (first,), (second,)))
            self._interfaces[first, second] = piece
        return self._interfaces[first, second]

    def piece(self, key: Key) -> Facets:
        """Return the piece that has a key.

        Raises:
            LookupError: There is none.
        """
        kind, first, second = key
        found: Facets | None
        if kind == "outer":
            found = self.outer[first, second]
        elif kind == "between":
            found = self.between(first[0], second[0])
        else:
            found = next((p for p in self.pieces(first[0]) if p.key[0] == kind), None)
        if found is None:
            raise LookupError(f"no piece {key}")
        return found

    def nearest_outer(self, points: Array, within: float = np.inf) -> tuple[Array, Whole]:
        """Return the distance of points to the boundary, infinity where it exceeds a limit, and the cell behind what is nearest."""
        distances, places = self._nearest.find(points, within=within)
        return distances, self.owners[self.topology.owners[self.topology.outer[places], 0]]

    def near_outer(self, points: Array, distance: float) -> Mask:
        """Return which points the boundary is at this distance of, or nearer to."""
        return self._nearest.near(points, distance)

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self.points[self.topology.facets[self.topology.outer]])

    def _inner(self, name: str, facets: Whole) -> Facets:
        """Return facets between cells, their normals out of the cell of the lower group, or number."""
        cells = self.owners[self.topology.owners[facets]]
        rank = np.full(int(self.owners.max()) + 1, len(self.groups))
        for number, rows in reversed(list(enumerate(self.groups.values()))):
            rank[rows] = number
        ranks = rank[cells]
        second = (ranks[:, 1] < ranks[:, 0]) | ((ranks[:, 1] == ranks[:, 0]) & (cells[:, 1] < cells[:, 0]))
        return self._piece(facets, second.astype(int), f"{name!r} inside {self.text}", ("inner", (name,), ()))

    def _piece(self, facets: Whole, side: Any, text: str, key: Key) -> Facets:
        corners = self.points[self.topology.facets[facets]]
        chosen = (facets, np.broadcast_to(side, len(facets)))
        opposite = self.points[self.topology.opposite[chosen]]
        cells = self.owners[self.topology.owners[chosen]]
        inner = bool((self.topology.counts[facets] > 1).any())
        return Facets(self.coordinates, corners, unit_normals(corners, opposite), cells, text, self.mesh, key, inner)


def check(
    points: Array,
    cells: Mapping[str, Whole],
    groups: Mapping[str, Whole],
    parts: Sides,
    blocks: Whole,
    source: str,
) -> None:
    """Raise unless a mesh can be used; what follows is asked of the structure by `check_structure`.

    Raises:
        MeshError: Names what is wrong, with counts.
    """
    check_points(points, source)
    if not cells:
        raise MeshError(
            source, "no cells", "write the mesh with its cells (in Gmsh: name the surfaces or volumes, too)"
        )
    total = sum(map(len, cells.values()))
    if blocks.shape != (total,) or blocks.min() < 0:
        raise MeshError(
            source, f"{blocks.shape} numbers of blocks for {total} cells", "give one, from 0, for each cell"
        )
    first = 0
    for kind, rows in cells.items():
        if kind not in KINDS or KINDS[kind].dimension != points.shape[1] or rows.shape[1:] != (KINDS[kind].corners,):
            known = ", ".join(k for k, entry in KINDS.items() if entry.dimension == points.shape[1])
            found = f"cells {kind!r} with corners {rows.shape} in {points.shape[1]} dimensions"
            raise MeshError(source, found, f"give arrays (cells, corners) of the kinds {known}")
        check_indices(kind, rows, len(points), source)
        check_shapes(kind, rows, points, blocks[first : first + len(rows)], source)
        first += len(rows)
    for name, members in groups.items():
        if members.ndim != 1 or ((members < 0) | (members >= total)).any():
            found = f"the group {name!r} names cells that do not exist; there are {total}"
            raise MeshError(source, found, "number cells through all kinds, from 0")
    for name, kinds in parts.items():
        for kind, rows in kinds.items():
            if kind not in KINDS or rows.shape[1:] != (KINDS[kind].corners,):
                raise MeshError(source, f"the group {name!r} of sides {kind!r}, {rows.shape}", "give (sides, corners)")
            check_indices(kind, rows, len(points), f"{source}, group {name!r}")


def build(
    points: Array,
    cells: Mapping[str, Whole],
    coordinates: tuple[Symbol, ...],
    *,
    groups: Mapping[str, Whole],
    parts: Sides,
    text: str,
    mesh: Any,
) -> Structure:
    """Return the structure of a mesh whose cells have been checked one by one."""
    simplices, owners, first = [], [], 0
    for kind, rows in cells.items():
        pieces, own = divide(kind, rows)
        simplices.append(pieces)
        owners.append(own + first)
        first += len(rows)
    pieces = np.concatenate(simplices)
    turned = signed_measures(points[pieces]) < 0
    pieces[turned, :2] = pieces[turned, 1::-1]
    topology = find_facets(pieces)
    found = {name: _facet_numbers(kinds, topology) for name, kinds in parts.items()}
    present = {name: np.unique(rows[rows >= 0]) for name, rows in found.items()}
    missing = {name: int((rows < 0).sum()) for name, rows in found.items()}
    owned = np.concatenate(owners)
    return Structure(points, coordinates, pieces, owned, topology, groups, present, missing, text, mesh)


def check_structure(structure: Structure, cells: Mapping[str, Whole], source: str) -> None:
    """Raise unless the cells of a mesh fit each other.

    Raises:
        MeshError: Names what is wrong, with counts.
    """
    kinds = [KINDS[kind].name for kind, rows in cells.items() for _ in range(len(rows))]
    firsts = np.repeat(np.cumsum([0, *map(len, cells.values())])[:-1], [len(rows) for rows in cells.values()])

    def name(simplex: int) -> str:
        cell = int(structure.owners[simplex])
        return f"number {cell - int(firsts[cell]) + 1} of the {kinds[cell]}"

    check_conformity(structure.topology, structure.simplices, structure.points, name, source)
    named: Mask = np.zeros(len(structure.topology.facets), dtype=bool)
    for rows in structure.parts.values():
        named[rows] = True
    check_seams(structure.topology, structure.points, named, source)


def curvature_notice(cells: Mapping[str, Whole], points: Array, source: str) -> str | None:
    """Return a sentence about sides whose corners are not in a plane, if there are any."""
    found = [curved_sides(kind, rows, points) for kind, rows in cells.items()]
    total = sum(count for count, _ in found)
    if not total:
        return None
    largest = max(gap for _, gap in found)
    return f"{source}: {total} sides of cells are not plane, by up to {largest:.2g}; each is taken as two triangles"


def _facet_numbers(kinds: Mapping[str, Whole], topology: Topology) -> Whole:
    width = topology.facets.shape[1]
    found = [divide(kind, rows)[0] for kind, rows in kinds.items()]
    return np.concatenate(
        [topology.numbers(rows) for rows in found if rows.shape[1] == width] or [np.zeros(0, np.int64)]
    )


def _memberships(groups: Mapping[str, Whole], members: Whole) -> Mask:
    """Return which members are in which groups (members, groups)."""
    found = [np.isin(members, rows) for rows in groups.values()]
    return np.stack(found, axis=1) if found else np.zeros((len(members), 0), dtype=bool)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
