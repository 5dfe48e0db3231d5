"""Closed surfaces: volumes, points and sides of what they enclose, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
from scipy.spatial import ConvexHull
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.surfaces import Surface

x, y, z = symbols("x y z")
CORNERS = np.array([(a, b, c) for a in (0.0, 1.0) for b in (0.0, 2.0) for c in (0.0, 3.0)])
SIDES = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])


def box_triangles() -> np.ndarray:
    return np.concatenate([SIDES[:, [0, 1, 2]], SIDES[:, [0, 2, 3]]])


def ball(count: int = 400) -> Surface:
    """The convex hull of points on the unit sphere, its triangles turned alike."""
    points = np.random.default_rng(0).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    triangles = hull.simplices.copy()
    inwards = np.linalg.det(points[triangles]) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    surface = Surface(points, triangles, (x, y, z))
    assert surface.measure == pytest.approx(hull.volume, rel=1e-12)
    assert surface.boundary.measure == pytest.approx(hull.area, rel=1e-12)
    return surface


@pytest.mark.parametrize("ending", ["stl", "obj", "ply", "off", "vtu"])
def test_surfaces_are_read_from_files(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"box.{ending}"
    meshio.Mesh(CORNERS, [("triangle", box_triangles())]).write(path)
    box = ps.Surface.read(path, coordinates=(x, y, z))
    assert box.measure == pytest.approx(6, rel=1e-12) and box.boundary.measure == pytest.approx(22, rel=1e-12)
    assert box.bounds == {x: (0, 1), y: (0, 2), z: (0, 3)} and box.text == f"the inside of box.{ending}"
    points = draw(box.boundary, 300)
    assert points.normals is not None
    assert (np.abs(points.normals).max(axis=1) == 1).all() and box.boundary.contains(points.coordinates).all()
    assert box.contains(points.coordinates).all() and not box.contains(points.coordinates + 1e-6 * points.normals).any()


def test_quadrilaterals_are_divided(tmp_path: Path) -> None:
    meshio.Mesh(CORNERS, [("quad", SIDES)]).write(tmp_path / "box.obj")
    assert ps.Surface.read(tmp_path / "box.obj", coordinates=(x, y, z)).measure == pytest.approx(6, rel=1e-12)


def test_inside_and_distance_agree_with_formulas() -> None:
    box = Surface(CORNERS, box_triangles(), (x, y, z))
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 3.5, 17)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    exact = ps.Box({x: (0, 1), y: (0, 2), z: (0, 3)})  # the grid meets edges, corners and diagonals
    np.testing.assert_array_equal(box.contains(grid), exact.contains(grid))
    np.testing.assert_allclose(box.signed_distance(grid), exact.signed_distance(grid), atol=1e-14)
    turned = Surface(CORNERS, box_triangles()[:, ::-1], (x, y, z))
    assert turned.measure == pytest.approx(6, rel=1e-12)


def test_points_are_uniform_in_what_is_enclosed() -> None:
    surface = ball()
    points = draw(surface, 4096).coordinates
    assert surface.contains(points).all() and np.linalg.norm(points, axis=1).max() < 1
    assert np.abs(points.mean(axis=0)).max() < 0.02
    assert (np.linalg.norm(points, axis=1) < 0.5).mean() == pytest.approx(np.pi / 6 / surface.measure, abs=0.01)
    half = surface & ps.HalfSpace(x <= 0, coordinates=(x, y, z))
    assert half.measure == pytest.approx(surface.measure / 2, rel=0.02)


def test_a_problem_inside_a_surface_is_declared_solved_and_stored(tmp_path: Path) -> None:
    surface = ball(60)
    w = ps.fields("w", x, y, z)
    problem = ps.Problem(
        domain=surface,
        equations=Eq(ps.laplacian(w, x, y, z), 0),
        conditions=ps.on(surface.boundary, Eq(w, x * y + z)),
    )
    arrays: dict[str, Any] = {}
    again = problem_from_data(problem_to_data(problem, arrays), arrays)
    assert repr(again.domain) == repr(surface) and repr(again.terms[1].region) == repr(problem.terms[1].region)
    training = ps.Training(
        points={"equation": 200, "condition": 100}, phases=[ps.LevenbergMarquardt(steps=12, resample=1)]
    )
    solution = ps.solve(problem, ps.MLP(width=8, depth=2), training, ps.Exact({w: x * y + z}))
    assert solution.errors["w"]["relative_l2"] < 3e-2
    loaded = ps.load(solution.save(tmp_path / "ball"))
    assert loaded(x=0.1, y=0.2, z=0.3) == solution(x=0.1, y=0.2, z=0.3)
    back = meshio.read(solution.write(tmp_path / "slice.vtu", z=0.1))
    inside = surface.contains(back.points[:, :2] @ np.eye(2, 3) + [0, 0, 0.1])
    np.testing.assert_array_equal(np.isfinite(back.point_data["w"]), inside)
    assert 0.5 < inside.mean() < 0.9


def test_what_is_not_closed_is_refused() -> None:
    triangles = box_triangles()
    far = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    cases: list[tuple[Any, Any, str]] = [
        (CORNERS, triangles[1:], "3 of 18 edges belong to one triangle only: it has holes"),
        (CORNERS, np.concatenate([triangles[:1, ::-1], triangles[1:]]), "3 of 18 edges are turned over"),
        (CORNERS, np.concatenate([triangles, [(0, 1, 7)]]), "belong to several triangles"),
        (CORNERS, np.concatenate([triangles, triangles[:1]]), "second time"),
        (CORNERS, np.concatenate([triangles, [(0, 1, 99)]]), "name points that do not exist; there are 8"),
        (np.where(CORNERS == 3, np.nan, CORNERS), triangles, "4 of 8 points"),
        (CORNERS, triangles[:0], "no triangles"),
        (CORNERS[:, :2], triangles, "give points and triangles in three dimensions"),
        (far, np.array([(0, 1, 2), (2, 1, 0)]), "second time"),
    ]
    for nodes, rows, found in cases:
        with pytest.raises(ps.MeshError, match=found):
            Surface(nodes, rows, (x, y, z))


def test_meshes_and_surfaces_point_to_each_other(tmp_path: Path) -> None:
    meshio.Mesh(CORNERS, [("triangle", box_triangles())]).write(tmp_path / "box.stl")
    with pytest.raises(ps.MeshError, match=r"of 2 dimensions.*ps\.Surface\.read"):
        ps.Mesh.read(tmp_path / "box.stl", coordinates=(x, y, z))
    brick = Path(__file__).parent / "meshes" / "brick_tetra.msh"
    with pytest.raises(ps.MeshError, match=r"no surface in space.*ps\.Mesh\.read"):
        ps.Surface.read(brick, coordinates=(x, y, z))
