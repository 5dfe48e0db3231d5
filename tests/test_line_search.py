"""Line searches on functions of one variable, where the Wolfe conditions can be checked outright."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pinnsolve.training.line_search import SearchResult, strong_wolfe
from pinnsolve.training.objective import Evaluation

Curve = Callable[[float], tuple[float, float]]


def search(curve: Curve, **options: Any) -> SearchResult:
    def evaluate(step: float) -> tuple[Evaluation, float]:
        loss, slope = curve(step)
        return Evaluation(loss, torch.tensor([slope], dtype=torch.float64), abs(slope), {}), slope

    return strong_wolfe(evaluate, *curve(0.0), **options)


def satisfies_wolfe(curve: Curve, step: float, c1: float, c2: float) -> bool:
    (start, slope), (loss, end) = curve(0.0), curve(step)
    return loss <= start + c1 * step * slope and abs(end) <= -c2 * slope


def rational(t: float) -> tuple[float, float]:
    """Moré & Thuente (1994), eq. 5.1."""
    return -t / (t * t + 2), (t * t - 2) / (t * t + 2) ** 2


def quintic(t: float) -> tuple[float, float]:
    """Moré & Thuente (1994), eq. 5.2."""
    a = t + 0.004
    return a**5 - 2 * a**4, 5 * a**4 - 8 * a**3


def rippled(t: float) -> tuple[float, float]:
    """Moré & Thuente (1994), eq. 5.3, with beta 0.01 and 39 ripples."""
    beta, ripples = 0.01, 39
    if t <= 1 - beta:
        base, slope = 1 - t, -1.0
    elif t >= 1 + beta:
        base, slope = t - 1, 1.0
    else:
        base, slope = (t - 1) ** 2 / (2 * beta) + beta / 2, (t - 1) / beta
    angle = ripples * math.pi / 2 * t
    return (
        base + 2 * (1 - beta) / (ripples * math.pi) * math.sin(angle),
        slope + (1 - beta) * math.cos(angle),
    )


def yanai(first: float, second: float) -> Curve:
    """Moré & Thuente (1994), eq. 5.4: two sharp bends."""

    def gamma(beta: float) -> float:
        return math.sqrt(1 + beta**2) - beta

    def curve(t: float) -> tuple[float, float]:
        left, right = math.hypot(1 - t, second), math.hypot(t, first)
        return (
            gamma(first) * left + gamma(second) * right,
            gamma(first) * (t - 1) / left + gamma(second) * t / right,
        )

    return curve


@pytest.mark.parametrize("first_step", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize(
    ("curve", "c1", "c2"),
    [
        (rational, 1e-3, 0.1),
        (quintic, 0.1, 0.1),
        (rippled, 0.1, 0.1),
        (yanai(1e-3, 1e-3), 1e-3, 1e-3),
        (yanai(1e-2, 1e-3), 1e-3, 1e-3),
        (yanai(1e-3, 1e-2), 1e-3, 1e-3),
    ],
)
def test_the_conditions_hold_on_the_functions_of_more_and_thuente(
    curve: Curve, c1: float, c2: float, first_step: float
) -> None:
    result = search(curve, step=first_step, c1=c1, c2=c2)
    assert result.ok
    assert satisfies_wolfe(curve, result.step, c1, c2)
    assert result.evaluation is not None
    assert result.evaluation.loss == curve(result.step)[0]


@given(
    a=st.floats(0.1, 10),
    b=st.floats(-3, 3),
    c=st.floats(-10, 10),
    d=st.floats(0.1, 10),
    first_step=st.floats(1e-4, 1e4),
)
def test_the_conditions_hold_on_any_quartic_that_falls_at_the_start(
    a: float, b: float, c: float, d: float, first_step: float
) -> None:
    def curve(t: float) -> tuple[float, float]:
        return a * t**4 + b * t**3 + c * t**2 - d * t, 4 * a * t**3 + 3 * b * t**2 + 2 * c * t - d

    result = search(curve, step=first_step, max_evaluations=40)
    assert satisfies_wolfe(curve, result.step, 1e-4, 0.9)


@given(minimum=st.floats(1e-3, 1e3), scale=st.floats(1e-6, 1e6))
def test_the_second_trial_minimises_a_quadratic_that_the_first_overshot(minimum: float, scale: float) -> None:
    first_step = 2.5 * minimum
    result = search(lambda t: (scale * (t - minimum) ** 2, 2 * scale * (t - minimum)), step=first_step, c1=1e-4, c2=0.1)
    assert result.evaluations == 2
    assert result.step == pytest.approx(minimum, rel=1e-9)


def test_a_step_that_satisfies_the_conditions_costs_one_evaluation() -> None:
    assert search(lambda t: ((t - 1) ** 2, 2 * (t - 1)), step=0.9).evaluations == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 0.0])
@pytest.mark.parametrize("slope", [math.nan, math.inf, -math.inf])
def test_trials_that_are_not_finite_are_rejected(loss: float, slope: float) -> None:
    def curve(t: float) -> tuple[float, float]:
        return ((t - 0.01) ** 2, 2 * (t - 0.01)) if t < 0.05 else (loss, slope)

    result = search(curve, step=1.0)
    assert result.ok
    assert satisfies_wolfe(curve, result.step, 1e-4, 0.9)


def test_losses_equal_to_rounding_are_told_apart_by_their_slopes() -> None:
    def curve(t: float) -> tuple[float, float]:
        return 1.0 + 1e-16 * math.sin(1e6 * t), 2e-20 * (t - 1)

    noisy = search(curve, step=4.0, rounding=1e-13, c2=0.1)
    assert noisy.ok
    assert noisy.step == pytest.approx(1.0, abs=0.1)
    assert not search(lambda t: (1.0 + 3e-16 * (t > 0), 2e-20 * (t - 1)), step=4.0, rounding=0.0).ok


def test_a_rise_above_rounding_is_never_accepted() -> None:
    result = search(lambda t: (1.0 + 1e-9 * t, -1e-9), step=1.0, rounding=1e-13, max_evaluations=5)
    assert not result.ok
    assert result.step == 0
    assert result.evaluation is None


def test_the_lowest_point_is_kept_when_no_trial_satisfies_the_conditions() -> None:
    curve = yanai(1e-3, 1e-3)
    result = search(curve, step=1e-4, c1=1e-3, c2=1e-9, max_evaluations=6)
    assert result.evaluations == 6
    assert result.ok
    assert curve(result.step)[0] < curve(0.0)[0]


def test_a_slope_that_contradicts_the_loss_ends_the_search_without_a_step() -> None:
    result = search(lambda t: (t, -1.0), step=1.0)
    assert (result.ok, result.step, result.evaluation) == (False, 0, None)
    assert result.evaluations <= 20


def test_time_is_up_after_the_first_trial_but_not_before() -> None:
    result = search(lambda t: ((t - 1e-6) ** 2, 2 * (t - 1e-6)), step=1.0, expired=lambda: True)
    assert result.evaluations == 1
    assert not result.ok


@pytest.mark.parametrize("slope", [0.0, 1.0, math.nan])
def test_a_direction_that_does_not_descend_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="descent"):
        search(lambda t: (t, slope))


@given(scale=st.integers(-200, 200), stretch=st.integers(-50, 50), first_step=st.floats(0.01, 100))
def test_scaling_the_loss_or_the_direction_by_powers_of_two_changes_no_digit(
    scale: int, stretch: int, first_step: float
) -> None:
    def scaled(t: float) -> tuple[float, float]:
        loss, slope = yanai(1e-2, 1e-3)(t * 2.0**stretch)
        return loss * 2.0**scale, slope * 2.0 ** (scale + stretch)

    plain = search(yanai(1e-2, 1e-3), step=first_step, c2=0.1)
    assume(plain.ok)
    other = search(scaled, step=first_step * 2.0**-stretch, c2=0.1)
    assert other.step * 2.0**stretch == plain.step
    assert other.evaluations == plain.evaluations
