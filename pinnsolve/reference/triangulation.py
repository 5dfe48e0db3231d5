"""Triangulations of plane regions, and their refinement.

A coarse triangulation is made by Delaunay refinement (Ruppert, Journal of Algorithms 18, 1995): boundary edges whose diametral
circle holds another vertex are halved, and triangles that are too large or too flat get their circumcentre as a vertex. Finer
ones are made of it by joining the middles of edges, those of curved boundaries moved onto the curve, so that the triangles of all
of them have nearly the same shapes and their errors a clean order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from pinnsolve.errors import UnsupportedError
from pinnsolve.reference.curves import Arc, Segment
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.outlines import Outline
from pinnsolve.reference.reading import REMEDY

Numbers = NDArray[np.int64]

_TURN = math.pi / 6
"""The greatest angle of an arc that one edge of the coarsest triangulation spans."""

_GRADING = 0.4
"""How fast triangles may grow with the distance from a short edge."""

_SLENDER = 1.3
"""Circumradius over shortest edge, of which triangles are improved: smallest angles below 22.6 degrees."""

_LARGE = 0.75
"""Circumradius over wanted edge, of which triangles are too large; an equilateral one has 0.58."""

_SHORTEST, _SHORTEST_OF_ALL = 0.02, 1e-4
"""Edges are not halved below the first part of the wanted one, two curves may meet at any small angle; below the second not even to
become edges of triangles."""

_COARSE = 0.2
"""Edges are halved for better triangles while they are longer than this part of the wanted length."""

_SAME = 1e-9
_ROUNDS, _MOST_POINTS = 200, 20_000
_SMOOTHINGS = 8


@dataclass(frozen=True)
class Triangulation:
    """Triangles of a plane region, or tetrahedra of a region in space.

    Args:
        points: The vertices (points, n).
        cells: The vertices of each triangle, against the clock, or of each tetrahedron (cells, n + 1).
        edges: The vertices of every edge, or triangle, on the boundary (edges, n).
        tags: On which curve each of these lies (edges,), or of which kind it is where there are no curves.
        curves: The curves.
        wanted: The length that edges were meant to have.
        origins: For each cell the number of the one of which it is a part (cells,).
    """

    points: Array
    cells: Numbers
    edges: Numbers
    tags: Numbers
    curves: tuple[Segment | Arc, ...]
    wanted: float
    origins: Numbers

    def middles(self) -> Array:
        """Return the middles of the boundary's edges, on the curves (edges, 2)."""
        middles = np.asarray(self.points[self.edges].mean(axis=1))
        for tag, curve in enumerate(self.curves):
            own = self.tags == tag
            if own.any() and curve.turn:
                middles[own] = curve.project(middles[own])
        return middles

    def refined(self) -> Triangulation:
        """Return the triangulation with every triangle divided into four, every tetrahedron into eight."""
        pairs = list(itertools.combinations(range(self.cells.shape[1]), 2))
        sides = np.sort(self.cells[:, pairs].reshape(-1, 2), axis=1)
        unique, number = np.unique(sides, axis=0, return_inverse=True)
        middles, count = self.points[unique].mean(axis=1), len(self.points)
        codes = unique[:, 0] * count + unique[:, 1]
        rims = list(itertools.combinations(range(self.edges.shape[1]), 2))
        found = np.sort(self.edges[:, rims], axis=2)
        own = np.searchsorted(codes, found[..., 0] * count + found[..., 1])
        if len(rims) == 1:
            middles[own[:, 0]] = self.middles()
        points = np.concatenate([self.points, middles])
        halves = dict(zip(pairs, (number.reshape(-1, len(pairs)) + count).T, strict=True))
        parts = _quarters(self.cells, halves) if len(pairs) == 3 else _eighths(self.cells, halves, points)
        a, *others = self.edges.T
        rim = dict(zip(rims, (own + count).T, strict=True))
        split = _quarters(self.edges, rim) if others[1:] else [(a, rim[0, 1]), (rim[0, 1], others[0])]
        return Triangulation(
            points,
            np.concatenate([np.stack(part, axis=1) for part in parts]),
            np.concatenate([np.stack(part, axis=1) for part in split]),
            np.tile(self.tags, len(split)),
            self.curves,
            self.wanted / 2,
            np.tile(self.origins, len(parts)),
        )


