"""Counting: how many conditions a system needs along a coordinate, and how many are there."""

from __future__ import annotations

import math

import pytest
from sympy import Eq, I, Integral, Symbol, cos, exp, sin, symbols

from pinnsolve.declaration.characteristics import growth, split_between_ends
from pinnsolve.declaration.counting import marching, orders, planes
from pinnsolve.declaration.gauges import find_gauges
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.balls import Disk
from pinnsolve.domains.halfspaces import HalfSpace
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.errors import ProblemError
from pinnsolve.operators import div, fields, grad, laplacian
from pinnsolve.problem import Problem

x, y, t, s = symbols("x y t s")
LINE, STRIP, SQUARE = Interval(x, 0, 1), Box({x: (0, 1), t: (0, 1)}), Box({x: (0, 1), y: (0, 1)})
f, g, h = fields("f g h", x)
u, v = fields("u v", x, t)


def needed(equations, domain, *, coordinate) -> int:
    """The number of conditions the check asks for, found by declaring none."""
    try:
        Problem(domain=domain, equations=equations)
    except ProblemError as error:
        prefix = f"conditions in {coordinate}"
        if error.term == prefix:
            return int(error.found.split("need ")[1].split()[0])
        raise
    return 0


@pytest.mark.parametrize(
    ("equations", "dimension"),
    [
        (f.diff(x) - f, 1),
        (f.diff(x, 4) + f * f.diff(x), 4),
        ([f.diff(x) - g, g.diff(x) + f], 2),
        ([f.diff(x, 2) - g, g.diff(x, 2) + f], 4),
        ([f.diff(x) - g, g - f**3], 1),  # g is given by f
        ([f.diff(x) + g.diff(x) - f, g - 2 * f], 1),
        ([f.diff(x) - g, g.diff(x) - h, h - f], 2),
        ([f.diff(x, 2) - g, f - sin(x)], 0),  # f is given, and g with it
        (sin(x) * f.diff(x, 3) + exp(f) * f.diff(x), 3),
        (f - Integral(f(s), (s, 0, x)), 0),
        (f**2 - x, 0),
    ],
)
def test_an_ordinary_system_needs_the_dimension_of_its_solution_space(equations, dimension: int):
    assert needed(equations, LINE, coordinate=x) == dimension


@pytest.mark.parametrize(
    ("equation", "in_x"),
    [
        (u.diff(t) - u.diff(x, 2), 2),
        (u.diff(t) + u * u.diff(x) + u.diff(x, 3), 3),
        (u.diff(t, 2) - u.diff(x, 2), 2),
        (u.diff(t, x) - u, 1),
        (u.diff(t) + u.diff(x, 4) + u.diff(x, 2), 4),
        (u.diff(t) - u.diff(x, 2, t) + u.diff(x), 2),  # Benjamin, Bona, Mahony
    ],
)
def test_a_single_equation_needs_its_order_along_each_coordinate(equation, in_x: int):
    assert needed(equation, STRIP, coordinate=x) == in_x


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 1e6])
def test_the_number_needed_does_not_depend_on_the_units(size: float):
    strip = Box({x: (0, size), t: (0, 1)})
    assert needed(u.diff(t) - size**2 * u.diff(x, 2), strip, coordinate=x) == 2
    assert needed(u.diff(t) + size * u * u.diff(x) + size**3 * u.diff(x, 3), strip, coordinate=x) == 3


SPLITS = {
    "heat": (u.diff(t) - u.diff(x, 2), (1, 1)),
    "transport to the right": (u.diff(t) + 3 * u.diff(x), (1, 0)),
    "transport to the left": (u.diff(t) - 3 * u.diff(x) + u, (0, 1)),
    "Korteweg-de Vries": (u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3), (1, 2)),
    "its mirror image": (u.diff(t) - 6 * u * u.diff(x) - u.diff(x, 3), (2, 1)),
    "beam": (u.diff(t, 2) + u.diff(x, 4), (2, 2)),
    "wave": (u.diff(t, 2) - 9 * u.diff(x, 2), (1, 1)),
    "Burgers": (u.diff(t) + u * u.diff(x) - u.diff(x, 2) / 300, (1, 1)),
    "a speed of either sign": (u.diff(t) + u * u.diff(x), None),
    "roots that do not grow": (u.diff(t, x) - u, None),
}


