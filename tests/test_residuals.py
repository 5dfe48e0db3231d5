"""Held-out residuals: known fields have known ones, at points that no training draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.points import TermPoints, term_points
from pinnsolve.residuals import held_out_residuals

x, y, t = symbols("x y t")
u = ps.fields("u", x, t)
w = ps.fields("w", x, y)
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})


@pytest.fixture(scope="module")
def heat() -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), 0), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        data={"sensor": ps.Observations(at={x: [0.25, 0.5, 0.75], t: [1.0, 1.0, 1.5]}, values={u: [0.0, 0.0, 0.0]})},
        hard=False,
    )


def test_norms_and_places_are_those_of_the_residual(known: Callable[..., Any], heat: ps.Problem) -> None:
    found = held_out_residuals(known(heat, lambda x, t: x * t))  # u_t - u_xx = x
    assert list(found) == ["heat", "initial", "left", "right", "sensor"]
    assert found["heat"]["rms"] == pytest.approx(1 / math.sqrt(3), rel=1e-3)
    assert found["heat"]["max"] == pytest.approx(1, rel=1e-2) and found["heat"]["max_at"]["x"] > 0.99
    assert found["initial"]["rms"] == found["left"]["max"] == 0.0
    assert set(found["initial"]["max_at"]) == {"x"} and set(found["right"]["max_at"]) == {"t"}
    assert found["right"]["rms"] == pytest.approx(2 / math.sqrt(3), rel=1e-3)
    # Measured values are compared where they were measured.
    assert found["sensor"]["rms"] == pytest.approx(np.sqrt(np.mean(np.square([0.25, 0.5, 1.125]))), rel=1e-12)
    assert found["sensor"]["max"] == pytest.approx(1.125) and found["sensor"]["max_at"] == {"x": 0.75, "t": 1.5}


def test_normals_come_with_the_points_of_a_boundary(known: Callable[..., Any]) -> None:
    problem = ps.Problem(
        domain=SQUARE,
        equations={"laplace": Eq(ps.laplacian(w, x, y), 0)},
        conditions={"flux": ps.on(SQUARE.boundary, Eq(ps.grad(w, x, y).dot(SQUARE.normal) + w, 0))},
    )
    found = held_out_residuals(known(problem, lambda x, y: x))["flux"]  # -1 + 0, 1 + 1, x, x on the four faces
    assert found["rms"] == pytest.approx(math.sqrt((1 + 4 + 2 / 3) / 4), rel=1e-3)
    assert found["max"] == pytest.approx(2.0) and found["max_at"]["x"] == 1.0


def test_they_are_known_on_a_disk_and_on_sides_of_a_polygon(known: Callable[..., Any]) -> None:
    disk = ps.Disk({x: 0, y: 0}, radius=2)
    flux = Eq(ps.grad(w, x, y).dot(disk.normal), 0)
    problem = ps.Problem(
        domain=disk,
        equations={"poisson": Eq(ps.laplacian(w, x, y), x)},
        conditions={"rim": ps.on(disk.boundary, flux)},
        data={"gauge": ps.Observations(at={x: [0.5], y: [0.5]}, values={w: [0.5]})},
    )
    found = held_out_residuals(known(problem, lambda x, y: x))  # -x inside, x / 2 on the rim
    assert found["poisson"]["rms"] == pytest.approx(1, rel=2e-3)
    assert found["rim"]["rms"] == pytest.approx(math.sqrt(0.5), rel=1e-3)
    assert math.hypot(*found["rim"]["max_at"].values()) == pytest.approx(2)
    assert math.hypot(*found["poisson"]["max_at"].values()) <= 2 and abs(found["poisson"]["max_at"]["x"]) > 1.95
    triangle = ps.Polygon([(0, 0), (1, 0), (0, 1)], coordinates=(x, y))
    problem = ps.Problem(
        domain=triangle,
        equations={"laplace": Eq(ps.laplacian(w, x, y), 0)},
        conditions={
            "long": ps.on(triangle.side(1), Eq(ps.grad(w, x, y).dot(triangle.normal), 0)),
            "rest": ps.on(triangle.side(0) + triangle.side(2), Eq(w, 0)),
        },
    )
    found = held_out_residuals(known(problem, lambda x, y: x))  # 1 / sqrt(2) on the long side, x and 0 on the others
    assert found["long"]["rms"] == pytest.approx(math.sqrt(0.5)) and sum(found["long"]["max_at"].values()) == 1.0
    assert found["rest"]["rms"] == pytest.approx(math.sqrt(1 / 6), rel=1e-3) and found["rest"]["max_at"]["y"] == 0.0


def test_a_term_at_a_single_point_has_no_place(known: Callable[..., Any]) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    assert held_out_residuals(known(problem, lambda t: 3 + t))["start"] == {"rms": 2.0, "max": 2.0, "max_at": {}}


def test_a_field_that_is_not_finite_is_not_called_small(known: Callable[..., Any], heat: ps.Problem) -> None:
    found = held_out_residuals(known(heat, lambda x, t: x / (t - t)))
    assert not math.isfinite(found["heat"]["rms"]) and not math.isfinite(found["heat"]["max"])


def test_no_point_is_one_of_the_training_or_of_the_choice_of_the_best_state(
    known: Callable[..., Any], heat: ps.Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []

    def watched(*arguments: Any, **more: Any) -> np.ndarray:
        drawn.append(term_points(*arguments, **more))
        return drawn[-1]

    monkeypatch.setattr("pinnsolve.residuals.term_points", watched)
    solution = known(heat, lambda x, t: x * t)
    held_out_residuals(solution, seed=5)
    points = TermPoints(compile_problem(heat), {"heat": 2_048, "initial": 64}, "sobol", 5, torch.device("cpu"))
    fresh = {tuple(row) for row in drawn[0]}
    for trained in (points.training(), points.held_out(), points.redraw(solution.trial, 1)):
        assert not fresh & {tuple(row) for row in trained["heat"].tolist()}


def test_a_run_keeps_them(tmp_path: Path) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    training = ps.Training(points={"decay": 32}, phases=[ps.LevenbergMarquardt(steps=10)])
    solution = ps.solve(problem, ps.MLP(width=5, depth=1), training, seed=3, out=tmp_path / "run", plots=False)
    record = json.loads((tmp_path / "run" / "result.json").read_bytes())
    assert record["residuals"] == solution.residuals and solution.residuals["start"]["max"] == 0.0
    assert 0 < solution.residuals["decay"]["rms"] <= solution.residuals["decay"]["max"] < 1e-3
    assert held_out_residuals(ps.load(tmp_path / "run")) == solution.residuals
    place = solution.residuals["decay"]["max_at"]
    assert abs(solution.residual("decay", **place)) == pytest.approx(solution.residuals["decay"]["max"], rel=1e-12)
