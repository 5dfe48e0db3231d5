"""Levenberg-Marquardt: on linear and classical least squares, primal against dual, resumed, redrawn, and under faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training import gauss_newton, normal_equations
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.normal_equations import scaled_jacobian, symmetric_product
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Phase, Step
from pinnsolve.training.status import Status

Residual = Callable[[Tensor], Tensor]


def minimisation(residual: Residual, start: Tensor, **more: Any) -> Objective:
    """Least squares whose point i is the unit vector e_i: its residual is entry i."""
    module = nn.ParameterDict({"x": nn.Parameter(start.detach().clone())})
    rows = torch.eye(len(residual(start)), dtype=torch.float64)
    return Objective(module, lambda points: {"r": points["r"] @ residual(module["x"])}, {"r": rows}, **more)


def run(objective: Objective, phase: Phase, *, below: float = -1.0) -> list[Step]:
    stepper = phase.start(objective)
    taken: list[Step] = []
    while len(taken) < phase.steps and not (taken and (taken[-1].status or taken[-1].loss < below)):
        taken.append(stepper.step(objective))
        assert objective.vector.isfinite().all()
    return taken


def rosenbrock(x: Tensor) -> Tensor:
    return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def powell(x: Tensor) -> Tensor:
    a, b, c, d = x
    return torch.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def vector(*entries: float) -> Tensor:
    return torch.tensor(entries, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Sine(nn.Module):
    """A small network to be fitted to a sine."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.last = (nn.Parameter(random(width, 2, seed=s)) for s in (1, 2))

    def residuals(self, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.misfit(x) for name, x in points.items()}

    def misfit(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x * self.first[:, 0] + self.first[:, 1])
        return hidden @ self.last[:, 0] - torch.sin(4 * x[:, 0])


def sine(rows: int = 60, **more: Any) -> Objective:
    module = Sine()
    points = {"inside": torch.linspace(-1, 1, rows).double()[:, None], "edge": vector(-1, 1)[:, None]}
    return Objective(module, module.residuals, points, weights={"edge": 3.0}, **more)


@pytest.mark.parametrize("shape", [(30, 7), (5, 12)])
def test_linear_least_squares_are_solved_in_a_step(shape: tuple[int, int]) -> None:
    matrix, right = random(*shape), random(shape[0], seed=3)
    objective = minimisation(lambda x: matrix @ x - right, torch.zeros(shape[1]).double())
    (step,) = run(objective, LevenbergMarquardt(1, damping=1e-13))
    expected = torch.linalg.lstsq(matrix, right[:, None], driver="gelsd").solution[:, 0]
    torch.testing.assert_close(objective.vector, expected, rtol=1e-8, atol=1e-9)
    assert step.loss == pytest.approx(float((matrix @ expected - right).square().mean()), rel=1e-9, abs=1e-18)


@pytest.mark.parametrize(
    ("residual", "start", "steps"), [(rosenbrock, vector(-1.2, 1), 25), (powell, vector(3, -1, 0, 1), 40)]
)
def test_classical_minima_are_found(residual: Residual, start: Tensor, steps: int) -> None:
    taken = run(minimisation(residual, start), LevenbergMarquardt(steps), below=1e-20)
    assert taken[-1].loss < 1e-20
    losses = [step.loss for step in taken]
    assert losses == sorted(losses, reverse=True)


def test_both_systems_give_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for system in (normal_equations.Primal, normal_equations.Dual):
        monkeypatch.setattr(normal_equations, "Primal", system)
        monkeypatch.setattr(normal_equations, "Dual", system)
        objective = sine()
        run(objective, LevenbergMarquardt(3))
        ends.append(objective.vector)
    torch.testing.assert_close(*ends, rtol=1e-7, atol=1e-9)


def test_memory_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = sine(), sine()
    run(whole, LevenbergMarquardt(3))
    monkeypatch.setattr(normal_equations, "PART_BYTES", 2_000)
    assert len(list(scaled_jacobian(parts).parts())) > 3
    run(parts, LevenbergMarquardt(3))
    torch.testing.assert_close(parts.vector, whole.vector, rtol=1e-8, atol=1e-10)


