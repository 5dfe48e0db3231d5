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
from pinnsolve.training.inverse_hessian import InverseHessian, LimitedMemory, SelfScaledBroyden, self_scaling
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Step
from pinnsolve.training.quasi_newton import LBFGS, SSBroyden
from pinnsolve.training.status import Status

Residual = Callable[[Tensor], Tensor]


def minimisation(residual: Residual, start: Tensor) -> Objective:
    x = nn.Parameter(start.detach().clone())
    return Objective(nn.ParameterDict({"x": x}), lambda _: {"r": residual(x)}, {})


def run(objective: Objective, phase: LBFGS | SSBroyden, *, below: float = -1.0) -> list[Step]:
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


def pairs(size: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """Displacements and changes of gradient on one quadratic."""
    generator = torch.Generator().manual_seed(0)
    matrix = quadratic(size, 100.0)
    hessian = torch.stack([matrix(column + 1) for column in torch.eye(size).double()], dim=1)
    hessian = hessian.mT @ hessian
    steps = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return [(step, hessian @ step) for step in steps]


def two_loops(remembered: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """Nocedal & Wright, algorithm 7.4, as printed."""
    q, alphas = gradient.clone(), []
    for s, y in reversed(remembered):
        alphas.append(s.dot(q) / s.dot(y))
        q -= alphas[-1] * y
    s, y = remembered[-1]
    r = q * s.dot(y) / y.dot(y)
    for (s, y), alpha in zip(remembered, reversed(alphas), strict=True):
        r += s * (alpha - y.dot(r) / s.dot(y))
    return r


def limited(size: int, history: int) -> InverseHessian:
    return LimitedMemory(torch.zeros(size, dtype=torch.float64), history)


def self_scaled(size: int) -> InverseHessian:
    return SelfScaledBroyden(torch.zeros(size, dtype=torch.float64))


def learned(inverse: InverseHessian, met: list[tuple[Tensor, Tensor]]) -> InverseHessian:
    """Teach pairs as a method would meet them: every displacement s is -t H g for the gradient g = -H^-1 s and t = 1."""
    for s, y in met:
        gradient = -torch.linalg.solve(dense(inverse, len(s)), s) if not inverse.empty else s
        inverse.update(s, y, gradient=gradient, step=1.0)
    return inverse


def dense(inverse: InverseHessian, size: int) -> Tensor:
    return torch.stack([inverse.apply(column) for column in torch.eye(size).double()], dim=1)


@pytest.mark.parametrize("count", [1, 3, 7, 8, 20, 29])
def test_the_limited_memory_is_the_two_loop_recursion_over_the_last_pairs(count: int) -> None:
    met = pairs(12, count)
    gradient = torch.ones(12).double()
    assert torch.allclose(learned(limited(12, 7), met).apply(gradient), two_loops(met[-7:], gradient), rtol=1e-10)


@pytest.mark.parametrize("count", [1, 5, 30])
@pytest.mark.parametrize("build", [lambda: limited(12, 10), lambda: self_scaled(12)])
def test_inverse_hessians_are_symmetric_positive_and_satisfy_the_last_secant_equation(
    build: Callable[[], InverseHessian], count: int
) -> None:
    met = pairs(12, count)
    inverse = learned(build(), met)
    matrix = dense(inverse, 12)
    assert torch.allclose(matrix, matrix.mT, rtol=1e-9, atol=1e-9 * float(matrix.abs().max()))
    assert torch.linalg.eigvalsh(matrix).min() > 0
    assert torch.allclose(inverse.apply(met[-1][1]), met[-1][0], rtol=1e-8)


@pytest.mark.parametrize("build", [lambda: limited(12, 10), lambda: self_scaled(12)])
def test_an_inverse_hessian_that_was_reset_is_as_good_as_new(build: Callable[[], InverseHessian]) -> None:
    met = pairs(12, 6)
    used, new = learned(build(), met), build()
    used.reset()
    assert used.empty
    assert torch.equal(dense(learned(used, met[:2]), 12), dense(learned(new, met[:2]), 12))


def test_the_self_scaled_update_is_the_published_one() -> None:
    (s, y), (first_s, first_y) = pairs(6, 2)
    inverse = learned(self_scaled(6), [(first_s, first_y)])
    h = dense(inverse, 6)
    gradient, step = -torch.linalg.solve(h, s) / 0.25, 0.25
    b = float(s @ torch.linalg.solve(h, s) / (s @ y))
    tau, phi = self_scaling(b, float(y @ h @ y / (s @ y)), size=6)
    inverse.update(s, y, gradient=gradient, step=step)
    v = (y @ h @ y).sqrt() * (s / (s @ y) - h @ y / (y @ h @ y))
    expected = (h - torch.outer(h @ y, h @ y) / (y @ h @ y) + phi * torch.outer(v, v)) / tau
    assert torch.allclose(dense(inverse, 6), expected + torch.outer(s, s) / (s @ y), rtol=1e-10)
    assert (tau, phi) != (1.0, 1.0)


def test_with_neither_scaling_nor_mixing_the_update_is_that_of_bfgs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.training.inverse_hessian.self_scaling", lambda b, h, size: (1.0, 1.0))
    met = pairs(8, 3)
    inverse = learned(self_scaled(8), met[:-1])
    h, (s, y) = dense(inverse, 8), met[-1]
    project = torch.eye(8).double() - torch.outer(s, y) / (s @ y)
    expected = project @ h @ project.mT + torch.outer(s, s) / (s @ y)  # Nocedal & Wright, eq. 6.17
    assert torch.allclose(dense(learned(inverse, met[-1:]), 8), expected, rtol=1e-10)


@given(b=st.floats(1e-8, 1e8), excess=st.floats(0, 1e8), size=st.integers(1, 10_000))
def test_self_scaling_never_enlarges_the_hessian_and_keeps_it_positive(b: float, excess: float, size: int) -> None:
    h = (1 + excess) / b
    tau, phi = self_scaling(b, h, size=size)
    assert 0 < tau <= 1
    assert phi * max(h * b - 1, 0) > -1  # Broyden's family is positive definite above this
    assert math.isfinite(phi)


def test_a_matrix_that_predicts_the_curvature_exactly_is_not_rescaled() -> None:
    assert self_scaling(1.0, 1.0, size=5) == (1.0, 1.0)


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
def test_no_step_raises_the_loss_beyond_rounding(name: str, phase: LBFGS | SSBroyden) -> None:
    losses = [step.loss for step in run(minimisation(*ZOO[name]), phase)]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(losses))


@pytest.mark.parametrize(("phase", "below"), [(LBFGS(2_000), 1e-8), (SSBroyden(1_000), 1e-14)])
def test_a_small_network_fits_a_sine(phase: LBFGS | SSBroyden, below: float) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    x = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]
    objective = Objective(network, lambda points: {"fit": (network(points["x"]) - torch.sin(3 * x))[:, 0]}, {"x": x})
    objective.vector = 0.5 * torch.randn(objective.size, generator=generator, dtype=torch.float64)
    assert run(objective, phase, below=below)[-1].loss < below


