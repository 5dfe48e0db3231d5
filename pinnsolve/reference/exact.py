"""Closed forms as references."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sympy import Basic, Dummy, Expr, Symbol, lambdify, sympify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.measures import without_prefixes
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.result import Reference, comparison_grid

_INTERVALS = {1: 1000, 2: 200, 3: 35}
_SCATTERED = 2**14
_ROUNDING = 1e-9
"""An imaginary part below this, relative to the modulus, is rounding."""


@dataclass(frozen=True)
class Exact:
    """A closed form of each field, `Exact({u: exp(-t) * sin(x)})`.

    Args:
        fields: Expressions in the coordinates, and the unknowns; the keys are fields, u(x, t) or u. A complex field has one. In a
            problem with units they are written with quantities, as its statements are.
        unknowns: Values of unknown parameters in the expressions; the values given to `solve` otherwise.

    Raises:
        ProblemError: A value that is not an expression.

    Example:
        >>> solution = ps.solve(decay, ps.MLP(width=8, depth=1), training, ps.Exact({q: exp(-t)}), compile="off")
        >>> solution.errors["q"]["relative_l2"] < 1e-3
        True
    """

    fields: Mapping[Any, Expr]
    unknowns: Mapping[Symbol, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fields, Mapping) or not self.fields:
            raise ProblemError("Exact", f"{self.fields!r} is not a mapping", "write ps.Exact({u: exp(-t)*sin(x)})")
        read = {}
        for key, value in self.fields.items():
            expression = value if isinstance(value, str) else sympify(value)
            if not isinstance(expression, Expr):
                raise ProblemError(
                    f"Exact, {key}", f"{value!r} is not an expression", "give a SymPy expression of the coordinates"
                )
            read[key] = without_prefixes(expression)
        object.__setattr__(self, "fields", MappingProxyType(read))


def field_name(key: Any) -> str:
    """Return the name of a field given as u(x, t) or as the function u."""
    function = key.func if isinstance(key, Basic) else key
    return str(getattr(function, "__name__", function))


def exact_reference(problem: Problem, spec: Exact, *, unknowns: Mapping[Symbol, float]) -> Reference:
    """Return closed forms as a reference, on a regular grid in up to three dimensions and on Sobol points above.

    Raises:
        ProblemError: A field that the problem does not have or one without a closed form, a symbol without a value, complex
            values of a real field, or a dimension that the field does not have.
    """
    began = time.monotonic()
    forms = written_forms(problem, spec, {s: float(v) for s, v in {**unknowns, **(spec.unknowns or {})}.items()})
    forms = {name: _checked(problem, name, form) for name, form in forms.items()}
    functions = {name: _program(form, problem.coordinates) for name, form in forms.items()}

    def evaluate(points: Array) -> dict[str, Array]:
        columns = np.asarray(points, dtype=np.float64).T
        result: dict[str, Array] = {}
        for name, function in functions.items():
            with np.errstate(all="ignore"):  # values that are not finite are for the caller to see
                column = np.array(np.broadcast_to(function(*columns), len(points)))
            parts = problem.complex_fields.get(name)
            if parts is None:
                result[name] = _real(column, name)
            else:
                result |= {parts.real.func.__name__: np.real(column), parts.imaginary.func.__name__: np.imag(column)}
        inside = problem.domain.contains(
            columns.T
        )  # a closed form goes on outside, where it is the solution of nothing
        return {f.func.__name__: np.where(inside, result[f.func.__name__], np.nan) for f in problem.fields}

    points, shape = places_of_comparison(problem)
    values_there = evaluate(points)
    return Reference(
        kind="exact",
        points=points,
        values=values_there,
        shape=shape,
        evaluate=evaluate,
        estimated_relative_l2=dict.fromkeys(values_there, 0.0),
        seconds=time.monotonic() - began,
        table=(),
        method="closed form",
    )


def written_forms(problem: Problem, spec: Exact, values: Mapping[Symbol, float]) -> dict[str, Expr]:
    """Return the closed forms as numbers in the units of the fields, by the names of these or of their parts.

    Args:
        problem: The declaration.
        spec: The closed forms.
        values: Of unknown parameters.

    Raises:
        ProblemError: A field that the problem does not have, one without a closed form, or another dimension.
    """
    return {name: _in_numbers(problem, name, form).subs(values) for name, form in _named_forms(problem, spec).items()}


def _named_forms(problem: Problem, spec: Exact) -> dict[str, Expr]:
    """Return the closed forms by name: of the fields as declared, or of the parts of a complex field."""
    written = {field_name(key): expression for key, expression in spec.fields.items()}
    covered = set(written)
    for name, parts in problem.complex_fields.items():
        if name in written:
            covered |= {parts.real.func.__name__, parts.imaginary.func.__name__}
    real = [f.func.__name__ for f in problem.fields]
    for name in written:
        if name not in real and name not in problem.complex_fields:
            fields = ", ".join(f.func.__name__ for f in problem.declared_fields)
            raise ProblemError(f"Exact, {name}", "no such field", f"the fields are {fields}")
    missing = [name for name in real if name not in covered]
    if missing:
        raise ProblemError(f"Exact, {', '.join(missing)}", "no closed form", "give an expression for every field")
    return written


def _in_numbers(problem: Problem, name: str, form: Expr) -> Expr:
    """Return a closed form, which may contain quantities, as numbers in the unit of its field."""
    own = {f.func.__name__: f for f in problem.declared_fields}
    own |= {part.func.__name__: p.whole for p in problem.complex_fields.values() for part in (p.real, p.imaginary)}
    return problem.form(f"Exact, {name}", own[name], form)


def _checked(problem: Problem, name: str, form: Expr) -> Expr:
    unknown = form.free_symbols - set(problem.coordinates)
    if unknown:
        symbols = ", ".join(sorted(map(str, unknown)))
        known = ", ".join(map(str, problem.coordinates))
        raise ProblemError(
            f"Exact, {name}", f"{symbols} is not a coordinate", f"use {known}; give values in Exact(unknowns=...)"
        )
    if fields := form.atoms(AppliedUndef):
        found = ", ".join(sorted(map(str, fields)))[:80]
        raise ProblemError(
            f"Exact, {name}", f"it contains {found}", "write it by elementary functions of the coordinates"
        )
    return form


def _program(form: Expr, coordinates: tuple[Symbol, ...]) -> Callable[..., Any]:
    """Return a closed form as a function of the coordinates.

    SymPy makes it by writing a program and running that. The form may come from a stranger's file, so no name in it, not even
    that of a variable of integration, is allowed into the text.
    """
    stand_ins: dict[Basic, Basic] = {s: Dummy() for s in form.atoms(Symbol) | set(coordinates)}
    return lambdify([stand_ins[c] for c in coordinates], form.xreplace(stand_ins), "scipy")


def _real(column: NDArray[Any], name: str) -> Array:
    finite = column[np.isfinite(column)]
    if np.iscomplexobj(column) and (np.abs(finite.imag) > _ROUNDING * np.abs(finite)).any():
        raise ProblemError(
            f"Exact, {name}", "the closed form has complex values, the field is real", "give its real form"
        )
    return np.asarray(column.real, dtype=np.float64)


def places_of_comparison(problem: Problem) -> tuple[Array, tuple[int, ...] | None]:
    """Return points of a domain at which references are compared, and the shape of their grid where they fill one."""
    ends = [problem.bounds[c] for c in problem.coordinates]
    if len(ends) in _INTERVALS:
        points, shape = comparison_grid([np.linspace(a, b, _INTERVALS[len(ends)] + 1) for a, b in ends])
    else:
        low, high = np.array(ends).T
        points, shape = qmc.scale(qmc.Sobol(len(ends), scramble=False).random(_SCATTERED), low, high), None
    inside = problem.domain.contains(points)
    return (points, shape) if inside.all() else (points[inside], None)
