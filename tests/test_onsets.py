"""Onsets: the time within which solutions begin to change, by their equations, and the factors of conditions that follow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from sympy import Eq, Expr, Pow, cos, exp, pi, sin, sqrt, symbols

import pinnsolve as ps

x, t, nu = symbols("x t nu")
u, v = ps.fields("u v", x, t)
q, r, s = ps.fields("q r s", t)


def onsets(problem: ps.Problem) -> dict[str, float]:
    """Return T_0 of every field that has one."""
    found = {}
    for field, expression in problem.ansatz.items():
        within = {part.base for part in expression.atoms(Pow) if part.exp == -1 and part.base.has(t)}
        if within:
            (sum_of_squares,) = within
            found[field.func.__name__] = math.sqrt(2 / sum_of_squares.diff(t, 2))
    return found


def ordinary(equations: Any, conditions: dict[str, Any], end: float = 40, **more: Any) -> ps.Problem:
    return ps.Problem(domain=ps.Interval(t, 0, end), equations=equations, conditions=conditions, hard=True, **more)


def waves(equations: Any, conditions: dict[str, Any], end: float = 20, **more: Any) -> ps.Problem:
    domain = ps.Box({x: (0, 1), t: (0, end)})
    return ps.Problem(domain=domain, equations=equations, conditions=conditions, hard=True, **more)


REST = Eq(q.diff(t).subs(t, 0), 0)
WALLS = {"left": u(0, t), "right": u(1, t)}


@pytest.mark.parametrize(
    ("equations", "conditions", "rate"),
    [
        (q.diff(t, 2) + 9 * q, {"start": Eq(q(0), 2), "rest": REST}, 3),
        (2 * q.diff(t, 2) + nu * q, {"start": Eq(q(0), 2), "rest": REST}, 3),
        (q.diff(t, 2) + 9 * sin(q), {"start": q(0), "kick": Eq(q.diff(t).subs(t, 0), 1e-3)}, 3),
        (q.diff(t, 2) + 9 * q, {"start": Eq(q(0), 1), "kick": Eq(q.diff(t).subs(t, 0), 5)}, 5),
    ],
    ids=["from rest", "an unknown", "kicked from nothing", "fast at first"],
)
def test_the_rates_of_oscillators(equations: Any, conditions: dict[str, Any], rate: float) -> None:
    problem = ordinary(equations, conditions, unknowns={nu: 18} if nu in equations.free_symbols else {})
    assert onsets(problem) == pytest.approx({"q": 3 / rate}) and problem.exact == set(conditions)


def test_equations_that_give_their_derivatives_together() -> None:
    both = [q.diff(t, 2) + r.diff(t, 2) + 5 * q, q.diff(t, 2) - r.diff(t, 2) + 5 * q - 8 * r, s.diff(t) + s - q]
    conditions = {"q": Eq(q(0), 1), "r": Eq(r(0), 1), "s": s(0), "still": [REST, r.diff(t).subs(t, 0)]}
    problem = ordinary(both, conditions)  # q'' = -5 q + 4 r, r'' = -4 r
    assert onsets(problem) == pytest.approx({"q": 3, "r": 1.5})


def test_the_rates_of_waves() -> None:
    """Those of a string and of a beam, also where an offset changes nothing."""
    standing = {"shape": Eq(u(x, 0), sin(2 * pi * x)), "rest": u.diff(t).subs(t, 0), **WALLS}
    assert onsets(waves(u.diff(t, 2) - 9 * u.diff(x, 2), standing))["u"] == pytest.approx(3 / (6 * math.pi), rel=0.01)
    beam = standing | {"moment": u.diff(x, 2).subs(x, 0), "other moment": u.diff(x, 2).subs(x, 1)}
    assert onsets(waves(u.diff(t, 2) + u.diff(x, 4), beam))["u"] == pytest.approx(3 / (2 * math.pi) ** 2, rel=0.01)
    lifted = {"shape": Eq(u(x, 0), 7 + cos(pi * x)), "rest": u.diff(t).subs(t, 0)}
    walls = {"left": Eq(u(0, t), 8 + 0 * t), "right": Eq(u(1, t), 6 + 0 * t)}
    assert onsets(waves(u.diff(t, 2) - 9 * u.diff(x, 2), lifted | walls))["u"] == pytest.approx(
        3 / (3 * math.pi), rel=0.01
    )


def test_a_state_may_be_given_at_the_end() -> None:
    conditions = {"end": Eq(q(40), 5), "rest": q.diff(t).subs(t, 40)}
    problem = ordinary(q.diff(t, 2) + 4 * q, conditions)
    assert onsets(problem) == pytest.approx({"q": 1.5}) and problem.exact == set(conditions)


def test_what_changes_slowly_or_is_not_told_has_a_power_of_time() -> None:
    start = {"start": Eq(q(0), 1), "rest": REST}
    assert onsets(ordinary(q.diff(t, 2) + q, start, end=3)) == {}
    assert onsets(ordinary(q.diff(t, 2) + q, start, end=4)) == pytest.approx({"q": 1.2})
    assert onsets(ordinary(Eq(q.diff(t), -9 * q), {"start": Eq(q(0), 1)})) == {}
    assert onsets(ordinary(Eq(q.diff(t, 2) ** 2, q), start)) == {}
    struck = {"start": u(x, 0), "rest": u.diff(t).subs(t, 0), "left": Eq(u(0, t), 1 - exp(-t)), "right": u(1, t)}
    assert (
        onsets(waves(Eq(u.diff(t, 2), u.diff(x, 2)), struck)) == {}
    )  # the wall drives it, of which the start tells nothing


def test_conditions_with_slopes_are_met_at_walls_too() -> None:
    moving = sin(pi * x + 7 * t)
    conditions = {
        "shape": Eq(u(x, 0), moving.subs(t, 0)),
        "speed": Eq(u.diff(t).subs(t, 0), moving.diff(t).subs(t, 0)),
        "left": Eq(u(0, t), moving.subs(x, 0)),
        "right": Eq(u(1, t), moving.subs(x, 1)),
    }
    problem = waves(Eq(u.diff(t, 2), 49 / pi**2 * u.diff(x, 2)), conditions)
    assert problem.exact == set(conditions) and onsets(problem)["u"] == pytest.approx(1.5 / 7, rel=0.05)


@pytest.mark.slow
def test_a_beam_of_two_modes_is_found_and_would_not_be_by_powers_of_time() -> None:
    """1.3 and 5.3 periods of its modes, in SI units: 3e-5 after 60 s where t^2 leaves 3e-2 and more."""
    length, stiffness, mass = 2, 2000, 3.9

    def mode(n: int) -> Expr:
        return sin(n * pi * x / length) * cos((n * pi / length) ** 2 * sqrt(stiffness / mass) * t)

    answer = 0.005 * mode(1) + 0.0015 * mode(2)
    conditions = {
        "deflection": Eq(u(x, 0), answer.subs(t, 0)),
        "at rest": u.diff(t).subs(t, 0),
        "supports": [u(0, t), u(length, t)],
        "moments": [u.diff(x, 2).subs(x, 0), u.diff(x, 2).subs(x, length)],
    }
    equations = {"beam": Eq(mass * u.diff(t, 2) + stiffness * u.diff(x, 4), 0)}
    problem = ps.Problem(domain=ps.Box({x: (0, length), t: (0, 0.15)}), equations=equations, conditions=conditions)
    by_powers = answer.subs(t, 0) + (t / 0.15) ** 2 * x * (length - x) * u
    errors = [
        ps.solve(each, None, None, ps.Exact({u: answer}), limits=ps.Limits(seconds=40)).errors["u"]["relative_l2"]
        for each in (problem, replace(problem, ansatz={u: by_powers}))
    ]
    assert errors[0] < 1e-4 < 1e-2 < errors[1]
