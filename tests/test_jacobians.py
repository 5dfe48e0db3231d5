"""Jacobians of residuals: rows against one reverse pass for each, products both ways, several sets, unknowns, singular sources."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from sympy import Eq, log, pi, sin, sqrt, symbols
from torch import Tensor

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.jets import derivatives, plan_jets
from pinnsolve.points import TermPoints
from pinnsolve.training.jacobians import Jacobian, ScaledJacobian

x, t = symbols("x t")
D = symbols("D", positive=True)
u, v = ps.fields("u v", x, t)
PROBLEM = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={
        "u": Eq(u.diff(t) + u * v.diff(x), D * u.diff(x, 2) + sqrt(1 + x**2) * log(2 + u**2)),
        "v": Eq(v.diff(t), v.diff(x, 2) + u),
    },
    conditions=[Eq(u(x, 0), -sin(pi * x)), Eq(v(x, 0), 0), u(-1, t), u(1, t), v(-1, t), Eq(v(1, t), v(-1, t) + 1)],
    data={"probe": ps.Observations(at={x: [0.1, 0.2], t: [0.3, 0.4]}, values={u: [1.0, 2.0]})},
    unknowns={D: 0.02},
)


NETWORKS = [
    *(ps.MLP(width=5, depth=2, activation=name) for name in ("tanh", "sine", "gelu", "silu", "softplus", "sigmoid")),
    ps.ResNet(width=5, blocks=1),
    ps.ModifiedMLP(width=5, depth=2),
    ps.PirateNet(width=4, blocks=2),
    ps.MLP(width=4, depth=2, fourier=1.0),
    ps.ModifiedMLP(width=4, depth=2, factorised=True),
    ps.PirateNet(width=4, blocks=1, fourier=1.0, factorised=True),
]


def trial_of(network: Any) -> Trial:
    trial = build_trial(PROBLEM, network, seed=1, dtype=torch.float64, device="cpu")
    for name, parameter in trial.named_parameters():
        if name.endswith("alpha"):  # at its start of 0 nothing depends on most weights
            torch.nn.init.constant_(parameter, 0.4)
    return trial


@pytest.fixture(params=NETWORKS, ids=str)
def setting(request: pytest.FixtureRequest) -> tuple[Jacobian, Tensor]:
    """The Jacobian, and its rows by one reverse pass each."""
    compiled = compile_problem(PROBLEM)
    trial = trial_of(request.param)
    counts = {term.name: 4 + k % 3 for k, term in enumerate(compiled.terms) if term.name != "probe"} | {"u": 9, "v": 9}
    points = TermPoints(compiled, counts, "sobol", 0, torch.device("cpu")).training()
    parameters = list(trial.parameters())
    rows = []
    for residual in compiled.residuals(trial, points).values():
        for entry in residual:
            parts = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return Jacobian(trial, partial(compiled.residuals, trial), points), torch.stack(rows)


def test_the_rows_are_the_gradients_of_the_entries(setting: tuple[Jacobian, Tensor]) -> None:
    jacobian, expected = setting
    torch.testing.assert_close(jacobian.rows(), expected, rtol=1e-11, atol=1e-11)
    assert jacobian.residual().shape == (len(expected),)
    assert len(jacobian._ways) == 3, "the fastest way was refused"


def test_rows_are_made_in_parts_when_they_are_many(
    setting: tuple[Jacobian, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    jacobian, expected = setting
    monkeypatch.setattr("pinnsolve.training.jacobians.ROW_MEMORY", 8 * expected.shape[1] * 5)
    torch.testing.assert_close(jacobian.rows(), expected, rtol=1e-11, atol=1e-11)


def test_products_both_ways_are_those_of_the_matrix(setting: tuple[Jacobian, Tensor]) -> None:
    jacobian, expected = setting
    generator = torch.Generator().manual_seed(2)
    right = torch.randn(expected.shape[1], generator=generator, dtype=torch.float64)
    left = torch.randn(expected.shape[0], generator=generator, dtype=torch.float64)
    torch.testing.assert_close(jacobian.times(right), expected @ right, rtol=1e-10, atol=1e-10)
    assert jacobian._forward, "the pass in forward mode was refused"
    torch.testing.assert_close(jacobian.transposed_times(left), expected.T @ left, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_rows_of_a_second_derivative_are_those_of_nested_transformations(network: Any) -> None:
    trial = trial_of(network)
    parameters = {name: p.detach() for name, p in trial.network.named_parameters()}
    points = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    plan = plan_jets({(2, 0)}, dimension=2)

    def residuals(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: derivatives(trial.network, at, plan)[2, 0][:, 0] for name, at in points.items()}

    def curvature(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        def of_x(x: Tensor) -> Tensor:
            at = torch.cat([x, point[1:]])[None]
            return torch.func.functional_call(trial.network, parameters, (at,))[0, 0]

        return torch.func.jacrev(torch.func.jacrev(of_x))(point[:1])[0, 0]

    found = torch.func.vmap(torch.func.grad(curvature), in_dims=(None, 0))(parameters, points)
    expected = torch.cat([part.reshape(len(points), -1) for part in found.values()], 1)
    rows = Jacobian(trial.network, residuals, {"u": points}).rows()
    torch.testing.assert_close(rows, expected, rtol=1e-10, atol=1e-10)


def test_a_jacobian_that_is_kept_stays_where_it_was(setting: tuple[Jacobian, Tensor]) -> None:
    jacobian, expected = setting
    right = torch.ones(expected.shape[1], dtype=torch.float64)
    left = torch.linspace(-1, 1, expected.shape[0], dtype=torch.float64)
    jacobian.keep()
    with torch.no_grad():
        for leaf in jacobian._leaves.values():
            leaf.add_(0.1)
    torch.testing.assert_close(jacobian.times(right), expected @ right, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(jacobian.transposed_times(left), expected.T @ left, rtol=1e-10, atol=1e-10)


def test_columns_and_normal_products_of_the_scaled_rows(setting: tuple[Jacobian, Tensor]) -> None:
    jacobian, matrix = setting
    scales = torch.linspace(0.5, 2, len(matrix), dtype=torch.float64)
    scaled, expected = ScaledJacobian([(jacobian, scales)], like=matrix[0]), scales[:, None] * matrix
    torch.testing.assert_close(scaled.columns(3, 21), expected[:, 3:21], rtol=1e-10, atol=1e-10)
    right = torch.ones(scaled.size, dtype=torch.float64)
    torch.testing.assert_close(scaled.normal_times(right), expected.T @ (expected @ right), rtol=1e-9, atol=1e-9)
