"""Forward problems of inverse ones: fields without equations of their own are given functions, observations are left out.

A classical method solves for the fields that equations determine. Which these are follows from the derivatives: every equation
goes to one field, such that the orders to which equations differentiate their fields are the highest in sum (a field with
conditions before one without); those fields to which none goes have none. In lap u = 40 s u with a measured flux this is s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sympy import Basic, Derivative, Expr, Function, Subs
from sympy.core.function import AppliedUndef, FunctionClass

from pinnsolve.declaration.counting import check_counts
from pinnsolve.declaration.coverage import check_coverage
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.reading import REMEDY, Slot
from pinnsolve.reference.state import State

_REMEMBERED = 8
"""Sets of points at which values of a given function are kept: Newton's method asks for the same ones again and again."""

_NOWHERE = -1e9


def lacks_equations(problem: Problem) -> bool:
    """Return whether there are fewer equations than fields, some of which a reference must then be given."""
    return sum(term.kind == "equation" for term in problem.terms) < len(problem.fields)


def given_fields(problem: Problem) -> tuple[str, ...]:
    """Return the names of the real fields that have no equation of their own.

    Raises:
        UnsupportedError: The equations leave open which fields these are.
    """
    if not lacks_equations(problem):
        return ()
    names = [f.func.__name__ for f in problem.fields]
    equations = [term for term in problem.terms if term.kind == "equation"]
    with_conditions = {name for term in problem.terms if term.kind == "condition" for name in _fields_of(term)}
    gains = np.full((len(equations), len(names)), _NOWHERE)
    for row, term in zip(gains, equations, strict=True):
        for name, order in _fields_of(term).items():
            row[names.index(name)] = (1 + order) * (len(names) + 1) + (name in with_conditions)
    chosen, most = _assigned(gains)
    left = tuple(name for k, name in enumerate(names) if k not in chosen)
    for field in chosen:
        without = gains.copy()
        without[:, field] = _NOWHERE
        if _assigned(without)[1] >= most:
            found = f"{len(equations)} equations for {', '.join(names)}, which leave open what else is to be given"
            raise UnsupportedError("equations", f"no reference by a classical method: {found}", REMEDY)
    return left


def forward_problem(problem: Problem, state: State | None) -> tuple[Problem, tuple[str, ...]]:
    """Return a problem in which fields without equations are given functions, and the names of these fields.

    A problem without such fields is returned as it is.

    Args:
        problem: The declaration.
        state: Values and derivatives of these fields at any points.

    Raises:
        UnsupportedError: There is no state to take them from, or it is open which fields these are.
    """
    given = given_fields(problem)
    if not given:
        return problem, ()
    if state is None:
        names = ", ".join(given)
        found = f"no equation is that of {names}, which must be known first"
        raise UnsupportedError(
            "equations",
            f"no reference by a classical method: {found}",
            f"verify a run in place of its file: the reference then takes {names} from the run",
        )
    functions = {
        f.func: _function_of(problem, number, state)
        for number, f in enumerate(problem.fields)
        if f.func.__name__ in given
    }
    terms = [replace(t, residual=_with_functions(t.residual, functions)) for t in problem.terms if t.kind != "data"]
    forward = copy(problem)
    changes = {
        "fields": tuple(f for f in problem.fields if f.func.__name__ not in given),
        "declared_fields": tuple(f for f in problem.declared_fields if f.func.__name__ not in given),
        "terms": tuple(t for t in terms if evaluations(with_ends_of_integrals(t.residual))),
    }
    for name, value in changes.items():
        object.__setattr__(forward, name, value)
    return forward, given


def without_observations(problem: Problem, error: UnsupportedError) -> UnsupportedError:
    """Return why a problem has no reference: where observations stand in for conditions this, else the reason that is known.

    Args:
        problem: What was to be solved.
        error: Why a method refused it.
    """
    terms = [term for term in problem.terms if term.kind != "data"]
    if len(terms) == len(problem.terms):
        return error
    try:
        check_counts(terms, problem.fields, problem.bounds, domain=problem.domain, free_unknowns=False)
        check_coverage(terms, problem.fields, problem.domain, free_unknowns=False)
    except UnsupportedError:
        return error
    except ProblemError as missing:
        found = f"without its observations this is no problem with one solution; {missing.term}: {missing.found}"
        return UnsupportedError("conditions", f"no reference by a classical method: {found}", REMEDY)
    return error


def _fields_of(term: Term) -> dict[str, int]:
    """Return for each field of a term the highest order to which it differentiates it."""
    found: dict[str, int] = {}
    for reading in evaluations(with_ends_of_integrals(term.residual)).values():
        found[reading.field] = max(found.get(reading.field, 0), sum(reading.orders))
    return found


def _assigned(gains: Array) -> tuple[list[int], float]:
    """Return the columns to which the rows go, and what they gain."""
    rows, columns = linear_sum_assignment(gains, maximize=True)
    return columns.tolist(), float(gains[rows, columns].sum())


def _with_functions(expression: Expr, functions: Mapping[type, Callable[[tuple[int, ...]], Any]]) -> Expr:
    def is_given(part: Basic) -> bool:
        return isinstance(part, AppliedUndef) and part.func in functions

    def is_open(part: Basic) -> bool:
        return isinstance(part, Derivative | Subs) and not part.has(AppliedUndef)

    known = expression.replace(is_given, lambda part: functions[part.func]((0,) * len(part.args))(*part.args))
    return known.replace(is_open, lambda part: part.doit())


def _function_of(problem: Problem, number: int, state: State) -> Callable[[tuple[int, ...]], Any]:
    """Return the given functions of one field by the orders of derivatives in its arguments.

    They are functions of SymPy that know their derivatives and have values: what is made of equations by differentiation and
    compilation needs no more.
    """
    own = [problem.coordinates.index(c) for c in problem.fields[number].args]

    @cache
    def function(orders: tuple[int, ...]) -> Any:
        raised = [0] * len(problem.coordinates)
        for coordinate, order in zip(own, orders, strict=True):
            raised[coordinate] = order
        slot = Slot(number, tuple(raised))

        @lru_cache(maxsize=_REMEMBERED)
        def remembered(key: bytes) -> Array:
            places = np.frombuffer(key).reshape(len(own), -1)
            points = np.zeros((places.shape[1], len(problem.coordinates)))
            points[:, own] = places.T
            return np.asarray(state(slot, points), dtype=np.float64)

        def values(*places: Any) -> Array:
            columns = np.broadcast_arrays(*places)
            key = np.stack([np.asarray(c, dtype=np.float64).ravel() for c in columns]).tobytes()
            return remembered(key).reshape(columns[0].shape)

        def slope(applied: Basic, position: int = 1) -> Expr:
            return function(tuple(order + (k == position - 1) for k, order in enumerate(orders)))(*applied.args)

        # Named by numbers: the names of a stranger's fields must not enter the text of a program.
        name = "_".join(["given", str(number), *map(str, orders)])
        content = {"_imp_": staticmethod(values), "fdiff": slope, "is_real": True, "nargs": len(own)}
        return FunctionClass(name, (Function,), content)

    return function