def _quarters(corners: Numbers, halves: Mapping[tuple[int, int], Numbers]) -> list[tuple[Numbers, ...]]:
    """Return the four triangles of each triangle."""
    a, b, c = corners.T
    ab, ac, bc = halves[0, 1], halves[0, 2], halves[1, 2]
    return [(a, ab, ac), (ab, b, bc), (ac, bc, c), (ab, bc, ac)]


def _eighths(corners: Numbers, halves: Mapping[tuple[int, int], Numbers], points: Array) -> list[tuple[Numbers, ...]]:
    """Return the eight tetrahedra of each tetrahedron: its corners, and an octahedron cut along its shortest diagonal.

    That keeps them from becoming flat (Bey, Computing 55, 1995, section 2).
    """
    rings = [
        [(0, 1), (2, 3), (0, 2), (0, 3), (1, 3), (1, 2)],
        [(0, 2), (1, 3), (0, 1), (0, 3), (2, 3), (1, 2)],
        [(0, 3), (1, 2), (0, 1), (0, 2), (2, 3), (1, 3)],
    ]  # the ends of a diagonal, and the other corners of the octahedron around it
    ways = np.stack([np.stack([halves[pair] for pair in ring]) for ring in rings])
    lengths = np.linalg.norm(points[ways[:, 0]] - points[ways[:, 1]], axis=2)
    first, last, *ring = ways[lengths.argmin(axis=0), :, np.arange(len(corners))].T
    parts: list[tuple[Numbers, ...]] = [
        (first, last, one, other) for one, other in zip(ring, [*ring[1:], ring[0]], strict=True)
    ]
    for k in range(4):
        parts.append((corners[:, k], *(halves[min(k, m), max(k, m)] for m in range(4) if m != k)))
    return [_turned(part, points) for part in parts]


def _turned(part: tuple[Numbers, ...], points: Array) -> tuple[Numbers, ...]:
    """Return tetrahedra all turned the same way."""
    a, b, c, d = part
    negative = np.linalg.det(np.stack([points[k] - points[a] for k in (b, c, d)], axis=1)) < 0
    return a, b, np.where(negative, d, c), np.where(negative, c, d)


def triangulate(outline: Outline, size: float) -> Triangulation:
    """Return a triangulation of a plane region with edges of about a length, shorter where the boundary asks for it.

    Raises:
        UnsupportedError: The boundary does not become edges of triangles.
    """
    draft = _first_draft(outline, size)
    for _ in range(_ROUNDS):
        halved, new = _improvements(draft, size)
        if len(draft.points) > _MOST_POINTS or not (halved.any() or len(new)):
            break
        draft = draft.halved(halved) if halved.any() else draft.with_inner(np.concatenate([draft.inner, new]))
    for _ in range(_SMOOTHINGS):
        draft = _smoothed(draft)
    cells = _inside(draft)
    if _is_missing(draft, cells).any():
        found = "no finite-element reference: triangles do not follow its boundary, which is too narrow somewhere"
        raise UnsupportedError("domain", found, REMEDY)
    used, numbers = np.unique(cells, return_inverse=True)
    place = np.full(len(draft.points), -1)
    place[used] = np.arange(len(used))
    return Triangulation(
        draft.points[used],
        numbers.reshape(-1, 3),
        place[draft.edges],
        draft.tags,
        draft.curves,
        size,
        np.arange(len(cells)),
    )