@pytest.mark.parametrize("phase", [LBFGS(10), SSBroyden(10)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_rotating_the_parameters_rotates_the_path(phase: LBFGS | SSBroyden, seed: int) -> None:
    turn = orthogonal(4, seed)
    start = 1e-2 * vector(3, -1, 0, 1)  # so close that the first step is the gradient itself, in any coordinates
    plain, turned = minimisation(powell, start), minimisation(lambda x: powell(turn.mT @ x), turn @ start)
    a, b = run(plain, phase), run(turned, phase)
    assert [step.evaluations for step in a] == [step.evaluations for step in b]
    assert torch.allclose(turn @ plain.vector, turned.vector, atol=1e-9)


@pytest.mark.parametrize("phase", [LBFGS(40), SSBroyden(40)])
@pytest.mark.parametrize("factor", [2.0**10, 2.0**-4])
def test_scaling_the_loss_changes_no_digit_of_the_path(factor: float, phase: LBFGS | SSBroyden) -> None:
    start = vector(-1.2, 1).repeat(5)
    plain, scaled = minimisation(rosenbrock, start), minimisation(lambda x: factor * rosenbrock(x), start)
    run(plain, phase), run(scaled, phase)
    assert torch.equal(plain.vector, scaled.vector)


@pytest.mark.parametrize("phase", [LBFGS(50, 7), SSBroyden(50)])
@pytest.mark.parametrize("moment", [0, 1, 4, 30])
def test_a_loaded_state_continues_bit_for_bit(moment: int, phase: LBFGS | SSBroyden) -> None:
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
    phase: LBFGS | SSBroyden, bad: float, gradient_only: bool, seed: int, every: int
) -> None:
    draws = torch.randint(every, (20_000,), generator=torch.Generator().manual_seed(seed)).tolist()
    fault = Fault(bad, hit=lambda call: call > 1 and draws[call] == 0, gradient_only=gradient_only)
    taken = run(minimisation(fault, vector(-1.2, 1)), phase, below=1e-10)
    assert taken[-1].loss < 1e-10


@pytest.mark.parametrize("phase", [LBFGS(20), SSBroyden(20)])
def test_when_a_whole_search_fails_the_curvature_is_forgotten_and_the_gradient_followed(
    phase: LBFGS | SSBroyden,
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
def test_the_minimum_beside_a_wall_is_found_and_the_end_is_noticed(start: Tensor, phase: LBFGS | SSBroyden) -> None:
    objective = minimisation(beside_a_wall, start)
    taken = run(objective, phase)
    assert taken[-1].status is Status.CONVERGED
    assert objective.evaluate().gradient_norm < 1e-6
    assert len(taken) < 60


@pytest.mark.parametrize("phase", [LBFGS(1), SSBroyden(1)])
def test_a_gradient_that_does_not_change_teaches_nothing(phase: LBFGS | SSBroyden) -> None:
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
def test_a_minimum_above_zero_ends_at_rounding_level(dtype: torch.dtype, phase: LBFGS | SSBroyden) -> None:
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
