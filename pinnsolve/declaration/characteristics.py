"""Characteristics: the polynomial of a coordinate, how many conditions it asks for, and at which end.

Linearised at a state, with each derivative along a coordinate replaced by a power of s and the other directions frozen, a system
becomes P(s) û = 0. The degree of det P is the dimension of the space of solutions along the coordinate. Its roots say where the
conditions belong: exp(s x) with Re s < 0 is a layer at the low end, with Re s > 0 at the high end, when time is frozen as a growth
rate and the other coordinates as oscillations (normal modes; Kreiss and Lorenz, Initial-Boundary Value Problems and the
Navier-Stokes Equations, 1989). Lengths are relative to the ranges of the coordinates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sympy import Dummy, Expr, Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.evaluation import SYMPY_FAILS, number_at
from pinnsolve.declaration.terms import Term, evaluations

Bounds = Mapping[Symbol, tuple[float, float]]
Coefficients = NDArray[np.complex128]
States = Callable[[Sequence[Symbol]], Mapping[Symbol, float]]
"""Draws a value for each symbol."""

WAVE_NUMBERS = (1e2, 1e3)
"""Large, so that the highest derivatives decide and not a reaction or a convection of ordinary size. Two, which must agree: where
long waves grow, as in Kuramoto and Sivashinsky's equation, one may be too small."""

_COUNTED_WAVES = (1, 2, 4, 8, 16)
"""Waves in the range of every other coordinate whose growth is looked at."""

_STATES = 4
"""States at which the split must agree: a speed that changes sign with the solution decides nothing."""


def degree(terms: Sequence[Term], fields: Sequence[AppliedUndef], coordinate: Symbol, bounds: Bounds) -> int | None:
    """Return the degree of det P(s), or None where the equations are not a square system over the whole domain."""
    generator = np.random.default_rng(7)
    frozen = {c: generator.uniform(0.5, 1.5) * np.exp(1j * generator.uniform(0, 6)) for c in bounds}
    states = random_states(generator, bounds, lowest=0.5)
    coefficients = _polynomial(terms, fields, coordinate, frozen, states, bounds, radius=1.0)
    return None if coefficients is None else len(coefficients) - 1


def split_between_ends(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    bounds: Bounds,
    *,
    evolution: Mapping[Symbol, int],
) -> tuple[int, int] | None:
    """Return how many conditions belong at the low and at the high end of a coordinate, or None where this is not certain.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        coordinate: The coordinate asked about.
        bounds: The ranges of the coordinates.
        evolution: Other coordinates in which the solution evolves, 1 from the low end and -1 from the high one.
    """
    found = _splits(terms, fields, coordinate, bounds, evolution)
    return found.pop() if len(found) == 1 else None


def most_at_ends(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    bounds: Bounds,
    *,
    evolution: Mapping[Symbol, int],
) -> int:
    """Return how many conditions the two ends of a coordinate bear where what flows in changes sides, 0 where this is not certain.

    In y u_x with -1 < y < 1, or in u u_x, values flow in at one end here and at the other there: each end bears one. The arguments
    are those of `split_between_ends`.
    """
    found = [split or (0, 0) for split in _splits(terms, fields, coordinate, bounds, evolution)]
    return max(low for low, _ in found) + max(high for _, high in found)


def _splits(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    bounds: Bounds,
    evolution: Mapping[Symbol, int],
) -> set[tuple[int, int] | None]:
    """Return what `split_between_ends` finds at states of all kinds, None among it where it finds nothing."""
    generator = np.random.default_rng(11)
    found: set[tuple[int, int] | None] = set()
    for wave, _ in itertools.product(WAVE_NUMBERS, range(_STATES)):
        size = {c: generator.uniform(0.5, 1.5) for c in bounds}
        frozen = {
            c: complex(evolution[c] * wave**2 * size[c]) if c in evolution else 1j * wave * size[c] for c in bounds
        }
        states = random_states(generator, bounds, lowest=-1.5)
        coefficients = _polynomial(terms, fields, coordinate, frozen, states, bounds, radius=wave)
        roots = None if coefficients is None else np.roots(coefficients[::-1]).astype(np.complex128)
        found.add(None if roots is None else _count_sides(wave * roots, wave))
    return found


