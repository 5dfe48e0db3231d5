"""The estimated error brackets the true one within a factor of three: problems with closed forms, on grids chosen by the program.

Nothing here is manufactured: these are solutions of the equations as they stand, steady and unsteady, of systems, nonlinear, in
one to three dimensions.
"""

from __future__ import annotations

from typing import Any

import pytest
from sympy import Eq, Expr, Rational, Symbol, cos, cosh, exp, log, pi, sin, sqrt, symbols, tanh

import pinnsolve as ps
from pinnsolve.reference import levels
from pinnsolve.reference.cole_hopf import cole_hopf
from pinnsolve.reference.exact import exact_reference
from pinnsolve.reference.result import Reference, relative_l2
from pinnsolve.reference.solve import FiniteDifferences, solve_reference

x, y, z, t = symbols("x y z t")
u, v = ps.fields("u v", x, t)
f, w, g, c, n = (
    ps.fields("f", x),
    ps.fields("w", x, y),
    ps.fields("g", x, y, z),
    ps.fields("c", x, y, t),
    ps.fields("n", t),
)
UNIT = (0, 1)


def given(solution: dict[Expr, Expr], *places: tuple[Symbol, Any]) -> list[Eq]:
    """Return the conditions that fields have the values of a solution at places."""
    return [Eq(field.subs(*place), form.subs(*place)) for field, form in solution.items() for place in places]


def ends(*coordinates: Symbol, span: tuple[Any, Any] = UNIT) -> list[tuple[Symbol, Any]]:
    return [(coordinate, end) for coordinate in coordinates for end in span]


def declare(
    domain: Any, equations: Any, solution: dict[Expr, Expr], *places: tuple[Symbol, Any], more: Any = ()
) -> Any:
    conditions = [*given(solution, *places), *more]
    return ps.Problem(domain=ps.Box(domain), equations=equations, conditions=conditions), solution


DECAY = {u: exp(-(pi**2) * t / 10) * sin(pi * x)}
SHOCK = {u: 1 - tanh(5 * (x - t - Rational(1, 10)))}
FRONT = {u: 1 / (1 + exp((x - 5 * t / sqrt(6)) / sqrt(6))) ** 2}
SOLITON = {u: 2 / cosh(x - 4 * t) ** 2}
STANDING = {u: sin(2 * pi * x) * cos(2 * pi * t)}
SPIRAL = {u: exp(-t) * cos(2 * t) * sin(x), v: exp(-t) * sin(2 * t) * sin(x)}
BRATU = {f: -log(cos(x / 2) ** 2)}
LAYER = {f: (exp(10 * (x - 1)) - exp(-10)) / (1 - exp(-10))}
MEMBRANE = {w: sin(pi * x) * sin(2 * pi * y)}
LIOUVILLE = {w: log(8 / (1 + (x + 1) ** 2 + y**2) ** 2)}
HARMONIC = {g: exp(sqrt(2) * x) * sin(y + 1) * cos(z)}
COOLING = {c: exp(-2 * t) * sin(x + 1) * cos(y)}
GROWTH = {n: 1 / (1 + 9 * exp(-3 * t))}
STRIP = {x: UNIT, t: UNIT}