@dataclass(frozen=True)
class _Draft:
    """Points and boundary edges before they are joined to triangles.

    Args:
        points: Those on the boundary, then those inside.
        edges: Boundary edges by the numbers of their ends.
        tags: The curve of each edge.
        spans: The parameters of both ends on it.
        curves: The curves.
        fixed: How many points are on the boundary.
    """

    points: Array
    edges: Numbers
    tags: Numbers
    spans: Array
    curves: tuple[Segment | Arc, ...]
    fixed: int

    @property
    def inner(self) -> Array:
        """The points inside."""
        return self.points[self.fixed :]

    @property
    def lengths(self) -> Array:
        """The lengths of the boundary's edges."""
        first, last = self.points[self.edges].swapaxes(0, 1)
        return np.asarray(np.linalg.norm(last - first, axis=1))

    def halved(self, chosen: NDArray[np.bool_]) -> _Draft:
        """Return the draft with the middles of some edges as vertices."""
        middle = self.spans[chosen].mean(axis=1)
        placed = [self.curves[tag].at(np.array([s])) for tag, s in zip(self.tags[chosen], middle, strict=True)]
        new = np.arange(self.fixed, self.fixed + len(placed))
        (first, last), (start, end) = self.edges[chosen].T, self.spans[chosen].T
        halves = [np.stack([first, new], axis=1), np.stack([new, last], axis=1)]
        spans = [np.stack([start, middle], axis=1), np.stack([middle, end], axis=1)]
        return _Draft(
            np.concatenate([self.points[: self.fixed], *placed, self.points[self.fixed :]]),
            np.concatenate([self.edges[~chosen], *halves]),
            np.concatenate([self.tags[~chosen], self.tags[chosen], self.tags[chosen]]),
            np.concatenate([self.spans[~chosen], *spans]),
            self.curves,
            self.fixed + len(placed),
        )

    def with_inner(self, inner: Array) -> _Draft:
        """Return the draft with other vertices inside."""
        return replace(self, points=np.concatenate([self.points[: self.fixed], inner]))


def _first_draft(outline: Outline, size: float) -> _Draft:
    """Divide every curve evenly; curves that share both ends, or return to their start, are divided at least in two or three."""
    points: list[Array] = []
    edges, tags, spans = [], [], []

    def number(point: Array) -> int:
        for k, other in enumerate(points):
            if np.linalg.norm(point - other) <= _SAME * outline.size:
                return k
        points.append(point)
        return len(points) - 1

    for tag, curve in enumerate(outline.curves):
        least = 1 + (curve.turn > 0) + (curve.turn > math.pi)
        count = max(least, math.ceil(curve.length / size), math.ceil(curve.turn / _TURN))
        parameters = np.linspace(0.0, 1.0, count + 1)
        numbers = [number(point) for point in curve.at(parameters)]
        edges += list(itertools.pairwise(numbers))
        tags += [tag] * count
        spans += list(itertools.pairwise(parameters))
    return _Draft(
        np.array(points), np.array(edges), np.array(tags), np.array(spans), tuple(outline.curves), len(points)
    )


def _improvements(draft: _Draft, size: float) -> tuple[NDArray[np.bool_], Array]:
    """Return which edges are to be halved; if none, the vertices to be added inside."""
    cells = _inside(draft)
    least = _SHORTEST * size
    can = draft.lengths > least
    missing = _is_missing(draft, cells) & (draft.lengths > _SHORTEST_OF_ALL * size)
    halved = missing | (can & _is_encroached(draft))
    if halved.any():
        return halved, np.zeros((0, 2))
    centres, radii, shortest = _circumcircles(draft.points[cells])
    middles, lengths = draft.points[draft.edges].mean(axis=1), draft.lengths
    gap, near = cKDTree(middles).query(draft.points[cells].mean(axis=1))
    wanted = np.minimum(size, lengths[near] + _GRADING * gap)
    flat = (radii > _SLENDER * shortest) & (shortest > least)
    bad = flat | (radii > _LARGE * wanted)
    centres, radii, flat = centres[bad], radii[bad], flat[bad]
    order = np.argsort(-radii)
    centres, radii, flat = centres[order], radii[order], flat[order]
    inside = _odd(centres, draft)
    near_edge = np.linalg.norm(centres[:, None] - middles[None], axis=2) < lengths / 2
    # Where a flat triangle's centre is too near to an edge, or beyond it, this is halved in its place.
    blocked = near_edge.any(axis=1)
    halved[np.unique(near_edge[flat & blocked].argmax(axis=1))] = True
    halved &= can & (lengths > _COARSE * np.minimum(size, lengths.max()))
    chosen: list[Array] = []
    for centre, radius, free in zip(centres, radii, inside & ~blocked, strict=True):
        if free and all(np.linalg.norm(centre - other) > 0.7 * radius for other in chosen):
            chosen.append(centre)
    if chosen:
        return np.zeros_like(halved), np.array(chosen)
    return halved, np.zeros((0, 2))


