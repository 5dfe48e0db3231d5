"""Grids refined until the error is known: Richardson's estimate with the observed order.

With differences d_1 between the two finest grids and d_2 between the next two, each grid twice as fine as the one before, the
observed order is p = log2(d_2 / d_1) and the error of the finest is about d_1 / (2^p - 1) (Roache, Annual Review of Fluid
Mechanics 29, 1997, section 4). An order above that of the formulas is luck and is not believed; one below 1/2 is taken as 1/2,
and no estimate is below rounding.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.result import GridRow, Level, relative_l2
from pinnsolve.reference.rosenbrock import OutOfTimeError

Grid = TypeVar("Grid")

_LEAST_ORDER = 0.5
_ROUNDING = 1e-14
"""No error is estimated below this: what double precision loses over hundreds of steps or nodes, which two grids may lose alike."""

_CLOSE = 1e-5
_TRIALS = 3
GOALS, _CHEAP_SECONDS = (1e-5, 1e-8), 2.0
"""Refine to the first error; go on to the second while a grid is expected to take less than this."""


@dataclass(frozen=True)
class Step:
    """The relative L2 differences of the fields to the next coarser grid, and those of that grid to the one before.

    Both are taken at the points of the coarser of the two finest grids: points of a grid that misses a layer miss its error.
    """

    last: Mapping[str, float]
    before: Mapping[str, float]


@dataclass(frozen=True)
class Refinement:
    """Solutions on finer and finer grids.

    Args:
        levels: Coarsest first.
        steps: From each grid to the next.
        accuracy: The order of the formulas, of fields for which a level has no other.
        rounding: The least error that is estimated.
        refused: A grid had no solution.
    """

    levels: tuple[Level, ...]
    steps: tuple[Step, ...]
    accuracy: int
    rounding: float = _ROUNDING
    refused: bool = False

    @property
    def error(self) -> dict[str, float]:
        """The estimated relative L2 error of each field on the finest grid, NaN with fewer than two grids."""
        if not self.steps:
            return dict.fromkeys(self.levels[-1].functions, math.nan)
        time_error = next((level.time_error for level in reversed(self.levels) if level.time_error), {})
        result = {}
        for name, last in self.steps[-1].last.items():
            order = observed_order(last, self.steps[-1].before.get(name, 2 * last))
            highest = float(self.levels[-1].orders.get(name, self.accuracy))
            believed = min(max(order, _LEAST_ORDER), highest) if math.isfinite(order) else _LEAST_ORDER
            result[name] = max(last / (2**believed - 1) + time_error.get(name, 0.0), self.rounding)
        return result

    @property
    def table(self) -> tuple[GridRow, ...]:
        """One row a grid, with the largest difference over the fields and its observed order."""
        rows = [GridRow(self.levels[0].label, math.nan, math.nan)]
        for level, step in zip(self.levels[1:], self.steps, strict=True):
            largest = max(step.last, key=lambda name: step.last[name])
            order = observed_order(step.last[largest], step.before.get(largest, math.nan))
            rows.append(GridRow(level.label, step.last[largest], order))
        return tuple(rows)

    @property
    def rounds(self) -> bool:
        """Whether rounding has begun to win: close grids, and the last one is further from its neighbour than that from its own."""
        if len(self.steps) < 2:
            return False
        last, before = max(self.steps[-1].last.values()), max(self.steps[-1].before.values())
        return before < min(last, _CLOSE)

    def with_level(self, level: Level) -> Refinement:
        """Return the refinement with one more grid."""
        if not self.levels:
            return replace(self, levels=(level,))
        previous = self.levels[-1]
        last = difference(level, previous, points=previous.points)
        before = difference(previous, self.levels[-2], points=previous.points) if len(self.levels) > 1 else {}
        return replace(self, levels=(*self.levels, level), steps=(*self.steps, Step(last, before)))


def observed_order(finer: float, coarser: float) -> float:
    """Return log2 of the ratio of two successive differences, NaN where it does not exist."""
    return math.log2(coarser / finer) if finer > 0 and coarser > 0 else math.nan


def difference(fine: Level, coarse: Level, *, points: Array) -> dict[str, float]:
    """Return the relative L2 difference of each field between two grids, at points."""
    result = {}
    for name, function in fine.functions.items():
        values = function(points)
        result[name] = relative_l2(coarse.functions[name](points) - values, values, free_constant=name in fine.free)
    return result


def refine(
    solve: Callable[[Grid, Level | None], Level],
    grids: Iterable[Grid],
    *,
    accuracy: int,
    all_grids: bool,
    growth: float,
    deadline: float,
    rounding: float = _ROUNDING,
    goals: tuple[float, float] = GOALS,
) -> Refinement:
    """Solve on finer and finer grids until the estimated error is small or the time is near its end.

    Args:
        solve: Returns the solution on a grid, with the one before as a first guess.
        grids: Coarsest first.
        accuracy: The order of the formulas.
        all_grids: Stop for time only.
        growth: Factor of cost from a grid to the next.
        deadline: Value of `time.monotonic` at which the time is over.
        rounding: The least error that is estimated.
        goals: Refine to the first estimated error; go on to the second while a grid is expected to take little time.

    Raises:
        OutOfTimeError: Not even the first grid was done in time.
        UnresolvedError: No grid has a solution.
    """
    done = Refinement((), (), accuracy, rounding)
    refused: list[UnresolvedError] = []
    for grid in grids:
        if done.levels:
            expected = growth * done.levels[-1].seconds
            goal = goals[expected < _CHEAP_SECONDS]
            small = len(done.levels) > 2 and max(done.error.values()) <= goal and not all_grids
            if small or clock.monotonic() + expected > deadline:
                break
        began = clock.monotonic()
        try:
            level = solve(grid, done.levels[-1] if done.levels else None)
        except OutOfTimeError:
            if not done.levels:
                raise
            break
        except UnresolvedError as error:
            refused.append(error)  # a nonlinear problem may have its solution on fine grids only
            done = replace(done, refused=True)
            if done.levels or len(refused) == _TRIALS or clock.monotonic() > deadline:
                break
            continue
        finer = done.with_level(replace(level, seconds=clock.monotonic() - began))
        if finer.rounds and not all_grids:
            break
        done = finer
    if refused and not done.levels:
        raise refused[-1]
    return done