def growth(terms: Sequence[Term], fields: Sequence[AppliedUndef], coordinate: Symbol, bounds: Bounds) -> float:
    """Return by how many powers of e small waves grow at most over the range of a coordinate, at states of ordinary size.

    0 where nothing grows, or the equations are not a square system over the whole domain.
    """
    generator = np.random.default_rng(13)
    largest = 0.0
    for wave, _ in itertools.product(_COUNTED_WAVES, range(_STATES)):
        frozen = {c: 2j * np.pi * wave for c in bounds}
        states = random_states(generator, bounds, lowest=-1.5)
        coefficients = _polynomial(terms, fields, coordinate, frozen, states, bounds, radius=1.0)
        if coefficients is not None and len(coefficients) > 1:
            largest = max(largest, float(np.roots(coefficients[::-1]).real.max()))
    return largest


def _count_sides(roots: Coefficients, wave: float) -> tuple[int, int] | None:
    """Count roots in the left and in the right half plane; None if one is too close to the axis or does not grow."""
    if (np.abs(roots) < 0.05 * wave).any() or (np.abs(roots.real) < 1e-3 * np.abs(roots)).any():
        return None
    return int((roots.real < 0).sum()), int((roots.real > 0).sum())


def random_states(generator: np.random.Generator, bounds: Bounds, *, lowest: float) -> States:
    """Draw coordinates in their ranges and anything else between the lowest value and 1.5."""
    return lambda symbols: {s: generator.uniform(*bounds.get(s, (lowest, 1.5))) for s in symbols}


def _polynomial(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    frozen: Mapping[Symbol, complex],
    states: States,
    bounds: Bounds,
    *,
    radius: float,
) -> Coefficients | None:
    """Return the coefficients of det P(radius s), lowest first, without those that vanish to rounding at the top."""
    equations = [t for t in terms if t.kind == "equation"]
    if len(equations) != len(fields) or any(t.region is not None or t.residual.has(Integral) for t in equations):
        return None
    rows = [linearise(t.residual, fields, coordinate, frozen, states, bounds) for t in equations]
    if any(row is None for row in rows):
        return None
    matrix = [row for row in rows if row is not None]
    count = 1 + sum(max((power for row in matrix for power, _ in row[k]), default=0) for k in range(len(fields)))
    # det P on a circle gives its coefficients by a discrete Fourier transform.
    circle = radius * np.exp(2j * np.pi * np.arange(count) / count)
    with np.errstate(over="ignore", invalid="ignore"):
        values = [np.linalg.det([[sum(c * s**o for o, c in entry) for entry in row] for row in matrix]) for s in circle]
        coefficients = np.fft.fft(values) / count
    if not np.isfinite(coefficients).all():
        return None
    present = np.flatnonzero(np.abs(coefficients) > 1e-12 * np.abs(coefficients).max())
    return coefficients[: present[-1] + 1] if present.size else None


def linearise(
    residual: Expr,
    fields: Sequence[AppliedUndef],
    coordinate: Symbol,
    frozen: Mapping[Symbol, complex],
    states: States,
    bounds: Bounds,
) -> list[list[tuple[int, complex]]] | None:
    """Return for each field the (power of s, coefficient) pairs of one equation at a random state."""
    try:
        readings, symbols = _readings(residual, tuple(fields))
    except SYMPY_FAILS:  # a derivative that it does not know
        return None
    values = states(symbols)
    row: list[list[tuple[int, complex]]] = [[] for _ in fields]
    for reading in readings:
        coefficient = number_at(reading.slope, values)
        if not reading.here or coefficient is None:
            return None
        power = 0
        for c, order in reading.orders:
            coefficient /= (bounds[c][1] - bounds[c][0]) ** order
            if c == coordinate:
                power = order
            else:
                coefficient *= frozen[c] ** order
        row[reading.field].append((power, coefficient))
    return row


@dataclass(frozen=True)
class _Reading:
    """What an equation reads: of which field, whether at the place where it holds, orders above 0, and the slope in it."""

    field: int
    here: bool
    orders: tuple[tuple[Symbol, int], ...]
    slope: Expr


@lru_cache(maxsize=64)
def _readings(residual: Expr, fields: tuple[AppliedUndef, ...]) -> tuple[list[_Reading], list[Symbol]]:
    """Return what an equation reads, and all symbols that the slopes may contain.

    They are asked for at many states along every coordinate, and cost the square of the number of readings.
    """
    places = evaluations(residual)
    dummies = {place: Dummy() for place in places}
    opened = residual.xreplace(dummies)
    others = sorted(opened.free_symbols - set(dummies.values()), key=str)
    numbers = {f.func.__name__: k for k, f in enumerate(fields)}
    found = []
    for place, reading in places.items():
        number = numbers[reading.field]
        args = fields[number].args
        orders = tuple((c, order) for c, order in zip(args, reading.orders, strict=True) if order)
        found.append(_Reading(number, reading.location == args, orders, opened.diff(dummies[place])))
    return found, [*dummies.values(), *others]
