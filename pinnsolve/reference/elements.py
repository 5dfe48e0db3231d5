"""Linear and quadratic elements on triangles and tetrahedra, made by scikit-fem: points of quadrature, nodes, values between them.

Quadratic triangles at a curved boundary are curved too, with the middle of the edge on the curve (isoparametric elements: Ciarlet
and Raviart 1972), without which their error would be of second order, however smooth the solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from pinnsolve.domains.images import Array
from pinnsolve.errors import UnsupportedError
from pinnsolve.reference.triangulation import Numbers, Triangulation

_NEAREST, _MORE = {2: 4, 3: 16}, 96
"""Triangles in which a point is looked for, those with the nearest centres; more where it is in none of the first."""

_OUTSIDE = -1e-6
_NEWTON_STEPS = 6


@dataclass(frozen=True)
class Quadrature:
    """Points of quadrature in triangles, or on edges of the boundary.

    Args:
        numbers: The nodes of each (nodes, elements).
        values: The basis functions (nodes, elements, points).
        slopes: Their derivatives (nodes, n, elements, points).
        weights: With the determinant of the map (elements, points).
        places: The points (n, elements, points).
        groups: The values of coefficients by groups of cells (groups, elements, 1).
        normals: The outward normals on edges.
    """

    numbers: Numbers
    values: Array
    slopes: Array
    weights: Array
    places: Array
    groups: Array
    normals: Array | None = None


@dataclass(frozen=True)
class Located:
    """Places in triangles.

    Args:
        elements: The elements.
        cells: The triangle of each place.
        local: The local coordinates in it (places, n).
    """

    elements: Elements
    cells: Numbers
    local: Array

    @cached_property
    def numbers(self) -> Numbers:
        """The nodes (places, nodes)."""
        return np.asarray(self.elements.numbers[:, self.cells].T)

    @cached_property
    def values(self) -> Array:
        """The basis functions (places, nodes)."""
        return np.ascontiguousarray(self.elements.shapes(self.local)[0].T)

    @cached_property
    def slopes(self) -> Array:
        """Their derivatives (places, nodes, n)."""
        inverse = np.linalg.inv(self.elements.jacobian(self.cells, self.local))
        return np.asarray(np.einsum("icp,pca->pia", self.elements.shapes(self.local)[1], inverse))


@dataclass(frozen=True)
class Elements:
    """The elements of one order on a triangulation.

    Args:
        triangulation: The triangles.
        order: 1 or 2.
        groups: Values by groups of cells (groups, cells of the coarsest triangulation).
    """

    triangulation: Triangulation
    order: int
    groups: Array
    _locations: Callable[[bytes], Located] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_locations", lru_cache(maxsize=4)(self._located))

    @cached_property
    def count(self) -> int:
        """The number of nodes."""
        return int(self._basis.N)

    @cached_property
    def numbers(self) -> Numbers:
        """The nodes of each triangle (nodes, cells)."""
        return np.asarray(self._basis.element_dofs, dtype=np.int64)

    @cached_property
    def nodes(self) -> Array:
        """Their places (nodes, 2)."""
        return np.asarray(self._basis.doflocs.T)

    @cached_property
    def inside(self) -> Quadrature:
        """The points of quadrature in triangles."""
        return _quadrature(self._basis, self.groups_of(np.arange(len(self.triangulation.cells))))

    def groups_of(self, cells: Numbers) -> Array:
        """Return the values by groups in some cells (groups, cells)."""
        return np.asarray(self.groups[:, self.triangulation.origins[cells]])

    @property
    def is_turned_over(self) -> bool:
        """Whether a curved triangle is turned inside out somewhere."""
        return not bool((self._basis.mapping.detDF(self._basis.X) > 0).all())

    def on_edges(self, tags: Numbers) -> Quadrature:
        """Return the points of quadrature on the edges of some curves."""
        basis = _skfem().FacetBasis(self._mesh, self._element, facets=self._facets(tags), intorder=2 * self.order + 1)
        return _quadrature(basis, self.groups_of(np.asarray(basis.tind)))

    def nodes_on(self, tags: Numbers) -> Numbers:
        """Return the numbers of the nodes on the edges of some curves, their ends among them."""
        return np.asarray(self._basis.get_dofs(self._facets(tags)).flatten(), dtype=np.int64)

    def shapes(self, local: Array) -> tuple[Array, Array]:
        """Return the basis functions (nodes, places) at local coordinates, and their derivatives in these (nodes, 2, places)."""
        pairs = [self._element.lbasis(local.T, i) for i in range(len(self.numbers))]
        values = np.stack([np.broadcast_to(value, len(local)) for value, _ in pairs])
        return values, np.stack([np.stack([np.broadcast_to(s, len(local)) for s in slopes]) for _, slopes in pairs])

    def linear_shares(self) -> Array:
        """Return for each node of a triangle the linear functions that are 1 at one of its corners (nodes, corners)."""
        local = np.asarray(self._element.doflocs)
        return np.column_stack([1 - local.sum(axis=1), local])

    def jacobian(self, cells: Numbers, local: Array) -> Array:
        """Return the derivatives of the map from local coordinates (places, coordinates, local coordinates)."""
        sides = self._sides[cells]
        curved = np.flatnonzero(self._curved[cells])
        if len(curved):
            slopes = self.shapes(local[curved])[1]
            sides[curved] = np.einsum("icp,pia->pac", slopes, self.nodes[self.numbers[:, cells[curved]].T])
        return np.asarray(sides)

    def locate(self, points: Array) -> Located:
        """Return in which triangles points (points, 2) are; for those between a triangle and the curve, the nearest."""
        return self._locations(np.ascontiguousarray(points, dtype=np.float64).tobytes())

    @cached_property
    def _mesh(self) -> Any:
        skfem, mine = _skfem(), self.triangulation
        points, cells = np.ascontiguousarray(mine.points.T), np.ascontiguousarray(mine.cells.T)
        if len(points) == 3:
            return skfem.MeshTet(points, cells, sort_t=False)
        mesh = skfem.MeshTri(points, cells, sort_t=False)
        if self.order == 1 or not any(curve.turn for curve in mine.curves):
            return mesh
        curved = skfem.MeshTri2.from_mesh(mesh)
        nodes = curved.doflocs.copy()
        nodes[:, curved.dofs.facet_dofs[0, _numbers_of(mine.edges, mesh.facets)]] = mine.middles().T
        return skfem.MeshTri2(nodes, curved.t)

    @cached_property
    def _element(self) -> Any:
        skfem = _skfem()
        if len(self.triangulation.points.T) == 3:
            return skfem.ElementTetP1() if self.order == 1 else skfem.ElementTetP2()
        return skfem.ElementTriP1() if self.order == 1 else skfem.ElementTriP2()

    @cached_property
    def _basis(self) -> Any:
        return _skfem().Basis(self._mesh, self._element, intorder=2 * self.order + 1)

    def _facets(self, tags: Numbers) -> Numbers:
        chosen = np.isin(self.triangulation.tags, tags)
        return _numbers_of(self.triangulation.edges[chosen], self._mesh.facets)

    def _located(self, key: bytes) -> Located:
        return Located(self, *self._find(np.frombuffer(key).reshape(-1, self.triangulation.points.shape[1])))

    def _find(self, points: Array) -> tuple[Numbers, Array]:
        """Return the triangle of every point and the local coordinates in it."""
        cells, local, depth = self._best(points, min(_NEAREST[points.shape[1]], len(self.triangulation.cells)))
        lost = np.flatnonzero(depth < _OUTSIDE)
        if len(lost):
            again = self._best(points[lost], min(_MORE, len(self.triangulation.cells)))
            cells[lost], local[lost] = again[0], again[1]
        return cells, local

    def _best(self, points: Array, count: int) -> tuple[Numbers, Array, Array]:
        """Return, of so many triangles near every point, the one in which it is deepest."""
        near = self._centres.query(points, k=count)[1].reshape(len(points), count)
        cells, repeated = near.ravel(), np.repeat(points, count, axis=0)
        local = self._inverse(cells, repeated)
        depth = np.minimum(local.min(axis=1), 1 - local.sum(axis=1)).reshape(len(points), count)
        best = depth.argmax(axis=1)
        rows = np.arange(len(points))
        return near[rows, best], local.reshape(*near.shape, points.shape[1])[rows, best], depth[rows, best]

    def _inverse(self, cells: Numbers, points: Array) -> Array:
        """Return local coordinates: those of the straight triangle, improved by Newton's method where it is curved."""
        offset = points - self.triangulation.points[self.triangulation.cells[cells, 0]]
        local = np.einsum("pca,pa->pc", self._inverses[cells], offset)
        curved = np.flatnonzero(self._curved[cells] & (np.abs(local - 1 / 3).max(axis=1) < 2))
        mine, there, guess = cells[curved], points[curved], np.asarray(local[curved])
        for _ in range(_NEWTON_STEPS if len(curved) else 0):
            gap = there - np.einsum("ip,pia->pa", self.shapes(guess)[0], self.nodes[self.numbers[:, mine].T])
            guess = np.clip(guess + np.linalg.solve(self.jacobian(mine, guess), gap[:, :, None])[:, :, 0], -2.0, 3.0)
        local[curved] = guess
        return np.asarray(local)

    @cached_property
    def _sides(self) -> Array:
        """Two sides of every straight triangle, as columns (cells, 2, 2)."""
        corners = self.triangulation.points[self.triangulation.cells]
        return np.stack([corners[:, k] - corners[:, 0] for k in range(1, corners.shape[1])], axis=2)

    @cached_property
    def _inverses(self) -> Array:
        return np.asarray(np.linalg.inv(self._sides))

    @cached_property
    def _centres(self) -> cKDTree:
        return cKDTree(self.triangulation.points[self.triangulation.cells].mean(axis=1))

    @cached_property
    def _curved(self) -> Array:
        """Which triangles have a node that is not where that of a straight triangle would be."""
        if not any(curve.turn for curve in self.triangulation.curves) or self.order == 1:
            return np.zeros(len(self.triangulation.cells), dtype=bool)
        own = self.nodes[self.numbers.T]
        straight = np.stack(
            [own[:, [0, 1]].mean(axis=1), own[:, [1, 2]].mean(axis=1), own[:, [0, 2]].mean(axis=1)], axis=1
        )
        size = np.ptp(own[:, :3], axis=1).max()
        return np.asarray(np.abs(own[:, 3:] - straight).max(axis=(1, 2)) > 1e-12 * size)


