"""Axes of uniform grids and the finite-difference formulas on them, as sparse matrices.

The weights of the m-th derivative at a place x0 from w nodes make the formula exact for polynomials of degree below w; they
follow from Fornberg's recursion (Mathematics of Computation 51, 1988, p. 699). A formula whose nodes lie symmetrically about
x0 gains an order when w - m is odd. Every formula here has the order asked for, also at the ends, where the nodes are one-sided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

_ON_GRID = 1e-7
"""A place this close to a node or a midpoint, in cells, is on it."""


@dataclass(frozen=True)
class Axis:
    """Equally spaced nodes along one coordinate.

    Args:
        low: The first node.
        spacing: The distance between neighbours.
        count: The number of nodes.
        periodic: The node after the last is the first again.
    """

    low: float
    spacing: float
    count: int
    periodic: bool = False

    @property
    def nodes(self) -> Array:
        """The places of the nodes."""
        return np.asarray(self.low + self.spacing * np.arange(self.count))

    @property
    def midpoints(self) -> Axis:
        """The axis of the places half-way between the nodes."""
        return Axis(self.low + self.spacing / 2, self.spacing, self.count - (not self.periodic), self.periodic)


def weights(nodes: Array, place: float, *, order: int) -> Array:
    """Return the weights of the derivative of the given order at a place, from values at distinct nodes.

    Args:
        nodes: At least `order + 1` distinct places, in any order.
        place: Where the derivative is wanted.
        order: 0 interpolates.

    Returns:
        One weight a node, by Fornberg's recursion.
    """
    table = np.zeros((order + 1, len(nodes)))
    table[0, 0] = 1.0
    product, offset = 1.0, nodes[0] - place
    for n in range(1, len(nodes)):
        previous, before, product_before = product, offset, 1.0
        offset = nodes[n] - place
        last = table[:, n - 1].copy()
        for k in range(n):
            gap = nodes[n] - nodes[k]
            product_before *= gap
            for m in range(min(n, order), -1, -1):
                lower = m * table[m - 1, k] if m else 0.0
                table[m, k] = (offset * table[m, k] - lower) / gap
        for m in range(min(n, order), -1, -1):
            lower = m * last[m - 1] if m else 0.0
            table[m, n] = previous / product_before * (lower - before * last[m])
        product = product_before
    return table[order]


def derivative_rows(axis: Axis, places: Array, *, order: int, accuracy: int) -> sparse.csr_array:
    """Return the matrix that takes values at an axis' nodes to a derivative at places.

    Args:
        axis: Where the values are.
        places: Where the derivative is wanted; on nodes, midpoints or anywhere in the range.
        order: Order of the derivative; 0 interpolates.
        accuracy: Order of the error in the spacing, even.

    Returns:
        Sparse matrix (places, nodes).
    """
    cells = (np.asarray(places, dtype=np.float64) - axis.low) / axis.spacing
    halves = np.round(2 * cells)
    cells = np.where(np.abs(cells - halves / 2) < _ON_GRID, halves / 2, cells)
    starts, widths = _stencils(cells, order, accuracy)
    if not axis.periodic:
        outside = (starts < 0) | (starts + widths > axis.count)
        widths = np.where(outside, order + accuracy, widths)
        centred = np.round(cells - (widths - 1) / 2).astype(int)
        starts = np.where(outside, np.clip(centred, 0, np.maximum(axis.count - widths, 0)), starts)
    if widths.max(initial=0) > axis.count:
        raise ValueError(f"{axis.count} nodes are too few for a formula of {widths.max()} nodes")
    # The weights depend only on the width and on the place within the stencil: one set for the whole inside of a grid.
    kinds, kind = np.unique(np.stack([widths, np.round(cells - starts, 9)]), axis=1, return_inverse=True)
    table = [
        weights(np.arange(w), s, order=order) / axis.spacing**order
        for w, s in zip(kinds[0].astype(int), kinds[1], strict=True)
    ]
    indices = np.concatenate(
        [np.arange(s, s + w) for s, w in zip(starts, widths, strict=True)] or [np.zeros(0, dtype=int)]
    )
    entries = np.concatenate([table[k] for k in kind.ravel()] or [np.zeros(0)])
    pointers = np.concatenate([[0], np.cumsum(widths)])
    rows = sparse.csr_array((entries, indices % axis.count, pointers), shape=(len(cells), axis.count))
    rows.sum_duplicates()
    return rows


def _stencils(cells: Array, order: int, accuracy: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first node and the width of the shortest formula of full order, symmetric where the place allows it."""
    node, middle = cells == np.round(cells), cells - 0.5 == np.round(cells - 0.5)
    shortest = order + accuracy - 1  # symmetric formulas gain one order when the width minus the order is odd
    odd, even = shortest + (shortest % 2 == 0), shortest + (shortest % 2 == 1)
    widths = np.where(node, 1 if order == 0 else odd, np.where(middle, even, order + accuracy)).astype(int)
    starts = np.round(cells - (widths - 1) / 2).astype(int)
    return starts, widths
