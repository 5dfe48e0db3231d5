"""Exports: what other runtimes compute from a written solution is what the solution computes, to rounding."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sympy import Eq, I, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.compiler.trial import build_trial
from pinnsolve.exporting import WRITERS, ExportError
from pinnsolve.solution import Solution
from pinnsolve.verbs import FORMS
from pinnsolve.windows import in_windows

x, t = symbols("x t")
u = ps.fields("u", x, t)
v, w = ps.fields("v w", t)
h = ps.fields("h", x, t)
PLACES = {"x": np.random.default_rng(0).uniform(-1, 1, 40), "t": np.random.default_rng(1).uniform(0, 1, 40)}


def untrained(problem: ps.Problem, network: Any) -> Solution:
    trial = build_trial(problem, network, seed=0, dtype=torch.float64, device="cpu")
    return Solution(problem, trial, network, {"status": "done", "message": "untrained", "errors": {}})


def burgers() -> Solution:
    """With conditions built in, whose coefficients are no numbers of single precision."""
    problem = ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": Eq(u.diff(t) + u * u.diff(x), 0.1 / pi * u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), -0.1 * sin(pi * x)), "left": Eq(u(-1, t), 0), "right": Eq(u(1, t), 0)},
        hard=True,
    )
    return untrained(problem, ps.MLP(width=6, depth=2))


def windowed() -> Solution:
    """Two fields of one coordinate in three windows, by sines."""
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"v": Eq(v.diff(t), w), "w": Eq(w.diff(t), -v)},
        conditions={"start": [Eq(v(0), 1), Eq(w(0), 0)]},
    )
    network = in_windows(problem, ps.MLP(width=4, depth=1, activation="sine"), {t: 3})
    return untrained(problem, network)


def waves() -> Solution:
    """A complex field, periodic in x, with a field of fewer coordinates beside it."""
    problem = ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"h": I * h.diff(t) + h.diff(x, 2) + v * h, "v": Eq(v.diff(t), -v)},
        conditions={
            "initial": Eq(h(x, 0), exp(I * pi * x)),
            "periodic": [Eq(h(-1, t), h(1, t)), Eq(h.diff(x).subs(x, -1), h.diff(x).subs(x, 1))],
            "start": Eq(v(0), 1),
        },
        hard=True,
    )
    return untrained(problem, ps.ResNet(width=4, blocks=1))


def by_torch(path: Path, points: np.ndarray) -> list[np.ndarray]:
    return [part.detach().numpy() for part in torch.export.load(path).module()(torch.as_tensor(points))]


def by_onnx(path: Path, points: np.ndarray) -> list[np.ndarray]:
    return list(onnxruntime.InferenceSession(str(path)).run(None, {"points": points}))


def by_numpy(path: Path, points: np.ndarray) -> list[np.ndarray]:
    assert "torch" not in path.read_text() and "sympy" not in path.read_text()
    return list(runpy.run_path(str(path))["fields"](points))


RUNTIMES: dict[str, Callable[[Path, np.ndarray], list[np.ndarray]]] = {"pt2": by_torch, "onnx": by_onnx, "py": by_numpy}


@pytest.mark.filterwarnings("default")  # those of torch's exporters
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (burgers, "pt2"),
        (burgers, "onnx"),
        (burgers, "py"),
        pytest.param(windowed, "py", marks=pytest.mark.thorough),
        *(
            pytest.param(make, kind, marks=pytest.mark.slow)
            for make, kind in ((windowed, "pt2"), (windowed, "onnx"), (waves, "pt2"), (waves, "onnx"), (waves, "py"))
        ),
    ],
)
def test_another_runtime_agrees_to_rounding(make: Callable[[], Solution], kind: str, tmp_path: Path) -> None:
    solution = make()
    problem = solution.problem
    given = {c.name: PLACES[c.name] for c in problem.coordinates}
    points = np.stack(list(given.values()), axis=1)
    values, slopes = RUNTIMES[kind](solution.export(tmp_path / f"solution.{kind}"), points)
    assert values.shape == (40, len(problem.fields)) and slopes.shape == (*values.shape, len(problem.coordinates))
    for k, field in enumerate(problem.fields):
        for c, coordinate in enumerate(problem.coordinates):
            slope = solution.evaluate(field.diff(coordinate), **given) if coordinate in field.args else 0.0
            np.testing.assert_allclose(slopes[:, k, c], slope, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(values[:, k], solution.evaluate(field, **given), rtol=1e-12, atol=1e-12)


def test_the_verb_writes_into_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windowed().save(tmp_path / "solution")
    for form in ("py",):
        assert main(["export", str(tmp_path), "--to", form]) == 0
        assert Path(capsys.readouterr().out.strip()) == tmp_path / f"solution.{form}"
    assert main(["export", str(tmp_path), "--to", "doc"]) == 2
    assert main(["export", str(tmp_path), "--to", "py", "-o", str(tmp_path / "solution.onnx")]) == 2


def test_a_form_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    assert set(WRITERS) < set(FORMS)
    with pytest.raises(ExportError, match=r"solution.csv · no such form of a program · write one of pt2, onnx, py"):
        windowed().export(tmp_path / "solution.csv")


def test_large_networks_are_not_written_as_text(tmp_path: Path) -> None:
    problem = windowed().problem
    with pytest.raises(ExportError, match="weights, more than"):
        untrained(problem, ps.MLP(width=150, depth=2)).export(tmp_path / "solution.py")
