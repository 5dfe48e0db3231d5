"""Lowering: slots and places of a residual, and integrals as sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sympy import Derivative, Float, Function, Integral, cos, exp, pi, sin, symbols

from pinnsolve.compiler.lowering import lower
from pinnsolve.compiler.quadrature import NODES, expand_integrals
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.operators import fields
from pinnsolve.problem import Problem

x, t, s, r = symbols("x t s r")
u, v = fields("u v", x, t)
a = fields("a", x)
PROBLEM = Problem(
    domain=Box({x: (0, 2), t: (0, 1)}),
    equations={"u": u.diff(t) - a * u.diff(x, 2) - v, "v": v.diff(t) - u, "a": a - x**2},
    conditions=[u(x, 0), v(x, 0), u(0, t), u(2, t)],
)
NAMES = [f.func.__name__ for f in PROBLEM.fields]


def lowered(expression, inputs=(x, t), *, problem: Problem = PROBLEM):
    return lower("it", expression, inputs, problem=problem)


def test_each_derivative_at_a_place_is_one_slot_and_each_place_one_location():
    term = lowered(u.diff(t) + u * u.diff(x) - v.diff(x, 2) * u.diff(x))
    assert [location.place for location in term.locations] == [(x, t)]
    assert dict(term.locations[0].fields).keys() == {(0, 0), (1, 0), (0, 1), (2, 0)}
    assert {(NAMES[slot.field], slot.derivative) for slot in term.slots} == {
        ("u", (0, 0)),
        ("u", (1, 0)),
        ("u", (0, 1)),
        ("v", (2, 0)),
    }


def test_the_expression_contains_inputs_and_slots_only():
    term = lowered(x * u.diff(x) + sin(u(2, t)))
    assert not term.expression.has(Function("u"))
    assert not term.expression.atoms(Derivative)
    assert term.expression.free_symbols == {x, *(slot.symbol for slot in term.slots)}


def test_several_fields_at_one_place_share_it_and_other_places_have_their_own():
    term = lowered(u(0, t) - v(0, t) + u(2, t) + u(2 - x, t))
    assert {location.place for location in term.locations} == {(0, t), (2, t), (2 - x, t)}
    at_left = next(k for k, location in enumerate(term.locations) if location.place == (0, t))
    assert sorted(NAMES[slot.field] for slot in term.slots if slot.location == at_left) == ["u", "v"]


def test_a_field_of_fewer_coordinates_is_read_at_the_point_itself():
    term = lowered(a * u)
    assert [location.place for location in term.locations] == [(x, t)]
    alone = lowered(a(0), ())
    assert alone.locations[0].place == (0, Float(0.5))  # the middle of t, which a does not read
    slope = lowered(a.diff(x), (x,))
    assert slope.locations[0].place == (x, Float(0.5))
    assert slope.slots[0].derivative == (1, 0)


def test_slots_are_named_after_what_they_hold():
    names = {slot.symbol.name for slot in lowered(u + u.diff(x, 2) + v.diff(t)).slots}
    assert names == {"u", "u_2_0", "v_0_1"}


def test_an_ansatz_is_put_in_before_the_derivatives_are_read():
    f = fields("f", x)
    problem = Problem(
        domain=Interval(x, 0, 1), equations=f.diff(x, 2) - 1, conditions=[f(0), f(1)], ansatz={f: x * (1 - x) * f}
    )
    term = lowered(f.diff(x, 2), (x,), problem=problem)
    assert dict(term.locations[0].fields).keys() == {(0,), (1,), (2,)}
    values = {slot.symbol: 10.0 ** next(iter(slot.derivative)) for slot in term.slots}  # N = 1, N' = 10, N'' = 100
    assert float(term.expression.subs(values).subs(x, 0.25)) == pytest.approx(-2 + 2 * 0.5 * 10 + 0.1875 * 100)


def test_integrals_become_places():
    term = lowered(Integral(u(s, t), (s, 0, x)))
    assert len(term.locations) == NODES
    at = [float(location.place[0].subs(x, 1)) for location in term.locations]
    assert sorted(at) == pytest.approx(sorted((1 + np.polynomial.legendre.leggauss(NODES)[0]) / 2), rel=1e-14)


@pytest.mark.parametrize("degree", [0, 1, 11, 46, 47])
def test_gauss_legendre_is_exact_for_polynomials(degree: int):
    found = expand_integrals(Integral(s**degree, (s, -1, 3)))
    exact = (3.0 ** (degree + 1) - (-1.0) ** (degree + 1)) / (degree + 1)
    assert float(found) == pytest.approx(exact, rel=1e-12)


def test_fewer_nodes_are_exact_to_their_degree_only():
    exact = 2 / 7
    assert float(expand_integrals(Integral(s**6, (s, -1, 1)), nodes=4)) == pytest.approx(exact, rel=1e-14)
    assert abs(float(expand_integrals(Integral(s**6, (s, -1, 1)), nodes=3)) - exact) > 1e-3


def test_limits_may_vary_be_exchanged_and_nest():
    moving = expand_integrals(Integral(cos(s), (s, x, 2 * x)))
    assert float(moving.subs(x, 0.7)) == pytest.approx(math.sin(1.4) - math.sin(0.7), rel=1e-14)
    assert float(expand_integrals(Integral(exp(s), (s, 1, 0)))) == pytest.approx(1 - math.e, rel=1e-14)
    triangle = Integral(s * r, (s, 0, r), (r, 0, 2))
    nested = Integral(r * Integral(s, (s, 0, r)), (r, 0, 2))
    assert float(expand_integrals(triangle)) == pytest.approx(2.0, rel=1e-14)
    assert float(expand_integrals(nested)) == pytest.approx(2.0, rel=1e-14)
    inside = expand_integrals(sin(Integral(s, (s, 0, pi))))
    assert float(inside) == pytest.approx(math.sin(math.pi**2 / 2), rel=1e-12)
