"""Uncertainty of unknowns: against the covariance of a regression by hand, on synthetic problems, and without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Symbol, symbols

import pinnsolve as ps
from pinnsolve.report import write_report
from pinnsolve.summary import summarise

t, b = symbols("t b")
k = Symbol("k", positive=True)
q = ps.fields("q", t)
TIMES = np.linspace(0.1, 2.0, 20)
NOISE = 0.02


def solved(
    values: Any,
    *,
    noise: Any,
    seed: int = 0,
    extra: Any = 0,
    unknowns: Any = None,
    weight: float = 1.0,
    steps: int = 40,
) -> ps.Solution:
    """Find the rate of an exponential decay from noisy values."""
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2),
        equations={"decay": Eq(q.diff(t), -k * q + extra)},
        conditions={"start": Eq(q(0), 1)},
        data={"sensor": ps.Observations(at={t: TIMES}, values={q: values}, noise=noise)},
        unknowns=unknowns or {k: 1.0},
    )
    training = ps.Training(
        points={"decay": 40},
        phases=[ps.Adam(steps=50, lr=1e-2), ps.LevenbergMarquardt(steps=steps)],
        weights={"sensor": weight},
    )
    return ps.solve(problem, ps.MLP(width=8, depth=1), training, seed=seed, compile="off", plots=False)


def measured(true: float, seed: int) -> np.ndarray:
    return np.exp(-true * TIMES) + NOISE * np.random.default_rng(seed).standard_normal(len(TIMES))


def test_it_is_that_of_a_regression_on_the_solution() -> None:
    """q(t; k) = exp(-k t) is known here: the deviation of k is noise / |dq/dk|."""
    solution = solved(measured(1.3, seed=0), noise=NOISE, weight=0.01)
    value, found = solution.unknowns["k"], solution.uncertainty["unknowns"]["k"]
    slope = -TIMES * np.exp(-value * TIMES)
    assert found["deviation"] == pytest.approx(NOISE / np.linalg.norm(slope), rel=0.1)
    assert 0 < found["low"] < value < found["high"]
    assert solution.uncertainty["noise"] == {"sensor": NOISE} and solution.uncertainty["remarks"] == []
    assert f"from {found['low']:.6g} to {found['high']:.6g} with 90 %" in summarise(solution.record)


def test_noise_that_is_not_stated_is_that_of_the_misfit() -> None:
    solution = solved(measured(1.3, seed=0), noise=None)
    assert solution.uncertainty["noise"]["sensor"] == pytest.approx(NOISE, rel=0.4)


def test_unknowns_that_cannot_be_told_apart_are_named() -> None:
    """In q' = -k q + b q only k - b is determined."""
    solution = solved(measured(1.3, seed=0), noise=NOISE, extra=b * q, unknowns={k: 1.0, b: 0.1})
    remarks = " ".join(solution.uncertainty["remarks"])
    assert "can hardly be told apart" in remarks or "hardly determine" in remarks
    assert "remark " in summarise(solution.record)


def test_unknowns_that_had_not_settled_have_no_intervals(tmp_path: Path) -> None:
    early = solved(measured(1.3, seed=0), noise=NOISE, weight=0.01, steps=2)
    found = early.uncertainty["unknowns"]["k"]
    assert abs(early.unknowns["k"] - 1.3) > 4 * found["deviation"]  # the interval would be wrong
    assert (found["low"], found["high"]) == (0.0, None)
    assert "the training ended before k had settled" in " ".join(early.uncertainty["remarks"])
    assert early.diagnosis["advice"] == ["Train longer, by --max-time or more steps: the unknowns had not settled."]
    told = [line for line in summarise(early.record).splitlines() if line.startswith("unknown")]
    assert told == [f"unknown    k = {early.unknowns['k']:.6g}"]
    page = write_report(tmp_path, record=early.record, problem=early.problem).read_text(encoding="utf-8")
    assert "not known" in page and ", from" not in early._repr_html_()


def test_the_step_left_undone_is_that_to_the_minimum() -> None:
    """Where it is short: the training goes there, and the interval before is as much wider."""
    nearly, there = (solved(measured(1.3, seed=0), noise=NOISE, weight=0.01, steps=steps) for steps in (10, 40))
    deviation = nearly.uncertainty["unknowns"]["k"]["deviation"]
    step = np.log(there.unknowns["k"] / nearly.unknowns["k"])
    low, high = (nearly.uncertainty["unknowns"]["k"][end] for end in ("low", "high"))
    half = np.log(high / low) / 2
    expected = 1.6449 * np.hypot(deviation / nearly.unknowns["k"], step)
    assert half == pytest.approx(expected, rel=0.05)


def test_without_measurements_nothing_is_said() -> None:
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    training = ps.Training(points={"decay": 8}, phases=[ps.Adam(steps=2)])
    assert ps.solve(problem, ps.MLP(width=3, depth=1), training, compile="off").uncertainty == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_intervals_of_90_percent_cover_the_truth_in_80_to_97_of_100_problems() -> None:
    covered = 0
    for seed in range(100):
        true = np.random.default_rng((7, seed)).uniform(0.5, 3.0)
        noise = NOISE if seed % 2 else None
        solution = solved(measured(true, seed), noise=noise, seed=seed, weight=100.0 if seed % 4 < 2 else 1.0)
        found = solution.uncertainty["unknowns"]["k"]
        covered += found["low"] <= true <= found["high"]
    print(f"covered {covered} of 100")
    assert 80 <= covered <= 97
