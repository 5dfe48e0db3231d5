"""Comparison with a reference: the norms by hand, gauges, complex fields, gaps, and thinned references."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, I, symbols

import pinnsolve as ps
from pinnsolve.comparison import compare, estimate, thinned, verdict
from pinnsolve.reference.exact import exact_reference
from pinnsolve.reference.result import Reference

x, t = symbols("x t")
u = ps.fields("u", x, t)
GRID = np.stack([m.ravel() for m in np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 2, 11), indexing="ij")], axis=1)
X, T = GRID.T


def reference(own: float = 0.0, **values: np.ndarray) -> Reference:
    own_errors: Mapping[str, float] = dict.fromkeys(values, own)
    return Reference("exact", GRID, values, (21, 11), lambda points: {}, own_errors, 0.0, (), "by hand")


def declared(equation: Any, **more: Any) -> ps.Problem:
    return ps.Problem(domain=ps.Box({x: (0, 1), t: (0, 2)}), equations={"equation": equation}, **more)


@pytest.fixture(scope="module")
def growth() -> ps.Problem:
    return declared(Eq(u.diff(t), u), conditions={"initial": Eq(u(x, 0), 1)})


def test_the_norms_are_those_of_the_definition(known: Callable[..., Any], growth: ps.Problem) -> None:
    solution = known(growth, lambda x, t: 2 + x - 0.25 * t)
    found = compare(solution, reference(u=2 + X))
    size = math.sqrt(np.mean((2 + X) ** 2))
    assert found["u"]["relative_l2"] == pytest.approx(math.sqrt(np.mean((0.25 * T) ** 2)) / size, rel=1e-13)
    assert found["u"]["max"] == pytest.approx(0.5, rel=1e-13)


def test_the_error_does_not_depend_on_units(known: Callable[..., Any], growth: ps.Problem) -> None:
    solutions = [known(growth, lambda x, t, k=k: k * (2 + x - 0.25 * t)) for k in (1.0, 1e6)]
    small, large = (compare(s, reference(u=k * (2 + X)))["u"] for s, k in zip(solutions, (1.0, 1e6), strict=True))
    assert small["relative_l2"] == pytest.approx(large["relative_l2"], rel=1e-12)


def test_the_error_of_a_zero_reference_is_absolute(known: Callable[..., Any], growth: ps.Problem) -> None:
    found = compare(known(growth, lambda x, t: 0.5 + 0 * x), reference(u=np.zeros(len(GRID))))
    assert found["u"]["relative_l2"] == pytest.approx(0.5) and found["u"]["max"] == pytest.approx(0.5)


def test_gaps_in_the_reference_are_left_out(known: Callable[..., Any], growth: ps.Problem) -> None:
    solution = known(growth, lambda x, t: x)
    truth = np.where(T < 1, X, np.nan)
    found = compare(solution, reference(u=truth))["u"]
    assert found["relative_l2"] == found["max"] == 0.0


def test_a_field_that_the_reference_lacks_has_no_error(known: Callable[..., Any], growth: ps.Problem) -> None:
    assert compare(known(growth, lambda x, t: x), reference(w=X)) == {}


def test_a_field_fixed_up_to_a_constant_is_compared_without_its_mean(known: Callable[..., Any]) -> None:
    p = ps.fields("p", x, t)
    box = ps.Box({x: (0, 1), t: (0, 2)})
    normal = ps.grad(p, x, t).dot(box.normal)
    problem = ps.Problem(
        domain=box,
        equations={"laplace": Eq(ps.laplacian(p, x, t), 0)},
        conditions={"walls": ps.on(box.boundary, Eq(normal, 0))},
    )
    assert problem.gauges == {"p": ()}
    found = compare(known(problem, lambda x, t: 7 + x + t), reference(p=X + T - 3))
    assert found["p"]["relative_l2"] < 1e-14
    off = compare(known(problem, lambda x, t: 7 + x + 1.5 * t), reference(p=X + T))
    assert off["p"]["max"] == pytest.approx(0.5, rel=1e-12)  # 0.5 (t - 1) is largest at the ends


def test_a_field_fixed_up_to_a_function_of_time_is_compared_without_its_mean_at_each_time(
    known: Callable[..., Any], growth: ps.Problem
) -> None:
    free = known(growth, lambda x, t: x * t + torch.sin(5 * t))
    object.__setattr__(free, "problem", _with_gauges(growth, {"u": (t,)}))
    assert compare(free, reference(u=X * T))["u"]["max"] < 1e-14
    assert compare(free, reference(u=X * T + X))["u"]["max"] == pytest.approx(0.5, rel=1e-12)


def _with_gauges(problem: ps.Problem, gauges: Any) -> ps.Problem:
    twin = object.__new__(ps.Problem)
    for f in dataclasses.fields(ps.Problem):
        object.__setattr__(twin, f.name, getattr(problem, f.name))
    object.__setattr__(twin, "gauges", gauges)
    return twin


def test_the_place_of_the_greatest_error_lies_in_the_region(known: Callable[..., Any]) -> None:
    y = symbols("y")
    w = ps.fields("w", x, y)
    disk = ps.Disk({x: 0, y: 0}, radius=1)
    plate = ps.Polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], coordinates=(x, y))
    for domain, wrong, size in (
        (disk, lambda x, y: x**2 + y**2, 1.0),
        (plate, lambda x, y: torch.exp(4 * (x - y)), math.exp(4)),  # at (1, 0) and (0, -1); in the notch it grows on
    ):
        problem = ps.Problem(
            domain=domain, equations=Eq(ps.laplacian(w, x, y), 0), conditions=ps.on(domain.boundary, Eq(w, x))
        )
        solution = known(problem, lambda x, y, wrong=wrong: x + wrong(x, y))
        found = compare(solution, exact_reference(problem, ps.Exact({w: x}), unknowns={}))["w"]
        place = np.array([list(found["max_at"].values())])
        assert list(found["max_at"]) == ["x", "y"] and domain.contains(place).all()
        assert found["max"] == pytest.approx(size, rel=0.1)
        assert found["max"] == pytest.approx(float(wrong(*torch.as_tensor(place[0]))), rel=1e-9)


@pytest.fixture(scope="module")
def schroedinger() -> ps.Problem:
    h = ps.fields("h", x, t)
    return declared(
        Eq(I * h.diff(t) + h.diff(x, 2), 0),
        conditions={"initial": Eq(h(x, 0), 1), "left": Eq(h(0, t), 1), "right": Eq(h(1, t), 1)},
    )


def test_a_complex_field_has_one_error_by_modulus(known: Callable[..., Any], schroedinger: ps.Problem) -> None:
    solution = known(schroedinger, lambda x, t: x, lambda x, t: 4 + t)
    found = compare(solution, reference(h_re=X - 3, h_im=T))
    assert set(found) == {"h"} and found["h"]["max"] == pytest.approx(5.0)
    size = math.sqrt(np.mean((X - 3) ** 2 + T**2))
    assert found["h"]["relative_l2"] == pytest.approx(5.0 / size)


def test_a_complex_field_fixed_up_to_a_constant_is_compared_without_its_mean(
    known: Callable[..., Any], schroedinger: ps.Problem
) -> None:
    solution = known(schroedinger, lambda x, t: x + 3, lambda x, t: t - 4)
    for gauge in ((), (t,)):
        gauges = {"h_re": gauge, "h_im": gauge}
        object.__setattr__(solution, "problem", _with_gauges(schroedinger, gauges))
        assert compare(solution, reference(h_re=X, h_im=T))["h"]["max"] < 1e-14


def test_the_references_own_error_is_its_worst_and_unknown_if_nothing_is_known(
    known: Callable[..., Any], growth: ps.Problem
) -> None:
    solution = known(growth, lambda x, t: x)
    assert estimate(solution, reference(own=1e-4, u=X)) == 1e-4
    assert math.isnan(estimate(solution, reference(own=math.nan, u=X)))
    assert math.isnan(estimate(solution, reference(w=X)))


def test_a_thinned_reference_still_sees_every_column_and_row() -> None:
    full = reference(u=X)
    for count in (7, 40, 100, 10_000):
        thin = thinned(full, count)
        assert len(thin.points) == len(thin.values["u"]) <= max(len(GRID), 1)
        assert thin.shape is None
    thin = thinned(full, 60)
    assert 40 <= len(thin.points) <= 80
    assert set(thin.points[:, 0]) == set(X) and set(thin.points[:, 1]) == set(T)
    np.testing.assert_array_equal(thin.values["u"], thin.points[:, 0])


def test_a_thinned_reference_sees_every_column_of_a_grid_with_odd_sides() -> None:
    sides = np.linspace(0, 1, 33), np.linspace(0, 2, 39)
    points = np.stack([m.ravel() for m in np.meshgrid(*sides, indexing="ij")], axis=1)
    full = dataclasses.replace(reference(u=points[:, 0]), points=points, shape=(33, 39))
    thin = thinned(full, 100)  # a step of 13 would meet three columns only
    assert set(thin.points[:, 1]) == set(sides[1]) and set(thin.points[:, 0]) == set(sides[0])


def test_a_reference_that_is_nowhere_finite_gives_errors_that_are_not_numbers(
    known: Callable[..., Any], growth: ps.Problem
) -> None:
    found = compare(known(growth, lambda x, t: x), reference(u=np.full(len(GRID), np.nan)))
    assert math.isnan(found["u"]["relative_l2"]) and math.isnan(found["u"]["max"]) and found["u"]["max_at"] == {}


def test_the_place_of_the_greatest_error_is_told(known: Callable[..., Any], growth: ps.Problem) -> None:
    bump = known(growth, lambda x, t: 2 + torch.exp(-30 * ((x - 0.25) ** 2 + (t - 1.6) ** 2)))
    found = compare(bump, reference(u=2 + 0 * X))["u"]
    assert found["max_at"] == {"x": pytest.approx(0.25), "t": pytest.approx(1.6)} and found["max"] == pytest.approx(1.0)
    hidden = np.where((abs(X - 0.25) < 0.01) & (abs(T - 1.6) < 0.01), np.nan, 2.0)
    assert compare(bump, reference(u=hidden))["u"]["max_at"] != found["max_at"]  # the reference knows nothing there


@pytest.mark.parametrize(
    ("error", "own", "estimated", "said"),
    [
        (1e-6, 1e-5, math.nan, "at or below the reference's own error"),
        (1e-5, 1e-5, math.nan, "at or below the reference's own error"),
        (2.5e-5, 1e-5, math.nan, "comparable with the reference's own error, 2.5 times it"),
        (4e-4, 1e-5, math.nan, "worse than the reference's own error, 40 times it"),
        (4.0, 1e-5, math.nan, "worse than the reference's own error, 4.0e+05 times it"),
        (1.5e-5, 1e-5, 1e-8, "better than the reference, by the estimate from the defect"),
        (4e-4, 1e-5, 4e-4, "worse than the reference's own error, 40 times it"),
        (4e-4, 0.0, 4e-4, "against a closed form"),
        (4e-4, math.nan, math.nan, "the reference's own error is unknown"),
        (math.nan, 1e-5, math.nan, "the error is unknown"),
        (4e-4, 0.0, 1e-6, "against a closed form; the defect estimates 1.0e-06: another solution, or a mistake in one"),
        (4e-4, 1e-5, 1e-6, "worse than the reference's own error, 40 times it; the defect estimates 1.0e-06: another"),
    ],
)
def test_the_verdict_is_in_words(error: float, own: float, estimated: float, said: str) -> None:
    found = verdict(error, own, estimated=estimated)
    assert found == said or (";" in said and found.startswith(said))
