"""Evolution equations: finite differences in space, Rodas5P in time.

Fields of order m in time are written as m fields of order one, u_t = w. On the grid the problem reads M U' + g(t, U) = 0, with
rows of zeros in M where a condition is algebraic. A condition on u at a wall implies, differentiated in time, one on w; it is
imposed too, which keeps the system of index one (Hairer and Wanner, Solving ODEs II, VII.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sympy import Add, Dummy, Expr, Matrix, Symbol

from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.collocation import Layout, System
from pinnsolve.reference.newton import UnresolvedError, solve_newton
from pinnsolve.reference.placement import (
    Bounds,
    Law,
    Wall,
    assemble,
    check_count,
    find_fluxes,
    find_staggered,
    find_walls,
    for_rest,
    is_periodic,
    make_axes,
    match,
    orders_of,
    seat,
)
from pinnsolve.reference.reading import REMEDY, Reading, Slot, with_rate
from pinnsolve.reference.rosenbrock import Path, StepTooSmallError, integrate
from pinnsolve.reference.state import Known, State

_SAMPLES = 4
"""Times at which a known state is sampled, for each of the least number of steps."""


@dataclass(frozen=True)
class Evolution:
    """A problem read as an evolution, before any grid.

    Args:
        time: Position of the coordinate of evolution.
        space: Positions of the other coordinates.
        fields: For each unknown field on the grid, the problem's field and the order of its time derivative.
        own: For each unknown field the space coordinates that it reads.
        laws: Equations and conditions.
        initial: Initial conditions.
        periodic: Space coordinates whose ends are one.
        shifted: Fluxes, with the coordinate along which they lie on midpoints.
        coordinates: The coordinates' symbols.
        bounds: The ranges.
        accuracy: Order of the formulas.
        kinked: A coefficient jumps, so that slopes may.
    """

    time: int
    space: tuple[int, ...]
    fields: tuple[tuple[int, int], ...]
    own: tuple[frozenset[int], ...]
    laws: tuple[Law, ...]
    initial: tuple[Law, ...]
    periodic: frozenset[int]
    shifted: Mapping[int, int]
    coordinates: tuple[Symbol, ...]
    bounds: Bounds
    accuracy: int
    kinked: bool

    def layout(self, cells: Mapping[int, int]) -> Layout:
        """Return where the unknowns are on a grid of so many cells."""
        axes = make_axes(self.own, self.bounds, cells=cells, periodic=self.periodic, shifted=self.shifted)
        return Layout(axes, self.space, self.accuracy)

    def for_rest(self) -> Evolution:
        """Return the evolution of e where u = v + e with v known."""

        def named(slot: Slot, rate: bool) -> Slot:
            number, order = self.fields[slot.field]
            orders = tuple(o + (order + rate) * (c == self.time) for c, o in enumerate(slot.orders))
            return Slot(number, orders, slot.places)

        laws, initial = (tuple(for_rest(law, named) for law in some) for some in (self.laws, self.initial))
        return replace(self, laws=laws, initial=initial)


def find_time(readings: Sequence[Reading], fields: int, *, bounds: Bounds) -> int | None:
    """Return the coordinate in which the problem is an evolution: every condition that holds it does so at its low end.

    Among several the one of the lowest order wins, then the one declared last.
    """
    candidates = []
    for c in range(len(bounds)):
        orders = [max((r.order(f, c) for r in readings if r.kind == "equation"), default=0) for f in range(fields)]
        initial = [r for r in readings if r.kind == "condition" and any(c in dict(slot.places) for slot in r.slots)]
        pure = all(is_initial(r, c, bounds=bounds) for r in initial)
        if pure and initial and len(initial) == sum(max(order, 0) for order in orders):
            candidates.append((max(orders), -c))
    return -min(candidates)[1] if candidates else None


def is_initial(reading: Reading, coordinate: int, *, bounds: Bounds) -> bool:
    """Return whether a condition holds the coordinate, and nothing else, at its low end."""
    low, high = bounds[coordinate]
    places = {place for slot in reading.slots for place in slot.places}
    return (
        reading.kind == "condition"
        and all(slot.places for slot in reading.slots)
        and all(c == coordinate and abs(v - low) <= 1e-9 * (high - low) for c, v in places)
    )


def read_evolution(problem: Problem, readings: Sequence[Reading], *, time: int, accuracy: int = 4) -> Evolution:
    """Write a problem as first-order laws in time, for formulas of an order in space.

    Raises:
        UnsupportedError: A time derivative that cannot be isolated, or conditions without a place.
    """
    position = problem.coordinates.index
    every = [frozenset(position(c) for c in f.args) for f in problem.fields]
    bounds = [problem.bounds[c] for c in problem.coordinates]
    equations = [r for r in readings if r.kind == "equation"]
    conditions = [r for r in readings if r.kind == "condition" and not is_initial(r, time, bounds=bounds)]
    initial = [r for r in readings if is_initial(r, time, bounds=bounds)]
    periodic = frozenset(c for r in conditions if (c := is_periodic(r, bounds)) is not None)
    walls = find_walls([r for r in conditions if is_periodic(r, bounds) is None], bounds)
    depth = [max((r.order(f, time) for r in equations), default=0) for f in range(len(every))]
    fields = tuple((f, k) for f in range(len(every)) for k in range(max(depth[f], 1)))
    fluxes = find_fluxes(equations, len(every), time=time)
    partner = match(equations, every, time=time, fluxes=fluxes)
    laws = [
        _law(r, fields, depth, target=fields.index((f, max(depth[f] - 1, 0))), time=time)
        for r, f in zip(equations, partner, strict=True)
    ]
    laws = _isolate(laws, tuple(equations[0].coordinates), time)
    laws += [_chain(fields, f, k, len(bounds)) for f, k in fields if k + 1 < depth[f]]
    open_space = sorted(set(range(len(bounds))) - periodic - {time})
    check_count(equations, walls, fields=len(every), coordinates=open_space)
    orders = [orders_of(f, equations, fluxes=fluxes, time=time) for f in range(len(every))]
    for wall, (f, layer) in zip(walls, seat(walls, every, orders=orders), strict=True):
        laws += _wall_laws(wall, f, layer, fields, depth, time)
    own = tuple(every[f] - {time} for f, _ in fields)
    staggered = find_staggered(equations, partner, walls, time=time, periodic=periodic)
    between = staggered | {q: c for q, (_, c) in fluxes.items()}
    shifted = {fields.index((q, 0)): c for q, c in between.items()}
    return Evolution(
        time=time,
        space=tuple(c for c in range(len(bounds)) if c != time),
        fields=fields,
        own=own,
        laws=tuple(laws),
        initial=tuple(_initial_laws(initial, fields, depth, time)),
        periodic=periodic,
        shifted=shifted,
        coordinates=equations[0].coordinates,
        bounds=bounds,
        accuracy=accuracy,
        kinked=any(r.jumps for r in equations),
    )


class SingularStartError(UnresolvedError):
    """A coefficient has no value at the start, as of u'/r at r = 0, where no step can begin."""


