"""Ensembles: members, means, bands by their definitions, and how they compare with the true error on a closed form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr, t
from sympy import Eq, I, cos, exp, im, lambdify, re, symbols

import pinnsolve as ps
from pinnsolve.bands import Band, find_band

x = symbols("x")
u, v = ps.fields("u v", x)
AT = np.linspace(0.1, 2.9, 57)
TRUTH = cos(3 * x) * exp(-x / 2)


def poisson(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(x, 0, 3),
        equations={"poisson": Eq(u.diff(x, 2), TRUTH.diff(x, 2))},
        conditions={"left": Eq(u(0), 1), "right": Eq(u(3), TRUTH.subs(x, 3))},
        **more,
    )


def ensemble(seeds: Any, *, first: int = 20, second: int = 0, width: int = 10, **more: Any) -> ps.Ensemble:
    """Solve from several seeds: some steps of Adam, and of Levenberg-Marquardt."""
    phases: list[Any] = [ps.Adam(steps=first, lr=5e-3), *([ps.LevenbergMarquardt(steps=second)] if second else [])]
    training = ps.Training(points={"poisson": 100}, phases=phases)
    network = ps.MLP(width=width, depth=2)
    return ps.solve_ensemble(poisson(), network, training, ps.Exact({u: TRUTH}), seeds=seeds, compile="off", **more)


def test_members_are_the_solutions_of_the_seeds_and_their_mean_is_evaluated(tmp_path: Path):
    found = ensemble([0, 4], out=tmp_path)
    alone = [ps.load(tmp_path / name) for name in ("s0", "s4")]
    values = [member(x=AT) for member in alone]
    np.testing.assert_array_equal(found(x=AT), np.mean(values, axis=0))
    slopes = [member.evaluate(u.diff(x), x=0.5) for member in alone]
    assert found.evaluate(u.diff(x), x=0.5) == pytest.approx(np.mean(slopes), rel=1e-14)
    assert isinstance(found(x=torch.tensor([0.5])), torch.Tensor)
    again = ps.Ensemble(alone)
    np.testing.assert_array_equal(again.band(x=AT).deviation, found.band(x=AT).deviation)
    grid = found.members[0].reference.points[:, 0]
    truth = lambdify(x, TRUTH)(grid)
    expected = np.linalg.norm(found(x=grid) - truth) / np.linalg.norm(truth)
    assert found.errors["u"]["relative_l2"] == pytest.approx(expected, rel=1e-9) and again.errors == {}


def test_every_member_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ensemble([0, 4], first=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["member 1 of 2, seed 0", "member 2 of 2, seed 4"]
    assert "done, relative L2 error u " in lines[0] and lines[0].endswith(" s of training")
    told: list[str] = []
    ensemble([0, 4], first=2, tell=told.append)
    ensemble([0, 4], first=2, tell=None)
    assert len(told) == 2 and capsys.readouterr().err == ""


def test_of_few_members_the_interval_is_students_for_the_next_one():
    found = ensemble([0, 1, 2])
    for expression in (u, u.diff(x), u.diff(x, 2) + x):
        values = np.array([m.evaluate(expression, x=AT) for m in found.members])
        band = found.band(expression, x=AT)
        deviation = values.std(0, ddof=1)
        half = t.ppf(0.95, 2) * deviation * np.sqrt(4 / 3)
        np.testing.assert_allclose(band.deviation, deviation, rtol=1e-12)
        np.testing.assert_allclose(band.high, values.mean(0) + half, rtol=1e-10)
        np.testing.assert_allclose(band.low, values.mean(0) - half, rtol=1e-10, atol=1e-14)
        assert (band.level, band.samples, band.factor) == (0.9, 3, None)
    tensors = found.band(x=torch.tensor([0.5, 1.0]))
    assert all(isinstance(part, torch.Tensor) for part in (tensors.mean, tensors.deviation, tensors.low, tensors.high))


def drawn(values: np.ndarray, **more: Any) -> Band:
    """The band of given values, shape (networks, points)."""
    options: dict[str, Any] = {"level": 0.9, "calibrated_on": None, "coordinates": {}, "names": ["u"]} | more
    band = find_band(lambda expression, coordinates: list(values), None, **options)
    assert isinstance(band, Band)
    return band


def test_of_many_members_the_ends_are_ranks_and_cover_the_next_one_whatever_the_distribution():
    band = drawn(np.arange(1.0, 20.0)[::-1, None])
    assert (band.low[0], band.high[0]) == (1.0, 19.0)  # 19 values: 1 - 2 / 20
    values = np.random.default_rng(0).exponential(size=(40, 20_000))
    band = drawn(values[:-1])
    covered = float(np.mean((band.low <= values[-1]) & (values[-1] <= band.high)))
    assert covered == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 20_000))
    assert drawn(values[:18, :1]).low[0] < values[:18, 0].min()  # one too few: beyond all of them


@pytest.mark.parametrize("noise", [0.5, None])
def test_an_interval_that_is_fitted_to_measurements_covers_further_ones(noise: float | None):
    """The networks lie apart by a tenth of what they are off, and the factor makes up for it: split conformal prediction."""
    generator = np.random.default_rng(1)
    places = generator.uniform(0, 3, 12_000)
    measured = np.sin(places) + 0.5 * generator.standard_normal(len(places))
    shifts = 0.05 * generator.standard_normal(30)

    def draw(expression: Any, coordinates: Any) -> list[np.ndarray]:
        return [(1 + shift) * np.sin(coordinates["x"]) + 0.3 for shift in shifts]

    covered = []
    for k in range(0, 6_000, 60):
        rows = ps.Observations(at={x: places[k : k + 60]}, values={u: measured[k : k + 60]}, noise=noise)
        further = slice(6_000 + k, 6_060 + k)
        options: dict[str, Any] = {"level": 0.9, "coordinates": {"x": places[further]}, "names": ["u"]}
        band = find_band(draw, None, calibrated_on=rows, **options)
        assert band.factor is not None and band.factor > 0
        covered.append(np.mean((band.low <= measured[further]) & (measured[further] <= band.high)))
        plain = find_band(draw, None, calibrated_on=None, **options)
        assert np.mean((plain.low <= measured[further]) & (measured[further] <= plain.high)) < 0.3
    assert float(np.mean(covered)) == pytest.approx(0.9, abs=0.02)


def test_several_fields_have_a_band_each_and_complex_ones_none(known: Callable[..., ps.Solution]):
    w = ps.fields("w", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 3),
        equations=[Eq(u.diff(x), v), Eq(v.diff(x), -u)],
        conditions=[Eq(u(0), 0), Eq(v(0), 1)],
    )
    pair = ps.Ensemble([known(problem, torch.sin, torch.cos), known(problem, torch.sin, lambda c: 1 - c**2 / 2)])
    band = pair.band(x=0.5)
    assert band.u.deviation == 0 and band.v.mean == pytest.approx((np.cos(0.5) + 0.875) / 2)
    wave = ps.Problem(domain=ps.Interval(x, 0, 3), equations=[Eq(I * w.diff(x), w)], conditions=[Eq(w(0), 1)])
    turning = ps.Ensemble([known(wave, torch.cos, lambda c: -torch.sin(c)), known(wave, torch.cos, torch.sin)])
    with pytest.raises(ps.ProblemError, match=r"complex values, which have no order · ask for re\(...\) or im"):
        turning.band(x=0.5)
    assert turning.band(re(w), x=0.5).deviation == 0
    assert turning.band(im(w), x=0.5).deviation == pytest.approx(np.sqrt(2) * np.sin(0.5))


def test_unknowns_have_a_mean_and_a_deviation():
    k = symbols("k", positive=True)
    observations = ps.Observations(at={x: [1.0, 2.0]}, values={u: [0.4, 0.1]})
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 3),
        equations={"decay": Eq(u.diff(x), -k * u)},
        conditions={"start": Eq(u(0), 1)},
        data={"sensor": observations},
        unknowns={k: 1.0},
    )
    training = ps.Training(points={"decay": 20}, phases=[ps.Adam(steps=5)])
    found = ps.solve_ensemble(problem, ps.MLP(width=4, depth=1), training, seeds=[0, 1], compile="off")
    values = [member.unknowns["k"] for member in found.members]
    assert found.unknowns == {"k": {"mean": np.mean(values), "deviation": pytest.approx(np.std(values, ddof=1))}}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ensemble([0]), r"seeds · \[0\] · write two or more different ones"),
        (lambda: ensemble([1, 1]), r"seeds · \[1, 1\]"),
        (lambda: ps.Ensemble([]), r"0 solutions · give two or more"),
        (lambda: ps.solve_ensemble(poisson(), torch.nn.Linear(1, 1)), r"a module, whose weights are the same"),
        (lambda: drawn(np.zeros((3, 1)), level=1), r"level=1 · write a probability"),
        (
            lambda: drawn(np.zeros((3, 1)), calibrated_on=ps.Observations(at={x: [1.0]}, values={u: [1.0]})),
            r"1 rows for level=0.9 · give 9 or more",
        ),
        (
            lambda: drawn(np.zeros((3, 1)), calibrated_on=ps.Observations(at={x: [1.0]}, values={u: [1.0], v: [2.0]})),
            r"no value of None · measured are u\(x\), v\(x\): name one",
        ),
    ],
)
def test_a_mistake_is_refused(make: Callable[[], object], message: str):
    with pytest.raises(ps.ProblemError, match=message):
        make()


def test_a_member_that_diverged_is_left_out(monkeypatch: pytest.MonkeyPatch):
    from pinnsolve import ensembles

    original = ensembles.solve

    def diverging(*given: Any, seed: int, **options: Any) -> ps.Solution:
        solution = original(*given, seed=seed, **options)
        solution.record["status"] = "diverged" if seed == 1 else "done"
        return solution

    monkeypatch.setattr(ensembles, "solve", diverging)
    with pytest.warns(UserWarning, match="seed 1 diverged and is left out"):
        assert len(ensemble([0, 1, 2]).members) == 2


def judged(found: ps.Ensemble) -> tuple[float, float, float, float]:
    """Return rms error of the mean, rms deviation, and how much of field and slope the bands cover."""
    truth, slope = lambdify(x, TRUTH)(AT), lambdify(x, TRUTH.diff(x))(AT)
    field, steepness = found.band(x=AT), found.band(u.diff(x), x=AT)
    covered = [np.mean((b.low <= true) & (true <= b.high)) for b, true in ((field, truth), (steepness, slope))]
    error = float(np.sqrt(np.mean((field.mean - truth) ** 2)))
    return error, float(np.sqrt(np.mean(field.deviation**2))), float(covered[0]), float(covered[1])


@pytest.mark.slow
def test_the_spread_of_an_ensemble_follows_its_error_and_its_bands_cover_the_truth():
    """Twelve ensembles of five, over three lengths of training: see the README for the figures."""
    rows = []
    for second in (0, 10, 30):
        for k in range(4):
            rows.append(judged(ensemble(range(10 * k, 10 * k + 5), first=200, second=second)))
        print(
            f"{second} steps: {np.median(rows[-4:], axis=0)}, covered {np.mean([row[2:] for row in rows[-4:]], axis=0)}"
        )
    errors, spreads, fields, slopes = np.array(rows).T
    print(f"rank correlation {spearmanr(errors, spreads).statistic:.3f}, spread over error {np.sort(spreads / errors)}")
    assert spearmanr(errors, spreads).statistic > 0.9
    assert np.mean(fields) > 0.85 and np.mean(slopes) > 0.85
    assert 1 < np.median(spreads / errors) < 5


@pytest.mark.thorough
def test_what_is_wrong_in_all_members_alike_is_not_seen_by_them():
    """After 20 steps of Adam all members lag behind the solution on one side of it, and their bands do not reach it."""
    rows = np.array([judged(ensemble(range(10 * k, 10 * k + 5), first=20, second=0)) for k in range(4)])
    print(f"errors {np.sort(rows[:, 0])}, spreads {np.sort(rows[:, 1])}, covered {rows[:, 2:].mean(axis=0)}")
    assert np.median(rows[:, 0] / rows[:, 1]) > 2
    assert np.all(rows[:, 2:].mean(axis=0) < 0.75)
