"""Smooth expressions for the fields of a problem, from which a solution is manufactured where nobody gives one.

A wave sin(k . x + phase) has all mixed derivatives, no symmetry that could hide a mistake, and any period that conditions declare.
Two fields u and v with the equation u_x + v_y = 0 are the slopes psi_y and -psi_x of one wave, so that no source is needed there
and the problem stays a flow without divergence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sympy import Dummy, Expr, Float, I, Integer, Rational, Symbol, nsimplify, pi, sin
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.errors import ProblemError
from pinnsolve.manufactured_solutions import manufactured
from pinnsolve.problem import Problem

_SLOWEST, _FASTEST = 8, 12
"""Radians that a wave runs through along a coordinate: enough for the error of a coarse grid to be far above rounding."""

_PERIODIC = 4 * pi
_ABOVE = 2
"""A wave about this is positive."""


def choose_solution(problem: Problem) -> tuple[dict[AppliedUndef, Expr], Problem]:
    """Return waves for the fields of a problem, and the problem that they solve, its conditions declared and not met exactly.

    Where the equations have no finite value for waves about zero, such as log(u), waves about 2 take their place.

    Raises:
        ProblemError: The equations have no finite value for either.
    """
    problem = replace(problem, ansatz={}, hard=False)
    about_zero = _in_units(problem, _waves(problem, Integer(0)))
    try:
        return about_zero, manufactured(problem, about_zero)
    except ProblemError:
        above = _in_units(problem, _waves(problem, Integer(_ABOVE)))
        return above, manufactured(problem, above)


def _in_units(problem: Problem, waves: Mapping[AppliedUndef, Expr]) -> dict[AppliedUndef, Expr]:
    own = problem.units.given
    return {
        f: problem.units.in_quantities(wave, own[f].expression if f in own else Integer(1)) for f, wave in waves.items()
    }


def _waves(problem: Problem, middle: Expr) -> dict[AppliedUndef, Expr]:
    seams = _seams(problem)
    waves = {}
    for number, field in enumerate(problem.declared_fields):
        phase = _phase(problem, field, number, seams)
        waves[field] = sin(phase) + (_ABOVE if field.is_positive else middle)
        if field.func.__name__ in problem.complex_fields:
            waves[field] += I * sin(phase + Rational(1, 2)) / 2
    for (first, x), (second, y) in _plane_divergences(problem):
        phase = _phase(problem, first, problem.declared_fields.index(first), seams)
        waves[first], waves[second] = sin(phase), -phase.diff(x) / phase.diff(y) * sin(phase)
    return waves


def _phase(problem: Problem, field: AppliedUndef, number: int, seams: set[Symbol]) -> Expr:
    phase: Expr = Integer(number + 1)
    for position, c in enumerate(field.args):
        low, high = (_tidy(end) for end in problem.bounds[c])
        turn = _SLOWEST + (2 * position + number) % (_FASTEST - _SLOWEST + 1)
        phase += (_PERIODIC if c in seams else turn) * (c - low) / (high - low)
    return phase.expand()


def _seams(problem: Problem) -> set[Symbol]:
    """Return the coordinates of which a condition reads two places, as that of a period reads both ends."""
    slots = {f.func.__name__: f.args for f in problem.fields}
    found = set()
    for term in problem.terms:
        pinned: dict[Symbol, set[float]] = {}
        for reading in evaluations(term.residual).values() if term.kind == "condition" else ():
            for c, place in zip(slots[reading.field], reading.location, strict=True):
                if place.is_number:
                    pinned.setdefault(c, set()).add(float(place))
        found |= {c for c, places in pinned.items() if len(places) > 1}
    return found


def _plane_divergences(problem: Problem) -> Iterator[tuple[tuple[AppliedUndef, Symbol], tuple[AppliedUndef, Symbol]]]:
    """Yield the fields and coordinates of every equation u_x + v_y = 0."""
    fields = {f.func.__name__: f for f in problem.fields if f in problem.declared_fields}
    for term in problem.terms:
        slopes = list(_slopes(term, fields)) if term.kind == "equation" else []
        if len(slopes) == 2:
            (u, x), (v, y) = slopes
            if u != v and x != y and u.args == v.args:
                yield slopes[0], slopes[1]


def _slopes(term: Term, fields: dict[str, AppliedUndef]) -> Iterator[tuple[AppliedUndef, Symbol]]:
    """Yield the first derivatives whose plain sum, times a number, a term is; nothing if it is something else."""
    read = evaluations(term.residual)
    stand_ins = {place: Dummy() for place in read}
    opened = term.residual.xreplace(stand_ins)
    factors = {opened.diff(s) for s in stand_ins.values()}
    left = opened.xreplace(dict.fromkeys(stand_ins.values(), Integer(0)))
    if len(factors) != 1 or not all(f.is_number and f != 0 for f in factors) or left != 0:
        return
    if all(sum(r.orders) == 1 and r.field in fields and r.location == fields[r.field].args for r in read.values()):
        for reading in read.values():
            field = fields[reading.field]
            yield field, field.args[reading.orders.index(1)]


def _tidy(end: float) -> Expr:
    """Return an end of a range as a fraction, of pi perhaps, if it is one to the last digit."""
    tidy = nsimplify(end, [pi], tolerance=1e-14, rational_conversion="base10")
    return tidy if float(tidy) == end and len(str(tidy)) <= 12 else Float(end)
