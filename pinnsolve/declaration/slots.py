"""Which field reads which coordinate: the slots of each field, and the symbols that may stand in a declaration.

A field is recognised by one application to plain coordinates, u(x, t); from then on each of its arguments must be that
coordinate, a value in its range, or an expression of coordinates that stays in its range.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence

from sympy import Expr, Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Evaluation, Statement, evaluations, with_ends_of_integrals
from pinnsolve.domains.regions import ROUNDING
from pinnsolve.errors import ProblemError

Bounds = Mapping[Symbol, tuple[float, float]]
Named = tuple[str, Expr]


def find_fields(
    statements: Sequence[Named], extra: Sequence[Named], coordinates: tuple[Symbol, ...]
) -> list[AppliedUndef]:
    """Return each field applied to its coordinates, in order of first appearance in the equations.

    Args:
        statements: Names and expressions of the equations.
        extra: Names and expressions of conditions and data, which may bring no new field.
        coordinates: Those of the domain.

    Raises:
        ProblemError: A field that no equation contains, two orders of arguments, or two fields of one name.
    """
    found: dict[str, AppliedUndef] = {}
    homes: dict[str, str] = {}
    for name, expression in itertools.chain(statements, extra):
        for applied in sorted(expression.atoms(AppliedUndef), key=str):
            label = applied.func.__name__
            if label in found:
                _refuse_second_function(found[label], applied, name)
            plain = all(a in coordinates for a in applied.args) and len(set(applied.args)) == len(applied.args)
            if plain and label not in found:
                found[label], homes[label] = applied, name
            elif plain and applied.args != found[label].args and (name, expression) in statements:
                raise ProblemError(
                    name,
                    f"{applied}, but {found[label]} in {homes[label]}",
                    f"keep one order of arguments: {found[label]}",
                )
    for _, expression in statements:  # a field that stands under integrals only, f(s), where its slots leave no choice
        for applied in sorted(expression.atoms(AppliedUndef), key=str):
            if len(applied.args) == len(coordinates) and expression.has(Integral):
                found.setdefault(applied.func.__name__, applied.func(*coordinates))
    in_equations = {a.func.__name__ for _, e in statements for a in e.atoms(AppliedUndef)}
    for name, expression in itertools.chain(statements, extra):
        for label in sorted({a.func.__name__ for a in expression.atoms(AppliedUndef)}):
            if label not in in_equations:
                raise ProblemError(
                    name,
                    f"the field {label} appears in no equation",
                    f"the equations have {', '.join(sorted(in_equations)) or 'no field'}"
                    + nearest(label, in_equations),
                )
            if label not in found:
                raise ProblemError(
                    name,
                    f"the field {label} is never applied to plain coordinates",
                    f"write an equation with {label}({', '.join(map(str, coordinates))})",
                )
    return list(found.values())


def check_symbols(name: str, expression: Expr, allowed: Iterable[Symbol]) -> None:
    """Raise when an expression contains a symbol that the problem does not declare."""
    known = list(allowed)
    for symbol in sorted(expression.free_symbols - set(known), key=str):
        twin = next((k for k in known if k.name == symbol.name), None)
        if twin is not None:
            raise ProblemError(
                name,
                f"two symbols named {symbol} with different assumptions ({_assumptions(twin)} and {_assumptions(symbol)})",
                "declare the symbol once and use it everywhere",
            )
        raise ProblemError(
            name,
            f"the symbol {symbol} is not declared",
            "add it to the domain or to unknowns={...}, or give it a value"
            + nearest(symbol.name, [k.name for k in known], "; perhaps {} was meant"),
        )


def check_places(
    name: str, expression: Expr, slots: Mapping[str, AppliedUndef], bounds: Bounds, *, within: Bounds | None = None
) -> None:
    """Raise when a field is evaluated with a coordinate in the wrong slot or outside the domain.

    Args:
        name: The term, for messages.
        expression: What is read.
        slots: Each field at its own coordinates.
        bounds: The ranges of the domain.
        within: Narrower ranges of some coordinates, where the statement holds on a region: u(t - 1) for t > 1.
    """
    ranges = {**bounds, **(within or {})}
    for reading in evaluations(with_ends_of_integrals(expression)).values():
        coordinates = slots[reading.field].args
        if len(reading.location) != len(coordinates):
            raise ProblemError(
                name,
                f"{_text(reading)} has {len(reading.location)} arguments",
                f"write {slots[reading.field]} with {len(coordinates)}",
            )
        for coordinate, argument in zip(coordinates, reading.location, strict=True):
            _check_slot(name, reading, coordinate, argument, slots[reading.field], bounds, ranges)


def check_reach(statement: Statement, coordinates: Sequence[Symbol]) -> None:
    """Raise for u(0, t) = sin(x): it would have to hold for every x, which no field in it can follow."""
    if statement.expression.has(Integral):  # an integral equation of the first kind follows x by its kernel
        return
    readings = evaluations(statement.expression).values()
    followed = {s for reading in readings for argument in reading.location for s in argument.free_symbols}
    for coordinate in coordinates:
        if readings and coordinate in statement.expression.free_symbols - followed:
            raise ProblemError(
                statement.name,
                f"{statement.written} contains {coordinate}, on which no field in it depends",
                f"pin the coordinate that is meant, or declare the field with {coordinate} as one of its arguments",
            )


def nearest(name: str, names: Iterable[str], form: str = "; perhaps {} was meant") -> str:
    """Return a hint with the closest of the names, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return form.format(close[0]) if close else ""


def _check_slot(
    name: str,
    reading: Evaluation,
    coordinate: Symbol,
    argument: Expr,
    field: AppliedUndef,
    bounds: Bounds,
    ranges: Bounds,
) -> None:
    if argument == coordinate:
        return
    low, high = bounds[coordinate]
    if argument in bounds:
        raise ProblemError(
            name,
            f"{_text(reading)} puts {argument} in the slot of {coordinate}",
            f"keep the order of arguments of {field}",
        )
    symbols = sorted(argument.free_symbols, key=str)
    if not set(symbols) <= set(bounds):
        raise ProblemError(
            name, f"{_text(reading)} depends on {argument} for {coordinate}", "use coordinates and numbers as arguments"
        )
    slack = ROUNDING * (high - low)
    # The extremes of the expressions met in practice (u(-x), u(1 - x), u(x**2)) are at the ends or the middle of the ranges.
    for values in itertools.product(*((a, (a + b) / 2, b) for a, b in (ranges[s] for s in symbols))):
        value = argument.subs(dict(zip(symbols, values, strict=True))).evalf()
        if not (value.is_real and low - slack <= value <= high + slack):
            shown = f"{float(value):g}" if value.is_real else value
            raise ProblemError(
                name,
                f"{_text(reading)} has {coordinate} = {shown}, outside its range ({low:g}, {high:g})",
                f"stay inside the range, and keep the order of arguments of {field}",
            )


def _refuse_second_function(first: AppliedUndef, second: AppliedUndef, name: str) -> None:
    if first.func != second.func:
        raise ProblemError(
            name, f"two fields named {first.func.__name__} with different assumptions", "declare the field once"
        )
    if len(first.args) != len(second.args):
        raise ProblemError(name, f"{second} has {len(second.args)} arguments", f"write {first} with {len(first.args)}")


def _assumptions(symbol: Symbol) -> str:
    given = ", ".join(f"{key}={value}" for key, value in sorted(symbol._assumptions_orig.items()))
    return given or "none"


def _text(reading: Evaluation) -> str:
    return f"{reading.field}({', '.join(map(str, reading.location))})"
