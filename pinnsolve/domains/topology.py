"""Topology: the facets of simplices, which simplices they lie between, and how facets are found again by their points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pinnsolve.domains.cells import Whole

_LARGEST = 2**62


@dataclass(frozen=True, eq=False)
class Topology:
    """Every facet of some simplices once.

    Args:
        facets: The points (facets, n) of each, in order.
        owners: The simplices (facets, 2) to both sides; the second is -1 at the boundary.
        opposite: The point (facets, 2) of each owner that is not on the facet; -1 at the boundary.
        counts: The number of simplices that have the facet, which should be one or two.
    """

    facets: Whole
    owners: Whole
    opposite: Whole
    counts: Whole

    @property
    def outer(self) -> Whole:
        """The numbers of the facets of the boundary."""
        return np.flatnonzero(self.counts == 1)

    def numbers(self, facets: Whole) -> Whole:
        """Return the numbers of facets known by their points (facets, n), in any order; -1 for those that are none."""
        known, asked = _codes([self.facets, np.sort(facets, axis=1)])
        order = np.argsort(known)
        place = np.minimum(np.searchsorted(known[order], asked), len(known) - 1)
        found = order[place]
        return np.where(known[found] == asked, found, -1)


def find_facets(simplices: Whole) -> Topology:
    """Return the facets of simplices (simplices, n + 1)."""
    count, corners = simplices.shape
    sides = [np.delete(simplices, k, axis=1) for k in range(corners)]
    facets = np.sort(np.concatenate(sides), axis=1)
    owners = np.tile(np.arange(count), corners)
    across = simplices.T.ravel()
    (codes,) = _codes([facets])
    order = np.argsort(codes, kind="stable")
    _, first, counts = np.unique(codes[order], return_index=True, return_counts=True)
    one = order[first]
    other = order[np.minimum(first + 1, len(order) - 1)]
    twice = counts > 1
    return Topology(
        facets[one],
        np.stack([owners[one], np.where(twice, owners[other], -1)], axis=1),
        np.stack([across[one], np.where(twice, across[other], -1)], axis=1),
        counts,
    )


def components(pairs: Whole, count: int) -> Whole:
    """Return for each of `count` things the number of its component, given pairs (pairs, 2) that belong together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _codes(arrays: Sequence[Whole]) -> list[Whole]:
    """Return one number for each row, equal for equal rows of all arrays."""
    rows = np.concatenate(arrays)
    base = int(rows.max(initial=0)) + 1
    codes = rows[:, 0]
    for column in rows.T[1:]:
        if int(codes.max(initial=0)) > _LARGEST // base:
            codes = np.unique(codes, return_inverse=True)[1].ravel()
        codes = codes * base + column
    return np.split(codes, np.cumsum([len(a) for a in arrays])[:-1])