@pytest.mark.parametrize("name", SPLITS)
def test_conditions_are_split_between_the_ends_by_the_roots(name: str):
    equation, expected = SPLITS[name]
    problem = Problem(
        domain=STRIP, equations=equation, data={"d": Observations(at={x: [0.5], t: [0.5]}, values={u: [0]})}
    )
    found = split_between_ends(problem.terms, problem.fields, x, problem.bounds, evolution={t: 1})
    assert found == expected


def test_the_direction_of_time_is_that_of_the_diffusion():
    for sign, expected in ((1, (1, 0)), (-1, (0, 1))):
        problem = Problem(
            domain=STRIP,
            equations=u.diff(t) - sign * u.diff(x, 2),
            data={"d": Observations(at={x: [0.5], t: [0.5]}, values={u: [0]})},
        )
        assert split_between_ends(problem.terms, problem.fields, t, problem.bounds, evolution={}) == expected


def planes_of(condition, *, domain=STRIP, equation=None) -> list[tuple]:
    """The planes of an extra condition beside observations, which switch the count off."""
    problem = Problem(
        domain=domain,
        equations=Eq(u.diff(t), u.diff(x, 2)) if equation is None else equation,
        conditions={"it": condition},
        data={"d": Observations(at={c: [0.5] for c in domain.coordinates}, values={u: [0.0]})},
    )
    slots = {field.func.__name__: field.args for field in problem.fields}
    found = planes(problem.term("it"), slots, problem.bounds)
    return [(p.coordinate, p.value, p.share, p.stand_in) for p in found]


def test_where_conditions_stand():
    assert planes_of(u(x, 0)) == [(t, 0.0, 1.0, False)]
    assert planes_of(u.diff(x).subs(x, 1) + u(1, t)) == [(x, 1.0, 1.0, False)]
    assert planes_of(u(0, t) - u(1, t)) == [(x, None, 1.0, False)]
    assert planes_of(u(0, 0)) == []
    assert planes_of(on(STRIP.face(x, 1), u)) == [(x, 1.0, 1.0, False)]
    assert planes_of(on(Interval(t, 0.5, 1), u(0, t))) == [(x, 0.0, 0.5, False)]
    assert planes_of(Integral(u(s, t), (s, 0, 1))) == [(x, None, 1.0, True)]
    assert planes_of(u(1 - x, t) - u) == [(x, None, 1.0, True)]
    inside = planes_of(on(Box({x: (0.2, 0.4), t: (0, 1)}), u - 1))
    assert [(c, stand_in) for c, _, _, stand_in in inside] == [(x, True), (t, True)]


def test_only_what_ranges_independently_of_the_others_can_evolve():
    w, disk = fields("w", x, y, t), Disk({x: 0, y: 0}, radius=1)
    cylinder = Problem(
        domain=disk * Interval(t, 0, 1),
        equations=Eq(w.diff(t), laplacian(w, x, y)),
        conditions=[Eq(w(x, y, 0), 0), on(disk.boundary, Eq(w, 0))],
    )
    assert marching(cylinder.terms, cylinder.fields, cylinder.domain) == [t]
    cut = STRIP & HalfSpace(x + 2 * t <= 2, coordinates=(x, t))
    start = on(cut.boundary & HalfSpace(t <= 0, coordinates=(x, t)), Eq(u, 0))
    measured = {"d": Observations(at={x: [0.5], t: [0.5]}, values={u: [0.0]})}
    problem = Problem(domain=cut, equations=Eq(u.diff(t), -u), conditions=start, data=measured)
    assert marching(problem.terms, problem.fields, problem.domain) == []


