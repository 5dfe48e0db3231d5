"""The unknown fields of a weak form, and the symbols of their values and derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sympy import Dummy, Expr, Symbol

from pinnsolve.reference.reading import Reading, Slot
from pinnsolve.reference.regional import refusal


@dataclass(frozen=True)
class Unknowns:
    """The unknown fields of a weak form and their symbols.

    Args:
        fields: For each the problem's field and the order of its time derivative.
        values: The symbol of each.
        slopes: The symbols of its first derivatives in space.
        bends: The symbols of its second derivatives, by pairs of positions in order.
        rates: The symbol of its time derivative.
    """

    fields: tuple[tuple[int, int], ...]
    values: tuple[Symbol, ...]
    slopes: tuple[tuple[Symbol, ...], ...]
    bends: tuple[Mapping[tuple[int, int], Symbol], ...]
    rates: tuple[Symbol, ...]

    def number(self, field: int, order: int = 0) -> int:
        """Return which unknown a time derivative of a field is."""
        return self.fields.index((field, order))


def make_unknowns(primary: Sequence[int], depth: Sequence[int], names: Sequence[str], dimension: int) -> Unknowns:
    """Return symbols for some of the fields, with their rates up to their depth, in so many dimensions."""
    fields = tuple((f, k) for f in primary for k in range(max(depth[f], 1)))
    labels = [names[f] + "'" * k for f, k in fields]
    pairs = list(itertools.combinations_with_replacement(range(dimension), 2))
    return Unknowns(
        fields,
        tuple(Dummy(label, real=True) for label in labels),
        tuple(tuple(Dummy(f"{label}_{a}", real=True) for a in range(dimension)) for label in labels),
        tuple({pair: Dummy(f"{label}_{pair}", real=True) for pair in pairs} for label in labels),
        tuple(Dummy(f"{label}_t", real=True) for label in labels),
    )


def canonical(
    reading: Reading,
    unknowns: Unknowns,
    placed: Mapping[int, Symbol],
    space: tuple[int, ...],
    time: int | None,
    depth: Sequence[int],
) -> Expr:
    """Return a reading in the symbols of the unknowns and, for fields that are fluxes, in those `placed`.

    Raises:
        UnsupportedError: A derivative that has no symbol.
    """
    symbols = {}
    for slot, symbol in reading.slots.items():
        symbols[symbol] = (
            _of_flux(reading, slot, placed[slot.field], space)
            if slot.field in placed
            else _of_unknown(reading, slot, unknowns, space, time, depth)
        )
    return reading.expression.xreplace(symbols)


def _of_flux(reading: Reading, slot: Slot, symbol: Symbol, space: tuple[int, ...]) -> Symbol:
    directions = [a for a, c in enumerate(space) if slot.orders[c]]
    if len(directions) > 1 or sum(slot.orders) > 1:
        raise refusal(reading.name, "a second derivative of a flux")
    return slope_of_flux(symbol, directions[0]) if directions else symbol


def slope_of_flux(symbol: Symbol, direction: int) -> Symbol:
    """Return the symbol of a derivative of a flux in a direction of space."""
    return Symbol(f"{symbol.name}_{symbol.dummy_index}_{direction}", real=True)


def _of_unknown(
    reading: Reading, slot: Slot, unknowns: Unknowns, space: tuple[int, ...], time: int | None, depth: Sequence[int]
) -> Symbol:
    order = 0 if time is None else slot.orders[time]
    directions = [a for a, c in enumerate(space) for _ in range(slot.orders[c])]
    if order > depth[slot.field]:
        raise refusal(reading.name, "a time derivative of higher order than the equation's")
    if order == depth[slot.field] > 0:
        if directions:
            raise refusal(reading.name, "a derivative in time and space together")
        return unknowns.rates[unknowns.number(slot.field, order - 1)]
    number = unknowns.number(slot.field, order)
    if not directions:
        return unknowns.values[number]
    if len(directions) == 1:
        return unknowns.slopes[number][directions[0]]
    first, second = directions
    return unknowns.bends[number][first, second]
