"""Bands of a network with dropout: one function for every mask, and the coverage of truth and measurements on synthetic noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.ensembles import _thinned_draw

x = symbols("x")
u, f = ps.fields("u f", x)
AT = np.linspace(-0.98, 0.98, 80)
NOISE, ROWS = 0.1, 60


def measured(seed: int, number: int) -> ps.Observations:
    """Noisy values of sin 3x at random places; other numbers are further draws."""
    generator = np.random.default_rng((seed, number))
    places = generator.uniform(-1, 1, ROWS)
    values = np.sin(3 * places) + NOISE * generator.standard_normal(ROWS)
    return ps.Observations(at={x: places}, values={u: values}, noise=NOISE)


def solved(seed: int, *, steps: int, dropout: float = 0.1) -> ps.Solution:
    """Find a field and the source of its equation from measurements."""
    problem = ps.Problem(
        domain=ps.Interval(x, -1, 1), equations={"source": Eq(u.diff(x, 2), f)}, data={"sensor": measured(seed, 0)}
    )
    training = ps.Training(
        points={"source": 40}, phases=[ps.Adam(steps=steps, lr=1e-2)], weights={"source": 1e-3, "sensor": 1}
    )
    network = ps.MLP(width=24, depth=2, activation="sine", dropout=dropout)
    return ps.solve(problem, network, training, seed=seed, compile="off")


def test_every_thinned_network_is_one_function_and_its_derivatives_are_of_it():
    solution = solved(0, steps=30)
    draw, h = _thinned_draw(solution, 12, 0, "band"), 1e-4
    above, below = (np.array(draw(u, {"x": AT + shift})) for shift in (h, -h))
    slopes, bends = (np.array(draw(u.diff(x, order), {"x": AT})) for order in (1, 2))
    np.testing.assert_allclose((above - below) / (2 * h), slopes, rtol=1e-6, atol=1e-6)
    values = np.array(draw(u, {"x": AT}))
    np.testing.assert_allclose((above - 2 * values + below) / h**2, bends, rtol=1e-4, atol=1e-4)
    assert slopes.std(0).min() > 1e-3
    band = solution.band(u.diff(x), samples=12, x=AT)
    np.testing.assert_allclose(band.deviation, slopes.std(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(band.mean, slopes.mean(0), rtol=1e-12)


def test_bands_repeat_with_their_seed_and_leave_the_solution_as_it_is(tmp_path: Path):
    solution = solved(0, steps=30)
    before = solution.evaluate(u, x=AT)
    band = solution.band(x=AT)
    assert set(band._fields) == {"u", "f"} and band.u.samples == 200
    np.testing.assert_array_equal(band.u.deviation, solution.band(u, x=AT).deviation)
    assert not np.array_equal(band.u.deviation, solution.band(u, seed=1, x=AT).deviation)
    assert (band.u.low < band.u.mean).all() and (band.u.mean < band.u.high).all()
    np.testing.assert_array_equal(solution.evaluate(u, x=AT), before)
    np.testing.assert_allclose(solution.spread(200, x=AT).u, band.u.deviation, rtol=1e-12)
    read = ps.load(solution.save(tmp_path / "kept"))
    np.testing.assert_array_equal(read.band(u, x=AT).low, band.u.low)
    fitted = solution.band(u, calibrated_on=measured(0, 1), x=AT)
    width = fitted.high - fitted.low
    np.testing.assert_allclose(width, 2 * fitted.factor * np.hypot(fitted.deviation, NOISE), rtol=1e-12)
    with pytest.raises(ps.ProblemError, match=r"the fields f, u at once · name one, such as band\(f\(...\)"):
        solution.band(calibrated_on=measured(0, 1), x=AT)


def test_a_network_of_which_nothing_is_left_out_has_no_band():
    solution = solved(0, steps=2, dropout=0.0)
    with pytest.raises(ps.ProblemError, match=r"solution.band\(...\) · a network of which nothing is left out"):
        solution.band(x=AT)
    with pytest.raises(ps.ProblemError, match=r"1 samples · write at least 2"):
        solved(0, steps=2).band(samples=1, x=AT)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dropout", [0.02, 0.1, 0.3])
def test_intervals_of_90_percent_that_are_fitted_cover_80_to_97_percent_of_further_measurements(dropout: float):
    """Twelve sets of measurements: see the README for the figures, those of intervals that are not fitted included."""
    found = []
    for seed in range(12):
        solution = solved(seed, steps=600, dropout=dropout)
        truth, slope = np.sin(3 * AT), 3 * np.cos(3 * AT)
        further = measured(seed, 2)
        values, places = further.values[u], further.at[x]
        field, steepness = solution.band(u, x=AT), solution.band(u.diff(x), x=AT)
        plain = solution.band(u, x=places)
        fitted = solution.band(u, calibrated_on=measured(seed, 1), x=places)
        within = 1.645 * np.hypot(plain.deviation, NOISE)
        found.append(
            [
                np.mean((field.low <= truth) & (truth <= field.high)),
                np.mean((steepness.low <= slope) & (slope <= steepness.high)),
                np.mean(np.abs(values - plain.mean) <= within),
                np.mean((fitted.low <= values) & (values <= fitted.high)),
                np.mean(fitted.high - fitted.low) / np.mean(2 * within),
            ]
        )
    names = ("truth", "slope", "measurements, with the noise", "measurements, fitted", "width, fitted over plain")
    means: list[float] = [round(float(np.mean([row[k] for row in found])), 3) for k in range(len(names))]
    print(f"dropout {dropout}: ", dict(zip(names, means, strict=True)))
    assert 0.80 <= np.mean([row[3] for row in found]) <= 0.97
