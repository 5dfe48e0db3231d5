"""Manufactured solutions: every residual vanishes for the chosen expressions, names and places stay, mistakes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Abs, Eq, Expr, I, Integral, Lambda, Matrix, Piecewise, cos, exp, lambdify, log, pi, sin, sqrt, symbols

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.terms import evaluations
from pinnsolve.domains.sampling import draw
from pinnsolve.problem_file import load_problem_file
from pinnsolve.smooth_solutions import choose_solution

PROBLEMS = sorted((Path(__file__).resolve().parents[1] / "problems").glob("*.py"))

x, y, t, s = symbols("x y t s")
nu = symbols("nu", positive=True)
u, v, q = ps.fields("u", x, t), ps.fields("v", x, t), ps.fields("q", x)
h, w = ps.fields("h", x, t), ps.fields("w", x, y)
STRIP, LINE = ps.Box({x: (0, 1), t: (0, 1)}), ps.Interval(x, 0, 1)
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})
WAVE = exp(-t) * sin(3 * x + 1)
N = SQUARE.normal
DISK = ps.Disk({x: 0, y: 0}, radius=1)
PLATE = ps.Polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], coordinates=(x, y))


def heat(**more: Any) -> ps.Problem:
    conditions = {"initial": Eq(u(x, 0), x), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 1)}
    return ps.Problem(
        domain=STRIP, equations={"heat": Eq(u.diff(t), u.diff(x, 2) + x * t)}, conditions=conditions, **more
    )


def flow() -> ps.Problem:
    a, b, p = ps.fields("a b p", x, y)
    velocity = Matrix([a, b])
    return ps.Problem(
        domain=SQUARE,
        equations={
            "momentum": ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - nu * ps.laplacian(velocity, x, y),
            "continuity": ps.div(velocity, x, y),
        },
        conditions={"wall": ps.on(SQUARE.boundary, Eq(velocity, Matrix([0, 0])))},
        unknowns={nu: 0.1},
        data={"meter": ps.Observations(at={x: [0.2, 0.5], y: 0.3}, values={a: [0, 0]})},
    )


CASES: dict[str, tuple[ps.Problem, dict[Any, Any]]] = {
    "values": (heat(), {u: WAVE}),
    "slopes, a mixed wall and a place inside": (
        ps.Problem(
            domain=LINE,
            equations=Eq(q.diff(x, 3) + q * q.diff(x), 0),
            conditions=[Eq(q.diff(x).subs(x, 0), 2), Eq(q.diff(x).subs(x, 1) + q(1) ** 3, 0), Eq(q(0.55), 0)],
        ),
        {q: cos(4 * x)},
    ),
    "periods that the solution has": (
        ps.Problem(
            domain=ps.Box({x: (0, 2 * pi), t: (0, 1)}),
            equations=[Eq(u.diff(t), u.diff(x, 2))],
            conditions=[
                Eq(u(x, 0), cos(x)),
                Eq(u(0, t), u(2 * pi, t)),
                Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 2 * pi)),
            ],
        ),
        {u: exp(-t) * sin(x + 1)},
    ),
    "the rim of a disk": (
        ps.Problem(
            domain=DISK,
            equations={"poisson": Eq(ps.laplacian(w, x, y), -1)},
            conditions={"rim": ps.on(DISK.boundary, Eq(ps.grad(w, x, y).dot(DISK.normal) + w, 0))},
        ),
        {w: exp(x) * cos(2 * y)},
    ),
    "sides of a polygon": (
        ps.Problem(
            domain=PLATE,
            equations={"poisson": Eq(ps.laplacian(w, x, y), w**2)},
            conditions={
                "notch": ps.on(PLATE.side(0) + PLATE.side(5), Eq(ps.grad(w, x, y).dot(PLATE.normal), 0)),
                "outside": ps.on(PLATE.boundary - PLATE.side(0) - PLATE.side(5), Eq(w, 0)),
            },
        ),
        {w: exp(x) * cos(2 * y)},
    ),
    "a normal on the whole boundary": (
        ps.Problem(
            domain=SQUARE,
            equations={"poisson": Eq(w.diff(x, 2) + w.diff(y, 2), 1)},
            conditions={"flux": ps.on(SQUARE.boundary, Eq(N[0] * w.diff(x) + N[1] * w.diff(y) + w, x * y))},
        ),
        {w: sin(x + 2 * y)},
    ),
    "a complex field": (
        ps.Problem(
            domain=STRIP,
            equations=Eq(I * h.diff(t) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h, 0),
            conditions=[Eq(h(x, 0), 1), Eq(h(0, t), 1), Eq(h(1, t), 1)],
        ),
        {h: exp(I * t) * (1 + I * x) * cos(x)},
    ),
    "integrals": (
        ps.Problem(
            domain=STRIP,
            equations=Eq(u.diff(t), u.diff(x, 2) + Integral(u(s, t) * exp(-s * x), (s, 0, 1))),
            conditions={"i": Eq(u(x, 0), 0), "l": Eq(u(0, t), 0), "mass": Eq(Integral(u(s, t), (s, 0, 1)), 0)},
        ),
        {u: WAVE},
    ),
    "an unknown and matrices, by the functions' names": (
        flow(),
        dict(zip(ps.fields("a b p", x, y), (sin(x) * y, cos(x + y), exp(x - y)), strict=True)),
    ),
    "a positive field": (
        ps.Problem(
            domain=LINE,
            equations=Eq(ps.fields("r", x, positive=True).diff(x), log(ps.fields("r", x, positive=True))),
            conditions=Eq(ps.fields("r", x, positive=True)(0), 1),
        ),
        {ps.fields("r", x, positive=True): 2 + sin(x)},
    ),
}


def residuals(problem: ps.Problem, exact: dict[Any, Any]) -> dict[str, np.ndarray]:
    """Return every residual with the expressions put in, at places where it holds; by SymPy's own substitution."""
    functions: dict[Any, Any] = {}
    for field, form in exact.items():
        parts = problem.complex_fields.get(field.func.__name__)
        split = {c: symbols(f"{c}_real", real=True) for c in problem.coordinates}
        back = {real: c for c, real in split.items()}
        form = form.xreplace(split)
        both = (
            {field: form}
            if parts is None
            else dict(zip((parts.real, parts.imaginary), form.as_real_imag(), strict=True))
        )
        functions |= {f.func: Lambda(f.args, e.xreplace(back)) for f, e in both.items()}
    result = {}
    for term in problem.terms:
        residual = term.residual
        for function, form in functions.items():
            residual = residual.replace(function, form)
        residual = residual.doit()
        places = draw(problem.domain, 50)
        at = dict(zip(problem.coordinates, places.coordinates.T, strict=True))
        if term.region is not None:
            places = draw(term.region, 50)
            at |= dict(zip(term.region.coordinates, places.coordinates.T, strict=True))
            at |= dict(zip(problem.normal, places.normals.T, strict=True)) if places.normals is not None else {}
        at |= term.columns
        values = lambdify(list(at), residual, "scipy")(*at.values())
        result[term.name] = np.asarray(values, dtype=float)
    return result


