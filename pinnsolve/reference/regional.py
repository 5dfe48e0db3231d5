"""What a declaration says on a region that is no box: terms inside, on parts of the boundary, and at the start of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sympy import Dummy, Expr, Symbol, nan, zoo

from pinnsolve.declaration.terms import Term
from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import ROUNDING, Array, Bounds, Mask, columns
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Face, Piece
from pinnsolve.domains.regions import Box, normal_symbol
from pinnsolve.domains.shapes import Product, Shape, product
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.method_of_lines import is_initial
from pinnsolve.reference.reading import REMEDY, Reader, Reading, Slot

METHOD = "finite-element"
_NUMBERS = {3: "three", 4: "four"}


@dataclass(frozen=True)
class Placed:
    """One term and the part of the boundary where it holds.

    Args:
        reading: The term; its slots have no places, unless it holds at the start of time.
        region: A part of the boundary, if it was told so.
        plane: A coordinate, by position, and the value at which the term pins it.
        point: The coordinates of space, by position, where it holds at one point only.
    """

    reading: Reading
    region: Boundary | None = None
    plane: tuple[int, float] | None = None
    point: Mapping[int, float] | None = None

    @property
    def on_boundary(self) -> bool:
        """Whether it holds on a part of the boundary."""
        return self.region is not None or self.plane is not None

    def holds(self, points: Array, coordinates: tuple[Symbol, ...], *, size: float) -> Mask:
        """Return at which points (points, coordinates) of the boundary it holds."""
        if self.region is not None:
            return self.region.contains(columns(points, coordinates, self.region.coordinates))
        if self.plane is not None:
            return np.asarray(np.abs(points[:, self.plane[0]] - self.plane[1]) <= ROUNDING * size)
        return np.zeros(len(points), dtype=bool)


@dataclass(frozen=True)
class Regional:
    """A problem as its terms say it.

    Args:
        terms: All terms but those of the start.
        initial: The terms at the start of time.
        time: Position of the coordinate of evolution; None for steady problems.
        shape: The region in space.
        normals: The symbols of the outward normal, one for each coordinate of space.
        groups: The symbols that are 1 in a group of cells and 0 elsewhere.
    """

    terms: tuple[Placed, ...]
    initial: tuple[Reading, ...]
    time: int | None
    shape: Shape
    normals: tuple[Symbol, ...] = ()
    groups: tuple[Symbol, ...] = ()


def refusal(term: str, found: str, remedy: str = REMEDY) -> UnsupportedError:
    """Return the error that says why there is no finite-element reference."""
    return UnsupportedError(term, f"no {METHOD} reference: {found}", remedy)


def read_regional(problem: Problem, unknowns: Mapping[Symbol, float]) -> Regional:
    """Read a problem on a region of the plane, or on a mesh in space, steady or for some time.

    Args:
        problem: The declaration.
        unknowns: The values at which unknown parameters are held.

    Raises:
        UnsupportedError: Another number of coordinates, or terms that no finite element can read, with the reason.
    """
    found = []
    for time in range(len(problem.coordinates)):
        c = problem.coordinates[time]
        if c in problem.domain.intervals and len(problem.coordinates) > 1:
            try:
                placed = _read(problem, unknowns, time)
            except UnsupportedError:
                continue
            order = _order_in_time(placed, problem, time)
            if order:
                found.append((order, -time))
    if found:
        time = -min(found)[1]
        terms = _read(problem, unknowns, time)
        bounds = [problem.bounds[c] for c in problem.coordinates]
        start = tuple(p.reading for p in terms if is_initial(p.reading, time, bounds=bounds))
        rest = tuple(p for p in terms if not is_initial(p.reading, time, bounds=bounds))
        return _checked(Regional(rest, start, time, _without(problem.domain, problem.coordinates[time])), problem)
    return _checked(Regional(_read(problem, unknowns, None), (), None, problem.domain), problem)


def _checked(regional: Regional, problem: Problem) -> Regional:
    """Return the problem with places left out of slots and normals of space only."""
    space = regional.shape.coordinates
    if len(space) != 2 and not (len(space) == 3 and isinstance(regional.shape, Mesh)):
        if len(space) == 1:
            raise refusal("domain", "one space coordinate", "give reference = ps.FiniteDifferences(), or leave it out")
        found = f"{_NUMBERS.get(len(space), len(space))} space coordinates, in which only a mesh of yours can be used"
        raise refusal("domain", found, "give domain=ps.Mesh.read(...), or the truth with ps.Exact({...})")
    short = [f for f in problem.fields if set(f.args) != set(problem.coordinates)]
    if short:
        raise refusal(str(short[0]), "a field that does not depend on every coordinate")
    stand_ins = {normal_symbol(c): Dummy(f"n{c}", real=True) for c in space}
    terms = []
    for placed in regional.terms:
        reading = placed.reading
        pinned = {place for slot in reading.slots for place in slot.places}
        if reading.kind == "condition" and not placed.on_boundary:
            placed = _pinned_down(placed, {problem.coordinates.index(c) for c in space})
        elif pinned:
            raise refusal(reading.name, "a field at a fixed place")
        slots = {Slot(slot.field, slot.orders): symbol for slot, symbol in reading.slots.items()}
        expression = reading.expression.xreplace(stand_ins)
        terms.append(replace(placed, reading=replace(reading, expression=expression, slots=slots)))
    return replace(
        regional,
        terms=tuple(terms),
        normals=tuple(stand_ins.values()),
        groups=tuple(sorted(problem.indicators, key=str)),
    )


def _pinned_down(placed: Placed, space: set[int]) -> Placed:
    """Return a condition without a region with the plane or the point where it holds."""
    slots = placed.reading.slots
    pinned = {place for slot in slots for place in slot.places}
    if len(pinned) == 1 and all(slot.places for slot in slots):
        return replace(placed, plane=next(iter(pinned)))
    if len(slots) == 1 and {c for c, _ in pinned} == space:
        return replace(placed, point=dict(pinned))
    raise refusal(placed.reading.name, "it relates several places")


def _order_in_time(terms: tuple[Placed, ...], problem: Problem, time: int) -> int:
    """Return the highest order in a coordinate, if conditions at its start are as many as an evolution needs, else 0."""
    readings = [p.reading for p in terms]
    bounds = [problem.bounds[c] for c in problem.coordinates]
    orders = [
        max((r.order(f, time) for r in readings if r.kind == "equation"), default=0) for f in range(len(problem.fields))
    ]
    held = [r for r in readings if r.kind == "condition" and any(time in dict(slot.places) for slot in r.slots)]
    pure = all(is_initial(r, time, bounds=bounds) for r in held)
    return max(orders) if held and pure and len(held) == sum(max(order, 0) for order in orders) else 0


def _read(problem: Problem, unknowns: Mapping[Symbol, float], time: int | None) -> tuple[Placed, ...]:
    symbols = tuple(Dummy(c.name, real=True) for c in problem.coordinates)
    fields = {f.func: tuple(problem.coordinates.index(c) for c in f.args) for f in problem.fields}
    values = {s: float(v) for s, v in unknowns.items()}
    normals = {normal_symbol(c): normal_symbol(c) for c in problem.coordinates}
    groups = {symbol: symbol for symbol in problem.indicators}
    placed = []
    for term in _joined(problem):
        if term.kind == "data":
            continue
        region, start = _place(term, problem, time)
        held: dict[Symbol, float] = {} if time is None or start is None else {problem.coordinates[time]: start}
        reader = Reader(term.name, problem.coordinates, symbols, fields, {}, METHOD)
        expression = reader.walk(term.residual.subs(values), {**normals, **groups, **held})
        if expression.has(nan, zoo):
            raise refusal(term.name, f"it reads {expression}")
        reading = Reading(term.name, term.kind, expression, reader.slots, symbols, {}, frozenset())
        placed.append(Placed(reading, region))
    return tuple(placed)


def _joined(problem: Problem) -> list[Term]:
    """Return the statements, where one equation on groups of cells that together are all of a mesh holds everywhere."""
    mesh, terms = problem.domain, list(problem.terms)
    if not isinstance(mesh, Mesh):
        return terms
    alike: dict[Expr, list[tuple[Term, str]]] = {}
    for term in terms:
        if term.kind == "equation" and isinstance(term.region, Mesh) and term.region.of is not None:
            alike.setdefault(term.residual, []).append((term, term.region.of[1]))
    for parts in alike.values():
        cells = np.unique(np.concatenate([mesh.groups[group] for _, group in parts]))
        if len(cells) == mesh.count:
            terms[terms.index(parts[0][0])] = replace(parts[0][0], region=None)
            for part, _ in parts[1:]:
                terms.remove(part)
    return terms


def _place(term: Term, problem: Problem, time: int | None) -> tuple[Boundary | None, float | None]:
    """Return the part of the boundary on which a term holds, or the value of time at which it does."""
    if term.region is None:
        return None, None
    if not isinstance(term.region, Boundary):
        if term.region == problem.domain:
            return None, None
        raise refusal(term.name, "it holds on a part of the domain")
    values = {_pinned(piece, None if time is None else problem.coordinates[time]) for piece in term.region.pieces}
    if values == {None}:
        return term.region, None
    if len(values) > 1:
        raise refusal(term.name, "it holds both on walls and at the start or the end")
    return None, values.pop()


def _pinned(piece: Piece, coordinate: Symbol | None) -> float | None:
    while isinstance(piece, Part | Wall):
        piece = piece.piece
    return piece.value if isinstance(piece, Face) and piece.coordinate == coordinate else None


def _without(domain: Shape, coordinate: Symbol) -> Shape:
    """Return the region of the other coordinates."""
    rest: list[Shape] = []
    for factor in domain.factors if isinstance(domain, Product) else (domain,):
        if isinstance(factor, Box):
            left: Bounds = {c: ends for c, ends in factor.bounds.items() if c != coordinate}
            rest += [Box(left)] if left else []
        else:
            rest.append(factor)
    return product(*rest)
