"""One call for every kind of reference: closed forms, observations, grids, triangles, Fourier series or a stream function."""

from __future__ import annotations

import functools
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
from sympy import Symbol
from threadpoolctl import threadpool_limits

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.exact import Exact, exact_reference
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.finite_elements import FiniteElements, finite_element_reference
from pinnsolve.reference.forward import forward_problem, without_observations
from pinnsolve.reference.levels import evolution_level, steady_level
from pinnsolve.reference.measured import measured_reference
from pinnsolve.reference.method_of_lines import SingularStartError, find_time, read_evolution
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.reading import REMEDY, Reading, read
from pinnsolve.reference.refinement import GOALS, Refinement, refine
from pinnsolve.reference.rest import check_periods
from pinnsolve.reference.result import Level, Reference, comparison_grid, counts_within
from pinnsolve.reference.rosenbrock import OutOfTimeError
from pinnsolve.reference.spectral import Spectral, spectral_reference
from pinnsolve.reference.state import State
from pinnsolve.reference.steady import read_boundary_values
from pinnsolve.reference.stream_function import StreamFunction, stream_function_reference

_FIRST_CELLS = {1: 64, 2: 16, 3: 8}
_MOST_UNKNOWNS = {1: 200_000, 2: 300_000, 3: 40_000}
"""Unknowns beyond which the sparse LU of a grid no longer fits a minute and a few gigabytes, by space coordinates."""

_GROWTH = {0: 2.0, 1: 2.5, 2: 8.0, 3: 64.0}
"""Factor in the cost of a sparse LU when the cells double, by space coordinates: n, n^(3/2), n^2."""

_MOST_COORDINATES = 4
_FEWEST_CELLS = 8
_ORDERS, _USUAL_ORDER, _ORDER_AT_JUMPS = (2, 4, 6), 4, 2
"""Orders of the formulas: a derivative of order m reads up to m + 2, m + 4 or m + 6 nodes."""

_TOLERANCE = 1e-9
_TOLERANCE_OF_REST, _GOALS_OF_REST = 1e-6, (1e-2, 1e-3)
"""What is sought beside a known state is itself an error: a hundredth of it is known well enough."""

_ODE_TOLERANCE, _ODE_ORDER, _ODE_LEVELS = 1e-8, 5, (0, 1, 2)
"""Without space, every level halves the steps of a method of order five: the tolerance by 32, and the longest step by 2, without
which a smooth solution would take the same steps on all levels and its error seem zero."""

_WORTHLESS = 0.5
"""Estimated relative error of a solution that nobody can use."""

_FEWEST_STEPS = 64
_TIMES = 100


@dataclass(frozen=True)
class FiniteDifferences:
    """Solve the problem by finite differences compiled from the same declaration.

    Args:
        cells: Intervals of the finest grid for each space coordinate; chosen, and refined until the estimated error is about
            1e-5 or less, when omitted. A number for the coordinate of evolution is the least number of time steps.
        order: Order of the formulas in space, 2, 4 or 6; when omitted 4, and 2 where a coefficient jumps.
        unknowns: Values at which unknown parameters are held; the values given to `solve` otherwise.
        seconds: Time limit.

    Raises:
        ProblemError: A number of cells that is not an integer of at least 8, another order, or a time limit that is not positive.

    Example:
        >>> reference = ps.FiniteDifferences(seconds=5)
        >>> ps.solve(decay, ps.MLP(width=8, depth=1), training, reference, compile="off").reference.kind
        'finite_difference'
    """

    cells: Mapping[Symbol, int] | None = None
    _: KW_ONLY
    order: int | None = None
    unknowns: Mapping[Symbol, float] | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for coordinate, count in (self.cells or {}).items():
            if not isinstance(count, int | np.integer) or count < _FEWEST_CELLS:
                raise ProblemError(
                    "FiniteDifferences", f"cells {coordinate}: {count!r}", f"give {_FEWEST_CELLS} or more"
                )
        if self.order is not None and (not isinstance(self.order, int | np.integer) or self.order not in _ORDERS):
            raise ProblemError("FiniteDifferences", f"order={self.order!r}", "give 2, 4 or 6, or leave it out")
        if not self.seconds > 0:
            raise ProblemError("FiniteDifferences", f"seconds={self.seconds!r}", "give a positive number of seconds")


