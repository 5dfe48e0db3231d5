"""Location: which simplex of a mesh contains a point, and which facet is nearest, for many points at once.

Simplices are sorted by size into classes, and each class into the bins of a regular grid about as wide as its simplices, so that a
mesh refined a thousandfold around a hole costs no more than a uniform one. A point asks, class by class, the few simplices whose
boxes touch its bin. The nearest facet is found among the nearest centres (a k-d tree for each class), more of which are asked for
until none that is left can be nearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from pinnsolve.domains.images import Array, Mask
from pinnsolve.domains.simplices import distances_to, longest_edges

Numbers = np.ndarray

_TOUCHING = 1e-12
"""Barycentric coordinates above minus this are inside."""

_CHUNK = 200_000
"""Points located at once: bounds the memory, and fits a cache."""

_WIDTH = 0.5
"""Width of a bin relative to the largest box of its class: narrower ones list fewer simplices each, but each simplex more often."""

_MOST_BINS = 1_000_000
"""Along a coordinate, so that the number of a bin in space fits an integer."""

_FIRST_NEAREST = 4


@dataclass(frozen=True, eq=False)
class Locator:
    """Finds the simplex that contains a point.

    Args:
        corners: (simplices, n + 1, n).
    """

    corners: Array

    def find(self, points: Array) -> Numbers:
        """Return the number of a simplex that contains each point (points, n), -1 where none does."""
        found = np.full(len(points), -1, dtype=np.int64)
        for start in range(0, len(points), _CHUNK):
            part = slice(start, start + _CHUNK)
            found[part] = self._find(points[part])
        return found

    def containing(self, points: Array) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield pairs of arrays, numbers of points and of simplices that contain them, every pair of both once."""
        for grid in self._grids:
            for rows, candidates in grid.candidates(points):
                inside = self._inside(points[rows], candidates, _TOUCHING)
                yield rows[inside], candidates[inside]

    def _find(self, points: Array) -> Numbers:
        found = np.full(len(points), -1, dtype=np.int64)
        left = np.arange(len(points))
        for grid in self._grids:
            for rows, candidates in grid.candidates(points[left]):
                open_ = found[left[rows]] < 0
                rows, candidates = left[rows[open_]], candidates[open_]
                inside = self._inside(points[rows], candidates, _TOUCHING)
                found[rows[inside]] = candidates[inside]
            left = left[found[left] < 0]
        return found

    def _inside(self, points: Array, simplices: Numbers, spare: float) -> Numbers:
        maps = self._maps[simplices]
        total = np.zeros(len(points))
        inside = np.ones(len(points), dtype=bool)
        dimension = points.shape[1]
        for row in range(dimension):  # by columns, which is several times as fast as products of small matrices
            share = (points[:, 0] - maps[:, 0, dimension]) * maps[:, row, 0]
            for column in range(1, dimension):
                share += (points[:, column] - maps[:, column, dimension]) * maps[:, row, column]
            inside &= share >= -spare
            total += share
        return inside & (total <= 1 + spare)

    @cached_property
    def _maps(self) -> Array:
        """For each simplex the matrix to its barycentric coordinates, and in the last column its first corner."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        return np.concatenate([np.linalg.inv(edges.transpose(0, 2, 1)), self.corners[:, 0, :, None]], axis=2)

    @cached_property
    def _grids(self) -> list[_Grid]:
        low, high = self.corners.min(axis=1), self.corners.max(axis=1)
        size = (high - low).max(axis=1)
        classes = np.floor(np.log2(size / size.max()) + 1e-9).astype(int)
        return [
            _bin(low[rows], high[rows], rows) for k in np.unique(classes) for rows in [np.flatnonzero(classes == k)]
        ]


@dataclass(frozen=True, eq=False)
class _Grid:
    """Simplices of about one size in bins: for each bin that is not empty its key, and a run of `members`."""

    low: Array
    width: float
    counts: Numbers
    keys: Numbers
    starts: Numbers
    members: Numbers

    def candidates(self, points: Array) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield rows of points and a simplex for each whose box touches the bin of the point, until there are no more."""
        cells = np.floor((points - self.low) / self.width)
        inside = ((cells >= 0) & (cells < self.counts)).all(axis=1)  # also false for what is not a number
        rows = np.flatnonzero(inside)
        keys = _key(cells[rows].astype(np.int64), self.counts)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[place] == keys
        order = np.argsort(place[known], kind="stable")  # neighbours in space become neighbours in memory
        rows, place = rows[known][order], place[known][order]
        at, end = self.starts[place], self.starts[place + 1]
        while len(rows):
            yield rows, self.members[at]
            at = at + 1
            more = at < end
            rows, at, end = rows[more], at[more], end[more]


