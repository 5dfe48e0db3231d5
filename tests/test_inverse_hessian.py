"""Inverse Hessians: against the printed algorithms, the secant equation, and positive definiteness."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pinnsolve.training.inverse_hessian import (
    BroydenFamily,
    InverseHessian,
    LimitedMemory,
    Member,
    bfgs,
    self_scaled_bfgs,
    self_scaling,
)


def pairs(size: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """Displacements and changes of gradient on one quadratic."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT + 0.1 * torch.eye(size).double()
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
    return BroydenFamily(torch.zeros(size, dtype=torch.float64), self_scaling)


BUILDS: list[Callable[[], InverseHessian]] = [
    lambda: limited(12, 10),
    lambda: self_scaled(12),
    lambda: BroydenFamily(torch.zeros(12).double(), bfgs),
    lambda: BroydenFamily(torch.zeros(12).double(), self_scaled_bfgs),
]


def learned(inverse: InverseHessian, met: list[tuple[Tensor, Tensor]]) -> InverseHessian:
    """Teach pairs as a method would meet them: every displacement s is -t H g for the gradient g = -H^-1 s and t = 1."""
    for s, y in met:
        gradient = -torch.linalg.solve(dense(inverse, len(s)), s) if not inverse.empty else s
        inverse.update(s, before=gradient, after=gradient + y, step=1.0)
    return inverse


def dense(inverse: InverseHessian, size: int) -> Tensor:
    return torch.stack([inverse.apply(column) for column in torch.eye(size).double()], dim=1)


@pytest.mark.parametrize("count", [1, 3, 7, 8, 20, 29])
def test_the_limited_memory_is_the_two_loop_recursion_over_the_last_pairs(count: int) -> None:
    met = pairs(12, count)
    gradient = torch.ones(12).double()
    assert torch.allclose(learned(limited(12, 7), met).apply(gradient), two_loops(met[-7:], gradient), rtol=1e-10)


@pytest.mark.parametrize("count", [1, 5, 30])
@pytest.mark.parametrize("build", BUILDS)
def test_inverse_hessians_are_symmetric_positive_and_satisfy_the_last_secant_equation(
    build: Callable[[], InverseHessian], count: int
) -> None:
    met = pairs(12, count)
    inverse = learned(build(), met)
    matrix = dense(inverse, 12)
    assert torch.allclose(matrix, matrix.mT, rtol=1e-9, atol=1e-9 * float(matrix.abs().max()))
    assert torch.linalg.eigvalsh(matrix).min() > 0
    assert torch.allclose(inverse.apply(met[-1][1]), met[-1][0], rtol=1e-8)


@pytest.mark.parametrize("build", BUILDS)
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
    inverse.update(s, before=gradient, after=gradient + y, step=step)
    v = (y @ h @ y).sqrt() * (s / (s @ y) - h @ y / (y @ h @ y))
    expected = (h - torch.outer(h @ y, h @ y) / (y @ h @ y) + phi * torch.outer(v, v)) / tau
    assert torch.allclose(dense(inverse, 6), expected + torch.outer(s, s) / (s @ y), rtol=1e-10)
    assert (tau, phi) != (1.0, 1.0)


@pytest.mark.parametrize("member", [bfgs, self_scaled_bfgs])
@pytest.mark.parametrize("stretch", [0.3, 3.0])
def test_bfgs_is_the_printed_update_of_the_matrix_or_of_the_scaled_one(member: Member, stretch: float) -> None:
    met = pairs(8, 3)
    inverse = learned(BroydenFamily(torch.zeros(8).double(), member), met[:-1])
    h, (s, y) = dense(inverse, 8), met[-1]
    promised = s @ torch.linalg.solve(h, s)
    y = y * stretch * promised / (s @ y)  # a curvature greater or less than promised
    tau = min(1.0, 1 / (1 / stretch)) if member is self_scaled_bfgs else 1.0
    project = torch.eye(8).double() - torch.outer(s, y) / (s @ y)
    expected = project @ (h / tau) @ project.mT + torch.outer(s, s) / (s @ y)  # Nocedal & Wright, eq. 6.17
    assert torch.allclose(dense(learned(inverse, [(s, y)]), 8), expected, rtol=1e-9)


def test_self_scaled_bfgs_scales_by_the_curvature_met_and_only_down() -> None:
    assert self_scaled_bfgs(4.0, 1.0, size=3) == (0.25, 1.0)
    assert self_scaled_bfgs(0.5, 3.0, size=3) == self_scaled_bfgs(0.0, 3.0, size=3) == (1.0, 1.0)
    assert self_scaled_bfgs(math.inf, 1.0, size=3) == bfgs(4.0, 1.0, size=3) == (1.0, 1.0)


@given(b=st.floats(1e-8, 1e8), excess=st.floats(0, 1e8), size=st.integers(1, 10_000))
def test_self_scaling_never_enlarges_the_hessian_and_keeps_it_positive(b: float, excess: float, size: int) -> None:
    h = (1 + excess) / b
    tau, phi = self_scaling(b, h, size=size)
    assert 0 < tau <= 1
    assert phi * max(h * b - 1, 0) > -1  # Broyden's family is positive definite above this
    assert math.isfinite(phi)


def test_a_matrix_that_predicts_the_curvature_exactly_is_not_rescaled() -> None:
    assert self_scaling(1.0, 1.0, size=5) == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(12))
def test_the_member_of_the_family_is_the_one_whose_hessian_has_the_published_parameter(seed: int) -> None:
    """Invert the update: B+ = tau (B - Bs Bs'/s.Bs + theta s.Bs w w') + y y'/s.y, w = y/s.y - Bs/s.Bs, with theta as published."""
    generator = np.random.default_rng(seed)
    factor = generator.normal(size=(5, 5))
    inverse = factor @ factor.T + 0.1 * np.eye(5)
    hessian = np.linalg.inv(inverse)
    s = generator.normal(size=5)
    y = hessian @ s * generator.uniform(0.2, 5.0) + 0.3 * generator.normal(size=5)
    y *= np.sign(s @ y)
    bs, hy, sy = hessian @ s, inverse @ y, s @ y
    b, h = s @ bs / sy, y @ hy / sy
    a = h * b - 1
    rho = min(1.0, h * (1 - np.sqrt(a / (1 + a))))
    theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))

    tau, phi = self_scaling(float(b), float(h), size=5)

    v = np.sqrt(y @ hy) * (s / sy - hy / (y @ hy))
    updated = (inverse - np.outer(hy, hy) / (y @ hy) + phi * np.outer(v, v)) / tau + np.outer(s, s) / sy
    w = y / sy - bs / (s @ bs)
    direct = tau * (hessian - np.outer(bs, bs) / (s @ bs) + theta * (s @ bs) * np.outer(w, w)) + np.outer(y, y) / sy
    assert np.allclose(np.linalg.inv(updated), direct, rtol=1e-8, atol=1e-8 * np.abs(direct).max())
