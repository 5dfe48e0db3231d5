"""Problems on regions that are not boxes: what is declared, counted, refused, drawn, evaluated, stored and solved."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, Rational, cos, exp, sin, sqrt, symbols

import pinnsolve as ps
from pinnsolve.choices import choose, meet_conditions
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import Trial, Unknowns
from pinnsolve.declaration.distances import approximate_distance
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.description import describe_problem
from pinnsolve.domains.sampling import METHODS, draw
from pinnsolve.points import TermPoints, term_region
from pinnsolve.reference.solve import solve_reference

x, y, z, t, k = symbols("x y z t k")
u = ps.fields("u", x, y)
v = ps.fields("v", x, y, t)
DISK = ps.Disk({x: 0, y: 0}, radius=1)
HOLE = ps.Disk({x: 0, y: 0}, radius=0.5)
RING = DISK - HOLE
L_SHAPE = ps.Polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], coordinates=(x, y))
TENT = ps.Polygon([(-2, -2), (2, -2), (0, 3)], coordinates=(x, y), holes=[[(0, 0), (0.5, 0), (0, 0.5)]])
CUT = ps.Box({x: (-1, 1), y: (-1, 1)}) - ps.Box({x: (0, 1), y: (-1, 0)})
THIN = ps.Polygon([(0, 0), (0.1, 0), (1, 1), (0.9, 1)], coordinates=(x, y))
TRUTH = sin(2 * x) * exp(y)


def poisson(domain: Any, source: Any = -1, *, hard: bool | None = None, **conditions: Any) -> ps.Problem:
    equation = Eq(ps.laplacian(u, x, y), source)
    return ps.Problem(domain=domain, equations={"poisson": equation}, conditions=conditions, hard=hard)


def slope(region: Any, value: Any = 0) -> Eq:
    return Eq(ps.grad(u, x, y).dot(region.normal), value)


def heat(**conditions: Any) -> ps.Problem:
    right = {"start": Eq(v(x, y, 0), 1 - x**2 - y**2), "rim": ps.on(DISK.boundary, Eq(v, 0))}
    return ps.Problem(
        domain=DISK * ps.Interval(t, 0, 1),
        equations={"heat": Eq(v.diff(t), ps.laplacian(v, x, y))},
        conditions=right | conditions,
    )


@pytest.mark.parametrize(
    "declare",
    [
        lambda: poisson(DISK, rim=ps.on(DISK.boundary, Eq(u, 0))),
        lambda: poisson(DISK, 0, rim=ps.on(DISK.boundary, slope(DISK, x))),
        lambda: poisson(DISK, rim=ps.on(DISK.boundary, slope(DISK, -2 * u))),
        lambda: poisson(RING, outer=ps.on(DISK.boundary, Eq(u, 0)), inner=ps.on(HOLE.boundary, Eq(u, 1))),
        lambda: poisson(
            RING, outer=ps.on(DISK.boundary, Eq(u, 0)), inner=ps.on(RING.boundary - DISK.boundary, slope(RING))
        ),
        lambda: poisson(L_SHAPE, all=ps.on(L_SHAPE.boundary, Eq(u, 0))),
        lambda: poisson(
            L_SHAPE,
            notch=ps.on(L_SHAPE.side(0), Eq(u, 0)),
            rest=ps.on(L_SHAPE.boundary - L_SHAPE.side(0), slope(L_SHAPE)),
        ),
        lambda: poisson(L_SHAPE, left=Eq(u(-1, y), 0), rest=ps.on(L_SHAPE.boundary - L_SHAPE.side(3), Eq(u, 0))),
        lambda: poisson(CUT, all=ps.on(CUT.boundary, Eq(u, 0))),
        heat,
        lambda: ps.Problem(
            domain=THIN * ps.Interval(t, 0, 1),
            equations=Eq(v.diff(t), ps.laplacian(v, x, y)),
            conditions=[
                ps.on((THIN * ps.Interval(t, 0, 1)).face(t, 0), Eq(v, 0)),  # type: ignore[attr-defined]
                ps.on(THIN.boundary, Eq(v, 0)),
            ],
        ),
        lambda: ps.Problem(
            domain=DISK,
            equations=Eq(ps.laplacian(ps.laplacian(u, x, y), x, y), 1),
            conditions=[ps.on(DISK.boundary, Eq(u, 0), slope(DISK))],
        ),
        lambda: ps.Problem(
            domain=RING,
            equations=Eq(ps.laplacian(u, x, y), k),
            conditions=ps.on(RING.boundary, Eq(u, 0)),
            unknowns={k: 1.0},
        ),
    ],
)
def test_well_posed_problems_are_accepted(declare: Callable[[], ps.Problem]) -> None:
    assert declare().terms


@pytest.mark.parametrize(
    ("declare", "pieces"),
    [
        (lambda: poisson(DISK), ("conditions in x, y", "none on the boundary of the disk", "ps.on(region.boundary")),
        (
            lambda: poisson(RING, outer=ps.on(DISK.boundary, Eq(u, 0))),
            ("the circle of radius 0.5 about (0, 0)", "need 1 at every point", "found 0"),
        ),
        (
            lambda: poisson(L_SHAPE, most=ps.on(L_SHAPE.boundary - L_SHAPE.side(2), Eq(u, 0))),
            ("the edge from (1, 1) to (-1, 1)", "found 0"),
        ),
        (
            lambda: poisson(DISK, half=ps.on(DISK.boundary & ps.HalfSpace(x <= 0, coordinates=(x, y)), Eq(u, 0))),
            ("the circle of radius 1", "found 0 on 50 % of it (half)"),
        ),
        (
            lambda: poisson(DISK, a=ps.on(DISK.boundary, Eq(u, 0)), b=ps.on(DISK.boundary, slope(DISK))),
            ("a, b", "2 conditions on the circle", "bear 1"),
        ),
        (
            lambda: ps.Problem(
                domain=DISK,
                equations=Eq(ps.laplacian(ps.laplacian(u, x, y), x, y), 1),
                conditions=ps.on(DISK.boundary, Eq(u, 0)),
            ),
            ("need 2 at every point", "found 1"),
        ),
        (
            lambda: ps.Problem(
                domain=DISK * ps.Interval(t, 0, 1),
                equations=Eq(v.diff(t), ps.laplacian(v, x, y)),
                conditions=ps.on(DISK.boundary, Eq(v, 0)),
            ),
            ("conditions in t", "need 1", "found 0"),
        ),
        (
            lambda: ps.Problem(
                domain=DISK * ps.Interval(t, 0, 1),
                equations=Eq(v.diff(t), ps.laplacian(v, x, y)),
                conditions={"start": Eq(v(x, y, 0), 0)},
            ),
            ("conditions in x, y", "none on the boundary"),
        ),
        (
            lambda: poisson(RING, all=ps.on(RING.boundary, Eq(u, 0)), within=ps.on(HOLE, Eq(u, 1))),
            ("within", "points outside the domain"),
        ),
        (
            lambda: poisson(CUT, all=ps.on(ps.Box({x: (-1, 1), y: (-1, 1)}).boundary, Eq(u, 0))),
            ("all", "points outside the domain, such as", "boundary & domain"),
        ),
        (
            lambda: poisson(DISK, rim=ps.on(ps.Disk({x: 0, y: 0}, radius=2).boundary, Eq(u, 0))),
            ("rim", "x from -2 to 2"),
        ),
        (lambda: poisson(DISK, rim=ps.on(ps.Disk({x: 0, t: 0}, radius=1).boundary, Eq(u, 0))), ("coordinate t",)),
        (lambda: poisson(DISK.boundary, rim=Eq(u(x, 0), 0)), ("domain", "not a region")),
        (lambda: poisson(ps.HalfSpace(x <= 1, coordinates=(x, y)), rim=Eq(u(1, y), 0)), ("domain", "not bounded")),
        (
            lambda: poisson(RING, outer=ps.on(DISK.boundary, Eq(u, 0)), inner=ps.on(RING.boundary, Eq(u, 1))),
            ("outer, inner", "2 conditions on the circle of radius 1"),
        ),
        (
            lambda: poisson(
                L_SHAPE, a=ps.on(L_SHAPE.side(0), Eq(u, 0)), b=ps.on(L_SHAPE.boundary - L_SHAPE.side(0), Eq(u, x + y))
            ),
            ("a, b", "at x = 1, y = 0", "u = 0, the second 1"),
        ),
        (
            lambda: heat(start=ps.on((HOLE * ps.Interval(t, 0, 1)).face(t, 0), Eq(v, 0))),  # type: ignore[attr-defined]
            ("conditions in t", "need 1", "found 0.25 (start at t = 0)"),
        ),
        (lambda: heat(rim=ps.on(DISK.boundary, Eq(v, t + x))), ("start, rim", "t = 0", "agree")),
    ],
)
def test_problems_that_cannot_be_meant_are_refused(declare: Callable[[], Any], pieces: tuple[str, ...]) -> None:
    with pytest.raises(ps.ProblemError) as caught:
        declare()
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)


def test_a_term_ranges_over_the_domain_its_factor_or_a_chord() -> None:
    problem = heat(chord=Eq(v(0, y, t), v(0, -y, t)))
    regions = {name: term_region(problem.term(name), problem) for name in ("heat", "start", "rim", "chord")}
    assert regions["heat"] == problem.domain and regions["start"] == DISK
    assert regions["rim"] is not None and regions["rim"].coordinates == (x, y, t)
    chord = regions["chord"]
    assert chord is not None and chord.coordinates == (y, t)
    assert draw(chord, 200).coordinates[:, 0].min() < -0.95
    tip = poisson(DISK, rim=ps.on(DISK.boundary, Eq(u, 0)), tip=Eq(u(Rational(3, 5), y), u(Rational(3, 5), -y)))
    chord = term_region(tip.term("tip"), tip)
    assert chord is not None
    assert np.abs(draw(chord, 500).coordinates).max() <= 0.8 + 1e-9
    assert chord.measure == pytest.approx(1.6, rel=1e-3)


def test_an_equation_on_a_part_of_a_curved_domain() -> None:
    q = ps.fields("q", x, y)
    left = DISK & ps.HalfSpace(x <= 0, coordinates=(x, y))
    problem = ps.Problem(
        domain=DISK,
        equations={
            "left": ps.on(left, Eq(ps.laplacian(q, x, y), 1)),
            "right": ps.on(ps.Box({x: (0, 1)}), Eq(ps.laplacian(q, x, y), 2 + 0 * y)),
        },
        conditions=ps.on(DISK.boundary, Eq(q, 0)),
    )
    for name, sign in (("left", -1), ("right", 1)):
        region = term_region(problem.term(name), problem)
        assert region is not None
        points = draw(region, 300).coordinates
        assert DISK.contains(points).all() and (sign * points[:, 0] >= 0).all()


@pytest.mark.parametrize("method", [*METHODS, ps.Graded(thickness=0.05)], ids=str)
@pytest.mark.parametrize("resampling", ["rad", "r3", "uniform"])
def test_points_of_terms_stay_inside_by_every_method(
    method: Any, resampling: str, known_module: Callable[..., Any]
) -> None:
    problem = ps.Problem(
        domain=RING * ps.Interval(t, 0, 1),
        equations={"heat": Eq(v.diff(t), ps.laplacian(v, x, y))},
        conditions={"start": Eq(v(x, y, 0), 0), "walls": ps.on(RING.boundary, Eq(v, 0))},
    )
    counts = {"heat": 256, "start": 64, "walls": 64}
    points = TermPoints(compile_problem(problem), counts, method, 0, torch.device("cpu"), resampling)
    trial = Trial(
        known_module(lambda x, y, t: torch.exp(-40 * (x - 0.7) ** 2)), Unknowns({}, dtype=torch.float64, device="cpu")
    )
    first = points.training()
    again = points.redraw(trial, 1, current=first)
    for drawn in (first, again, points.held_out()):
        assert RING.contains(drawn["heat"][:, :2].numpy()).all() and RING.contains(drawn["start"].numpy()).all()
        assert RING.boundary.contains(drawn["walls"][:, :2].numpy()).all()
    assert {name: len(p) for name, p in again.items()} == counts
    assert torch.equal(first["heat"], again["heat"]) == (method == "grid" and resampling == "uniform")


def test_the_description_names_region_and_pieces() -> None:
    problem = poisson(RING, outer=ps.on(DISK.boundary, Eq(u, 0)), inner=ps.on(HOLE.boundary, slope(RING)))
    compiled = compile_problem(problem)
    text = describe_problem(compiled, choose(compiled), name="ring")
    for line in (
        "domain       the disk of radius 1 about (0, 0) without the disk of radius 0.5 about (0, 0)",
        "where in the disk of radius 1 about (0, 0) without the disk of radius 0.5 about (0, 0)",
        "where on the circle of radius 0.5 about (0, 0) (n is the outward normal)",
        "  the circle of radius 1 about (0, 0): outer",
        "  the circle of radius 0.5 about (0, 0): inner",
    ):
        assert line in text.splitlines() or line in text, text


def test_outside_the_region_the_solution_is_nan_with_one_warning(known: Callable[..., Any]) -> None:
    solution = known(poisson(RING, all=ps.on(RING.boundary, Eq(u, 0))), lambda x, y: x + y)
    with pytest.warns(UserWarning, match="2 of 4 points lie outside") as caught:
        values = solution(x=[0.7, 0.0, 0.9, -0.6], y=[0.0, 0.0, 0.9, 0.1])
    assert len(caught) == 1
    np.testing.assert_allclose(values, [0.7, np.nan, np.nan, -0.5])


def test_normals_of_a_residual_on_a_curve_point_outwards(known: Callable[..., Any]) -> None:
    problem = poisson(RING, 0, all=ps.on(RING.boundary, slope(RING, 0)))
    solution = known(problem, lambda x, y: x * x + y * y)
    angles = np.linspace(0, 6, 7)
    for radius, sign in ((1.0, 1), (0.5, -1)):
        found = solution.residual("all", x=radius * np.cos(angles), y=radius * np.sin(angles))
        np.testing.assert_allclose(found, 2 * sign * radius, rtol=1e-12)


@pytest.mark.parametrize(
    "problem",
    [
        poisson(RING, outer=ps.on(DISK.boundary, Eq(u, 0)), inner=ps.on(RING.boundary - DISK.boundary, Eq(u, 1))),
        poisson(
            L_SHAPE,
            low=ps.on(L_SHAPE.side(4), Eq(u, 0)),
            rest=ps.on(L_SHAPE.boundary - L_SHAPE.side(4), slope(L_SHAPE)),
        ),
        poisson(CUT, all=ps.on(CUT.boundary, Eq(u, 0))),
        poisson(
            DISK,
            left=ps.on(DISK.boundary & ps.HalfSpace(x + y <= 0, coordinates=(x, y)), Eq(u, 0)),
            right=ps.on(DISK.boundary & ps.HalfSpace(x + y >= 0, coordinates=(x, y)), slope(DISK)),
        ),
        poisson(TENT | DISK, all=ps.on((TENT | DISK).boundary, Eq(u, 0))),
        heat(rim=ps.on(DISK.boundary * ps.Interval(t, 0, 1), Eq(v, 0))),
    ],
)
def test_stored_regions_come_back_as_they_were(problem: ps.Problem) -> None:
    data = json.loads(json.dumps(problem_to_data(problem)))
    again = problem_from_data(data)
    points = np.random.default_rng(0).uniform(-2, 3, (2000, len(problem.coordinates)))
    np.testing.assert_array_equal(again.domain.contains(points), problem.domain.contains(points))
    for term in problem.terms:
        here, there = (term_region(p.term(term.name), p) for p in (problem, again))
        assert here is not None and there is not None
        first, second = draw(here, 100), draw(there, 100)
        np.testing.assert_allclose(second.coordinates, first.coordinates, atol=1e-12)
        if first.normals is not None and second.normals is not None:
            np.testing.assert_allclose(second.normals, first.normals, atol=1e-12)


def test_finite_differences_say_that_the_domain_is_no_box() -> None:
    problem = poisson(RING, all=ps.on(RING.boundary, Eq(u, 0)))
    with pytest.raises(ps.UnsupportedError, match="not a box"):
        solve_reference(problem, ps.FiniteDifferences(), unknowns={})


DISTANCES = [
    DISK,
    L_SHAPE,
    CUT,
    RING,
    ps.Disk({x: -0.4, y: 0}, radius=0.7) | ps.Disk({x: 0.4, y: 0}, radius=0.7),
    DISK & ps.HalfSpace(x + 2 * y <= 0.5, coordinates=(x, y)),
    pytest.param(
        ps.Polygon([(0, 0), (4, 0), (4, 3), (3, 1), (2, 3), (1, 1), (0, 3)], coordinates=(x, y)), marks=pytest.mark.slow
    ),
    TENT,
    ps.Ball({x: 0, y: 0, z: 0}, radius=1) - ps.Box({x: (0, 2), y: (0, 2), z: (0, 2)}),
]


@pytest.mark.thorough
@pytest.mark.parametrize("region", DISTANCES, ids=lambda r: r.text[:50])
def test_r_functions_are_positive_inside_zero_on_the_boundary_and_negative_outside(region: Any) -> None:
    from sympy import lambdify

    expression = approximate_distance(region)
    function = lambdify(region.coordinates, expression, "numpy")
    low, high = np.array(list(region.bounds.values())).T
    points = low - 0.5 + (high - low + 1) * np.random.default_rng(0).random((5000, len(low)))
    assert np.array_equal(function(*points.T) > 0, region.contains(points))
    walls = draw(region.boundary, 500)
    assert walls.normals is not None
    np.testing.assert_allclose(function(*walls.coordinates.T), 0, atol=1e-12)
    step = 1e-5
    inwards = function(*(walls.coordinates - step * walls.normals).T) / step
    assert np.median(np.abs(inwards - 1)) < 0.02 and (np.abs(inwards - 1) < 0.1).mean() > 0.97  # but near corners
    gradient = [expression.diff(c, 2) for c in region.coordinates]
    second = [
        np.broadcast_to(lambdify(region.coordinates, g, "numpy")(*draw(region, 2000).coordinates.T), 2000)
        for g in gradient
    ]
    assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("problem", "exact"),
    [
        (poisson(DISK, rim=ps.on(DISK.boundary, Eq(u, x * y))), {"rim"}),
        (
            poisson(RING, outer=ps.on(DISK.boundary, Eq(u, x)), inner=ps.on(HOLE.boundary, Eq(u, cos(y)))),
            {"outer", "inner"},
        ),
        (poisson(RING, outer=ps.on(DISK.boundary, Eq(u, x)), inner=ps.on(HOLE.boundary, slope(RING))), set()),
        (heat(), {"start", "rim"}),
        (poisson(L_SHAPE, all=ps.on(L_SHAPE.boundary, Eq(u, 0))), set()),
    ],
)
def test_values_on_smooth_boundaries_are_met_exactly_by_default(problem: ps.Problem, exact: set[str]) -> None:
    met, _ = meet_conditions(problem)
    assert met.exact == exact


@pytest.mark.thorough
@pytest.mark.parametrize(
    "region",
    [pytest.param(L_SHAPE, marks=pytest.mark.slow), CUT, DISK & ps.HalfSpace(y <= 0.5, coordinates=(x, y))],
    ids=lambda r: r.text[:30],
)
def test_values_on_any_boundary_are_met_exactly_on_request(region: Any) -> None:
    problem = poisson(region, hard=True, all=ps.on(region.boundary, Eq(u, x**2)))
    assert problem.exact == {"all"}
    solution = ps.solve(problem, ps.MLP(width=4, depth=1), ps.Training(phases=[ps.Adam(steps=2)]), reference=None)
    walls, inside = draw(region.boundary, 200).coordinates, draw(region, 2000).coordinates
    np.testing.assert_allclose(solution(x=walls[:, 0], y=walls[:, 1]), walls[:, 0] ** 2, atol=1e-12)
    assert np.isfinite(solution.residual("poisson", x=inside[:, 0], y=inside[:, 1])).all()


def test_ends_of_a_cylinder_are_met_exactly() -> None:
    w = ps.fields("w", x, y, z)
    tube = ps.Cylinder({x: 0, y: 0}, radius=1, along={z: (0, 2)})
    side = ps.on(DISK.boundary, Eq(ps.grad(w, x, y, z).dot(tube.normal), 0))
    for narrow, exact in (
        (tube, {"low", "high"}),
        (ps.Cylinder({x: 0, y: 0}, radius=0.9, along={z: (0, 2)}), {"high"}),
    ):
        low = ps.on(narrow.face(z, 0), Eq(w, 0))  # type: ignore[attr-defined]
        problem = ps.Problem(
            domain=tube,
            equations=Eq(ps.laplacian(w, x, y, z), 0),
            conditions={"side": side, "low": low, "high": Eq(w(x, y, 2), 1)},
            hard=True,
        )
        assert problem.exact == exact


def test_an_ansatz_by_hand_is_recognised_on_a_disk() -> None:
    factor = 1 - x**2 - y**2
    rim = {"rim": ps.on(DISK.boundary, Eq(u, 0))}
    problem = ps.Problem(domain=DISK, equations=Eq(ps.laplacian(u, x, y), -1), conditions=rim, ansatz={u: factor * u})
    assert problem.exact == {"rim"}


def test_measurements_outside_a_disk_are_refused() -> None:
    outside = ps.Observations(at={x: [0.1, 0.9], y: [0.2, 0.9]}, values={u: [1.0, 2.0]})
    with pytest.raises(ps.DataError, match="row 2 lies outside the domain"):
        ps.Problem(domain=DISK, equations=Eq(ps.laplacian(u, x, y), -1), data={"sensors": outside})


def test_windows_of_time_on_a_disk() -> None:
    truth = exp(-2 * t) * sin(x) * sin(y) + x
    problem = heat(start=Eq(v(x, y, 0), truth.subs(t, 0)), rim=ps.on(DISK.boundary, Eq(v, truth)))
    phases: list[Any] = [ps.Adam(steps=100), ps.LevenbergMarquardt(steps=8, resample=1)]
    graded = ps.Graded(thickness=0.1, towards=DISK.boundary)
    training = ps.Training(phases=phases, points={"heat": 500}, windows={t: 2}, sampling=graded)
    solution = ps.solve(problem, ps.MLP(width=10, depth=2), training, ps.Exact({v: truth}))
    assert solution.errors["v"]["relative_l2"] < 1e-3


def trained(problem: ps.Problem, truth: Any, *, steps: int, out: Path | None = None) -> ps.Solution:
    phases: list[Any] = [ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=steps, resample=1)]
    return ps.solve(problem, None, ps.Training(phases=phases), ps.Exact(truth), seed=0, out=out)


def test_the_disk_is_solved_and_stored(tmp_path: Path) -> None:
    problem = poisson(DISK, rim=ps.on(DISK.boundary, Eq(u, 0)), hard=False)
    solution = trained(problem, {u: (1 - x**2 - y**2) / 4}, steps=20)
    assert solution.errors["u"]["relative_l2"] < 1e-4
    points = draw(DISK, 50).coordinates
    again = ps.load(solution.save(tmp_path / "disk"))
    np.testing.assert_array_equal(again(x=points[:, 0], y=points[:, 1]), solution(x=points[:, 0], y=points[:, 1]))
    with pytest.warns(UserWarning, match="outside the domain"):
        assert np.isnan(again(x=0.8, y=0.8))


def test_the_disk_is_solved_with_its_condition_met_exactly() -> None:
    solution = trained(poisson(DISK, rim=ps.on(DISK.boundary, Eq(u, 0))), {u: (1 - x**2 - y**2) / 4}, steps=10)
    assert solution.errors["u"]["relative_l2"] < 1e-4


@pytest.mark.thorough
@pytest.mark.parametrize(
    "region", [L_SHAPE, pytest.param(CUT, marks=pytest.mark.slow)], ids=["polygon", "difference of boxes"]
)
def test_a_manufactured_solution_on_an_l_shape(region: Any) -> None:
    left = region.boundary & ps.Box({x: (-1, -0.9), y: (-1, 1)}) if region is CUT else region.side(3)
    problem = poisson(
        region,
        TRUTH.diff(x, 2) + TRUTH.diff(y, 2),
        left=ps.on(left, slope(region, ps.grad(TRUTH, x, y).dot(region.normal))),
        rest=ps.on(region.boundary - left, Eq(u, TRUTH)),
    )
    assert trained(problem, {u: TRUTH}, steps=25).errors["u"]["relative_l2"] < 1e-3


def test_heat_on_a_disk() -> None:
    truth = exp(-2 * t) * sin(x) * sin(y) + x
    problem = heat(start=Eq(v(x, y, 0), truth.subs(t, 0)), rim=ps.on(DISK.boundary, Eq(v, truth)))
    assert trained(problem, {v: truth}, steps=10).errors["v"]["relative_l2"] < 1e-3


@pytest.mark.thorough
def test_robin_conditions_on_a_ring() -> None:
    r = sqrt(x**2 + y**2)
    problem = poisson(
        RING, 4, outer=ps.on(DISK.boundary, slope(DISK, 3 - u)), inner=ps.on(HOLE.boundary, Eq(u, Rational(1, 4)))
    )
    assert trained(problem, {u: r**2}, steps=25).errors["u"]["relative_l2"] < 1e-4


def test_pictures_of_a_curved_region_are_masked(known: Callable[..., Any]) -> None:
    from pinnsolve.plotting import error_figure, fields_figure, residual_figure
    from pinnsolve.reference.exact import exact_reference

    solution = known(
        poisson(RING, 4, all=ps.on(RING.boundary, Eq(u, x**2 + y**2))), lambda x, y: x * x + y * y + x**3 / 9
    )
    solution.reference = exact_reference(solution.problem, ps.Exact({u: x**2 + y**2}), unknowns={})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = [make(solution) for make in (fields_figure, error_figure, residual_figure)]
    for figure, maps in zip(figures, (3, 1, 1), strict=True):  # solution, reference and difference; error; residual
        assert figure is not None
        images = [axes.images[0] for axes in figure.axes if axes.images]
        assert len(images) == maps
        for image in images:
            hidden = np.ma.getmaskarray(np.ma.asarray(image.get_array()))
            assert hidden[100, 100] and hidden[0, 0] and not hidden[100, 170] and 0.3 < hidden.mean() < 0.5


def test_the_normal_of_a_condition_points_out_of_the_domain() -> None:
    """That of a hole's own boundary points into the plate around it, which no reference means."""
    for hole in (HOLE, ps.Box({x: (-0.3, 0.3), y: (-0.3, 0.3)})):
        plate = DISK - hole
        for region in (hole.boundary, hole.boundary * ps.Interval(t, 0, 1), plate.boundary - DISK.boundary):
            w = ps.fields("w", x, y, t)
            conditions = {
                "start": w(x, y, 0),
                "outer": ps.on(DISK.boundary, w),
                "inner": ps.on(region, Eq(ps.grad(w, x, y).dot(hole.normal), 1)),
            }
            equations = {"heat": Eq(w.diff(t), ps.laplacian(w, x, y))}
            problem = ps.Problem(domain=plate * ps.Interval(t, 0, 1), equations=equations, conditions=conditions)
            region_of_term = problem.term("inner").region
            assert region_of_term is not None
            found = draw(region_of_term, 40)
            assert found.normals is not None
            assert ((found.coordinates[:, :2] * found.normals[:, :2]).sum(axis=1) < 0).all()