def test_a_boundary_stands_on_each_of_its_faces():
    assert planes_of(on(STRIP.boundary - STRIP.face(t, 1), u)) == [
        (x, 0.0, 1.0, False),
        (x, 1.0, 1.0, False),
        (t, 0.0, 1.0, False),
    ]


def test_parts_of_a_face_add_up():
    def declared(split: float) -> Problem:
        return Problem(
            domain=STRIP,
            equations=Eq(u.diff(t), u.diff(x, 2)),
            conditions={
                "start": u(x, 0),
                "left": u(0, t),
                "early": on(Interval(t, 0, 0.3), u(1, t)),
                "late": on(Interval(t, split, 1), u.diff(x).subs(x, 1)),
            },
        )

    declared(0.3)
    with pytest.raises(ProblemError, match=r"conditions in x · the equations need 2 .*found 1\.3"):
        declared(0.99)


def test_the_error_shows_what_was_found_and_the_ends_to_choose_from():
    with pytest.raises(ProblemError) as caught:
        Problem(domain=STRIP, equations=Eq(u.diff(t), u.diff(x, 2)), conditions={"a": u(x, 0), "b": u(0.5, t)})
    assert "b at x = 0.5" in str(caught.value)
    offered = "Eq(u(0, t), ...) or Eq(u.diff(x).subs(x, 0), ...) or Eq(u(1, t), ...) or Eq(u.diff(x).subs(x, 1), ...)"
    assert offered in str(caught.value)


def test_observations_and_unknowns_free_the_count():
    equation = Eq(u.diff(t), u.diff(x, 2))
    Problem(domain=STRIP, equations=equation, data={"d": Observations(at={x: [0], t: [0]}, values={u: [0]})})
    k = Symbol("k")
    extra = [u(x, 0), u(0, t), u(1, t), Eq(u.diff(x).subs(x, 0), 1)]
    Problem(domain=STRIP, equations=Eq(u.diff(t), k * u.diff(x, 2)), conditions=extra, unknowns={k: 1})
    with pytest.raises(ProblemError, match="bear 2"):
        Problem(domain=STRIP, equations=equation, conditions=extra)


def test_surplus_counts_each_condition_at_an_end_once():
    clamped = [f(0), f.diff(x).subs(x, 0), f(1), f.diff(x).subs(x, 1)]
    Problem(domain=LINE, equations=f.diff(x, 4), conditions=clamped)
    with pytest.raises(ProblemError, match=r"condition\[4\] · 5 conditions in x, where the equations bear 4"):
        Problem(domain=LINE, equations=f.diff(x, 4), conditions=[*clamped, f.diff(x, 2).subs(x, 0)])


def test_both_ends_bear_a_condition_where_what_flows_in_changes_sides():
    ends = [u(x, 0), u(0, t), u(1, t)]
    Problem(domain=STRIP, equations=Eq(u.diff(t) + u * u.diff(x), 0), conditions=ends)
    Problem(domain=STRIP, equations=Eq(u.diff(t) + (x - t) * u.diff(x), 0), conditions=ends)
    turning = Box({x: (-1, 1), y: (-1, 1), t: (0, 3)})
    w = fields("w", x, y, t)
    walls = [w(-1, y, t), w(1, y, t), w(x, -1, t), w(x, 1, t)]
    Problem(domain=turning, equations=w.diff(t) - y * w.diff(x) + x * w.diff(y), conditions=[w(x, y, 0), *walls])
    with pytest.raises(ProblemError, match="2 conditions in x, where the equations bear 1"):
        Problem(domain=STRIP, equations=Eq(u.diff(t) + (2 + x) * u.diff(x), 0), conditions=ends)


def test_complex_fields_count_twice():
    wave = fields("w", x)
    with pytest.raises(ProblemError, match=r"need 4 .*found 2"):
        Problem(domain=LINE, equations=wave.diff(x, 2) + I * wave, conditions={"left": wave(0)})


