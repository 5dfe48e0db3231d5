"""Quasi-Newton methods: on quadratics, Rosenbrock and Powell, against SciPy, and under faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Step
from pinnsolve.training.quasi_newton import BFGS, LBFGS, SSBFGS, SSBroyden, _Dense
from pinnsolve.training.status import Status

Residual = Callable[[Tensor], Tensor]


def minimisation(residual: Residual, start: Tensor) -> Objective:
    x = nn.Parameter(start.detach().clone())
    return Objective(nn.ParameterDict({"x": x}), lambda _: {"r": residual(x)}, {})


def run(objective: Objective, phase: LBFGS | _Dense, *, below: float = -1.0) -> list[Step]:
    stepper = phase.start(objective)
    taken: list[Step] = []
    while len(taken) < phase.steps and not (taken and (taken[-1].status or taken[-1].loss < below)):
        taken.append(stepper.step(objective))
        assert objective.vector.isfinite().all()
    return taken


def rosenbrock(x: Tensor) -> Tensor:
    return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def powell(x: Tensor) -> Tensor:
    """Powell's singular function: the Hessian has rank two at the minimum."""
    a, b, c, d = x
    return torch.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def wood(x: Tensor) -> Tensor:
    a, b, c, d = x
    return torch.stack(
        [10 * (b - a * a), 1 - a, 90**0.5 * (d - c * c), 1 - c, 10**0.5 * (b + d - 2), (b - d) / 10**0.5]
    )


def orthogonal(size: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def quadratic(size: int, condition: float) -> Residual:
    matrix = torch.logspace(0, math.log10(condition) / 2, size, dtype=torch.float64)[:, None] * orthogonal(size)
    return lambda x: matrix @ (x - 1)


def vector(*entries: float) -> Tensor:
    return torch.tensor(entries, dtype=torch.float64)


ZOO = {
    "rosenbrock 2": (rosenbrock, vector(-1.2, 1)),
    "rosenbrock 10": (rosenbrock, vector(-1.2, 1).repeat(5)),
    "rosenbrock 100": (rosenbrock, vector(-1.2, 1).repeat(50)),
    "powell": (powell, vector(3, -1, 0, 1)),
    "wood": (wood, vector(-3, -1, -3, -1)),
    "quadratic 1e4": (quadratic(20, 1e4), torch.zeros(20).double()),
    "quadratic 1e8": (quadratic(20, 1e8), torch.zeros(20).double()),
}


@pytest.mark.parametrize("name", ZOO)
def test_minima_are_found_with_no_more_evaluations_than_scipy_needs(name: str) -> None:
    residual, start = ZOO[name]
    below = 1e-12
    taken = run(minimisation(residual, start), LBFGS(3_000), below=below)
    assert taken[-1].loss < below

    class Reached(Exception):
        pass

    other, theirs = minimisation(residual, start), 0

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal theirs
        theirs += 1
        evaluation = other.evaluate(torch.from_numpy(x))
        if evaluation.loss < below:
            raise Reached
        return evaluation.loss, evaluation.gradient.numpy()

    with pytest.raises(Reached):
        minimize(
            loss_and_gradient,
            start.numpy(),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 100, "maxiter": 3_000, "ftol": 0, "gtol": 0},
        )
    assert sum(step.evaluations for step in taken) <= 1.5 * theirs


@pytest.mark.parametrize("name", ZOO)
def test_self_scaled_broyden_finds_the_minima_too(name: str) -> None:
    assert run(minimisation(*ZOO[name]), SSBroyden(1_000), below=1e-20)[-1].loss < 1e-20


@pytest.mark.parametrize("phase", [LBFGS(300), SSBroyden(300)])
@pytest.mark.parametrize("name", ZOO)
def test_no_step_raises_the_loss_beyond_rounding(name: str, phase: LBFGS | _Dense) -> None:
    losses = [step.loss for step in run(minimisation(*ZOO[name]), phase)]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(losses))


@pytest.mark.parametrize(("phase", "below"), [(LBFGS(2_000), 1e-8), (SSBroyden(1_000), 1e-14)])
def test_a_small_network_fits_a_sine(phase: LBFGS | _Dense, below: float) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    x = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]
    objective = Objective(network, lambda points: {"fit": (network(points["x"]) - torch.sin(3 * x))[:, 0]}, {"x": x})
    objective.vector = 0.5 * torch.randn(objective.size, generator=generator, dtype=torch.float64)
    assert run(objective, phase, below=below)[-1].loss < below


