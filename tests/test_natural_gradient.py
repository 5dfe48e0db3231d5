"""Natural gradient with momentum: against the formula, its minimum property, Levenberg-Marquardt, in parts, resumed, on Poisson."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sympy import Eq, pi, sin, symbols
from test_gauss_newton import Sine, random, vector
from torch import Tensor

import pinnsolve as ps
from pinnsolve.errors import ProblemError
from pinnsolve.training import normal_equations
from pinnsolve.training.damped_descent import DampedStepper
from pinnsolve.training.natural_gradient import SPRING
from pinnsolve.training.normal_equations import scaled_jacobian
from pinnsolve.training.objective import Objective
from pinnsolve.training.status import Status


def fit(rows: int = 12, *, width: int = 8, seed: int = 0) -> Objective:
    """A network with more parameters than there are rows."""
    module = Sine(width)
    places = torch.rand(rows, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return Objective(
        module, module.residuals, {"inside": places, "edge": vector(-1, 1)[:, None]}, weights={"edge": 3.0}
    )


def redraw(objective: Objective, seed: int) -> None:
    objective.replace_points(fit(len(objective.points["inside"]), seed=seed).points)


def linear(matrix: Tensor, right: Tensor) -> Objective:
    """Residuals sqrt(rows) (A x - b): the scaled ones are A x - b."""
    module = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.zeros(matrix.shape[1]).double())})
    rows = len(right) ** 0.5 * torch.cat([matrix, right[:, None]], dim=1)
    return Objective(module, lambda points: {"r": points["r"][:, :-1] @ module["x"] - points["r"][:, -1]}, {"r": rows})


def last(stepper: DampedStepper) -> Tensor:
    return torch.as_tensor(stepper.state()["momentum"])


def damped(stepper: DampedStepper, damping: float) -> None:
    """Set the damping of the next step."""
    stepper.load({**stepper.state(), "damping": damping})


@pytest.mark.parametrize("shape", [(5, 12), (12, 5)])
def test_the_step_is_the_minimum_of_misfit_and_distance_from_the_last_one(shape: tuple[int, int]) -> None:
    """phi = argmin |R phi + rho|^2 + lambda |phi - mu phi_last|^2, by the normal equations of the stacked system."""
    mu, damping = 0.7, 0.3
    objective = linear(random(*shape), random(shape[0], seed=1))
    stepper = SPRING(2, momentum=mu, resample=0).start(objective)
    stepper.step(objective)
    kept = mu * last(stepper)
    rows = scaled_jacobian(objective)
    residual, matrix = rows.residual(), torch.cat(list(rows.parts()))
    stacked = torch.cat([matrix, damping**0.5 * torch.eye(shape[1]).double()])
    right = torch.cat([-residual, damping**0.5 * kept])
    damped(stepper, damping)
    stepper.step(objective)
    expected = torch.linalg.lstsq(stacked, right[:, None]).solution[:, 0]
    torch.testing.assert_close(last(stepper), expected, rtol=1e-9, atol=1e-10)


def test_without_momentum_it_is_the_dual_step_of_levenberg_and_marquardt() -> None:
    objective, damping = fit(), 1e-2
    stepper = SPRING(3, momentum=0.0, resample=0).start(objective)
    stepper.step(objective)
    rows = scaled_jacobian(objective)
    residual, matrix = rows.residual(), torch.cat(list(rows.parts()))
    kernel = matrix @ matrix.mT + damping * torch.eye(len(residual)).double()
    expected = -matrix.mT @ torch.linalg.solve(kernel, residual)
    damped(stepper, damping)
    stepper.step(objective)
    torch.testing.assert_close(last(stepper), expected, rtol=1e-8, atol=1e-10)


def test_the_kernel_in_parts_of_the_parameters_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = fit(), fit()
    for objective in (whole, parts):
        stepper = SPRING(4).start(objective)
        for seed in range(4):
            redraw(objective, seed)
            stepper.step(objective)
        monkeypatch.setattr(normal_equations, "_KEPT_BYTES", 0)
        monkeypatch.setattr(normal_equations, "PART_BYTES", 600)  # five columns of fourteen rows, parts of four rows
    torch.testing.assert_close(parts.vector, whole.vector, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_steps_on_a_few_rows_at_a_time_find_the_common_solution_whatever_the_momentum(momentum: float) -> None:
    """Kaczmarz: every draw tells of three directions in twenty; whole steps of momentum 0.95 would grow without bound."""
    truth, matrix = random(20, seed=5), random(300, 20, seed=6)
    objective = linear(matrix[:3], matrix[:3] @ truth)
    stepper = SPRING(100, momentum=momentum, damping=1e-6).start(objective)
    for k in range(100):
        some = matrix[3 * k : 3 * k + 3]
        objective.replace_points(linear(some, some @ truth).points)
        stepper.step(objective)
    assert float((objective.vector - truth).norm() / truth.norm()) < 1e-2


def test_the_parameters_move_by_the_share_of_the_sum() -> None:
    mu, objective = 0.8, linear(random(5, 12), random(5, seed=1))
    stepper = SPRING(3, momentum=mu, damping=1e-2).start(objective)
    for k in (1, 2, 3):
        before = objective.vector
        stepper.step(objective)
        torch.testing.assert_close(
            objective.vector - before, (1 - mu) / (1 - mu**k) * last(stepper), rtol=1e-9, atol=1e-12
        )


def test_a_momentum_that_leads_uphill_is_forgotten_within_the_step() -> None:
    objective = linear(random(5, 12), random(5, seed=1))
    stepper = SPRING(2, momentum=0.9, resample=0).start(objective)
    before = stepper.step(objective).loss
    stepper.load({**stepper.state(), "momentum": 1e9 * random(12, seed=4), "damping": 1e3})
    step = stepper.step(objective)
    assert step.loss < before and step.status is None and float(last(stepper).norm()) < 1.0


def test_a_loaded_state_continues_bit_for_bit() -> None:
    whole, half, rest = fit(), fit(), fit()
    first, second, third = (SPRING(9).start(objective) for objective in (whole, half, rest))
    for seed in range(9):
        redraw(whole, seed)
        first.step(whole)
    for seed in range(4):
        redraw(half, seed)
        second.step(half)
    rest.vector = half.vector
    third.load(second.state())
    for seed in range(4, 9):
        redraw(rest, seed)
        third.step(rest)
    assert torch.equal(rest.vector, whole.vector)


def test_few_rows_are_not_learned_by_heart() -> None:
    """Rows that can be satisfied never ask for more damping; more rows than parameters may ask for next to none."""
    for shape, bounded in (((5, 12), True), ((30, 7), False)):
        objective = linear(random(*shape), random(shape[0], seed=1))
        stepper = SPRING(1, momentum=0.0).start(objective)
        stepper.load({**stepper.state(), "damping": 1e-14})
        rate = stepper.step(objective).rate
        largest = float(random(*shape).square().sum(0).max())
        assert (rate > 0.3e-6 * largest) is bounded


def test_damping_comes_to_rest_and_shortens_the_next_step() -> None:
    objective = fit()
    stepper = SPRING(9).start(objective)
    stepper.step(objective)
    before = stepper.state()["damping"]
    stepper.damp(objective, 0.5)
    assert "momentum" not in stepper.state() and stepper.state()["damping"] == 2 * before


def test_a_residual_of_zero_has_converged() -> None:
    objective = linear(random(3, 3), torch.zeros(3).double())
    assert SPRING(1).start(objective).step(objective).status is Status.CONVERGED


def test_poisson_is_solved_by_a_network_with_more_parameters_than_points() -> None:
    x, y = symbols("x y")
    u = ps.fields("u", x, y)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), y: (0, 1)}),
        equations={"poisson": Eq(ps.laplacian(u, x, y), -2 * pi**2 * sin(pi * x) * sin(pi * y))},
        conditions={"boundary": ps.on(ps.Box({x: (0, 1), y: (0, 1)}).boundary, Eq(u, 0))},
    )
    training = ps.Training(points={"poisson": 80}, phases=[ps.Adam(50, lr=5e-3), ps.SPRING(30)])
    solution = ps.solve(
        problem, ps.MLP(width=20, depth=2), training, ps.Exact({u: sin(pi * x) * sin(pi * y)}), compile="off", threads=1
    )
    assert solution.errors["u"]["relative_l2"] < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"SPRING · steps=0"),
        ({"damping": -1.0}, r"damping=-1\.0"),
        ({"momentum": 1.0}, r"momentum=1\.0"),
        ({"resample": -1}, r"resample=-1"),
        ({"dtype": "half"}, r"dtype="),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        SPRING(**{"steps": 1, **arguments})
