"""Steady problems: boundary-value problems on intervals and boxes.

On an interval the equations are collocated where their own order puts them: an equation of order m in its field at N + 1 - m
places, the nodes or the midpoints between them, so that with m conditions there are as many rows as unknowns, whatever the
conditions look like (rectangular collocation: Driscoll and Hale, IMA Journal of Numerical Analysis 36, 2016). On boxes, and on
periodic intervals, equations are collocated at the nodes and conditions replace them at the faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Symbol

from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.collocation import Block, Layout, System, collocate
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.newton import refusal, solve_newton
from pinnsolve.reference.placement import (
    Bounds,
    Law,
    Wall,
    assemble,
    check_count,
    find_fluxes,
    find_walls,
    for_rest,
    is_periodic,
    make_axes,
    match,
    orders_of,
    seat,
)
from pinnsolve.reference.reading import REMEDY, Reading
from pinnsolve.reference.state import Known, State

_NULL = 1e-9
_UNBALANCED = 1e-2
"""Residual, relative to that of zero, which a solution determined up to a constant may keep on a coarse grid."""


@dataclass(frozen=True)
class BoundaryValues:
    """A problem read as a boundary-value problem, before any grid.

    Args:
        own: The coordinates of each field.
        equations: Each with the field it stands for.
        walls: Conditions with the field and the layer whose rows they replace; unused on an interval.
        conditions: Every condition that is not a periodicity.
        periodic: Coordinates whose ends are one.
        shifted: Fluxes, with the coordinate along which they lie on midpoints.
        coordinates: The coordinates' symbols.
        bounds: The ranges.
        accuracy: Order of the formulas.
        kinked: A coefficient jumps, so that slopes may.
    """

    own: tuple[frozenset[int], ...]
    equations: tuple[tuple[Reading, int], ...]
    walls: tuple[tuple[Wall, int, int], ...]
    conditions: tuple[Reading, ...]
    periodic: frozenset[int]
    shifted: Mapping[int, int]
    coordinates: tuple[Symbol, ...]
    bounds: Bounds
    accuracy: int
    kinked: bool

    def layout(self, cells: Mapping[int, int]) -> Layout:
        """Return where the unknowns are on a grid of so many cells."""
        axes = make_axes(self.own, self.bounds, cells=cells, periodic=self.periodic, shifted=self.shifted)
        return Layout(axes, tuple(range(len(self.bounds))), self.accuracy)


def read_boundary_values(problem: Problem, readings: Sequence[Reading], *, accuracy: int) -> BoundaryValues:
    """Match equations, fields and conditions, for formulas of an order.

    Raises:
        UnsupportedError: No complete matching.
    """
    own = tuple(frozenset(problem.coordinates.index(c) for c in f.args) for f in problem.fields)
    bounds = [problem.bounds[c] for c in problem.coordinates]
    equations = [r for r in readings if r.kind == "equation"]
    conditions = [r for r in readings if r.kind == "condition"]
    periodic = frozenset(c for r in conditions if (c := is_periodic(r, bounds)) is not None)
    rest = [r for r in conditions if is_periodic(r, bounds) is None]
    free = len(bounds) == 1 and not periodic
    fluxes = {} if free else find_fluxes(equations, len(own), time=None)
    partner = match(equations, own, time=None, fluxes=fluxes)
    walls = [] if free else find_walls(rest, bounds)
    if not free:
        check_count(equations, walls, fields=len(own), coordinates=sorted(set(range(len(bounds))) - periodic))
    orders = [orders_of(f, equations, fluxes=fluxes, time=None) for f in range(len(own))]
    seats = seat(walls, own, orders=orders)
    return BoundaryValues(
        own=own,
        equations=tuple(zip(equations, partner, strict=True)),
        walls=tuple((wall, f, layer) for wall, (f, layer) in zip(walls, seats, strict=True)),
        conditions=tuple(rest),
        periodic=periodic,
        shifted={q: c for q, (_, c) in fluxes.items()},
        coordinates=equations[0].coordinates,
        bounds=bounds,
        accuracy=accuracy,
        kinked=any(r.jumps for r in equations),
    )


def solve_steady(
    values: BoundaryValues, layout: Layout, *, start: Array | None = None, state: State | None = None
) -> tuple[Array, frozenset[int]]:
    """Return the unknowns on a grid, and the fields that are fixed only up to a constant.

    Args:
        values: The problem.
        layout: Where the unknowns are.
        start: First guess; zero when omitted.
        state: A known state; the unknowns are then the rest.

    Raises:
        UnsupportedError: A wrong number of conditions.
        UnresolvedError: A singular system, no convergence.
    """
    on_interval = len(values.bounds) == 1 and not values.periodic
    known = None if state is None else Known(state)
    system = _on_interval(values, layout, known) if on_interval else _on_box(values, layout, known)
    guess = np.zeros(layout.size) if start is None else start
    if start is None and not np.isfinite(system.residual(guess)).all():
        guess = np.ones(layout.size)  # 1/u and log(u) have no value at zero
    free = _free_constants(system, layout, guess)
    constants = [np.zeros(layout.size) for _ in free]
    for one, field in zip(constants, free, strict=True):
        one[layout.numbers(field).ravel()] = 1.0
    root = solve_newton(system, guess, name="equations", constants=tuple(constants))
    left, scale = (float(np.abs(system.residual(at)).max()) for at in (root.values, np.zeros(layout.size)))
    if free and left > _UNBALANCED * scale:
        raise refusal(
            "conditions", "the conditions leave a field free and contradict the equations: sources do not balance"
        )
    return root.values, frozenset(free)


def _on_box(values: BoundaryValues, layout: Layout, known: Known | None) -> System:
    laws = [Law(r.name, r.expression, r.slots, f, None, {}, r.jumps) for r, f in values.equations]
    laws += [
        Law(w.reading.name, w.reading.expression, w.reading.slots, f, (w.coordinate, w.side, layer))
        for w, f, layer in values.walls
    ]
    laws = laws if known is None else [for_rest(law) for law in laws]
    return assemble(laws, layout, coordinates=values.coordinates, bounds=values.bounds, known=known)


def _on_interval(values: BoundaryValues, layout: Layout, known: Known | None) -> System:
    blocks: list[Block] = []
    row = 0
    sidestep = {0: values.bounds[0][1] - values.bounds[0][0]}

    def add(reading: Reading, places: Mapping[int, Array]) -> None:
        nonlocal row
        count = len(places.get(0, [0]))
        law = Law(reading.name, reading.expression, reading.slots, -1)
        law = law if known is None else for_rest(law)
        blocks.append(
            collocate(
                law.expression,
                law.slots,
                layout=layout,
                coordinates=values.coordinates,
                places=places,
                rows=np.arange(row, row + count),
                sidestep=sidestep if reading.jumps else None,
                given=law.given,
                known=known,
            )
        )
        row += count

    for reading in values.conditions:
        if reading.runs:
            raise UnsupportedError(reading.name, "no finite-difference reference: it does not hold at places", REMEDY)
        add(reading, {})
    for reading, field in values.equations:
        axis, order = layout.axes[field][0], max(reading.order(field, 0), 0)
        places = axis.midpoints.nodes if order % 2 else axis.nodes
        add(reading, {0: places[order // 2 : len(places) - order // 2]})
    if row != layout.size:
        found = f"{row - layout.size:+d} conditions compared with the order of the equations"
        raise UnsupportedError("conditions", f"no finite-difference reference: {found}", REMEDY)
    return System(tuple(blocks), layout.size)


def _free_constants(system: System, layout: Layout, guess: Array) -> list[int]:
    """Return the fields whose constant is in the null space of the Jacobian."""
    jacobian = system.jacobian(guess)
    if not np.isfinite(jacobian.data).all():
        return []
    size = abs(jacobian)
    free = []
    for field in range(len(layout.axes)):
        one = np.zeros(layout.size)
        one[layout.numbers(field).ravel()] = 1.0
        if np.all(np.abs(jacobian @ one) <= _NULL * np.maximum(size @ one, 1e-300)):
            free.append(field)
    return free