def _is_encroached(draft: _Draft) -> NDArray[np.bool_]:
    """Return which edges hold a vertex in their diametral circles that is no end of a neighbouring edge."""
    middles, lengths = draft.points[draft.edges].mean(axis=1), draft.lengths
    found = cKDTree(draft.points).query_ball_point(middles, lengths / 2 * (1 - _SAME))
    neighbours: dict[int, set[int]] = {}
    for a, b in draft.edges.tolist():
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    return np.array(
        [
            bool(set(vertices) - {a, b} - neighbours[a] - neighbours[b])
            for vertices, (a, b) in zip(found, draft.edges.tolist(), strict=True)
        ]
    )


def _is_missing(draft: _Draft, cells: Numbers) -> NDArray[np.bool_]:
    """Return which edges are not those of exactly one triangle."""
    sides = np.sort(cells[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(sides, axis=0, return_counts=True)
    once = {tuple(pair) for pair in unique[counts == 1].tolist()}
    return np.array([tuple(sorted(pair)) not in once for pair in draft.edges.tolist()])


def _inside(draft: _Draft) -> Numbers:
    """Return the Delaunay triangles between the edges, against the clock."""
    cells = np.asarray(Delaunay(draft.points).simplices, dtype=np.int64)
    corners = draft.points[cells]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    cells[areas < 0] = cells[areas < 0][:, ::-1]
    thick = np.abs(areas) > _SAME * (one**2 + other**2).sum(axis=1)
    return cells[thick & _odd(corners.mean(axis=1), draft)]


def _odd(points: Array, draft: _Draft) -> NDArray[np.bool_]:
    """Return for each point whether a ray to the right crosses an odd number of edges."""
    x, y = points.T
    odd = np.zeros(len(points), dtype=bool)
    for (a, b), (c, d) in draft.points[draft.edges]:
        across = (b > y) != (d > y)
        odd[across] ^= x[across] < a + (y[across] - b) / (d - b) * (c - a)
    return odd


def _circumcircles(corners: Array) -> tuple[Array, Array, Array]:
    """Return centres and radii of the circles through the corners of triangles, and their shortest sides."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice = 2 * (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
    squares, others = (one**2).sum(axis=1), (other**2).sum(axis=1)
    x = (other[:, 1] * squares - one[:, 1] * others) / twice
    y = (one[:, 0] * others - other[:, 0] * squares) / twice
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    return corners[:, 0] + np.stack([x, y], axis=1), np.hypot(x, y), sides.min(axis=1)


def _smoothed(draft: _Draft) -> _Draft:
    """Return the draft with every inner vertex between its neighbours, where no triangle becomes flatter than the flattest."""
    cells = _inside(draft)
    sums, counts = np.zeros_like(draft.points), np.zeros(len(draft.points))
    for a, b in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)):
        np.add.at(sums, cells[:, a], draft.points[cells[:, b]])
        np.add.at(counts, cells[:, a], 1)
    inner = (sums / np.maximum(counts, 1)[:, None])[draft.fixed :]
    trial = draft.with_inner(inner)
    after = _inside(trial)
    if _is_missing(trial, after).any():
        return draft
    worst = [
        float(np.max(r / s)) for _, r, s in (_circumcircles(d.points[c]) for d, c in ((draft, cells), (trial, after)))
    ]
    return trial if worst[1] <= worst[0] else draft
