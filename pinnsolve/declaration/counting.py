"""How many conditions a problem needs, and how many it has.

Along a coordinate, a system needs as many conditions as its characteristic polynomial has degree (for an ordinary differential
equation this is the dimension of its solution space), split between the ends as the roots of the polynomial ask. The sum of the
fields' orders is the most it can use. A single equation has both equal: its order. Pressure-like fields, which have an order but
no evolution of their own, lie between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sympy import Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.characteristics import degree, most_at_ends, split_between_ends
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Face, Piece
from pinnsolve.domains.regions import ROUNDING, Boundary
from pinnsolve.domains.shapes import Shape, factors_of
from pinnsolve.errors import ProblemError

Bounds = Mapping[Symbol, tuple[float, float]]


@dataclass(frozen=True)
class Plane:
    """Where a condition holds: a coordinate at a value (or at both ends at once), which share of the face, which fields.

    An integral, a reflection u(-x) = u(x), or values in a volume may stand in for conditions but are never one too many.
    """

    coordinate: Symbol
    value: float | None
    share: float
    fields: frozenset[str]
    stand_in: bool = False


def orders(terms: Sequence[Term], fields: Sequence[AppliedUndef]) -> dict[tuple[str, Symbol], int]:
    """Return for each field and coordinate the highest order of derivative in the equations."""
    slots = {f.func.__name__: f.args for f in fields}
    highest = {(name, c): 0 for name, args in slots.items() for c in args}
    for term in terms:
        if term.kind == "equation":
            for reading in evaluations(with_ends_of_integrals(term.residual)).values():
                for coordinate, order in zip(slots[reading.field], reading.orders, strict=True):
                    highest[reading.field, coordinate] = max(highest[reading.field, coordinate], order)
    return highest


def planes(
    term: Term, slots: Mapping[str, tuple[Symbol, ...]], bounds: Bounds, *, domain: Shape | None = None
) -> Iterator[Plane]:
    """Yield the planes on which a condition stands; a condition at a point of a plane of its own stands on none.

    Args:
        term: The condition.
        slots: The coordinates of each field.
        bounds: The ranges of the coordinates.
        domain: The region, by which the share of a face that is times another region is known; without it such a face is whole.
    """
    readings = list(evaluations(with_ends_of_integrals(term.residual)).values())
    names = frozenset(r.field for r in readings)
    if isinstance(term.region, Boundary):
        for piece in term.region.pieces:
            held, part = _held(piece, domain)
            if held is not None:
                full = math.prod(bounds[c][1] - bounds[c][0] for c in held.bounds)
                yield Plane(held.coordinate, held.value, part * held.measure / full, names)
        return
    pinned: dict[Symbol, set[float]] = {}
    reflected: set[Symbol] = set()
    for reading in readings:
        for coordinate, argument in zip(slots[reading.field], reading.location, strict=True):
            if argument.is_number:
                pinned.setdefault(coordinate, set()).add(float(argument))
            elif argument != coordinate:
                reflected.add(coordinate)
    if any(sum(bool(a.is_number) for a in reading.location) > 1 for reading in readings):
        return
    share = 1.0
    if term.region is not None:
        inside = term.region.bounds
        share = math.prod((hi - lo) / (bounds[c][1] - bounds[c][0]) for c, (lo, hi) in inside.items() if c in term.free)
    if term.region is not None and not pinned:
        yield from (Plane(c, None, math.inf, names, stand_in=True) for c in term.free)
    for coordinate, values in pinned.items():
        spread = term.residual.has(Integral) or coordinate in reflected
        yield Plane(coordinate, values.pop() if len(values) == 1 else None, share, names, spread)
    yield from (Plane(c, None, share, names, stand_in=True) for c in reflected if c not in pinned)


def marching(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> list[Symbol]:
    """Return the coordinates with conditions at their low end alone: those in which the solution evolves.

    Only a coordinate that ranges independently of the others can be one, such as the time of a cylinder.
    """
    slots = {f.func.__name__: f.args for f in fields}
    stands = [p for t in terms if t.kind == "condition" for p in planes(t, slots, domain.bounds)]
    found = []
    for coordinate, (low, high) in domain.intervals.items():
        places = [p.value for p in stands if p.coordinate == coordinate]
        at_low = [place is not None and abs(place - low) <= ROUNDING * (high - low) for place in places]
        if places and all(at_low):
            found.append(coordinate)
    return found


def check_counts(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    bounds: Bounds,
    *,
    domain: Shape,
    free_unknowns: bool,
) -> None:
    """Raise when conditions at the ends of intervals are missing, or more than the equations can bear.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        bounds: The ranges of the coordinates.
        domain: The region; only its coordinates that range independently of the others are looked at.
        free_unknowns: Whether unknown parameters or fields are sought, which extra conditions may determine.

    Raises:
        ProblemError: Names the coordinate, what is needed, and what was found.
    """
    intervals = domain.intervals
    has_data = any(term.kind == "data" for term in terms)
    highest = orders(terms, fields)
    slots = {f.func.__name__: f.args for f in fields}
    conditions = {t.residual: t for t in reversed(terms) if t.kind == "condition" and t.region is None}
    distinct = [t for t in terms if t.kind == "condition" and (t.region is not None or conditions[t.residual] is t)]
    stands = [(t, p) for t in distinct for p in planes(t, slots, bounds, domain=domain) if p.coordinate in intervals]
    ends = {c: _at_ends([p for _, p in stands if p.coordinate == c], bounds[c]) for c in bounds}
    for coordinate in intervals:
        given = _total([p for _, p in stands if p.coordinate == coordinate])
        total = sum(highest.get((name, coordinate), 0) for name in slots)
        least = degree(terms, fields, coordinate, bounds)
        least = total if least is None else least
        there = [f"{t.name} at {_at(p)}" for t, p in stands if p.coordinate == coordinate]
        if given < least - 0.5 and not has_data and not free_unknowns:
            raise ProblemError(
                f"conditions in {coordinate}",
                f"the equations need {least} (one for each order of derivative), found {given:g}"
                + (f" ({', '.join(there)})" if there else ""),
                _missing_remedy(fields, coordinate, bounds, highest, stands),
            )
        if not has_data and not free_unknowns:
            evolution = _evolution(ends, coordinate)
            changing = partial(most_at_ends, terms, fields, coordinate, bounds, evolution=evolution)
            _check_surplus(
                coordinate, stands, highest, slots, bounds, regular=least == total, least=least, changing=changing
            )
            _check_split(coordinate, ends, stands, terms, fields, bounds)


def _held(piece: Piece, domain: Shape | None) -> tuple[Face | None, float]:
    """Return the face of a box that a piece is a part of, or a product of, and which share of it; None for one that holds none."""
    share = 1.0
    while isinstance(piece, Wall | Part):
        if isinstance(piece, Part):
            share *= piece.fraction / piece.piece.fraction
        else:
            own = set(piece.region.coordinates)
            wholes = (
                [factor.measure for factor in factors_of(domain) if set(factor.coordinates) == own] if domain else []
            )
            share *= piece.region.measure / wholes[0] if wholes else 1.0
        piece = piece.piece
    return (piece, share) if isinstance(piece, Face) else (None, share)


def _check_surplus(
    coordinate: Symbol,
    stands: Sequence[tuple[Term, Plane]],
    highest: Mapping[tuple[str, Symbol], int],
    slots: Mapping[str, tuple[Symbol, ...]],
    bounds: Bounds,
    *,
    regular: bool,
    least: int,
    changing: Callable[[], int],
) -> None:
    ends = [
        (t, p) for t, p in stands if p.coordinate == coordinate and not p.stand_in and _at_end(p, bounds[coordinate])
    ]
    if least == 0:  # periodicity of a coordinate that is not differentiated follows from the equation: harmless
        ends = [(t, p) for t, p in ends if p.value is not None]
    given = _total([p for _, p in ends])
    most = sum(highest.get((name, coordinate), 0) for name in slots)
    if not regular:  # a pressure may be given at both ends of a coordinate in which it has order one
        most = sum(2 * math.ceil(highest.get((name, coordinate), 0) / 2) for name in slots)
    if given > most + 0.5 and given > changing() + 0.5:
        raise ProblemError(
            ", ".join(dict.fromkeys(t.name for t, _ in ends)),
            f"{given:g} conditions in {coordinate}, where the equations bear {most}",
            f"remove {given - most:g} of them, or add the term that needs it",
        )


def _missing_remedy(
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    bounds: Bounds,
    highest: Mapping[tuple[str, Symbol], int],
    stands: Sequence[tuple[Term, Plane]],
) -> str:
    """Say which values and slopes are not given yet of the field that lacks most."""
    given = {
        (reading.field, end, reading.orders[field.args.index(coordinate)])
        for term, plane in stands
        for end in bounds[coordinate]
        if plane.coordinate == coordinate and plane.value is not None and abs(plane.value - end) <= ROUNDING * abs(end)
        for reading in evaluations(term.residual).values()
        for field in fields
        if field.func.__name__ == reading.field and coordinate in field.args
    }

    def lacking(field: AppliedUndef) -> int:
        name = field.func.__name__
        return highest.get((name, coordinate), 0) - sum(1 for other, *_ in given if other == name)

    field = max((f for f in fields if coordinate in f.args), key=lacking)
    slopes = max(1, min(2, highest.get((field.func.__name__, coordinate), 0)))
    missing = [
        f"Eq({field.subs(coordinate, at) if not order else f'{field.func}.diff({coordinate}).subs({coordinate}, {at})'}, ...)"
        for end in bounds[coordinate]
        for at in [_tidy(end)]
        for order in range(slopes)
        if (field.func.__name__, end, order) not in given
    ]
    # On parts of faces, or of an order beyond two, something may be given everywhere and yet too little.
    missing = missing or [f"Eq({field.subs(coordinate, _tidy(end))}, ...)" for end in bounds[coordinate]]
    return f"add a condition such as {' or '.join(missing)}, or observations"


def _check_split(
    coordinate: Symbol,
    given: Mapping[Symbol, tuple[float, float] | None],
    stands: Sequence[tuple[Term, Plane]],
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    bounds: Bounds,
) -> None:
    """Raise when conditions stand at the wrong end, where the equations leave no doubt."""
    here = given[coordinate]
    if here is None or here == (0, 0):
        return
    evolution = _evolution(given, coordinate)
    needed = None
    for frozen in (
        ({}, evolution) if 0 in here else (evolution,)
    ):  # one end only, like a time: first let the others oscillate
        needed = needed or split_between_ends(terms, fields, coordinate, bounds, evolution=frozen)
    if needed is not None and any(got < need - 0.5 for got, need in zip(here, needed, strict=True)):
        low, high = (f"{coordinate} = {end:g}" for end in bounds[coordinate])
        names = ", ".join(dict.fromkeys(t.name for t, p in stands if p.coordinate == coordinate))
        raise ProblemError(
            names,
            f"{here[0]:g} conditions at {low} and {here[1]:g} at {high}, where the equations ask for {needed[0]} and {needed[1]}",
            f"move a condition to the end that lacks one, or change the sign of the term of highest order in {coordinate}",
        )


def _evolution(given: Mapping[Symbol, tuple[float, float] | None], but: Symbol) -> dict[Symbol, int]:
    """Return the other coordinates with conditions at one end alone: 1 where it is the low one, else -1."""
    return {
        c: 1 if ends[0] else -1 for c, ends in given.items() if ends and c != but and (ends[0] == 0) != (ends[1] == 0)
    }


def _at_ends(stood: Sequence[Plane], ends: tuple[float, float]) -> tuple[float, float] | None:
    """Return how many conditions stand at the low and at the high end, or None if others than these count."""
    if any(p.stand_in or p.value is None or not _at_end(p, ends) for p in stood):
        return None
    at_low = [p for p in stood if p.value is not None and abs(p.value - ends[0]) < abs(p.value - ends[1])]
    return _total(at_low), _total(stood) - _total(at_low)


def _total(stood: Sequence[Plane]) -> float:
    return round(sum(p.share for p in stood), 3)


def _at_end(plane: Plane, ends: tuple[float, float]) -> bool:
    slack = ROUNDING * (ends[1] - ends[0])
    return plane.value is None or min(abs(plane.value - ends[0]), abs(plane.value - ends[1])) <= slack


def _at(plane: Plane) -> str:
    return f"{plane.coordinate} = {plane.value:g}" if plane.value is not None else f"both ends of {plane.coordinate}"


def _tidy(value: float) -> float | int:
    return int(value) if value == int(value) else value
