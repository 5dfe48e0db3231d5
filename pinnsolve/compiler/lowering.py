"""Lowering: from a residual in SymPy to an expression in slots, and what must be evaluated where to fill them.

Each derivative of a field at a place becomes one slot, or several that are only read together do. Places are collected over the
fields, so that several derivatives of several fields at one place cost one evaluation of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sympy import Dummy, Expr, Float, Symbol

from pinnsolve.compiler.gathering import gather
from pinnsolve.compiler.quadrature import expand_integrals
from pinnsolve.declaration.ansatz import substitute
from pinnsolve.declaration.terms import Evaluation, evaluations
from pinnsolve.jets import Derivative, MultiIndex
from pinnsolve.problem import Problem


@dataclass(frozen=True)
class Location:
    """A place where the network is evaluated.

    Args:
        place: One expression of the inputs for each coordinate of the domain.
        fields: The derivatives needed there, over the domain's coordinates, and the numbers of the fields they are needed of.
    """

    place: tuple[Expr, ...]
    fields: tuple[tuple[Derivative, frozenset[int]], ...]


@dataclass(frozen=True)
class Slot:
    """One number per point that a residual reads: a derivative of a field at a location."""

    symbol: Dummy
    location: int
    field: int
    derivative: Derivative


@dataclass(frozen=True)
class LoweredTerm:
    """A residual ready for emission.

    Args:
        name: The term's name.
        inputs: The symbols whose values come with each point: coordinates, normals, measured values.
        expression: The residual in inputs, unknowns and slot symbols.
        locations: Where the network is evaluated.
        slots: What is read there.
    """

    name: str
    inputs: tuple[Symbol, ...]
    expression: Expr
    locations: tuple[Location, ...]
    slots: tuple[Slot, ...]


def lower(name: str, residual: Expr, inputs: Sequence[Symbol], *, problem: Problem) -> LoweredTerm:
    """Lower one residual, or any expression of the fields.

    Args:
        name: For messages.
        residual: A real expression of the problem's real fields.
        inputs: The symbols whose values come with each point.
        problem: Gives fields, ansatz and unknowns.
    """
    expression = expand_integrals(residual)  # first: the nodes are places like any other
    if problem.ansatz:
        expression = substitute(expression, problem.ansatz)  # before reading: new derivatives of the network appear
    if problem.scales.fields:
        expression = substitute(expression, problem.scales.ansatz())  # last of these: what is scaled is the network
    fields = [f.func.__name__ for f in problem.fields]
    places: list[tuple[Expr, ...]] = []
    readings: dict[Dummy, tuple[tuple[int, int], MultiIndex]] = {}
    stand_ins: dict[Expr, Dummy] = {}
    for sub_expression, reading in sorted(evaluations(expression).items(), key=lambda item: str(item[0])):
        place, index = _spread(reading, problem, inputs)
        if place not in places:
            places.append(place)
        symbol = Dummy(_slot_name(reading))
        stand_ins[sub_expression] = symbol
        readings[symbol] = (places.index(place), fields.index(reading.field)), index
    expression, derivatives = gather(expression.xreplace(stand_ins), readings)  # last: only now is each a symbol
    slots = tuple(Slot(symbol, *readings[symbol][0], derivative) for symbol, derivative in derivatives.items())
    locations = tuple(Location(place, _needed(slots, k)) for k, place in enumerate(places))
    return LoweredTerm(name, tuple(inputs), expression, locations, slots)


def _needed(slots: Sequence[Slot], location: int) -> tuple[tuple[Derivative, frozenset[int]], ...]:
    """Return the derivatives that are read at a location, and of which fields."""
    fields: dict[Derivative, set[int]] = {}
    for slot in slots:
        if slot.location == location:
            fields.setdefault(slot.derivative, set()).add(slot.field)
    return tuple((derivative, frozenset(some)) for derivative, some in fields.items())


def _spread(reading: Evaluation, problem: Problem, inputs: Sequence[Symbol]) -> tuple[tuple[Expr, ...], MultiIndex]:
    """Return place and multi-index over all coordinates; those the field does not read are left where they are."""
    slots = next(f.args for f in problem.fields if f.func.__name__ == reading.field)
    arguments = dict(zip(slots, reading.location, strict=True))
    orders = dict(zip(slots, reading.orders, strict=True))
    place = []
    for coordinate in problem.coordinates:
        low, high = problem.bounds[coordinate]
        elsewhere = coordinate if coordinate in inputs else Float((low + high) / 2)
        place.append(arguments.get(coordinate, elsewhere))
    return tuple(place), tuple(orders.get(c, 0) for c in problem.coordinates)


def _slot_name(reading: Evaluation) -> str:
    """Return a name for printing such as u_2_0 for u_xx."""
    return reading.field + ("_" + "_".join(map(str, reading.orders)) if any(reading.orders) else "")
