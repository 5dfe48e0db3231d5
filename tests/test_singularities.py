"""Singularities: clamps beside tractions, and states at which equations have no value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from sympy import Eq, Expr, Matrix, Rational, eye, log, sqrt, symbols, zeros

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.singularities import clamp_beside_traction, kept_away_from
from pinnsolve.scaling import complete

x, y, t = symbols("x y t")
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})
u, v = ps.fields("u v", x, y)
c = ps.fields("c", x)


def strip(*, around: bool = False) -> ps.Problem:
    """Plane strain: clamped on one side and pulled on the opposite one, or clamped all around."""
    moved = Matrix([u, v])
    slopes = moved.jacobian(Matrix([x, y]))
    strain = (slopes + slopes.T) / 2
    stress = Rational(3, 2) * strain.trace() * eye(2) + 2 * strain
    free = SQUARE.face(y, 0) + SQUARE.face(y, 1)
    conditions = {
        "clamp": ps.on(SQUARE.face(x, 0), Eq(moved, zeros(2, 1))),
        "pull": ps.on(SQUARE.face(x, 1), Eq(stress * SQUARE.normal, Matrix([Rational(1, 10), 0]))),
        "free": ps.on(free, Eq(stress * SQUARE.normal, zeros(2, 1))),
    }
    if around:
        conditions = {"clamp": ps.on(SQUARE.boundary, Eq(moved, zeros(2, 1)))}
    balance = [ps.div(stress[k, :], x, y) for k in range(2)]
    return ps.Problem(domain=SQUARE, equations={"balance": balance}, conditions=conditions)


def pellet(rate: Expr, **more: Any) -> ps.Problem:
    """Diffusion into a sphere in which what diffuses is used up."""
    return ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"pellet": Eq(c.diff(x, 2) + 2 / x * c.diff(x), rate)},
        conditions={"surface": Eq(c(1), 1), "centre": Eq(c.diff(x).subs(x, 0), 0)},
        **more,
    )


def test_a_clamp_beside_tractions_is_left_to_the_loss() -> None:
    trained, chosen = complete(strip())
    assert trained.exact == frozenset() and chosen[0].value == "none" and "clamp[0] meets free[0]" in chosen[0].reason
    assert complete(replace(strip(), hard=True))[0].exact == {"clamp[0]", "clamp[1]"}
    assert complete(strip(around=True))[0].exact == {"clamp[0]", "clamp[1]"}


def test_scalars_beams_and_starts_have_no_clamps() -> None:
    def found(problem: ps.Problem) -> Any:
        exact = replace(problem, hard=True).exact
        return clamp_beside_traction(problem.terms, problem.fields, problem.domain, exact)

    mixed = {
        "left": Eq(u(0, y), 0),
        "rest": ps.on(SQUARE.boundary - SQUARE.face(x, 0), ps.grad(u, x, y).dot(SQUARE.normal)),
    }
    assert found(ps.Problem(domain=SQUARE, equations=ps.laplacian(u, x, y), conditions=mixed)) is None
    p, q = ps.fields("p q", x, t)
    rates = {"p": Eq(p.diff(t), p.diff(x, 2) + q), "q": Eq(q.diff(t), q.diff(x, 2))}
    starts = {"p0": Eq(p(x, 0), 0), "q0": Eq(q(x, 0), 1)}
    ends = {f"end {k} at {e}": Eq((p.diff(x) + k * q.diff(x)).subs(x, e), 0) for e in (0, 1) for k in (1, 2)}
    rod = ps.Box({x: (0, 1), t: (0, 1)})
    assert found(ps.Problem(domain=rod, equations=rates, conditions={**starts, **ends})) is None


def test_rollers_are_no_clamps() -> None:
    """A quarter of a plate that is pulled: both its planes of symmetry fix one field and leave the other free."""
    moved = Matrix([u, v])
    slopes = moved.jacobian(Matrix([x, y]))
    stress = (slopes + slopes.T) + slopes.trace() * eye(2)
    conditions = {
        "left": ps.on(SQUARE.face(x, 0), Eq(u, 0), stress[0, 1]),
        "bottom": ps.on(SQUARE.face(y, 0), Eq(v, 0), stress[0, 1]),
        "pull": ps.on(SQUARE.face(x, 1), Eq(stress * SQUARE.normal, Matrix([1, 0]))),
        "free": ps.on(SQUARE.face(y, 1), Eq(stress * SQUARE.normal, zeros(2, 1))),
    }
    balance = [ps.div(stress[k, :], x, y) for k in range(2)]
    problem = ps.Problem(domain=SQUARE, equations={"balance": balance}, conditions=conditions)
    assert complete(problem)[0].exact == {"left[0]", "bottom[0]"}


@pytest.mark.slow
def test_a_strip_that_is_pulled_moves_as_far_as_it_should() -> None:
    reference = ps.FiniteElements(seconds=20)
    errors = [
        ps.solve(problem, None, None, reference, limits=ps.Limits(seconds=40), plots=False).errors["u"]["relative_l2"]
        for problem in (strip(), replace(strip(), hard=True))
    ]
    assert errors[0] < 1e-2 < 0.1 < errors[1]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (9 * c / (Rational(1, 10) + c), c + Rational(1, 10)),
        (log(c), c),
        (sqrt(c), c),
        (c**3 / (1 + c**2), None),
        (c / (c - Rational(1, 2)) * (1 - x), c - Rational(1, 2)),
        (1 / (c - 2 * x), None),
        (c / x, None),
    ],
    ids=[
        "a saturated rate",
        "a logarithm",
        "a root",
        "never zero",
        "apart from one",
        "the start is on both sides",
        "no field",
    ],
)
def test_a_network_starts_near_the_conditions_where_an_equation_has_no_value_elsewhere(
    rate: Expr, expected: Any
) -> None:
    trained, _ = complete(pellet(rate))
    found = kept_away_from(trained.terms, trained.fields, trained.domain, trained.ansatz)
    assert found == expected
    plan = choose(compile_problem(trained))
    assert plan.network.start == (1.0 if expected is None else 0.1)
    start = build_trial(trained, plan.network, seed=0, dtype=torch.float64, device="cpu")
    usual = build_trial(
        trained, ps.MLP(width=20, depth=3, activation="sine"), seed=0, dtype=torch.float64, device="cpu"
    )
    places = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    with torch.no_grad():
        torch.testing.assert_close(start.network(places), plan.network.start * usual.network(places))


def test_a_saturated_rate_is_solved_from_a_start_beyond_its_pole() -> None:
    solution = ps.solve(pellet(9 * c / (Rational(1, 10) + c)), limits=ps.Limits(steps=260), plots=False, compile="off")
    assert solution.errors["c"]["relative_l2"] < 1e-5
    with pytest.raises(ps.ProblemError, match=r"MLP start · found 0 · write a positive number"):
        ps.MLP(start=0)