@pytest.mark.parametrize("name", CASES)
def test_every_residual_vanishes_for_the_solution_and_keeps_its_name_and_place(name: str) -> None:
    problem, exact = CASES[name]
    made = ps.manufactured(problem, exact)
    assert [t.name for t in made.terms] == [t.name for t in problem.terms]
    assert [t.region for t in made.terms] == [t.region for t in problem.terms]
    assert [t.free for t in made.terms if t.kind == "equation"] == [
        t.free for t in problem.terms if t.kind == "equation"
    ]
    assert made.fields == problem.fields and made.gauges == problem.gauges and not made.unknowns
    found = residuals(made, exact)
    assert max(np.abs(values).max() for values in found.values()) < 1e-13
    if not problem.unknowns:
        assert max(np.abs(values).max() for values in residuals(problem, exact).values()) > 1e-3


def test_only_the_source_is_new() -> None:
    made = ps.manufactured(heat(), {u: x * t})
    terms = {term.name: term.residual for term in made.terms}
    assert terms["heat"] == u.diff(t) - u.diff(x, 2) - x
    assert (terms["initial"], terms["left"], terms["right"]) == (u(x, 0), u(0, t), u(1, t) - t)


def test_the_true_solution_needs_no_source() -> None:
    problem = heat()
    made = ps.manufactured(problem, {u: x})
    assert [term.residual for term in made.terms][1:] == [term.residual for term in problem.terms][1:]


