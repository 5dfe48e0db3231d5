"""Cells: the kinds a mesh may consist of, their sides, and their division into simplices that neighbours agree on.

Points, segments, triangles and tetrahedra are simplices already. Every other cell is divided by pulling: its corner of the lowest
number is joined with all sides that do not contain it, which are divided in the same way. Because the rule looks at the numbers
alone, two cells divide their common side alike (Dompierre, Labbé, Vallet, Camarero, "How to subdivide pyramids, prisms and
hexahedra into tetrahedra", 1999). Where the corners of a side lie in a plane, the division changes nothing of the geometry.

Corners are numbered as in VTK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Kind:
    """A kind of cell.

    Args:
        name: As in messages, in the plural.
        dimension: Of the cell.
        corners: Their number.
        sides: The corners of each side, seen from outside against the clock.
    """

    name: str
    dimension: int
    corners: int
    sides: tuple[tuple[int, ...], ...]


KINDS: Mapping[str, Kind] = {
    "vertex": Kind("points", 0, 1, ()),
    "line": Kind("segments", 1, 2, ((0,), (1,))),
    "triangle": Kind("triangles", 2, 3, ((0, 1), (1, 2), (2, 0))),
    "quad": Kind("quadrilaterals", 2, 4, ((0, 1), (1, 2), (2, 3), (3, 0))),
    "tetra": Kind("tetrahedra", 3, 4, ((0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3))),
    "pyramid": Kind("pyramids", 3, 5, ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4))),
    "wedge": Kind("prisms", 3, 6, ((0, 2, 1), (3, 4, 5), (0, 1, 4, 3), (1, 2, 5, 4), (2, 0, 3, 5))),
    "hexahedron": Kind(
        "hexahedra",
        3,
        8,
        ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)),
    ),
}
"""By the names of meshio."""

_SIMPLICES = ("vertex", "line", "triangle", "tetra")


def linear_kind(kind: str) -> str | None:
    """Return the kind of the corners of a cell of higher order, `triangle` for `triangle6`; None for polygons and the like."""
    bare = kind.rstrip("0123456789")
    return bare if bare in KINDS and kind != "line1" else None


def divide(kind: str, cells: Whole) -> tuple[Whole, Whole]:
    """Divide cells of a kind into simplices.

    Args:
        kind: One of `KINDS`.
        cells: Point numbers (cells, corners).

    Returns:
        Point numbers (simplices, dimension + 1), and the row of the cell that each is a part of.
    """
    if kind in _SIMPLICES:
        return cells, np.arange(len(cells))
    lowest = cells.argmin(axis=1)
    pieces, owners = [], []
    for corner in range(cells.shape[1]):
        rows = np.flatnonzero(lowest == corner)
        for side in _opposite(kind, corner):
            for simplices in _divided_side(cells[rows][:, side]):
                pieces.append(np.concatenate([cells[rows, corner, None], simplices], axis=1))
                owners.append(rows)
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(pieces)[order], np.concatenate(owners)[order]


def pulled(kind: str, cells: Whole) -> Whole:
    """Return the simplices (cells, simplices, dimension + 1) of all divisions by pulling one corner, by either diagonal of a side.

    All are turned the same way exactly when the cell is convex, with its corners in the order of the kind.
    """
    if kind in _SIMPLICES:
        return cells[:, None, :]
    found = []
    for corner in range(cells.shape[1]):
        for side in _opposite(kind, corner):
            for turn in (side, side[1:] + side[:1]) if len(side) == 4 else (side,):
                for parts in _fan(turn):
                    found.append(cells[:, (corner, *parts)])
    return np.stack(found, axis=1)


def sides_of_four(kind: str, cells: Whole) -> Whole:
    """Return the corners (sides, 4) of all sides with four."""
    four = [cells[:, side] for side in KINDS[kind].sides if len(side) == 4]
    return np.concatenate(four) if four else np.zeros((0, 4), dtype=np.int64)


def _opposite(kind: str, corner: int) -> list[tuple[int, ...]]:
    return [side for side in KINDS[kind].sides if corner not in side]


def _fan(side: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the parts of a side divided by the diagonal from its first corner."""
    return [tuple(side)] if len(side) < 4 else [(side[0], side[1], side[2]), (side[0], side[2], side[3])]


def _divided_side(side: Whole) -> list[Whole]:
    """Divide sides (sides, corners) by the diagonal from the corner of the lowest number."""
    if side.shape[1] < 4:
        return [side]
    first = side.argmin(axis=1)
    turned = np.take_along_axis(side, (first[:, None] + np.arange(4)) % 4, axis=1)
    return [turned[:, part] for part in _fan(range(4))]
