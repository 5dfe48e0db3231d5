"""Evolution equations against manufactured solutions: the observed order, the true error, and the honesty of the estimate."""

from __future__ import annotations

import numpy as np
import pytest
from sympy import Abs, Eq, Function, I, Piecewise, Rational, cos, cosh, exp, lambdify, pi, sin, sqrt, symbols

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.regions import Box
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.cole_hopf import cole_hopf
from pinnsolve.reference.solve import FiniteDifferences, solve_reference

x, y, t = symbols("x y t")
U, Q = Function("u"), Function("q")
u, q = U(x, t), Q(x, t)


def pinned(expression, place):
    """Return u(0, t) or a derivative there, on either side of a condition."""
    return expression.subs(*place)


def both(operator, solution, *places):
    """Return the conditions that an operator of the field equals the same operator of the solution at places."""
    return {f"{operator(u)} at {p}": Eq(pinned(operator(u), p), pinned(operator(solution), p)) for p in places}


def value(f):
    return f


def slope(f):
    return f.diff(x)


def bend(f):
    return f.diff(x, 2)


def shear(f):
    return f.diff(x, 3)


LEFT, RIGHT, START = (x, 0), (x, 1), (t, 0)
DECAY = exp(-t) * sin(3 * x + Rational(3, 10))
RIPPLE = sin(12 * x - 12 * t)
TRAVEL = sin(4 * x - 2 * t) + cos(3 * x + t)


def evolve(operator, solution, conditions, *, span=(0, 1), order=1):
    """Return the problem u_t (or u_tt) = operator(u) + source with this solution."""
    source = solution.diff(t, order) - operator(solution)
    start = both(value, solution, START) | (both(lambda f: f.diff(t), solution, START) if order == 2 else {})
    return Problem(
        domain=Box({x: span, t: (0, 1)}),
        equations={"e": Eq(u.diff(t, order), operator(u) + source)},
        conditions=start | conditions,
    )


def diffusion(f):
    return ((1 + x / 2) * f.diff(x)).diff(x)


def robin(f):
    return f.diff(x) + 2 * f**3 + t * f


SOLITON = 1 / cosh((x - t) / 2) ** 2 / 2
BUMP = exp(-((x - t) ** 2))
PERIODIC = sin(x - t) + cos(2 * x + t) / 4
ENDS = {f"p{k}": Eq(u.diff(x, k).subs(x, 0), u.diff(x, k).subs(x, 2 * pi)) for k in range(1, 4)} | {
    "p": Eq(U(0, t), U(2 * pi, t))
}


def ends(order):
    return {name: ENDS[name] for name in ("p", "p1", "p2", "p3")[:order]}


CASES = {
    "dirichlet": (evolve(diffusion, DECAY, both(value, DECAY, LEFT, RIGHT)), DECAY, 128),
    "neumann": (evolve(diffusion, DECAY, both(slope, DECAY, LEFT, RIGHT)), DECAY, 128),
    "nonlinear robin": (evolve(diffusion, DECAY, both(robin, DECAY, LEFT, RIGHT)), DECAY, 128),
    "dynamic wall": (
        evolve(diffusion, DECAY, both(value, DECAY, LEFT) | both(lambda f: f.diff(t) * (1 + f**2) + f.diff(x), DECAY, RIGHT)),
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
            lambda f: -f.diff(x) - f * f.diff(x) + f.diff(x, 2, t), BUMP, both(value, BUMP, (x, -4), (x, 5)), span=(-4, 5)
        ),
        BUMP,
        256,
    ),
}


def true_error(reference, name, solution, coordinates=(x, t)):
    exact = lambdify(coordinates, solution, "numpy")(*reference.points.T)
    return np.linalg.norm(reference.values[name] - exact) / np.linalg.norm(exact)


def off_grid_error(reference, name, solution, coordinates=(x, t)):
    low, high = reference.points.min(axis=0), reference.points.max(axis=0)
    points = low + (high - low) * np.random.default_rng(0).random((2000, len(low)))
    exact = lambdify(coordinates, solution, "numpy")(*points.T)
    return np.linalg.norm(reference.evaluate(points)[name] - exact) / np.linalg.norm(exact)


def reference_of(problem, **options):
    return solve_reference(problem, FiniteDifferences(**options), unknowns={})


@pytest.mark.parametrize("name", CASES)
def test_the_observed_order_is_four_and_the_estimate_honest(name):
    problem, solution, cells = CASES[name]
    reference = reference_of(problem, cells={x: cells})
    errors = [true_error(reference_of(problem, cells={x: n}), "u", solution) for n in (cells // 2,)]
    errors.append(true_error(reference, "u", solution))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.1)
    assert reference.table[-1].order == pytest.approx(4, abs=0.1)
    assert errors[1] / 3 < reference.estimated_relative_l2["u"] < 3 * errors[1]
    assert off_grid_error(reference, "u", solution) < 1.5 * errors[1] + 1e-10
