"""Pseudo-time: what every equation moves, with which sign, so that short waves do not grow, and how fast ordinary waves change.

A march S u_tau + r(u) = 0 ends at a solution of the equations r = 0; S gives each equation a field and a sign. Linearised at a
state, with the symbol P(i xi) of the equations, a wave exp(i xi x) grows like the eigenvalues of -S^-1 P. For the Navier-Stokes
equations this pairs momentum with velocity and continuity with pressure: artificial compressibility (Chorin, A numerical method
for solving incompressible viscous flow problems, 1967). Where a field evolves in t with the order m, its derivative of order m - 1
in t is moved, as for the system of first order that the equation stands for: waves then run along t and do not grow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.characteristics import Bounds, linearise, random_states
from pinnsolve.declaration.counting import marching, orders
from pinnsolve.declaration.terms import Term
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError

_SHORT = (1e3, 1e4, 1e5)
"""Waves in the range of a coordinate, so many that the highest derivatives decide, small as their coefficients may be."""

_SAMPLES = 16
"""Directions and states looked at for each of them."""

_NEUTRAL = 0.05
"""Growth of the shortest waves, relative to the fastest rate of the same wave, that counts as none: lower derivatives leave it."""

_DIGITS, _MARGIN = 3, 0.25
"""Dampings equal to so many digits, and growths closer than this part, are those of random states, and decide nothing."""

_MOST_PAIRED = 5
"""Fields up to which every pairing is tried; more are moved in the order in which equations and fields are declared."""

_Pairs = tuple[tuple[int, int], ...]
"""For every equation the number of the field that it moves, and a sign."""


@dataclass(frozen=True)
class Drive:
    """An equation, what it moves in pseudo-time, a field or its derivative, and the sign of that one's pseudo-time derivative."""

    equation: str
    moved: Expr
    sign: int


@dataclass(frozen=True)
class March:
    """What moves in pseudo-time, and how fast.

    Attributes:
        drives: One for every equation.
        rate: Of change of long waves at states of ordinary size, per unit of pseudo-time: steps much longer than its inverse
            leave the path.
    """

    drives: tuple[Drive, ...]
    rate: float


def find_march(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, unknowns: Mapping[Symbol, float]
) -> March:
    """Return what every equation moves with which sign so that short waves decay, or at least do not grow.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        domain: The region.
        unknowns: Values of unknown parameters.

    Raises:
        ProblemError: The equations are not as many as the fields, hold on a part of the domain only, contain integrals, or
            neither sign keeps their waves from growing.
    """
    equations = [term for term in terms if term.kind == "equation"]
    remedy = "leave pseudo_time out"
    if len(equations) != len(fields):
        raise ProblemError("pseudo_time", f"{len(equations)} equations for {len(fields)} fields", remedy)
    for term in equations:
        if term.region is not None or term.residual.has(Integral):
            raise ProblemError("pseudo_time", f"{term.name} is no differential equation on the whole domain", remedy)
    bounds, evolves = domain.bounds, marching(terms, fields, domain)
    time = evolves[0] if len(evolves) == 1 else None
    highest = orders(terms, fields)
    lower = [max(highest.get((f.func.__name__, time), 0) - 1, 0) for f in fields]
    ranges = {**bounds, **{symbol: (value, value) for symbol, value in unknowns.items()}}
    short = _waves(equations, fields, bounds, ranges, time=time, lower=lower, numbers=_SHORT)
    pairs = None if short is None else _best(short, list(_pairings(equations, fields)))
    long = _waves(equations, fields, bounds, ranges, time=time, lower=lower, numbers=(2 * np.pi,))
    if pairs is None or long is None:
        names = ", ".join(term.name for term in equations)
        raise ProblemError("pseudo_time", f"short waves of {names} grow in pseudo-time with either sign", remedy)
    moved = [field if order == 0 else field.diff(time, order) for field, order in zip(fields, lower, strict=True)]
    drives = (Drive(t.name, moved[field], sign) for t, (field, sign) in zip(equations, pairs, strict=True))
    return March(tuple(drives), float(np.median(np.abs(long.rates(pairs)).max(axis=1))))