def march(
    evolution: Evolution,
    cells: Mapping[int, int],
    *,
    tolerance: float,
    steps: int,
    deadline: float,
    state: State | None = None,
) -> tuple[Layout, Path]:
    """Return the solution on a grid as a path of states, or the rest of it beside a known state.

    Raises:
        UnresolvedError: The initial state does not exist, or the solution cannot be followed to the end.
        SingularStartError: The equations have no value at the start.
        OutOfTimeError: The deadline has come.
    """
    layout, time = evolution.layout(cells), evolution.time
    start, end = evolution.bounds[time]

    def system(laws: Sequence[Law]) -> System:
        return assemble(
            laws, layout, coordinates=evolution.coordinates, bounds=evolution.bounds, time=time, known=known
        )

    known = None
    if state is not None:
        known = Known(state, time, np.linspace(start, end, _SAMPLES * steps + 1))
        evolution = evolution.for_rest()
    moving = [replace(law, expression=_moving(law), slots=law.rates) for law in evolution.laws]
    still = [replace(law, expression=_still(law)) for law in evolution.laws]
    mass, rest = system(moving).jacobian(np.zeros(layout.size), start), system(still)
    mass.eliminate_zeros()
    algebraic = [law for law in still if not law.rates]
    first = system([*evolution.initial, *algebraic])
    begin = solve_newton(first, np.zeros(layout.size), time=start, name="initial conditions").values
    if not np.isfinite(rest.jacobian(begin, start).data).all():
        found = "no finite-difference reference: the equations have no finite value at the start"
        raise SingularStartError("equations", found, REMEDY)
    try:
        path = integrate(
            lambda t, y: -rest.residual(y, t),
            lambda t, y: -rest.jacobian(y, t),
            lambda t, y: -rest.rate(y, t),
            mass=mass,
            start=begin,
            span=(start, end),
            tolerance=tolerance,
            longest=(end - start) / steps,
            deadline=deadline,
        )
    except StepTooSmallError as error:
        found = f"no finite-difference reference: the solution cannot be followed to the end, {error}"
        raise UnresolvedError(
            "equations", found, "shorten the range of time, or check the sign of the equation"
        ) from error
    return layout, path


def _law(reading: Reading, fields: Sequence[tuple[int, int]], depth: Sequence[int], *, target: int, time: int) -> Law:
    slots: dict[Slot, Symbol] = {}
    rates: dict[Slot, Symbol] = {}
    replaced: dict[Symbol, Symbol] = {}
    for slot, symbol in reading.slots.items():
        order = slot.orders[time]
        if order > depth[slot.field]:
            found = "a time derivative of higher order than the equation's"
            raise UnsupportedError(reading.name, f"no finite-difference reference: {found}", REMEDY)
        orders = tuple(0 if c == time else o for c, o in enumerate(slot.orders))
        places = tuple((c, v) for c, v in slot.places if c != time)
        highest = order == depth[slot.field] > 0
        key = Slot(fields.index((slot.field, order - highest)), orders, places)
        replaced[symbol] = (rates if highest else slots).setdefault(key, symbol)
    return Law(reading.name, reading.expression.subs(replaced), slots, target, None, rates, reading.jumps)


