"""Conditions as a weak form meets them: values at nodes, and fluxes through the boundary, which the split of the equation decides.

With n the outward normal the boundary term of equation i contains T_i = n_a K_i^a, the weights of slopes in Phi_i . n. Conditions
B_k = C_k . slopes + r_k = 0 are natural if M C = T for some matrix M, and Phi_i . n is -(M r)_i then. K is fixed by the equation
only up to a twist, S_ij^ab u_j,b with S antisymmetric, whose divergence has no second derivatives: in elasticity that is what tells
the traction from others. Contraction with n removes it, so that M = (T n) (C n)^-1; what is left of M C - T must be one.
Beside a pressure the equation of first order, D + r = 0, is one more condition, and the pressure one more weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Add, Expr, Integer, Matrix, Symbol, nan, oo, zoo

from pinnsolve.domains.images import Array, unit_sphere
from pinnsolve.reference.pressures import slope_weights, with_more_pressure
from pinnsolve.reference.reading import Reading
from pinnsolve.reference.regional import refusal
from pinnsolve.reference.weak_form import Row, Twist, WeakForm

_ROUNDING = 1e-9
_DIRECTIONS = 24


@dataclass(frozen=True)
class Stretch:
    """Parts of the boundary that bear the same conditions.

    Args:
        marks: The numbers of the conditions.
        points: Some places on it (points, coordinates and groups of cells).
        normals: The outward normals there (points, n).
    """

    marks: tuple[int, ...]
    points: Array
    normals: Array


@dataclass(frozen=True)
class Wall:
    """What holds on a stretch of the boundary.

    Args:
        marks: The numbers of its conditions.
        values: For unknowns that are given there an expression that vanishes.
        outflow: For every other equation, by its unknown, the flux through the boundary.
    """

    marks: tuple[int, ...]
    values: Mapping[int, Expr]
    outflow: Mapping[int, Expr]


@dataclass(frozen=True)
class _Natural:
    """The conditions of a stretch that are no values.

    Args:
        stretch: Where they hold.
        targets: The unknowns of the equations that they are for.
        expressions: The conditions, and with a pressure the equation of first order where it contains a slope along the normal.
        name: Theirs.
        multipliers: The matrix M.
    """

    stretch: Stretch
    targets: tuple[int, ...]
    expressions: tuple[Expr, ...]
    name: str
    multipliers: Matrix


def impose(
    form: WeakForm, conditions: Sequence[Reading], stretches: Sequence[Stretch], *, normals: Sequence[Symbol]
) -> tuple[WeakForm, tuple[Wall, ...]]:
    """Return the weak form whose natural conditions are those declared, and what holds on every stretch of the boundary.

    Args:
        form: The equations.
        conditions: All conditions on boundaries.
        stretches: Where which of them hold.
        normals: The symbols of the normal.

    Raises:
        UnsupportedError: Conditions that are not natural, with their name.
    """
    values: list[dict[int, Expr]] = []
    naturals: list[_Natural] = []
    twists: dict[tuple[int, int], Twist] = {}
    for stretch in stretches:
        given, natural = _sorted(form, [conditions[k] for k in stretch.marks], stretch, normals)
        values.append(given)
        naturals.append(natural)
        for key, twist in _twists(form, natural, normals).items():
            twists.setdefault(key, twist)
    form = form.with_twist(twists)
    factor = _more_pressure(form, naturals, normals) if twists else None
    if factor is not None:
        form = with_more_pressure(form, factor)
        naturals = [_sorted(form, [conditions[k] for k in own.marks], own, normals)[1] for own in stretches]
    walls = []
    for stretch, given, natural in zip(stretches, values, naturals, strict=True):
        for number, target in enumerate(natural.targets):
            left = _left(form, natural, number, normals)
            if not np.abs(left).max() <= _ROUNDING * _scale(form, form.rows[target], natural):
                raise refusal(natural.name, _NOT_CONORMAL)
        walls.append(Wall(stretch.marks, given, _outflow(form, natural)))
    return form, tuple(walls)


def check_elliptic(form: WeakForm, points: Array) -> None:
    """Raise where the second derivatives do not determine the fields from values on the boundary.

    Raises:
        UnsupportedError: The determinant of the symbol vanishes or changes its sign.
    """
    rows = [row for row in form.rows if row.symbols]
    chains = [_chain(form, row.target) for row in rows]
    entries = [
        Add(*(density.xreplace(dict(form.fluxes)).diff(form.unknowns.slopes[n][b]) for n in chain))
        for row in rows
        for chain in chains
        for density in row.density()
        for b in range(len(form.space))
    ]
    if not entries:
        raise refusal("equations", "no second derivatives in space")
    count = len(form.space)
    found = form.evaluated(entries, points, {}).reshape(len(rows), len(rows), count, count, -1)
    ways = unit_sphere(np.random.default_rng(0).random((_DIRECTIONS, count - 1))).T
    symbols = np.einsum("ijabp,ad,bd->pdij", found, ways, ways)
    determinants = np.linalg.det(symbols) / np.maximum(np.abs(symbols).max(axis=(2, 3)), 1e-300) ** len(rows)
    if not (determinants > _ROUNDING).all() and not (determinants < -_ROUNDING).all():
        found_there = "its second derivatives in space are not elliptic: boundary values need not determine a solution"
        raise refusal(", ".join(row.name for row in rows), found_there)


def _sorted(
    form: WeakForm, readings: Sequence[Reading], stretch: Stretch, normals: Sequence[Symbol]
) -> tuple[dict[int, Expr], _Natural]:
    """Return the conditions that give a value, by unknown, and the others."""
    unknowns = form.unknowns
    slopes = set(form.slopes)
    bends = {s for some in unknowns.bends for s in some.values()}
    given: dict[int, Expr] = {}
    others: list[tuple[str, Expr]] = []
    for reading in readings:
        expression = form.canonical(reading)
        if expression.free_symbols & {*bends, *unknowns.rates}:
            raise refusal(reading.name, "a second derivative, or the highest one in time, in a condition")
        if expression.free_symbols & slopes:
            others.append((reading.name, expression))
            continue
        within = [n for n, value in enumerate(unknowns.values) if expression.has(value)]
        if len(within) != 1 or unknowns.fields[within[0]][1]:
            raise refusal(reading.name, "a condition that gives several fields together, or a rate")
        if expression.free_symbols & set(form.groups):
            raise refusal(reading.name, "a value that differs by groups of cells")
        if within[0] in given:
            raise refusal(reading.name, "a second value of one field")
        given |= _with_rates(form, within[0], expression)
    rows = tuple(row for row in form.rows if row.symbols and row.target not in given)
    name = ", ".join(name for name, _ in others) or ", ".join(reading.name for reading in readings) or "conditions"
    if len(others) != len(rows):
        raise refusal(name, f"{len(others)} slopes are given where the equations have {len(rows)} fluxes")
    expressions = tuple(expression for _, expression in others)
    expressions, multipliers = _multipliers(form, rows, expressions, name, stretch, normals)
    return given, _Natural(stretch, tuple(row.target for row in rows), expressions, name, multipliers)


def _with_rates(form: WeakForm, unknown: int, expression: Expr) -> dict[int, Expr]:
    """Return a value and, for fields of higher order in time, its rates."""
    unknowns, (field, _) = form.unknowns, form.unknowns.fields[unknown]
    given = {unknown: expression}
    for order in range(1, max(form.depth[field], 1)):
        through = [
            expression.diff(unknowns.values[unknowns.number(field, k)]) * unknowns.values[unknowns.number(field, k + 1)]
            for k in range(order)
        ]
        clock = Integer(0) if form.time is None else expression.diff(form.coordinates[form.time])
        expression = Add(clock, *through)
        given[unknowns.number(field, order)] = expression
    return given


def _twists(form: WeakForm, natural: _Natural, normals: Sequence[Symbol]) -> dict[tuple[int, int], Twist]:
    """Return the twists of fluxes that conditions ask for."""
    found: dict[tuple[int, int], Twist] = {}
    slopes = form.slopes
    for number, target in enumerate(natural.targets):
        row = form.rows[target]
        left, scale = _left(form, natural, number, normals), _scale(form, row, natural)
        through = _through(row, normals)
        for unknown, own in enumerate(form.unknowns.slopes):
            values = left[[slopes.index(slope) for slope in own]]
            if np.abs(values).max() <= _ROUNDING * scale:
                continue
            gaps = []
            for slope in own:
                conditions = (natural.multipliers[number, k] * e.diff(slope) for k, e in enumerate(natural.expressions))
                gaps.append(Add(*conditions) - through.get(slope, Integer(0)))
            found[target, unknown] = _twist(form, gaps, values, natural, normals, spare=_ROUNDING * scale)
    return found


def _twist(
    form: WeakForm,
    gaps: Sequence[Expr],
    values: Array,
    natural: _Natural,
    normals: Sequence[Symbol],
    *,
    spare: float,
) -> Twist:
    """Return the antisymmetric S with n_a S^ab equal to what is left, as expressions of places alone.

    Raises:
        UnsupportedError: There is none: what is left depends on the direction of the normal otherwise.
    """
    count, stretch = len(normals), natural.stretch
    pairs = list(itertools.combinations(range(count), 2))
    axes = [dict(zip(normals, np.eye(count)[a].tolist(), strict=True)) for a in range(count)]
    ways = [{(a, b): gaps[b].subs(axes[a]) for a, b in pairs}]
    if count == 2:  # the condition may mean one direction of the normal only, that of a straight part
        own = dict(zip(normals, stretch.normals[0].tolist(), strict=True))
        ways.append({(0, 1): (gaps[1] * normals[0] - gaps[0] * normals[1]).subs(own)})
    for way in ways:
        if any(entry.has(nan, zoo, oo) for entry in way.values()):
            continue
        entries = form.evaluated(list(way.values()), stretch.points, {})
        through = np.zeros_like(values)
        for (a, b), entry in zip(way, entries, strict=True):
            through[b] += stretch.normals[:, a] * entry
            through[a] -= stretch.normals[:, b] * entry
        if np.abs(through - values).max() <= spare:
            return way
    raise refusal(natural.name, _NOT_CONORMAL)


_NOT_CONORMAL = "the slope it gives is not along the flux of the equation through the boundary"


def _more_pressure(form: WeakForm, naturals: Sequence[_Natural], normals: Sequence[Symbol]) -> Expr | None:
    """Return the factor of D + r that a twisted form should have in its pressure, if any.

    A twist may leave a part of the viscous force with the wrong sign beside D. With M the multiplier of D and T that of the
    pressure, both in one row, -M / T (D + r) more in the pressure takes it away, provided that one factor does so in all rows.
    """
    for natural in naturals:
        if len(natural.expressions) == len(natural.targets):
            continue
        rows = [form.rows[target] for target in natural.targets]
        pulls = [_through(row, normals).get(form.slopes[-1], Integer(0)) for row in rows]
        sides = _columns(normals, natural.stretch.normals)
        number = int(np.abs(form.evaluated(pulls, natural.stretch.points, sides)[:, 0]).argmax())
        own = dict(zip(normals, natural.stretch.normals[0].tolist(), strict=True))
        factor = (-natural.multipliers[number, -1] / pulls[number]).subs(own)
        ways = [_direction(form, row, normals) for row in rows]
        weights = slope_weights(form, natural.expressions[-1])
        entries = [*natural.multipliers[:, -1], *pulls, *(_along(weights, way) for way in ways)]
        entries += [_along(_through(row, normals), way) for row, way in zip(rows, ways, strict=True)]
        more, *found = form.evaluated([factor, *entries], natural.stretch.points, sides)
        left, pull, push, force = np.reshape(found, (4, len(rows), -1))
        frees = np.abs(left + more * pull).max() <= _ROUNDING * np.abs(left).max()
        if frees and ((more * pull * push / force).sum(axis=0) > _ROUNDING).all():
            return factor
    return None


def _outflow(form: WeakForm, natural: _Natural) -> dict[int, Expr]:
    """Return the flux through the boundary by unknown, -M r."""
    if not natural.targets:
        return {}
    zero = dict.fromkeys(form.slopes, Integer(0))
    rest = Matrix([expression.xreplace(zero) for expression in natural.expressions])
    return {target: -value for target, value in zip(natural.targets, natural.multipliers * rest, strict=True)}


def _left(form: WeakForm, natural: _Natural, number: int, normals: Sequence[Symbol]) -> Array:
    """Return M C - T for one row, at the places of a stretch (slopes, places)."""
    stretch, slopes = natural.stretch, form.slopes
    through = _through(form.rows[natural.targets[number]], normals)
    count, sides = len(natural.expressions), _columns(normals, stretch.normals)
    entries = [*natural.multipliers[number, :], *(e.diff(s) for e in natural.expressions for s in slopes)]
    entries += [through.get(s, Integer(0)) for s in slopes]
    found = form.evaluated(entries, stretch.points, sides)
    given = found[count : count + count * len(slopes)].reshape(count, len(slopes), -1)
    return np.asarray(np.einsum("kp,ksp->sp", found[:count], given) - found[count + count * len(slopes) :])


def _multipliers(
    form: WeakForm,
    rows: Sequence[Row],
    expressions: tuple[Expr, ...],
    name: str,
    stretch: Stretch,
    normals: Sequence[Symbol],
) -> tuple[tuple[Expr, ...], Matrix]:
    """Return the conditions, with the equation of first order where that counts, and M = (T n) (C n)^-1.

    Raises:
        UnsupportedError: A condition is not linear in slopes, or has none along the normal.
    """
    if not rows:
        return (), Matrix(0, 0, [])
    slopes = form.slopes
    for expression in expressions:
        if any(expression.diff(s).free_symbols & set(slopes) for s in slopes if expression.has(s)):
            raise refusal(name, "it is not linear in the slopes")
    ways = [_direction(form, row, normals) for row in rows]
    if form.pressure is not None:
        continuity = form.rows[form.pressure].rest
        weights = slope_weights(form, continuity)
        through = form.evaluated(
            [_along(weights, way) for way in ways], stretch.points, _columns(normals, stretch.normals)
        )
        if (np.abs(through) > _ROUNDING).any():
            expressions = (*expressions, continuity)
            ways.append({form.unknowns.values[form.pressure]: Integer(1)})
    flux = Matrix([[_along(_through(row, normals), way) for way in ways] for row in rows])
    given = Matrix([[Add(*(e.diff(s) * w for s, w in way.items())) for way in ways] for e in expressions])
    entries = form.evaluated(list(given), stretch.points, _columns(normals, stretch.normals))
    numbers = entries.reshape(*given.shape, -1).transpose(2, 0, 1)
    for axis in (2, 1):  # a small viscosity beside a pressure is no singular matrix
        sizes = np.abs(numbers).max(axis=axis, keepdims=True)
        numbers = numbers / np.where(sizes > 0, sizes, 1.0)
    if not (np.abs(np.linalg.det(numbers)) > _ROUNDING).all():
        raise refusal(name, _NOT_CONORMAL)
    return expressions, flux * given.adjugate() / given.det()


def _direction(form: WeakForm, row: Row, normals: Sequence[Symbol]) -> dict[Symbol, Expr]:
    """Return weights of slopes with which a twist has none: along the normal; for fluxes those of the row."""
    through = _through(row, normals)
    fluxes = {symbol: weight for symbol, weight in through.items() if symbol in form.fluxes}
    if fluxes:
        return fluxes
    own = [n for n in _chain(form, row.target) if any(slope in through for slope in form.unknowns.slopes[n])]
    return dict(zip(form.unknowns.slopes[own[0] if own else row.target], normals, strict=True))


def _through(row: Row, normals: Sequence[Symbol]) -> dict[Symbol, Expr]:
    """Return the weights of slopes and fluxes in Phi . n."""
    return {
        symbol: Add(*(n * weights.get(symbol, Integer(0)) for n, weights in zip(normals, row.flux, strict=True)))
        for symbol in row.symbols
    }


def _along(weights: Mapping[Symbol, Expr], way: Mapping[Symbol, Expr]) -> Expr:
    return Add(*(weight * way[symbol] for symbol, weight in weights.items() if symbol in way))


def _chain(form: WeakForm, unknown: int) -> list[int]:
    """Return the unknowns that are time derivatives of one field, lowest first."""
    return [n for n, (field, _) in enumerate(form.unknowns.fields) if field == form.unknowns.fields[unknown][0]]


def _scale(form: WeakForm, row: Row, natural: _Natural) -> float:
    """Return the size of a flux's weights on a stretch."""
    weights = [w for some in row.flux for w in some.values()]
    return float(np.abs(form.evaluated(weights, natural.stretch.points, {})).max())


def _columns(normals: Sequence[Symbol], values: Array) -> dict[Symbol, Array]:
    return dict(zip(normals, values.T, strict=True))