def solve_reference(
    problem: Problem,
    spec: FiniteDifferences | FiniteElements | Spectral | StreamFunction | Exact | Observations,
    *,
    unknowns: Mapping[Symbol, float],
    state: State | None = None,
) -> Reference:
    """Return the truth that a declaration and a specification define.

    Fields that have no equation of their own are taken as they are found: a reference that is computed is the solution for them.

    Args:
        problem: The declaration.
        spec: Finite differences, finite elements, Fourier series, a stream function, closed forms, or measured values.
        unknowns: Values of unknown parameters where the specification has none.
        state: Values of the fields, of which those without equations are read.

    Raises:
        UnsupportedError: No such reference for this problem, with the reason.
        ProblemError: A specification that does not fit the problem.
    """
    if isinstance(spec, Exact):
        return exact_reference(problem, spec, unknowns=unknowns)
    if isinstance(spec, Observations):
        return measured_reference(problem, spec)
    if not isinstance(spec, FiniteDifferences | FiniteElements | Spectral | StreamFunction):
        computed = "ps.FiniteDifferences(), ps.FiniteElements(), ps.Spectral(), ps.StreamFunction()"
        raise ProblemError("reference", f"{spec!r}", f"write {computed}, ps.Exact({{u: ...}}) or ps.Observations(...)")
    forward, given = forward_problem(problem, state)
    # One thread: the matrices are sparse or small, and two pools of threads in one process fight for the cores.
    with threadpool_limits(limits=1, user_api="blas"):
        try:
            found = _computed(forward, spec, {**unknowns, **(spec.unknowns or {})})
        except UnsupportedError as error:
            reason = without_observations(problem, error)
            if reason is error:
                raise
            raise reason from error
    return replace(found, method=f"{found.method}, for {', '.join(given)} as found", given=given) if given else found


def _computed(
    problem: Problem,
    spec: FiniteDifferences | FiniteElements | Spectral | StreamFunction,
    unknowns: Mapping[Symbol, float],
) -> Reference:
    if isinstance(spec, Spectral):
        return spectral_reference(problem, spec, unknowns=unknowns)
    if isinstance(spec, StreamFunction):
        return stream_function_reference(problem, spec, unknowns=unknowns)
    if isinstance(spec, FiniteElements):
        return finite_element_reference(problem, spec, unknowns=unknowns)
    return _finite_differences(problem, spec, unknowns)


