"""Redrawn points of equations: chosen by their residual (RAD), retained by it (R3), or spread afresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import chi2
from sympy import Eq, exp, symbols

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import Trial, Unknowns
from pinnsolve.domains.sampling import choose_adaptively
from pinnsolve.points import CANDIDATES, TermPoints
from pinnsolve.training.schedule import RESAMPLINGS

x, t = symbols("x t")
q = ps.fields("q", t)
u, v = ps.fields("u v", x, t)

RARE = 1e-3
"""Probability that a sound generator is called unsound; the seeds are fixed."""


def slope() -> ps.Problem:
    """The residual of a trial function is its slope."""
    return ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"flat": Eq(q.diff(t), 0)}, conditions={"start": Eq(q(0), 1)}
    )


def pair() -> ps.Problem:
    """Two equations on the same points, with the residuals u_t and v_t, and conditions on a line."""
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"a": Eq(u.diff(t), 0), "b": Eq(v.diff(t), 0)},
        conditions={"u0": Eq(u(x, 0), 1), "v0": Eq(v(x, 0), 1)},
    )


PAIR_COUNTS = {"a": 64, "b": 64, "u0": 8, "v0": 8}


def placed(problem: ps.Problem, counts: dict[str, int], resampling: str, **more: Any) -> TermPoints:
    method, seed = more.get("method", "sobol"), more.get("seed", 0)
    return TermPoints(compile_problem(problem), counts, method, seed, torch.device("cpu"), resampling)


@pytest.fixture
def trial(known_module: Callable[..., Any]) -> Callable[..., Trial]:
    def make(*functions: Callable[..., Any]) -> Trial:
        return Trial(known_module(*functions), Unknowns({}, dtype=torch.float64, device="cpu"))

    return make


def test_one_choice_has_the_probabilities_of_wu_and_others() -> None:
    generator = np.random.default_rng(4)
    magnitudes = np.array([0.0, 0.5, 1.0, 2.0, 6.0, 0.5])
    hits = np.zeros(6)
    for _ in range(12_000):
        hits[choose_adaptively(magnitudes, 1, generator=generator)] += 1
    expected = magnitudes / magnitudes.mean() + 1
    expected *= hits.sum() / expected.sum()
    assert ((hits - expected) ** 2 / expected).sum() < chi2.ppf(1 - RARE, df=5)


def test_points_are_chosen_where_the_residual_is_large_as_often_as_stated(trial: Callable[..., Trial]) -> None:
    # q = t^3 has the residual 3 t^2. Without repetition the chance of a candidate of density d is 1 - exp(-s d), with s from
    # the count: the keys that win are exponential (Efraimidis and Spirakis 2006).
    count, draws, bins = 100, 60, 10
    points = placed(slope(), {"flat": count}, "rad")
    hits = np.zeros(bins)
    for number in range(draws):
        drawn = points.redraw(trial(lambda t: t**3), number)["flat"].numpy()[:, 0]
        assert len(np.unique(drawn)) == count
        hits += np.histogram(drawn, bins, (0, 1))[0]
    places = (np.arange(CANDIDATES * count) + 0.5) / (CANDIDATES * count)
    density = 3 * places**2 / (3 * places**2).mean() + 1
    scale = brentq(lambda s: (1 - np.exp(-s * density)).sum() - count, 0, 10)
    expected = draws * (1 - np.exp(-scale * density)).reshape(bins, -1).sum(1)
    assert ((hits - expected) ** 2 / expected).sum() < chi2.ppf(1 - RARE, df=bins - 1)
    assert hits[-1] > 2 * hits[0]


def test_points_above_the_mean_are_retained_and_the_others_drawn_afresh(trial: Callable[..., Trial]) -> None:
    points = placed(slope(), {"flat": 128}, "r3")
    before = points.training()["flat"]
    after = points.redraw(trial(lambda t: t**2), 7, current={"flat": before})["flat"]
    residual = 2 * before[:, 0]
    kept = before[residual > residual.mean()]
    assert 32 < len(kept) < 96 and after.shape == before.shape
    assert torch.equal(after[: len(kept)], kept)
    released, fresh = before[residual <= residual.mean()], after[len(kept) :]
    assert not torch.isin(fresh, released).any()
    assert ((fresh >= 0) & (fresh <= 1)).all() and float(fresh.mean()) == pytest.approx(0.5, abs=0.05)


def test_retained_points_gather_where_the_residual_stays_large(trial: Callable[..., Trial]) -> None:
    # For a residual that does not change the mean over the retained population never falls (Daw et al. 2023, theorem 4.1).
    points = placed(slope(), {"flat": 400}, "r3", method="uniform", seed=3)
    peak = trial(lambda t: torch.erf(20 * (t - 0.7)))
    drawn = points.training()
    near = []
    for number in range(12):
        drawn = points.redraw(peak, number, current=drawn)
        near.append(float(((drawn["flat"] - 0.7).abs() < 0.1).double().mean()))
    assert near[0] > 0.2 and near[-1] > 0.6 and len(drawn["flat"]) == 400


def test_a_residual_equal_everywhere_or_not_finite_releases_every_point(trial: Callable[..., Trial]) -> None:
    points = placed(slope(), {"flat": 30}, "r3")
    fresh = placed(slope(), {"flat": 30}, "uniform")
    still = points.training()
    for field in (lambda t: 0.1 * t, lambda t: 0 * t, lambda t: torch.sqrt(t - 2)):
        after = points.redraw(trial(field), 5, current=still)["flat"]
        assert torch.equal(after, fresh.redraw(trial(field), 5)["flat"])


def test_equations_on_the_same_points_retain_by_the_sum_of_their_relative_residuals(
    trial: Callable[..., Trial],
) -> None:
    points = placed(pair(), PAIR_COUNTS, "r3")
    before = points.training()
    found = points.redraw(trial(lambda x, t: 1e6 * t**2, lambda x, t: x * t), 3, current=before)
    assert found["a"] is found["b"] and len(found["a"]) == 64 and found["u0"] is not before["u0"]
    place = before["a"]
    sums = place[:, 1] / place[:, 1].mean() + place[:, 0] / place[:, 0].mean()
    kept = place[sums > sums.mean()]
    assert torch.equal(found["a"][: len(kept)], kept)


def test_uniform_points_know_nothing_of_the_residual(trial: Callable[..., Trial]) -> None:
    points = placed(pair(), PAIR_COUNTS, "uniform")
    one, other = (points.redraw(trial(f, f), 3, current=points.training()) for f in (lambda x, t: t**9, lambda x, t: x))
    assert all(torch.equal(one[name], other[name]) for name in PAIR_COUNTS)
    assert one["a"] is one["b"] and not torch.equal(one["a"], points.training()["a"])


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("method", ["sobol", "uniform", "latin", "grid"])
def test_a_draw_follows_from_seed_number_and_the_points_before(
    trial: Callable[..., Trial], resampling: str, method: str
) -> None:
    def draw(number: int, seed: int = 0) -> torch.Tensor:
        points = placed(pair(), PAIR_COUNTS, resampling, method=method, seed=seed)
        current = points.training()
        return points.redraw(trial(lambda x, t: t**3, lambda x, t: x * t), number, current=current)["a"]

    assert torch.equal(draw(3), draw(3)) and draw(3).shape == (64, 2)
    if method != "grid":
        assert not torch.equal(draw(3), draw(4)) and not torch.equal(draw(3), draw(3, seed=1))
    assert draw(3).min() >= 0 and draw(3).max() <= 1


def test_an_unknown_way_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ps.ProblemError, match=r"resampling · 'rar' · .*rad.*r3.*uniform"):
        ps.Training(resampling="rar")


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_an_equation_is_solved_on_redrawn_points_and_again_bit_for_bit(resampling: str) -> None:
    def solve() -> ps.Solution:
        problem = ps.Problem(
            domain=ps.Interval(t, 0, 2), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
        )
        training = ps.Training(
            points={"decay": 40},
            phases=[ps.Adam(60, 0.02), ps.SSBroyden(100)],
            resample=20,
            resampling=resampling,
        )
        exact = ps.Exact({q: exp(-t)})
        return ps.solve(problem, ps.MLP(width=8, depth=1), training, exact, device="cpu", compile="off", plots=False)

    first, again = solve(), solve()
    assert first.errors["q"]["relative_l2"] < 1e-3
    ts = np.linspace(0, 2, 9)
    np.testing.assert_array_equal(first(t=ts), again(t=ts))
