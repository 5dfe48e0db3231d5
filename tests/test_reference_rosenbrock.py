"""The integrator on problems without space: its order, its constraints, its tolerance, its refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pinnsolve.reference.rosenbrock import OutOfTimeError, Path, StepTooSmallError, integrate


def _follow(
    right: Any,
    jacobian: Any,
    rate: Any,
    mass: Any,
    start: Any,
    *,
    tolerance: float,
    longest: float = math.inf,
    end: float = 2.0,
    deadline: float = math.inf,
) -> Path:
    return integrate(
        right,
        lambda t, y: sparse.csc_array(jacobian(t, y)),
        rate,
        mass=sparse.csc_array(np.diag(mass)),
        start=np.array(start),
        span=(0.0, end),
        tolerance=tolerance,
        longest=longest,
        deadline=deadline,
    )


def _pendulum(**options: Any) -> Path:
    """y'' = -sin y, with the conserved energy as the oracle of the last step."""
    return _follow(
        lambda t, y: np.array([y[1], -np.sin(y[0])]),
        lambda t, y: np.array([[0.0, 1.0], [-np.cos(y[0]), 0.0]]),
        lambda t, y: np.zeros(2),
        [1.0, 1.0],
        [1.0, 0.5],
        **options,
    )


def test_fixed_steps_converge_with_order_five() -> None:
    finest = _pendulum(tolerance=1e-14).states[-1]
    errors = []
    for steps in (8, 16, 32, 64):
        path = _pendulum(tolerance=1e3, longest=2.0 / steps)
        assert np.diff(path.times).max() <= 2.0 / steps * (1 + 1e-12)
        errors.append(np.linalg.norm(path.states[-1] - finest))
    assert np.log2(errors[0] / errors[3]) / 3 == pytest.approx(5, abs=0.6)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8, 1e-10])
def test_the_error_follows_the_tolerance(tolerance: float) -> None:
    states = _pendulum(tolerance=tolerance).states
    energy = states[:, 1] ** 2 / 2 - np.cos(states[:, 0])
    assert np.abs(energy - energy[0]).max() < 20 * tolerance


def test_algebraic_rows_and_stiff_forcing_keep_the_accuracy() -> None:
    # y' = -1000 (y - cos t) - sin t + (z - y^2),  0 = z - y^2
    path = _follow(
        lambda t, y: np.array([-1e3 * (y[0] - np.cos(t)) - np.sin(t) + y[1] - y[0] ** 2, y[1] - y[0] ** 2]),
        lambda t, y: np.array([[-1e3 - 2 * y[0], 1.0], [-2 * y[0], 1.0]]),
        lambda t, y: np.array([-1e3 * np.sin(t) - np.cos(t), 0.0]),
        [1.0, 0.0],
        [1.0, 1.0],
        tolerance=1e-9,
    )
    assert len(path.times) < 200
    np.testing.assert_allclose(path.states[:, 0], np.cos(path.times), atol=1e-8)
    np.testing.assert_allclose(path.states[:, 1], np.cos(path.times) ** 2, atol=1e-8)


def test_a_blow_up_is_refused_where_it_happens() -> None:
    with pytest.raises(StepTooSmallError, match=r"at 1$"):
        _follow(
            lambda t, y: y**2,
            lambda t, y: np.diag(2 * y),
            lambda t, y: np.zeros(1),
            [1.0],
            [1.0],
            tolerance=1e-6,
            end=1.5,
        )


def test_the_deadline_is_kept() -> None:
    with pytest.raises(OutOfTimeError):
        _pendulum(tolerance=1e-9, deadline=0.0)