@dataclass(frozen=True)
class _Waves:
    """Equations linearised for waves exp(i xi x) at states, many of them.

    Args:
        symbols: P(i xi), shape (samples, equations, fields).
        moved: What makes a field what is moved of it, (i omega)^(m - 1), shape (samples, fields).
    """

    symbols: NDArray[np.complex128]
    moved: NDArray[np.complex128]

    def rates(self, pairs: _Pairs) -> NDArray[np.complex128]:
        """Return the rates at which waves grow in pseudo-time, shape (samples, fields)."""
        matrices = np.empty_like(self.symbols)
        for equation, (field, sign) in enumerate(pairs):
            matrices[:, field] = -sign * self.symbols[:, equation] / self.moved[:, field, None]
        return np.linalg.eigvals(matrices).astype(np.complex128)

    def damping(self, pairs: _Pairs) -> float:
        """Return the mean over waves of the sum of the rates at which they decay, relative to the size of the symbol."""
        sums = sum(s * (self.symbols[:, e, f] / self.moved[:, f]).real for e, (f, s) in enumerate(pairs))
        sizes = np.linalg.norm(self.symbols / self.moved[:, None], axis=(1, 2))
        return float(np.mean(sums / np.where(sizes > 0, sizes, 1)))

    def growth(self, pairs: _Pairs) -> tuple[float, float]:
        """Return the largest rate at which a wave grows, and the largest relative to the fastest of its wave, for the shortest."""
        rates = self.rates(pairs)
        growth, fastest = rates.real.max(axis=1), np.abs(rates).max(axis=1)
        relative = growth / np.where(fastest > 0, fastest, 1)
        return float(growth.max()), float(relative[-_SAMPLES:].max())


def _best(waves: _Waves, pairings: Sequence[tuple[int, ...]]) -> _Pairs | None:
    """Return the pairs whose waves decay fastest and grow least; among equals those nearest to the declaration."""
    by_damping: dict[float, list[_Pairs]] = {}
    for fields, signs in itertools.product(pairings, itertools.product((1, -1), repeat=waves.moved.shape[1])):
        pairs = tuple(zip(fields, signs, strict=True))
        by_damping.setdefault(round(waves.damping(pairs), _DIGITS), []).append(pairs)
    for _, equals in sorted(by_damping.items(), reverse=True):
        best, least = None, np.inf
        for pairs in equals:
            growth, ratio = waves.growth(pairs)
            if ratio <= _NEUTRAL and growth < least - _MARGIN * abs(growth):
                best, least = pairs, growth
        if best is not None:
            return best
    return None


def _pairings(equations: Sequence[Term], fields: Sequence[AppliedUndef]) -> Iterator[tuple[int, ...]]:
    """Return the fields that the equations may move, each one that ranges where the equation holds; as declared first."""
    numbers = range(len(fields))
    all_orders = itertools.permutations(numbers) if len(fields) <= _MOST_PAIRED else iter([tuple(numbers)])
    for order in all_orders:
        if all(set(fields[k].args) == set(term.free) for term, k in zip(equations, order, strict=True)):
            yield order


def _waves(
    equations: Sequence[Term],
    fields: Sequence[AppliedUndef],
    bounds: Bounds,
    ranges: Bounds,
    *,
    time: Symbol | None,
    lower: Sequence[int],
    numbers: Sequence[float],
) -> _Waves | None:
    """Return waves in all directions at many states; `ranges` also hold what is drawn for unknowns."""
    generator = np.random.default_rng(17)
    # A coordinate must be named whose powers are kept apart; any will do.
    along = next(iter(bounds))
    symbols, moved = [], []
    for number, _ in itertools.product(numbers, range(_SAMPLES)):
        sizes = generator.uniform(0.25, 1, len(bounds)) * generator.choice((-1, 1), len(bounds))
        frozen = {c: 1j * number * size for c, size in zip(bounds, sizes, strict=True)}
        states = random_states(generator, ranges, lowest=-1.5)
        rows = [linearise(t.residual, fields, along, frozen, states, bounds) for t in equations]
        if any(row is None for row in rows):
            return None
        s = frozen[along]
        symbols.append([[sum(c * s**power for power, c in entry) for entry in row] for row in rows if row is not None])
        rate = 1.0 if time is None else frozen[time] / (bounds[time][1] - bounds[time][0])
        moved.append([rate**order for order in lower])
    return _Waves(np.array(symbols, dtype=complex), np.array(moved, dtype=complex))
