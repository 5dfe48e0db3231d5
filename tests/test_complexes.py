"""Complex equations: the split agrees with complex arithmetic on random values, and real things stay as they are."""

from __future__ import annotations

import random

import pytest
import sympy
from sympy import (
    Abs,
    Eq,
    I,
    Integer,
    Integral,
    Max,
    Piecewise,
    Rational,
    Symbol,
    conjugate,
    cos,
    exp,
    im,
    log,
    re,
    sin,
    sqrt,
    symbols,
)

from pinnsolve.declaration.complexes import find_complex_fields, split
from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.errors import UnsupportedError
from pinnsolve.operators import fields
from pinnsolve.problem import Problem

x, t, s = symbols("x t s")
h, g = fields("h g", x, t)
PARTS = find_complex_fields([I * h * g], [h, g])


def value(expression: sympy.Expr, rng: random.Random) -> tuple[complex, complex]:
    """The expression with h and h_x random complex numbers, and the two parts with their real and imaginary parts."""
    real, imaginary = split(expression, PARTS)
    places = {
        place: complex(rng.uniform(-1, 1), rng.uniform(-1, 1)) for place in (h, g, h.diff(x), h(0, t), h.diff(x, 2))
    }
    whole: dict = {x: 0.7, t: -0.4}
    halves: dict = {x: 0.7, t: -0.4}
    for place, number in places.items():
        field = PARTS[place.atoms(sympy.core.function.AppliedUndef).pop().func.__name__]
        whole[place] = sympy.Float(number.real, 30) + I * sympy.Float(number.imag, 30)
        halves[place.replace(field.whole.func, field.real.func)] = sympy.Float(number.real, 30)
        halves[place.replace(field.whole.func, field.imaginary.func)] = sympy.Float(number.imag, 30)
    expected = complex(expression.xreplace(whole).doit().evalf(20))
    found = [part.xreplace(halves).evalf(20) for part in (real, imaginary)]
    assert all(part.is_real for part in found)
    return expected, complex(*map(float, found))


@pytest.mark.parametrize(
    "expression",
    [
        I * h.diff(x) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h,
        h * conjugate(g) + g * conjugate(h),
        h**2 + h**3 * g - h**-1 + g**-2,
        Abs(h) + Abs(h * g) + Abs(1 + I * x),
        re(h) + I * im(g) - re(I * g),
        exp(I * x) * h + exp(h) + exp(-(x**2) + I * t),
        sin(h) + cos(I * x) + sympy.sinh(g),
        sqrt(h) + h ** Rational(3, 2) + 2 ** (I * x),
        log(h) + log(2 + I),
        (2 + 3 * I) / (h + 2) + (1 + I) ** Rational(5, 2),
        sqrt(x) * h + Max(0, x) * g + Piecewise((h, x > 0), (I, True)) + log(x) * g,
        conjugate(x) * h - im(x) + re(t) * I,
        h(0, t) - 3 * I * h.diff(x),
    ],
    ids=str,
)
def test_the_parts_are_those_of_complex_arithmetic(expression: sympy.Expr):
    rng = random.Random(0)  # noqa: S311
    for _ in range(3):
        expected, found = value(expression, rng)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_an_integral_is_split_under_its_sign():
    real, imaginary = split(1 + I * Integral(h(s, t), (s, 0, x)), PARTS)
    a, b = PARTS["h"].real, PARTS["h"].imaginary
    assert real == 1 - Integral(b.subs(x, s), (s, 0, x))
    assert imaginary == Integral(a.subs(x, s), (s, 0, x))


def test_what_is_real_stays_as_it_was_written():
    potential = Piecewise((sqrt(x), x > 0), (log(x + 3), True))
    real, imaginary = split(potential * h, PARTS)
    assert real == potential * PARTS["h"].real
    assert imaginary == potential * PARTS["h"].imaginary
    assert split(potential, {}) == (potential, Integer(0))


def test_derivatives_and_places_are_kept():
    a, b = PARTS["h"].real, PARTS["h"].imaginary
    real, imaginary = split(h.diff(x).subs(x, 1), PARTS)
    assert (real, imaginary) == (a.diff(x).subs(x, 1), b.diff(x).subs(x, 1))
    assert split(h.diff(t, x, 2), PARTS)[0] == a.diff(t, x, 2)


def test_a_function_whose_parts_are_not_known_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="erf"):
        split(sympy.erf(h), PARTS)


def test_fields_are_complex_by_the_company_they_keep():
    a, b, c = fields("a b c", x)
    d = fields("d", x, real=True)
    found = find_complex_fields([I * a + d, a - b, c**2, d + c], [a, b, c, d])
    assert set(found) == {"a", "b"}
    assert set(find_complex_fields([Abs(a) + b], [a, b])) == set()
    assert set(find_complex_fields([conjugate(a) + b], [a, b])) == {"a", "b"}


def test_terms_are_named_after_the_part_they_are():
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations={"nls": Eq(I * h.diff(t) + h.diff(x, 2), 0)},
        conditions={
            "start": Eq(h(x, 0), x * (1 - x)),
            "ends": [h(0, t), h(1, t)],
            "density": Eq(Abs(h(0.5, t)) ** 2, t),
        },
    )
    names = [term.name for term in problem.terms]
    assert names == [
        "nls.re",
        "nls.im",
        "start.re",
        "start.im",
        *(f"ends[{k}].{part}" for k in (0, 1) for part in ("re", "im")),
        "density",
    ]
    assert {term.group for term in problem.terms} == {"nls", "start", "ends", "density"}
    assert [f.func.__name__ for f in problem.declared_fields] == ["h"]


def test_complex_observations_are_two_terms():
    wave = fields("w", t)
    problem = Problem(
        domain=Interval(t, 0, 1),
        equations={"ode": Eq(wave.diff(t), I * wave)},
        data={"sensor": Observations(at={t: [0.0, 0.5]}, values={wave: [1 + 0j, 0.8 + 0.4j]})},
    )
    columns = {
        term.name: [array.tolist() for symbol, array in term.columns.items() if symbol.name.startswith("value")]
        for term in problem.terms
        if term.kind == "data"
    }
    assert columns == {"sensor.re": [[1.0, 0.8]], "sensor.im": [[0.0, 0.4]]}


def test_derivatives_of_absolute_values_are_real_where_nothing_is_complex():
    u = fields("u", x)  # not declared real, so SymPy differentiates Abs by real and imaginary parts
    problem = Problem(domain=Interval(x, -1, 1), equations={"e": Abs(u).diff(x) + Abs(x).diff(x) - 1}, conditions=u(0))
    assert problem.fields == (u,)
    assert problem.term("e").residual == sympy.sign(u) * u.diff(x) + sympy.sign(x) - 1


def test_a_real_problem_is_left_alone():
    u, k = fields("u", x), Symbol("k", real=True)
    problem = Problem(
        domain=Interval(x, 0, 1), equations=Eq(u.diff(x), -k * u), conditions=Eq(u(0), 1), unknowns={k: 1}
    )
    assert not problem.complex_fields
    assert problem.fields == problem.declared_fields == (u,)