def require_scikit_fem() -> None:
    """Raise where scikit-fem is not installed.

    Raises:
        UnsupportedError: With the command that installs it.
    """
    _skfem()


def _skfem() -> Any:
    try:
        import skfem
    except ImportError:
        found = "no finite-element reference: scikit-fem is not installed"
        raise UnsupportedError("FiniteElements", found, 'install it by pip install "pinnsolve[fem]"') from None
    return skfem


def _quadrature(basis: Any, groups: Array) -> Quadrature:
    shape = basis.dx.shape
    functions = [functions[0] for functions in basis.basis]
    values = np.stack([np.broadcast_to(np.asarray(f), shape) for f in functions])
    slopes = np.stack([np.broadcast_to(f.grad, (len(f.grad), *shape)) for f in functions])
    normals = np.asarray(basis.normals) if hasattr(basis, "normals") else None
    numbers = np.asarray(basis.element_dofs, dtype=np.int64)
    places = np.asarray(basis.global_coordinates())
    return Quadrature(numbers, values, slopes, basis.dx, places, groups[:, :, None], normals)


def _numbers_of(edges: Numbers, facets: Numbers) -> Numbers:
    """Return which of the facets (n, facets) the edges (edges, n) are."""
    powers = (int(facets.max()) + 1) ** np.arange(len(facets), dtype=np.int64)
    keys, wanted = powers @ np.sort(facets, axis=0), np.sort(edges, axis=1) @ powers
    order = np.argsort(keys)
    return np.asarray(order[np.searchsorted(keys, wanted, sorter=order)])
