"""Closed forms, stored values and the Cole-Hopf formula as references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sympy import Eq, Function, I, cos, exp, log, pi, sin, symbols

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.cole_hopf import cole_hopf, cole_hopf_slope
from pinnsolve.reference.exact import Exact
from pinnsolve.reference.solve import solve_reference

x, t, k = symbols("x t k")
U, H = Function("u"), Function("h")
u, h = U(x, t), H(x, t)
ONE = np.ones(1)
NU = 0.01 / np.pi
HEAT = Problem(
    domain=Box({x: (0, 1), t: (0, 2)}),
    equations=Eq(u.diff(t), k * u.diff(x, 2)),
    conditions=[Eq(U(x, 0), sin(pi * x)), Eq(U(0, t), 0), Eq(U(1, t), 0)],
    unknowns={k: 0.1},
)
FREE = Problem(
    domain=Box({x: (0, 2 * pi), t: (0, 1)}),
    equations=Eq(I * h.diff(t) + h.diff(x, 2), 0),
    conditions=[
        Eq(H(x, 0), exp(I * x)),
        Eq(H(0, t), H(2 * pi, t)),
        Eq(h.diff(x).subs(x, 0), h.diff(x).subs(x, 2 * pi)),
    ],
)


@pytest.mark.parametrize("key", [u, U], ids=["applied", "function"])
def test_a_closed_form_is_evaluated_at_the_unknowns_given(key: Any) -> None:
    form = exp(-k * pi**2 * t) * sin(pi * x)
    for spec, value in ((Exact({key: form}), 0.3), (Exact({key: form}, unknowns={k: 0.5}), 0.5)):
        reference = solve_reference(HEAT, spec, unknowns={k: 0.3})
        a, b = reference.points.T
        np.testing.assert_allclose(reference.values["u"], np.exp(-value * np.pi**2 * b) * np.sin(np.pi * a), atol=1e-15)
        assert reference.kind == "exact"
        assert reference.estimated_relative_l2 == {"u": 0.0}
        assert reference.shape is not None
        assert len(reference.points) == np.prod(reference.shape) <= 50_000


def test_a_complex_closed_form_fills_both_parts() -> None:
    reference = solve_reference(FREE, Exact({h: exp(I * (x - t))}), unknowns={})
    phase = reference.points @ [1.0, -1.0]
    np.testing.assert_allclose(reference.values["h_re"], np.cos(phase), atol=1e-13)
    np.testing.assert_allclose(reference.values["h_im"], np.sin(phase), atol=1e-13)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (lambda: Exact({}), "not a mapping"),
        (lambda: Exact({u: "x*t"}), "not an expression"),
        (lambda: Exact({h: x}), "no such field"),
        (lambda: Exact({u: x * symbols("y")}), "y is not a coordinate"),
    ],
)
def test_mistakes_in_closed_forms_are_named(spec: Any, match: str) -> None:
    with pytest.raises(ProblemError, match=match):
        solve_reference(HEAT, spec(), unknowns={k: 1.0})


def test_every_field_needs_a_closed_form() -> None:
    with pytest.raises(ProblemError, match="h_im"):
        solve_reference(FREE, Exact({Function("h_re"): cos(x)}), unknowns={})


def test_a_closed_form_in_many_dimensions_is_compared_at_scattered_points() -> None:
    names = symbols("a b c d e")
    g = Function("u")(*names)
    problem = Problem(
        domain=Box(dict.fromkeys(names, (1, 2))),
        equations=Eq(sum(g.diff(c, 2) for c in names), 0),
        conditions=[Eq(g.subs(c, a), sum(names).subs(c, a)) for c in names for a in (1, 2)],
    )
    reference = solve_reference(problem, Exact({g: sum(names)}), unknowns={})
    assert reference.shape is None
    assert len(np.unique(reference.points, axis=0)) == len(reference.points)
    np.testing.assert_allclose(reference.values["u"], reference.points.sum(axis=1))


def test_points_where_a_closed_form_is_singular_raise_no_warning() -> None:
    values = solve_reference(HEAT, Exact({u: log(x) + t}), unknowns={k: 1.0}).values["u"]
    assert np.isinf(values).any()


def test_stored_values_are_given_back_where_they_are_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    places = {x: rng.random(50), t: 2 * rng.random(50)}
    stored = rng.standard_normal(50)
    observations = Observations(at=places, values={u: stored, u.diff(x): stored})
    reference = solve_reference(HEAT, observations, unknowns={k: 1.0})
    assert reference.kind == "data"
    assert set(reference.values) == {"u"}
    assert np.isnan(reference.estimated_relative_l2["u"])
    np.testing.assert_array_equal(reference.evaluate(reference.points[::-1])["u"], stored[::-1])
    assert np.isnan(reference.evaluate(reference.points + 1e-3)["u"]).all()


def test_stored_complex_values_fill_both_parts() -> None:
    numbers = np.array([1 + 2j, 3 - 4j])
    observations = Observations(at={x: np.array([1.0, 2.0]), t: np.array([0.1, 0.2])}, values={h: numbers})
    values = solve_reference(FREE, observations, unknowns={}).values
    np.testing.assert_array_equal(values["h_re"] + 1j * values["h_im"], numbers)


def test_stored_values_need_a_field_and_every_coordinate() -> None:
    with pytest.raises(ProblemError, match="no field"):
        solve_reference(HEAT, Observations(at={x: ONE, t: ONE}, values={u.diff(x): ONE}), unknowns={k: 1.0})
    with pytest.raises(ProblemError, match="without t"):
        solve_reference(HEAT, Observations(at={x: ONE}, values={u: ONE}), unknowns={k: 1.0})


def test_cole_hopf_converges_in_the_nodes_to_rounding() -> None:
    a, b = np.linspace(-1, 1, 401)[:, None], np.linspace(0, 1, 21)
    finest = cole_hopf(a, b, viscosity=NU, nodes=400)
    errors = [np.abs(cole_hopf(a, b, viscosity=NU, nodes=n) - finest).max() for n in (30, 60, 120, 200)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[3] < 1e-13


@pytest.mark.parametrize("viscosity", [1.0, NU, 1e-4])
def test_cole_hopf_has_the_initial_value_and_the_symmetry(viscosity: float) -> None:
    a, b = np.linspace(-1, 1, 101)[:, None], np.linspace(0, 1, 11)
    values = cole_hopf(a, b, viscosity=viscosity)
    np.testing.assert_allclose(values[:, 0], -np.sin(np.pi * a[:, 0]), atol=1e-14)
    np.testing.assert_allclose(values, -values[::-1], atol=1e-12)
    assert np.isfinite(values).all()


def test_cole_hopf_satisfies_the_equation() -> None:
    a, b = np.linspace(-0.95, 0.95, 77)[:, None], np.linspace(0.1, 0.9, 9)
    nu, step = 0.05, 1e-3
    shift = np.array([-2, -1, 1, 2]) * step
    first, second = np.array([1, -8, 8, -1]) / (12 * step), np.array([-1, 16, -30, 16, -1]) / (12 * step**2)
    value, slope = cole_hopf(a, b, viscosity=nu), cole_hopf_slope(a, b, viscosity=nu)
    rate = sum(w * cole_hopf(a, b + s, viscosity=nu) for w, s in zip(first, shift, strict=True))
    along = sum(w * cole_hopf(a + s, b, viscosity=nu) for w, s in zip(first, shift, strict=True))
    bend = sum(w * cole_hopf(a + s, b, viscosity=nu) for w, s in zip(second, np.insert(shift, 2, 0.0), strict=True))
    np.testing.assert_allclose(along, slope, atol=1e-7)
    np.testing.assert_allclose(rate + value * slope, nu * bend, atol=1e-6)


def test_the_slope_of_burgers_at_the_origin_is_the_published_one() -> None:
    """Basdevant et al. 1986, table 3: the largest slope is 152.00516 at pi t = 1.6037."""
    slope = float(cole_hopf_slope(0.0, 1.6037 / np.pi, viscosity=NU))
    assert abs(slope) == pytest.approx(152.00516, abs=5e-5)


def test_a_closed_form_with_complex_values_of_a_real_field_is_refused() -> None:
    with pytest.raises(ProblemError, match="complex values, the field is real"):
        solve_reference(HEAT, Exact({u: exp(I * x)}), unknowns={k: 0.1})
