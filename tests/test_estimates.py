"""Estimated operators: unbiased, with the variance that is stated, and used by a run that says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sympy import symbols

import pinnsolve as ps
from pinnsolve.jets import Derivative, SampledDerivatives, derivatives, operator, plan_jets

D = 12
LAPLACIAN = operator({tuple(2 * (i == j) for j in range(D)): 1 + i / 4 for i in range(D)})


def quadratic(points: torch.Tensor) -> torch.Tensor:
    """Σ_i (i + 1) x_i² / 2, whose terms of the operator are (1 + i / 4)(i + 1)."""
    weights = torch.arange(1, D + 1, dtype=torch.float64)
    return (points * points) @ weights[:, None] / 2


def estimate(sampled: SampledDerivatives, number: int) -> float:
    sampled.redraw(number)
    plan = plan_jets({LAPLACIAN}, dimension=D)
    points = torch.zeros(1, D, dtype=torch.float64)
    return sampled(quadratic, points, plan, wanted={LAPLACIAN: {0}})[LAPLACIAN].item()


@pytest.mark.thorough
@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_estimate_has_the_mean_and_the_variance_that_are_stated(k: int) -> None:
    sampled = SampledDerivatives(k, seed=5)
    values = np.array([estimate(sampled, number) for number in range(1_500)])
    terms = np.array([(1 + i / 4) * (i + 1) for i in range(D)])
    variance = D**2 / k * (1 - k / D) * terms.var(ddof=1)
    assert abs(values.mean() - terms.sum()) < 4 * np.sqrt(variance / len(values))
    assert values.var() == pytest.approx(variance, rel=0.15)


def test_as_many_terms_as_there_are_give_the_operator_itself() -> None:
    plan = plan_jets({LAPLACIAN, (1, *[0] * (D - 1))}, dimension=D)
    points = torch.rand(4, D, dtype=torch.float64)
    wanted: dict[Derivative, set[int]] = {LAPLACIAN: {0}}
    found = SampledDerivatives(D, seed=0)(quadratic, points, plan, wanted=wanted)
    torch.testing.assert_close(found[LAPLACIAN], derivatives(quadratic, points, plan, wanted=wanted)[LAPLACIAN])


def test_a_draw_is_the_same_each_time_and_differs_from_the_next() -> None:
    one, other = SampledDerivatives(2, seed=1), SampledDerivatives(2, seed=1)
    assert [estimate(one, n) for n in range(8)] == [estimate(other, n) for n in range(8)]
    assert len({estimate(one, n) for n in range(8)}) > 3


def test_less_than_one_term_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SampledDerivatives(0, seed=0)
    with pytest.raises(ps.ProblemError, match=r"directions.*None for all"):
        ps.Training(directions=0)


def test_a_run_trains_on_estimates_and_says_so() -> None:
    coordinates = symbols("x1:7")
    u = ps.fields("u", *coordinates)
    problem = ps.Problem(
        domain=ps.Box(dict.fromkeys(coordinates, (0, 1))),
        equations={"poisson": sum(u.diff(x, 2) for x in coordinates) + 12},
        data={"wall": ps.Observations(at={x: [0.0, 1.0] for x in coordinates}, values={u: [0.0, 0.0]})},
    )
    training = ps.Training(points={"poisson": 60}, phases=[ps.Adam(steps=8, resample=3)], directions=2)
    told: list[str] = []
    solution = ps.solve(problem, ps.MLP(width=8, depth=2), training, plots=False, notify=told.append)
    assert any(line.startswith("gradients: plain (2 terms of every long sum") for line in told)
    assert solution.status == "done"
