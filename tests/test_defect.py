"""The defect equation: known perturbations are found again with the order of the formulas, and trained networks' true errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Abs, E, Eq, Expr, I, Piecewise, Rational, cos, exp, lambdify, pi, sin, symbols
from sympy.core.function import AppliedUndef

import pinnsolve as ps
from pinnsolve.defect import Defect
from pinnsolve.reference.solve import solve_reference

x, y, t = symbols("x y t")
u, w, p = ps.fields("u", x, t), ps.fields("w", x, y), ps.fields("p", x, y)
f, g = ps.fields("f g", x)
q = ps.fields("q", t)
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})
STRIP = ps.Box({x: (0, 1), t: (0, 1)})


@dataclass(frozen=True)
class Case:
    """A problem, its closed form, and whether it is linear."""

    problem: ps.Problem
    truth: Mapping[AppliedUndef, Expr]
    linear: bool = True


def evolution(operator: Callable[[Any], Expr], truth: Expr, **conditions: Any) -> ps.Problem:
    """An equation with the source that makes the closed form its solution, its initial value, and its values at both ends."""
    return ps.Problem(
        domain=STRIP,
        equations={"equation": Eq(operator(u), operator(truth).expand())},
        conditions={
            "initial": Eq(u(x, 0), truth.subs(t, 0)),
            "left": Eq(u(0, t), truth.subs(x, 0)),
            "right": Eq(u(1, t), truth.subs(x, 1)),
            **conditions,
        },
    )


def _variable() -> Case:
    truth, k = exp(x) * sin(2 * y), 1 + x * y

    def flux(field: Any) -> Expr:
        return (k * field.diff(x)).diff(x) + (k * field.diff(y)).diff(y)

    conditions = {
        "left": Eq(w(0, y), truth.subs(x, 0)),
        "robin": Eq(w.diff(x).subs(x, 1) + 2 * w(1, y), (truth.diff(x) + 2 * truth).subs(x, 1)),
        "bottom": Eq(w(x, 0), 0),
        "slope": Eq(w.diff(y).subs(y, 1), truth.diff(y).subs(y, 1)),
    }
    equations = {"diffusion": Eq(flux(w), flux(truth).expand())}
    return Case(ps.Problem(domain=SQUARE, equations=equations, conditions=conditions), {w: truth})


def _poisson(hard: bool | None = None) -> Case:
    truth = sin(pi * x) * sin(pi * y)
    equations = {"poisson": Eq(ps.laplacian(w, x, y), -2 * pi**2 * truth)}
    conditions = {"boundary": ps.on(SQUARE.boundary, Eq(w, 0))}
    return Case(ps.Problem(domain=SQUARE, equations=equations, conditions=conditions, hard=hard), {w: truth})


def _plate() -> Case:
    truth = sin(pi * x) * sin(pi * y)
    conditions = {
        "boundary": ps.on(SQUARE.boundary, Eq(w, 0)),
        "moment": ps.on(SQUARE.boundary, Eq(ps.laplacian(w, x, y), 0)),
    }
    equations = {"plate": Eq(ps.laplacian(ps.laplacian(w, x, y), x, y), 4 * pi**4 * truth)}
    return Case(ps.Problem(domain=SQUARE, equations=equations, conditions=conditions), {w: truth})


def _pure_neumann() -> Case:
    truth = cos(pi * x) * cos(pi * y)
    conditions = {"walls": ps.on(SQUARE.boundary, Eq(ps.grad(p, x, y).dot(SQUARE.normal), 0))}
    equations = {"poisson": Eq(ps.laplacian(p, x, y), -2 * pi**2 * truth)}
    return Case(ps.Problem(domain=SQUARE, equations=equations, conditions=conditions), {p: truth})


def _system() -> Case:
    equations = {
        "first": Eq(f.diff(x, 2) - g, -sin(x) - exp(x)),
        "second": Eq(g.diff(x, 2) + f, exp(x) + sin(x)),
    }
    conditions = {
        "f left": Eq(f(0), 0),
        "f right": Eq(f(1), sin(1)),
        "g left": Eq(g(0), 1),
        "g slope": Eq(g.diff(x).subs(x, 1), E),
    }
    problem = ps.Problem(domain=ps.Interval(x, 0, 1), equations=equations, conditions=conditions)
    return Case(problem, {f: sin(x), g: exp(x)})


def _cubic(power: int = 1) -> Case:
    truth = sin(pi * x)
    conditions = {"left": Eq(f(0), 0), "right": Eq(f.diff(x).subs(x, 1) + f(1) ** power, -pi)}
    equations = {"cubic": Eq(f.diff(x, 2) + f**3, truth.diff(x, 2) + truth**3)}
    problem = ps.Problem(domain=ps.Interval(x, 0, 1), equations=equations, conditions=conditions)
    return Case(problem, {f: truth}, linear=False)


def _oscillator() -> Case:
    truth = exp(-t / 4) * cos(2 * t)
    equations = {"oscillator": Eq(q.diff(t, 2) + q.diff(t) / 2 + (4 + Rational(1, 16)) * q, 0)}
    conditions = {"place": Eq(q(0), 1), "speed": Eq(q.diff(t).subs(t, 0), -Rational(1, 4))}
    return Case(ps.Problem(domain=ps.Interval(t, 0, 3), equations=equations, conditions=conditions), {q: truth})


DECAY = exp(-(pi**2) * t / 10) * sin(pi * x)
STANDING = cos(pi * t) * sin(pi * x)
CASES = {
    "Poisson": _poisson(),
    "Poisson with conditions in the loss": _poisson(hard=False),
    "variable coefficient, Robin and Neumann conditions": _variable(),
    "plate": _plate(),
    "fixed up to a constant": _pure_neumann(),
    "system": _system(),
    "cubic": _cubic(),
    "heat": Case(evolution(lambda v: v.diff(t) - v.diff(x, 2) / 10, DECAY), {u: DECAY}),
    "heat, coefficients of place and time": Case(
        evolution(lambda v: (1 + x) * v.diff(t) - (2 + sin(3 * t)) * v.diff(x, 2) / 10, DECAY), {u: DECAY}
    ),
    "wave": Case(
        evolution(lambda v: v.diff(t, 2) - v.diff(x, 2), STANDING, speed=Eq(u.diff(t).subs(t, 0), 0)), {u: STANDING}
    ),
    "Burgers": Case(evolution(lambda v: v.diff(t) + v * v.diff(x) - v.diff(x, 2) / 10, DECAY), {u: DECAY}, False),
    "oscillator": _oscillator(),
}
PERTURBATIONS = {x: cos(9 * x), y: exp(y) * cos(5 * y), t: exp(t) * cos(5 * t)}


def perturbation(number: int, coordinates: tuple[Any, ...]) -> Expr:
    """Something that meets no condition and no equation, a hundredth of the field or so."""
    shape: Expr = Rational(1, 100) * (1 + number)
    for c in coordinates:
        shape *= PERTURBATIONS[c]
    return shape + Rational(1, 300) * sum(coordinates)


def perturbed(case: Case, known: Callable[..., Any]) -> tuple[ps.Solution, dict[str, Expr]]:
    """A solution that is the truth plus something known, and this by the name of the field."""
    coordinates, functions, added = case.problem.coordinates, [], {}
    for number, (field, truth) in enumerate(case.truth.items()):
        added[field.func.__name__] = perturbation(number, field.args)
        functions.append(_torch(truth + added[field.func.__name__], coordinates))
    return known(case.problem, *functions), added


def _torch(expression: Expr, coordinates: tuple[Any, ...]) -> Callable[..., Any]:
    return lambdify(coordinates, expression, [{"sin": torch.sin, "cos": torch.cos, "exp": torch.exp}])


def trained(case: Case, *, steps: int) -> ps.Solution:
    """A network after a moment of training, with its true errors."""
    training = ps.Training(phases=[ps.Adam(steps=50, lr=5e-3), ps.LevenbergMarquardt(steps=steps)])
    return ps.solve(case.problem, ps.MLP(width=8, depth=2), training, ps.Exact(case.truth), compile="off", plots=False)


def miss(defect: Defect, name: str, added: Expr, coordinates: tuple[Any, ...], *, free: bool = False) -> float:
    """How far the estimated error is from the negative of what was added, relative to that."""
    truth = -np.broadcast_to(lambdify(coordinates, added)(*defect.rest.points.T), len(defect.rest.points))
    difference = defect.rest.values[name] - truth
    if free:
        difference = difference - difference.mean()
    return float(np.linalg.norm(difference) / np.linalg.norm(truth))


@pytest.mark.parametrize("name", CASES)
def test_a_known_perturbation_is_found_again(name: str, known: Callable[..., Any]) -> None:
    case = CASES[name]
    solution, added = perturbed(case, known)
    defect = solution.defect()
    assert defect.linear is case.linear and ("nonlinear" in defect.meaning) is not case.linear
    for field, expression in added.items():
        missed = miss(defect, field, expression, case.problem.coordinates, free=field in case.problem.gauges)
        assert missed < 1e-3
        # Refinement tells an error to a small factor, and steps in time have a tolerance of 1e-6.
        assert missed < 3 * defect.uncertainty[field] + 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n in CASES if n not in ("oscillator", "heat", "Poisson")])
def test_the_estimate_converges_with_the_order_of_the_formulas(name: str, known: Callable[..., Any]) -> None:
    case = CASES[name]
    solution, added = perturbed(case, known)
    space = [c for c in case.problem.coordinates if c != t]
    missed = []
    for cells in (32, 64):
        defect = solution.defect(ps.FiniteDifferences(cells=dict.fromkeys(space, cells)))
        free = set(case.problem.gauges)
        missed.append(
            max(miss(defect, n, e, case.problem.coordinates, free=n in free) for n, e in added.items()),
        )
    assert np.log2(missed[0] / missed[1]) == pytest.approx(4.0, abs=0.45)


@pytest.mark.parametrize("order", [2, 6])
def test_the_order_of_the_formulas_can_be_chosen(order: int, known: Callable[..., Any]) -> None:
    case = CASES["Burgers"]
    solution, added = perturbed(case, known)
    defects = [solution.defect(ps.FiniteDifferences(cells={x: cells}, order=order)) for cells in (24, 48)]
    coarse, fine = (miss(defect, "u", added["u"], (x, t)) for defect in defects)
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)
    assert f"of order {order} in space" in defects[-1].rest.method


def test_order_six_is_refused_where_it_is_unstable(known: Callable[..., Any]) -> None:
    solution, _ = perturbed(CASES["wave"], known)
    with pytest.raises(ps.UnsupportedError, match=r"order=6 .* grows without bound on fine grids.* · give order=4"):
        solution.defect(ps.FiniteDifferences(cells={x: 96}, order=6))


def test_the_estimate_of_a_jumping_coefficient_is_of_second_order(known: Callable[..., Any]) -> None:
    # -(k f')' = 0 with k = 1 below 1/2 and 3 above, f(0) = 0, f(1) = 1, as a flux and its divergence.
    k = Piecewise((1, x < Rational(1, 2)), (3, True))
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"flux": Eq(g, k * f.diff(x)), "balance": Eq(g.diff(x), 0)},
        conditions={"left": Eq(f(0), 0), "right": Eq(f(1), 1)},
    )
    wrong = known(problem, lambda x: x + 0.1 * torch.sin(3 * x), lambda x: 1.5 + 0 * x)
    defect = wrong.defect(ps.FiniteDifferences(cells={x: 256}))
    places = defect.rest.points[:, 0]
    truth = np.where(places < 0.5, 1.5 * places, 0.75 + 0.5 * (places - 0.5))
    error = truth - (places + 0.1 * np.sin(3 * places))
    assert np.abs(defect.rest.values["f"] - error).max() < 1e-4


def test_a_large_nonlinear_error_is_not_linearised(known: Callable[..., Any]) -> None:
    case = CASES["cubic"]
    solution = known(case.problem, lambda x: 0.5 * torch.sin(torch.pi * x) + 0.2 * x)
    defect = solution.defect()
    assert miss(defect, "f", -sin(pi * x) / 2 + x / 5, (x,)) < 1e-5


def test_the_estimate_sees_far_below_the_error_of_its_grid(known: Callable[..., Any]) -> None:
    case = CASES["Poisson"]
    tiny = 1e-9
    solution = known(
        case.problem, lambda x, y: torch.sin(torch.pi * x) * torch.sin(torch.pi * y) + tiny * torch.cos(x) * y
    )
    coarse = ps.FiniteDifferences(cells={x: 16, y: 16})
    found = solution.defect(coarse)
    grid = solve_reference(case.problem, coarse, unknowns={})
    size = np.sqrt(np.mean((tiny * np.cos(found.rest.points[:, 0]) * found.rest.points[:, 1]) ** 2))
    assert grid.estimated_relative_l2["w"] > 1e-6
    assert found.errors["w"]["relative_l2"] == pytest.approx(size / 0.5, rel=0.1)


def test_the_place_of_the_greatest_error_is_told(known: Callable[..., Any]) -> None:
    case = CASES["Poisson"]
    solution = known(
        case.problem,
        lambda x, y: (
            torch.sin(torch.pi * x) * torch.sin(torch.pi * y)
            + 1e-3 * torch.exp(-20 * ((x - 0.75) ** 2 + (y - 0.25) ** 2))
        ),
    )
    found = solution.defect().errors["w"]
    assert found["max"] == pytest.approx(1e-3, rel=1e-2)
    assert found["max_at"] == {"x": pytest.approx(0.75), "y": pytest.approx(0.25)}


def test_a_complex_field_has_one_estimate(known: Callable[..., Any]) -> None:
    h = ps.fields("h", x, t)
    wave = exp(I * (2 * x - 3 * t))  # i h_t + h_xx + |h|^2 h = (3 - 4 + 1) h
    problem = ps.Problem(
        domain=STRIP,
        equations={"schroedinger": Eq(I * h.diff(t) + h.diff(x, 2) + Abs(h) ** 2 * h, 0)},
        conditions={
            "initial": Eq(h(x, 0), wave.subs(t, 0)),
            "left": Eq(h(0, t), wave.subs(x, 0)),
            "right": Eq(h(1, t), wave.subs(x, 1)),
        },
    )
    solution = known(
        problem,
        lambda x, t: torch.cos(2 * x - 3 * t) + 3e-4 * torch.cos(x) + 0 * t,
        lambda x, t: torch.sin(2 * x - 3 * t) + 4e-4 * torch.cos(x) + 0 * t,
    )
    found = solution.defect()
    assert set(found.errors) == set(found.uncertainty) == {"h"}
    assert found.errors["h"]["max"] == pytest.approx(5e-4, rel=1e-3)


def test_of_two_solutions_the_estimate_leads_to_the_one_that_the_network_is_near() -> None:
    case = _cubic(power=2)
    solution = trained(case, steps=40)
    assert solution.errors["f"]["relative_l2"] > 0.1  # the closed form is the other one
    defect = solution.defect()
    assert defect.errors["f"]["relative_l2"] < 1e-4 and "starting from the network" in defect.meaning
    grid = defect.rest.points[:, 0]
    found = solution(x=grid) + defect.rest.values["f"]
    slopes, load = np.gradient(found, grid, edge_order=2), np.sin(np.pi * grid)
    assert found[-1] ** 2 + slopes[-1] == pytest.approx(-np.pi, abs=1e-3)
    np.testing.assert_allclose(np.gradient(slopes, grid)[2:-2], (load**3 - np.pi**2 * load - found**3)[2:-2], atol=2e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n in CASES if n != "plate"])
def test_the_estimate_of_a_trained_network_is_its_error(name: str) -> None:
    case = CASES[name]
    solution = trained(case, steps=8)
    defect = solution.defect()
    for field, error in solution.errors.items():
        assert 1e-6 < error["relative_l2"] < 5e-2, "a test of nothing"
        assert 1 / 1.5 < defect.errors[field]["relative_l2"] / error["relative_l2"] < 1.5
        assert 1 / 1.5 < defect.errors[field]["max"] / error["max"] < 1.5


def test_a_network_that_is_not_periodic_is_refused(known: Callable[..., Any]) -> None:
    problem = ps.Problem(
        domain=STRIP,
        equations={"transport": Eq(u.diff(t) + u.diff(x), 0)},
        conditions={"initial": Eq(u(x, 0), sin(2 * pi * x)), "periodic": Eq(u(0, t), u(1, t))},
        hard=False,
    )
    moving = known(problem, lambda x, t: 1.01 * torch.sin(2 * torch.pi * (x - t)))
    assert moving.defect().errors["u"]["relative_l2"] == pytest.approx(0.01 / 1.01, rel=1e-3)
    with pytest.raises(ps.UnsupportedError, match=r"periodic · the solution misses it by 1\.0e-03"):
        known(problem, lambda x, t: torch.sin(2 * torch.pi * (x - t)) + 1e-3 * x).defect()


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (ps.Disk({x: 0, y: 0}, radius=1), "the disk of radius 1"),
        (ps.Polygon([(0, 0), (1, 0), (0, 1)], coordinates=(x, y)), "the polygon"),
        (SQUARE - ps.Disk({x: 0, y: 0}, radius=0.5), "without the disk"),
    ],
)
def test_what_is_no_box_is_refused_by_its_name(known: Callable[..., Any], domain: Any, text: str) -> None:
    problem = ps.Problem(
        domain=domain,
        equations={"laplace": Eq(ps.laplacian(w, x, y), 0)},
        conditions={"walls": ps.on(domain.boundary, Eq(w, x))},
    )
    with pytest.raises(ps.UnsupportedError, match=f"the domain is .*{text}.*, not a box"):
        known(problem, lambda x, y: x).defect()


def test_what_the_referee_cannot_solve_is_refused_by_name(known: Callable[..., Any]) -> None:
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"balance": Eq(f.diff(x, 2), 0)},
        data={"sensors": ps.Observations(at={x: [0.0, 1.0]}, values={f: [0.0, 1.0]})},
    )
    with pytest.raises(ps.UnsupportedError, match=r"-2 conditions"):
        known(problem, lambda x: x).defect()
