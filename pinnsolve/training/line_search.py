"""Line search: a step length along a descent direction that satisfies the strong Wolfe conditions.

With phi(t) = L(x + t d) and phi'(0) < 0, a step t is accepted when

    phi(t) <= phi(0) + c1 t phi'(0)    and    |phi'(t)| <= c2 |phi'(0)|

(Nocedal & Wright, Numerical Optimization, 2nd ed., eq. 3.7). The search keeps an interval (low, high): low is the
lowest point found that satisfies the first condition, and phi falls from low towards high; their algorithms 3.5
(bracketing, high still open) and 3.6 (zoom) are the same loop. The next trial minimises the cubic through both ends
(eq. 3.59), kept away from the ends.

Close to a minimum the first condition drowns in rounding long before the gradient does. A trial whose loss differs from
phi(0) by no more than rounding is judged by its slope alone: the approximate Wolfe conditions of Hager & Zhang (2005),
SIAM J. Optim. 16, eq. 4.1-4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pinnsolve.training.objective import Evaluation
from pinnsolve.training.phase import Expired, never

_REJECTED = 0.1
"""Part of the way to a trial without a finite value that is tried next: such values mark an overflow, not a minimum."""

_MARGIN = 0.1
"""Least distance of a trial from both ends of the interval, relative to its length."""

_EXTRAPOLATION = (1.1, 10.0)
"""Bounds on a trial beyond the last while the interval is open, relative to the last."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a line search found.

    Attributes:
        step: The accepted step length, 0 when there is none.
        evaluation: Loss and gradient there; None at step 0.
        evaluations: Number of trials.
        ok: Whether the step is usable: the Wolfe conditions hold, or at least the loss decreased.
    """

    step: float
    evaluation: Evaluation | None
    evaluations: int
    ok: bool


@dataclass(frozen=True, eq=False)
class _Trial:
    step: float
    loss: float
    slope: float
    evaluation: Evaluation | None

    @property
    def finite(self) -> bool:
        # An entry of the gradient that is not finite makes the slope so too: no sum of infinities is finite.
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def strong_wolfe(
    evaluate: Callable[[float], tuple[Evaluation, float]],
    loss: float,
    slope: float,
    *,
    step: float = 1.0,
    c1: float = 1e-4,
    c2: float = 0.9,
    rounding: float = 0.0,
    max_evaluations: int = 20,
    expired: Expired = never,
) -> SearchResult:
    """Find a step length that satisfies the strong Wolfe conditions.

    Trials whose loss or slope is not finite are rejected and the step is shortened. When the conditions are met nowhere
    within the limits, the lowest point found is returned if it is lower than the start.

    Args:
        evaluate: From a step length to loss and gradient there, and the slope phi'.
        loss: phi(0).
        slope: phi'(0), negative.
        step: First trial.
        c1: Least decrease, as a part of what the slope at the start promises.
        c2: Largest slope, as a part of that at the start; larger than `c1`.
        rounding: Relative difference below which two losses are equal.
        max_evaluations: Number of trials at most.
        expired: Asked before every trial but the first; when true the search ends with what it has.

    Returns:
        The step with its evaluation.

    Raises:
        ValueError: The slope is not negative.
    """
    if not slope < 0:
        raise ValueError(f"A line search needs a descent direction; the slope is {slope}.")
    low = best = _Trial(0.0, loss, slope, None)
    high: _Trial | None = None
    count = 0
    while count < max_evaluations and not (count and expired()):
        evaluation, trial_slope = evaluate(step)
        count += 1
        trial = _Trial(step, evaluation.loss, trial_slope, evaluation)
        flat = trial.finite and abs(trial.loss - loss) <= rounding * abs(loss)
        decreased = flat or trial.loss <= loss + c1 * step * slope  # false for NaN
        if trial.finite and decreased and abs(trial.slope) <= -c2 * slope:
            return SearchResult(step, evaluation, count, True)
        if trial.finite and trial.loss < best.loss:
            best = trial
        if not trial.finite or not decreased or (trial.loss >= low.loss and not flat):
            high, previous = trial, low
        else:
            ahead = 1.0 if high is None else high.step - low.step
            if trial.slope * ahead >= 0:
                high = low
            low, previous = trial, low
        if high is None:
            step = _extrapolate(previous, low)
            continue
        step = _interpolate(low, high)
        if step in (low.step, high.step):
            break  # neighbouring numbers: nothing lies between them
    return SearchResult(best.step, best.evaluation, count, best.loss < loss)


def _extrapolate(previous: _Trial, last: _Trial) -> float:
    """Go on beyond the last trial, to the minimum of the cubic when that is a sensible distance away."""
    nearest, farthest = (factor * last.step for factor in _EXTRAPOLATION)
    minimum = _cubic_minimum(previous, last)
    return farthest if minimum is None or minimum <= last.step else min(max(minimum, nearest), farthest)


def _interpolate(low: _Trial, high: _Trial) -> float:
    """Choose the next trial inside the interval."""
    width = high.step - low.step
    if not high.finite:
        return low.step + _REJECTED * width
    minimum = _cubic_minimum(low, high)
    if minimum is None:
        return low.step + 0.5 * width
    fraction = (minimum - low.step) / width
    return low.step + min(max(fraction, _MARGIN), 1 - _MARGIN) * width


def _cubic_minimum(a: _Trial, b: _Trial) -> float | None:
    """Return the minimiser of the cubic with the losses and slopes of two trials (Nocedal & Wright, eq. 3.59)."""
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return None
    d2 = math.copysign(math.sqrt(square), b.step - a.step)
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return None
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / denominator
