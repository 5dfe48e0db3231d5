"""Triangulations of plane regions: shapes, boundaries, parts with conditions, refinement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from sympy import symbols

import pinnsolve as ps
from pinnsolve.domains.images import Array
from pinnsolve.domains.shapes import Shape
from pinnsolve.reference.curves import Arc, Segment, meetings
from pinnsolve.reference.elements import Elements
from pinnsolve.reference.outlines import Outline, trace
from pinnsolve.reference.triangulation import Triangulation, triangulate

x, y = symbols("x y")
DISK = ps.Disk({x: 0, y: 0}, radius=1)
SQUARE = ps.Box({x: (-1, 1), y: (-1, 1)})
HALF = ps.HalfSpace(x + y <= 0.3, coordinates=(x, y))
SHAPES: Mapping[str, tuple[Shape, int, float]] = {
    "a disk": (DISK, 1, 30),
    "a square": (SQUARE, 4, 30),
    "an L": (ps.Polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], coordinates=(x, y)), 6, 30),
    "an L of boxes": (SQUARE - ps.Box({x: (0, 1), y: (-1, 0)}), 6, 30),
    "a hole beside the rim": (DISK - ps.Disk({x: 0.6, y: 0}, radius=0.35), 2, 20),
    "a tiny hole": (DISK - ps.Disk({x: 0.3, y: 0.2}, radius=0.02), 2, 20),
    "a bite": (SQUARE - ps.Disk({x: 1, y: 1}, radius=0.8), 5, 25),
    "a lens": (DISK & ps.Disk({x: 1.5, y: 0}, radius=1), 2, 25),
    "two disks": (DISK | ps.Disk({x: 1.5, y: 0}, radius=0.8), 2, 25),
    "a cut disk": (DISK & HALF, 2, 25),
    "a strip": (ps.Polygon([(0, 0), (0.1, 0), (1, 1), (0.9, 1)], coordinates=(x, y)), 4, 25),
    "a needle of 6 degrees": (ps.Polygon([(0, 0), (3, 0), (0, 0.3)], coordinates=(x, y)), 3, 5),
}


def outlined(shape: Shape) -> Outline:
    return trace(shape, [], lambda places: np.zeros((len(places), 0), dtype=bool))


def areas(mesh: Triangulation) -> Array:
    corners = mesh.points[mesh.cells]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2


def least_angle(mesh: Triangulation) -> float:
    corners = mesh.points[mesh.cells]
    found = []
    for k in range(3):
        one, other = corners[:, k - 1] - corners[:, k], corners[:, k - 2] - corners[:, k]
        cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        found.append(np.degrees(np.arccos(cosine)).min())
    return float(min(found))


@pytest.mark.parametrize("name", SHAPES)
def test_triangles_fill_a_region_and_are_not_flat(name: str) -> None:
    shape, corners, angle = SHAPES[name]
    outline = outlined(shape)
    mesh = triangulate(outline, np.sqrt(shape.measure / 40))
    fine = mesh.refined().refined()
    for some in (mesh, fine):
        assert (areas(some) > 0).all()
        ends = np.bincount(some.edges.ravel(), minlength=len(some.points))
        assert set(ends.tolist()) <= {0, 2}  # the boundary is closed
        assert shape.boundary.distance(some.middles()).max() < 1e-12
    assert len({tuple(np.round(p, 9)) for c in outline.curves for p in c.at(np.array([0.0, 1.0]))}) >= corners
    assert least_angle(mesh) > angle and least_angle(fine) > 0.7 * angle
    curved = any(curve.turn for curve in outline.curves)
    gaps = [abs(areas(some).sum() - areas(fine.refined()).sum()) for some in (mesh, fine)]
    assert gaps[1] < gaps[0] / 12 if curved else gaps[0] < 1e-12
    exact = Elements(fine, 2, np.zeros((0, len(mesh.cells)))).inside.weights.sum()
    assert exact == pytest.approx(shape.measure, rel=1e-3 if shape.fraction < 1 else 1e-6)


def test_conditions_begin_and_end_at_vertices() -> None:
    half = DISK.boundary & ps.HalfSpace(y <= 0.25, coordinates=(x, y))
    outline = trace(DISK, [half], lambda places: half.contains(places)[:, None])
    ends = np.concatenate([curve.at(np.array([0.0, 1.0])) for curve in outline.curves])
    assert (
        np.isclose(ends[:, 1], 0.25, atol=1e-9) | np.isclose(ends[:, 0], 1, atol=1e-9)
    ).all()  # or where angles begin
    mesh = triangulate(outline, 0.3).refined()
    below = np.isin(mesh.tags, np.flatnonzero(outline.marks[:, 0]))
    assert 0 < below.sum() < len(below)
    assert (mesh.points[mesh.edges[below], 1] <= 0.25 + 1e-9).all()
    assert (mesh.points[mesh.edges[~below], 1] >= 0.25 - 1e-9).all()


def test_values_between_nodes_are_those_of_the_elements() -> None:
    mesh = triangulate(outlined(DISK - ps.Disk({x: 0.5, y: 0}, radius=0.3)), 0.3)
    generator = np.random.default_rng(0)
    for order in (1, 2):
        elements = Elements(mesh, order, np.zeros((0, len(mesh.cells))))
        assert not elements.is_turned_over
        places = elements.inside.places.reshape(2, -1).T
        located = elements.locate(places)
        values = generator.random(elements.count)
        expected = np.einsum("ie,iep->ep", values[elements.inside.numbers], elements.inside.values).ravel()
        np.testing.assert_allclose((located.values * values[located.numbers]).sum(axis=1), expected, atol=1e-9)
        slopes = np.einsum("ie,iaep->aep", values[elements.inside.numbers], elements.inside.slopes).reshape(2, -1)
        found = np.einsum("pia,pi->ap", located.slopes, values[located.numbers])
        np.testing.assert_allclose(found, slopes, atol=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        (Segment((0, 0), (1, 1)), Segment((0, 1), (1, 0)), 1),
        (Segment((0, 0), (1, 0)), Segment((0, 1), (1, 1)), 0),
        (Segment((-2, 0), (2, 0)), Arc((0, 0), 1, 0, 2 * np.pi), 2),
        (Segment((-2, 1), (2, 1)), Arc((0, 0), 1, 0, 2 * np.pi), 1),
        (Segment((-2, 3), (2, 3)), Arc((0, 0), 1, 0, 2 * np.pi), 0),
        (Arc((0, 0), 1, 0, 2 * np.pi), Arc((1, 1), 1, 0, 2 * np.pi), 2),
        (Arc((0, 0), 1, 0, 2 * np.pi), Arc((3, 0), 2, 0, 2 * np.pi), 1),
        (Arc((0, 0), 1, 0, 2 * np.pi), Arc((0, 0), 2, 0, 2 * np.pi), 0),
    ],
)
def test_curves_meet_where_they_should(one: Segment | Arc, other: Segment | Arc, count: int) -> None:
    points = meetings(one, other)
    assert len(points) == count
    for curve in (one, other):
        np.testing.assert_allclose(curve.project(points), points, atol=1e-12)