@pytest.mark.parametrize("phase", [LBFGS(10), SSBroyden(10)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_rotating_the_parameters_rotates_the_path(phase: LBFGS | _Dense, seed: int) -> None:
    turn = orthogonal(4, seed)
    start = 1e-2 * vector(3, -1, 0, 1)  # so close that the first step is the gradient itself, in any coordinates
    plain, turned = minimisation(powell, start), minimisation(lambda x: powell(turn.mT @ x), turn @ start)
    a, b = run(plain, phase), run(turned, phase)
    assert [step.evaluations for step in a] == [step.evaluations for step in b]
    assert torch.allclose(turn @ plain.vector, turned.vector, atol=1e-9)


@pytest.mark.parametrize("phase", [LBFGS(40), SSBroyden(40)])
@pytest.mark.parametrize("factor", [2.0**10, 2.0**-4])
def test_scaling_the_loss_changes_no_digit_of_the_path(factor: float, phase: LBFGS | _Dense) -> None:
    start = vector(-1.2, 1).repeat(5)
    plain, scaled = minimisation(rosenbrock, start), minimisation(lambda x: factor * rosenbrock(x), start)
    run(plain, phase), run(scaled, phase)
    assert torch.equal(plain.vector, scaled.vector)


@pytest.mark.parametrize("phase", [LBFGS(50, 7), SSBroyden(50)])
@pytest.mark.parametrize("moment", [0, 1, 4, 30])
def test_a_loaded_state_continues_bit_for_bit(moment: int, phase: LBFGS | _Dense) -> None:
    start = vector(-1.2, 1).repeat(5)
    straight, first, second = (minimisation(rosenbrock, start) for _ in range(3))
    stepper = phase.start(straight)
    expected = [stepper.step(straight) for _ in range(50)]
    before = phase.start(first)
    for _ in range(moment):
        before.step(first)
    state = before.state()
    second.vector = first.vector
    before.step(first)  # the state is a copy: going on does not change it
    after = phase.start(second)
    after.load(state)
    assert [after.step(second) for _ in range(50 - moment)] == expected[moment:]
    assert torch.equal(second.vector, straight.vector)


class Fault:
    """Rosenbrock's function that goes wrong at chosen evaluations: in its value, or only in its gradient."""

    def __init__(self, bad: float, *, hit: Callable[[int], bool], gradient_only: bool) -> None:
        self.bad, self.hit, self.gradient_only, self.calls = bad, hit, gradient_only, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        residual = rosenbrock(x)
        if not self.hit(self.calls):
            return residual
        if self.gradient_only:
            residual.register_hook(lambda gradient: gradient * self.bad)
            return residual
        return residual * self.bad


@pytest.mark.parametrize("phase", [LBFGS(600), SSBroyden(600)])
@settings(max_examples=25, deadline=None)
@given(
    bad=st.sampled_from([math.nan, math.inf, 1e200]),
    gradient_only=st.booleans(),
    seed=st.integers(0, 10**6),
    every=st.integers(3, 20),
)
def test_faults_at_random_evaluations_spoil_no_parameter_and_do_not_stop_the_descent(
    phase: LBFGS | _Dense, bad: float, gradient_only: bool, seed: int, every: int
) -> None:
    draws = torch.randint(every, (20_000,), generator=torch.Generator().manual_seed(seed)).tolist()
    fault = Fault(bad, hit=lambda call: call > 1 and draws[call] == 0, gradient_only=gradient_only)
    taken = run(minimisation(fault, vector(-1.2, 1)), phase, below=1e-10)
    assert taken[-1].loss < 1e-10


@pytest.mark.parametrize("phase", [LBFGS(20), SSBroyden(20)])
def test_when_a_whole_search_fails_the_curvature_is_forgotten_and_the_gradient_followed(
    phase: LBFGS | _Dense,
) -> None:
    failing = range(0)
    fault = Fault(math.nan, hit=lambda call: call in failing, gradient_only=False)
    objective = minimisation(fault, vector(-1.2, 1))
    stepper = phase.start(objective)
    before = [stepper.step(objective) for _ in range(10)][-1]
    failing = range(fault.calls + 1, fault.calls + 21)
    step = stepper.step(objective)
    assert step.status is None
    assert step.loss < before.loss
    assert step.evaluations > 20
    assert stepper.state()["updates"] == 1


@pytest.mark.parametrize("gradient_only", [True, False])
def test_a_start_that_is_not_finite_is_reported(gradient_only: bool) -> None:
    start = vector(-1.2, 1)
    objective = minimisation(Fault(math.nan, hit=lambda call: True, gradient_only=gradient_only), start)
    step = LBFGS(5).start(objective).step(objective)
    assert math.isnan(step.loss)
    assert torch.equal(objective.vector, start)


def beside_a_wall(x: Tensor) -> Tensor:
    """Not a number where a coordinate is negative; the minimum is above zero."""
    return torch.stack([10 * x[0].log(), 1 - x[1], (x[0] * x[1]).sqrt()])


@pytest.mark.parametrize("phase", [LBFGS(200), SSBroyden(200)])
@pytest.mark.parametrize("start", [vector(1e-3, 5), vector(3, 0.1), vector(0.5, 0.5), vector(20, 30), vector(2, 4)])
def test_the_minimum_beside_a_wall_is_found_and_the_end_is_noticed(start: Tensor, phase: LBFGS | _Dense) -> None:
    objective = minimisation(beside_a_wall, start)
    taken = run(objective, phase)
    assert taken[-1].status is Status.CONVERGED
    assert objective.evaluate().gradient_norm < 1e-6
    assert len(taken) < 60


@pytest.mark.parametrize("phase", [LBFGS(1), SSBroyden(1)])
def test_a_gradient_that_does_not_change_teaches_nothing(phase: LBFGS | _Dense) -> None:
    objective = minimisation(lambda x: (1e9 - x).sqrt(), vector(0.0))
    stepper = phase.start(objective)
    step = stepper.step(objective)
    assert step.loss < 1e9
    assert stepper.state()["updates"] == 0


def test_a_zero_loss_and_a_short_gradient_have_converged() -> None:
    assert run(minimisation(lambda x: x - 1, torch.ones(3).double()), LBFGS(5))[-1].status is Status.CONVERGED
    objective = minimisation(rosenbrock, vector(-1.2, 1))
    taken = run(objective, LBFGS(100, tolerance_gradient=1e-3))
    assert taken[-1].status is Status.CONVERGED
    assert 1e-9 < objective.evaluate().gradient_norm <= 1e-3


@pytest.mark.parametrize("phase", [LBFGS(200), SSBroyden(200)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_minimum_above_zero_ends_at_rounding_level(dtype: torch.dtype, phase: LBFGS | _Dense) -> None:
    residual = lambda x: torch.cat([rosenbrock(x), x.new_ones(1)])  # noqa: E731
    objective = minimisation(residual, torch.tensor([-1.2, 1.0], dtype=dtype))
    taken = run(objective, phase)
    assert taken[-1].status in (Status.CONVERGED, Status.STALLED)
    assert taken[-1].loss == pytest.approx(1 / 3, rel=10 * torch.finfo(dtype).eps)
    assert sum(step.evaluations for step in taken) < 200


def test_a_gradient_of_the_wrong_sign_is_found_out() -> None:
    def residual(x: Tensor) -> Tensor:
        result = x * 1.0
        result.register_hook(lambda gradient: -gradient)
        return result

    start = vector(3, 4)
    objective = minimisation(residual, start)
    taken = run(objective, LBFGS(10))
    assert taken[-1].status is Status.NO_DESCENT
    assert torch.equal(objective.vector, start)


def test_time_that_is_up_inside_a_search_ends_it_within_one_evaluation() -> None:
    objective = minimisation(rosenbrock, vector(-1.2, 1))
    stepper = LBFGS(5).start(objective)
    step = stepper.step(objective, expired=lambda: True)
    assert step.evaluations <= 2
    assert step.status is None
    assert step.loss == objective.evaluate().loss


def test_a_restart_evaluates_again_and_keeps_the_memory() -> None:
    objective = minimisation(quadratic(20, 1e4), torch.zeros(20).double())
    stepper = LBFGS(100).start(objective)
    for _ in range(30):
        stepper.step(objective)
    stepper.restart(objective)
    step = stepper.step(objective)
    assert step.evaluations == 2
    assert step.rate == 1.0


def test_damping_forgets_the_memory_and_shortens_the_first_step() -> None:
    objective = minimisation(quadratic(20, 1e4), torch.zeros(20).double())
    stepper = LBFGS(100).start(objective)
    for _ in range(5):
        stepper.step(objective)
    stepper.damp(objective, 2.0**-20)
    before = objective.vector
    assert stepper.step(objective, expired=lambda: True).evaluations == 2
    assert stepper.state()["updates"] == 1
    assert float((objective.vector - before).norm()) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"LBFGS · steps=0"),
        ({"steps": 5, "history": 0}, r"history=0"),
        ({"steps": 5, "c1": 0.95}, r"c1=0\.95"),
        ({"steps": 5, "c2": 1.0}, r"c2=1\.0"),
        ({"steps": 5, "tolerance_gradient": -1.0}, r"tolerance_gradient"),
        ({"steps": 5, "resample": -3}, r"resample"),
        ({"steps": 5, "dtype": "double"}, r"dtype='double'"),
    ],
)
def test_arguments_without_a_meaning_are_refused_when_written(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        LBFGS(**arguments)


@pytest.mark.parametrize("phase", [BFGS, SSBFGS])
def test_on_a_quadratic_with_exact_searches_it_ends_in_as_many_steps_as_parameters(phase: type[BFGS | SSBFGS]) -> None:
    """Nocedal & Wright, theorem 6.4: H is then the inverse Hessian; the first trials find the minimum of a parabola exactly."""
    size = 6
    residual = quadratic(size, 1e2)
    objective = minimisation(residual, torch.zeros(size).double())
    stepper = phase(size, c1=1e-12, c2=1e-9).start(objective)
    losses = [stepper.step(objective).loss for _ in range(size)]
    assert losses[-1] < 1e-14 < 1e-6 < losses[-2]
    if phase is BFGS:
        matrix = torch.func.jacrev(residual)(objective.vector)
        hessian = 2 / size * matrix.mT @ matrix
        torch.testing.assert_close(stepper.state()["matrix"], hessian.inverse(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("phase", [BFGS(3_000), SSBFGS(3_000)])
@pytest.mark.parametrize("name", ZOO)
def test_every_member_of_the_family_finds_the_minima(name: str, phase: _Dense) -> None:
    residual, start = ZOO[name]
    assert run(minimisation(residual, start), phase, below=1e-12)[-1].loss < 1e-12
