"""Terms: how statements are named and read, and what a residual asks of the fields."""

from __future__ import annotations

import pytest
from sympy import Derivative, Eq, Function, Integral, Matrix, Subs, cos, exp, pi, sin, symbols

from pinnsolve.declaration.terms import Evaluation, evaluations, on, read_statements, resolve, with_ends_of_integrals
from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.operators import fields

x, y, t, s, r = symbols("x y t s r")
u, v = fields("u v", x, t)


def readings(expression) -> set[Evaluation]:
    return set(evaluations(expression).values())


def names(declared, word: str = "equation") -> list[str]:
    return [statement.name for statement in read_statements(declared, word)]


def test_a_field_its_derivatives_and_its_places_are_read_exactly():
    assert readings(u(x, 0) * exp(u.diff(x, 2, t))) == {
        Evaluation("u", (0, 0), (x, 0)),
        Evaluation("u", (2, 1), (x, t)),
    }


def test_no_argument_is_dropped_so_that_periodicity_is_two_readings():
    assert readings(u(-1, t) - u(1, t)) == {Evaluation("u", (0, 0), (-1, t)), Evaluation("u", (0, 0), (1, t))}
    slopes = u.diff(x).subs(x, -1) - u.diff(x).subs(x, 1)
    assert readings(slopes) == {Evaluation("u", (1, 0), (-1, t)), Evaluation("u", (1, 0), (1, t))}


def test_derivatives_at_places_that_are_expressions_are_read():
    reflected = resolve(Derivative(u(-x, t), x, t), "reflection")
    (reading,) = evaluations(reflected).values()
    assert reading == Evaluation("u", (1, 1), (-x, t))
    (reading,) = evaluations(Subs(Derivative(u, t, t), (x, t), (0, pi))).values()
    assert reading == Evaluation("u", (0, 2), (0, pi))
    (reading,) = evaluations(u.diff(x, 3).subs(t, 0)).values()
    assert reading == Evaluation("u", (3, 0), (x, 0))


def test_derivatives_left_unevaluated_are_carried_out():
    assert resolve(Derivative(u**2, x), "square") == 2 * u * u.diff(x)
    assert resolve(Derivative(Derivative(x * u, x), x), "twice") == x * u.diff(x, 2) + 2 * u.diff(x)
    moving = Derivative(Integral(u(s, t), (s, 0, x)), x)
    assert resolve(moving, "leibniz") == u


def test_integrals_stay_and_their_places_are_seen_at_both_ends():
    integral = Integral(sin(pi * s) * u(s, t), (s, 0, 1))
    assert resolve(integral, "moment") == integral
    assert readings(with_ends_of_integrals(integral)) == {
        Evaluation("u", (0, 0), (0, t)),
        Evaluation("u", (0, 0), (1, t)),
    }


def test_nothing_outside_cancels_what_an_integral_reaches():
    for sign in (1, -1):
        seen = with_ends_of_integrals(u + sign * Integral(u(s, t), (s, 0, x)))
        assert readings(seen) == {Evaluation("u", (0, 0), (x, t)), Evaluation("u", (0, 0), (0, t))}
    assert with_ends_of_integrals(u(0, 0) * (1 - Integral(v(s, 0), (s, 0, 1)))).has(Function("v"))


def test_iterated_integrals_reach_the_limits_of_the_outer_variable():
    double = Integral(u(s, r) * x, (s, 0, r), (r, 0, t))
    places = {reading.location for reading in readings(with_ends_of_integrals(double))}
    assert places == {(0, 0), (0, t), (t, t)}
    assert with_ends_of_integrals(double).free_symbols == {x, t}
    nested = Integral(Integral(u(s, r), (s, 0, r)), (r, 0, t))
    assert {reading.location for reading in readings(with_ends_of_integrals(nested))} == places


def test_symbols_of_the_integrand_and_of_the_limits_are_seen():
    seen = with_ends_of_integrals(Integral(cos(y * s), (s, 0, t)))
    assert seen.free_symbols == {y, t}


@pytest.mark.parametrize(
    ("expression", "piece"),
    [
        (u(u, t), "a field inside the argument"),
        (Derivative(Integral(u(s, t), (s, 0, 1)), t), "not a field"),
        (Derivative(u, (x, symbols("n", integer=True))), "n times"),
    ],
)
def test_what_cannot_be_read_is_refused(expression, piece):
    with pytest.raises(UnsupportedError, match=piece):
        evaluations(expression)


def test_statements_are_named_by_their_mapping_or_their_position():
    assert names({"heat": u, "wave": v}) == ["heat", "wave"]
    assert names({"momentum": [u, v]}) == ["momentum[0]", "momentum[1]"]
    assert names({"momentum": Matrix([u, v])}) == ["momentum[0]", "momentum[1]"]
    assert names({"momentum": Matrix([u])}) == ["momentum[0]"]
    assert names([u, v]) == ["equation[0]", "equation[1]"]
    assert names(Matrix([u, v])) == ["equation[0]", "equation[1]"]
    assert names(Eq(u, v), "condition") == ["condition[0]"]
    assert names(None) == []


def test_nested_lists_are_numbered_throughout_and_keep_their_regions():
    left, right = Box({x: (0, 1), t: (0, 1)}).face(x, 0), Box({x: (0, 1), t: (0, 1)}).face(x, 1)
    read = read_statements({"wall": [on(left, u, [v]), on(right, Eq(Matrix([u, v]), Matrix([1, 2])))]}, "condition")
    assert [(q.name, q.expression, q.region) for q in read] == [
        ("wall[0]", u, left),
        ("wall[1]", v, left),
        ("wall[2]", u - 1, right),
        ("wall[3]", v - 2, right),
    ]


def test_an_equation_means_its_difference_is_zero():
    (statement,) = read_statements({"a": Eq(u.diff(t), v + 1)}, "equation")
    assert statement.expression == u.diff(t) - v - 1
    assert statement.written == Eq(u.diff(t), v + 1)


def test_a_definite_integral_of_a_field_is_not_mistaken_for_a_number():
    (statement,) = read_statements({"mass": Eq(Integral(u(s, 0) ** 2, (s, 0, 1)), 1)}, "condition")
    assert statement.expression.has(Integral)


@pytest.mark.parametrize(
    "folded", [True, False, 0, 1.5, Eq(1, 1), Eq(1, 2), {"a": 1}, object(), "u", None, lambda a: a]
)
def test_what_is_no_equation_is_refused_under_its_name(folded):
    with pytest.raises(ProblemError, match=r"^wall\[1\] · "):
        read_statements({"wall": [u, folded]}, "condition")
