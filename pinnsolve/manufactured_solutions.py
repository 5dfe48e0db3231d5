"""Manufactured solutions: a problem given sources and data such that chosen expressions solve it exactly.

With e in place of the fields a residual r leaves r[e], so that r - r[e] vanishes for e, whatever e is: in the equations it is a
source, in the conditions it changes the given values. The error of any method on this problem is then known, and with it the
order in which the error falls (Roache, Journal of Fluids Engineering 124, 2002, p. 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import (
    Add,
    Dummy,
    Expr,
    Float,
    Integral,
    Symbol,
    SympifyError,
    lambdify,
    nan,
    oo,
    sympify,
    zoo,
)
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.ansatz import substitute
from pinnsolve.declaration.measures import without_prefixes
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.slots import check_symbols, nearest
from pinnsolve.declaration.terms import Statement, evaluations, on, read_statements, resolve
from pinnsolve.domains.regions import Array, Boundary, Region
from pinnsolve.domains.sampling import draw
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem

Solution = Mapping[AppliedUndef, Expr]

_PLACES = 256
_AT_END = 0.25
"""Share of the coordinates of a place that are put on an end of their range, where a singularity is likeliest."""

_ROUNDING = 1e-12
"""A sum below this, relative to its terms, vanishes: the two ends of a period 6.28318530717959 cancel only to rounding."""

_REAL = 1e-9


def manufactured(problem: Problem, solution: Mapping[Any, Any]) -> Problem:
    """Return the problem with sources and data such that given expressions of the coordinates solve it exactly.

    Every residual r becomes r - r[e], where it holds: equations, values and slopes on faces, periods, integrals, whatever is
    pinned. Unknown parameters are held at their initial values and are no longer unknown. Observations are kept with the same
    places and noise, and the values that the expressions have there. An ansatz written by hand meets the old conditions and is
    left out; `hard` stays and means the new ones. An integral in a source stays an integral.

    Args:
        problem: The declaration.
        solution: An expression for each declared field, `{u: exp(-t) * sin(pi * x)}`; the keys are fields, u(x, t) or u. In a
            problem with units it is written with quantities, and so are the sources.

    Raises:
        ProblemError: A field without an expression or an expression without a field, a symbol that is not a coordinate of the
            field or an unknown, values that are not finite, or that the field cannot have, a dimension that it does not have; a
            problem loaded from a run.
        UnsupportedError: A source that contains an integral, in a problem with units.

    Example:
        >>> known = ps.manufactured(decay, {q: cos(3 * t)})
        >>> known.term("decay").residual
        q(t) + 3*sin(3*t) - cos(3*t) + Derivative(q(t), t)
    """
    equations = read_statements(problem.equations, "equation")
    if not equations:
        found = "a problem loaded from a run, which keeps no statements"
        raise ProblemError("manufactured", found, "give the problem of its problem file")
    exact = _read(problem, solution)
    return Problem(
        domain=problem.domain,
        equations=_grouped(_shifted(problem, equations, exact)),
        conditions=_grouped(_shifted(problem, read_statements(problem.conditions, "condition"), exact)),
        data={name: _observed(problem, name, observations, exact) for name, observations in problem.data.items()},
        hard=problem.hard,
        units=problem.units.without(problem.unknowns),
    )


def _read(problem: Problem, solution: Mapping[Any, Any]) -> dict[AppliedUndef, Expr]:
    """Return the expression of every declared field, with unknowns at their values."""
    if not isinstance(solution, Mapping):
        raise ProblemError("manufactured", f"{solution!r} is not a mapping", "write {u: exp(-t) * sin(pi * x)}")
    fields = {f.func.__name__: f for f in problem.declared_fields}
    values = _values_of_unknowns(problem)
    read: dict[AppliedUndef, Expr] = {}
    for key, value in solution.items():
        name = str(getattr(key.func if isinstance(key, AppliedUndef) else key, "__name__", key))
        field = fields.get(name)
        if field is None or key not in (field, field.func):
            known = ", ".join(map(str, fields.values()))
            raise ProblemError(
                f"manufactured, {key}", "no such field", f"the fields are {known}" + nearest(name, fields)
            )
        form = problem.form(f"manufactured, {field}", field, _expression(problem, field, value))
        read[field] = form.xreplace(values)
    if missing := [f for f in fields.values() if f not in read]:
        raise ProblemError(
            f"manufactured, {', '.join(map(str, missing))}", "no expression", "give one for every field of the problem"
        )
    for field, expression in read.items():
        _check_values(problem, field, expression)
    return {field: read[field] for field in fields.values()}


def _expression(problem: Problem, field: AppliedUndef, value: Any) -> Expr:
    name = f"manufactured, {field}"
    try:
        expression = None if isinstance(value, str) else without_prefixes(sympify(value))
    except SympifyError:
        expression = None
    if not isinstance(expression, Expr):
        raise ProblemError(name, f"{value!r} is a {type(value).__name__}", "give a SymPy expression of the coordinates")
    if within := expression.atoms(AppliedUndef):
        found = f"it contains {', '.join(sorted(map(str, within)))}"
        raise ProblemError(name, found, f"write it in {', '.join(map(str, field.args))} alone")
    others = sorted(expression.free_symbols & (set(problem.coordinates) - set(field.args)), key=str)
    if others:
        found = f"it contains {', '.join(map(str, others))}, on which {field} does not depend"
        raise ProblemError(name, found, f"write it in {', '.join(map(str, field.args))} alone")
    check_symbols(name, expression, [*field.args, *problem.unknowns])
    return expression


def _check_values(problem: Problem, field: AppliedUndef, expression: Expr) -> None:
    """Raise unless an expression has values, at places inside and on the boundary, that its field can have."""
    name, places = f"manufactured, {field}", _places_with_ends(problem.domain)
    values = _values(expression, dict(zip(problem.coordinates, places.T, strict=True)))
    faults = [(~np.isfinite(values), "finite", "choose an expression that is finite on the whole domain")]
    if field.func.__name__ not in problem.complex_fields:
        imaginary = np.abs(values.imag) > _REAL * np.abs(values)
        faults.append((imaginary, "real", "choose a real expression: no equation makes the field complex"))
    if field.is_positive:
        faults.append((values.real <= 0, "positive", "choose a positive expression, as the field is declared"))
    for fault, wanted, remedy in faults:
        if fault.any():
            row = int(np.argmax(fault))
            place = ", ".join(f"{c} = {v:g}" for c, v in zip(problem.coordinates, places[row], strict=True))
            raise ProblemError(name, f"{expression} is not {wanted} at {place}", remedy)


def _shifted(problem: Problem, statements: Sequence[Statement], exact: Solution) -> Iterator[Statement]:
    """Yield r - r[e] for every r."""
    values = _values_of_unknowns(problem)
    measured = {
        k: value * problem.units.symbols[k].expression for k, value in values.items() if k in problem.units.symbols
    }
    for statement in statements:
        written = resolve(statement.expression, statement.name)
        declared = problem.convert(statement.name, written)
        residual = declared.expression.xreplace(values)
        if lost := evaluations(declared.expression).keys() - evaluations(residual).keys():
            found = f"{', '.join(sorted(map(str, lost)))} drops out at the initial values of the unknowns"
            raise ProblemError(f"manufactured, {statement.name}", found, "give initial values other than 0")
        left = _put(problem, residual, exact)
        _check_source(problem, statement, left)
        source = _without_rounding(problem, statement.region, left)
        if problem.units:
            residual = written.xreplace({**values, **measured})
            source = problem.units.in_quantities(source, declared.unit)
        yield replace(statement, expression=residual - source)


def _put(problem: Problem, expression: Expr, exact: Solution) -> Expr:
    """Return what an expression of the fields becomes for a solution; coordinates count as real on the way."""
    real = {c: Dummy(c.name, real=True) for c in problem.coordinates}
    inner = {f.xreplace(real): e.xreplace(real) for f, e in exact.items()}
    return substitute(expression.xreplace(real), inner).xreplace({stand_in: c for c, stand_in in real.items()})


def _check_source(problem: Problem, statement: Statement, source: Expr) -> None:
    if problem.units and source.has(Integral):
        where = "a source with an integral, in a problem with units"
        raise UnsupportedError(f"manufactured, {statement.name}", where, "state the problem in pure numbers")
    found = source.has(nan, zoo, oo, -oo)
    if not found and not source.has(Integral):
        found = not np.isfinite(_values(source, _places(problem, statement.region))).all()
    if found:
        raise ProblemError(
            f"manufactured, {statement.name}",
            f"its residual for these expressions is not finite, it is {str(source)[:200]}",
            "choose expressions for which every term of it has a value",
        )


def _without_rounding(problem: Problem, region: Region | None, source: Expr) -> Expr:
    """Return 0 for a source whose terms cancel to rounding, as those of a condition that the solution meets already."""
    if source.has(Integral) or not source.free_symbols <= {*problem.coordinates, *problem.normal}:
        return source
    places = _places(problem, region)
    terms = np.array([_values(term, places) for term in Add.make_args(source)])
    cancels = np.abs(terms.sum(axis=0)).max() <= _ROUNDING * np.abs(terms).sum(axis=0).max()
    return sympify(0) if cancels else source


def _grouped(statements: Iterator[Statement]) -> dict[str, Any]:
    """Return statements as a mapping that gives every one its old name, in its region."""
    groups: dict[str, Any] = {}
    for statement in statements:
        entry = statement.expression if statement.region is None else on(statement.region, statement.expression)
        if statement.name == statement.group:
            groups[statement.group] = entry
        else:
            groups.setdefault(statement.group, []).append(entry)
    return groups


def _observed(problem: Problem, name: str, observations: Observations, exact: Solution) -> Observations:
    """Return observations of a solution, without noise, at the same places."""
    unknowns = _values_of_unknowns(problem)
    values = {}
    for key in observations.values:
        expression = resolve(key, name).xreplace(unknowns)
        form = _put(problem, expression, exact)
        column = (
            _by_rows(form, observations.at, observations.count)
            if form.has(Integral)
            else _values(form, observations.at, count=observations.count)
        )
        values[expression] = column if np.any(column.imag) else column.real
    kept = {"noise": observations.noise, "loss": observations.loss, "split": observations.split}
    return Observations(at=observations.at, values=values, source=name, **kept)


def _by_rows(form: Expr, at: Mapping[Symbol, Array], count: int) -> NDArray[np.complex128]:
    rows = ({c: Float(float(column[row])) for c, column in at.items()} for row in range(count))
    return np.array([complex(form.subs(row).evalf()) for row in rows])


def _values_of_unknowns(problem: Problem) -> dict[Symbol, Expr]:
    return {symbol: Float(value) for symbol, value in problem.unknowns.items()}


def _values(form: Expr, at: Mapping[Symbol, Array], *, count: int = _PLACES) -> NDArray[np.complex128]:
    """Return an expression's values at places, complex where they are; NaN where there are none."""
    with np.errstate(all="ignore"):
        values = lambdify(list(at), form, "scipy")(*at.values())
        return np.array(np.broadcast_to(values, count), dtype=np.complex128)


def _places(problem: Problem, region: Region | None) -> dict[Symbol, Array]:
    """Return places of a region, or of the domain, with normals on a boundary."""
    inside = draw(problem.domain, _PLACES)
    places = dict(zip(problem.coordinates, inside.coordinates.T, strict=True))
    if region is not None:
        drawn = draw(region, _PLACES)
        places |= dict(zip(region.coordinates, drawn.coordinates.T, strict=True))
        if isinstance(region, Boundary) and drawn.normals is not None:
            places |= dict(zip(region.normal, drawn.normals.T, strict=True))
    return places


def _places_with_ends(domain: Region) -> Array:
    """Return places (_PLACES, coordinates) of a domain, many of them with coordinates at an end of their range."""
    generator = np.random.default_rng(0)
    places = draw(domain, _PLACES).coordinates
    shape = places.shape
    ends = np.array(list(domain.bounds.values()))
    moved = np.where(
        generator.random(shape) < _AT_END,
        np.take_along_axis(ends[None], generator.integers(2, size=(*shape, 1)), axis=2)[..., 0],
        places,
    )
    return np.where(domain.contains(moved)[:, None], moved, places)
