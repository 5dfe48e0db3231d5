"""Which equation stands for which field, and which rows the conditions replace.

Every unknown value needs one row. An equation is collocated at the nodes of the field it stands for; the k-th condition of a
field at a face replaces the rows of the k-th layer of nodes from that face. A flux, q = k u_x with q differentiated elsewhere,
lives on the midpoints between the nodes of u: the coefficient is then never read at a node, where it may jump, and the usual
compact conservative scheme results (LeVeque, Finite Difference Methods, 2007, section 2.15).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from sympy import Dummy, Expr, Symbol

from pinnsolve.errors import UnsupportedError
from pinnsolve.reference.collocation import Block, Layout, System, collocate
from pinnsolve.reference.finite_differences import Axis
from pinnsolve.reference.reading import REMEDY, Reading, Slot
from pinnsolve.reference.state import Known

Bounds = Sequence[tuple[float, float]]
"""The range of every coordinate, by position."""

_NEVER = 1e6
_AT_END = 1e-9
_LAYERS = 4


@dataclass(frozen=True)
class Law:
    """A residual with the field whose rows it gives.

    Args:
        name: For messages.
        expression: The residual in coordinates, slots and rates.
        slots: Symbols of the slots.
        target: The field.
        face: Coordinate, side (0 or 1) and layer; none for an equation.
        rates: Symbols of the time derivatives of slots.
        jumps: A coefficient may be discontinuous.
        given: Symbols of the slots of a known state, when the law is one for the rest.
    """

    name: str
    expression: Expr
    slots: Mapping[Slot, Symbol]
    target: int
    face: tuple[int, int, int] | None = None
    rates: Mapping[Slot, Symbol] = field(default_factory=dict)
    jumps: bool = False
    given: Mapping[Slot, Symbol] = field(default_factory=dict)

    @property
    def order(self) -> int:
        """The highest order of derivative, rates included."""
        return max((sum(s.orders) + (s in self.rates) for s in (*self.slots, *self.rates)), default=0)


def for_rest(law: Law, named: Callable[[Slot, bool], Slot] = lambda slot, _: slot) -> Law:
    """Return the law for e where u = v + e with v known.

    Args:
        law: The one for u.
        named: The slot of the problem's field that a slot of the law's, or the rate of one, stands for.
    """
    given: dict[Slot, Symbol] = {}
    counted: dict[Symbol, Expr] = {}
    for slots, rate in ((law.slots, False), (law.rates, True)):
        for slot, symbol in slots.items():
            counted[symbol] = symbol + given.setdefault(named(slot, rate), Dummy("given", real=True))
    return replace(law, expression=law.expression.xreplace(counted), given=given)


@dataclass(frozen=True)
class Wall:
    """A condition on one face: the coordinate held and the side, 0 low and 1 high."""

    reading: Reading
    coordinate: int
    side: int


def is_periodic(reading: Reading, bounds: Bounds) -> int | None:
    """Return the coordinate whose two ends a condition identifies, D u(a) = D u(b), or None."""
    if reading.kind != "condition" or len(reading.slots) != 2:
        return None
    (first, one), (second, two) = reading.slots.items()
    if (
        (first.field, first.orders) != (second.field, second.orders)
        or len(first.places) != 1
        or len(second.places) != 1
    ):
        return None
    (c, a), (d, b) = first.places[0], second.places[0]
    if c != d or {_side(a, bounds[c]), _side(b, bounds[c])} != {0, 1}:
        return None
    slope = reading.expression.diff(one)
    opposite = (slope + reading.expression.diff(two)).expand() == 0 and not slope.free_symbols
    return c if opposite and (reading.expression - slope * (one - two)).expand() == 0 else None


def find_walls(readings: Sequence[Reading], bounds: Bounds) -> list[Wall]:
    """Return the face of every condition.

    Raises:
        UnsupportedError: A condition at an inner place, or at several places.
    """
    walls = []
    for reading in readings:
        held = {(c, v) for slot in reading.slots for c, v in slot.places}
        sides = {(c, _side(v, bounds[c])) for c, v in held}
        if len(sides) != 1 or any(side is None or not slot.places for _, side in sides for slot in reading.slots):
            raise UnsupportedError(reading.name, "no finite-difference reference: it does not hold on one face", REMEDY)
        (coordinate, side) = sides.pop()
        walls.append(Wall(reading, coordinate, int(side or 0)))
    return walls


def find_fluxes(equations: Sequence[Reading], fields: int, *, time: int | None) -> dict[int, tuple[int, int]]:
    """Return for each flux its equation and the coordinate along which it lies between the nodes."""
    found: dict[int, tuple[int, int]] = {}
    for (number, equation), flux in itertools.product(enumerate(equations), range(fields)):
        own = [slot for slot in equation.slots if slot.field == flux]
        others = {c for slot in equation.slots if slot.field != flux for c, o in enumerate(slot.orders) if o}
        highest = max((sum(slot.orders) for slot in equation.slots), default=0)
        elsewhere = any(e is not equation and any(e.order(flux, c) > 0 for c in others) for e in equations)
        taken = number in [e for e, _ in found.values()] or flux in found
        plain = bool(own) and not any(any(slot.orders) or slot.places for slot in own)
        if plain and len(others) == 1 and highest == 1 and elsewhere and not taken and time not in others:
            found[flux] = (number, others.pop())
    moving = {slot.field for e in equations for slot in e.slots if time is not None and slot.orders[time]}
    return {flux: place for flux, place in found.items() if flux not in moving}


def find_staggered(
    equations: Sequence[Reading], partner: Sequence[int], walls: Sequence[Wall], *, time: int, periodic: Iterable[int]
) -> dict[int, int]:
    """Return the coordinate along which a field of a wave lies between the nodes, as q does in v_t = q_x, q_t = v_x.

    It is one whose rate is made of first derivatives of others along that coordinate, where no condition holds it. Side by side on
    all nodes, with one-sided formulas at the ends, such waves grow without bound; between the nodes they do not (Yee, Numerical
    solution of initial boundary value problems involving Maxwell's equations, 1966).

    Args:
        equations: As many as fields.
        partner: The field that each of them stands for.
        walls: The conditions.
        time: Position of the coordinate of evolution.
        periodic: Coordinates without ends.
    """
    found: dict[int, int] = {}
    for equation, wave in zip(equations, partner, strict=True):
        own = [slot for slot in equation.slots if slot.field == wave]
        rest = [slot for slot in equation.slots if slot.field != wave]
        along = {c for slot in rest for c, o in enumerate(slot.orders) if o}
        plain = equation.order(wave, time) == 1 and all(sum(s.orders) == s.orders[time] and not s.places for s in own)
        if not plain or len(along) != 1 or time in along or max(sum(slot.orders) for slot in rest) > 1:
            continue
        (c,) = along
        others = [e for e in equations if e is not equation]
        held = any(w.coordinate == c and any(s.field == wave for s in w.reading.slots) for w in walls)
        if c not in periodic and not held and max((e.order(wave, c) for e in others), default=0) == 1:
            found[wave] = c
    return found


def match(
    equations: Sequence[Reading],
    own: Sequence[frozenset[int]],
    *,
    time: int | None,
    fluxes: Mapping[int, tuple[int, int]],
) -> list[int]:
    """Return for each equation the field it stands for: the one with the highest derivatives in it.

    Args:
        equations: As many as fields.
        own: The coordinates that each field reads.
        time: Position of the coordinate of evolution.
        fluxes: Matched already; an equation that contains a flux contains, through it, the fields that the flux is made of.

    Raises:
        UnsupportedError: No complete matching, as for a pressure, which the equation of continuity does not contain.
    """
    if len(equations) != len(own):
        found = f"{len(equations)} equations for {len(own)} fields"
        raise UnsupportedError("equations", f"no finite-difference reference: {found}", REMEDY)
    taken = {e: flux for flux, (e, _) in fluxes.items()}
    gain = np.full((len(equations), len(own)), -_NEVER)
    for (e, equation), f in itertools.product(enumerate(equations), range(len(own))):
        through = [q for q, (number, _) in fluxes.items() if f in _fields(equations[number]) - {q}]
        contained = [s for s in equation.slots if s.field in {f, *through}]
        if e in taken or f in fluxes:
            gain[e, f] = 1 if taken.get(e) == f else -_NEVER
        elif contained and equation.runs == own[f]:
            moving = time is not None and any(s.orders[time] for s in contained if s.field == f)
            gain[e, f] = 1 + max(sum(s.orders) for s in contained) + 100 * moving + (f in _fields(equation))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    for e, f in zip(rows, columns, strict=True):
        if gain[e, f] < 0 or (time is None and f not in fluxes and _stands_below(equations, e, f)):
            found = "no equation of its own for one of the fields, such as a pressure"
            raise UnsupportedError(equations[e].name, f"no finite-difference reference: {found}", REMEDY)
    return [int(f) for f in columns]


def seat(
    walls: Sequence[Wall], own: Sequence[frozenset[int]], *, orders: Sequence[Mapping[int, int]]
) -> list[tuple[int, int]]:
    """Return for each condition the field whose rows it replaces, and the layer.

    Args:
        walls: The conditions.
        own: The coordinates of each field.
        orders: For each field the order of its equation in each coordinate: how many layers it may give up.

    Raises:
        UnsupportedError: More conditions on a face than the equations can take.
    """
    seats: dict[int, tuple[int, int]] = {}
    for face in {(wall.coordinate, wall.side) for wall in walls}:
        here = [k for k, wall in enumerate(walls) if (wall.coordinate, wall.side) == face]
        places = [(f, layer) for f in range(len(own)) for layer in range(min(_LAYERS, orders[f].get(face[0], 0)))]
        cost = np.full((len(here), max(len(places), len(here))), _NEVER)
        for (row, k), (column, (f, layer)) in itertools.product(enumerate(here), enumerate(places)):
            reading = walls[k].reading
            degree = max((sum(s.orders) for s in reading.slots if s.field == f), default=None)
            if reading.runs <= own[f] - {face[0]}:
                # The lower derivative goes nearer to the face; a field that the condition does not contain is the last resort.
                cost[row, column] = 1e3 + layer if degree is None else layer * (10 - degree)
        rows, columns = linear_sum_assignment(cost)
        for row, column in zip(rows, columns, strict=True):
            if cost[row, column] >= _NEVER:
                name = walls[here[row]].reading.name
                raise UnsupportedError(name, "no finite-difference reference: more conditions here than orders", REMEDY)
            seats[here[row]] = places[column]
    return [seats[k] for k in range(len(walls))]


def orders_of(
    field: int, equations: Sequence[Reading], *, fluxes: Mapping[int, tuple[int, int]], time: int | None
) -> dict[int, int]:
    """Return how many conditions a field can take in each coordinate."""
    if field in fluxes:
        return {}
    through = [q for q, (e, _) in fluxes.items() if any(s.field == field for s in equations[e].slots)]
    orders: dict[int, int] = {}
    for c in range(len(equations[0].coordinates)):
        direct = max(equation.order(field, c) for equation in equations)
        by_flux = max(
            (equations[fluxes[q][0]].order(field, c) + max(e.order(q, c) for e in equations) for q in through),
            default=0,
        )
        if c != time and max(direct, by_flux) > 0:
            orders[c] = max(direct, by_flux)
    return orders


def check_count(
    equations: Sequence[Reading], walls: Sequence[Wall], *, fields: int, coordinates: Iterable[int]
) -> None:
    """Raise unless each coordinate has as many conditions as the order of the system in it.

    The order of a system is that of its determinant: the largest sum of orders over all pairings of equations with fields. With
    fewer conditions, as where observations stand in for them, a grid would still have a solution, and a meaningless one.

    Raises:
        UnsupportedError: Too few or too many conditions along a coordinate.
    """
    for c in coordinates:
        orders = np.array([[equation.order(f, c) for f in range(fields)] for equation in equations], dtype=np.float64)
        orders[orders < 0] = -_NEVER
        total = round(orders[linear_sum_assignment(orders, maximize=True)].sum())
        present = sum(wall.coordinate == c for wall in walls)
        if present != total:
            name = equations[0].coordinates[c].name
            found = f"{present} conditions in {name}, where the equations are of order {total}"
            raise UnsupportedError("conditions", f"no finite-difference reference: {found}", REMEDY)


def make_axes(
    own: Sequence[frozenset[int]],
    bounds: Bounds,
    *,
    cells: Mapping[int, int],
    periodic: frozenset[int],
    shifted: Mapping[int, int],
) -> tuple[dict[int, Axis], ...]:
    """Return the axes of every field.

    Args:
        own: The coordinates of each field.
        bounds: The ranges.
        cells: The number of intervals of each space coordinate.
        periodic: The coordinates whose ends are one.
        shifted: For each flux, the coordinate in which it lies on midpoints.
    """
    axes: list[dict[int, Axis]] = []
    for number, coordinates in enumerate(own):
        axes.append({})
        for c in sorted(coordinates & set(cells)):
            low, high = bounds[c]
            axis = Axis(low, (high - low) / cells[c], cells[c] + (c not in periodic), c in periodic)
            axes[-1][c] = axis.midpoints if shifted.get(number) == c else axis
    return tuple(axes)


def assemble(
    laws: Sequence[Law],
    layout: Layout,
    *,
    coordinates: tuple[Symbol, ...],
    bounds: Bounds,
    time: int | None = None,
    known: Known | None = None,
) -> System:
    """Return the system in which every unknown has the row of the last law that claims it.

    Equations claim all nodes of their field, conditions a layer at a face. Where two conditions meet in a corner the one with
    the lower derivative wins: values given on two faces agree there, slopes follow.
    """
    ordered = sorted(laws, key=lambda law: (law.face is not None, -law.order))
    owner = np.full(layout.size, -1)
    claims = [_claim(law, layout) for law in ordered]
    for number, claim in enumerate(claims):
        owner[claim] = number
    blocks: list[Block] = []
    for number, (law, claim) in enumerate(zip(ordered, claims, strict=True)):
        chosen = owner[claim] == number
        if not chosen.any():
            continue
        places = layout.places(law.target)
        if law.face is not None:
            places.pop(law.face[0])
        blocks.append(
            collocate(
                law.expression,
                law.slots,
                layout=layout,
                coordinates=coordinates,
                places=places,
                rows=claim[chosen],
                chosen=chosen,
                time=time,
                sidestep={c: bounds[c][1] - bounds[c][0] for c in layout.space} if law.jumps else None,
                given=law.given,
                known=known,
            )
        )
    return System(tuple(blocks), layout.size)


def _claim(law: Law, layout: Layout) -> np.ndarray:
    numbers = layout.numbers(law.target)
    if law.face is None:
        return numbers
    coordinate, side, layer = law.face
    position = [c for c in layout.space if c in layout.axes[law.target]].index(coordinate)
    return np.take(numbers, layer if side == 0 else numbers.shape[position] - 1 - layer, axis=position)


def _side(value: float, ends: tuple[float, float]) -> int | None:
    for side, end in enumerate(ends):
        if abs(value - end) <= _AT_END * (ends[1] - ends[0]):
            return side
    return None


def _stands_below(equations: Sequence[Reading], number: int, field: int) -> bool:
    """Return whether a field of several coordinates is given an equation of lower order than it has elsewhere."""
    orders = [max((sum(s.orders) for s in e.slots if s.field == field), default=-1) for e in equations]
    return len(equations[number].runs) > 1 and 0 <= orders[number] < max(orders)


def _fields(reading: Reading) -> set[int]:
    return {slot.field for slot in reading.slots}