def _isolate(laws: list[Law], coordinates: tuple[Symbol, ...], time: int) -> list[Law]:
    """Make the coefficients of all rates functions of space alone, so that M is constant."""
    moving = [law for law in laws if law.rates]
    if all(_constant(law, coordinates, time) for law in moving):
        return laws
    rates = list(dict.fromkeys(rate for law in moving for rate in law.rates))
    if len(rates) != len(moving) or any(any(rate.orders) or rate.places for rate in rates):
        found = "mixed time derivatives with coefficients that depend on time or on a field"
        raise UnsupportedError(moving[0].name, f"no finite-difference reference: {found}", REMEDY)
    common = {rate: Dummy("rate", real=True) for rate in rates}
    expressions = [law.expression.subs({s: common[rate] for rate, s in law.rates.items()}) for law in moving]
    matrix = Matrix(expressions).jacobian(list(common.values()))
    if matrix.has(*common.values()) or matrix.det() == 0:
        found = "the time derivatives do not enter linearly and independently"
        raise UnsupportedError(moving[0].name, f"no finite-difference reference: {found}", REMEDY)
    rest = matrix.LUsolve(Matrix(expressions).subs(dict.fromkeys(common.values(), 0)))
    slots = {slot: symbol for law in moving for slot, symbol in law.slots.items()}
    same = {symbol: slots[slot] for law in moving for slot, symbol in law.slots.items()}
    names = {rate.field: law.name for rate, law in zip(rates, moving, strict=True)}
    jumps = any(law.jumps for law in moving)
    solved = [
        Law(names[rate.field], common[rate] + rest[k].subs(same), slots, rate.field, None, {rate: common[rate]}, jumps)
        for k, rate in enumerate(rates)
    ]
    return [*solved, *(law for law in laws if not law.rates)]


def _constant(law: Law, coordinates: tuple[Symbol, ...], time: int) -> bool:
    space = set(coordinates) - {coordinates[time]}
    return all(law.expression.diff(rate).free_symbols <= space for rate in law.rates.values())


def _chain(fields: Sequence[tuple[int, int]], field: int, order: int, dimension: int) -> Law:
    """Return the law (d/dt) of one field of the chain = the next."""
    lower, upper = fields.index((field, order)), fields.index((field, order + 1))
    rate, slot = Dummy("rate", real=True), Dummy("next", real=True)
    plain = (0,) * dimension
    return Law("rate", rate - slot, {Slot(upper, plain): slot}, lower, None, {Slot(lower, plain): rate})


def _wall_laws(
    wall: Wall, field: int, layer: int, fields: Sequence[tuple[int, int]], depth: Sequence[int], time: int
) -> list[Law]:
    """Return a condition's law, and its time derivatives for the higher fields of the chain."""
    laws = []
    reading = wall.reading
    level = min(max(reading.order(field, time), 0), max(depth[field] - 1, 0))
    for target in range(level, max(depth[field], 1)):
        law = _law(reading, fields, depth, target=fields.index((field, target)), time=time)
        if law.rates and not _constant(law, reading.coordinates, time):
            law = _divided(law)
        laws.append(replace(law, face=(wall.coordinate, wall.side, layer)))
        if target + 1 < depth[field]:
            reading = with_rate(reading, time)
    return laws


def _divided(law: Law) -> Law:
    (rate, *others) = law.rates.values()
    slope = law.expression.diff(rate)
    if others or slope.has(rate):
        raise UnsupportedError(law.name, "no finite-difference reference: a nonlinear time derivative", REMEDY)
    return replace(law, expression=rate + law.expression.subs(rate, 0) / slope)


def _initial_laws(
    readings: Sequence[Reading], fields: Sequence[tuple[int, int]], depth: Sequence[int], time: int
) -> list[Law]:
    """Return the initial conditions with the field, of those still without one, that each determines."""
    laws: list[Law] = []
    for reading in sorted(readings, key=lambda r: max(slot.orders[time] for slot in r.slots)):
        open_targets = {f for f in range(len(fields)) if depth[fields[f][0]]} - {law.target for law in laws}
        law = _law(reading, fields, depth, target=-1, time=time)
        choices = [slot.field for slot in law.slots if slot.field in open_targets]
        if law.rates or not choices:
            raise UnsupportedError(
                reading.name, "no finite-difference reference: not a condition for the initial state", REMEDY
            )
        laws.append(replace(law, target=max(choices, key=lambda f: fields[f][1])))
    return laws


def _moving(law: Law) -> Expr:
    return Add(*(law.expression.diff(rate) * rate for rate in law.rates.values()))


def _still(law: Law) -> Expr:
    return law.expression.subs(dict.fromkeys(law.rates.values(), 0))
