"""Evolution equations against manufactured solutions: the observed order, the true error, and the honesty of the estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special
from sympy import Abs, Eq, Expr, Function, I, Piecewise, Rational, Symbol, cos, cosh, exp, lambdify, pi, sin, symbols

from pinnsolve.domains.regions import Box
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.cole_hopf import cole_hopf
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_reference

Operator = Callable[[Expr], Expr]

x, y, t = symbols("x y t")
U, Q = Function("u"), Function("q")
u, q = U(x, t), Q(x, t)


def pinned(expression: Expr, place: tuple[Symbol, Any]) -> Expr:
    """Return u(0, t) or a derivative there, on either side of a condition."""
    return expression.subs(*place)


def both(operator: Operator, solution: Expr, *places: tuple[Symbol, Any]) -> dict[str, Eq]:
    """Return the conditions that an operator of the field equals the same operator of the solution at places."""
    return {f"{operator(u)} at {p}": Eq(pinned(operator(u), p), pinned(operator(solution), p)) for p in places}


def value(f: Expr) -> Expr:
    return f


def slope(f: Expr) -> Expr:
    return f.diff(x)


def bend(f: Expr) -> Expr:
    return f.diff(x, 2)


def shear(f: Expr) -> Expr:
    return f.diff(x, 3)


LEFT, RIGHT, START = (x, 0), (x, 1), (t, 0)
DECAY = exp(-t) * sin(3 * x + Rational(3, 10))
RIPPLE = sin(12 * x - 12 * t)
TRAVEL = sin(4 * x - 2 * t) + cos(3 * x + t)


def evolve(
    operator: Operator, solution: Expr, conditions: Any, *, span: tuple[Any, Any] = (0, 1), order: int = 1
) -> Problem:
    """Return the problem u_t (or u_tt) = operator(u) + source with this solution."""
    source = solution.diff(t, order) - operator(solution)
    start = both(value, solution, START) | (both(lambda f: f.diff(t), solution, START) if order == 2 else {})
    return Problem(
        domain=Box({x: span, t: (0, 1)}),
        equations={"e": Eq(u.diff(t, order), operator(u) + source)},
        conditions=start | conditions,
    )


def diffusion(f: Expr) -> Expr:
    return ((1 + x / 2) * f.diff(x)).diff(x)


def robin(f: Expr) -> Expr:
    return f.diff(x) + 2 * f**3 + t * f


SOLITON = 1 / cosh((x - t) / 2) ** 2 / 2
BUMP = exp(-((x - t) ** 2))
PERIODIC = sin(x - t) + cos(2 * x + t) / 4
ENDS = {f"p{k}": Eq(u.diff(x, k).subs(x, 0), u.diff(x, k).subs(x, 2 * pi)) for k in range(1, 4)} | {
    "p": Eq(U(0, t), U(2 * pi, t))
}


def ends(order: int) -> dict[str, Eq]:
    return {name: ENDS[name] for name in ("p", "p1", "p2", "p3")[:order]}


CASES = {
    "dirichlet": (evolve(diffusion, DECAY, both(value, DECAY, LEFT, RIGHT)), DECAY, 128),
    "neumann": (evolve(diffusion, DECAY, both(slope, DECAY, LEFT, RIGHT)), DECAY, 128),
    "nonlinear robin": (evolve(diffusion, DECAY, both(robin, DECAY, LEFT, RIGHT)), DECAY, 128),
    "dynamic wall": (
        evolve(
            diffusion,
            DECAY,
            both(value, DECAY, LEFT) | both(lambda f: f.diff(t) * (1 + f**2) + f.diff(x), DECAY, RIGHT),
        ),
        DECAY,
        128,
    ),
    "periodic": (evolve(lambda f: f.diff(x, 2) - f * f.diff(x), PERIODIC, ends(2), span=(0, 2 * pi)), PERIODIC, 128),
    "reaction": (evolve(lambda f: diffusion(f) - f**3, DECAY, both(value, DECAY, LEFT, RIGHT)), DECAY, 128),
    "transport": (evolve(lambda f: -f.diff(x), RIPPLE, both(value, RIPPLE, LEFT)), RIPPLE, 320),
    "wave": (evolve(lambda f: 4 * f.diff(x, 2), TRAVEL, both(value, TRAVEL, LEFT, RIGHT), order=2), TRAVEL, 128),
    "absorbing wave": (
        evolve(
            lambda f: f.diff(x, 2),
            TRAVEL,
            both(slope, TRAVEL, LEFT) | both(lambda f: f.diff(t) + f.diff(x), TRAVEL, RIGHT),
            order=2,
        ),
        TRAVEL,
        192,
    ),
    "third order": (
        evolve(
            lambda f: -6 * f * f.diff(x) - f.diff(x, 3),
            SOLITON,
            both(value, SOLITON, (x, -8), (x, 9)) | both(slope, SOLITON, (x, 9)),
            span=(-8, 9),
        ),
        SOLITON,
        320,
    ),
    "fourth order": (
        evolve(lambda f: -f.diff(x, 4) - f.diff(x, 2), PERIODIC, ends(4), span=(0, 2 * pi)),
        PERIODIC,
        128,
    ),
    "beam": (
        evolve(
            lambda f: -f.diff(x, 4) / 2000,
            DECAY,
            both(value, DECAY, LEFT) | both(slope, DECAY, LEFT) | both(bend, DECAY, RIGHT) | both(shear, DECAY, RIGHT),
            order=2,
        ),
        DECAY,
        96,
    ),
    "mixed": (
        evolve(
            lambda f: -f.diff(x) - f * f.diff(x) + f.diff(x, 2, t),
            BUMP,
            both(value, BUMP, (x, -4), (x, 5)),
            span=(-4, 5),
        ),
        BUMP,
        256,
    ),
}

SLOW = ("beam", "wave", "third order", "nonlinear robin")


def true_error(reference: Reference, name: str, solution: Expr, coordinates: tuple[Symbol, ...] = (x, t)) -> float:
    exact = lambdify(coordinates, solution, "numpy")(*reference.points.T)
    return float(np.linalg.norm(reference.values[name] - exact) / np.linalg.norm(exact))


def off_grid_error(reference: Reference, name: str, solution: Expr, coordinates: tuple[Symbol, ...] = (x, t)) -> float:
    low, high = reference.points.min(axis=0), reference.points.max(axis=0)
    points = low + (high - low) * np.random.default_rng(0).random((2000, len(low)))
    exact = lambdify(coordinates, solution, "numpy")(*points.T)
    return float(np.linalg.norm(reference.evaluate(points)[name] - exact) / np.linalg.norm(exact))


def reference_of(problem: Problem, **options: Any) -> Reference:
    return solve_reference(problem, FiniteDifferences(**options), unknowns={})


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_the_observed_order_is_four_and_the_estimate_honest(name: str) -> None:
    problem, solution, cells = CASES[name]
    reference = reference_of(problem, cells={x: cells})
    error = true_error(reference, "u", solution)
    assert reference.table[-1].order == pytest.approx(4, abs=0.1)
    assert error / 3 < reference.estimated_relative_l2["u"] < 3 * error < 1e-5
    assert off_grid_error(reference, "u", solution) < 1.5 * error


def burgers(viscosity: float = 0.01 / np.pi) -> Problem:
    return Problem(
        domain=Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": Eq(u.diff(t) + u * u.diff(x), viscosity * u.diff(x, 2))},
        conditions={"i": Eq(U(x, 0), -sin(pi * x)), "l": Eq(U(-1, t), 0), "r": Eq(U(1, t), 0)},
    )


def burgers_error(reference: Reference) -> float:
    exact = cole_hopf(*reference.points.T, viscosity=0.01 / np.pi)
    return float(np.linalg.norm(reference.values["u"] - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize(
    "options", [pytest.param({}, marks=pytest.mark.slow), {"cells": {x: 2048}}], ids=["chosen", "given"]
)
def test_the_layer_of_burgers_agrees_with_cole_hopf(options: dict[str, Any]) -> None:
    reference = reference_of(burgers(), **options)
    error = burgers_error(reference)
    assert error < 5e-6
    assert error / 3 < reference.estimated_relative_l2["u"] < 3 * error
    assert reference.seconds < 30
    assert "Rodas5P in time, on x " in reference.method


def test_a_system_with_a_complex_field_follows_the_soliton() -> None:
    h, H = Function("h")(x, t), Function("h")
    problem = Problem(
        domain=Box({x: (-15, 15), t: (0, pi / 4)}),
        equations=Eq(I * h.diff(t) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h, 0),
        conditions={
            "i": Eq(H(x, 0), 2 / cosh(x)),
            "p": Eq(H(-15, t), H(15, t)),
            "s": Eq(h.diff(x).subs(x, -15), h.diff(x).subs(x, 15)),
        },
    )
    exact = (
        4
        * exp(I * t / 2)
        * (cosh(3 * x) + 3 * exp(4 * I * t) * cosh(x))
        / (cosh(4 * x) + 4 * cosh(2 * x) + 3 * cos(4 * t))
    )
    reference = reference_of(problem, cells={x: 1024})
    wave = lambdify((x, t), exact, "numpy")(*reference.points.T)
    for name, truth in {"h_re": wave.real, "h_im": wave.imag}.items():
        error = np.linalg.norm(reference.values[name] - truth) / np.linalg.norm(truth)
        assert error / 3 < reference.estimated_relative_l2[name] < 3 * error < 1e-3


def test_a_rotating_system_needs_coupled_rates() -> None:
    """a_t + b_t = ..., a_t - t b_t = ...: the rates must be solved for, with coefficients that depend on time."""
    a, b = Function("a")(x, t), Function("b")(x, t)
    exact = {a: sin(2 * x + t), b: cos(x - t)}
    left = [a.diff(t) + b.diff(t) - a.diff(x, 2), a.diff(t) - (1 + t) * b.diff(t) + b.diff(x, 2) + a * b]
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations=[Eq(e, e.subs(exact).doit()) for e in left],
        conditions=[Eq(f.subs(*p), exact[f].subs(*p)) for f in (a, b) for p in (LEFT, RIGHT, START)],
    )
    reference = reference_of(problem, cells={x: 128})
    for name, f in {"a": a, "b": b}.items():
        error = true_error(reference, name, exact[f])
        assert error / 3 < reference.estimated_relative_l2[name] < 3 * error < 1e-5
    assert reference.table[-1].order == pytest.approx(4, abs=0.2)


def test_a_flux_lies_between_the_nodes_and_its_coefficient_may_jump() -> None:
    k = Piecewise((1, x < Rational(1, 2)), (4, True))
    # The eigenmode of (k u')' = -m u with continuous u and flux: tan(w/2) = -tan(w/4) / 2 with w = sqrt(m).
    w = 4 * np.arctan(np.sqrt(5))
    assert np.tan(w / 2) == pytest.approx(-np.tan(w / 4) / 2)
    ratio = np.sin(w / 2) / np.sin(w / 4)
    mode = Piecewise((sin(w * x), x < Rational(1, 2)), (ratio * sin(w * (1 - x) / 2), True))
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 0.1)}),
        equations={"balance": Eq(u.diff(t), q.diff(x)), "flux": Eq(q, k * u.diff(x))},
        conditions={"i": Eq(U(x, 0), mode), "l": Eq(U(0, t), 0), "r": Eq(U(1, t), 0)},
    )
    reference = reference_of(problem, cells={x: 256})
    error = true_error(reference, "u", mode * exp(-(w**2) * t))
    assert error < 1e-4
    assert error < 3 * reference.estimated_relative_l2["u"]
    assert "order 2" in reference.method


def test_two_space_coordinates_and_time() -> None:
    f = Function("u")(x, y, t)
    exact = exp(-t) * sin(2 * x + 3 * y)
    problem = Problem(
        domain=Box({x: (0, 1), y: (0, 1), t: (0, 1)}),
        equations=Eq(f.diff(t), f.diff(x, 2) + f.diff(y, 2) + 12 * exact),
        conditions=[Eq(f.subs(*p), exact.subs(*p)) for p in (START, LEFT, RIGHT, (y, 0), (y, 1))],
    )
    reference = reference_of(problem, cells={x: 32, y: 32})
    error = true_error(reference, "u", exact, (x, y, t))
    assert error / 3 < reference.estimated_relative_l2["u"] < 3 * error < 1e-5


@pytest.mark.parametrize(
    ("equations", "conditions", "exact"),
    [
        (lambda a, b: [Eq(a.diff(t), b), Eq(b.diff(t), -a)], [("a", 0, 0), ("b", 0, 1)], {"a": sin(t), "b": cos(t)}),
        (
            lambda a, b: [Eq(a.diff(t, 2), -a), Eq(b.diff(t), -b)],
            [("a", 0, 0), ("a", 1, 1), ("b", 0, 1)],
            {"a": sin(t)},
        ),
        (
            lambda a, b: [Eq(a.diff(t), -1000 * (a - b) - sin(t)), Eq(b, cos(t))],
            [("a", 0, 1)],
            {"a": cos(t), "b": cos(t)},
        ),
    ],
    ids=["system", "second order", "stiff with a constraint"],
)
def test_initial_value_problems_are_followed_to_ten_digits(equations: Any, conditions: Any, exact: Any) -> None:
    a, b = Function("a")(t), Function("b")(t)
    fields = {"a": a, "b": b}
    start = [Eq(fields[n].diff(t, k).subs(t, 0) if k else fields[n].subs(t, 0), v) for n, k, v in conditions]
    reference = reference_of(Problem(domain=Box({t: (0, 10)}), equations=equations(a, b), conditions=start))
    for name, f in exact.items():
        error = true_error(reference, name, f, (t,))
        assert error < 1e-10
        assert error < 3 * reference.estimated_relative_l2[name] + 1e-14 < 1e-10


@pytest.mark.parametrize(
    ("equation", "exact"),
    [
        (
            lambda a: a.diff(t, 2) + 2 / t * a.diff(t) + a,
            lambda values: np.sinc(values / np.pi),
        ),  # Lane and Emden, n = 1
        (lambda a: t**2 * a.diff(t, 2) + t * a.diff(t) + t**2 * a, special.j0),  # Bessel
    ],
    ids=["1/t", "t^2 before the highest derivative"],
)
def test_an_initial_value_problem_may_be_singular_at_its_start(equation: Any, exact: Any) -> None:
    a = Function("a")(t)
    start = [Eq(a.subs(t, 0), 1), Eq(a.diff(t).subs(t, 0), 0)]
    reference = reference_of(Problem(domain=Box({t: (0, 3)}), equations=equation(a), conditions=start))
    truth = exact(reference.points[:, 0])
    error = np.linalg.norm(reference.values["a"] - truth) / np.linalg.norm(truth)
    assert error < 3 * reference.estimated_relative_l2["a"] < 1e-8


def test_the_same_equation_on_a_shifted_and_stretched_axis_has_the_same_solution() -> None:
    problem = burgers(0.1)
    s = symbols("s")
    f, F = Function("u")(s, t), Function("u")
    moved = Problem(  # s = 3 + 2 x
        domain=Box({s: (1, 5), t: (0, 1)}),
        equations=Eq(f.diff(t) + 2 * f * f.diff(s), 0.4 * f.diff(s, 2)),
        conditions=[Eq(F(s, 0), -sin(pi * (s - 3) / 2)), Eq(F(1, t), 0), Eq(F(5, t), 0)],
    )
    first, second = reference_of(problem, cells={x: 128}), reference_of(moved, cells={s: 128})
    np.testing.assert_allclose(first.values["u"], second.values["u"], atol=1e-10)


@pytest.mark.parametrize(("held", "loss"), [(u, Rational(1, 2)), (q, 0)], ids=["clamped, with losses", "free"])
def test_a_wave_as_two_equations_of_first_order_comes_back_after_a_period(held: Expr, loss: Expr) -> None:
    """Between walls a pulse is itself again after it has crossed twice."""
    end = 2
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, end)}),
        equations={"motion": Eq(u.diff(t) + loss * u, q.diff(x)), "law": Eq(q.diff(t) + loss * q, u.diff(x))},
        conditions=[
            Eq(U(x, 0), 0),
            Eq(Q(x, 0), exp(-200 * (x - Rational(1, 2)) ** 2)),
            *(Eq(held.subs(x, place), 0) for place in (0, 1)),
        ],
    )
    reference = reference_of(problem)
    _, time = reference.points.T
    last, first = (reference.values["q"][np.abs(time - instant) < 1e-9] for instant in (end, 0))
    assert len(last) == len(first) > 10
    decay = float(exp(-loss * end))
    assert np.linalg.norm(last - decay * first) < 1e-4 * decay * np.linalg.norm(first)
    assert reference.estimated_relative_l2["q"] < 1e-4


def test_unknowns_are_held_at_the_given_values() -> None:
    nu = symbols("nu", positive=True)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(u.diff(t), nu * u.diff(x, 2)),
        conditions=[Eq(U(x, 0), sin(pi * x)), Eq(U(0, t), 0), Eq(U(1, t), 0)],
        unknowns={nu: 1.0},
    )
    for spec, value in (
        (FiniteDifferences(cells={x: 64}), 0.1),
        (FiniteDifferences(cells={x: 64}, unknowns={nu: 0.2}), 0.2),
    ):
        reference = solve_reference(problem, spec, unknowns={nu: 0.1})
        assert true_error(reference, "u", exp(-value * pi**2 * t) * sin(pi * x)) < 1e-6


def test_a_parameter_may_be_a_coordinate() -> None:
    nu, f = symbols("nu"), Function("u")
    g = f(x, nu, t)
    problem = Problem(
        domain=Box({x: (0, 1), nu: (0.05, 0.1), t: (0, 1)}),
        equations=Eq(g.diff(t), nu * g.diff(x, 2)),
        conditions=[Eq(f(x, nu, 0), sin(pi * x)), Eq(f(0, nu, t), 0), Eq(f(1, nu, t), 0)],
    )
    reference = reference_of(problem, cells={x: 32, nu: 8})
    assert true_error(reference, "u", exp(-nu * pi**2 * t) * sin(pi * x), (x, nu, t)) < 1e-5


def test_values_outside_the_domain_are_not_invented() -> None:
    reference = reference_of(burgers(0.1), cells={x: 64})
    inside, outside = reference.evaluate(np.array([[0.5, 0.5], [1.5, 0.5]]))["u"]
    assert np.isfinite(inside)
    assert np.isnan(outside)


def refused(equations: Any, conditions: Any, match: str, domain: Any = None, **options: Any) -> None:
    problem = Problem(domain=domain or Box({x: (0, 1), t: (0, 1)}), equations=equations, conditions=conditions)
    with pytest.raises(UnsupportedError, match=match):
        reference_of(problem, **options)


def test_a_blow_up_is_refused_with_its_time() -> None:
    refused(
        Eq(u.diff(t), u**2), Eq(U(x, 0), 2), "cannot be followed to the end, no step is small enough at 0.5", seconds=20
    )


def test_a_nonlinear_rate_is_refused() -> None:
    refused(Eq(u.diff(t) ** 2, u.diff(x, 2) + 1), [Eq(U(x, 0), 0), Eq(U(0, t), 0), Eq(U(1, t), 0)], "time derivatives")


def test_a_deadline_is_kept_and_says_what_to_do() -> None:
    conditions = [Eq(U(x, 0), sin(pi * x)), Eq(U(0, t), 0), Eq(U(1, t), 0)]
    refused(Eq(u.diff(t), u.diff(x, 2)), conditions, "seconds", seconds=1e-6)


def test_the_error_of_a_smooth_initial_value_problem_is_estimated_and_not_zero() -> None:
    t, q = symbols("t"), Function("q")
    problem = Problem(domain=Box({t: (0, 1)}), equations=Eq(q(t).diff(t), -3 * q(t)), conditions={"start": Eq(q(0), 1)})
    reference = solve_reference(problem, FiniteDifferences(cells={t: 8}), unknowns={})
    truth = np.exp(-3 * reference.points[:, 0])
    error = np.linalg.norm(reference.values["q"] - truth) / np.linalg.norm(truth)
    assert 0 < error <= reference.estimated_relative_l2["q"] < 1e-11
