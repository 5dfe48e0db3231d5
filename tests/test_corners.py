"""Corners: conditions that meet must agree to a thousandth of the data's scale."""

from __future__ import annotations

import pytest
from sympy import Abs, Eq, Piecewise, Rational, cos, exp, log, pi, sin, sqrt, symbols

from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.errors import ProblemError
from pinnsolve.operators import fields, laplacian
from pinnsolve.problem import Problem

x, y, t, nu = symbols("x y t nu")
u = fields("u", x, t)
w = fields("w", x, y)
SQUARE = Box({x: (0, 1), y: (0, 1)})


def heat(initial, left, *, size: float = 1.0) -> Problem:
    return Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(u.diff(t), u.diff(x, 2)),
        conditions={
            "initial": Eq(u(x, 0), size * initial),
            "left": Eq(u(0, t), size * left),
            "right": Eq(u(1, t), size * initial.subs(x, 1)),
        },
    )


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_a_difference_is_measured_by_the_scale_of_the_data(size: float):
    heat(cos(pi * x), 1 + 5e-4 * exp(-t), size=size)
    with pytest.raises(ProblemError, match=r"initial, left · at t = 0, x = 0 the first says u = .*, the second"):
        heat(cos(pi * x), 1 + 5e-3 * exp(-t), size=size)


def test_the_scale_is_that_of_all_data_of_the_field():
    heat(1000 * sin(pi * x) + 1e-2, 0 * t)
    with pytest.raises(ProblemError, match="initial, left"):
        heat(sin(pi * x) + 1e-2, 0 * t)


def test_rounding_of_floating_point_numbers_is_no_contradiction():
    heat(sin(3.141592653589793 * x), 0 * t)
    heat(0.1 * (1 + x) + 0.2, 0.3 + 0 * t)


def test_a_high_power_is_read_as_it_is_written():
    """Expanded, (2 x - 1)^64 has coefficients of 1e30 that cancel to nothing but rounding at x = 1."""
    heat(1 - (2 * x - 1) ** 64, 0 * t)


def test_edges_in_three_dimensions_must_agree_all_along():
    v, box = fields("v", x, y, t), Box({x: (0, 1), y: (0, 1), t: (0, 1)})

    def declared(wall) -> Problem:
        walls = [v(0, y, t) - wall, v(1, y, t) - 1 - wall, v(x, 0, t) - x, v(x, 1, t) - x]
        return Problem(
            domain=box,
            equations=Eq(v.diff(t), laplacian(v, x, y)),
            conditions={"start": Eq(v(x, y, 0), x), "walls": walls},
        )

    declared(0 * y)
    with pytest.raises(ProblemError, match=r"start, walls\[0\] · at t = 0, x = 0, y = 0\.\d+"):
        declared(y * (1 - y))  # agrees at both ends of the edge and nowhere between


def test_a_condition_on_a_part_of_a_side_is_compared_where_it_reaches():
    def lid(low: float, high: float) -> Problem:
        walls = on(SQUARE.boundary - SQUARE.face(y, 1), w)
        top = on(Interval(x, low, high), Eq(w(x, 1), 1))
        rest = on(Interval(x, 0, low), w(x, 1)) if low > 0 else w.diff(y).subs(y, 0)
        return Problem(domain=SQUARE, equations=laplacian(w, x, y), conditions={"w": walls, "lid": top, "rest": rest})

    lid(0.25, 0.75)
    with pytest.raises(ProblemError, match=r"lid"):
        lid(0.25, 1.0)


def test_faces_and_pinned_conditions_are_compared():
    with pytest.raises(ProblemError, match=r"wall, lid · at .*x = 0, y = 1|wall, lid · at .*y = 1, x = 0"):
        Problem(
            domain=SQUARE,
            equations=laplacian(w, x, y),
            conditions={"wall": on(SQUARE.boundary - SQUARE.face(y, 1), w), "lid": Eq(w(x, 1), cos(x))},
        )


def test_two_values_on_one_plane_contradict_where_they_overlap():
    line, f = Interval(x, 0, 1), fields("f", x)
    with pytest.raises(ProblemError, match=r"at x = 0 the first says f = 0, the second 2"):
        Problem(domain=line, equations=f.diff(x, 2), conditions=[f(0), Eq(f(0), 2)])

    def inlet(wall_from: float) -> Problem:
        conditions = {
            "inlet": on(Interval(y, 0.5, 1), Eq(w(0, y), 1)),
            "wall": on(Interval(y, wall_from, 0.6 if wall_from else 0.5), w(0, y)),
            "rest": [w.diff(x).subs(x, 1), w.diff(y).subs(y, 0), w.diff(y).subs(y, 1)],
        }
        return Problem(domain=SQUARE, equations=laplacian(w, x, y), conditions=conditions)

    inlet(0)
    with pytest.raises(ProblemError, match=r"inlet, wall"):
        inlet(0.1)


def test_opposite_sides_slopes_and_unknown_values_do_not_meet():
    f = fields("f", x)
    Problem(domain=Interval(x, 0, 1), equations=f.diff(x, 2), conditions=[f(0), Eq(f(1), 7)])
    Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(u.diff(t), u.diff(x, 2)),
        conditions=[Eq(u(x, 0), 1), Eq(u.diff(x).subs(x, 0), 5), Eq(u(1, t), nu)],
        unknowns={nu: 3},
    )


def test_a_multiple_of_a_field_gives_its_value():
    with pytest.raises(ProblemError, match=r"u = 2\.5"):
        Problem(
            domain=Box({x: (0, 1), t: (0, 1)}),
            equations=Eq(u.diff(t), u.diff(x, 2)),
            conditions={"initial": Eq(5 - 2 * u(x, 0), 0), "left": 3 * u(0, t), "right": u.diff(x).subs(x, 1)},
        )


def test_data_in_pieces_and_singular_at_an_end_are_judged_where_they_are_finite():
    heat(Piecewise((1, Abs(x - 0.5) < 0.1), (0, True)), 0 * t)
    Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(u.diff(t), u.diff(x, 2)),
        conditions=[Eq(u(x, 0), log(x)), u.diff(x).subs(x, 0), u(1, t)],
    )


def test_data_that_are_not_real_inside_are_refused():
    with pytest.raises(ProblemError, match=r"initial · .*sqrt\(x - 1/2\) is not a finite real number at x = 0\.\d+"):
        heat(sqrt(x - Rational(1, 2)), 0 * t)
