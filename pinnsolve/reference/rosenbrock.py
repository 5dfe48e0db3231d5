"""Rodas5P: a linearly implicit integrator for M y' = f(t, y), where a singular M makes some rows algebraic constraints.

With W = M/(h gamma) - f_y every stage costs one solution of a linear system,

    W U_i = f(t + c_i h, y + sum_j a_ij U_j) + M sum_j (C_ij / h) U_j + h d_i f_t,      y_1 = y + sum_j b_j U_j,

in the form without matrix products of Hairer and Wanner, Solving ODEs II, IV.7. The method has 8 stages, order 5, an embedded
solution of order 4 whose difference is U_8, is stiffly accurate and L-stable, and keeps order 4 on parabolic problems with
boundary values that depend on time: Steinebach, Construction of Rosenbrock-Wanner method Rodas5P, BIT 63 (2023), table 1.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pinnsolve.reference.factors import Factor, factor_by_columns
from pinnsolve.reference.finite_differences import Array

_GAMMA = 0.21193756319429014
_A = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
_C = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ),
)
_NODES = (0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0)
_RATES = (_GAMMA, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734, 2.325825639765069, 0.0, 0.0, 0.0)
# The last stages sit at the end of the step, each corrected by the one before.
_STAGES = (*_A, (*_A[5], 1.0), (*_A[5], 1.0, 1.0))
_SUM = (*_A[5], 1.0, 1.0, 1.0)

_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 2.0  # slow growth: the accepted steps carry a spline
_SMALLEST = 1e-13
"""The smallest step, relative to the span: below it the solution has ceased to exist or to be smooth."""


class StepTooSmallError(ArithmeticError):
    """The error control asks for steps below rounding: a blow-up, or rows without a solution."""


class OutOfTimeError(TimeoutError):
    """The deadline came before the end of the span."""


@dataclass(frozen=True)
class Path:
    """The accepted steps.

    Args:
        times: Increasing, from the start to the end of the span.
        states: One state a row.
    """

    times: Array
    states: Array


def integrate(
    right: Callable[[float, Array], Array],
    jacobian: Callable[[float, Array], sparse.csc_array],
    rate: Callable[[float, Array], Array],
    *,
    mass: sparse.csc_array,
    start: Array,
    span: tuple[float, float],
    tolerance: float,
    longest: float,
    deadline: float,
    factor: Factor = factor_by_columns,
) -> Path:
    """Follow M y' = f(t, y) over a span with steps whose estimated error stays below a tolerance.

    Args:
        right: The right-hand side f(t, y).
        jacobian: f_y(t, y), always with one pattern.
        rate: f_t(t, y).
        mass: The matrix M.
        start: A state that satisfies the algebraic rows.
        span: First and last time.
        tolerance: Error allowed in a step, relative to the root mean square of the state so far.
        longest: The longest step.
        deadline: Value of `time.monotonic` at which to give up.
        factor: How the matrices of the steps are factored.

    Returns:
        Every accepted step.

    Raises:
        StepTooSmallError: No step is small enough.
        OutOfTimeError: The deadline has come.
    """
    time, state = span[0], np.array(start, dtype=np.float64)
    length = span[1] - span[0]
    step = min(longest, 1e-3 * length)
    times, states = [time], [state]
    scale = np.abs(state)
    slope, drift = jacobian(time, state), rate(time, state)
    while span[1] - time > _SMALLEST * length:
        if clock.monotonic() > deadline:
            raise OutOfTimeError(f"the time limit came at {time:g}")
        if step < _SMALLEST * length:
            raise StepTooSmallError(f"no step is small enough at {time:.6g}")
        step = min(step, longest, span[1] - time)
        with np.errstate(over="ignore", invalid="ignore"):  # a step that fails is repeated with a shorter one
            trial, error = _step(right, mass, slope, drift, time, state, step, factor)
            largest = np.maximum(scale, np.abs(trial))
            size = _ratio(error, tolerance * (largest + _typical(largest)))
        stretch = min(_GROW, max(_SHRINK, _SAFETY * size**-0.2)) if size > 0 else _GROW
        if np.isfinite(size) and size <= 1.0:
            time, state, scale = time + step, trial, largest
            times.append(time)
            states.append(state)
            slope, drift = jacobian(time, state), rate(time, state)
        step *= stretch if np.isfinite(size) else _SHRINK
    times[-1] = span[1]
    return Path(np.array(times), np.array(states))


def _step(
    right: Callable[[float, Array], Array],
    mass: sparse.csc_array,
    slope: sparse.csc_array,
    drift: Array,
    time: float,
    state: Array,
    step: float,
    factor: Factor,
) -> tuple[Array, Array]:
    """Return the state after a step and its estimated error; both are NaN where a stage cannot be evaluated."""
    nothing = np.full_like(state, np.nan)
    matrix = (mass / (step * _GAMMA) - slope).tocsc()
    if not np.isfinite(matrix.data).all():
        return nothing, nothing
    try:
        factors = factor(matrix)
    except RuntimeError:  # exactly singular: no constraint fixes some unknown
        return nothing, nothing
    stages: list[Array] = []
    for a, c, node, weight in zip(_STAGES, _C, _NODES, _RATES, strict=True):
        stage = state + sum((x * u for x, u in zip(a, stages, strict=True)), np.zeros_like(state))
        known = right(time + node * step, stage) + step * weight * drift
        if stages:
            known = known + mass @ (sum((x * u for x, u in zip(c, stages, strict=True)), np.zeros_like(state)) / step)
        if not np.isfinite(known).all():
            return nothing, nothing
        stages.append(factors.solve(known))
    return state + sum((x * u for x, u in zip(_SUM, stages, strict=True)), np.zeros_like(state)), stages[-1]


def _typical(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2))) or 1.0


def _ratio(error: Array, allowed: Array) -> float:
    return float(np.sqrt(np.mean((error / allowed) ** 2))) if len(error) else 0.0
