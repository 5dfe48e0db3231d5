"""Diagnosis: what it says of errors whose place and scale are known, and experiments in which its advice is taken and helps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, Symbol, cos, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.comparison import compare
from pinnsolve.diagnosis import find_diagnosis
from pinnsolve.reference.exact import exact_reference
from pinnsolve.residuals import held_out_residuals

x, t = symbols("x t")
u = ps.fields("u", x, t)
q = ps.fields("q", t)
HEAT = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
    conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
    hard=False,
)
ZERO = ps.Exact({u: 0 * x})
OSCILLATOR = ps.Problem(
    domain=ps.Interval(t, 0, 4),
    equations={"swing": Eq(q.diff(t, 2), -9 * q)},
    conditions={"place": Eq(q(0), 1), "speed": Eq(q.diff(t).subs(t, 0), 0)},
)


def diagnosed(known: Callable[..., Any], function: Any, *, compared: bool) -> Any:
    solution = known(HEAT, function)
    solution.record["residuals"] = held_out_residuals(solution, seed=0)
    if compared:
        solution.reference = exact_reference(HEAT, ZERO, unknowns={})
        solution.record["errors"] = compare(solution, solution.reference)
    return find_diagnosis(
        solution, loss=1.0, weights=dict.fromkeys(("heat", "initial", "left", "right"), 1.0), history=()
    )


def test_an_error_is_found_where_it_is_and_by_its_waves(known: Callable[..., Any]) -> None:
    found = diagnosed(
        known, lambda a, b: torch.sin(16 * math.pi * a) * torch.exp(-((b - 0.9) ** 2) / 0.005), compared=True
    )
    assert found.looked_at == "error" and found.term == "heat" and found.share > 0.99
    assert found.region == {"t": (0.75, 1.0)} and found.waves["x"] == pytest.approx(0.125, rel=0.05)
    assert "0.75 ≤ t ≤ 1" in found.sentence and "heat holds 100 % of the loss" in found.sentence


def test_without_a_reference_it_is_the_residual_of_the_largest_term(known: Callable[..., Any]) -> None:
    found = diagnosed(known, lambda a, b: 5 + 0 * a, compared=False)
    assert found.looked_at == "residual" and found.term in ("initial", "left", "right") and 0.3 < found.share < 0.4


def solved(*, points: int = 60, steps: int = 100, width: int = 10) -> ps.Solution:
    phases: Sequence[Any] = [ps.LevenbergMarquardt(steps=steps, resample=0)]
    training = ps.Training(points={"swing": points}, phases=phases)
    network = ps.MLP(width=width, depth=1, activation="sine")
    return ps.solve(OSCILLATOR, network, training, ps.Exact({q: cos(3 * t)}), compile="off", plots=False)


def error(solution: ps.Solution) -> float:
    return float(solution.errors["q"]["relative_l2"])


@pytest.mark.parametrize(
    ("advice", "before", "after"),
    [
        ("Give more points", {"points": 5}, {"points": 60}),
        ("Train longer", {"steps": 12}, {"steps": 100}),
        ("Take a wider network", {"width": 1}, {"width": 10}),
    ],
)
def test_advice_that_is_taken_lowers_the_error(advice: str, before: dict[str, int], after: dict[str, int]) -> None:
    first = solved(**before)
    assert first.diagnosis["advice"][0].startswith(advice), first.diagnosis
    assert error(solved(**{**before, **after})) < error(first) / 3


def decay(count: int, noise: Any) -> ps.Solution:
    """Find a rate, 1.3, from so many values with noise of 0.02, which is told, sought or neither."""
    k, times = Symbol("k", positive=True), np.linspace(0.1, 2, count)
    values = np.exp(-1.3 * times) + 0.02 * np.random.default_rng(0).standard_normal(count)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2),
        equations={"decay": Eq(q.diff(t), -k * q)},
        conditions={"start": Eq(q(0), 1)},
        data={"sensor": ps.Observations(at={t: times}, values={q: values}, noise=noise)},
        unknowns={k: 1.0} | ({noise: 0.1} if isinstance(noise, Symbol) else {}),
    )
    phases: Sequence[Any] = [ps.Adam(steps=50, lr=1e-2), ps.LevenbergMarquardt(steps=40)]
    training = ps.Training(points={"decay": 40}, phases=phases)
    return ps.solve(problem, ps.MLP(width=8, depth=1), training, compile="off", plots=False)


def test_where_noise_is_left_more_measurements_are_what_helps() -> None:
    few, many = decay(20, 0.02), decay(80, 0.02)
    assert few.diagnosis["term"] == "sensor"
    assert few.diagnosis["advice"] == [
        "Measure more, or with less noise: what is left of the loss is the noise of sensor. Four times as many measurements "
        "halve the intervals of unknowns."
    ]
    widths = [s.uncertainty["unknowns"]["k"]["high"] - s.uncertainty["unknowns"]["k"]["low"] for s in (few, many)]
    assert widths[1] / widths[0] == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("noise", [None, Symbol("sigma", positive=True)])
def test_noise_is_seen_where_it_is_not_told(noise: Any) -> None:
    assert decay(40, noise).diagnosis["advice"][0].startswith("Measure more")


def test_a_solution_that_is_good_needs_no_advice() -> None:
    solution = solved(width=14, steps=200)
    assert error(solution) < 1e-6 and solution.diagnosis["advice"][0].startswith("Nothing")
