"""What a declared term says, read for a grid: an expression in coordinates and in slots.

A slot is one linear functional of one field: its derivative of some order, at the running point or with coordinates held at
places, such as D_x u(1, t). A residual is then an ordinary function f(coordinates, slots), which SymPy differentiates exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sympy import (
    Derivative,
    DiracDelta,
    Dummy,
    Expr,
    Heaviside,
    Integral,
    Piecewise,
    Subs,
    Symbol,
    ceiling,
    floor,
    nan,
    sign,
    zoo,
)
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term
from pinnsolve.domains.regions import Boundary, normal_symbol
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem

REMEDY = "give the truth with reference = ps.Exact({...}) or as observations, or go on without a reference"

Places = tuple[tuple[int, float], ...]
"""Coordinates, by position, with the values at which they are held."""


@dataclass(frozen=True)
class Slot:
    """One linear functional of one field.

    Args:
        field: Position of the field.
        orders: Order of the derivative in each coordinate.
        places: The coordinates held at a value; the other ones run with the point.
    """

    field: int
    orders: tuple[int, ...]
    places: Places = ()


@dataclass(frozen=True)
class Reading:
    """One term as a function of coordinates and slots.

    Args:
        name: The term's name, with the face where it holds when it holds on several.
        kind: "equation" or "condition".
        expression: The residual in the coordinates' and the slots' symbols only.
        slots: Each slot's symbol.
        coordinates: The coordinates' symbols in the domain's order, all real.
        places: The coordinates that do not run, with their values.
        runs: The positions of the coordinates that run.
    """

    name: str
    kind: str
    expression: Expr
    slots: Mapping[Slot, Symbol]
    coordinates: tuple[Symbol, ...]
    places: Mapping[int, float]
    runs: frozenset[int]

    @property
    def jumps(self) -> bool:
        """Whether a coefficient may be discontinuous along a coordinate."""
        parts = self.expression.atoms(Piecewise, Heaviside, sign, floor, ceiling)
        return any(part.free_symbols & set(self.coordinates) for part in parts)

    def order(self, field: int, coordinate: int) -> int:
        """Return the highest order of derivative of a field in a coordinate, -1 when the field does not occur."""
        return max((slot.orders[coordinate] for slot in self.slots if slot.field == field), default=-1)


def read(problem: Problem, unknowns: Mapping[Symbol, float]) -> tuple[Reading, ...]:
    """Read every equation and condition of a problem, one reading for each face where it holds.

    Args:
        problem: The declaration.
        unknowns: The values at which unknown parameters are held.

    Raises:
        UnsupportedError: Integrals, fields of shifted arguments, equations on a part of the box, unknowns without a value.
    """
    symbols = tuple(Dummy(c.name, real=True) for c in problem.coordinates)
    fields = {f.func: tuple(problem.coordinates.index(c) for c in f.args) for f in problem.fields}
    readings: list[Reading] = []
    for term in problem.terms:
        if term.kind == "data":
            continue
        for places, normal, suffix in _sides(term, problem):
            residual = term.residual.subs({s: float(v) for s, v in unknowns.items()}).subs(normal)
            reader = Reader(term.name, problem.coordinates, symbols, fields, {})
            expression = reader.walk(residual, {problem.coordinates[c]: v for c, v in places.items()})
            readings.append(_reading(term, suffix, expression, reader.slots, symbols, tuple(fields.values())))
    return tuple(readings)


@dataclass(frozen=True)
class Reader:
    """Reads the expression of one term into slots.

    Args:
        name: The term's name.
        coordinates: The domain's coordinates.
        symbols: The real symbols that take their places.
        fields: For each field the positions of its coordinates.
        slots: Those found so far, which grow.
        method: What it is read for, in words.
    """

    name: str
    coordinates: tuple[Symbol, ...]
    symbols: tuple[Symbol, ...]
    fields: Mapping[type, tuple[int, ...]]
    slots: dict[Slot, Symbol]
    method: str = "finite-difference"

    def walk(self, expression: Expr, held: Mapping[Symbol, Expr | float]) -> Expr:
        """Return the expression with slots for fields and real symbols for coordinates; `held` symbols have values."""
        if isinstance(expression, Integral):
            raise self.refusal(f"the integral {expression}")
        if isinstance(expression, Subs):
            inner = {v: self.walk(p, held) for v, p in zip(expression.variables, expression.point, strict=True)}
            return self.walk(expression.expr, {**held, **inner})
        if isinstance(expression, AppliedUndef):
            return self.slot(expression, (), held)
        if isinstance(expression, Derivative):
            if isinstance(expression.expr, AppliedUndef):
                return self.slot(expression.expr, expression.variable_count, held)
            done = expression.doit()
            if isinstance(done, Derivative) and not isinstance(done.expr, AppliedUndef):
                raise self.refusal(f"the derivative {expression}")
            return self.walk(done, held)
        if isinstance(expression, Symbol):
            if expression in held:
                return held[expression]
            if expression in self.coordinates:
                return self.symbols[self.coordinates.index(expression)]
            raise self.refusal(f"{expression}, which has no value")
        if not expression.args:
            return expression
        return expression.func(*(self.walk(argument, held) for argument in expression.args))

    def slot(self, field: AppliedUndef, counts: tuple, held: Mapping[Symbol, Expr | float]) -> Symbol:
        """Return the symbol of a derivative of a field, by its variables and their counts."""
        own = self.fields.get(field.func)
        if own is None:
            raise self.refusal(f"{field}, which is not a field of the problem")
        orders, places = [0] * len(self.coordinates), []
        for coordinate, argument in zip(own, field.args, strict=True):
            value = self.walk(argument, held)
            if value != self.symbols[coordinate]:
                if value.free_symbols if isinstance(value, Expr) else False:
                    raise self.refusal(f"{field}, a field of the argument {argument}")
                places.append((coordinate, float(value)))
        for variable, count in counts:
            positions = [c for c, argument in zip(own, field.args, strict=True) if argument == variable]
            if len(positions) != 1:
                raise self.refusal(f"the derivative of {field} with respect to {variable}")
            orders[positions[0]] += int(count)
        key = Slot(list(self.fields).index(field.func), tuple(orders), tuple(places))
        return self.slots.setdefault(key, Dummy(f"s{len(self.slots)}", real=True))

    def refusal(self, found: str) -> UnsupportedError:
        """Return the error that says what cannot be read."""
        return UnsupportedError(self.name, f"no {self.method} reference: {found}", REMEDY)


def with_rate(reading: Reading, coordinate: int) -> Reading:
    """Return the total derivative of a term along a coordinate: d/dt f(t, s) = f_t + sum over slots of f_s s_t."""
    slots = dict(reading.slots)
    total = reading.expression.diff(reading.coordinates[coordinate])
    for slot, symbol in reading.slots.items():
        orders = tuple(order + (c == coordinate) for c, order in enumerate(slot.orders))
        raised = slots.setdefault(replace(slot, orders=orders), Dummy(f"s{len(slots)}", real=True))
        total += reading.expression.diff(symbol) * raised
    return replace(
        reading, name=f"rate of {reading.name}", expression=total.replace(DiracDelta, lambda *_: 0), slots=slots
    )


def _sides(term: Term, problem: Problem) -> list[tuple[dict[int, float], dict[Symbol, float], str]]:
    """Return the held coordinates, the components of the normal and a suffix for each face where a term holds."""
    if term.region is None:
        return [({}, {}, "")]
    position = problem.coordinates.index
    if isinstance(term.region, Boundary):
        sides = []
        for face in term.region.faces:
            if any(
                abs(a - b) > 1e-9 * (d - c)
                for x, (a, b) in _ranges(face.bounds, problem)
                for c, d in [problem.bounds[x]]
            ):
                raise UnsupportedError(
                    term.name, "no finite-difference reference: it holds on a part of a face", REMEDY
                )
            normal = {normal_symbol(c): float(face.outward * (c == face.coordinate)) for c in problem.coordinates}
            sides.append(({position(face.coordinate): face.value}, normal, f" at {face.coordinate} = {face.value:g}"))
        return sides
    whole = {c: problem.bounds[c] for c in term.region.coordinates}
    if dict(getattr(term.region, "bounds", {})) == whole and type(term.region) is type(problem.domain):
        return [({}, {}, "")]
    raise UnsupportedError(term.name, "no finite-difference reference: it holds on a part of the domain", REMEDY)


def _ranges(bounds: Mapping[Symbol, tuple[float, float]], problem: Problem) -> list[tuple[Symbol, tuple[float, float]]]:
    """Pair each end of a face's ranges with the same end of the domain's."""
    return [(c, (bounds[c][side], problem.bounds[c][side])) for c in bounds for side in (0, 1)]


def _reading(
    term: Term,
    suffix: str,
    expression: Expr,
    slots: dict[Slot, Symbol],
    symbols: tuple[Symbol, ...],
    own: tuple[tuple[int, ...], ...],
) -> Reading:
    if expression.has(nan, zoo):
        raise UnsupportedError(term.name, f"no finite-difference reference: it reads {expression}", REMEDY)
    held = {c: v for slot in slots for c, v in slot.places}
    runs = {c for c, s in enumerate(symbols) if s in expression.free_symbols}
    runs |= {c for slot in slots for c in own[slot.field] if c not in dict(slot.places)}
    return Reading(term.name + suffix, term.kind, expression, slots, symbols, held, frozenset(runs))
