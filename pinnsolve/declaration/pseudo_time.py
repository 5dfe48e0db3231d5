"""Pseudo-time: which field every equation drives, and with which sign, so that short waves decay.

A march S u_tau + r(u) = 0 ends at a solution of the equations r = 0; S gives each equation a field and a sign. Linearised at a
state, with the symbol P(i xi) of the equations, a wave exp(i xi x) grows like the eigenvalues of -S^-1 P. For the Navier-Stokes
equations this pairs momentum with velocity and continuity with pressure: artificial compressibility (Chorin, A numerical method
for solving incompressible viscous flow problems, 1967).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.characteristics import Bounds, linearise, random_states
from pinnsolve.declaration.terms import Term
from pinnsolve.errors import ProblemError

_WAVES = (1e3, 1e4, 1e5)
"""Waves in the range of a coordinate, so many that the highest derivatives decide, small as their coefficients may be."""

_SAMPLES = 16
"""Directions and states looked at for each of them."""

_NEUTRAL = 0.05
"""Growth relative to the fastest wave that still counts as none: what lower derivatives leave."""

_DIGITS, _MARGIN = 3, 0.25
"""Dampings equal to so many digits, and growths closer than this part, are those of random states, and decide nothing."""

March = tuple[tuple[int, int], ...]
"""For every equation the field that it moves, and a sign."""

_MOST_PAIRED = 5
"""Fields up to which every pairing is tried; more are driven in the order in which equations and fields are declared."""


@dataclass(frozen=True)
class Drive:
    """An equation, the number of the field that it moves in pseudo-time, and the sign of that field's pseudo-time derivative."""

    equation: str
    field: int
    sign: int


def drives(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds, unknowns: Mapping[Symbol, float]
) -> tuple[Drive, ...]:
    """Return for every equation the field and the sign with which short waves decay, or at least do not grow.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        bounds: The ranges of the coordinates.
        unknowns: Values of unknown parameters.

    Raises:
        ProblemError: The equations are not as many as the fields, hold on a part of the domain only, contain integrals, or
            neither sign lets their waves decay.
    """
    equations = [term for term in terms if term.kind == "equation"]
    remedy = "leave pseudo_time out"
    if len(equations) != len(fields):
        raise ProblemError("pseudo_time", f"{len(equations)} equations for {len(fields)} fields", remedy)
    for term in equations:
        if term.region is not None or term.residual.has(Integral):
            raise ProblemError("pseudo_time", f"{term.name} is no differential equation on the whole domain", remedy)
    symbols = _symbols(equations, fields, bounds, unknowns)
    march = None if symbols is None else _best(symbols, list(_pairings(equations, fields)))
    if march is None:
        names = ", ".join(term.name for term in equations)
        found = f"short waves of {names} grow in pseudo-time with either sign, as those of wave equations do"
        raise ProblemError("pseudo_time", found, remedy)
    return tuple(Drive(term.name, field, sign) for term, (field, sign) in zip(equations, march, strict=True))


def _best(symbols: NDArray[np.complex128], pairings: Sequence[tuple[int, ...]]) -> March | None:
    """Return the march whose waves decay fastest and grow least; among equals the one nearest to the declaration."""
    marches = [
        tuple(zip(order, signs, strict=True))
        for order in pairings
        for signs in itertools.product((1, -1), repeat=symbols.shape[1])
    ]
    by_damping: dict[float, list[March]] = {}
    for march in marches:
        by_damping.setdefault(round(_damping(symbols, march), _DIGITS), []).append(march)
    for _, equals in sorted(by_damping.items(), reverse=True):
        best, least = None, np.inf
        for march in equals:
            growth, ratio = _growth(symbols, march)
            if ratio <= _NEUTRAL and growth < least - _MARGIN * abs(growth):
                best, least = march, growth
        if best is not None:
            return best
    return None


def _pairings(equations: Sequence[Term], fields: Sequence[AppliedUndef]) -> Iterator[tuple[int, ...]]:
    """Return the fields that the equations may drive, each one that ranges where the equation holds; as declared first."""
    numbers = range(len(fields))
    orders = itertools.permutations(numbers) if len(fields) <= _MOST_PAIRED else iter([tuple(numbers)])
    for order in orders:
        if all(set(fields[k].args) == set(term.free) for term, k in zip(equations, order, strict=True)):
            yield order


def _symbols(
    equations: Sequence[Term], fields: Sequence[AppliedUndef], bounds: Bounds, unknowns: Mapping[Symbol, float]
) -> NDArray[np.complex128] | None:
    """Return P(i xi), shape (samples, equations, fields), for short waves in all directions at many states."""
    generator = np.random.default_rng(17)
    ranges = {**bounds, **{symbol: (value, value) for symbol, value in unknowns.items()}}
    found = []
    for wave, _ in itertools.product(_WAVES, range(_SAMPLES)):
        sizes = generator.uniform(0.25, 1, len(bounds)) * generator.choice((-1, 1), len(bounds))
        frozen = {c: 1j * wave * size for c, size in zip(bounds, sizes, strict=True)}
        states = random_states(generator, ranges, lowest=-1.5)
        # A coordinate must be named whose powers are kept apart; any will do.
        along = next(iter(bounds))
        rows = [linearise(t.residual, fields, along, frozen, states, bounds) for t in equations]
        if any(row is None for row in rows):
            return None
        s = frozen[along]
        found.append([[sum(c * s**power for power, c in entry) for entry in row] for row in rows if row is not None])
    return np.array(found, dtype=complex)


def _damping(symbols: NDArray[np.complex128], march: March) -> float:
    """Return the mean over waves of the sum of the rates at which they decay, relative to the size of the symbol."""
    sums = sum(sign * symbols[:, equation, field].real for equation, (field, sign) in enumerate(march))
    sizes = np.linalg.norm(symbols, axis=(1, 2))
    return float(np.mean(sums / np.where(sizes > 0, sizes, 1)))


def _growth(symbols: NDArray[np.complex128], march: March) -> tuple[float, float]:
    """Return the largest rate at which a wave grows in pseudo-time, and the largest relative to the fastest rate of its wave."""
    matrices = np.empty_like(symbols)
    for equation, (field, sign) in enumerate(march):
        matrices[:, field] = sign * symbols[:, equation]
    rates = np.linalg.eigvals(-matrices)
    growth, fastest = rates.real.max(axis=1), np.abs(rates).max(axis=1)
    return float(growth.max()), float((growth / np.where(fastest > 0, fastest, 1)).max())