def test_a_period_that_holds_to_rounding_stays_a_period() -> None:
    end = 6.283185307179586
    conditions = [Eq(u(x, 0), cos(x)), Eq(u(0, t), u(end, t)), Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, end))]
    problem = ps.Problem(
        domain=ps.Box({x: (0, end), t: (0, 1)}), equations=Eq(u.diff(t), u.diff(x, 2)), conditions=conditions
    )
    made = ps.manufactured(problem, {u: exp(-t) * sin(x + 1)})
    assert [len(evaluations(term.residual)) for term in made.terms[2:]] == [2, 2]
    assert all(not term.residual.has(exp) for term in made.terms[2:])


def test_unknowns_are_held_at_their_initial_values() -> None:
    problem = ps.Problem(
        domain=STRIP,
        equations=Eq(u.diff(t), nu * u.diff(x, 2)),
        conditions=[Eq(u(x, 0), 0), Eq(u(0, t), 0), Eq(u(1, t), 0)],
        unknowns={nu: 0.25},
    )
    made = ps.manufactured(problem, {u: sin(x) * exp(-nu * t)})
    assert not made.unknowns
    assert (made.terms[0].residual - u.diff(t) + u.diff(x, 2) / 4).equals(0)


def test_an_unknown_whose_initial_value_takes_a_derivative_away_is_refused() -> None:
    problem = ps.Problem(
        domain=STRIP,
        equations={"heat": Eq(u.diff(t), s * u.diff(x, 2))},
        conditions=[Eq(u(x, 0), 0), Eq(u(0, t), 0), Eq(u(1, t), 0)],
        unknowns={s: 0.0},
    )
    with pytest.raises(ps.ProblemError, match=r"manufactured, heat · Derivative\(u\(x, t\), \(x, 2\)\) drops out"):
        ps.manufactured(problem, {u: WAVE})


def test_observations_are_those_of_the_solution_at_the_same_places() -> None:
    places = np.linspace(0.1, 0.9, 7)
    keys = {u: places, nu * u.diff(x) + x: places, Integral(u(s, t), (s, 0, 1)): places}
    data = {"sensors": ps.Observations(at={x: places, t: places / 2}, values=keys, noise=0.1)}
    problem = ps.Problem(
        domain=STRIP,
        equations=Eq(u.diff(t), nu * u.diff(x, 2)),
        conditions=heat().conditions,
        data=data,
        unknowns={nu: 0.5},
    )
    made = ps.manufactured(problem, {u: x**2 * t}).data["sensors"]
    values = list(made.values.values())
    np.testing.assert_allclose(values[0], places**2 * places / 2)
    np.testing.assert_allclose(values[1], 0.5 * 2 * places * places / 2 + places)
    np.testing.assert_allclose(values[2], places / 6)
    np.testing.assert_array_equal(made.noise, np.full(7, 0.1))
    assert list(made.at) == [x, t]


def test_an_ansatz_is_left_out_and_exact_conditions_are_built_anew() -> None:
    by_hand = ps.manufactured(heat(ansatz={u: x + t * x * (1 - x) * u}), {u: WAVE})
    assert not by_hand.ansatz and by_hand.hard is None
    built = ps.manufactured(heat(hard=True), {u: WAVE})
    assert built.exact == {"initial", "left", "right"}
    place = {x: 0, t: 0.3}
    assert abs(built.ansatz[u].subs(place).doit() - WAVE.subs(place)) < 1e-12


@pytest.mark.parametrize(
    ("solution", "match"),
    [
        ({}, r"manufactured, u\(x, t\) · no expression · give one for every field"),
        ({u: WAVE, v: WAVE}, r"manufactured, v\(x, t\) · no such field · the fields are u\(x, t\)"),
        ({u(0, t): WAVE}, r"manufactured, u\(0, t\) · no such field"),
        ({u: nu * x}, "the symbol nu is not declared"),
        ({u: u * x}, r"it contains u\(x, t\) · write it in x, t alone"),
        ({u: "sin(x)"}, r"'sin\(x\)' is a str"),
        ({u: 1 / x}, r"1/x is not finite at x = 0"),
        ({u: log(x - 0.5)}, "is not finite|is not real"),
        ({u: I * x}, "is not real"),
        (WAVE, "is not a mapping"),
    ],
)
def test_expressions_that_cannot_be_a_solution_are_refused(solution: Any, match: str) -> None:
    with pytest.raises(ps.ProblemError, match=match):
        ps.manufactured(heat(), solution)


