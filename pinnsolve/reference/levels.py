"""From unknown values on one grid to functions of the coordinates."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from sympy import Symbol

from pinnsolve.problem import Problem
from pinnsolve.reference.collocation import Layout
from pinnsolve.reference.finite_differences import Array, Axis
from pinnsolve.reference.method_of_lines import Evolution, march
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.refinement import difference
from pinnsolve.reference.result import GridFunction, Level, comparison_grid, interpolate
from pinnsolve.reference.rosenbrock import OutOfTimeError, Path
from pinnsolve.reference.state import State
from pinnsolve.reference.steady import BoundaryValues, solve_steady

_CHEAP_SECONDS, _WORTH_SECONDS = 1.0, 5.0
_TIMES = 64


def evolution_level(
    problem: Problem,
    evolution: Evolution,
    *,
    cells: Mapping[int, int],
    tolerance: float,
    steps: int,
    deadline: float,
    first: bool = True,
    state: State | None = None,
) -> Level:
    """Return the solution of an evolution on one grid, with the error of the time steps on the first and while that costs little.

    The error is measured by a second run with a looser tolerance.

    Args:
        problem: The declaration.
        evolution: The same, read.
        cells: Intervals of every space coordinate.
        tolerance: Of the time steps.
        steps: The least number of time steps.
        deadline: Value of `time.monotonic` at which to give up.
        first: No coarser grid has measured the error of the time steps.
        state: A known state, beside which the rest is sought.
    """
    began = clock.monotonic()
    run = partial(march, evolution, cells, deadline=deadline, state=state)
    layout, path = run(tolerance=tolerance, steps=steps)
    low, high = evolution.bounds[evolution.time]
    sides = [
        np.linspace(low, high, _TIMES + 1)
        if c == evolution.time
        else _nodes(evolution.bounds[c], cells[c], kinked=evolution.kinked)
        for c in range(len(evolution.bounds))
    ]
    label = _label(problem.coordinates, cells) if cells else f"{len(path.times) - 1} steps"
    level = Level(label, cells, _evolving(problem, evolution, layout, path), comparison_grid(sides)[0])
    # Finer grids fall back on the error of the first one. Beside a known state it is worth more time to measure it anew:
    # the samples of the state are halved with the steps, and the error is relative to a small rest.
    worth = _CHEAP_SECONDS if state is None else _WORTH_SECONDS
    if not cells or (not first and clock.monotonic() - began > worth):
        return level
    # Steps twice as long in a method of order five: the error grows 32 times; two thirds of that are believed.
    try:
        layout, loose = run(tolerance=32 * tolerance, steps=steps // 2)
    except (OutOfTimeError, UnresolvedError):
        return level
    loosened = replace(level, functions=_evolving(problem, evolution, layout, loose))
    gaps = difference(level, loosened, points=level.points)
    return replace(level, time_error={name: gap / 20 for name, gap in gaps.items()})


def steady_level(
    problem: Problem,
    values: BoundaryValues,
    *,
    cells: Mapping[int, int],
    previous: Level | None,
    state: State | None = None,
) -> Level:
    """Return the solution of a boundary-value problem on one grid, with the one before as a first guess.

    Args:
        problem: The declaration.
        values: The same, read.
        cells: Intervals of every coordinate.
        previous: The grid before.
        state: A known state, beside which the rest is sought.
    """
    layout = values.layout(cells)
    start = None if previous is None else _resampled(problem, layout, previous)
    solved, free = solve_steady(values, layout, start=start, state=state)
    names = [f.func.__name__ for f in problem.fields]
    functions = {
        name: _spline(solved[layout.numbers(k)], layout.axes[k], layout, kinked=values.kinked)
        for k, name in enumerate(names)
    }
    sides = [_nodes(values.bounds[c], cells[c], kinked=values.kinked) for c in range(len(values.bounds))]
    points, _ = comparison_grid(sides)
    return Level(_label(problem.coordinates, cells), cells, functions, points, frozenset(names[k] for k in free))


def _evolving(problem: Problem, evolution: Evolution, layout: Layout, path: Path) -> dict[str, GridFunction]:
    functions = {}
    for number, f in enumerate(problem.fields):
        unknown = evolution.fields.index((number, 0))
        values = path.states[:, layout.numbers(unknown).ravel()].reshape(-1, *layout.shapes[unknown])
        axes: dict[int, Axis | Array] = {evolution.time: path.times, **layout.axes[unknown]}
        if problem.coordinates[evolution.time] not in f.args:
            values, axes = values[-1], dict(layout.axes[unknown])
        functions[f.func.__name__] = _spline(values, axes, layout, kinked=evolution.kinked)
    return functions


def _resampled(problem: Problem, layout: Layout, previous: Level) -> Array:
    parts = []
    for number, f in enumerate(problem.fields):
        places = layout.places(number)
        sides = [places.get(c, np.zeros(1)) for c in range(len(problem.coordinates))]
        parts.append(previous.functions[f.func.__name__](comparison_grid(sides)[0]))
    return np.concatenate(parts)


def _spline(values: Array, axes: Mapping[int, Axis | Array], layout: Layout, *, kinked: bool) -> GridFunction:
    return interpolate(
        values, axes, kinked=frozenset(layout.space) if kinked else frozenset(), accuracy=layout.accuracy
    )


def _nodes(ends: tuple[float, float], cells: int, *, kinked: bool) -> Array:
    """Return the nodes, and the midpoints where it is the interpolation between them that limits the accuracy."""
    return np.linspace(*ends, cells * (2 if kinked else 1) + 1)


def _label(coordinates: tuple[Symbol, ...], cells: Mapping[int, int]) -> str:
    return ", ".join(f"{coordinates[c]} {count}" for c, count in cells.items())
