"""The ansatz: substitution is exact, and a condition is exact only where it holds for every network."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sympy import Eq, Function, I, Integral, Matrix, cos, exp, pi, sin, symbols

from pinnsolve.declaration.ansatz import substitute
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.operators import fields, grad, laplacian
from pinnsolve.problem import Problem

x, y, t, s = symbols("x y t s")
u = fields("u", x, t)
STRIP = Box({x: (-1, 1), t: (0, 1)})


def exact(
    ansatz: Any, conditions: dict[str, Any], *, domain: Any = STRIP, field: Any = u, equation: Any = None
) -> set[str]:
    equations = equation if equation is not None else Eq(u.diff(t), u.diff(x, 2))
    return set(Problem(domain=domain, equations=equations, conditions=conditions, ansatz={field: ansatz}).exact)


RIGHT = {"initial": Eq(u(x, 0), -sin(pi * x)), "left": u(-1, t), "right": u(1, t)}


def test_the_substitution_is_that_of_sympy():
    trial = sin(x) + t * x * u
    places = (u.diff(t), u.diff(x, 2), u * u.diff(x), u(1, t), u.diff(x).subs(x, 0), u(-x, t).diff(x, t))
    for expression in places:
        found = substitute(expression, {u: trial})
        assert found.has(Function("u"))
        network = found.replace(Function("u"), lambda a, b: a**2 * exp(b)).doit()
        direct = expression.replace(Function("u"), lambda a, b: sin(a) + b * a * a**2 * exp(b)).doit()
        assert (network - direct).simplify() == 0, expression


def test_conditions_that_hold_exactly_are_found():
    assert exact(-sin(pi * x) + t * (1 - x**2) * u, RIGHT) == {"initial", "left", "right"}
    assert exact(-sin(math.pi * x) + t * (1 - x**2) * u, RIGHT) == {"initial", "left", "right"}
    assert exact(sin(math.pi * x) * u, RIGHT) == {"left", "right"}


def test_conditions_that_do_not_hold_stay_in_the_loss():
    assert exact(-sin(pi * x) + t * (1 - x) * u, RIGHT) == {"initial", "right"}
    assert exact(-sin(pi * x) * (1 + 1e-6) + t * (1 - x**2) * u, RIGHT) == {"left", "right"}
    assert exact(u, RIGHT) == set()


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1.0, 1e9])
def test_exactness_is_measured_by_the_size_of_the_field(size: float):
    line, f = Interval(x, 0, size), fields("f", x)
    conditions = {"left": f(0), "right": Eq(f(size), size)}
    found = exact(x * f, conditions, domain=line, field=f, equation=f.diff(x, 2))
    assert found == {"left"}  # however small the right residual is in metres
    assert exact(x + x * (1 - x / size) * f, conditions, domain=line, field=f, equation=f.diff(x, 2)) == {
        "left",
        "right",
    }


def test_slopes_and_periodic_conditions_may_hold_exactly():
    slope = {"initial": u(x, 0), "left": u.diff(x).subs(x, -1), "right": u.diff(x).subs(x, 1)}
    assert exact(t * (1 - x**2) ** 2 * u, slope) == {"initial", "left", "right"}
    assert exact(t * (1 - x**2) * u, slope) == {"initial"}
    periodic = {
        "initial": u(x, 0),
        "value": Eq(u(-1, t), u(1, t)),
        "more": u.diff(x).subs(x, -1) - u.diff(x).subs(x, 1),
    }
    assert exact(t * (1 - x**2) ** 2 * u, periodic) == {"initial", "value", "more"}


def test_conditions_on_faces_are_drawn_there():
    w, square = fields("w", x, y), Box({x: (0, 1), y: (0, 2)})
    bubble = x * (1 - x) * y * (2 - y)
    normal_slope = grad(w - x * y, x, y).dot(square.normal)
    conditions = {"value": on(square.boundary, Eq(w, x * y)), "slope": on(square.boundary, normal_slope)}
    for trial, held in ((x * y + bubble**2 * w, {"value", "slope"}), (x * y + bubble * w, {"value"})):
        equation = laplacian(laplacian(w, x, y), x, y)
        assert exact(trial, conditions, domain=square, field=w, equation=equation) == held


def test_several_fields_and_those_without_an_ansatz():
    v = fields("v", x, t)
    problem = Problem(
        domain=STRIP,
        equations=[u.diff(t) - v.diff(x), v.diff(t) - u.diff(x)],
        conditions={"start": [u(x, 0), v(x, 0)], "ends": Matrix([u(-1, t), u(1, t)])},
        ansatz={u: t * (1 - x**2) * u},
    )
    assert problem.exact == {"start[0]", "ends[0]", "ends[1]"}


def test_a_complex_ansatz_is_split():
    h = fields("h", x)
    problem = Problem(
        domain=Interval(x, 0, 1),
        equations=Eq(h.diff(x), I * h),
        conditions={"start": Eq(h(0), 1 + I)},
        ansatz={h: (1 + I) + x * h},
    )
    assert problem.exact == {"start.re", "start.im"}
    a, b = problem.fields
    assert dict(problem.ansatz) == {a: 1 + x * a, b: 1 + x * b}


def test_an_integral_condition_is_never_taken_for_exact_by_its_ends():
    f = fields("f", x)
    conditions = {"left": f(0), "mean": Eq(Integral(f(s), (s, 0, 1)), 0)}
    found = exact(x * (1 - x) * f, conditions, domain=Interval(x, 0, 1), field=f, equation=f.diff(x, 2) + cos(x))
    assert found == {"left"}


def test_equations_are_never_left_out():
    problem = Problem(
        domain=Interval(x, 0, 1),
        equations={"trivial": Eq(fields("f", x).diff(x), 0)},
        conditions=Eq(fields("f", x)(0), 0),
        ansatz={fields("f", x): x * fields("f", x)},
    )
    assert problem.exact == {"condition[0]"}
