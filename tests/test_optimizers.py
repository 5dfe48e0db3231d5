"""Adam: against torch's own to the last digit, and what it does when something goes wrong."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.objective import Objective, Points
from pinnsolve.training.optimizers import Adam, Decay, constant, warm_stable_decay


def rosenbrock(dtype: torch.dtype = torch.float64) -> Objective:
    x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=dtype))
    module = nn.ParameterDict({"x": x})
    return Objective(module, lambda _: {"valley": 10 * (x[1:] - x[:-1] ** 2), "wall": 1 - x}, {})


def faulty(bad: float, *, when: int, loss_too: bool) -> Objective:
    """A parabola whose gradient, and on request whose loss, is not finite at one evaluation."""
    x = nn.Parameter(torch.tensor([3.0, -2.0], dtype=torch.float64))
    calls = 0

    def residuals(_: Points) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        residual = x * 1.0
        if calls == when and loss_too:
            return {"r": residual * bad}
        if calls == when:
            residual.register_hook(lambda gradient: gradient * bad)
        return {"r": residual}

    return Objective(nn.ParameterDict({"x": x}), residuals, {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay", [constant, warm_stable_decay])
def test_parameters_are_those_of_torch_to_rounding(dtype: torch.dtype, decay: Decay) -> None:
    steps, lr = 200, 3e-2
    ours, theirs = rosenbrock(dtype), rosenbrock(dtype)
    stepper = Adam(steps, lr, betas=(0.8, 0.99), eps=1e-6, decay=decay).start(ours)
    x = theirs.vector.requires_grad_()
    optimizer = torch.optim.Adam([x], lr=lr, betas=(0.8, 0.99), eps=1e-6)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * decay(step / steps)
        x.grad = theirs.evaluate(x.detach()).gradient
        optimizer.step()
        rate = stepper.step(ours).rate
        assert rate == optimizer.param_groups[0]["lr"]
    assert torch.allclose(ours.vector, x.detach(), rtol=100 * torch.finfo(dtype).eps, atol=0)


def test_the_returned_loss_belongs_to_the_parameters_it_leaves() -> None:
    objective, other = rosenbrock(), rosenbrock()
    stepper = Adam(10).start(objective)
    for _ in range(10):
        step = stepper.step(objective)
        assert step.loss == other.evaluate(objective.vector).loss


def test_a_step_costs_one_evaluation_and_the_first_and_every_restart_one_more() -> None:
    objective = rosenbrock()
    stepper = Adam(10).start(objective)
    counts = [stepper.step(objective).evaluations for _ in range(3)]
    stepper.restart(objective)
    counts += [stepper.step(objective).evaluations for _ in range(2)]
    assert counts == [2, 1, 1, 2, 1]


def test_a_clipped_gradient_has_the_same_direction_and_the_given_length() -> None:
    clipped, scaled = rosenbrock(), rosenbrock()
    evaluation = scaled.evaluate()
    Adam(1, decay=constant, clip=1e-3, eps=1.0).start(clipped).step(clipped)
    unit = evaluation.gradient / evaluation.gradient_norm * 1e-3
    expected = scaled.vector - 1e-3 * unit / (unit.abs() + 1.0)
    assert torch.allclose(clipped.vector, expected, rtol=1e-13)


def test_it_finds_the_minimum_of_a_quadratic_whatever_its_scale() -> None:
    x = nn.Parameter(torch.ones(3, dtype=torch.float64))
    scale = torch.tensor([1.0, 30.0, 1000.0], dtype=torch.float64)
    objective = Objective(nn.ParameterDict({"x": x}), lambda _: {"r": scale * x}, {})
    stepper = Adam(500, 3e-2).start(objective)
    for _ in range(500):
        stepper.step(objective)
    assert float(objective.vector.abs().max()) < 1e-6


def test_the_default_decay_rises_to_one_and_falls_to_a_hundredth() -> None:
    rates = [warm_stable_decay(done / 1000) for done in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert set(rates[20:701]) == {1.0}
    assert rates[-1] == pytest.approx(0.01)
    assert all(a < b for a, b in pairwise(rates[:21]))
    assert all(a > b for a, b in pairwise(rates[701:]))
    assert max(abs(a - b) for a, b in pairwise(rates)) < 0.06


@pytest.mark.parametrize("moment", [0, 1, 17])
def test_a_loaded_state_continues_bit_for_bit(moment: int) -> None:
    phase = Adam(40, 1e-2, clip=1.0)
    straight, first, second = rosenbrock(), rosenbrock(), rosenbrock()
    stepper = phase.start(straight)
    expected = [stepper.step(straight) for _ in range(40)]
    before = phase.start(first)
    for _ in range(moment):
        before.step(first)
    state = before.state()
    second.vector = first.vector
    before.step(first)  # the state is a copy: going on does not change it
    after = phase.start(second)
    after.load(state)
    assert [after.step(second) for _ in range(40 - moment)] == expected[moment:]
    assert torch.equal(second.vector, straight.vector)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("when", [1, 2, 5])
@pytest.mark.parametrize("loss_too", [True, False])
def test_a_loss_or_gradient_that_is_not_finite_is_reported_and_spoils_no_parameter(
    bad: float, when: int, loss_too: bool
) -> None:
    objective = faulty(bad, when=when, loss_too=loss_too)
    stepper = Adam(10, 0.1).start(objective)
    losses = []
    for _ in range(6):
        losses.append(stepper.step(objective).loss)
        assert objective.vector.isfinite().all()
    assert any(math.isnan(loss) for loss in losses)
    stepper.damp(objective, 0.5)
    assert math.isfinite(stepper.step(objective).loss)
    assert objective.vector.isfinite().all()


def test_damping_lowers_the_rate_and_forgets_the_momentum() -> None:
    objective = rosenbrock()
    stepper = Adam(10, 1e-2, decay=constant).start(objective)
    assert stepper.step(objective).rate == 1e-2
    stepper.damp(objective, 0.5)
    stepper.damp(objective, 0.5)
    assert not torch.as_tensor(stepper.state()["mean"]).any()
    assert stepper.step(objective).rate == 2.5e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"Adam · steps=0 · .*at least 1"),
        ({"steps": 5, "lr": -1e-3}, r"lr=-0\.001"),
        ({"steps": 5, "lr": math.nan}, r"lr=nan"),
        ({"steps": 5, "betas": (0.9, 1.0)}, r"betas"),
        ({"steps": 5, "eps": 0.0}, r"eps"),
        ({"steps": 5, "clip": 0.0}, r"clip"),
        ({"steps": 5, "resample": -1}, r"resample"),
        ({"steps": 5, "dtype": "float16"}, r"dtype='float16' · .*float32.*float64"),
    ],
)
def test_arguments_without_a_meaning_are_refused_when_written(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        Adam(**arguments)