def test_a_source_without_a_value_is_refused_by_the_name_of_its_term() -> None:
    """The square root is finite at x = 0, its slope is not."""
    problem = ps.Problem(
        domain=STRIP,
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"i": Eq(u(x, 0), 0), "slope": Eq(u.diff(x).subs(x, 0), 0), "r": Eq(u(1, t), 0)},
    )
    with pytest.raises(ps.ProblemError, match="manufactured, slope · its residual for these expressions is not finite"):
        ps.manufactured(problem, {u: sqrt(x)})


def test_what_is_not_finite_on_a_rim_is_refused() -> None:
    problem = ps.Problem(
        domain=DISK,
        equations={"poisson": Eq(ps.laplacian(w, x, y), -1)},
        conditions={"rim": ps.on(DISK.boundary, Eq(w, 0))},
    )
    with pytest.raises(ps.ProblemError, match="manufactured, rim · its residual for these expressions is not finite"):
        ps.manufactured(problem, {w: log(1 - x**2 - y**2)})


def test_a_problem_without_its_statements_is_refused() -> None:
    loaded = problem_from_data(problem_to_data(heat()))
    with pytest.raises(ps.ProblemError, match=r"loaded from a run, .* · give the problem of its problem file"):
        ps.manufactured(loaded, {u: WAVE})


def test_a_field_of_fewer_coordinates_and_a_positive_one_are_held_to_their_declaration() -> None:
    source = ps.fields("f", x)
    problem = ps.Problem(
        domain=STRIP,
        equations=[Eq(u.diff(t), u.diff(x, 2) + source)],
        conditions=[Eq(u(x, 0), 0), Eq(u(0, t), 0), Eq(u(1, t), 0)],
        data={"end": ps.Observations(at={x: np.linspace(0, 1, 9), t: 1.0}, values={u: np.zeros(9)})},
    )
    with pytest.raises(ps.ProblemError, match=r"manufactured, f\(x\) · it contains t, on which f\(x\) does not depend"):
        ps.manufactured(problem, {u: WAVE, source: t})
    positive, exact = CASES["a positive field"]
    with pytest.raises(ps.ProblemError, match="is not positive at x ="):
        ps.manufactured(positive, dict.fromkeys(exact, x - 1))


def test_a_jump_may_stand_in_a_solution_where_no_derivative_meets_it() -> None:
    problem = ps.Problem(domain=STRIP, equations=Eq(u.diff(t), -u), conditions=Eq(u(x, 0), 0))
    step = Piecewise((1, x < 0.5), (2, True)) * exp(t)
    made = ps.manufactured(problem, {u: step})
    assert max(np.abs(values).max() for values in residuals(made, {u: step}).values()) < 1e-14


@pytest.mark.thorough
@pytest.mark.parametrize("path", [p for p in PROBLEMS if p.stem != "poisson_100d"], ids=lambda p: p.stem)
def test_waves_are_found_for_every_problem_file(path: Path) -> None:
    problem = load_problem_file(path).problem
    waves, made = choose_solution(problem)
    assert [t.name for t in made.terms] == [t.name for t in problem.terms]
    assert set(waves) == set(problem.declared_fields) and all(isinstance(form, Expr) for form in waves.values())
    assert max(np.abs(values).max() for values in residuals(made, waves).values()) < 1e-8


def test_chosen_waves_have_the_periods_and_no_divergence() -> None:
    periodic, _ = CASES["periods that the solution has"]
    waves, made = choose_solution(periodic)
    assert waves[u].subs(x, 0).equals(waves[u].subs(x, 2 * pi))
    assert made.terms[2].residual == u(0, t) - u(2 * pi, t)
    a, b, _ = ps.fields("a b p", x, y)
    waves, _ = choose_solution(flow())
    assert (waves[a].diff(x) + waves[b].diff(y)).expand() == 0 and waves[a].diff(x) != 0


def test_waves_rise_above_zero_where_the_equation_asks() -> None:
    problem = ps.Problem(domain=LINE, equations=Eq(q.diff(x), log(q)), conditions=Eq(q(0), 1))
    waves, _ = choose_solution(problem)
    assert float(waves[q].subs(x, 0.3)) > 0
    waves, _ = choose_solution(CASES["a positive field"][0])
    assert all(float(form.subs(x, 0.7)) > 0 for form in waves.values())
