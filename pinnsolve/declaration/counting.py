"""How many conditions a problem needs, and how many it has.

Along a coordinate s, a system needs as many conditions as det P(s) has degree, P the matrix of the linearised equations with
each derivative replaced by a power of s and the other directions frozen (for an ordinary differential equation this is the
dimension of its solution space). The sum of the fields' orders is the most it can use. A single equation has both equal: its
order. Pressure-like fields, which have an order but no evolution of their own, lie between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Dummy, Expr, Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.regions import ROUNDING, Boundary
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


def planes(term: Term, slots: Mapping[str, tuple[Symbol, ...]], bounds: Bounds) -> Iterator[Plane]:
    """Yield the planes on which a condition stands; a condition at a point of a plane of its own stands on none."""
    readings = list(evaluations(with_ends_of_integrals(term.residual)).values())
    names = frozenset(r.field for r in readings)
    if isinstance(term.region, Boundary):
        for face in term.region.faces:
            full = math.prod(bounds[c][1] - bounds[c][0] for c in face.bounds)
            yield Plane(face.coordinate, face.value, face.measure / full, names)
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


def check_counts(terms: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds, *, free_unknowns: bool) -> None:
    """Raise when conditions are missing, or more than the equations can bear.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        bounds: The ranges of the coordinates.
        free_unknowns: Whether unknown parameters or fields are sought, which extra conditions may determine.

    Raises:
        ProblemError: Names the coordinate, what is needed, and what was found.
    """
    has_data = any(term.kind == "data" for term in terms)
    highest = orders(terms, fields)
    slots = {f.func.__name__: f.args for f in fields}
    conditions = {t.residual: t for t in reversed(terms) if t.kind == "condition" and t.region is None}
    distinct = [t for t in terms if t.kind == "condition" and (t.region is not None or conditions[t.residual] is t)]
    stands = [(t, p) for t in distinct for p in planes(t, slots, bounds)]
    for coordinate in bounds:
        given = _total([p for _, p in stands if p.coordinate == coordinate])
        total = sum(highest.get((name, coordinate), 0) for name in slots)
        least = _determinant_degree(terms, fields, coordinate, bounds)
        least = total if least is None else least
        there = [f"{t.name} at {_at(p)}" for t, p in stands if p.coordinate == coordinate]
        if given < least - 0.5 and not has_data and not free_unknowns:
            raise ProblemError(
                f"conditions in {coordinate}",
                f"the equations need {least} (one for each order of derivative), found {given:g}"
                + (f" ({', '.join(there)})" if there else ""),
                _missing_remedy(fields, coordinate, bounds, highest),
            )
        if not has_data and not free_unknowns:
            _check_surplus(coordinate, stands, highest, slots, bounds, regular=least == total, least=least)


def _check_surplus(
    coordinate: Symbol,
    stands: Sequence[tuple[Term, Plane]],
    highest: Mapping[tuple[str, Symbol], int],
    slots: Mapping[str, tuple[Symbol, ...]],
    bounds: Bounds,
    *,
    regular: bool,
    least: int,
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
    if given > most + 0.5:
        raise ProblemError(
            ", ".join(dict.fromkeys(t.name for t, _ in ends)),
            f"{given:g} conditions in {coordinate}, where the equations bear {most}",
            f"remove {given - most:g} of them, or add the term that needs it",
        )


def _missing_remedy(
    fields: Sequence[AppliedUndef], coordinate: Symbol, bounds: Bounds, highest: Mapping[tuple[str, Symbol], int]
) -> str:
    field = max(fields, key=lambda f: highest.get((f.func.__name__, coordinate), 0))
    low, high = (field.subs(coordinate, _tidy(end)) for end in bounds[coordinate])
    return f"add a condition such as Eq({low}, ...) or Eq({high}, ...), or observations"


def _determinant_degree(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], coordinate: Symbol, bounds: Bounds
) -> int | None:
    """Return the degree of det P(s), or None where the equations are not a square system over the whole domain."""
    equations = [t for t in terms if t.kind == "equation"]
    if len(equations) != len(fields) or any(t.region is not None or t.residual.has(Integral) for t in equations):
        return None
    generator = np.random.default_rng(7)
    frozen = {c: generator.uniform(0.5, 1.5) * np.exp(1j * generator.uniform(0, 6)) for c in bounds}
    rows: list[list[list[tuple[int, complex]]]] = []
    for term in equations:
        entries = _linearise(term.residual, fields, coordinate, frozen, generator, bounds)
        if entries is None:
            return None
        rows.append(entries)
    count = 1 + sum(max((power for row in rows for power, _ in row[k]), default=0) for k in range(len(fields)))
    # det P on the unit circle gives its coefficients by a discrete Fourier transform.
    circle = np.exp(2j * np.pi * np.arange(count) / count)
    values = [np.linalg.det([[sum(c * s**o for o, c in e) for e in row] for row in rows]) for s in circle]
    coefficients = np.abs(np.fft.fft(values)) / count
    present = np.flatnonzero(coefficients > 1e-9 * max(coefficients.max(), 1e-300))
    return int(present[-1]) if coefficients.max() > 0 else None


def _linearise(
    residual: Expr,
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    frozen: Mapping[Symbol, complex],
    generator: np.random.Generator,
    bounds: Bounds,
) -> list[list[tuple[int, complex]]] | None:
    """Return for each field the (power of s, coefficient) pairs of one equation at a random state."""
    readings = evaluations(residual)
    dummies = {place: Dummy() for place in readings}
    opened = residual.xreplace(dummies)
    symbols = [*dummies.values(), *sorted(opened.free_symbols - set(dummies.values()), key=str)]
    state = {s: generator.uniform(*bounds[s]) if s in bounds else generator.uniform(0.5, 1.5) for s in symbols}
    row: list[list[tuple[int, complex]]] = []
    for field in fields:
        entries: list[tuple[int, complex]] = []
        for place, reading in readings.items():
            if reading.field != field.func.__name__:
                continue
            if reading.location != field.args:
                return None
            value = opened.diff(dummies[place]).evalf(subs=state)
            if not value.is_number or not value.is_finite:
                return None
            coefficient = complex(value)
            power = 0
            for c, order in zip(field.args, reading.orders, strict=True):
                if c == coordinate:
                    power = order
                else:
                    coefficient *= frozen[c] ** order
            entries.append((power, coefficient))
        row.append(entries)
    return row


def _total(stood: Sequence[Plane]) -> float:
    return round(sum(p.share for p in stood), 3)


def _at_end(plane: Plane, ends: tuple[float, float]) -> bool:
    slack = ROUNDING * (ends[1] - ends[0])
    return plane.value is None or min(abs(plane.value - ends[0]), abs(plane.value - ends[1])) <= slack


def _at(plane: Plane) -> str:
    return f"{plane.coordinate} = {plane.value:g}" if plane.value is not None else f"both ends of {plane.coordinate}"


def _tidy(value: float) -> float | int:
    return int(value) if value == int(value) else value
