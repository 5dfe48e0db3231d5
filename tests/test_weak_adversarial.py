"""Weak adversarial networks: the weak residual against exact integrals, its bound on the error, solutions, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sympy import Eq, Expr, Integral, Rational, cos, exp, integrate, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.divergence_form import DivergenceForm, read_divergence_form
from pinnsolve.training.decays import Exponential
from pinnsolve.training.saddle_points import SaddlePoint
from pinnsolve.weak_adversarial import WeakResidual

x, y, t, k = symbols("x y t k")
u = ps.fields("u", x, y)
square = ps.Box({x: (0, 1), y: (0, 1)})
bump = x * (1 - x) * y * (1 - y)


def held(equation: Any, domain: Any = square, value: Any = 0) -> ps.Problem:
    """A problem with values on the whole boundary."""
    return ps.Problem(
        domain=domain, equations={"balance": equation}, conditions={"wall": ps.on(domain.boundary, Eq(u, value))}
    )


GENERAL = -ps.div((1 + x * y) * ps.grad(u, x, y), x, y) + u.diff(x, y) / 2 + y * u.diff(x) + u**2 - x
"""A mixed derivative, a coefficient that varies, advection and a nonlinear reaction."""


def whole(expression: Expr) -> Expr:
    return integrate(integrate(expression, (x, 0, 1)), (y, 0, 1))


def put(expression: Expr, value: Expr) -> Expr:
    return expression.subs(u, value).doit()


def test_the_weak_residual_is_that_of_the_equation_tested() -> None:
    form = read_divergence_form(held(Eq(GENERAL, 0)))
    w, v = 2 * bump + x**2 * bump, (1 + y) * bump
    flux, rest = [put(entry, w) for entry in form.flux], put(form.rest, w)
    weak = whole((flux[0] * v.diff(x) + flux[1] * v.diff(y) - rest * v).expand())
    assert weak == whole((-put(GENERAL, w) * v).expand())
    assert form.energy[0, 0] == 1 + x * y and form.energy[0, 1] == form.energy[1, 0] == -Rational(1, 4)


class Functions(nn.Module):
    """A network whose outputs are known functions."""

    def __init__(self, *functions: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.functions, self.one = functions, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        return torch.stack([self.one * f(points[:, 0], points[:, 1]) for f in self.functions], 1)


def residual_of(form: DivergenceForm, solution: Any, *tests: Any, points: int = 8_192) -> WeakResidual:
    trial = build_trial(form.problem, Functions(solution), seed=0, dtype=torch.float64, device="cpu")
    return WeakResidual(form, trial, Functions(*tests), points=points, seed=0)


def test_residuals_and_energies_are_the_exact_integrals() -> None:
    form = read_divergence_form(held(Eq(GENERAL, 0)))
    w, tests = form.factor * (1 + x), [form.factor * (2 - y), form.factor * x * y]
    payoff = residual_of(form, lambda x, y: 1 + x, lambda x, y: 2 - y, lambda x, y: x * y)
    residuals, energies = (part.detach() for part in payoff.parts())
    exact = [float(whole((-put(GENERAL, w) * v).expand())) for v in tests]
    torch.testing.assert_close(residuals, torch.tensor(exact).double(), rtol=2e-3, atol=0)
    slopes = [ps.grad(v, x, y) for v in tests]
    a = [[float(whole((p.T * form.energy * q)[0].expand())) for q in slopes] for p in slopes]
    torch.testing.assert_close(energies, torch.tensor(a).double(), rtol=2e-3, atol=1e-5)
    one = residual_of(form, lambda x, y: 1 + x, lambda x, y: 2 - y)
    assert float(one().detach()) == pytest.approx(exact[0] ** 2 / a[0][0], rel=5e-3)


def test_the_payoff_is_the_error_in_energy_at_the_worst_test_function_and_less_at_others() -> None:
    """-div((1 + x) grad u) = f with u = bump: off by e = bump (x + y) / 3, tested with e among others and without it."""
    equation = -ps.div((1 + x) * ps.grad(u, x, y), x, y)
    form = read_divergence_form(held(Eq(equation, put(equation, bump))))
    off = bump * (x + y) / 3
    energy = float(whole(((1 + x) * (off.diff(x) ** 2 + off.diff(y) ** 2)).expand()))
    factor = float((form.factor / bump).simplify())

    def wrong(x: Tensor, y: Tensor) -> Tensor:
        return (1 + (x + y) / 3) / factor

    best = residual_of(form, wrong, lambda x, y: torch.cos(x), lambda x, y: x + y)
    poor = residual_of(form, wrong, lambda x, y: torch.cos(x), lambda x, y: torch.sin(5 * x))
    assert float(best().detach()) == pytest.approx(energy, rel=1e-2)
    assert 0.3 * energy < float(poor().detach()) < 0.99 * energy
    right = residual_of(form, lambda x, y: 0 * x + 1 / factor, lambda x, y: torch.cos(x), lambda x, y: x + y)
    assert float(right().detach()) < 1e-5 * energy


WAVE = sin(pi * x) * sin(pi * y)
POISSON = held(Eq(-ps.laplacian(u, x, y), 2 * pi**2 * WAVE))


def played(rounds: int, **more: Any) -> ps.WeakAdversarial:
    search = SaddlePoint(ps.Adam(rounds, 1e-2, resample=10, decay=Exponential()), **more)
    return ps.WeakAdversarial(ps.MLP(width=12, depth=1), functions=8, points=400, search=search)


@pytest.mark.thorough
def test_a_game_solves_a_problem_and_repeats_and_is_stored(tmp_path: Any) -> None:
    network, reference = ps.MLP(width=12, depth=2, activation="sine"), ps.Exact({u: WAVE})
    told: list[float] = []
    solution, again = (
        ps.solve_weakly(POISSON, network, played(200), reference, observers=[lambda _, payoff: told.append(payoff)])
        for _ in range(2)
    )
    assert solution.status == "done" and "relative L2 error" in solution.message
    assert solution.errors["u"]["relative_l2"] < 0.03 and told[199] < 0.1 * told[0]
    assert told[:200] == told[200:] and solution.errors == again.errors
    read = ps.load(solution.save(tmp_path / "weak"))
    assert read(x=0.3, y=0.4) == solution(x=0.3, y=0.4) and read.record["loss"] == solution.record["loss"]


def test_values_on_a_curved_boundary_are_met_exactly() -> None:
    disk = ps.Disk({x: 0, y: 0}, radius=1)
    problem = held(Eq(ps.laplacian(u, x, y), 4 * exp(x)), disk, value=x)
    solution = ps.solve_weakly(problem, ps.MLP(width=8, depth=1), played(5))
    assert solution(x=0.6, y=0.8) == pytest.approx(0.6, abs=1e-12)


def evolution() -> ps.Problem:
    v = ps.fields("v", x, t)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(v.diff(t), v.diff(x, 2)),
        conditions=[Eq(v(x, 0), 0), Eq(v(0, t), 0), Eq(v(1, t), 0)],
    )


def with_a_slope() -> ps.Problem:
    conditions = {
        "slope": Eq(u.diff(x).subs(x, 1), 0),
        "rest": ps.on(square.boundary - square.face(x, 1), Eq(u, 0)),
    }
    return ps.Problem(domain=square, equations={"balance": ps.laplacian(u, x, y)}, conditions=conditions)


def system() -> ps.Problem:
    v = ps.fields("v", x, y)
    equations = [Eq(ps.laplacian(u, x, y), v), Eq(ps.laplacian(v, x, y), u)]
    return ps.Problem(
        domain=square, equations=equations, conditions={"wall": ps.on(square.boundary, Eq(u, 0), Eq(v, 0))}
    )


def sought() -> ps.Problem:
    sensors = ps.Observations(at={x: [0.5], y: [0.5]}, values={u: [1.0]})
    return ps.Problem(
        domain=square,
        equations={"balance": Eq(k * ps.laplacian(u, x, y), 1)},
        conditions={"wall": ps.on(square.boundary, Eq(u, 0))},
        unknowns={k: 1.0},
        data={"sensors": sensors},
    )


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (evolution, "no elliptic equation"),
        (with_a_slope, "slope · a condition that does not give the value"),
        (system, "2 equations for 2 fields"),
        (sought, "k, sensors · something that is sought or measured"),
        (lambda: held(Eq((1 + u**2) * ps.laplacian(u, x, y), 1)), "not a function of the place alone"),
        (lambda: held(Eq(ps.laplacian(u, x, y), Integral(u(x, y), (x, 0, 1)))), "with an integral"),
        (lambda: held(Eq(ps.laplacian(u, x, y), u(x, y / 2))), "the field at another place"),
        (lambda: held(Eq(u.diff(x, 2) - u.diff(y, 2), 1)), "no elliptic equation"),
        (lambda: held(Eq(u.diff(x, 2) + cos(4 * x) * u.diff(y, 2), 1)), "no elliptic equation"),
    ],
)
def test_other_problems_are_refused_with_the_reason(make: Callable[[], ps.Problem], found: str) -> None:
    with pytest.raises(ps.UnsupportedError, match=found):
        ps.solve_weakly(make())


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ps.ProblemError, match="functions=0"):
        ps.WeakAdversarial(functions=0)
    with pytest.raises(ps.ProblemError, match="test=16"):
        ps.WeakAdversarial(16)  # type: ignore[arg-type]
    with pytest.raises(ps.ProblemError, match="points=0"):
        replace(ps.WeakAdversarial(), points=0)
