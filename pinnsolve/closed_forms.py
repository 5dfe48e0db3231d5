"""Closed forms of the user's, put into the declaration: a reference that does not satisfy what is solved judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Add, Expr, Integral, Symbol, lambdify

from pinnsolve.compiler.compile import term_inputs
from pinnsolve.declaration.evaluation import SYMPY_FAILS
from pinnsolve.declaration.scales import places_of
from pinnsolve.declaration.terms import Evaluation, Term, evaluations
from pinnsolve.domains.images import Array
from pinnsolve.points import term_points
from pinnsolve.problem import Problem
from pinnsolve.reference.exact import Exact, written_forms

_POINTS = 128
"""Of every term."""

_MOST_READINGS, _MOST_OPERATIONS = 40, 10_000
"""Evaluations of fields in a statement, and operations in their derivatives, up to which it is looked at: more take long."""

_SMALL = 1e-5
"""Part of the summands of a statement below which what is left of it is rounding, or a domain that was cut off far away."""


@dataclass(frozen=True)
class Contradiction:
    """A statement that closed forms do not satisfy.

    Args:
        term: Its name.
        left: The root mean square of what is left of it, as a part of that of its summands' sizes.
    """

    term: str
    left: float

    def __str__(self) -> str:
        return f"the closed form does not satisfy {self.term}: {self.left:.1e} of its terms are left"


def contradictions(problem: Problem, spec: Exact) -> Iterator[Contradiction]:
    """Yield the equations and conditions that closed forms do not satisfy where they have values.

    Statements with integrals, or with unknowns of which the closed forms say nothing, are left out.

    Raises:
        ProblemError: Closed forms that do not fit the problem.
    """
    held = {s: float(v) for s, v in (spec.unknowns or {}).items()}
    # Names of ours: none from a stranger's file gets into the text of a program, and SymPy knows what it has seen before.
    symbols = [*problem.coordinates, *problem.normal, *problem.unknowns, *problem.indicators]
    names = {symbol: Symbol(f"s{k}", real=True) for k, symbol in enumerate(symbols)}
    forms = {name: form.xreplace(names) for name, form in written_forms(problem, spec, held).items()}
    parts = {
        part.func.__name__: (whole, np.real if part == both.real else np.imag)
        for whole, both in problem.complex_fields.items()
        for part in (both.real, both.imaginary)
        if whole in forms
    }
    for term in problem.terms:
        own = {s for s in problem.unknowns if s in term.residual.free_symbols} - set(held)
        if (
            term.kind == "data"
            or term.residual.has(Integral)
            or own
            or len(evaluations(term.residual)) > _MOST_READINGS
        ):
            continue
        inputs = dict(zip(term_inputs(term, problem), term_points(term, problem, _POINTS).T, strict=True))
        try:
            known = inputs | {s: np.full(1, v) for s, v in held.items()}
            left = _left(term, problem, forms, parts, known, names)
        except (
            *SYMPY_FAILS,
            NameError,
            SyntaxError,
            KeyError,
        ):  # beyond what can be evaluated: the errors of the run tell
            continue
        if left > _SMALL:
            yield Contradiction(term.name, left)


def _left(
    term: Term,
    problem: Problem,
    forms: Mapping[str, Expr],
    parts: Mapping[str, tuple[str, Callable[[Array], Array]]],
    known: Mapping[Symbol, Array],
    names: Mapping[Symbol, Symbol],
) -> float:
    """Return what is left of a statement, as a part of its summands there and in the whole domain: they may all be zero there."""
    slots = {f.func.__name__: f.args for f in problem.fields}
    readings = evaluations(term.residual)
    symbols = {place: Symbol(f"v{k}", real=True) for k, place in enumerate(readings)}
    summands = [part.xreplace(names) for part in Add.make_args(term.residual.xreplace(symbols))]

    def values(known: Mapping[Symbol, Array], *, moved: bool) -> list[Array]:
        given = {names[symbol]: column for symbol, column in known.items()}
        found = dict(given)
        for place, reading in readings.items():
            whole, taken = parts.get(reading.field, (reading.field, np.real))
            form = _at(forms[whole], reading, slots[reading.field], names, moved=moved)
            found[symbols[place]] = taken(_numbers(form, given))
        return [_numbers(part, found) for part in summands]

    there = values(known, moved=True)
    inside = values({**known, **places_of(problem.domain, _POINTS)}, moved=False)
    size = sum(_root_mean_square(sum(np.abs(part) for part in some)) for some in (there, inside))
    return _root_mean_square(sum(there)) / size if size > 0 else 0.0


def _root_mean_square(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0


def _at(
    form: Expr, reading: Evaluation, slots: tuple[Symbol, ...], names: Mapping[Symbol, Symbol], *, moved: bool
) -> Expr:
    """Return a derivative of a closed form, at the place where a statement reads it if moved there."""
    for coordinate, order in zip(slots, reading.orders, strict=True):
        form = form.diff(names[coordinate], order)
    there = {names[c]: a.xreplace(names) for c, a in zip(slots, reading.location, strict=True) if a != c}
    return form.subs(there, simultaneous=True) if moved and there else form


def _numbers(expression: Expr, known: Mapping[Symbol, Array]) -> Array:
    symbols = sorted(expression.free_symbols, key=str)
    count = max((len(column) for column in known.values()), default=1)
    with np.errstate(all="ignore"):
        found = np.asarray(lambdify(symbols, expression, "scipy")(*(known[s] for s in symbols)))
    return np.broadcast_to(found, (count,))