PROBLEMS = {
    "heat": declare(STRIP, Eq(u.diff(t), u.diff(x, 2) / 10), DECAY, (t, 0), *ends(x)),
    "a moving shock of Burgers": declare(
        STRIP, Eq(u.diff(t) + u * u.diff(x), u.diff(x, 2) / 10), SHOCK, (t, 0), *ends(x)
    ),
    "a front of Fisher": declare(
        {x: (-5, 10), t: (0, 2)}, Eq(u.diff(t), u.diff(x, 2) + u * (1 - u)), FRONT, (t, 0), *ends(x, span=(-5, 10))
    ),
    "a soliton": declare(
        {x: (-8, 10), t: (0, Rational(1, 2))},
        Eq(u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3), 0),
        SOLITON,
        (t, 0),
        *ends(x, span=(-8, 10)),
        more=[Eq(u.diff(x).subs(x, 10), SOLITON[u].diff(x).subs(x, 10))],
    ),
    "a standing wave": declare(
        STRIP, Eq(u.diff(t, 2), u.diff(x, 2)), STANDING, (t, 0), *ends(x), more=[Eq(u.diff(t).subs(t, 0), 0)]
    ),
    "a rotating system": declare(
        {x: (0, 3), t: UNIT},
        [Eq(u.diff(t), u.diff(x, 2) - 2 * v), Eq(v.diff(t), v.diff(x, 2) + 2 * u)],
        SPIRAL,
        (t, 0),
        *ends(x, span=(0, 3)),
    ),
    "Bratu": declare({x: UNIT}, Eq(f.diff(x, 2), exp(f) / 2), BRATU, *ends(x)),
    "a layer": declare({x: UNIT}, Eq(f.diff(x), f.diff(x, 2) / 10), LAYER, *ends(x)),
    "a membrane": declare(
        {x: UNIT, y: UNIT}, Eq(w.diff(x, 2) + w.diff(y, 2), -5 * MEMBRANE[w] * pi**2), MEMBRANE, *ends(x, y)
    ),
    "Liouville": declare({x: UNIT, y: UNIT}, Eq(w.diff(x, 2) + w.diff(y, 2), -exp(w)), LIOUVILLE, *ends(x, y)),
    "a harmonic function in space": declare(
        {x: UNIT, y: UNIT, z: UNIT}, Eq(g.diff(x, 2) + g.diff(y, 2) + g.diff(z, 2), 0), HARMONIC, *ends(x, y, z)
    ),
    "cooling in the plane": declare(
        {x: UNIT, y: UNIT, t: UNIT}, Eq(c.diff(t), c.diff(x, 2) + c.diff(y, 2)), COOLING, (t, 0), *ends(x, y)
    ),
    "logistic growth": declare({t: (0, 3)}, Eq(n.diff(t), 3 * n * (1 - n)), GROWTH, (t, 0)),
}


def true_errors(problem: ps.Problem, solution: dict[Expr, Expr], reference: Reference) -> dict[str, float]:
    truth = exact_reference(problem, ps.Exact(solution), unknowns={}).evaluate(reference.points)
    return {name: relative_l2(reference.values[name] - e, e, free_constant=False) for name, e in truth.items()}


SLOW = ("a harmonic function in space",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROBLEMS])
def test_the_estimate_brackets_the_true_error(name: str) -> None:
    problem, solution = PROBLEMS[name]
    reference = solve_reference(problem, FiniteDifferences(), unknowns={})
    for field, error in true_errors(problem, solution, reference).items():
        assert error / 3 < reference.estimated_relative_l2[field] < 3 * error < 3e-5


def test_the_error_of_the_time_steps_counts_on_costly_grids_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without derivatives in x all of the error is that of the time steps, which refining the grid does not show."""
    monkeypatch.setattr(levels, "_CHEAP_SECONDS", 0.0)
    problem, solution = declare(STRIP, Eq(u.diff(t), 9 * u * (1 - u)), {u: 1 / (1 + (9 + x) * exp(-9 * t))}, (t, 0))
    reference = solve_reference(problem, FiniteDifferences(cells={x: 128}), unknowns={})
    (error,) = true_errors(problem, solution, reference).values()
    assert error > 3 * reference.table[-1].difference
    assert error / 3 < reference.estimated_relative_l2["u"] < 3 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"cells": {x: 4096}}, {"cells": {x: 2048}, "order": 6}], ids=["order 4", "order 6"]
)
def test_the_thin_layer_of_burgers_is_right_to_six_digits_in_seconds(options: dict[str, Any]) -> None:
    viscosity = 0.01 / pi
    problem, _ = declare(
        {x: (-1, 1), t: UNIT},
        Eq(u.diff(t) + u * u.diff(x), viscosity * u.diff(x, 2)),
        {u: -sin(pi * x)},
        (t, 0),
        *ends(x, span=(-1, 1)),
    )
    reference = solve_reference(problem, FiniteDifferences(**options), unknowns={})
    exact = cole_hopf(*reference.points.T, viscosity=float(viscosity))
    error = relative_l2(reference.values["u"] - exact, exact, free_constant=False)
    assert error < 1e-6 and error < 3 * reference.estimated_relative_l2["u"] < 1e-6
    assert reference.seconds < 20
