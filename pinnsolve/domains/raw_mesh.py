"""A mesh as files have it: points in space, blocks of cells of all dimensions, and sets of these by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pinnsolve.domains.cells import Whole
from pinnsolve.domains.images import Array


@dataclass(frozen=True, eq=False)
class Block:
    """Cells of one kind.

    Args:
        kind: By the names of meshio, such as `triangle6`.
        corners: Rows of the points of each cell, its corners first (cells, points of a cell).
        entity: The surface or volume of a drawing to which each belongs; cells of one are turned alike.
    """

    kind: str
    corners: Whole
    entity: Whole


@dataclass(frozen=True, eq=False)
class RawMesh:
    """What a file holds.

    Args:
        points: (points, up to 3).
        blocks: In the order of the file.
        sets: For each name and block, the rows of the block.
        point_sets: For each name, rows of the points.
    """

    points: Array
    blocks: list[Block]
    sets: dict[str, dict[int, Whole]]
    point_sets: dict[str, Whole] = field(default_factory=dict)


def gather(sets: dict[str, dict[int, Whole]], name: str, block: int, rows: Whole) -> None:
    """Add rows of a block to a set."""
    if len(rows):
        known = sets.setdefault(name, {})
        known[block] = np.union1d(known[block], rows) if block in known else rows
