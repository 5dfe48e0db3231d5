"""Integration: rules over regions and boundaries of every kind against closed forms, and the rate at which they converge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import symbols

import pinnsolve as ps
from pinnsolve.domains.integration import Rule, integration_rule

x, y, z, t = symbols("x y z t")
a, b, c, d = symbols("a b c d")
FOLDER = Path(__file__).parent / "meshes"

BOX = ps.Box({x: (0, 2), y: (0, 1)})
HOLE = ps.Disk({x: 0.5, y: 0.4}, radius=0.2)
DISK, OTHER = ps.Disk({x: 0, y: 0}, radius=1), ps.Disk({x: 1, y: 0}, radius=1)
BALL, OCTANT = ps.Ball({x: 0, y: 0, z: 0}, radius=1), ps.Box({x: (0, 2), y: (0, 2), z: (0, 2)})
TRIANGLE = ps.Polygon([(0, 0), (2, 0), (0, 1)], coordinates=(x, y))
SPAN = ps.Interval(t, 0, 2)
PLATE = ps.Mesh.read(FOLDER / "plate_4.1_text.msh", coordinates=(x, y))
BRICK = ps.Mesh.read(FOLDER / "brick_tetra.msh", coordinates=(x, y, z))
LENS = 2 * np.pi / 3 - np.sqrt(3) / 2
EXACT = 1e-12


def one(rule: Rule) -> Any:
    return np.ones(len(rule.points))


def outflow(rule: Rule) -> Any:
    """The flux of the field (x, y, ...) through a boundary: the dimension times the measure of the inside."""
    assert rule.normals is not None
    return (rule.normals * rule.points).sum(axis=1)


def moment(*powers: int) -> Callable[[Rule], Any]:
    return lambda rule: np.prod(rule.points ** np.array(powers), axis=1)


CASES: dict[str, tuple[Any, Callable[[Rule], Any], float, float]] = {
    "a box": (BOX, moment(3, 4), 4 / 5, EXACT),
    "an interval": (SPAN, moment(5), 64 / 6, EXACT),
    "a point": (SPAN.face(t, 2), moment(3), 8, EXACT),
    "a face": (BOX.face(x, 2), moment(2, 3), 1, EXACT),
    "all faces": (BOX.boundary, outflow, 4, EXACT),
    "a disk": (DISK, moment(2, 2), np.pi / 24, EXACT),
    "a circle": (DISK.boundary, moment(2, 4), np.pi / 8, EXACT),
    "a part of a circle": (DISK.boundary & ps.HalfSpace(y >= 0, coordinates=(x, y)), moment(0, 1), 2, EXACT),
    "what is left of a circle": (DISK.boundary - (DISK.boundary & OTHER), one, 4 * np.pi / 3, 1e-6),
    "a polygon": (TRIANGLE, moment(1, 1), 1 / 6, EXACT),
    "sides of a polygon": (TRIANGLE.boundary, outflow, 2, EXACT),
    "the boundary around a hole": ((BOX - HOLE).boundary, outflow, 2 * (2 - 0.04 * np.pi), EXACT),
    "a box with a hole": (BOX - HOLE, one, 2 - 0.04 * np.pi, 1e-3),
    "a lens": (DISK & OTHER, one, LENS, 1e-4),
    "around a lens": ((DISK & OTHER).boundary, outflow, 2 * LENS, 1e-7),
    "a union": (DISK | OTHER, one, 2 * np.pi - LENS, 1e-4),
    "a ball": (BALL, moment(2, 0, 0), 4 * np.pi / 15, 1e-3),
    "a sphere": (BALL.boundary, moment(2, 2, 0), 4 * np.pi / 15, EXACT),
    "a ball without an octant": (BALL - OCTANT, one, 7 * np.pi / 6, 1e-3),
    "a cylinder": (DISK * SPAN, moment(2, 0, 3), np.pi, EXACT),
    "the wall of a cylinder": (DISK.boundary * SPAN, moment(2, 0, 3), 4 * np.pi, EXACT),
    "a mesh": (PLATE, moment(1, 0), float(PLATE.quadrature(3)[1] @ PLATE.quadrature(3)[0][:, 0]), EXACT),
    "sides of a mesh": (PLATE.boundary, outflow, 2 * PLATE.measure, EXACT),
    "a mesh for some time": (PLATE * SPAN, moment(0, 0, 1), 2 * PLATE.measure, EXACT),
    "sides of a mesh in space": (BRICK.boundary, outflow, 3 * BRICK.measure, EXACT),
    "four dimensions": (ps.Box(dict.fromkeys((a, b, c, d), (0, 1))), moment(1, 1, 0, 2), 1 / 12, 1e-3),
}


@pytest.mark.parametrize("name", CASES)
def test_integrals_with_closed_forms(name: str) -> None:
    region, integrand, exact, tolerance = CASES[name]
    rule = integration_rule(region, 4_096)
    assert rule.weights @ integrand(rule) == pytest.approx(exact, rel=tolerance)
    assert rule.points.shape == (len(rule.weights), len(region.coordinates))
    if rule.normals is not None:
        np.testing.assert_allclose(np.linalg.norm(rule.normals, axis=1), 1, atol=1e-12)


def test_an_area_with_a_hole_converges() -> None:
    errors = []
    for count in (10**3, 10**5):
        errors.append(abs(integration_rule(BOX - HOLE, count).weights.sum() - (2 - 0.04 * np.pi)))
    assert errors[1] < errors[0] / 10  # a hundred times the points, ten times the lines; to the power 3/2 in the mean


def test_a_part_of_the_sides_of_a_mesh_takes_the_right_ones() -> None:
    half = PLATE.boundary & ps.HalfSpace(x <= 1, coordinates=(x, y))
    rule = integration_rule(half, 20_000)
    assert (rule.points[:, 0] <= 1 + 1e-9).all()
    assert rule.weights.sum() == pytest.approx(half.measure, rel=2e-3)


def test_normals_point_out_of_the_region_around_a_hole_and_out_of_the_hole() -> None:
    around = integration_rule((BOX - HOLE).boundary & ps.Disk({x: 0.5, y: 0.4}, radius=0.3), 100)
    of_hole = integration_rule(HOLE.boundary, 100)
    for rule, sign in ((around, -1), (of_hole, 1)):
        assert rule.normals is not None
        np.testing.assert_allclose(rule.normals, sign * (rule.points - [0.5, 0.4]) / 0.2, atol=1e-9)
