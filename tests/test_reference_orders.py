"""The observed order of the finite differences, by the true error on manufactured solutions: 2, 4 and 6, equation by equation.

The error of the finest grid and that of the grid half as fine give the order. The grids are those on which the leading term of
the error rules, where it is also far above the error of the time steps (a tolerance of 1e-9) and above rounding, which grows like
1/h^m with the order m of the equation. Where values are given, the one-sided formulas of order 6 beside the walls leave an error
of h^8 that hides the h^6 of the inside until rounding begins: there the solution is quiet at the walls, and walls are tested
where slopes are given, whose formulas are of order 6 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Expr, Function, Piecewise, Rational, Symbol, cos, cosh, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.reference.exact import exact_reference
from pinnsolve.reference.result import relative_l2
from pinnsolve.reference.solve import FiniteDifferences, solve_reference

x, y, z, t = symbols("x y z t")
u, v = ps.fields("u v", x, t)
f, w, g, c = ps.fields("f", x), ps.fields("w", x, y), ps.fields("g", x, y, z), ps.fields("c", x, y, t)

LINE, UNIT = {x: (0, 1)}, (0, 1)
STRIP, RING = {x: UNIT, t: UNIT}, {x: (0, 2 * pi), t: UNIT}
SQUARE, CUBE = {x: UNIT, y: UNIT}, {x: UNIT, y: UNIT, z: UNIT}
SLAB = {x: UNIT, y: UNIT, t: (0, Rational(1, 2))}


def values(field: Expr, *coordinates: Symbol, order: int = 0) -> list[Expr]:
    """Return the values of a field, or its slopes, at 0 and 1."""
    return [derivative(field, coordinate, order).subs(coordinate, end) for coordinate in coordinates for end in UNIT]


def start(*fields: Expr, order: int = 1) -> list[Expr]:
    return [derivative(field, t, k).subs(t, 0) for field in fields for k in range(order)]


def ring(field: Expr, order: int) -> list[Expr]:
    """Return what makes a field and its slopes periodic in x."""
    slopes = [derivative(field, x, k) for k in range(order)]
    return [slope.subs(x, 0) - slope.subs(x, 2 * pi) for slope in slopes]


def derivative(field: Expr, coordinate: Symbol, order: int) -> Expr:
    return field.diff(coordinate, order) if order else field


def laplacian(field: Expr, *coordinates: Symbol) -> Expr:
    return sum(field.diff(coordinate, 2) for coordinate in coordinates)


def quiet(coordinate: Symbol) -> Expr:
    """Return a bump that has decayed at 0 and 1."""
    return exp(-40 * (coordinate - Rational(1, 2)) ** 2)


DECAY = exp(-t) * sin(5 * x + 1)
DRIFT = sin(6 * x - 3 * t)
RIPPLE = sin(2 * x - t) + cos(3 * x + t) / 3
SOLITON = 1 / cosh((x - t) / 2) ** 2 / 2
PLANE = sin(5 * x + 3 * y) * exp(x * y / 2)
FAST = sin(8 * x + 6 * y) * exp(x * y / 2)
DEEP = sin(2 * x + 2 * y + z)


@dataclass(frozen=True)
class Case:
    """Left-hand sides of equations and conditions, a solution to manufacture, and the cells of the finest grid for each order."""

    domain: Mapping[Symbol, Any]
    equations: Any
    conditions: list[Expr]
    solution: Mapping[Any, Expr]
    cells: Mapping[int, int]
    slow: tuple[int, ...] = ()


HEAT = u.diff(t) - u.diff(x, 2)
BURGERS = u.diff(t) + u * u.diff(x) - u.diff(x, 2) / 10
KDV = u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3)
SIVASHINSKY = u.diff(t) + u * u.diff(x) + u.diff(x, 2)
VARIABLE = u.diff(t) - ((1 + x**2) * u.diff(x)).diff(x) + sin(t + x) * u
REACTION = [u.diff(t) - u.diff(x, 2) / 10 - u**2 * v + u, v.diff(t) - v.diff(x, 2) / 5 + u**2 * v - 2 * u]
ELLIPTIC = ((1 + x) * w.diff(x)).diff(x) + 2 * w.diff(y, 2) + w.diff(x, y) / 2 + y * w.diff(x)
BIHARMONIC = w.diff(x, 4) + 2 * w.diff(x, 2, y, 2) + w.diff(y, 4)
# With u = w_y, v = -w_x: the vorticity equation of steady flow, u . grad(lap w) = nu lap lap w.
NAVIER_STOKES = (
    w.diff(y) * (w.diff(x, 3) + w.diff(x, y, y)) - w.diff(x) * (w.diff(x, x, y) + w.diff(y, 3)) - BIHARMONIC / 20
)
CLAMPED = values(w, x, y) + values(w, x, order=1) + values(w, y, order=1)
FACES = [w.subs(x, 0), w.diff(x).subs(x, 1), (w.diff(y) - w).subs(y, 0), (w.diff(y) + w).subs(y, 1)]
MIXED = [*values(g, x), *values(g, y, order=1), g.subs(z, 0), (g.diff(z) + g).subs(z, 1)]

CASES = {
    "heat, values": Case(STRIP, HEAT, start(u) + values(u, x), {u: DECAY}, {2: 128}),
    "heat, values at 6": Case(STRIP, HEAT, start(u) + values(u, x), {u: exp(-t) * quiet(x)}, {6: 96}),
    "heat, slopes": Case(STRIP, HEAT, start(u) + values(u, x, order=1), {u: DECAY}, {2: 128}),
    "heat, Robin": Case(
        STRIP,
        HEAT,
        [*start(u), (u.diff(x) - 2 * u).subs(x, 0), (u.diff(x) + u).subs(x, 1)],
        {u: DECAY},
        {2: 128, 6: 48},
    ),
    "heat, a value and Robin": Case(
        STRIP, HEAT, [*start(u), u.subs(x, 0), (u.diff(x) + u).subs(x, 1)], {u: DECAY}, {2: 128, 4: 64, 6: 48}
    ),
    "heat, periodic": Case(RING, HEAT, start(u) + ring(u, 2), {u: RIPPLE}, {2: 128, 4: 128, 6: 96}),
    "variable coefficients": Case(
        STRIP, VARIABLE, [*start(u), u.subs(x, 0), u.diff(x).subs(x, 1)], {u: DECAY}, {2: 128, 4: 64, 6: 48}
    ),
    "advection and diffusion": Case(
        STRIP, u.diff(t) + u.diff(x) - u.diff(x, 2) / 20, start(u) + values(u, x), {u: DRIFT}, {2: 128, 4: 96, 6: 80}
    ),
    "wave": Case(
        STRIP, u.diff(t, 2) - u.diff(x, 2), start(u, order=2) + values(u, x), {u: DRIFT + cos(4 * x + t)}, {2: 128}
    ),
    "wave, periodic": Case(
        RING, u.diff(t, 2) - u.diff(x, 2), start(u, order=2) + ring(u, 2), {u: RIPPLE}, {4: 128, 6: 96}
    ),
    "Burgers": Case(STRIP, BURGERS, start(u) + values(u, x), {u: DRIFT}, {2: 128, 4: 96}, slow=(2,)),
    "Burgers, periodic": Case(RING, BURGERS, start(u) + ring(u, 2), {u: RIPPLE}, {6: 96}),
    "Korteweg and de Vries": Case(
        {x: (-8, 9), t: UNIT},
        KDV,
        [*start(u), u.subs(x, -8), u.subs(x, 9), u.diff(x).subs(x, 9)],
        {u: SOLITON},
        {2: 320},
    ),
    "Korteweg and de Vries, periodic": Case(RING, KDV, start(u) + ring(u, 3), {u: RIPPLE}, {4: 128, 6: 96}, slow=(4,)),
    "Kuramoto and Sivashinsky": Case(
        RING, SIVASHINSKY + u.diff(x, 4), start(u) + ring(u, 4), {u: RIPPLE}, {2: 128, 4: 128, 6: 96}
    ),
    "Kuramoto and Sivashinsky, clamped": Case(
        STRIP,
        SIVASHINSKY + u.diff(x, 4) / 50,
        start(u) + values(u, x) + values(u, x, order=1),
        {u: DECAY},
        {2: 160, 4: 128},
    ),
    "reaction and diffusion": Case(
        STRIP,
        REACTION,
        start(u, v) + values(u, x) + values(v, x, order=1),
        {u: 1 + DECAY / 2, v: 1 + cos(4 * x - t) / 2},
        {2: 160, 4: 128},
        slow=(4,),
    ),
    "reaction and diffusion at 6": Case(
        STRIP,
        REACTION,
        start(u, v) + values(u, x) + values(v, x),
        {u: exp(-t) * quiet(x), v: cos(t) * x * quiet(x)},
        {6: 96},
    ),
    "a line": Case(LINE, f.diff(x, 2) - f**3, values(f, x), {f: sin(7 * x + 1)}, {2: 256, 4: 128}),
    "a line at 6": Case(LINE, f.diff(x, 2) - f**3, values(f, x), {f: quiet(x)}, {6: 128}),
    "Poisson": Case(SQUARE, laplacian(w, x, y), values(w, x, y), {w: PLANE}, {2: 64, 4: 64}),
    "Poisson at 6": Case(SQUARE, laplacian(w, x, y), values(w, x, y), {w: quiet(x) * quiet(y)}, {6: 96}),
    "Poisson, another condition on each face": Case(
        SQUARE, laplacian(w, x, y), FACES, {w: PLANE}, {2: 64, 4: 64, 6: 48}
    ),
    "Helmholtz, periodic in x": Case(
        {x: (0, 2 * pi), y: UNIT},
        laplacian(w, x, y) - w,
        ring(w, 2) + values(w, y),
        {w: sin(x + 1) * exp(y) * (1 + y)},
        {2: 64, 4: 64, 6: 32},
    ),
    "variable coefficients in the plane": Case(SQUARE, ELLIPTIC, values(w, x, y), {w: PLANE}, {2: 64, 4: 96}),
    "variable coefficients in the plane at 6": Case(
        SQUARE, ELLIPTIC, values(w, x, y), {w: quiet(x) * quiet(y)}, {6: 96}
    ),
    "biharmonic": Case(SQUARE, BIHARMONIC, CLAMPED, {w: PLANE}, {2: 64, 4: 64, 6: 64}),
    "Navier and Stokes": Case(SQUARE, NAVIER_STOKES, CLAMPED, {w: PLANE / 4}, {2: 64, 4: 64}),
    "Navier and Stokes at 6": Case(SQUARE, NAVIER_STOKES, CLAMPED, {w: FAST / 8}, {6: 80}, slow=(6,)),
    "Poisson in space": Case(CUBE, laplacian(g, x, y, z), values(g, x, y, z), {g: sin(4 * x + 3 * y + 2 * z)}, {2: 16}),
    "Helmholtz in space, mixed": Case(CUBE, laplacian(g, x, y, z) - g, MIXED, {g: DEEP}, {4: 20, 6: 20}, slow=(6,)),
    "heat in the plane": Case(
        SLAB,
        c.diff(t) - laplacian(c, x, y),
        start(c) + values(c, x) + values(c, y, order=1),
        {c: exp(-t) * sin(4 * x + 3 * y)},
        {2: 32, 4: 48, 6: 48},
        slow=(4, 6),
    ),
}


def solved(case: Case, **options: Any) -> tuple[ps.Problem, Any]:
    declared = ps.Problem(domain=ps.Box(case.domain), equations=case.equations, conditions=case.conditions)
    problem = ps.manufactured(declared, case.solution)
    return problem, solve_reference(problem, FiniteDifferences(**options), unknowns={})


@pytest.mark.parametrize(
    ("name", "order"),
    [
        pytest.param(name, order, marks=pytest.mark.slow) if order in case.slow else (name, order)
        for name, case in CASES.items()
        for order in case.cells
    ],
)
def test_the_true_error_falls_with_the_order_of_the_formulas(name: str, order: int) -> None:
    case = CASES[name]
    cells = {coordinate: case.cells[order] for coordinate in case.domain if coordinate != t}
    problem, reference = solved(case, cells=cells, order=order)
    truth = exact_reference(problem, ps.Exact(case.solution), unknowns={}).evaluate(reference.points)
    errors = [
        max(relative_l2(level.functions[n](reference.points) - e, e, free_constant=False) for n, e in truth.items())
        for level in reference.levels
    ]
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.1)
    assert f"of order {order} in space" in reference.method
    if len(errors) > 2:
        assert errors[-1] / 3 < max(reference.estimated_relative_l2.values()) < 3 * errors[-1]


def test_the_usual_order_is_four() -> None:
    _, reference = solved(CASES["a line"], cells={x: 64})
    assert "of order 4 in space" in reference.method


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("wave", 96),
        ("Korteweg and de Vries", 128),
        pytest.param("Korteweg and de Vries", 256, marks=pytest.mark.slow),
    ],
)
def test_order_six_is_refused_where_it_is_unstable(name: str, cells: int) -> None:
    with pytest.raises(ps.UnsupportedError, match=r"order=6 .* grows without bound on fine grids.* · give order=4"):
        solved(CASES[name], cells={x: cells}, order=6)


def test_a_jump_asks_for_order_two() -> None:
    step = Piecewise((1, x < Rational(1, 2)), (10, True))
    q = Function("q")(x)
    problem = ps.Problem(
        domain=ps.Box(LINE),
        equations={"flux": Eq(q, step * f.diff(x)), "balance": Eq(q.diff(x), -1)},
        conditions=[Eq(end, 0) for end in values(f, x)],
    )
    for order in (None, 2):
        reference = solve_reference(problem, FiniteDifferences(cells={x: 64}, order=order), unknowns={})
        assert "of order 2 in space" in reference.method
    with pytest.raises(ps.ProblemError, match=r"order=4, and a coefficient of flux jumps.* · give order=2, or leave"):
        solve_reference(problem, FiniteDifferences(order=4), unknowns={})


def test_time_alone_has_no_order_to_choose() -> None:
    n = ps.fields("n", t)
    problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(n.diff(t), -n), conditions=Eq(n(0), 1))
    with pytest.raises(ps.ProblemError, match="order=4 without a space coordinate · leave it out"):
        solve_reference(problem, FiniteDifferences(order=4), unknowns={})
