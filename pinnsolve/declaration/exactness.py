"""Conditions met exactly: the ansatz u = g + d N that follows from what is declared on the faces of a box.

Where the values of a field, or its value and first slopes, are given on whole faces, g meets them and d vanishes there with as
many derivatives, so that every network N meets them too (Lagaris, Likas and Fotiadis, IEEE Transactions on Neural Networks 9,
1998). With C_i the conditions along one coordinate and phi_i Hermite's polynomials, C_i phi_j = delta_ij, one coordinate after the
other adds

    g <- g + sum over i of phi_i (kappa_i - C_i g),

which disturbs no earlier coordinate where the given values kappa agree at the edges: Coons' transfinite interpolation (Gordon and
Hall, Numerische Mathematik 21, 1973). Periodic coordinates ask nothing of the ansatz: a network reads them as a cosine and a sine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import (
    Abs,
    Add,
    Derivative,
    Dummy,
    Expr,
    Float,
    Heaviside,
    Integer,
    Integral,
    Matrix,
    Max,
    Min,
    Piecewise,
    Rational,
    Subs,
    Symbol,
    factorial,
    lambdify,
    sign,
)
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.ansatz import conditions_met
from pinnsolve.declaration.counting import orders
from pinnsolve.declaration.distances import Enclosure, find_enclosures
from pinnsolve.declaration.onsets import find_onsets
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.parts import Wall
from pinnsolve.domains.pieces import Face, Piece
from pinnsolve.domains.regions import ROUNDING, Boundary
from pinnsolve.domains.shapes import Shape, factors_of

Bounds = Mapping[Symbol, tuple[float, float]]

_KINKED = (Abs, sign, Heaviside, Max, Min, Piecewise, Integral)
"""A field given by one of these has kinks that the ansatz would carry into the whole domain."""

_MOST_OPERATIONS = 400
"""Size of g beyond which its derivatives cost more than the network: transfinite interpolation has 3^n parts."""

_SEAM = 1e-9


@dataclass(frozen=True)
class Given:
    """A derivative of a field along a coordinate, of order zero or more, on the whole face where the coordinate is at one end."""

    term: str
    field: str
    coordinate: Symbol
    at: float
    order: int
    value: Expr


def exact_conditions(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, unknowns: Mapping[Symbol, float]
) -> tuple[dict[AppliedUndef, Expr], dict[Symbol, float]]:
    """Return g + d N for every field with conditions that can be met so, and the period of every periodic coordinate.

    Conditions that contradict each other's slopes where they meet cannot all be met: those that fail are left to the loss.

    Args:
        terms: All terms of the problem.
        fields: The real fields.
        domain: The region, a box or a product of boxes and one region of another shape.
        unknowns: Values of unknown parameters.
    """
    bounds = domain.bounds
    periods = find_periods(terms, fields, domain.intervals)
    slopes = orders(terms, fields)
    given = list(_given_on_faces(terms, fields, domain))
    enclosures = find_enclosures([t for t in terms if not t.residual.has(*_KINKED)], fields, domain)
    while True:
        onsets = {
            (name, coordinate): onset
            for (coordinate, at), states in _starts(given, slopes, periods).items()
            for name, onset in find_onsets(
                states, coordinate, at, terms=terms, fields=fields, domain=domain, unknowns=unknowns
            ).items()
        }
        ansatz = _build(given, fields, bounds, enclosures, periods, slopes, onsets)
        met = conditions_met(terms, fields, bounds, ansatz, periods, domain=domain)
        covered = {f.func.__name__ for f in ansatz}
        kept = [g for g in given if g.term in met or g.field not in covered]
        around = {f: e for f, e in enclosures.items() if e.terms <= met or f not in ansatz}
        if len(kept) == len(given) and len(around) == len(enclosures):
            return ansatz, periods
        given, enclosures = kept, around


def _build(
    given: Sequence[Given],
    fields: Sequence[AppliedUndef],
    bounds: Bounds,
    enclosures: Mapping[AppliedUndef, Enclosure],
    periods: Mapping[Symbol, float],
    highest: Mapping[tuple[str, Symbol], int],
    onsets: Mapping[tuple[str, Symbol], float],
) -> dict[AppliedUndef, Expr]:
    ansatz = {}
    for field in fields:
        sides: dict[Symbol, list[Given]] = {}
        for entry in _usable([g for g in given if g.field == field.func.__name__]):
            sides.setdefault(entry.coordinate, []).append(entry)
        for coordinate in periods:
            sides.pop(coordinate, None)
        around = enclosures.get(field)
        values, factor = (Integer(0), Integer(1)) if around is None else (around.values, around.factor)
        for coordinate, entries in sides.items():
            onset = onsets.get((field.func.__name__, coordinate))
            if onset is None:
                values = _interpolate(values, coordinate, entries, bounds[coordinate])
                factor *= _vanishing(coordinate, entries, bounds[coordinate])
            else:
                values = _continue(values, coordinate, entries, onset)
                since = _since(coordinate, entries[0].at, onset)
                factor *= since**2 / (1 + since**2)
            if values.count_ops() > _MOST_OPERATIONS:
                break  # before it grows threefold with every further coordinate
        # A kink of the given values at the seam of a period would stay for all times.
        smooth = all(
            _is_periodic(values.diff(c, k), {c}, bounds)
            for c in periods
            for k in range(max(1, highest.get((field.func.__name__, c), 0)))
        )
        if (sides or around) and smooth and values.count_ops() <= _MOST_OPERATIONS:
            ansatz[field] = values + factor * field
    return ansatz


def find_periods(terms: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds) -> dict[Symbol, float]:
    """Return the period of each coordinate in which all fields that read it are declared periodic, with all slopes the order asks.

    The equations must themselves be periodic in it: of u_t + x u_x = 0 only the value can be.
    """
    highest = orders(terms, fields)
    periods = {}
    for coordinate, (low, high) in bounds.items():
        declared = {found for t in terms if (found := _seam(t, coordinate, fields, bounds)) is not None}
        readers = [f.func.__name__ for f in fields if coordinate in f.args]
        asked = {(name, k) for name in readers for k in range(max(1, highest[name, coordinate]))}
        equations = [t.residual for t in terms if t.kind == "equation"]
        if readers and asked <= declared and all(_is_periodic(e, {coordinate}, bounds) for e in equations):
            periods[coordinate] = high - low
    return periods


def _seam(term: Term, coordinate: Symbol, fields: Sequence[AppliedUndef], bounds: Bounds) -> tuple[str, int] | None:
    """Return the field and the order of derivative that a condition declares equal at both ends of a coordinate."""
    readings = list(evaluations(term.residual).items())
    if term.kind != "condition" or term.region is not None or len(readings) != 2:
        return None
    (first, one), (second, other) = readings
    slots = next(f.args for f in fields if f.func.__name__ == one.field)
    if one.field != other.field or one.orders != other.orders or coordinate not in slots:
        return None
    column = slots.index(coordinate)
    if any(order for k, order in enumerate(one.orders) if k != column):
        return None
    if any(r.location[k] != slots[k] for r in (one, other) for k in range(len(slots)) if k != column):
        return None
    ends = sorted(float(r.location[column]) for r in (one, other) if r.location[column].is_number)
    a, b = Dummy(), Dummy()
    opened = term.residual.xreplace({first: a, second: b})
    if len(ends) < 2 or not np.allclose(ends, bounds[coordinate], rtol=0, atol=_slack(bounds[coordinate])):
        return None
    slope = opened.diff(a)
    return (
        (one.field, one.orders[column])
        if slope.is_number and slope and (opened / slope - (a - b)).expand() == 0
        else None
    )


def _given_on_faces(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> Iterator[Given]:
    slots = {f.func.__name__: f.args for f in fields}
    for term in terms:
        readings = list(evaluations(term.residual).items())
        if term.kind != "condition" or len(readings) != 1 or term.residual.has(*_KINKED):
            continue
        (place, reading), *_ = readings
        stand_in = Dummy()
        opened = term.residual.xreplace({place: stand_in})
        slope = opened.diff(stand_in)
        if not slope.is_number or slope == 0:
            continue
        value = -(opened.subs(stand_in, 0)) / slope
        if not value.free_symbols <= set(domain.coordinates):
            continue
        for coordinate, at in _faces(term, reading.location, slots[reading.field], domain):
            column = slots[reading.field].index(coordinate)
            if not any(order for k, order in enumerate(reading.orders) if k != column):
                bound = value.has(Integral, Derivative, Subs)
                there = value.subs(coordinate, _number(at)) if bound else value.xreplace({coordinate: _number(at)})
                yield Given(term.name, reading.field, coordinate, at, reading.orders[column], there)


def _faces(
    term: Term, location: tuple[Expr, ...], slots: tuple[Symbol, ...], domain: Shape
) -> Iterator[tuple[Symbol, float]]:
    """Yield the whole faces on which a condition stands, where a coordinate that ranges independently is at an end."""
    bounds = domain.intervals
    if isinstance(term.region, Boundary):
        faces = [_whole_face(piece, domain) for piece in term.region.pieces] if location == slots else []
        for face in (face for face in faces if face is not None and set(face.coordinates) <= set(bounds)):
            if all(np.allclose(ends, bounds[c], rtol=0, atol=_slack(bounds[c])) for c, ends in face.bounds.items()):
                yield face.coordinate, bounds[face.coordinate][0 if face.outward < 0 else 1]
        return
    pinned = [(c, float(a)) for c, a in zip(slots, location, strict=True) if a.is_number and c in bounds]
    kept = all(a == c for c, a in zip(slots, location, strict=True) if not a.is_number or c not in bounds)
    if term.region is None and len(pinned) == 1 and kept:
        (coordinate, at), *_ = pinned
        for end in bounds[coordinate]:
            if abs(at - end) <= _slack(bounds[coordinate]):
                yield coordinate, end


def _whole_face(piece: Piece, domain: Shape) -> Face | None:
    """Return the face that a piece is, or is times whole factors of the domain: the end of a cylinder."""
    while isinstance(piece, Wall) and piece.region in factors_of(domain):
        piece = piece.piece
    return piece if isinstance(piece, Face) else None


def _usable(given: Sequence[Given]) -> Iterator[Given]:
    """Yield on every face the value and the slopes up to the first that is not given: all of them or none must vanish with d."""
    faces: dict[tuple[Symbol, float], dict[int, Given]] = {}
    for entry in given:
        faces.setdefault((entry.coordinate, entry.at), {}).setdefault(entry.order, entry)
    for by_order in faces.values():
        for order in range(len(by_order)):
            if order not in by_order:
                break
            yield by_order[order]


def _interpolate(values: Expr, coordinate: Symbol, entries: Sequence[Given], ends: tuple[float, float]) -> Expr:
    """Correct values on the faces of one coordinate, by the polynomials that are one there in turn."""
    low, length = _number(ends[0]), _number(ends[1] - ends[0])
    scaled = (coordinate - low) / length
    powers = range(len(entries))
    place = [0 if entry.at == ends[0] else 1 for entry in entries]
    matrix = Matrix(
        [
            [_falling(n, e.order) * (Integer(at) ** (n - e.order) if n >= e.order else 0) for n in powers]
            for e, at in zip(entries, place, strict=True)
        ]
    )
    coefficients = matrix.inv()
    corrections = []
    for k, entry in enumerate(entries):
        there = values.diff(coordinate, entry.order) if entry.order else values
        missing = entry.value - there.subs(coordinate, _number(entry.at))
        shape = Add(*(coefficients[n, k] * scaled**n for n in powers))
        corrections.append(length**entry.order * shape * missing)
    return values + Add(*corrections)


def _continue(values: Expr, coordinate: Symbol, entries: Sequence[Given], onset: float) -> Expr:
    """Correct a value and a slope at the only end where any are given; what the slope adds grows no longer than for one onset."""
    since = _since(coordinate, entries[0].at, onset)
    shapes = (Integer(1), _number(onset) * since / (1 + since**2))
    corrections = []
    for entry in entries:
        there = values.diff(coordinate, entry.order) if entry.order else values
        corrections.append(shapes[entry.order] * (entry.value - there.subs(coordinate, _number(entry.at))))
    return values + Add(*corrections)


def _since(coordinate: Symbol, at: float, onset: float) -> Expr:
    """Return how many onsets a coordinate is from where it begins."""
    return (coordinate - _number(at)) / _number(onset)


def _starts(
    given: Sequence[Given], highest: Mapping[tuple[str, Symbol], int], periods: Collection[Symbol]
) -> dict[tuple[Symbol, float], dict[str, tuple[Expr, ...]]]:
    """Return the states from which fields evolve, by the face that they are given on: as many values and slopes as the order is."""
    sides: dict[tuple[str, Symbol], list[Given]] = {}
    for name in dict.fromkeys(g.field for g in given):
        for entry in _usable([g for g in given if g.field == name]):
            sides.setdefault((name, entry.coordinate), []).append(entry)
    starts: dict[tuple[Symbol, float], dict[str, tuple[Expr, ...]]] = {}
    for (name, coordinate), entries in sides.items():
        places = {entry.at for entry in entries}
        if coordinate not in periods and len(places) == 1 and len(entries) == highest[name, coordinate]:
            state = tuple(entry.value for entry in sorted(entries, key=lambda entry: entry.order))
            starts.setdefault((coordinate, places.pop()), {})[name] = state
    return starts


def _vanishing(coordinate: Symbol, entries: Sequence[Given], ends: tuple[float, float]) -> Expr:
    """Return the polynomial of size one that vanishes at the faces, with as many derivatives as are given there."""
    low, high = (_number(end) for end in ends)
    length = _number(ends[1] - ends[0])
    at_low = sum(entry.at == ends[0] for entry in entries)
    at_high = len(entries) - at_low
    scaled = ((coordinate - low) / length) ** at_low * ((high - coordinate) / length) ** at_high
    if not at_low or not at_high:
        return scaled
    top = Rational(at_low, at_low + at_high)
    return scaled / (top**at_low * (1 - top) ** at_high)


def _falling(power: int, order: int) -> Expr:
    """Return the factor of s^(power - order) in the derivative of s^power."""
    return factorial(power) / factorial(power - order) if power >= order else Integer(0)


def _is_periodic(expression: Expr, periods: Collection[Symbol], bounds: Bounds) -> bool:
    """Whether an expression has one value at both ends of each of these coordinates, whatever the fields in it are."""
    opened = expression.xreplace({place: Dummy() for place in evaluations(expression)})
    symbols = sorted(opened.free_symbols, key=str)
    generator = np.random.default_rng(0)
    for coordinate in periods:
        if coordinate not in symbols:
            continue
        values = {s: generator.uniform(*bounds.get(s, (0.5, 1.5)), 16) for s in symbols}
        function = lambdify(symbols, opened, "scipy")
        with np.errstate(all="ignore"):
            inside, low, high = (
                np.broadcast_to(function(*({**values, coordinate: there}[s] for s in symbols)), 16)
                for there in (values[coordinate], *(np.full(16, end) for end in bounds[coordinate]))
            )
        if not np.allclose(low, high, rtol=_SEAM, atol=_SEAM * float(np.max(np.abs(inside)))):
            return False
    return True


def _number(value: float) -> Expr:
    return Integer(int(value)) if float(value).is_integer() else Float(value)


def _slack(ends: tuple[float, float]) -> float:
    return ROUNDING * (ends[1] - ends[0])