def _bin(low: Array, high: Array, numbers: Numbers) -> _Grid:
    """Put simplices, known by the boxes around them, into the bins that these touch."""
    width = max(_WIDTH * float((high - low).max()), float((high.max(axis=0) - low.min(axis=0)).max()) / _MOST_BINS)
    origin = low.min(axis=0) - 1e-6 * width
    first, last = (
        np.floor((ends - origin) / width).astype(np.int64) for ends in (low - 1e-9 * width, high + 1e-9 * width)
    )
    first = np.maximum(first, 0)
    counts = last.max(axis=0) + 1
    spans = last - first + 1
    steps = np.indices(spans.max(axis=0)).reshape(spans.shape[1], -1).T
    keys, members = [], []
    for step in steps:
        there = (step < spans).all(axis=1)
        keys.append(_key(first[there] + step, counts))
        members.append(numbers[there])
    all_keys, all_members = np.concatenate(keys), np.concatenate(members)
    order = np.argsort(all_keys, kind="stable")
    unique, starts = np.unique(all_keys[order], return_index=True)
    return _Grid(origin, width, counts, unique, np.append(starts, len(order)), all_members[order])


def _key(cells: Numbers, counts: Numbers) -> Numbers:
    key = cells[:, 0]
    for axis in range(1, cells.shape[1]):
        key = key * counts[axis] + cells[:, axis]
    return key


@dataclass(frozen=True, eq=False)
class Nearest:
    """Finds the nearest of some facets.

    Args:
        corners: (facets, n, n).
    """

    corners: Array

    def near(self, points: Array, distance: float) -> Mask:
        """Return which points (points, n) have a facet at this distance or less: the first that is found will do."""
        return np.asarray(self.find(points, within=1.01 * distance, enough=distance)[0] <= distance)

    def find(self, points: Array, *, within: float = np.inf, enough: float = 0.0) -> tuple[Array, Numbers]:
        """Return the distance of each point (points, n) to the nearest facet, infinity where none is within, and which it is.

        Where one is found at a distance of at most `enough`, it is returned, and no nearer one is looked for.
        """
        best, which = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        for radius, tree, numbers in self._trees:
            rows, seen, count = np.arange(len(points)), 0, min(_FIRST_NEAREST, len(numbers))
            while len(rows) and seen < count:
                ranks = range(seen + 1, count + 1)
                distances, places = tree.query(points[rows], k=ranks, distance_upper_bound=within + radius)
                least = distances - radius  # no facet is nearer than its centre, less the radius
                for column in range(len(ranks)):
                    there = (least[:, column] < best[rows]) & (best[rows] > enough)
                    some, facets = rows[there], numbers[places[there, column]]
                    found = distances_to(points[some], self.corners[facets])
                    nearer = found < best[some]
                    best[some[nearer]], which[some[nearer]] = found[nearer], facets[nearer]
                rows = rows[(least[:, -1] < best[rows]) & (best[rows] > enough)]
                seen, count = count, min(4 * count, len(numbers))
        best[best > within] = np.inf
        return best, which

    @cached_property
    def _trees(self) -> list[tuple[float, cKDTree, Numbers]]:
        centres, lengths = self.corners.mean(axis=1), longest_edges(self.corners)
        longest = float(lengths.max())
        classes = np.floor(np.log2(lengths / longest) + 1e-9) if longest > 0 else np.zeros(len(lengths))
        found = []
        for k in np.unique(classes):
            rows = np.flatnonzero(classes == k)
            radius = float(np.linalg.norm(self.corners[rows] - centres[rows, None], axis=2).max())
            found.append((radius, cKDTree(centres[rows]), rows))
        return found