def test_the_scaled_jacobian_is_that_of_the_loss() -> None:
    objective = sine()
    rows = scaled_jacobian(objective)
    evaluation = objective.evaluate()
    assert float(rows.residual().square().sum()) == pytest.approx(evaluation.loss, rel=1e-12)
    matrix = torch.cat(list(rows.parts()))
    torch.testing.assert_close(2 * matrix.t() @ rows.residual(), evaluation.gradient, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(2 * rows.transposed_times(rows.residual()), evaluation.gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 127, 128, 129, 500])
def test_the_lower_triangle_of_the_symmetric_product_is_that_of_the_product(columns: int) -> None:
    matrix = random(40, columns)
    torch.testing.assert_close(symmetric_product(matrix).tril(), (matrix.t() @ matrix).tril(), rtol=1e-12, atol=1e-12)


def test_acceleration_shortens_the_way_through_a_curved_valley(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {}
    for curved in (0.75, -1.0):
        monkeypatch.setattr(gauss_newton, "_CURVED", curved)
        counts[curved] = len(run(sine(), LevenbergMarquardt(400), below=1e-7))
    assert counts[0.75] < 0.75 * counts[-1.0]


def test_scaling_the_loss_does_not_change_the_path() -> None:
    vectors = []
    for factor in (1.0, 1e6):
        objective = sine()
        objective._given_weights = {"edge": 3.0 * factor, "inside": factor}
        objective.replace_points({})
        run(objective, LevenbergMarquardt(5))
        vectors.append(objective.vector)
    torch.testing.assert_close(*vectors, rtol=1e-6, atol=1e-8)


def test_a_loaded_state_continues_bit_for_bit() -> None:
    whole, half, rest = sine(), sine(), sine()
    run(whole, LevenbergMarquardt(9))
    stepper = LevenbergMarquardt(9).start(half)
    for _ in range(4):
        stepper.step(half)
    rest.vector = half.vector
    again = LevenbergMarquardt(9).start(rest)
    again.load(stepper.state())
    for _ in range(5):
        again.step(rest)
    assert torch.equal(rest.vector, whole.vector)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(20))
def test_faults_at_random_evaluations_spoil_no_parameter_and_do_not_stop_the_descent(seed: int) -> None:
    dice = np.random.default_rng(seed)
    module = Sine()
    faults = 0

    def faulty(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        nonlocal faults
        found = module.residuals(points)
        if dice.random() < 0.2:
            faults += 1
            bad = (math.nan, math.inf)[faults % 2]
            return {name: torch.where(torch.arange(len(r)) == 0, bad * r, r) for name, r in found.items()}
        return found

    objective = Objective(module, faulty, {"inside": torch.linspace(-1, 1, 40).double()[:, None]})

    def misfit() -> float:
        return float(module.misfit(torch.linspace(-1, 1, 40).double()[:, None]).detach().square().mean())

    start = misfit()
    stepper = LevenbergMarquardt(100).start(objective)
    for _ in range(200):
        stepper.step(objective)
        assert objective.vector.isfinite().all()
    assert faults >= 100
    assert misfit() < 1e-2 * start


def test_a_start_that_is_not_finite_is_reported_and_kept() -> None:
    objective = minimisation(lambda x: torch.log(x), vector(-1.0, 2.0))
    (step,) = run(objective, LevenbergMarquardt(1))
    assert math.isnan(step.loss) and torch.equal(objective.vector, vector(-1.0, 2.0))


def test_the_ends_are_told_apart() -> None:
    assert run(minimisation(lambda x: 0 * x, vector(1.0)), LevenbergMarquardt(3))[-1].status is Status.CONVERGED
    above = minimisation(lambda x: torch.cat([x - 1, x + 1]), vector(5.0))
    assert run(above, LevenbergMarquardt(50))[-1].status is Status.CONVERGED
    assert float(above.vector) == pytest.approx(0, abs=1e-7)


def test_time_that_is_up_ends_the_search_for_a_damping() -> None:
    start = vector(0.5)
    objective = minimisation(lambda x: torch.where(x == start, x, x + 100), start)  # every step is a failure
    step = LevenbergMarquardt(1).start(objective).step(objective, expired=lambda: True)
    assert step.evaluations == 2 and step.status is None and torch.equal(objective.vector, start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"damping": 0.0}, "damping=0.0"),
        ({"resample": -1}, "resample=-1"),
        ({"dtype": "half"}, "dtype="),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        LevenbergMarquardt(**{"steps": 1, **arguments})
