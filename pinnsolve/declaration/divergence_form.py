"""Divergence forms: an elliptic equation as the balance of a flux, so that test functions can take one derivative off it.

An equation sum_ab A_ab u_,ab + G(x, u, grad u) = 0 whose A depends on the place alone is, exactly,

    div Phi + r = 0,      Phi_a = sum_b A_ab u_,b,      r = G - sum_ab (d_a A_ab) u_,b,

and for every v that vanishes on the boundary the weak residual is

    R(u, v) = int (Phi . grad v - r v),      of a solution 0.

Where A is definite, |A| has the energy a(v, v) = int grad v . |A| grad v. If r is a source alone, u the solution and w any function
with the same boundary values, R(w, v) = ± a(w - u, v), whose square over a(v, v) is at most a(w - u, w - u), and is that for
v = w - u: the residual at its worst test function is the error in the energy norm (Ciarlet, The finite element method for
elliptic problems, 1978, section 1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sympy import Add, Derivative, Dummy, Expr, Integer, Integral, Matrix, lambdify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.distances import given_value
from pinnsolve.declaration.terms import Evaluation, Term, evaluations
from pinnsolve.domains.sampling import draw
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem

_PLACES = 256
"""Points of the region at which A must be definite, and all of one sign."""

_DEFINITE = 1e-9
"""Least eigenvalue of A, relative to its largest, at such a point."""

_REMEDY = "solve it in its strong form: ps.solve(...)"


@dataclass(frozen=True, eq=False)
class DivergenceForm:
    """An equation div Phi + r = 0 for one field whose values are given on all of the boundary.

    Attributes:
        problem: The declaration, with its conditions in the ansatz.
        field: The field.
        flux: Phi, one entry for each coordinate.
        rest: r.
        energy: |A|, positive definite.
        factor: What vanishes on the boundary; u = values + factor N, and test functions are multiples of it, too.
    """

    problem: Problem
    field: AppliedUndef
    flux: tuple[Expr, ...]
    rest: Expr
    energy: Matrix
    factor: Expr


def read_divergence_form(problem: Problem) -> DivergenceForm:
    """Bring a problem with one elliptic equation to divergence form.

    Args:
        problem: One equation, one field, its values on the whole boundary; nothing unknown and nothing measured.

    Raises:
        UnsupportedError: Another problem, with what stands in the way.
    """
    term = _only_equation(problem)
    field = problem.fields[0]
    exact = problem if problem.ansatz else replace(problem, hard=True)
    for condition in problem.terms:
        if condition.kind == "condition" and (given_value(condition) is None or exact.periods):
            raise _refusal(condition.name, "a condition that does not give the value of the field")
        if condition.kind == "condition" and condition.name not in exact.exact:
            raise _refusal(condition.name, "a value that cannot be met exactly, and test functions vanish there")
    highest, rest = _split(term, field)
    coordinates = field.args
    flux = tuple(
        Add(*(highest[a, b] * field.diff(coordinates[b]) for b in range(len(coordinates))))
        for a in range(len(coordinates))
    )
    drift = Add(
        *(
            highest[a, b].diff(coordinates[a]) * field.diff(coordinates[b])
            for a in range(len(coordinates))
            for b in range(len(coordinates))
        )
    )
    sign = _sign(term, problem, highest)
    stand_in = Dummy()
    factor = exact.ansatz[field].subs(field, stand_in).diff(stand_in)
    if factor.has(stand_in):
        raise _refusal("ansatz", "a factor of the network that depends on the network")
    return DivergenceForm(exact, field, flux, rest - drift, sign * highest, factor)


def _only_equation(problem: Problem) -> Term:
    equations = [term for term in problem.terms if term.kind == "equation"]
    if len(problem.fields) != 1 or len(equations) != 1:
        found = f"{len(equations)} equations for {len(problem.fields)} fields"
        raise _refusal("equations", f"{found}, where a weak residual is that of one equation for one field")
    (term,) = equations
    if problem.unknowns or problem.data:
        raise _refusal(", ".join([*map(str, problem.unknowns), *problem.data]), "something that is sought or measured")
    if term.region is not None or term.residual.has(Integral):
        raise _refusal(term.name, "an equation on a part of the region, or with an integral")
    if len(problem.fields[0].args) != len(problem.coordinates):
        raise _refusal(term.name, "a field that does not depend on every coordinate")
    return term


def _split(term: Term, field: AppliedUndef) -> tuple[Matrix, Expr]:
    """Return A and G.

    Raises:
        UnsupportedError: The equation is not of second order, or its highest derivatives have coefficients that contain the field.
    """
    coordinates, size = field.args, len(field.args)
    readings = evaluations(term.residual)
    second: dict[Evaluation, Dummy] = {}
    for reading in readings.values():
        if reading.location != coordinates:
            raise _refusal(term.name, "the field at another place")
        if sum(reading.orders) > 2:
            raise _refusal(term.name, "a derivative of an order above the second")
        if sum(reading.orders) == 2:
            second[reading] = Dummy()
    opened = term.residual.xreplace({place: second[r] for place, r in readings.items() if r in second})
    highest = Matrix.zeros(size, size)
    for reading, symbol in second.items():
        coefficient = opened.diff(symbol)
        if coefficient.atoms(AppliedUndef, Derivative, Dummy) or not coefficient.free_symbols <= set(coordinates):
            raise _refusal(term.name, "a coefficient of a second derivative that is not a function of the place alone")
        places = [k for k, order in enumerate(reading.orders) for _ in range(order)]
        for a, b in {(places[0], places[1]), (places[1], places[0])}:
            highest[a, b] = coefficient / (1 if places[0] == places[1] else 2)
    return highest, opened.xreplace(dict.fromkeys(second.values(), Integer(0)))


def _sign(term: Term, problem: Problem, highest: Matrix) -> int:
    """Return the sign of A.

    Raises:
        UnsupportedError: It has none, or another one elsewhere: the equation is not elliptic.
    """
    points = draw(problem.domain, _PLACES).coordinates
    size = highest.shape[0]
    entries = [lambdify(problem.coordinates, entry, "numpy")(*points.T) for entry in highest]
    matrices = np.stack([np.broadcast_to(entry, len(points)) for entry in entries], axis=1).reshape(-1, size, size)
    eigenvalues = np.linalg.eigvalsh(matrices.astype(float))
    for sign in (1, -1):
        if (sign * eigenvalues).min() > _DEFINITE * np.abs(eigenvalues).max():
            return sign
    raise _refusal(term.name, "second derivatives that make no elliptic equation")


def _refusal(term: str, found: str) -> UnsupportedError:
    return UnsupportedError(term, found, _REMEDY)
