"""Simplices: segments, triangles and tetrahedra by their corners, their measures, normals and points spread over them.

Barycentric coordinates that are uniform by measure come from uniform numbers c_k of the unit cube by l_k = r_0 … r_{k-1} (1 - r_k)
with r_k = c_k^(1/(n - k)): the part of a simplex beyond a parallel of its side is that simplex, smaller.
"""

from __future__ import annotations

import numpy as np

from pinnsolve.domains.images import Array


def signed_measures(corners: Array) -> Array:
    """Return the lengths, areas or volumes of simplices (simplices, n + 1, n), negative where they are turned over."""
    edges = (corners[:, 1:] - corners[:, :1]).transpose(
        1, 2, 0
    )  # by formulas, several times as fast as many small matrices
    if len(edges) == 1:
        return np.asarray(edges[0, 0])
    if len(edges) == 2:
        (a, b), (c, d) = edges
        return np.asarray((a * d - b * c) / 2)
    (a, b, c), (d, e, f), (g, h, i) = edges
    return np.asarray((a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) / 6)


def measures(corners: Array) -> Array:
    """Return the measures of simplices (simplices, corners, coordinates) of any dimension; 1 for points."""
    edges = corners[:, 1:] - corners[:, :1]
    if edges.shape[1] == 0:
        return np.ones(len(corners))
    if edges.shape[1] == 1:
        return np.asarray(np.linalg.norm(edges[:, 0], axis=1))
    if edges.shape[1] == edges.shape[2]:
        return np.abs(signed_measures(corners))
    return np.asarray(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2)  # a triangle in space


def longest_edges(corners: Array) -> Array:
    """Return the length of the longest edge of each simplex (simplices, corners, coordinates); 0 for points."""
    count = corners.shape[1]
    pairs = [(i, k) for i in range(count) for k in range(i)]
    lengths = [np.linalg.norm(corners[:, i] - corners[:, k], axis=1) for i, k in pairs]
    return np.max(lengths, axis=0) if lengths else np.zeros(len(corners))


def unit_normals(corners: Array, opposite: Array) -> Array:
    """Return unit normals (facets, coordinates) of facets (facets, corners, coordinates) that point away from a point each."""
    dimension = corners.shape[2]
    if dimension == 1:
        normals = np.ones((len(corners), 1))
    elif dimension == 2:
        edge = corners[:, 1] - corners[:, 0]
        normals = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    else:
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = ((opposite - corners[:, 0]) * normals).sum(axis=1) > 0
    normals = np.where(inwards[:, None], -normals, normals)
    normals = normals / np.abs(normals).max(axis=1, keepdims=True)  # before squares are taken, which may underflow
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


def barycentric(cube: Array) -> Array:
    """Return barycentric coordinates (points, n + 1), uniform by measure, from points (points, n) of the unit cube."""
    count, dimension = cube.shape
    found = np.empty((count, dimension + 1))
    left = np.ones(count)
    for k in range(dimension):
        ratio = cube[:, k] ** (1.0 / (dimension - k))
        found[:, k] = left * (1 - ratio)
        left = left * ratio
    found[:, dimension] = left
    return found


def spread_over(corners: Array, cumulated: Array, cube: Array) -> tuple[Array, np.ndarray]:
    """Map points of the unit cube onto a set of simplices, volume to measure.

    Args:
        corners: (simplices, n + 1, coordinates).
        cumulated: Measures of the simplices up to each, the last one included (simplices,).
        cube: Points (points, n), or anything (points, 0) for a set of points.

    Returns:
        Points (points, coordinates), and the simplex of each.
    """
    if cube.shape[1] == 0:
        places = np.arange(len(cube)) % len(corners)
        return corners[places, 0], places
    wanted = cube[:, 0] * cumulated[-1]
    places = np.minimum(np.searchsorted(cumulated, wanted, side="right"), len(corners) - 1)
    before = np.where(places > 0, cumulated[places - 1], 0.0)
    inner = cube.copy()
    inner[:, 0] = np.clip((wanted - before) / (cumulated[places] - before), 0.0, 1.0)
    shares = barycentric(inner)
    return np.asarray(np.einsum("pk,pkc->pc", shares, corners[places])), places


def along_curve(centres: Array) -> np.ndarray:
    """Return an order of points (points, coordinates) in which successive ones are near each other: Morton's curve.

    Evenly spread numbers then become points evenly spread over the whole, not only evenly many in every simplex.
    """
    bits = 62 // centres.shape[1] if centres.shape[1] > 1 else 20
    bits = min(bits, 20)
    low, span = centres.min(axis=0), np.ptp(centres, axis=0)
    steps = ((centres - low) / np.where(span > 0, span, 1.0) * (2**bits - 1)).astype(np.int64)
    codes = np.zeros(len(centres), dtype=np.int64)
    for bit in range(bits):
        for axis in range(centres.shape[1]):
            codes |= ((steps[:, axis] >> bit) & 1) << (bit * centres.shape[1] + axis)
    return np.argsort(codes, kind="stable")


def distances_to(points: Array, corners: Array) -> Array:
    """Return the distance of each point (points, coordinates) to one facet each (points, corners, coordinates)."""
    if corners.shape[1] == 1:
        return np.asarray(np.linalg.norm(points - corners[:, 0], axis=1))
    if corners.shape[1] == 2:
        return _to_segments(points, corners[:, 0], corners[:, 1])
    a, b, c = (corners[:, k] for k in range(3))
    u, v, offset = b - a, c - a, points - a
    normal = np.cross(u, v)
    square = (normal**2).sum(axis=1)
    s = (np.cross(offset, v) * normal).sum(axis=1) / square
    t = (np.cross(u, offset) * normal).sum(axis=1) / square
    above = np.abs((offset * normal).sum(axis=1)) / np.sqrt(square)
    edges = np.min([_to_segments(points, p, q) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    return np.where((s >= 0) & (t >= 0) & (s + t <= 1), above, edges)


def _to_segments(points: Array, start: Array, end: Array) -> Array:
    edge, offset = end - start, points - start
    share = np.clip((edge * offset).sum(axis=1) / (edge**2).sum(axis=1), 0.0, 1.0)
    return np.asarray(np.linalg.norm(offset - share[:, None] * edge, axis=1))