def solve_rest(
    problem: Problem, spec: FiniteDifferences, state: State, *, unknowns: Mapping[Symbol, float]
) -> Reference:
    """Return, in place of the solution, what is left of it beside a known state.

    Args:
        problem: The declaration.
        spec: Grids and time limit.
        state: The known state.
        unknowns: Values of unknown parameters where the specification has none.

    Raises:
        UnsupportedError: Finite differences cannot solve this problem, or the state is not periodic where the problem is.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _finite_differences(problem, spec, {**unknowns, **(spec.unknowns or {})}, state=state)


def _finite_differences(
    problem: Problem, spec: FiniteDifferences, unknowns: Mapping[Symbol, float], *, state: State | None = None
) -> Reference:
    began = clock.monotonic()
    for coordinate in spec.cells or {}:
        if coordinate not in problem.coordinates:
            known = ", ".join(map(str, problem.coordinates))
            raise ProblemError("FiniteDifferences", f"cells for {coordinate}", f"the coordinates are {known}")
    if not isinstance(problem.domain, Box):
        found = f"no finite-difference reference: the domain is {problem.domain.text}, not a box"
        raise UnsupportedError("domain", found, REMEDY)
    if len(problem.coordinates) > _MOST_COORDINATES:  # before reading, which takes minutes in a hundred dimensions
        found = f"{len(problem.coordinates)} coordinates, and a grid has at most three of space and one of time"
        raise UnsupportedError("domain", f"no finite-difference reference: {found}", REMEDY)
    readings = read(problem, unknowns)
    bounds = [problem.bounds[c] for c in problem.coordinates]
    time = find_time(readings, len(problem.fields), bounds=bounds)
    if state is not None:
        check_periods(state, readings, bounds=bounds)
    solve = functools.partial(_refine, problem, spec, readings, deadline=began + spec.seconds, state=state)
    try:
        try:
            refinement = solve(time)
        except SingularStartError:
            if len(problem.coordinates) > 1:
                raise
            time = None  # no step can begin where a coefficient has no value, but all nodes can be solved for at once
            refinement = solve(time)
    except OutOfTimeError as error:
        found = f"no finite-difference reference: {error}"
        raise UnsupportedError("equations", found, "give FiniteDifferences(seconds=...) more time") from error
    finest = refinement.levels[-1]

    def evaluate(points: Array) -> dict[str, Array]:
        points = np.asarray(points, dtype=np.float64)
        inside = problem.domain.contains(points)
        return {name: np.where(inside, f(points), np.nan) for name, f in finest.functions.items()}

    points, shape = comparison_grid(_sides(problem, finest))
    in_time = "" if time is None else ", Rodas5P in time,"
    method = f"finite differences of order {refinement.accuracy} in space{in_time} on {finest.label}"
    return Reference(
        kind="finite_difference",
        points=points,
        values=evaluate(points),
        shape=shape,
        evaluate=evaluate,
        estimated_relative_l2=refinement.error,
        seconds=clock.monotonic() - began,
        table=refinement.table,
        method=method if finest.cells else f"Rodas5P with {finest.label}",
        levels=refinement.levels,
    )


def _refine(
    problem: Problem,
    spec: FiniteDifferences,
    readings: Sequence[Reading],
    time: int | None,
    *,
    deadline: float,
    state: State | None,
) -> Refinement:
    space = tuple(c for c in range(len(problem.coordinates)) if c != time)
    if len(space) > 3:
        raise UnsupportedError("domain", f"no finite-difference reference: {len(space)} space coordinates", REMEDY)
    chosen = {problem.coordinates.index(c): n for c, n in (spec.cells or {}).items()}
    all_grids = bool(set(chosen) & set(space)) or not space
    accuracy = _accuracy(spec, readings, space)
    highest = max((slot.orders[c] for reading in readings for slot in reading.slots for c in space), default=0)
    grids = _grids(space, chosen, len(problem.fields), fewest=max(_FEWEST_CELLS, highest + accuracy))
    goals = GOALS if state is None else _GOALS_OF_REST
    fixed = functools.partial(refine, all_grids=all_grids, growth=_GROWTH[len(space)], deadline=deadline, goals=goals)
    if time is None:
        values = read_boundary_values(problem, readings, accuracy=accuracy)
        return fixed(
            lambda grid, before: steady_level(problem, values, cells=grid, previous=before, state=state),
            grids,
            accuracy=accuracy,
        )
    evolution = read_evolution(problem, readings, time=time, accuracy=accuracy)
    steps = max(chosen.get(time, 0), _FEWEST_STEPS)
    march = functools.partial(evolution_level, problem, evolution, deadline=deadline, state=state)
    if not space:
        return fixed(
            lambda level, _: march(cells={}, tolerance=_ODE_TOLERANCE / 32**level, steps=steps * 2**level),
            _ODE_LEVELS,
            accuracy=_ODE_ORDER,
        )
    tolerance = _TOLERANCE if state is None else _TOLERANCE_OF_REST
    try:
        refinement = fixed(
            lambda grid, before: march(cells=grid, tolerance=tolerance, steps=steps, first=before is None),
            grids,
            accuracy=accuracy,
        )
    except UnresolvedError as error:
        if accuracy <= _USUAL_ORDER:
            raise
        raise _unstable(accuracy) from error
    # That of a rest may be large because the grids do not resolve it: only an order below zero tells growth.
    grows = state is None or refinement.table[-1].order < 0
    worthless = grows and max(refinement.error.values()) > _WORTHLESS
    if accuracy > _USUAL_ORDER and (refinement.refused or worthless):
        raise _unstable(accuracy)
    return refinement


def _unstable(accuracy: int) -> UnsupportedError:
    found = (
        f"with order={accuracy} the solution grows without bound on fine grids: where nothing damps, as in waves and "
    )
    found += "transport, the one-sided formulas of this order at the ends of a coordinate are unstable"
    return UnsupportedError("FiniteDifferences", found, f"give order={_USUAL_ORDER}, or leave it out")


def _accuracy(spec: FiniteDifferences, readings: Sequence[Reading], space: tuple[int, ...]) -> int:
    """Return the order of the formulas in space.

    Raises:
        ProblemError: An order that the problem does not allow.
    """
    jumping = next((r.name for r in readings if r.kind == "equation" and r.jumps), None)
    if spec.order is None:
        return _USUAL_ORDER if jumping is None else _ORDER_AT_JUMPS
    if not space:
        found = f"order={spec.order} without a space coordinate"
        raise ProblemError(
            "FiniteDifferences", found, f"leave it out: time is followed by a method of order {_ODE_ORDER}"
        )
    if jumping is not None and spec.order > _ORDER_AT_JUMPS:
        found = f"order={spec.order}, and a coefficient of {jumping} jumps, across which no formula is of this order"
        raise ProblemError("FiniteDifferences", found, f"give order={_ORDER_AT_JUMPS}, or leave it out")
    return spec.order


def _grids(space: tuple[int, ...], chosen: Mapping[int, int], fields: int, *, fewest: int) -> list[dict[int, int]]:
    """Return the cells of every grid, each twice as fine as the one before, ending at the chosen one if there is one."""
    given = [n for c, n in chosen.items() if c in space]
    if given:
        finest = {c: chosen.get(c, max(given)) for c in space}
        grids = [{c: round(n / factor) for c, n in finest.items()} for factor in (4, 2, 1)]
        if min(finest.values()) < fewest:
            found = f"{min(finest.values())} cells, fewer than its derivatives need nodes"
            raise ProblemError("FiniteDifferences", found, f"give {fewest} or more")
        return [grid for grid in grids if min(grid.values()) >= fewest]
    dimension = max(len(space), 1)
    grids, cells = [], max(_FIRST_CELLS[dimension], fewest)
    while fields * cells ** len(space) <= _MOST_UNKNOWNS[dimension] and space:
        grids.append(dict.fromkeys(space, cells))
        cells *= 2
    return grids


def _sides(problem: Problem, finest: Level) -> list[Array]:
    """Return the places of comparison along each coordinate: nodes of the finest grid and equally spaced times."""
    cells = [finest.cells.get(c, 10 * _TIMES if not finest.cells else _TIMES) for c in range(len(problem.coordinates))]
    counts = counts_within(cells)
    return [np.linspace(*problem.bounds[c], n + 1) for c, n in zip(problem.coordinates, counts, strict=True)]
