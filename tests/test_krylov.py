"""Krylov methods: conjugate gradients, Nyström sketches, and Gauss-Newton steps by them: dense solutions, counts, resumption."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from sympy import Eq, pi, sin, symbols
from test_gauss_newton import minimisation, powell, random, rosenbrock, run, sine, vector
from test_quasi_newton import orthogonal
from torch import Tensor

import pinnsolve as ps
from pinnsolve.errors import ProblemError
from pinnsolve.training.krylov import GaussNewtonCG, Nystrom, conjugate_gradients, nystrom
from pinnsolve.training.normal_equations import scaled_jacobian
from pinnsolve.training.status import Status


def decaying(size: int = 200) -> Tensor:
    """A symmetric matrix whose eigenvalues fall by a decade every ten."""
    basis = orthogonal(size)
    return basis @ torch.diag(10.0 ** -(torch.arange(size).double() / 10)) @ basis.mT


def sketch(matrix: Tensor, rank: int, seed: int = 0) -> Nystrom:
    generator = torch.Generator().manual_seed(seed)
    found = nystrom(lambda v: matrix @ v, len(matrix), rank, like=matrix, generator=generator)
    assert found is not None
    return found


def plain(vector: Tensor) -> Tensor:
    return vector


def test_conjugate_gradients_solve_and_tell_their_residual() -> None:
    matrix, right = decaying(30) + 0.1 * torch.eye(30).double(), random(30)
    found = conjugate_gradients(lambda v: matrix @ v, right, precondition=plain, iterations=100, tolerance=1e-12)
    torch.testing.assert_close(found.solution, torch.linalg.solve(matrix, right), rtol=1e-9, atol=1e-10)
    early = conjugate_gradients(lambda v: matrix @ v, right, precondition=plain, iterations=3, tolerance=0)
    assert early.iterations == 3
    torch.testing.assert_close(early.residual, right - matrix @ early.solution, rtol=1e-10, atol=1e-12)
    assert early.solution.dot(right) > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_conjugate_gradients_end_with_what_they_have_where_products_are_unsound(bad: float) -> None:
    matrix, right, count = decaying(30), random(30), 0

    def times(v: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return matrix @ v * (bad if count == 4 else 1)

    found = conjugate_gradients(times, right, precondition=plain, iterations=50, tolerance=0)
    assert found.iterations == 3 and bool(found.solution.isfinite().all()) and found.solution.dot(right) > 0


def test_the_sketch_of_a_matrix_of_low_rank_is_the_matrix() -> None:
    factor = random(40, 5)
    matrix = factor @ factor.mT
    found = sketch(matrix, 8)
    torch.testing.assert_close(found.basis @ torch.diag(found.values) @ found.basis.mT, matrix, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(found.basis.mT @ found.basis, torch.eye(8).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.values[:5], torch.linalg.eigvalsh(matrix).flip(0)[:5], rtol=1e-8, atol=1e-8)


def test_the_preconditioner_is_the_printed_one() -> None:
    found, damping, v = sketch(decaying(30), 6), 1e-3, random(30, seed=2)
    basis, values = found.basis, found.values
    inverse = (values[-1] + damping) * basis @ torch.diag(1 / (values + damping)) @ basis.mT
    inverse += torch.eye(30).double() - basis @ basis.mT
    torch.testing.assert_close(found.precondition(v, damping=damping), inverse @ v, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_preconditioner_saves_most_iterations_where_eigenvalues_decay(seed: int) -> None:
    matrix, right, damping = decaying(), random(200, seed=seed), 1e-5
    found = sketch(matrix, 60, seed=seed)
    counts = {}
    for name, precondition in {
        "without": plain,
        "with": lambda v: found.precondition(v, damping=damping),
    }.items():
        solved = conjugate_gradients(
            lambda v: matrix @ v + damping * v, right, precondition=precondition, iterations=2_000, tolerance=1e-8
        )
        counts[name] = solved.iterations
    assert counts["with"] < 0.1 * counts["without"]


def test_products_that_are_not_finite_or_nothing_give_no_sketch() -> None:
    for factor in (math.nan, math.inf, 0.0):
        generator = torch.Generator().manual_seed(0)
        assert nystrom(partial(torch.mul, torch.tensor(factor)), 9, 3, like=vector(0.0), generator=generator) is None


@pytest.mark.parametrize("rank", [0, 10])
def test_with_enough_iterations_the_step_is_that_of_the_dense_system(rank: int) -> None:
    objective, damping = sine(), 1e-2
    stepper = GaussNewtonCG(2, iterations=500, rank=rank, tolerance=1e-13, resample=0).start(objective)
    rows = scaled_jacobian(objective)
    residual, matrix = rows.residual(), torch.cat(list(rows.parts()))
    normal = matrix.mT @ matrix + damping * torch.eye(matrix.shape[1]).double()
    expected = -torch.linalg.solve(normal, matrix.mT @ residual)
    stepper.load({**stepper.state(), "damping": damping})
    before = objective.vector
    stepper.step(objective)
    torch.testing.assert_close(objective.vector - before, expected, rtol=1e-8, atol=1e-8)


def test_points_in_several_chunks_change_nothing() -> None:
    whole, parts = sine(), sine(chunk=20)
    assert len(parts.chunks) > 1
    for objective in (whole, parts):
        run(objective, GaussNewtonCG(3, iterations=100, rank=5, tolerance=1e-12))
    torch.testing.assert_close(parts.vector, whole.vector, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("residual", "start", "steps"), [(rosenbrock, vector(-1.2, 1), 40), (powell, vector(3, -1, 0, 1), 60)]
)
def test_classical_minima_are_found(residual: Any, start: Tensor, steps: int) -> None:
    taken = run(minimisation(residual, start), GaussNewtonCG(steps, rank=2, tolerance=1e-10), below=1e-20)
    losses = [step.loss for step in taken]
    assert losses[-1] < 1e-20 and losses == sorted(losses, reverse=True)


def test_a_loaded_state_continues_bit_for_bit_across_a_new_sketch() -> None:
    phase = GaussNewtonCG(14, iterations=6, rank=4, seed=3)
    whole, half, rest = sine(), sine(), sine()
    run(whole, phase)
    stepper = phase.start(half)
    for _ in range(8):
        stepper.step(half)
    rest.vector = half.vector
    again = phase.start(rest)
    again.load(stepper.state())
    for _ in range(6):
        again.step(rest)
    assert torch.equal(rest.vector, whole.vector)


def test_another_seed_draws_another_sketch() -> None:
    values = []
    for seed in (0, 0, 1):
        objective = sine()
        stepper = GaussNewtonCG(1, rank=4, seed=seed).start(objective)
        stepper.step(objective)
        values.append(torch.as_tensor(stepper.state()["values"]))
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


def test_time_that_is_up_ends_the_iterations() -> None:
    objective = sine()
    step = GaussNewtonCG(1, rank=0).start(objective).step(objective, expired=lambda: True)
    assert step.evaluations == 2 and step.status is None


def test_a_minimum_above_zero_is_told() -> None:
    above = minimisation(lambda x: torch.cat([x - 1, x + 1]), vector(5.0))
    assert run(above, GaussNewtonCG(50, rank=1))[-1].status is Status.CONVERGED
    assert float(above.vector) == pytest.approx(0, abs=1e-6)


def test_poisson_is_solved() -> None:
    x, y = symbols("x y")
    u = ps.fields("u", x, y)
    square = ps.Box({x: (0, 1), y: (0, 1)})
    exact = sin(pi * x) * sin(pi * y)
    problem = ps.Problem(
        domain=square,
        equations={"poisson": Eq(ps.laplacian(u, x, y), -2 * pi**2 * exact)},
        conditions={"boundary": ps.on(square.boundary, Eq(u, 0))},
    )
    training = ps.Training(points={"poisson": 200}, phases=[ps.Adam(50, lr=5e-3), ps.GaussNewtonCG(15, rank=20)])
    solution = ps.solve(problem, ps.MLP(width=20, depth=2), training, ps.Exact({u: exact}), compile="off", threads=1)
    assert solution.errors["u"]["relative_l2"] < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, r"GaussNewtonCG · steps=0"),
        ({"damping": 0.0}, r"damping=0\.0"),
        ({"iterations": 0}, r"iterations=0"),
        ({"rank": -1}, r"rank=-1"),
        ({"tolerance": 1.0}, r"tolerance=1\.0"),
        ({"seed": -1}, r"seed=-1"),
        ({"resample": -1}, r"resample=-1"),
        ({"dtype": "half"}, r"dtype="),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        GaussNewtonCG(**{"steps": 1, **arguments})
