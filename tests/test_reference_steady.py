"""Boundary-value problems against manufactured solutions: the observed order, the true error, the honesty of the estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Expr, Function, Piecewise, Rational, Symbol, cos, exp, lambdify, pi, sin, sqrt, symbols

from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_reference

Operator = Callable[[Expr], Expr]

x, y, z = symbols("x y z")
U, V = Function("u"), Function("v")
f, u, v = U(x), U(x, y), V(x, y)
UNIT = Box({x: (0, 1), y: (0, 1)})


def both(operator: Operator, field: Expr, solution: Expr, *places: tuple[Symbol, Any]) -> list[Eq]:
    """Return the conditions that an operator of the field equals the same operator of the solution at places."""
    return [Eq(operator(field).subs(*place), operator(solution).subs(*place)) for place in places]


def value(g: Expr) -> Expr:
    return g


def manufactured(operator: Operator, field: Expr, solution: Expr, conditions: Any, domain: Any) -> Problem:
    return Problem(domain=domain, equations=Eq(operator(field), operator(solution)), conditions=conditions)


def errors(problem: Problem, exact: Any, cells: int, coordinates: tuple[Symbol, ...]) -> tuple[Reference, list[float]]:
    """Return the reference on a grid, and the true relative L2 errors on the grid half as fine and on this one."""
    found = []
    for factor in (2, 1):
        reference = solve_reference(
            problem, FiniteDifferences(cells={c: cells // factor for c in coordinates}), unknowns={}
        )
        truth = lambdify(coordinates, exact, "numpy")(*reference.points.T)
        found.append(float(np.linalg.norm(reference.values["u"] - truth) / np.linalg.norm(truth)))
    return reference, found


LINE = exp(x) * sin(4 * x + 1)
RIPPLE = cos(7 * x)
INTERVAL = Box({x: (0, 1)})
L, R = (x, 0), (x, 1)
D1 = {
    "dirichlet, nonlinear": (
        lambda g: ((1 + x**2) * g.diff(x)).diff(x) - g**3,
        both(value, f, LINE, L, R),
        160,
        LINE,
    ),
    "neumann and nonlinear robin": (
        lambda g: g.diff(x, 2) - g,
        both(lambda g: g.diff(x), f, LINE, L) + both(lambda g: g.diff(x) + g**3, f, LINE, R),
        128,
        LINE,
    ),
    "third order": (
        lambda g: g.diff(x, 3) + g * g.diff(x, 2),
        both(value, f, LINE, L) + both(lambda g: g.diff(x), f, LINE, L, R),
        128,
        LINE,
    ),
    "fourth order": (
        lambda g: g.diff(x, 4) + x * g,
        both(value, f, RIPPLE, L, R)
        + both(lambda g: g.diff(x), f, RIPPLE, L)
        + both(lambda g: g.diff(x, 2), f, RIPPLE, R),
        128,
        RIPPLE,
    ),
}


@pytest.mark.parametrize("name", D1)
def test_intervals_converge_with_order_four(name: str) -> None:
    operator, conditions, cells, solution = D1[name]
    reference, (coarse, fine) = errors(manufactured(operator, f, solution, conditions, INTERVAL), solution, cells, (x,))
    assert np.log2(coarse / fine) == pytest.approx(4, abs=0.1)
    assert reference.table[-1].order == pytest.approx(4, abs=0.1)
    assert fine / 3 < reference.estimated_relative_l2["u"] < 3 * fine


PLANE = sin(2 * x + y) * exp(x * y / 2)
WAVES = cos(x) * exp(y) + sin(x - 1) * y
SLOW = sin(x + 1) * cos(y / 2)
L2, R2, B2, T2 = (x, 0), (x, 1), (y, 0), (y, 1)


def elliptic(g: Expr) -> Expr:
    """Variable coefficients, a mixed derivative, transport and a nonlinear sink."""
    return ((1 + x) * g.diff(x)).diff(x) + 2 * g.diff(y, 2) + g.diff(x, y) / 2 + y * g.diff(x) - g**3


D2 = {
    "dirichlet": (elliptic, both(value, u, PLANE, L2, R2, B2, T2), UNIT, PLANE, 128),
    "neumann and robin": (
        elliptic,
        both(value, u, PLANE, L2, B2)
        + both(lambda g: g.diff(x), u, PLANE, R2)
        + both(lambda g: g.diff(y) + g, u, PLANE, T2),
        UNIT,
        PLANE,
        128,
    ),
    "periodic": (
        lambda g: g.diff(x, 2) + g.diff(y, 2) - g,
        [
            Eq(U(0, y), U(2 * pi, y)),
            Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 2 * pi)),
            *both(value, u, WAVES, B2, T2),
        ],
        Box({x: (0, 2 * pi), y: (0, 1)}),
        WAVES,
        64,
    ),
}


@pytest.mark.parametrize("name", D2)
def test_rectangles_converge_with_order_four(name: str) -> None:
    operator, conditions, domain, solution, cells = D2[name]
    reference, (coarse, fine) = errors(manufactured(operator, u, solution, conditions, domain), solution, cells, (x, y))
    assert np.log2(coarse / fine) == pytest.approx(4, abs=0.1)
    assert fine / 3 < reference.estimated_relative_l2["u"] < 3 * fine


def test_a_nonlinear_system_of_two_fields() -> None:
    exact = {u: PLANE, v: SLOW}
    left = [u.diff(x, 2) + u.diff(y, 2) + u * v, v.diff(x, 2) + v.diff(y, 2) + u.diff(x)]
    problem = Problem(
        domain=UNIT,
        equations=[Eq(e, e.subs(exact).doit()) for e in left],
        conditions=[Eq(g.subs(*p), exact[g].subs(*p)) for g in (u, v) for p in (L2, R2, B2, T2)],
    )
    reference, (coarse, fine) = errors(problem, PLANE, 64, (x, y))
    assert np.log2(coarse / fine) == pytest.approx(4, abs=0.2)
    assert fine / 3 < reference.estimated_relative_l2["u"] < 3 * fine


def test_clamped_plates_take_two_conditions_a_face() -> None:
    plate = sin(pi * x) ** 2 * sin(pi * y) ** 2

    def biharmonic(g: Expr) -> Expr:
        return g.diff(x, 4) + 2 * g.diff(x, 2, y, 2) + g.diff(y, 4)

    conditions = both(value, u, plate, L2, R2, B2, T2)
    conditions += both(lambda g: g.diff(x), u, plate, L2, R2) + both(lambda g: g.diff(y), u, plate, B2, T2)
    reference, (coarse, fine) = errors(manufactured(biharmonic, u, plate, conditions, UNIT), plate, 64, (x, y))
    assert np.log2(coarse / fine) > 3.9
    assert fine / 3 < reference.estimated_relative_l2["u"] < 3 * fine < 1e-4


def test_a_normal_derivative_on_the_whole_boundary_fixes_the_field_up_to_a_constant() -> None:
    solution = cos(pi * x) * cos(pi * y)
    n = UNIT.normal
    problem = Problem(
        domain=UNIT,
        equations=Eq(u.diff(x, 2) + u.diff(y, 2), -2 * pi**2 * solution),
        conditions={"wall": on(UNIT.boundary, Eq(n[0] * u.diff(x) + n[1] * u.diff(y), 0))},
    )
    reference = solve_reference(problem, FiniteDifferences(cells={x: 64}), unknowns={})
    gap = reference.values["u"] - lambdify((x, y), solution, "numpy")(*reference.points.T)
    assert 2 * np.std(gap) < 1e-5
    assert 2 * np.std(gap) < 3 * reference.estimated_relative_l2["u"]


def test_the_sign_of_the_normal_is_that_of_the_face() -> None:
    """With u = x the outward slope is +1 at x = 1 and -1 at x = 0; a wrong sign has no linear solution."""
    n = UNIT.normal
    problem = Problem(
        domain=UNIT,
        equations=Eq(u.diff(x, 2) + u.diff(y, 2), 0),
        conditions={
            "sides": on(UNIT.face(x, 0) + UNIT.face(x, 1), Eq(n[0] * u.diff(x) + u, n[0] + x)),
            "ends": on(UNIT.face(y, 0) + UNIT.face(y, 1), Eq(u, x)),
        },
    )
    reference = solve_reference(problem, FiniteDifferences(cells={x: 32, y: 16}), unknowns={})
    np.testing.assert_allclose(reference.values["u"], reference.points[:, 0], atol=1e-11)


def test_a_first_order_system_with_a_jump_is_exact_at_the_nodes() -> None:
    k, q = Piecewise((1, x < Rational(1, 2)), (10, True)), Function("q")(x)
    problem = Problem(
        domain=INTERVAL,
        equations={"flux": Eq(q, k * f.diff(x)), "balance": Eq(q.diff(x), -1)},
        conditions=[Eq(U(0), 0), Eq(U(1), 0)],
    )
    reference = solve_reference(problem, FiniteDifferences(cells={x: 64}), unknowns={})
    places = reference.points[:, 0]
    flux = 13 / 44 - places
    left = 13 / 44 * places - places**2 / 2
    half = 13 / 88 - 1 / 8
    exact = np.where(places < 0.5, left, half + (left - half) / 10)
    np.testing.assert_allclose(reference.values["q"], flux, atol=1e-12)
    np.testing.assert_allclose(reference.values["u"], exact, atol=1e-12)


def test_conditions_may_hold_inside_an_interval() -> None:
    problem = Problem(domain=INTERVAL, equations=Eq(f.diff(x, 2), 6 * x), conditions=[Eq(U(0), 0), Eq(U(0.3), 0.027)])
    reference = solve_reference(problem, FiniteDifferences(cells={x: 32}), unknowns={})
    np.testing.assert_allclose(reference.values["u"], reference.points[:, 0] ** 3, atol=1e-11)


def test_a_box_of_three_coordinates() -> None:
    g, solution = U(x, y, z), sin(x + y) * exp(z)
    problem = Problem(
        domain=Box({x: (0, 1), y: (0, 1), z: (0, 1)}),
        equations=Eq(g.diff(x, 2) + g.diff(y, 2) + g.diff(z, 2), -solution),
        conditions=[Eq(g.subs(c, a), solution.subs(c, a)) for c in (x, y, z) for a in (0, 1)],
    )
    reference = solve_reference(problem, FiniteDifferences(cells={x: 16}), unknowns={})
    truth = lambdify((x, y, z), solution, "numpy")(*reference.points.T)
    error = np.linalg.norm(reference.values["u"] - truth) / np.linalg.norm(truth)
    assert error < reference.estimated_relative_l2["u"] < 1e-6


def test_helmholtz_of_high_frequency_in_seconds() -> None:
    source = (1 - 17 * pi**2) * sin(pi * x) * sin(4 * pi * y)
    domain = Box({x: (-1, 1), y: (-1, 1)})
    problem = Problem(
        domain=domain,
        equations=Eq(u.diff(x, 2) + u.diff(y, 2) + u, source),
        conditions={"wall": on(domain.boundary, Eq(u, 0))},
    )
    reference = solve_reference(problem, FiniteDifferences(), unknowns={})
    truth = np.sin(np.pi * reference.points[:, 0]) * np.sin(4 * np.pi * reference.points[:, 1])
    error = np.linalg.norm(reference.values["u"] - truth) / np.linalg.norm(truth)
    assert error / 3 < reference.estimated_relative_l2["u"] < 3 * error < 1e-4


def test_the_equation_scaled_or_its_coordinates_permuted_gives_the_same_values() -> None:
    conditions = both(value, u, PLANE, L2, R2, B2, T2)
    plain = Problem(domain=UNIT, equations=Eq(elliptic(u), elliptic(PLANE)), conditions=conditions)
    scaled = Problem(domain=UNIT, equations=Eq(-1e6 * elliptic(u), -1e6 * elliptic(PLANE)), conditions=conditions)
    turned = Problem(
        domain=Box({y: (0, 1), x: (0, 1)}), equations=Eq(elliptic(u), elliptic(PLANE)), conditions=conditions
    )
    values = [
        solve_reference(p, FiniteDifferences(cells={x: 16, y: 32}), unknowns={}).evaluate(np.array([[a, b]]))["u"]
        for p, a, b in ((plain, 0.3, 0.6), (scaled, 0.3, 0.6), (turned, 0.6, 0.3))
    ]
    np.testing.assert_allclose(values[1:], values[0] * np.ones((2, 1)), rtol=1e-8)


def refused(match: str, **declaration: Any) -> None:
    with pytest.raises(UnsupportedError, match=match):
        solve_reference(Problem(**declaration), FiniteDifferences(seconds=10), unknowns={})


def test_a_pressure_is_refused() -> None:
    p = Function("p")(x, y)
    refused(
        "pressure",
        domain=UNIT,
        equations=[
            Eq(p.diff(x), u.diff(x, 2) + u.diff(y, 2)),
            Eq(p.diff(y), v.diff(x, 2) + v.diff(y, 2)),
            Eq(u.diff(x) + v.diff(y), 0),
        ],
        conditions={"u": on(UNIT.boundary, Eq(u, y * (1 - y))), "v": on(UNIT.boundary, Eq(v, 0))},
    )


def test_observations_in_place_of_conditions_are_refused() -> None:
    places = np.linspace(0, 1, 20)
    refused(
        "without its observations.*conditions in y: the equations need 2",
        domain=UNIT,
        equations=Eq(u.diff(x, 2) + u.diff(y, 2), 0),
        conditions=both(value, u, x + y, L2, R2, B2),
        data={"top": Observations(at={x: places, y: np.ones(20)}, values={u: 1 + places})},
    )


def test_too_many_space_coordinates_are_refused() -> None:
    names = symbols("a b c d")
    g = Function("u")(*names)
    refused(
        "4 space coordinates",
        domain=Box(dict.fromkeys(names, (0, 1))),
        equations=Eq(sum(g.diff(c, 2) for c in names), 0),
        conditions=[Eq(g.subs(c, a), 0) for c in names for a in (0, 1)],
    )


def test_a_problem_without_a_solution_is_refused() -> None:
    refused(
        "Newton|singular",
        domain=INTERVAL,
        equations=Eq(f.diff(x, 2) + 10 * exp(f), 0),
        conditions=[Eq(U(0), 0), Eq(U(1), 0)],
    )


def test_sources_that_do_not_balance_the_flux_are_refused() -> None:
    n = UNIT.normal
    refused(
        "balance",
        domain=UNIT,
        equations=Eq(u.diff(x, 2) + u.diff(y, 2), 1),
        conditions={"wall": on(UNIT.boundary, Eq(n[0] * u.diff(x) + n[1] * u.diff(y), 0))},
    )


def test_a_coefficient_without_a_value_at_zero_is_started_elsewhere() -> None:
    problem = Problem(domain=INTERVAL, equations=Eq(f.diff(x, 2), 2 / f), conditions=[Eq(U(0), 1), Eq(U(1), 2)])
    reference = solve_reference(problem, FiniteDifferences(cells={x: 64}), unknowns={})
    places, values = reference.points[:, 0], reference.values["u"]
    slope = np.gradient(values, places, edge_order=2)[1:-1]
    energy = slope**2 / 2 - 2 * np.log(values[1:-1])  # u'' = 2 / u conserves u'^2 / 2 - 2 log u
    assert np.ptp(energy) < 1e-3


@pytest.mark.parametrize(
    "spec", [{"cells": {x: 3}}, {"cells": {x: 2.5}}, {"seconds": 0.0}, {"order": 3}, {"order": 4.0}]
)
def test_impossible_grids_and_orders_are_errors(spec: Any) -> None:
    with pytest.raises(ProblemError, match="FiniteDifferences"):
        FiniteDifferences(**spec)


def test_cells_of_an_unknown_coordinate_are_an_error() -> None:
    problem = Problem(domain=INTERVAL, equations=Eq(f.diff(x, 2), 0), conditions=[Eq(U(0), 0), Eq(U(1), sqrt(2))])
    with pytest.raises(ProblemError, match="the coordinates are x"):
        solve_reference(problem, FiniteDifferences(cells={y: 64}), unknowns={})


def test_grids_too_coarse_for_a_high_derivative_are_left_out_or_refused() -> None:
    x, q = symbols("x"), Function("q")
    ends = [q(x).diff(x, k).subs(x, end) if k else q(end) for end in (0, 1) for k in (0, 2, 4)]
    problem = Problem(
        domain=Box({x: (0, 1)}),
        equations=Eq(q(x).diff(x, 6), -(pi**6) * sin(pi * x)),
        conditions=[Eq(value, 0) for value in ends],
    )
    reference = solve_reference(problem, FiniteDifferences(cells={x: 32}), unknowns={})
    np.testing.assert_allclose(reference.values["q"], np.sin(np.pi * reference.points[:, 0]), atol=1e-3)
    assert [row.cells for row in reference.table] == ["x 16", "x 32"]
    with pytest.raises(ProblemError, match="8 cells, fewer than its derivatives need nodes · give 10 or more"):
        solve_reference(problem, FiniteDifferences(cells={x: 8}), unknowns={})
