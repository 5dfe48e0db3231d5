"""The ansatz: an expression the network is put into, so that conditions hold exactly (Lagaris, Likas, Fotiadis 1998).

For u = g + d N, with g meeting the conditions and d vanishing where they stand, every network N meets them. The substitution is
symbolic: derivatives of u become expressions in derivatives of N, and a condition that holds exactly is recognised because
its residual vanishes whatever N does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from sympy import Dummy, Expr, Function, Integral, Symbol, lambdify, sympify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.complexes import Parts, split
from pinnsolve.declaration.measures import without_prefixes
from pinnsolve.declaration.places import region_of
from pinnsolve.declaration.slots import check_symbols, nearest
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.declaration.units import Units, field_in_numbers
from pinnsolve.domains.regions import Box, Region
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError

EXACT = 1e-7
"""A residual below this, relative to the size of the values put in, vanishes but for rounding, or the tail of a pulse at a wall."""


def with_networks(ansatz: Mapping[AppliedUndef, Expr]) -> dict[AppliedUndef, Expr]:
    """Return the ansatz as it is read: with N in place of what the network gives, N_u and N_v for several fields."""
    taken = {symbol.name for expression in ansatz.values() for symbol in expression.free_symbols}
    short = len(ansatz) == 1 and "N" not in taken
    names = {field: "N" if short else f"N_{field.func.__name__}" for field in ansatz}
    return {field: expression.xreplace({field: Symbol(names[field])}) for field, expression in ansatz.items()}


def check_ansatz(
    ansatz: Mapping[AppliedUndef, Expr],
    declared: Sequence[AppliedUndef],
    parts: Mapping[str, Parts],
    coordinates: tuple[Symbol, ...],
    units: Units,
) -> dict[AppliedUndef, Expr]:
    """Return the ansatz for the real fields, as numbers in their units.

    Raises:
        ProblemError: A key that is not a field, a symbol that is not a coordinate, an expression without the field, or of another
            dimension.
    """
    fields = {f.func.__name__: f for f in declared}
    read: dict[AppliedUndef, Expr] = {}
    for key, value in ansatz.items():
        name = key.func.__name__ if isinstance(key, AppliedUndef) else str(key)
        if fields.get(name) != key:
            raise ProblemError(
                "ansatz",
                f"the key {key} is not a field",
                f"use one of {', '.join(map(str, declared))}" + nearest(name, fields),
            )
        expression = without_prefixes(sympify(value))
        check_symbols(f"ansatz of {name}", expression, coordinates)
        if expression.atoms(AppliedUndef) != {key}:
            raise ProblemError(
                f"ansatz of {name}",
                f"it contains {', '.join(sorted(map(str, expression.atoms(AppliedUndef)))) or 'no field'}",
                f"write it in the coordinates and {key} alone, which stands for the network",
            )
        expression = field_in_numbers(f"ansatz of {name}", key, expression, units, declared)
        real, imaginary = split(expression, parts)
        if name in parts:
            read |= {parts[name].real: real, parts[name].imaginary: imaginary}
        else:
            read[key] = real
    return read


def substitute(expression: Expr, ansatz: Mapping[AppliedUndef, Expr]) -> Expr:
    """Put the ansatz in place of its fields; the fields that remain are the network's own outputs."""
    raw = {field: Function(f"network[{field.func.__name__}]") for field in ansatz}
    for field, value in ansatz.items():
        inner = value.replace(field.func, raw[field])
        expression = expression.replace(
            field.func,
            lambda *arguments, inner=inner, field=field: inner.subs(
                dict(zip(field.args, arguments, strict=True)), simultaneous=True
            ),
        )
    expression = expression.doit(integrals=False)
    for field, function in raw.items():
        expression = expression.replace(function, field.func)
    return expression


def holds_exactly(
    term: Term,
    ansatz: Mapping[AppliedUndef, Expr],
    bounds: Mapping[Symbol, tuple[float, float]],
    *,
    fields: Sequence[AppliedUndef],
    periods: Collection[Symbol] = (),
    domain: Shape | None = None,
) -> bool:
    """Return whether a condition's residual vanishes for every network, at random places and values.

    What vanishing means is measured by the size of the same residual with every field read inside the domain.

    Args:
        term: The condition.
        ansatz: What the network of a field is put into.
        bounds: The range of every coordinate.
        fields: All real fields.
        periods: Coordinates in which every network has equal values, slopes and so on at both ends.
        domain: The region, where it is not the box of all ranges.
    """
    if term.residual.has(Integral):  # not decided here: it stays in the loss
        return False
    slots = {field.func.__name__: field for field in fields}
    everywhere = {
        place: slots[r.field].diff(*zip(slots[r.field].args, r.orders, strict=True))
        for place, r in evaluations(term.residual).items()
        if r.field in slots
    }
    shaped = domain is not None and not isinstance(domain, Box)
    size = _magnitude(term.residual.xreplace(everywhere), domain if shaped else None, ansatz, bounds, {})
    seams = {name: [c in periods for c in field.args] for name, field in slots.items()}
    place = region_of(term, domain, fields) if domain is not None and shaped else term.region
    return _magnitude(term.residual, place, ansatz, bounds, seams) <= EXACT * size


def conditions_met(
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    bounds: Mapping[Symbol, tuple[float, float]],
    ansatz: Mapping[AppliedUndef, Expr],
    periods: Collection[Symbol],
    *,
    domain: Shape | None = None,
) -> frozenset[str]:
    """Return the names of the conditions that hold for every network; the arguments are those of `holds_exactly`."""
    if not ansatz and not periods:
        return frozenset()
    return frozenset(
        t.name
        for t in terms
        if t.kind == "condition" and holds_exactly(t, ansatz, bounds, fields=fields, periods=periods, domain=domain)
    )


def _magnitude(
    expression: Expr,
    region: Region | None,
    ansatz: Mapping[AppliedUndef, Expr],
    bounds: Mapping[Symbol, tuple[float, float]],
    seams: Mapping[str, Sequence[bool]],
) -> float:
    """Return the largest magnitude of an expression with the ansatz put in, at random places of a region or of the whole domain.

    Networks have one value wherever a coordinate of theirs has a number, if the seams say that both its ends are one place.
    """
    residual = substitute(expression, ansatz) if ansatz else expression
    values_at: dict[tuple[object, ...], Dummy] = {}
    places = {}
    for place, reading in evaluations(residual).items():
        periodic = seams.get(reading.field, [False] * len(reading.location))
        at = tuple(None if p and a.is_number else a for p, a in zip(periodic, reading.location, strict=True))
        places[place] = values_at.setdefault((reading.field, reading.orders, at), Dummy())
    opened = residual.xreplace(places)
    symbols = sorted(opened.free_symbols, key=str)
    generator = np.random.default_rng(0)
    count = 64
    values = {s: generator.uniform(*bounds[s], count) if s in bounds else generator.normal(size=count) for s in symbols}
    if region is not None:
        drawn = draw(region, count, seed=0)
        on_region = dict(zip(region.coordinates, drawn.coordinates.T, strict=True))
        if drawn.normals is not None:
            on_region |= dict(zip(region.normal, drawn.normals.T, strict=True))
        values |= {s: v for s, v in on_region.items() if s in values}
    with np.errstate(all="ignore"):
        result = lambdify(symbols, opened, "scipy")(*(values[s] for s in symbols))
    return float(np.max(np.abs(result)))
