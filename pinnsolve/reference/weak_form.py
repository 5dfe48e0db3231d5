"""Weak forms of second-order equations, from the same SymPy.

An equation i, linear in the second derivatives, reads sum_jab A_ij^ab u_j,ab + G = 0, where A may depend on places and fields and G
on slopes too. With fluxes Phi_i^a = sum_jb K_ij^ab u_j,b whose symmetric part in a, b is A it is, exactly,

    div Phi_i + rest_i = 0,      rest_i = G - sum_jab (D_a K_ij^ab) u_j,b,

where D_a is the total derivative, and in weak form, for every v that vanishes where u_i is given,

    int (rest_i v - Phi_i . grad v) + oint Phi_i . n v = 0.

Time derivatives of first order go to a mass matrix; fields of order m in time are m fields, u_t = w. A field that an equation
without its derivatives defines, q = k u_x, and that others contain through its divergence, is a flux already: k may jump there.
The slopes of a pressure belong to the fluxes as well, c_i p_,a to Phi_i^a; its own equation, div v = 0, is all rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from sympy import Add, Dummy, Expr, Integer, Matrix, Symbol, lambdify

from pinnsolve.domains.images import Array
from pinnsolve.reference.reading import Reading
from pinnsolve.reference.regional import Regional, refusal
from pinnsolve.reference.unknowns import Unknowns, canonical, make_unknowns, slope_of_flux

Weights = dict[Symbol, Expr]
"""Coefficients of slopes, fluxes and a pressure."""

Twist = Mapping[tuple[int, int], Expr]
"""The entries above the diagonal of an antisymmetric matrix."""

_SINGULAR, _NOTHING = 1e12, 1e-14
_NEVER = 1e6
_MOVING = 100


@dataclass(frozen=True)
class Row:
    """The weak form of one equation, tested with one field.

    Args:
        name: The equation's name.
        target: The unknown whose test functions it has.
        mass: Coefficients of rates, by unknown.
        flux: For each space coordinate its weights of slopes, fluxes and a pressure.
        rest: What is tested by the value.
    """

    name: str
    target: int
    mass: Mapping[int, Expr]
    flux: tuple[Weights, ...]
    rest: Expr

    @property
    def symbols(self) -> list[Symbol]:
        """All symbols of which its flux consists."""
        return list(dict.fromkeys(symbol for weights in self.flux for symbol in weights))

    def density(self) -> tuple[Expr, ...]:
        """Return the flux as expressions."""
        return tuple(Add(*(weight * symbol for symbol, weight in weights.items())) for weights in self.flux)


@dataclass(frozen=True)
class WeakForm:
    """A problem in weak form, but for its boundary.

    Args:
        rows: One for each unknown.
        unknowns: Their symbols.
        fluxes: Expressions for the symbols of fields that are fluxes.
        coordinates: The coordinates' symbols.
        groups: The symbols that are 1 in a group of cells and 0 elsewhere.
        space: The positions of the coordinates in space.
        time: The position of the other.
        depth: Order in time of each field.
        names: The fields' names.
        placed: The symbols of those that are fluxes.
        pressure: The unknown that is a pressure, if there is one.
    """

    rows: tuple[Row, ...]
    unknowns: Unknowns
    fluxes: Mapping[Symbol, Expr]
    coordinates: tuple[Symbol, ...]
    groups: tuple[Symbol, ...]
    space: tuple[int, ...]
    time: int | None
    depth: tuple[int, ...]
    names: tuple[str, ...]
    placed: Mapping[int, Symbol] = field(default_factory=dict)
    pressure: int | None = None

    @property
    def slopes(self) -> list[Symbol]:
        """All symbols of which fluxes may consist: slopes, fluxes that are fields, and the pressure."""
        own = [] if self.pressure is None else [self.unknowns.values[self.pressure]]
        return [*(s for some in self.unknowns.slopes for s in some), *self.fluxes, *own]

    def canonical(self, reading: Reading) -> Expr:
        """Return a reading in the symbols of the unknowns."""
        return canonical(reading, self.unknowns, self.placed, self.space, self.time, self.depth)

    def total(self, expression: Expr, direction: int) -> Expr:
        """Return the total derivative of an expression of places and fields in a direction of space."""
        own = self.coordinates[self.space[direction]]
        through = (
            expression.diff(value) * slopes[direction]
            for value, slopes in zip(self.unknowns.values, self.unknowns.slopes, strict=True)
        )
        return Add(expression.diff(own), *through)

    def evaluated(self, entries: Sequence[Expr], points: Array, more: Mapping[Symbol, Array]) -> Array:
        """Return expressions (entries, points) at places, for some values of the fields and slopes.

        Args:
            entries: The expressions.
            points: The places (points, coordinates and groups of cells).
            more: Values of other symbols.
        """
        free = list(dict.fromkeys([*self.unknowns.values, *self.slopes]))
        symbols = [*self.coordinates, *self.groups, *free, *more]
        chosen = 0.5 + np.random.default_rng(0).random((len(free), len(points)))
        with np.errstate(all="ignore"):
            values = lambdify(symbols, list(entries), "scipy", cse=True)(*points.T, *chosen, *more.values())
        return np.array([np.broadcast_to(value, len(points)) for value in values], dtype=np.float64)

    def with_twist(self, twists: Mapping[tuple[int, int], Twist]) -> WeakForm:
        """Return the same equations with fluxes twisted: S^ab u_j,b is added for S antisymmetric, and its divergence subtracted."""
        rows = list(self.rows)
        for (number, unknown), twist in twists.items():
            row, slopes = rows[number], self.unknowns.slopes[unknown]
            flux, rest = [dict(weights) for weights in row.flux], row.rest
            for (a, b), entry in twist.items():
                for one, other, weight in ((a, b, entry), (b, a, -entry)):
                    flux[one][slopes[other]] = flux[one].get(slopes[other], Integer(0)) + weight
                    rest -= self.total(weight, one) * slopes[other]
            rows[number] = replace(row, flux=tuple(flux), rest=rest)
        return replace(self, rows=tuple(rows))


def read_weak_form(regional: Regional, coordinates: Sequence[Symbol], *, names: Sequence[str]) -> WeakForm:
    """Bring the equations of a problem to weak form.

    Args:
        regional: The problem as its terms say it.
        coordinates: Its coordinates.
        names: The fields' names.

    Raises:
        UnsupportedError: An equation that has no weak form of second order, with what stands in the way.
    """
    equations = [placed.reading for placed in regional.terms if placed.reading.kind == "equation"]
    space = tuple(list(coordinates).index(c) for c in regional.shape.coordinates)
    if len(equations) != len(names):
        raise refusal("equations", f"{len(equations)} equations for {len(names)} fields")
    _check_orders(equations, space, regional.time)
    depth = tuple(
        0 if regional.time is None else max((r.order(f, regional.time) for r in equations), default=0)
        for f in range(len(names))
    )
    defining = _find_fluxes(equations, len(names), time=regional.time)
    placed = {f: Dummy(names[f], real=True) for f in defining}
    unknowns = make_unknowns([f for f in range(len(names)) if f not in defining], depth, names, len(space))
    symbols = equations[0].coordinates
    form = WeakForm((), unknowns, {}, symbols, regional.groups, space, regional.time, depth, tuple(names), placed)
    form = replace(form, fluxes=_solved({placed[f]: form.canonical(equations[e]) for f, e in defining.items()}))
    others = [r for e, r in enumerate(equations) if e not in defining.values()]
    saddle = _find_pressure(others, form)
    rows = []
    if saddle is not None:
        number, pressure = saddle
        form = replace(form, pressure=unknowns.number(pressure))
        rows.append(_row(form, others.pop(number), pressure))
    rows += [_row(form, r, f) for r, f in zip(others, _partners(others, form), strict=True)]
    rows += [_chain(form, f, k) for f, k in unknowns.fields if k + 1 < depth[f]]
    return replace(form, rows=tuple(sorted(rows, key=lambda row: row.target)))


def _check_orders(equations: Sequence[Reading], space: Sequence[int], time: int | None) -> None:
    for reading in equations:
        highest = max((sum(slot.orders[c] for c in space) for slot in reading.slots), default=0)
        if highest > 2:
            words = {3: "third", 4: "fourth"}
            found = (
                f"a derivative of {words.get(highest, f'{highest}th')} order, and finite elements here reach the second"
            )
            raise refusal(reading.name, found)
        others = [c for c in range(len(reading.coordinates)) if c not in space and c != time]
        if any(slot.orders[c] for slot in reading.slots for c in others):
            raise refusal(reading.name, "a derivative in a coordinate that is neither space nor time")


def _find_fluxes(equations: Sequence[Reading], fields: int, *, time: int | None) -> dict[int, int]:
    """Return for each field that is a flux the equation that defines it, perhaps together with others."""
    found: dict[int, int] = {}
    for f, (number, equation) in itertools.product(range(fields), enumerate(equations)):
        own = [slot for slot in equation.slots if slot.field == f]
        slopes = [slot for slot in equation.slots if slot.field != f and any(slot.orders)]
        plain = bool(own) and not any(any(slot.orders) for slot in own)
        elsewhere = [s for e in equations if e is not equation for s in e.slots if s.field == f and any(s.orders)]
        first = all(sum(slot.orders) == 1 for slot in (*slopes, *elsewhere))
        still = time is None or not any(slot.orders[time] for slot in (*slopes, *elsewhere))
        taken = f in found or number in found.values()
        if plain and slopes and elsewhere and first and still and not taken:
            found[f] = number
    return {f: e for f, e in found.items() if not any(s.field in found and any(s.orders) for s in equations[e].slots)}


def _find_pressure(equations: Sequence[Reading], form: WeakForm) -> tuple[int, int] | None:
    """Return the equation of first order, such as div v = 0, and the field, a pressure, for which it stands; None without one.

    A pressure has neither second derivatives nor rates, and its slopes act on other fields in their equations of second order.
    """
    orders = [_derivatives(form, equation) for equation in equations]
    bent = set().union(*(second for second, _ in orders))
    pushing = set().union(*(first for second, first in orders if second))
    pressures = {n for n in pushing - bent if not form.depth[form.unknowns.fields[n][0]]}
    continuity = [
        e
        for e, (second, first) in enumerate(orders)
        if first and not second and not first & pressures
        if not form.canonical(equations[e]).free_symbols & {*form.unknowns.rates}
    ]
    if len(pressures) != 1 or len(continuity) != 1:
        return None
    return continuity[0], form.unknowns.fields[pressures.pop()][0]


def _derivatives(form: WeakForm, equation: Reading) -> tuple[set[int], set[int]]:
    """Return the unknowns that an equation contains by second derivatives and by first ones, through fluxes as well."""
    symbols, unknowns = form.canonical(equation).free_symbols, form.unknowns
    second = {n for n, some in enumerate(unknowns.bends) if symbols & {*some.values()}}
    first = {n for n, some in enumerate(unknowns.slopes) if symbols & {*some}}
    for q, expression in form.fluxes.items():
        if symbols & {slope_of_flux(q, a) for a in range(len(form.space))}:
            within = expression.free_symbols
            second |= {n for n, some in enumerate(unknowns.slopes) if within & {*some}}
            first |= {n for n, value in enumerate(unknowns.values) if value in within}
    return second, first


def _solved(defining: Mapping[Symbol, Expr]) -> dict[Symbol, Expr]:
    """Return what fluxes are by the expressions that vanish, one for each, in which there may be several."""
    fluxes = list(defining)
    if not fluxes:
        return {}
    slopes = Matrix([[expression.diff(flux) for flux in fluxes] for expression in defining.values()])
    known = Matrix([expression.subs(dict.fromkeys(fluxes, 0)) for expression in defining.values()])
    if slopes.is_diagonal() and not slopes.has(*fluxes) and all(slopes.diagonal()):
        return {flux: -known[k] / slopes[k, k] for k, flux in enumerate(fluxes)}
    if not slopes.free_symbols:
        numbers = np.array(slopes.evalf(), dtype=float)  # exact roots would swell
        if np.linalg.cond(numbers) < _SINGULAR:
            inverse = np.linalg.inv(numbers)
            inverse[np.abs(inverse) < _NOTHING * np.abs(inverse).max(axis=1, keepdims=True)] = 0.0
            return dict(zip(fluxes, Matrix(inverse) * -known, strict=True))
    raise refusal(", ".join(map(str, fluxes)), "fluxes that their equations do not give")


def _partners(equations: Sequence[Reading], form: WeakForm) -> list[int]:
    """Return for each equation the unknown for which it stands: whose highest derivatives it contains.

    Raises:
        UnsupportedError: No equation of its own for some field.
    """
    unknowns = form.unknowns
    primary = sorted({f for n, (f, _) in enumerate(unknowns.fields) if n != form.pressure})
    gain = np.full((len(equations), len(primary)), -_NEVER)
    for (e, equation), (k, f) in itertools.product(enumerate(equations), enumerate(primary)):
        expression = form.canonical(equation)
        through = expression.xreplace(dict(form.fluxes)).free_symbols if form.fluxes else expression.free_symbols
        chain = [n for n, (g, _) in enumerate(unknowns.fields) if g == f]
        pure = sum(unknowns.bends[n][a, a] in expression.free_symbols for n in chain for a in range(len(form.space)))
        slopes = any(s in through for n in chain for s in unknowns.slopes[n])
        diverging = any(
            slope_of_flux(q, a) in expression.free_symbols
            and any(s in form.fluxes[q].free_symbols for n in chain for s in unknowns.slopes[n])
            for q in form.fluxes
            for a in range(len(form.space))
        )
        moving = any(unknowns.rates[n] in expression.free_symbols for n in chain)
        plain = not slopes and any(unknowns.values[n] in expression.free_symbols for n in chain)
        if pure or diverging or moving or plain:
            gain[e, k] = 1 + pure + 2 * diverging + _MOVING * moving
        if slopes and not (pure or diverging):
            gain[e, k] = -_NEVER / 2
    rows, columns = linear_sum_assignment(gain, maximize=True)
    for e, k in zip(rows, columns, strict=True):
        if gain[e, k] == -_NEVER / 2:
            raise refusal(equations[e].name, "only first derivatives in space, for which these elements are unstable")
        if gain[e, k] < 0:
            raise refusal(equations[e].name, "no equation of its own for one of the fields, such as a pressure")
    return [primary[k] for k in columns]


def _row(form: WeakForm, reading: Reading, field: int) -> Row:
    """Return the weak form of an equation.

    Raises:
        UnsupportedError: It is not linear in the highest derivatives, or their coefficients depend on slopes or jump.
    """
    unknowns, expression = form.unknowns, form.canonical(reading)
    target = unknowns.number(field, max(form.depth[field] - 1, 0))
    expression = _divided(form, reading, expression, target)
    bends = [symbol for some in unknowns.bends for symbol in some.values()]
    dives = {slope_of_flux(q, a): (q, a) for q in form.fluxes for a in range(len(form.space))}
    highest = [*bends, *dives, *unknowns.rates]
    pull = [] if form.pressure is None else list(unknowns.slopes[form.pressure])
    slopes = {s for some in unknowns.slopes for s in some}
    factors = {symbol: expression.diff(symbol) for symbol in highest if expression.has(symbol)}
    for symbol, factor in factors.items():
        if factor.free_symbols & {*highest}:
            raise refusal(reading.name, "it is not linear in its highest derivatives")
        if symbol not in unknowns.rates and factor.free_symbols & {*slopes, *form.fluxes}:
            found = "a coefficient of its highest derivatives that depends on slopes"
            raise refusal(
                reading.name, found, "make the flux a field of its own, or give the truth with ps.Exact({...})"
            )
    flux: list[Weights] = [{} for _ in form.space]
    rest = expression.xreplace(dict.fromkeys(factors, Integer(0)))
    for a, slope in enumerate(pull):
        factor = rest.diff(slope)
        if factor != 0 and not factor.free_symbols & {*unknowns.values, *slopes, *unknowns.rates}:
            if _jumps(form, reading, factor):
                raise refusal(reading.name, "a coefficient of a pressure's slope jumps")
            rest = rest.xreplace({slope: Integer(0)})
            rest -= _moved(form, flux, factor, a, unknowns.values[form.pressure or 0])
    for number, some in enumerate(unknowns.bends):
        for (a, b), symbol in some.items():
            factor = factors.get(symbol, Integer(0)) / (1 if a == b else 2)
            for one, other in {(a, b), (b, a)}:
                rest -= _moved(form, flux, factor, one, unknowns.slopes[number][other])
    for symbol, (q, a) in dives.items():
        rest -= _moved(form, flux, factors.get(symbol, Integer(0)), a, q)
    mass = {n: factors[rate] for n, rate in enumerate(unknowns.rates) if rate in factors}
    return Row(reading.name, target, mass, tuple(flux), rest)


def _moved(form: WeakForm, flux: list[Weights], factor: Expr, direction: int, symbol: Symbol) -> Expr:
    """Add a factor times a slope to a flux, and return what its divergence has too much."""
    if factor == 0:
        return Integer(0)
    flux[direction][symbol] = flux[direction].get(symbol, Integer(0)) + factor
    return form.total(factor, direction) * symbol


def _divided(form: WeakForm, reading: Reading, expression: Expr, target: int) -> Expr:
    """Return an equation divided such that its mass depends on space alone and no coefficient of the highest derivatives jumps.

    Raises:
        UnsupportedError: No one factor does both.
    """
    unknowns = form.unknowns
    rate, still = unknowns.rates[target], {form.coordinates[c] for c in form.space}
    factors = [expression.diff(r) for r in unknowns.rates if expression.has(r)]
    if any(not factor.free_symbols <= still for factor in factors):
        if len(factors) > 1 or not expression.has(rate):
            raise refusal(reading.name, "several time derivatives with coefficients that depend on time or on a field")
        factor = expression.diff(rate)
        if factor.has(rate):
            raise refusal(reading.name, "it is not linear in its highest derivatives")
        expression = rate + expression.xreplace({rate: Integer(0)}) / factor
    bends = {s: expression.diff(s) for some in unknowns.bends for s in some.values() if expression.has(s)}
    jumping = [f for f in bends.values() if _jumps(form, reading, f)]
    if not jumping:
        return expression
    highest = {s: expression.diff(s) / jumping[0] for s in bends}
    if any(_jumps(form, reading, f.simplify()) for f in highest.values()):
        found = "a coefficient of a second derivative jumps"
        raise refusal(reading.name, found, "make the flux a field of its own, or give the truth with ps.Exact({...})")
    rest = expression.xreplace(dict.fromkeys(bends, Integer(0)))
    return Add(*(f.simplify() * s for s, f in highest.items())) + rest / jumping[0]


def _jumps(form: WeakForm, reading: Reading, factor: Expr) -> bool:
    """Return whether a coefficient may be discontinuous."""
    return replace(reading, expression=factor).jumps or bool(factor.free_symbols & set(form.groups))


def _chain(form: WeakForm, field: int, order: int) -> Row:
    """Return u_t - w = 0 for one field of a chain and the next."""
    lower, upper = form.unknowns.number(field, order), form.unknowns.number(field, order + 1)
    name = f"rate of {form.names[field]}"
    return Row(name, lower, {lower: Integer(1)}, tuple({} for _ in form.space), -form.unknowns.values[upper])