def test_orders_are_those_of_the_equations_alone():
    problem = Problem(
        domain=STRIP,
        equations=Eq(u.diff(t), u.diff(x, 2)),
        conditions=[u(x, 0), u(0, t), Eq(u.diff(x, 3).subs(x, 1), 0)],
    )
    assert orders(problem.terms, problem.fields) == {("u", x): 2, ("u", t): 1}


def test_a_field_that_enters_by_its_gradient_has_a_gauge():
    p = fields("p", x, y, t)
    a, b = fields("a b", x, y, t)
    domain = SQUARE * Interval(t, 0, 1)
    wall = on(SQUARE.boundary * Interval(t, 0, 1), a, b)
    stokes = [
        *(component.diff(t) + grad(p, x, y)[k] - laplacian(component, x, y) for k, component in enumerate((a, b))),
        div([a, b], x, y),
    ]
    free = Problem(domain=domain, equations=stokes, conditions={"wall": wall, "start": [a(x, y, 0), b(x, y, 0)]})
    assert dict(free.gauges) == {"p": (t,)}
    mean = Integral(p, (x, 0, 1), (y, 0, 1))
    pinned = {"wall": wall, "start": [a(x, y, 0), b(x, y, 0)], "mean": mean}
    assert dict(Problem(domain=domain, equations=stokes, conditions=pinned).gauges) == {}


def test_gauges_of_potentials_and_of_products():
    q = fields("q", x, y)
    insulated = on(SQUARE.boundary, grad(q, x, y).dot(SQUARE.normal))
    free = Problem(domain=SQUARE, equations=laplacian(q, x, y), conditions={"w": insulated})
    assert dict(free.gauges) == {"q": ()}
    absorbed = Problem(domain=SQUARE, equations=laplacian(q, x, y) - q, conditions={"w": insulated})
    assert dict(absorbed.gauges) == {}
    pinned = Problem(domain=SQUARE, equations=laplacian(q, x, y), conditions={"w": insulated, "p": q(0, 0)})
    assert find_gauges(pinned.terms, pinned.fields) == {}
    differences = Problem(
        domain=STRIP,
        equations=Eq(u.diff(t), u.diff(x, 2) * cos(u.diff(x))),
        conditions=[
            Eq(u(x, 0).diff(x), 1), *[u.diff(x).subs(x, k) for k in (0, 1)]
        ],
    )  # fmt: skip
    assert dict(differences.gauges) == {"u": ()}


@pytest.mark.parametrize(("rate", "spread", "expected"), [(3.0, 0.001, 6 - 0.002 * math.pi**2), (-1.0, 0.1, 0.0)])
def test_the_growth_of_waves_is_that_of_the_fastest(rate: float, spread: float, expected: float) -> None:
    problem = Problem(
        domain=Box({x: (0, 2), t: (0, 2)}),
        equations=[Eq(u.diff(t), rate * u + spread * u.diff(x, 2))],
        conditions=[Eq(u(x, 0), 0), Eq(u(0, t), 0), Eq(u(2, t), 0)],
    )
    assert growth(problem.terms, problem.fields, t, problem.bounds) == pytest.approx(expected, rel=1e-9)


def test_what_is_offered_is_not_there_yet() -> None:
    """A wave with its shape alone lacks its speed; a beam with a support alone lacks a slope there, not the same value again."""
    wave = {"shape": u(x, 0), "left": u(0, t), "right": u(1, t)}
    with pytest.raises(ProblemError, match=r"such as Eq\(u\.diff\(t\)\.subs\(t, 0\), \.\.\.\) or"):
        Problem(domain=STRIP, equations=Eq(u.diff(t, 2), u.diff(x, 2)), conditions=wave)


def test_something_is_offered_where_values_and_slopes_are_too_few() -> None:
    f = fields("f", x)
    conditions = [f(0), f(1), f.diff(x).subs(x, 0), f.diff(x).subs(x, 1)]
    with pytest.raises(ProblemError, match=r"such as Eq\(f\(0\), \.\.\.\) or"):
        Problem(domain=Interval(x, 0, 1), equations=f.diff(x, 6), conditions=conditions)
