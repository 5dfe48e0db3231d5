"""Grids refined until the error is known: Richardson's estimate with the observed order.

With differences d_1 between the two finest grids and d_2 between the next two, each grid twice as fine as the one before, the
observed order is p = log2(d_2 / d_1) and the error of the finest is about d_1 / (2^p - 1) (Roache, Annual Review of Fluid
Mechanics 29, 1997, section 4). An order above that of the formulas is luck and is not believed; one below 1/2 is taken as 1/2.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.result import GridFunction, GridRow, relative_l2

_LEAST_ORDER = 0.5


@dataclass(frozen=True)
class Level:
    """The solution on one grid.

    Args:
        label: The grid, for the table.
        functions: Each field by name.
        free: The fields that are fixed only up to a constant.
        seconds: What it took.
    """

    label: str
    functions: Mapping[str, GridFunction]
    free: frozenset[str]
    seconds: float


def differences(fine: Level, coarse: Level, points: Array) -> dict[str, float]:
    """Return the relative L2 difference of each field between two grids, at points."""
    result = {}
    for name, function in fine.functions.items():
        values = function(points)
        result[name] = relative_l2(coarse.functions[name](points) - values, values, free_constant=name in fine.free)
    return result


def observed_order(finer: float, coarser: float) -> float:
    """Return log2 of the ratio of two successive differences, NaN where it does not exist."""
    return math.log2(coarser / finer) if finer > 0 and coarser > 0 else math.nan


def estimate(steps: Sequence[Mapping[str, float]], *, accuracy: int) -> dict[str, float]:
    """Return the estimated relative L2 error of each field on the finest grid.

    Args:
        steps: Differences between successive grids, coarsest first.
        accuracy: The order of the formulas.

    Returns:
        NaN for every field when there is no difference; the difference itself when there is only one.
    """
    result = {}
    for name, last in steps[-1].items() if steps else ():
        order = observed_order(last, steps[-2][name]) if len(steps) > 1 else 1.0
        believed = min(max(order, _LEAST_ORDER), float(accuracy)) if math.isfinite(order) else _LEAST_ORDER
        result[name] = last / (2**believed - 1)
    return result


def table(levels: Sequence[Level], steps: Sequence[Mapping[str, float]]) -> tuple[GridRow, ...]:
    """Return one row a grid, with the largest difference over the fields and its observed order."""
    rows = []
    for k, level in enumerate(levels):
        largest = max(steps[k - 1].values()) if k else math.nan
        order = observed_order(largest, max(steps[k - 2].values())) if k > 1 else math.nan
        rows.append(GridRow(level.label, largest, order))
    return tuple(rows)


def worth_refining(levels: Sequence[Level], error: float, *, growth: float, goal: float, deadline: float) -> bool:
    """Return whether the next grid is wanted and can be afforded.

    Args:
        levels: So far.
        error: The estimated error; NaN asks for a next grid.
        growth: Factor of cost from a grid to the next.
        goal: The error at which refining stops.
        deadline: Value of `time.monotonic` at which the time is over.
    """
    expected = growth * levels[-1].seconds
    return not error <= goal and clock.monotonic() + expected < deadline


def sample(functions: Sequence[Array]) -> Array:
    """Return the points of a tensor grid (points, coordinates)."""
    return np.stack([m.ravel() for m in np.meshgrid(*functions, indexing="ij")], axis=1)
