"""Scales: how large fields and residuals are in the user's units, read from the declaration before anything is solved.

A network whose weights are drawn for numbers of size one does not find 2e-5 m in a bar of 2e11 Pa. With a field u = c + s N of the
network N, and every residual counted by its own size, a problem trains alike in all units (Lin and Segel, Mathematics applied to
deterministic problems in the natural sciences, 1988, section 6.3, on scaling). What conditions and measurements say of a field's
values gives c and s, that of the air behind a wall, u_n = b (u_air - u), among it. Where all they say is one value, or ten times
less than it, a source f beside a derivative a D^α u does: s = |f| h^α / |a|, with what is left of the equation where u = c for f,
the mean of |f|, the median of |a|, and for the length h in a coordinate half its range, or |f| / |f'| where f oscillates in less.
What may grow by nonlinear terms has the size of another field in the same unit, as those who fall ill may be as many as there are
healthy, or one between that and its own where it has one. The size of a residual is the largest change of one of its summands when
fields change by 2 s over whole ranges, so that it is that of the problem in the variables x / 2 h and u / 2 s. Where an equation
says within which length a solution changes, as a spring's says by stiffness and mass, derivatives are reckoned by that one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np
from sympy import Add, Dummy, Expr, Float, Integer, Integral, Symbol, expand_mul
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.evaluation import SYMPY_FAILS
from pinnsolve.declaration.magnitudes import Array, largest, numbers, root_mean_square, usual
from pinnsolve.declaration.opened import Opened, linear_coefficients, power_of_length
from pinnsolve.declaration.residual_sizes import residual_size, residual_size_beside_measurements
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape

_PLACES = 64
"""Points of the domain at which coefficients, data and sources are looked at."""

_MOST_READINGS = 40
"""Evaluations of fields in a residual up to which it is read: long sums are of high dimension, and in no units."""

_LEAST, _LARGEST = 0.05, 20.0
"""A field whose declared values vary by so much, and are no larger, is left as it is: it trains as well."""

_FAR, _STEADY = 1e3, 0.3
"""A field known by sources alone is left as it is up to this factor where their mean is less than this part of their largest value:
sources that oscillate make fields smaller than this reckoning does. So it is where other fields are in the same equation, which may
balance its terms: a slender beam bends by far more than its shear alone would."""

_INSULATED = 0.01
"""A wall that lets through this part of what flows inside, by its Biot number, says nothing of the field behind it."""

_BELIEVED = 10.0
"""Factor by which sources may say that a field is larger than its declared values: these may be those of walls alone."""

_LITTLE = 300.0
"""A field that begins at less than this part of another in the same unit may rise by orders of magnitude."""

_UNEVEN = 300.0
"""Residuals are counted by their own sizes where one is so far from one, and beside measurements: an equation that is weak by its
units lets the fields follow the noise."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scales:
    """The sizes of a problem.

    Attributes:
        fields: For each real field that is scaled its centre c and size s.
        terms: For each term that is scaled the size of its residual.
    """

    fields: Mapping[AppliedUndef, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    terms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def ansatz(self) -> dict[AppliedUndef, Expr]:
        """Return what takes the place of each scaled field."""
        return {u: centre + size * u for u, (centre, size) in self.fields.items()}


def find_scales(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    domain: Shape,
    *,
    unknowns: Mapping[Symbol, float],
    ansatz: Mapping[AppliedUndef, Expr],
    alike: Collection[str] = (),
) -> Scales:
    """Return the scales of what is far from one; nothing where nothing is.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        domain: The region.
        unknowns: Values of unknown parameters.
        ansatz: Of fields; what is scaled is the network in it.
        alike: Names of terms that are in one unit already, that of their noise: the largest of their sizes is that of all.
    """
    known, opened = _open_all(terms, domain, unknowns)
    lengths = _half_ranges(fields, domain)
    told = {u.func.__name__: _told(u.func.__name__, opened, lengths) for u in fields}
    largest_told = _alike(told, opened)
    sizes: dict[str, tuple[float, float]] = {}
    scaled: dict[AppliedUndef, tuple[float, float]] = {}
    for u in fields:
        name = u.func.__name__
        centre, size, far = _reckon(u, opened, lengths, told[name], largest_told[name])
        sizes[name] = centre, size
        if far and u in ansatz:
            reach = reach_of_network(u, ansatz[u], known)
            scaled[u] = 0.0, _rounded(size / reach if 0 < reach < math.inf else 1.0)
        elif far:
            scaled[u] = _rounded(centre), _rounded(size)
    within = {u.func.__name__: _lengths_of_change(u, opened, lengths[u.func.__name__]) for u in fields}
    measured = any(each.kind == "data" for each in opened)
    reckon = (
        partial(residual_size_beside_measurements, lengths=lengths, unknowns=unknowns) if measured else residual_size
    )
    residuals = {each.name: _rounded(reckon(each, sizes, within)) for each in opened}
    common = max((residuals[name] for name in alike if name in residuals), default=1.0)
    likelihoods = {t.name for t in terms if t.kind == "data" and t.misfit is None}  # of noise that is sought
    residuals |= {name: common for name in alike if name in residuals or name in likelihoods}
    uneven = any(not 1 / _UNEVEN <= size <= _UNEVEN for size in residuals.values())
    counted = bool(scaled) or uneven or measured
    known_all = len(residuals) == len(terms)
    return Scales(MappingProxyType(scaled), MappingProxyType(residuals if counted and known_all else {}))


def places_of(domain: Shape, count: int = _PLACES) -> dict[Symbol, Array]:
    """Return the coordinates of some points that are spread over a region."""
    places = draw(domain, count, method="sobol", seed=0).coordinates
    return {c: places[:, k] for k, c in enumerate(domain.coordinates)}


_NETWORK = Dummy("network", real=True)


def reach_of_network(u: AppliedUndef, ansatz: Expr, known: Mapping[Symbol, Array]) -> float:
    """Return the largest change of a field over that of the network in its ansatz, at places; 0 where it is not known.

    Args:
        u: The field.
        ansatz: What stands for it, in which it stands for the network.
        known: Values of coordinates and other symbols at the places.
    """
    return largest(ansatz.xreplace({u: _NETWORK}).diff(_NETWORK), {**known, _NETWORK: np.ones(1)})


def rises_from_little(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, unknowns: Mapping[Symbol, float]
) -> bool:
    """Return whether a field begins at a small part, but not nothing, of what is given of another in the same unit."""
    _, opened = _open_all(terms, domain, unknowns)
    lengths = _half_ranges(fields, domain)
    told = {u.func.__name__: _told(u.func.__name__, opened, lengths) for u in fields}
    return any(0 < _LITTLE * _most(told[name]) <= alike for name, alike in _alike(told, opened).items())


def _half_ranges(fields: Sequence[AppliedUndef], domain: Shape) -> dict[str, tuple[float, ...]]:
    half = {c: (high - low) / 2 or 1.0 for c, (low, high) in domain.bounds.items()}
    return {u.func.__name__: tuple(half[c] for c in u.args) for u in fields}


def _open_all(
    terms: Sequence[Term], domain: Shape, unknowns: Mapping[Symbol, float]
) -> tuple[dict[Symbol, Array], list[Opened]]:
    """Return values of what is known at places, and the residuals that can be opened."""
    known = places_of(domain) | {symbol: np.full(1, value) for symbol, value in unknowns.items()}
    return known, [each for term in terms if (each := _open(term, known)) is not None]


def _open(term: Term, known: Mapping[Symbol, Array]) -> Opened | None:
    """Open a residual; None for one with integrals, of very many parts, or whose size is that of its noise."""
    if term.residual.has(Integral) or (term.kind == "data" and term.misfit is None):
        return None
    readings = evaluations(term.residual)
    if not 0 < len(readings) <= _MOST_READINGS:
        return None
    stand_ins = {place: Dummy(real=True) for place in readings}
    expression = expand_mul(term.residual.xreplace(stand_ins))  # not powers of sums, which have thousands of summands
    given = {**known, **{symbol: np.asarray(values, dtype=np.float64) for symbol, values in term.columns.items()}}
    others = expression.free_symbols - set(stand_ins.values()) - set(given)
    given |= {symbol: np.ones(1) for symbol in others}  # of normals, and of groups of cells
    opened = {stand_ins[p]: r for p, r in readings.items()}
    return Opened(term.name, term.kind, Add.make_args(expression), opened, given)


def _told(name: str, opened: Sequence[Opened], lengths: Mapping[str, tuple[float, ...]]) -> Array:
    """Return the values of a field that conditions and measurements give, and those that it would have behind a wall."""
    values: list[Array] = []
    for each in opened:
        coefficients = linear_coefficients(each) or {}
        own = [s for s in coefficients if not any(each.readings[s].orders)]
        if len(own) != 1 or {each.readings[s].field for s in coefficients} != {name}:
            continue
        if len(coefficients) > 1 and not (each.kind == "condition" and _lets_through(each, coefficients, lengths)):
            continue
        source = Add(*(part for part in each.parts if not part.has(*each.readings)))
        values.append(numbers(-source / coefficients[own[0]], each.known))
    return np.concatenate(values) if values else np.zeros(0)


def _lets_through(each: Opened, coefficients: Mapping[Symbol, Expr], lengths: Mapping[str, tuple[float, ...]]) -> bool:
    """Return whether a condition on value and slope of a field is more than that of an insulated wall."""
    parts = {s: usual(c, each.known) / power_of_length(each.readings[s], lengths) for s, c in coefficients.items()}
    value = max(part for s, part in parts.items() if not any(each.readings[s].orders))
    return value >= _INSULATED * max(parts.values())


def _alike(told: Mapping[str, Array], opened: Sequence[Opened]) -> dict[str, float]:
    """Return for each field the largest value that is given of it, or of another in the same unit.

    Two fields are in one unit where one summand is in the equations of both, each of which has a derivative of that field alone:
    those who fall ill are as many fewer of the healthy as they are more of the ill.
    """
    groups = {name: {name} for name in told}
    seen: dict[Expr, str] = {}
    for each in (each for each in opened if each.kind == "equation"):
        moved = {reading.field for reading in each.readings.values() if any(reading.orders)}
        if len(moved) != 1:
            continue
        (own,) = moved
        shared = {s: Symbol(f"{r.field}{r.orders}{r.location}") for s, r in each.readings.items()}
        for part in each.parts:
            named = part.xreplace(shared)
            other = seen.get(named) or seen.get(-named) or seen.setdefault(named, own)
            joined = groups[own] | groups[other]
            groups |= dict.fromkeys(joined, joined)
    return {name: max(_most(told[other]) for other in group) for name, group in groups.items()}


def _middle(told: Array) -> float:
    """Return the value halfway between the least and the largest; 0 where there are none."""
    return (float(told.min()) + float(told.max())) / 2 if told.size else 0.0


def _most(told: Array) -> float:
    """Return the largest magnitude among values; 0 where there are none."""
    return float(np.abs(told).max(initial=0.0))


def _reckon(
    u: AppliedUndef,
    opened: Sequence[Opened],
    lengths: Mapping[str, tuple[float, ...]],
    told: Array,
    alike: float,
) -> tuple[float, float, bool]:
    """Return centre and size of a field, and whether they are far from zero and one.

    Args:
        u: The field.
        opened: All residuals.
        lengths: Of its coordinates.
        told: The values that are given of it.
        alike: The largest value that is given of it or of a field in the same unit.
    """
    name = u.func.__name__
    centre, size, most = _middle(told), (float(np.ptp(told)) / 2 if told.size else 0.0), _most(told)
    by_sources, steady, grows = 0.0, True, False
    for each in opened:
        coefficients = linear_coefficients(each)
        if coefficients is None:
            grows |= any(reading.field == name for reading in each.readings.values())
            continue
        own = {s: c for s, c in coefficients.items() if each.readings[s].field == name}
        still = {s: Float(0.0 if any(each.readings[s].orders) else centre) for s in own}
        source = Add(*each.parts).xreplace({**dict.fromkeys(each.readings, Integer(0)), **still})
        within = {name: _lengths_within(source, u.args, lengths[name], each.known)}
        strengths = [usual(c, each.known) / power_of_length(each.readings[s], within) for s, c in own.items()]
        if strengths and 0 < max(strengths) < math.inf and any(any(each.readings[s].orders) for s in own):
            sources = numbers(source, each.known)
            strong = float(np.mean(np.abs(sources))) if sources.size else 0.0
            if strong / max(strengths) > by_sources:
                by_sources = strong / max(strengths)
                alone = len(own) == len(coefficients)
                steady = alone and abs(float(np.mean(sources))) >= _STEADY * float(np.abs(sources).max())
    if size > _ROUNDING * most and by_sources < _BELIEVED * size:
        return centre, size, not (size >= _LEAST and most <= _LARGEST)
    if not 0 < by_sources < math.inf:
        # What is nonlinear may grow by any factor from a small value, as an epidemic does from its first cases; from none at
        # all to as much as there is of another, and from something to a size between.
        centre, by_sources = 0.0, max(math.sqrt(most * alike) or alike, 1.0) if grows else most or alike or 1.0
    size = by_sources
    lowest, highest = (_LEAST, _LARGEST) if steady else (1 / _FAR, _FAR)
    if lowest <= size <= highest and most <= _LARGEST:
        return centre, size if steady else 1.0, False
    return centre, size, True


def _lengths_within(
    source: Expr, coordinates: Sequence[Expr], lengths: Sequence[float], known: Mapping[Symbol, Array]
) -> tuple[float, ...]:
    """Return for each coordinate its length, or that within which a source changes by as much as it is, the shorter one."""
    found = []
    for coordinate, length in zip(coordinates, lengths, strict=True):
        try:
            slope = root_mean_square(source.diff(coordinate), known)
        except SYMPY_FAILS:
            slope = 0.0
        found.append(min(length, root_mean_square(source, known) / slope) if slope else length)
    return tuple(found)


def _lengths_of_change(u: AppliedUndef, opened: Sequence[Opened], lengths: tuple[float, ...]) -> tuple[float, ...]:
    """Return for each coordinate its length, or that within which a solution changes by as much as it is, the shorter one.

    It is (|c_n| / |c_0|)^(1/n) by the factors of the field and of its highest derivative in a linear equation: the inverse of a
    wave number or of a rate of decay.
    """
    found = list(lengths)
    for each in (each for each in opened if each.kind == "equation"):
        factors = {
            each.readings[s].orders: usual(c, each.known)
            for s, c in (linear_coefficients(each) or {}).items()
            if each.readings[s].field == u.func.__name__
        }
        still = factors.get((0,) * len(lengths), 0.0)
        for k, length in enumerate(found):
            pure = [(orders[k], c) for orders, c in factors.items() if sum(orders) == orders[k] > 0]
            order, factor = max(pure, default=(1, 0.0))
            if still and factor:
                found[k] = min(length, (factor / still) ** (1 / order))
    return tuple(found)


def _rounded(value: float) -> float:
    """Return two digits: more are not known."""
    return float(f"{value:.1e}")
