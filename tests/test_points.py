"""Points of terms: where each holds, from one seed, shared where terms share a place, redrawn where residuals are large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, exp, symbols

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem, term_inputs
from pinnsolve.compiler.trial import Trial, Unknowns
from pinnsolve.points import TermPoints, term_points, term_region

x, y, t = symbols("x y t")
u, v = ps.fields("u v", x, t)


def placed(problem: ps.Problem, counts: Mapping[str, int], *, method: str = "sobol", seed: int = 0) -> TermPoints:
    return TermPoints(compile_problem(problem), counts, method, seed, torch.device("cpu"))


@pytest.fixture(scope="module")
def heat() -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (-1, 3), t: (0, 2)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={
            "initial": Eq(u(x, 0), exp(-(x**2))),
            "left": Eq(u.diff(x).subs(x, -1), 0),
            "right": Eq(u.diff(x).subs(x, 3), 0),
        },
        data={"sensors": ps.Observations(at={x: [0.5, 1.0, 2.5], t: [0.1, 1.0, 1.9]}, values={u: [1.0, 2.0, 3.0]})},
    )


COUNTS = {"heat": 64, "initial": 16, "left": 8, "right": 8}


def test_every_term_has_its_count_of_points_over_what_it_leaves_free(heat: ps.Problem) -> None:
    points = placed(heat, COUNTS).training()
    assert {name: tuple(tensor.shape) for name, tensor in points.items()} == {
        "heat": (64, 2),
        "initial": (16, 1),
        "left": (8, 1),
        "right": (8, 1),
        "sensors": (3, 3),
    }
    assert all(tensor.dtype == torch.float64 for tensor in points.values())
    low, high = points["heat"].min(0).values, points["heat"].max(0).values
    assert low[0] >= -1 and high[0] <= 3 and low[1] >= 0 and high[1] <= 2
    assert high[0] - low[0] > 3.5 and high[1] - low[1] > 1.75  # they fill the box
    assert points["initial"].max() > 2.5 and points["left"].max() <= 2


def test_measured_points_are_the_measured_ones(heat: ps.Problem) -> None:
    found = placed(heat, COUNTS).training()["sensors"]
    np.testing.assert_array_equal(found, [[0.5, 0.1, 1.0], [1.0, 1.0, 2.0], [2.5, 1.9, 3.0]])
    assert torch.equal(placed(heat, COUNTS).held_out()["sensors"], found)


def test_a_seed_gives_its_points_and_another_seed_others(heat: ps.Problem) -> None:
    first, again, other = (placed(heat, COUNTS, seed=seed).training() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in COUNTS)


def test_held_out_points_are_never_trained_on(heat: ps.Problem) -> None:
    points = placed(heat, COUNTS)
    trained = {tuple(p.tolist()) for p in points.training()["heat"]}
    held_out = points.held_out()["heat"]
    assert len(held_out) == 32
    assert not trained & {tuple(p.tolist()) for p in held_out}


def test_terms_at_one_place_share_their_points() -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"a": Eq(u.diff(t), v), "b": Eq(v.diff(t), u)},
        conditions={"u0": Eq(u(x, 0), 1), "v0": Eq(v(x, 0), 1)},
    )
    shared = placed(problem, {"a": 32, "b": 32, "u0": 8, "v0": 8}).training()
    assert shared["a"] is shared["b"] and shared["u0"] is shared["v0"] and shared["a"] is not shared["u0"]
    apart = placed(problem, {"a": 32, "b": 16, "u0": 8, "v0": 8}).training()
    assert apart["a"] is not apart["b"]


def test_terms_on_two_faces_do_not_share_points(heat: ps.Problem) -> None:
    box = ps.Box({x: (0, 1), y: (0, 1)})
    w = ps.fields("w", x, y)
    problem = ps.Problem(
        domain=box,
        equations=Eq(ps.laplacian(w, x, y), 0),
        conditions={
            "hot": ps.on(box.face(x, 0), Eq(w, 1)),
            "cold": ps.on(box.face(x, 1), Eq(w, 0)),
            "rest": ps.on(box.face(y, 0) + box.face(y, 1), Eq(ps.grad(w, x, y).dot(box.normal), 0)),
        },
    )
    points = placed(problem, {"equation": 16, "hot": 8, "cold": 8, "rest": 10}).training()
    assert points["hot"] is not points["cold"]
    assert (points["hot"][:, 0] == 0).all() and (points["cold"][:, 0] == 1).all()
    columns = dict(zip(map(str, term_inputs(problem.term("rest"), problem)), points["rest"].T, strict=True))
    assert set(columns) == {"x", "y", "n[x]", "n[y]"}
    np.testing.assert_array_equal(columns["n[x]"], np.zeros(10))
    np.testing.assert_array_equal(columns["n[y]"], 2 * columns["y"] - 1)


def test_a_face_lasts_as_long_as_the_coordinates_that_it_leaves_free() -> None:
    w = ps.fields("w", x, y, t)
    plate, time = ps.Box({x: (0, 1), y: (0, 2)}), ps.Interval(t, 0, 3)
    problem = ps.Problem(
        domain=plate * time,
        equations=Eq(w.diff(t), ps.laplacian(w, x, y)),
        conditions={"initial": Eq(w(x, y, 0), 0), "edge": ps.on(plate.boundary, Eq(w, 0))},
    )
    region = term_region(problem.term("edge"), problem)
    assert region is not None and region.coordinates == (x, y, t)
    points = term_points(problem.term("edge"), problem, 40)
    assert points.shape == (40, 3)
    assert plate.boundary.contains(points[:, :2]).all() and np.ptp(points[:, 2]) > 2.5


def test_an_equation_on_a_part_of_the_domain_is_evaluated_there() -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 4),
        equations={
            "early": ps.on(ps.Interval(t, 0, 1), Eq(q.diff(t), 1)),
            "late": ps.on(ps.Interval(t, 1, 4), Eq(q.diff(t), q(t - 1))),
        },
        conditions={"start": Eq(q(0), 0)},
    )
    points = placed(problem, {"early[0]": 32, "late[0]": 32, "early": 32, "late": 32}).training()
    early, late = (points[name] for name in points if name != "start")
    assert early.max() <= 1 and late.min() >= 1 and late.max() > 3.5


def test_a_term_at_a_single_point_has_one_point_without_coordinates(known_module: Callable[..., Any]) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"ode": Eq(q.diff(t), q)}, conditions={"one": Eq(q(0), 1)}
    )
    points = placed(problem, {"ode": 16})
    assert points.training()["one"].shape == (1, 0) and term_region(problem.term("one"), problem) is None
    assert points.redraw(trial(known_module, bump), 5)["one"].shape == (1, 0)


@pytest.mark.parametrize("method", ["sobol", "uniform", "latin", "grid"])
def test_every_way_of_sampling_stays_inside(heat: ps.Problem, method: str) -> None:
    points = placed(heat, COUNTS, method=method).training()["heat"]
    assert points.shape == (64, 2) and heat.domain.contains(points.numpy()).all()
    mean = points.mean(0)
    assert abs(mean[0] - 1) < 0.6 and abs(mean[1] - 1) < 0.3


def trial(known_module: Callable[..., Any], *functions: Callable[..., Any]) -> Trial:
    return Trial(known_module(*functions), Unknowns({}, dtype=torch.float64, device="cpu"))


def bump(x: Any, *others: Any) -> Any:
    """One bump at x = 2: the residuals of heat conduction are large there."""
    return torch.exp(-40 * (x - 2) * (x - 2))


def test_redrawing_goes_where_the_residual_is_large(heat: ps.Problem, known_module: Callable[..., Any]) -> None:
    points = placed(heat, COUNTS | {"heat": 512})
    before = points.training()
    found = points.redraw(trial(known_module, bump), 100)
    near = [float(((p["heat"][:, 0] - 2).abs() < 0.5).double().mean()) for p in (before, found)]
    assert near[0] == pytest.approx(0.25, abs=0.03) and near[1] > 0.4
    assert found["heat"].shape == before["heat"].shape and heat.domain.contains(found["heat"].numpy()).all()
    assert len(torch.unique(found["heat"], dim=0)) == 512
    assert not torch.equal(found["initial"], before["initial"])
    assert torch.equal(found["sensors"], before["sensors"])


def test_redraws_follow_from_seed_and_number(heat: ps.Problem, known_module: Callable[..., Any]) -> None:
    still = trial(known_module, bump)
    first, again, later = (placed(heat, COUNTS).redraw(still, number)["heat"] for number in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, later)


def test_equations_that_share_points_share_the_redrawn_ones(known_module: Callable[..., Any]) -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"a": Eq(u.diff(t), v), "b": Eq(v.diff(t), u)},
        conditions={"u0": Eq(u(x, 0), 1), "v0": Eq(v(x, 0), 1)},
    )

    points = placed(problem, {"a": 32, "b": 32, "u0": 8, "v0": 8})
    found = points.redraw(trial(known_module, lambda x, t: x, lambda x, t: t * x), 1)
    assert found["a"] is found["b"] and len(found["a"]) == 32
