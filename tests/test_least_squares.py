"""Unknowns by what is chosen by default, from noisy measurements, against least squares on a solver's solution.

Where measurements have noise, least squares are the best there is, and their intervals are those of a book: what a network finds is
to be the same, though its fields are free to follow the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from sympy import Eq, exp, symbols

import pinnsolve as ps

x, t = symbols("x t")
NOISE, QUANTILE = 0.02, 1.645
"""Of the range of what is measured, and half the width of a 90 % interval in standard deviations."""

Values = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Case:
    """An inverse problem, and a solver of its forward problem.

    Args:
        declared: What `Problem` is told but the measurements.
        at: Where they are made.
        fields: What is measured, one after the other.
        true: The unknowns.
        values: What is measured, without noise, by the unknowns.
        told: Whether the noise is.
    """

    declared: dict[str, Any]
    at: dict[Any, np.ndarray]
    fields: tuple[Any, ...]
    true: tuple[float, ...]
    values: Values
    told: bool = False


def evolution(slopes: Callable[[Any, Any], list[float]], start: list[float], times: np.ndarray, rows: slice) -> Values:
    """Return the solution of ordinary differential equations at times, by their unknowns."""

    def values(unknowns: Any) -> np.ndarray:
        span = (0.0, float(times[-1]))
        found = solve_ivp(lambda _, y: slopes(y, unknowns), span, start, t_eval=times, rtol=1e-9, atol=1e-12)
        return np.asarray(found.y[rows].ravel())

    return values


def epidemic() -> Case:
    """Counts over 60 days, in which derivatives are of the size 1/60."""
    healthy, ill = ps.fields("S I", t)
    beta, gamma = symbols("beta gamma")
    times = np.linspace(0, 60, 31)
    declared = {
        "domain": ps.Interval(t, 0, 60),
        "equations": {
            "S": Eq(healthy.diff(t), -beta * healthy * ill),
            "I": Eq(ill.diff(t), beta * healthy * ill - gamma * ill),
        },
        "conditions": {"S0": Eq(healthy(0), 0.99), "I0": Eq(ill(0), 0.01)},
        "unknowns": {beta: 0.3, gamma: 0.3},
    }
    slopes = lambda y, p: [-p[0] * y[0] * y[1], p[0] * y[0] * y[1] - p[1] * y[1]]  # noqa: E731
    return Case(declared, {t: times}, (ill,), (0.5, 0.1), evolution(slopes, [0.99, 0.01], times, slice(1, 2)))


def predators() -> Case:
    """Two fields whose noise is the same and is told, so that they count alike whatever their sizes."""
    prey, hunters = ps.fields("u v", t)
    a, b, c, d = symbols("a b c d")
    times = np.linspace(0, 15, 40)
    declared = {
        "domain": ps.Interval(t, 0, 15),
        "equations": {
            "u": Eq(prey.diff(t), a * prey - b * prey * hunters),
            "v": Eq(hunters.diff(t), c * prey * hunters - d * hunters),
        },
        "conditions": {"u0": Eq(prey(0), 2), "v0": Eq(hunters(0), 1)},
        "unknowns": {a: 0.7, b: 0.7, c: 0.5, d: 0.5},
    }
    slopes = lambda y, p: [p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]]  # noqa: E731
    values = evolution(slopes, [2.0, 1.0], times, slice(0, 2))
    return Case(declared, {t: times}, (prey, hunters), (1.0, 0.5, 0.3, 0.8), values, told=True)


def plume() -> Case:
    """A tracer in an aquifer of 120 m, seen by four wells in 50 days, where c changes within few metres."""
    c = ps.fields("c", x, t)
    velocity, dispersion = symbols("v D")
    wells, times = np.repeat([20.0, 35.0, 50.0, 65.0], 15), np.tile(np.linspace(2, 50, 15), 4)
    declared = {
        "domain": ps.Box({x: (-20, 100), t: (0, 50)}),
        "equations": {"transport": Eq(c.diff(t) + velocity * c.diff(x), dispersion * c.diff(x, 2))},
        "conditions": {
            "initial": Eq(c(x, 0), exp(-((x - 10) ** 2) / 50)),
            "left": Eq(c(-20, t), 0),
            "right": Eq(c(100, t), 0),
        },
        "unknowns": {velocity: 0.5, dispersion: 1.0},
    }

    def values(unknowns: Any) -> np.ndarray:
        spread = 25 + 2 * unknowns[1] * times
        return np.asarray(5 / np.sqrt(spread) * np.exp(-((wells - 10 - unknowns[0] * times) ** 2) / (2 * spread)))

    return Case(declared, {x: wells, t: times}, (c,), (1.0, 0.5), values)


def spring() -> Case:
    """Six periods of a damped oscillation."""
    q = ps.fields("q", t)
    damping, stiffness = symbols("c k")
    times = np.linspace(0.25, 20, 60)
    declared = {
        "domain": ps.Interval(t, 0, 20),
        "equations": {"motion": Eq(q.diff(t, 2), -damping * q.diff(t) - stiffness * q)},
        "conditions": {"q0": Eq(q(0), 1), "v0": Eq(q.diff(t).subs(t, 0), 0)},
        "unknowns": {damping: 0.3, stiffness: 3.0},
    }
    slopes = lambda y, p: [y[1], -p[0] * y[1] - p[1] * y[0]]  # noqa: E731
    return Case(declared, {t: times}, (q,), (0.15, 4.0), evolution(slopes, [1.0, 0.0], times, slice(0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("build", [epidemic, predators, plume, spring])
def test_what_is_chosen_by_default_finds_what_least_squares_find(build: Callable[[], Case]) -> None:
    case = build()
    exact = case.values(case.true)
    noise = NOISE * np.ptp(exact)
    values = exact + noise * np.random.default_rng(0).standard_normal(len(exact))
    fit = least_squares(lambda unknowns: case.values(unknowns) - values, case.true, x_scale=np.abs(case.true))
    freedom = len(values) - len(case.true)
    variance = noise**2 if case.told else 2 * fit.cost / freedom
    half_widths = QUANTILE * np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)) * variance)
    parts = np.split(values, len(case.fields))
    seen = ps.Observations(
        at=case.at, values=dict(zip(case.fields, parts, strict=True)), noise=noise if case.told else None
    )
    problem = ps.Problem(data={"seen": seen}, **case.declared)
    found = ps.solve(problem, limits=ps.Limits(seconds=30), plots=False).uncertainty["unknowns"]
    for name, value, half_width in zip(found, fit.x, half_widths, strict=True):
        low, high = found[name]["low"], found[name]["high"]
        print(f"{name}: {(low + high) / 2:.5f} ± {(high - low) / 2:.5f}, least squares {value:.5f} ± {half_width:.5f}")
        assert (low + high) / 2 == pytest.approx(value, abs=0.2 * half_width)
        assert (high - low) / 2 == pytest.approx(half_width, rel=0.2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_intervals_by_default_cover_the_truth_in_80_to_97_of_100_problems() -> None:
    """The rate of a decay, over ten of its times, from 20 values: noise that is told and that is not."""
    q, k = ps.fields("q", t), symbols("k", positive=True)
    times, covered = np.linspace(0.5, 10, 20), 0
    for seed in range(100):
        random = np.random.default_rng((11, seed))
        true = random.uniform(0.2, 1.0)
        values = np.exp(-true * times) + NOISE * random.standard_normal(20)
        problem = ps.Problem(
            domain=ps.Interval(t, 0, 10),
            equations={"decay": Eq(q.diff(t), -k * q)},
            conditions={"start": Eq(q(0), 1)},
            data={"seen": ps.Observations(at={t: times}, values={q: values}, noise=NOISE if seed % 2 else None)},
            unknowns={k: 0.5},
        )
        training = ps.Training(points={"decay": 60})
        solution = ps.solve(problem, ps.MLP(width=8, depth=2), training, seed=seed, quick=True, plots=False)
        found = solution.uncertainty["unknowns"]["k"]
        covered += found["low"] <= true <= found["high"]
    print(f"covered {covered} of 100")
    assert 80 <= covered <= 97
