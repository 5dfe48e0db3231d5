"""Whitening: means and covariances afterwards, derivatives in the user's units, and fields far from zero and one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, exp, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.jets import derivatives, nested_derivatives, plan_jets
from pinnsolve.networks import MLP, build_fields
from pinnsolve.networks.whitening import UNIFORM, Sample, colouring, whitened, whitening

x, y, t = symbols("x y t")
EYE = torch.eye(2, dtype=torch.float64)


def correlated(count: int = 500) -> Tensor:
    """A sample of two entries with scales of 1e3 and 1e-4, far from zero, and correlated."""
    z = torch.randn(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixing = torch.tensor([[1e3, 0.0], [0.9e-4, 0.4e-4]], dtype=torch.float64)
    return z @ mixing.T + torch.tensor([5e4, 2e-3], dtype=torch.float64)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_whitened_sample_has_no_mean_one_deviation_and_no_correlation_if_full(kind: str):
    sample = correlated()
    white = whitening(sample, kind, dtype=torch.float64, deviation=0.5)(sample)
    torch.testing.assert_close(white.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-9)
    covariance = torch.cov(white.T, correction=0)
    if kind == "full":
        torch.testing.assert_close(covariance, 0.25 * EYE, rtol=0, atol=1e-9)
    else:
        torch.testing.assert_close(covariance.diagonal(), 0.25 * EYE.diagonal(), rtol=1e-9, atol=0)
        assert abs(float(covariance[0, 1])) > 0.1
    back = colouring(sample, kind, dtype=torch.float64)(whitening(sample, kind, dtype=torch.float64)(sample))
    torch.testing.assert_close(back, sample, rtol=1e-10, atol=0)


def test_a_box_is_whitened_as_it_is_scaled_by_its_ranges():
    at = torch.linspace(3, 7, 100_001, dtype=torch.float64)[:, None]
    white = whitening(at, "full", dtype=torch.float64, deviation=UNIFORM)(at)
    torch.testing.assert_close(white, (at - 5) / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_what_does_not_vary_keeps_its_scale(kind: str):
    sample = torch.stack([torch.full((9,), 0.1, dtype=torch.float64), torch.arange(9).double()], 1)
    white = whitening(sample, kind, dtype=torch.float64)
    torch.testing.assert_close(white.matrix[0], EYE[0], rtol=0, atol=1e-12)
    assert bool(torch.isfinite(white(sample)).all())


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_derivatives_are_in_the_units_of_the_user(kind: str):
    """By jets, by nested passes, and by the chain rule through the two maps."""
    sample = correlated(40)
    torch.manual_seed(1)
    inner = nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 2)).double()
    network = whitened(inner, sample, 1e6 + 1e5 * correlated(40), kind=kind)
    assert isinstance(network(sample), Tensor)
    wanted = {(1, 0), (0, 1), (1, 1), (0, 3), (2, 1)}
    plan = plan_jets(wanted, dimension=2)
    found = derivatives(network, sample, plan)
    expected = nested_derivatives(network, sample, plan)
    for index in wanted:
        torch.testing.assert_close(
            found[index], expected[index], rtol=1e-9, atol=1e-9 * float(expected[index].detach().abs().max())
        )
    entry, exit = network[0], network[2]
    slopes = derivatives(inner, entry(sample), plan_jets({(1, 0), (0, 1)}, dimension=2))
    chained = torch.stack([slopes[1, 0], slopes[0, 1]], -1)  # (points, outputs, inputs)
    chained = torch.einsum("ab,pbc,cd->pad", exit.matrix, chained, entry.matrix)
    torch.testing.assert_close(found[1, 0], chained[..., 0], rtol=1e-9, atol=0)
    torch.testing.assert_close(found[0, 1], chained[..., 1], rtol=1e-9, atol=0)


def test_fields_measured_together_are_coloured_together_and_others_are_left():
    sample = correlated()
    values = {0: sample[:, 0], 2: sample[:, 1], 3: sample[:100, 1]}
    of = Sample(sample, values)
    together = of.colouring([0, 2], "full", dtype=torch.float64, device="cpu")
    torch.testing.assert_close(
        together.matrix @ together.matrix.T, torch.cov(sample.T, correction=0), rtol=1e-9, atol=0
    )
    apart = of.colouring([0, 1, 3], "full", dtype=torch.float64, device="cpu")
    deviations = [float(values[0].std(correction=0)), 1.0, float(values[3].std(correction=0))]
    torch.testing.assert_close(apart.matrix, torch.diag(torch.tensor(deviations, dtype=torch.float64)))
    assert float(apart.shift[1]) == 0.0


def heated(whitening: str | None, **others: Any) -> ps.Solution:
    """A rod at about 300 K, known from 30 values."""
    u = ps.fields("u", x)
    xs = np.linspace(0, 1, 30)
    truth = 300 + 10 * sin(pi * x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations=Eq(u.diff(x, 2), -10 * pi**2 * sin(pi * x)),
        data={"sensors": ps.Observations(at={x: xs}, values={u: 300 + 10 * np.sin(np.pi * xs)}, **others)},
    )
    training = ps.Training(points={"equation": 32}, phases=[ps.Adam(300, 5e-3)], scaling=False)
    return ps.solve(problem, MLP(8, 2, whitening=whitening), training, ps.Exact({u: truth}), compile="off")


def test_a_field_far_from_zero_is_found_in_its_units(tmp_path: Any):
    """Measured, 300 steps of Adam: relative L2 errors of 0.95 without and below 1e-3 with whitening."""
    plain, white = heated(None), heated("diagonal")
    assert plain.errors["u"]["relative_l2"] > 0.5 and white.errors["u"]["relative_l2"] < 1e-3
    assert abs(float(white.evaluate(ps.fields("u", x).diff(x), x=0.0)) - 10 * np.pi) < 3
    read = ps.load(white.save(tmp_path / "rod"))
    assert read(x=0.25) == white(x=0.25)


def test_values_held_out_do_not_enter_the_whitening():
    white = heated("diagonal", split=ps.RangeSplit({x: (0.3, 1)}))
    values = 300 + 10 * np.sin(np.pi * np.linspace(0, 1, 30)[np.linspace(0, 1, 30) < 0.3])
    shift = [value for name, value in white.trial.state_dict().items() if name.endswith("shift")][-1]
    assert float(shift[0]) == pytest.approx(values.mean(), rel=1e-12)


def test_a_region_along_a_diagonal_is_whitened_in_its_own_directions():
    strip = ps.Polygon([(0, 0), (0.1, 0), (1.1, 1), (1, 1)], coordinates=(x, y))
    u = ps.fields("u", x, y)
    problem = ps.Problem(
        domain=strip, equations=Eq(ps.laplacian(u, x, y), 1), conditions=ps.on(strip.boundary, Eq(u, 0))
    )
    training = ps.Training(points={"equation": 16, "condition": 16}, phases=[ps.Adam(1)])
    solution = ps.solve(problem, MLP(8, 1, whitening="full"), training)
    from pinnsolve.domains.sampling import draw

    at = torch.as_tensor(draw(strip, 2_048, method="sobol", seed=5).coordinates)
    entry = solution.trial.get_submodule("network.networks.0.0")
    torch.testing.assert_close(torch.cov(entry(at).T), EYE / 3, rtol=0, atol=0.02)


def test_where_coordinates_are_read_by_their_range_whitening_is_refused():
    u = ps.fields("u", x, t)
    box = ps.Box({x: (0, 1), t: (0, 1)})
    periodic = ps.Problem(
        domain=box,
        equations=Eq(u.diff(t), -u.diff(x)),
        conditions=[Eq(u(x, 0), sin(2 * pi * x)), Eq(u(0, t), u(1, t))],
        hard=True,
    )
    with pytest.raises(ps.ProblemError, match="whitening='full' with periodic coordinates"):
        ps.solve(periodic, MLP(8, 1, whitening="full"))
    decay = ps.Problem(domain=box, equations=Eq(u.diff(t), -u), conditions=Eq(u(x, 0), exp(-x)))
    with pytest.raises(ps.ProblemError, match="whitening='full' in windows"):
        ps.solve(decay, MLP(8, 1, whitening="full"), ps.Training(windows={t: 2}, phases=[ps.Adam(1)]))
    with pytest.raises(ps.ProblemError, match=r"MLP whitening · 'zca' does not exist · use one of diagonal, full"):
        MLP(whitening="zca")


def test_a_network_that_is_to_be_whitened_needs_a_sample():
    with pytest.raises(ps.ProblemError, match="leave the whitening or the windows out"):
        build_fields(
            MLP(4, 1, whitening="full"),
            inputs_per_field=[(0,)],
            ranges=[(0, 1)],
            generator=torch.Generator(),
            dtype=torch.float64,
        )
