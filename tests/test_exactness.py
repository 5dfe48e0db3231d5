"""Exact conditions: what is built from the declared conditions meets them for every network, and nothing else is claimed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sympy import Abs, Eq, Expr, Float, cos, exp, lambdify, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.operators import laplacian
from pinnsolve.problem import Problem

x, y, z, t = symbols("x y z t")
u, w = ps.fields("u", x, t), ps.fields("w", x, y)
STRIP = ps.Box({x: (-1, 1), t: (0, 2)})
SQUARE = ps.Box({x: (0, 1), y: (0, pi)})
HEAT = Eq(u.diff(t), u.diff(x, 2))


def hard(conditions: Any, *, domain: Any = STRIP, equations: Any = HEAT) -> Problem:
    return Problem(domain=domain, equations=equations, conditions=conditions, hard=True)


def with_network(problem: Problem, field: Any, network: Expr) -> Expr:
    """The ansatz with a function of the coordinates in place of the network."""
    return problem.ansatz[field].subs(field, network)


def zero(expression: Expr, **ranges: tuple[float, float]) -> bool:
    """Whether an expression vanishes to rounding at random places."""
    names = sorted(expression.free_symbols, key=str)
    generator = np.random.default_rng(0)
    values = lambdify(names, expression, "numpy")(*(generator.uniform(*ranges.get(str(s), (0, 1)), 50) for s in names))
    return bool(np.abs(values).max() < 1e-12)


NETWORK = sin(3 * x + t) + x**2 * t - 2


def test_values_at_the_walls_and_at_the_start_hold_whatever_the_network_is() -> None:
    problem = hard(
        {"start": Eq(u(x, 0), sin(pi * x) + x), "left": Eq(u(-1, t), -exp(-t)), "right": Eq(u(1, t), cos(t))}
    )
    assert problem.exact == {"start", "left", "right"}
    trial = with_network(problem, u, NETWORK)
    assert (
        zero(trial.subs(t, 0) - sin(pi * x) - x)
        and zero(trial.subs(x, -1) + exp(-t))
        and zero(trial.subs(x, 1) - cos(t))
    )
    assert [term.name for term in problem.terms] == ["equation[0]", "start", "left", "right"]  # all stay declared


def test_value_and_slope_at_one_end_take_a_double_zero() -> None:
    wave = Eq(u.diff(t, 2), u.diff(x, 2))
    slope = Eq(u.diff(t).subs(t, 0), x * (1 - x**2))
    problem = hard({"start": Eq(u(x, 0), sin(pi * x)), "slope": slope, "walls": [u(-1, t), u(1, t)]}, equations=wave)
    assert problem.exact == {"start", "slope", "walls[0]", "walls[1]"}
    trial = with_network(problem, u, NETWORK)
    assert zero(trial.diff(t).subs(t, 0) - x * (1 - x**2)) and zero(trial.subs(t, 0) - sin(pi * x))


def test_a_clamped_plate_takes_double_zeros_all_around() -> None:
    conditions = {
        "value": ps.on(SQUARE.boundary, Eq(w, x * y)),
        **{f"x{end}": Eq(w.diff(x).subs(x, end), y) for end in (0, 1)},
        **{f"y{end}": Eq(w.diff(y).subs(y, end), x) for end in (0, pi)},
    }
    problem = hard(conditions, domain=SQUARE, equations=laplacian(laplacian(w, x, y), x, y))
    assert problem.exact == set(conditions)


@pytest.mark.parametrize("dimension", [2, 3])
def test_faces_of_a_cube_are_interpolated(dimension: int) -> None:
    place = (x, y, z)[:dimension]
    v = ps.fields("v", *place)
    cube = ps.Box(dict.fromkeys(place, (0, 1)))
    value = exp(x) * sin(2 * y) * (1 if dimension == 2 else cos(z))
    problem = hard(ps.on(cube.boundary, Eq(v, value)), domain=cube, equations=laplacian(v, *place))
    assert problem.exact == {"condition[0]"}
    trial = with_network(problem, v, exp(x + 2 * y))
    for coordinate in place:
        for end in (0, 1):
            assert zero((trial - value).subs(coordinate, end))
    middle = dict.fromkeys(place, Float(0.5))
    assert abs((trial - value).subs(middle)) > 1e-3  # inside, the network decides


def test_a_slope_alone_is_left_to_the_loss() -> None:
    problem = hard({"start": Eq(u(x, 0), sin(pi * x)), "left": u(-1, t), "insulated": u.diff(x).subs(x, 1)})
    assert problem.exact == {"start", "left"}


def test_slopes_that_contradict_the_walls_are_left_to_the_loss() -> None:
    wave = Eq(u.diff(t, 2), u.diff(x, 2))
    conditions = {"start": u(x, 0), "slope": Eq(u.diff(t).subs(t, 0), 1), "walls": [u(-1, t), u(1, t)]}
    assert hard(conditions, equations=wave).exact == {"start", "walls[0]", "walls[1]"}


def test_kinks_are_left_to_the_loss() -> None:
    problem = hard({"start": Eq(u(x, 0), 1 - Abs(x)), "left": u(-1, t), "right": u(1, t)})
    assert problem.exact == {"left", "right"}


PERIODIC = {"value": Eq(u(-1, t), u(1, t)), "slope": Eq(u.diff(x).subs(x, 1), u.diff(x).subs(x, -1))}


def test_periodic_coordinates_are_found_and_their_conditions_exact() -> None:
    problem = hard({"start": Eq(u(x, 0), cos(pi * x)), **PERIODIC})
    assert dict(problem.periods) == {x: 2.0} and problem.exact == {"start", "value", "slope"}
    again = problem_from_data(problem_to_data(problem))
    assert again.periods == problem.periods and again.ansatz == problem.ansatz and again.exact == problem.exact


def test_a_start_with_a_kink_at_the_seam_is_left_to_the_loss() -> None:
    problem = hard({"start": Eq(u(x, 0), x**2 * cos(pi * x)), **PERIODIC})
    assert dict(problem.periods) == {x: 2.0} and not problem.ansatz and problem.exact == {"value", "slope"}


@pytest.mark.parametrize(
    ("equation", "conditions"),
    [
        (
            Eq(u.diff(t), u.diff(x, 2)),
            {"value": PERIODIC["value"], "left": u(-1, t)},
        ),  # the slope is not declared periodic
        (Eq(u.diff(t) + x * u.diff(x), 0), {"value": PERIODIC["value"]}),  # the speed differs at the ends
        (Eq(u.diff(t) + u.diff(x), 0), {"value": Eq(u(-1, t), -u(1, t))}),  # antiperiodic
        (Eq(u.diff(t) + u.diff(x), 0), {"value": Eq(u(-1, t), u(0, t))}),  # within, not end to end
    ],
)
def test_what_is_not_periodic_is_not_taken_for_it(equation: Any, conditions: dict[str, Any]) -> None:
    assert not hard({"start": Eq(u(x, 0), sin(pi * x) ** 2), **conditions}, equations=equation).periods


def test_a_field_left_free_keeps_its_free_constant() -> None:
    v, p = ps.fields("v p", x, t)
    equations = [Eq(v.diff(t) + p.diff(x), 0), Eq(v.diff(x), 0)]
    problem = hard({"start": v(x, 0), "left": v(-1, t), "rest": p.diff(x).subs(x, 1)}, equations=equations)
    assert set(problem.ansatz) == {v} and dict(problem.gauges) == {"p": (t,)}


def test_contradictory_requests_are_refused() -> None:
    with pytest.raises(ProblemError, match="an ansatz is given as well"):
        Problem(
            domain=STRIP,
            equations=HEAT,
            conditions={"s": u(x, 0), "l": u(-1, t), "r": u(1, t)},
            ansatz={u: t * u},
            hard=True,
        )
    slopes = {"start": Eq(u(x, 0), Abs(x)), "l": u.diff(x).subs(x, -1), "r": u.diff(x).subs(x, 1)}
    with pytest.raises(UnsupportedError, match="no condition gives a smooth value on a whole face"):
        hard(slopes)
