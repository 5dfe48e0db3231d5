"""Reading meshes: from what a file holds to points, cells, groups of cells and groups of sides in the coordinates of a problem."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.cells import KINDS, Whole, divide, linear_kind
from pinnsolve.domains.images import ROUNDING, Array, Mask
from pinnsolve.domains.mesh_checks import check_points
from pinnsolve.domains.mesh_files import read_raw
from pinnsolve.domains.raw_mesh import Block, RawMesh
from pinnsolve.errors import MeshError

_WORDS = ("points", "segments", "triangles or quadrilaterals", "tetrahedra, pyramids, prisms or hexahedra")


def read_mesh(path: Path, coordinates: tuple[Symbol, ...]) -> dict[str, Any]:
    """Return the arguments of the `Mesh` that a file holds.

    Args:
        path: The file.
        coordinates: One symbol for each dimension.

    Raises:
        MeshError: It is missing or unreadable, or of another dimension.
    """
    source = path.name
    raw = read_raw(path)
    check_points(raw.points, source)
    blocks = [_linear(block, source) for block in raw.blocks]
    dimension = max((KINDS[b.kind].dimension for b in blocks if len(b.corners)), default=-1)
    if dimension < 1:
        raise MeshError(
            source, "no cells", "write the mesh with its cells (in Gmsh: name the surfaces or volumes, too)"
        )
    if dimension != len(coordinates):
        names = ", ".join(map(str, coordinates))
        found = f"its cells are {_WORDS[dimension]}, of {dimension} dimensions, and the coordinates are ({names})"
        remedy = (
            "mesh the inside, or read a closed surface by ps.Surface.read"
            if dimension < len(coordinates)
            else "give as many coordinates as dimensions"
        )
        raise MeshError(source, found, remedy)
    for block in blocks:
        _check_range(block, len(raw.points), source)
    if any(b.kind != r.kind for b, r in zip(blocks, raw.blocks, strict=True)):
        kinds = ", ".join(sorted({r.kind for b, r in zip(blocks, raw.blocks, strict=True) if b.kind != r.kind}))
        warnings.warn(f"{source}: cells of higher order ({kinds}) are read by their corners", stacklevel=3)
    used, renumbered = _used(blocks, dimension, len(raw.points))
    return {
        "nodes": _flat(raw.points[used], dimension, source),
        "coordinates": coordinates,
        "source": source,
        **_cells(raw, blocks, dimension, renumbered),
        "parts": _parts(raw, blocks, dimension, renumbered),
    }


def read_surface(path: Path) -> tuple[Array, Whole]:
    """Return points (points, 3) and triangles of a surface; quadrilaterals are divided.

    Raises:
        MeshError: The file is missing or unreadable, or holds no surface in space.
    """
    raw = read_raw(path)
    check_points(raw.points, path.name)
    blocks = [_linear(block, path.name) for block in raw.blocks]
    faces = [b for b in blocks if KINDS[b.kind].dimension == 2 and len(b.corners)]
    if raw.points.shape[1] != 3 or not faces or any(KINDS[b.kind].dimension == 3 for b in blocks):
        raise MeshError(path.name, "no surface in space", "give triangles in three dimensions; of cells, ps.Mesh.read")
    for block in faces:
        _check_range(block, len(raw.points), path.name)
    return raw.points, np.concatenate([divide(block.kind, block.corners)[0] for block in faces])


def _linear(block: Block, source: str) -> Block:
    kind = linear_kind(block.kind)
    if kind is None:
        raise MeshError(source, f"cells of the kind {block.kind!r}", "use cells with up to 8 corners")
    corners = KINDS[kind].corners
    if block.corners.shape[1] < corners:
        found = f"cells {block.kind!r} with {block.corners.shape[1]} points"
        raise MeshError(source, found, "write the mesh again")
    return Block(kind, block.corners[:, :corners], block.entity)


def _check_range(block: Block, count: int, source: str) -> None:
    outside = np.asarray(((block.corners < 0) | (block.corners >= count)).any(axis=1))
    if outside.any():
        name = KINDS[block.kind].name
        found = f"{int(outside.sum())} of {len(outside)} {name} name points that do not exist; there are {count}"
        raise MeshError(source, f"{found} (the first is number {int(np.argmax(outside)) + 1})", "write the mesh again")


def _used(blocks: list[Block], dimension: int, count: int) -> tuple[Whole, Whole]:
    """Return the points that are corners of cells, and for every point its number among them; -1 for others."""
    used: Mask = np.zeros(count, dtype=bool)
    for block in blocks:
        if KINDS[block.kind].dimension == dimension:
            used[block.corners] = True
    numbers = np.full(count, -1, dtype=np.int64)
    numbers[used] = np.arange(int(used.sum()))
    return np.flatnonzero(used), numbers


def _flat(points: Array, dimension: int, source: str) -> Array:
    """Return the first columns, of which there are as many as coordinates; the others must be constant."""
    first, rest = points[:, :dimension], points[:, dimension:]
    if first.shape[1] < dimension:
        raise MeshError(source, f"points in {first.shape[1]} dimensions", f"give points in {dimension} dimensions")
    if rest.size and np.ptp(rest, axis=0).max() > ROUNDING * np.ptp(first, axis=0).max():
        shape, place = ("curve", "x axis") if dimension == 1 else ("surface", "x y plane")
        found = f"a {shape} in space: its last coordinate runs over {np.ptp(rest, axis=0).max():g}"
        raise MeshError(source, found, f"mesh a part of the {place}, or the inside of the surface")
    return first


def _cells(raw: RawMesh, blocks: list[Block], dimension: int, renumbered: Whole) -> dict[str, Any]:
    """Return cells by kind, the number of the entity of each, and groups of them by name."""
    rows: dict[str, list[int]] = {}
    for number, block in enumerate(blocks):
        if KINDS[block.kind].dimension == dimension and len(block.corners):
            rows.setdefault(block.kind, []).append(number)
    cells = {kind: renumbered[np.concatenate([blocks[n].corners for n in some])] for kind, some in rows.items()}
    order = [n for some in rows.values() for n in some]
    starts = dict(zip(order, np.cumsum([0, *(len(blocks[n].corners) for n in order)]).tolist(), strict=False))
    groups: dict[str, Whole] = {}
    for name, members in raw.sets.items():
        own = [members[n] + starts[n] for n in order if n in members]
        if own:
            groups[name] = np.sort(np.concatenate(own))
    return {"cells": cells, "groups": groups, "blocks": _entities([blocks[n] for n in order])}


def _entities(blocks: list[Block]) -> Whole:
    """Return one number for each block and entity."""
    numbered = np.concatenate([np.stack([np.full(len(b.entity), k), b.entity], axis=1) for k, b in enumerate(blocks)])
    return np.unique(numbered, axis=0, return_inverse=True)[1].ravel()


def _parts(raw: RawMesh, blocks: list[Block], dimension: int, renumbered: Whole) -> dict[str, Mapping[str, Whole]]:
    """Return groups of sides by name, those of points too, where they are all corners of a side."""
    parts: dict[str, dict[str, list[Whole]]] = {}
    for name, members in raw.sets.items():
        for number, rows in members.items():
            if KINDS[blocks[number].kind].dimension == dimension - 1:
                corners = renumbered[blocks[number].corners[rows]]
                parts.setdefault(name, {}).setdefault(blocks[number].kind, []).append(corners)
    found = {n: {kind: np.concatenate(some) for kind, some in kinds.items()} for n, kinds in parts.items()}
    sides = _sides(blocks, dimension)
    for name, points in raw.point_sets.items():
        chosen = np.zeros(len(renumbered), dtype=bool)
        chosen[points] = True
        whole = {kind: renumbered[rows[chosen[rows].all(axis=1)]] for kind, rows in sides.items()}
        if name not in found and any(map(len, whole.values())):
            found[name] = {kind: rows for kind, rows in whole.items() if len(rows)}
    return {name: kinds for name, kinds in found.items() if all((rows >= 0).all() for rows in kinds.values())}


def _sides(blocks: list[Block], dimension: int) -> dict[str, Whole]:
    """Return the sides of all cells that belong to one cell only, by kind."""
    word = {1: {1: "vertex"}, 2: {2: "line"}, 3: {3: "triangle", 4: "quad"}}[dimension]
    sides: dict[str, list[Whole]] = {}
    for block in blocks:
        if KINDS[block.kind].dimension == dimension:
            for side in KINDS[block.kind].sides:
                sides.setdefault(word[len(side)], []).append(block.corners[:, side])
    found = {}
    for kind, some in sides.items():
        rows = np.concatenate(some)
        _, first, counts = np.unique(np.sort(rows, axis=1), axis=0, return_index=True, return_counts=True)
        found[kind] = rows[first[counts == 1]]
    return found
