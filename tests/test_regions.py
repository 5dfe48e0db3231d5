"""Regions: measures, points and normals of boxes and boundaries, algebra of boundaries, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sympy import Matrix, Rational, Symbol, pi, sqrt, symbols

from pinnsolve.domains.regions import Box, Interval, normal_symbol
from pinnsolve.domains.sampling import draw
from pinnsolve.errors import ProblemError

x, y, z, t, nu = symbols("x y z t nu")
BOX = Box({x: (0, 2), y: (-1, 2), t: (0, 5)})


def test_bounds_are_numbers_in_the_order_written():
    box = Box({t: (Rational(1, 2), pi), x: [0, sqrt(2)]})  # type: ignore[dict-item]
    assert box.coordinates == (t, x)
    assert dict(box.bounds) == {t: (0.5, math.pi), x: (0.0, math.sqrt(2))}
    assert box.measure == pytest.approx((math.pi - 0.5) * math.sqrt(2), rel=1e-15)


def test_an_interval_is_a_box_of_one_coordinate():
    assert dict(Interval(t, 0, 10).bounds) == {t: (0.0, 10.0)}


def test_a_product_gains_the_coordinates_of_both():
    product = Box({x: (0, 1), y: (0, 2)}) * Interval(t, 0, 3) * Interval(nu, 1, 2)
    assert product.coordinates == (x, y, t, nu)
    assert product.measure == 6


def test_the_measure_of_the_boundary_is_the_sum_over_the_faces():
    assert BOX.boundary.measure == pytest.approx(2 * (3 * 5 + 2 * 5 + 2 * 3))
    assert Interval(x, 0, 7).boundary.measure == 2  # two points
    assert BOX.face(x, 0).measure == 15


def test_boundaries_add_and_subtract():
    box = Box({x: (0, 1), y: (0, 1)})
    lid = box.face(y, 1)
    walls = box.boundary - lid
    assert len(walls.faces) == 3
    assert lid.faces[0] not in walls.faces
    assert (walls + lid).measure == box.boundary.measure == 4
    assert len((walls + lid + lid).faces) == 4
    with pytest.raises(ProblemError, match="no face is left"):
        lid - box.boundary


def test_points_are_inside_and_those_on_the_boundary_too():
    points = draw(BOX, 200, seed=3).coordinates
    assert BOX.contains(points).all()
    corners = np.array([[0, -1, 0], [2, 2, 5], [2 + 1e-12, 2, 5], [2 + 1e-6, 2, 5], [0, -1.1, 0]])
    assert BOX.contains(corners).tolist() == [True, True, True, False, False]


def test_points_on_a_boundary_carry_the_outward_normal():
    drawn = draw(BOX.boundary, 300, seed=1)
    assert drawn.normals is not None
    assert BOX.boundary.contains(drawn.coordinates).all()
    assert BOX.contains(drawn.coordinates).all()
    outside = drawn.coordinates + 1e-3 * drawn.normals
    assert not BOX.contains(outside).any()
    assert np.array_equal(np.abs(drawn.normals).sum(axis=1), np.ones(300))


def test_the_divergence_theorem_holds_on_grid_points():
    # F = (x y, y^2, t x): div F = 3 y + x; the face-wise means use the midpoint rule, exact for these to O(h^2).
    inside = draw(BOX, 20**3, method="grid").coordinates
    volume = BOX.measure * (3 * inside[:, 1] + inside[:, 0]).mean()
    surface = 0.0
    for coordinate, (low, high) in BOX.bounds.items():
        for end in (low, high):
            face = BOX.face(coordinate, end)
            drawn = draw(face, 1600, method="grid")
            assert drawn.normals is not None
            a, b, c = drawn.coordinates.T
            surface += face.measure * (np.stack([a * b, b**2, c * a], 1) * drawn.normals).sum(axis=1).mean()
    assert surface == pytest.approx(volume, rel=1e-3)


def test_points_are_shared_among_the_faces_by_their_measure():
    drawn = draw(Box({x: (0, 1), y: (0, 9)}).boundary, 100, seed=0).normals
    assert drawn is not None
    assert [int((drawn == n).all(axis=1).sum()) for n in ([-1, 0], [1, 0], [0, -1], [0, 1])] == [45, 45, 5, 5]


def test_every_face_gets_a_point_while_they_last():
    thin = Box({x: (0, 1), y: (0, 1e-6)}).boundary
    normals = draw(thin, 4, seed=0).normals
    assert normals is not None
    assert len(np.unique(normals, axis=0)) == 4


def test_a_boundary_times_time_keeps_normals_in_space():
    cylinder = Box({x: (0, 1), y: (0, 1)}).boundary * Interval(t, 0, 2)
    assert cylinder.coordinates == (x, y, t)
    assert cylinder.measure == 8
    drawn = draw(cylinder, 64, seed=2)
    assert drawn.normals is not None
    assert not drawn.normals[:, 2].any()
    assert np.ptp(drawn.coordinates[:, 2]) > 1.5


def test_time_times_a_boundary_is_the_same():
    wall = Box({x: (0, 1), y: (0, 1)}).face(x, 1)
    assert Interval(t, 0, 2) * wall == wall * Interval(t, 0, 2)


def test_the_normal_is_a_column_of_symbols_that_no_user_has():
    assert BOX.normal == Matrix([normal_symbol(c) for c in (x, y, t)])
    assert BOX.boundary.normal == BOX.normal
    assert not any(symbol.name.isidentifier() for symbol in BOX.normal)


def test_the_ends_of_an_interval_are_points_with_normals():
    drawn = draw(Interval(x, 2, 5).boundary, 2)
    assert drawn.coordinates.tolist() == [[2.0], [5.0]]
    assert drawn.normals is not None
    assert drawn.normals.tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_membership_of_a_boundary_is_measured_by_its_size(size: float):
    box = Box({x: (0, size), y: (0, size)})
    points = size * np.array([[0, 0.5], [1, 0.3], [0.5, 0.5], [1e-12, 0.2], [1e-3, 0.2]])
    assert box.boundary.contains(points).tolist() == [True, True, False, True, False]
    assert box.face(x, 0).contains(points).tolist() == [True, False, False, True, False]
    assert box.face(x, size).contains(points).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("declare", "pieces"),
    [
        (lambda: Box({}), ("domain", "Box({x: (-1, 1), t: (0, 1)})")),
        (lambda: Box([(0, 1)]), ("domain", "write Box(")),  # type: ignore[arg-type]
        (lambda: Box({"x": (0, 1)}), ("'x' is a str", "symbols")),
        (lambda: Box({x: (0, 1, 2)}), ("domain, x", "(0, 1, 2)", "x: (low, high)")),  # type: ignore[dict-item]
        (lambda: Box({x: 1}), ("domain, x", "range 1")),  # type: ignore[dict-item]
        (lambda: Box({x: (1, 0)}), ("domain, x", "(1, 0) is empty", "lower end first")),
        (lambda: Box({x: (1, 1)}), ("domain, x", "empty")),
        (lambda: Box({x: (0, math.inf)}), ("domain, x", "the end inf is not a real number")),
        (lambda: Box({x: (0, math.nan)}), ("domain, x", "not finite")),
        (lambda: Box({x: ("0", 1)}), ("domain, x", "'0'", "real number")),  # type: ignore[dict-item]
        (lambda: Box({x: (0, y)}), ("domain, x", "the end y", "real number")),
        (lambda: Box({x: (0, 1j)}), ("domain, x", "real number")),  # type: ignore[dict-item]
        (lambda: Box({x: (0, 1), Symbol("x", real=True): (0, 1)}), ("domain, x", "different assumptions")),
        (lambda: Interval(x, 0, 1) * Interval(x, 0, 1), ("both factors have x",)),
        (lambda: BOX.boundary * Interval(x, 0, 1), ("both factors have x",)),
        (lambda: BOX.face(z, 0), ("face(z, 0)", "x, y, t")),
        (lambda: BOX.face(x, 1), ("face(x, 1)", "x runs from 0 to 2", "one of the two ends")),
        (lambda: Interval(x, 0, 1).boundary + Box({x: (0, 1), t: (0, 1)}).face(t, 0), ("(x)", "(x, t)", "multiply")),
    ],
)
def test_regions_that_cannot_be_meant_are_refused(declare, pieces):
    with pytest.raises(ProblemError) as caught:
        declare()
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)


def test_a_region_times_a_number_is_a_type_error():
    with pytest.raises(TypeError):
        BOX * 2  # type: ignore[operator]
    with pytest.raises(TypeError):
        BOX.boundary * 2  # type: ignore[operator]
