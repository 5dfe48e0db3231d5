"""Acceleration: the faster way is chosen by a short trial, a compiled step where it repays itself, and failures cost nothing."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
import torch
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps
from pinnsolve import acceleration
from pinnsolve.acceleration import accelerate
from pinnsolve.compiler.compile import CompiledProblem, compile_problem
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.points import TermPoints
from pinnsolve.training.objective import Objective

x, t = symbols("x t")
u = ps.fields("u", x, t)
PROBLEM = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
    conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(-1, t), 0), "right": Eq(u(1, t), 0)},
)

Setting = tuple[Objective, CompiledProblem, Trial]


@pytest.fixture
def setting() -> Setting:
    compiled = compile_problem(PROBLEM)
    trial = build_trial(PROBLEM, ps.MLP(width=8, depth=2), seed=0, dtype=torch.float64, device="cpu")
    counts = {"heat": 64, "initial": 16, "left": 8, "right": 8}
    points = TermPoints(compiled, counts, "sobol", 0, torch.device("cpu")).training()
    return Objective(trial, partial(compiled.residuals, trial), points, chunk=10_000), compiled, trial


def timed(plain: float, nested: float, compiled: float = 0.1) -> Any:
    """Stand-ins for the clock: seconds of a gradient in each way."""

    def trial(*_: Any) -> dict[str, float]:
        return {"plain": plain, "nested": nested}

    return trial, lambda *_, **__: compiled


@pytest.mark.parametrize(("nested", "engine"), [(2.0, "plain"), (0.95, "plain"), (0.5, "nested")])
def test_the_faster_way_is_taken_and_a_tie_falls_to_jets(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, nested: float, engine: str
) -> None:
    objective, compiled, trial = setting
    before = objective.evaluate()
    monkeypatch.setattr(acceleration, "_trial", timed(1.0, nested)[0])
    found = accelerate(objective, compiled, trial, mode="auto", evaluations=20_000, seconds=25.0)
    assert found.engine == engine
    torch.testing.assert_close(objective.evaluate().gradient, before.gradient, rtol=1e-10, atol=1e-12)


def test_a_step_is_compiled_only_where_that_repays_itself(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, compiled, trial = setting
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    choose = partial(accelerate, objective, compiled, trial, mode="auto")
    for seconds, evaluations, limit, expected in [
        (0.01, 20_000, None, "compiled"),
        (0.001, 20_000, None, "plain"),
        (0.1, 100_000, 30.0, "plain"),
    ]:
        trial_times, clock = timed(seconds, 1.0, compiled=0.005)
        monkeypatch.setattr(acceleration, "_trial", trial_times)
        monkeypatch.setattr(acceleration, "_seconds", clock)
        assert choose(evaluations=evaluations, seconds=limit).engine == expected


def test_a_compiled_step_that_is_slower_is_not_used(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, compiled, trial = setting
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    trial_times, clock = timed(0.1, 1.0, compiled=0.3)
    monkeypatch.setattr(acceleration, "_trial", trial_times)
    monkeypatch.setattr(acceleration, "_seconds", clock)
    assert accelerate(objective, compiled, trial, mode="auto", evaluations=20_000).engine == "plain"
    assert objective.chunk == 10_000


def test_without_a_compiler_a_run_that_asked_for_one_goes_on_with_a_warning(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, compiled, trial = setting

    def broken(graph: Any, **_: Any) -> Any:
        raise RuntimeError("g++ not found")

    monkeypatch.setattr(torch, "compile", broken)
    before = objective.evaluate()
    with pytest.warns(UserWarning, match="not compiled: RuntimeError: g\\+\\+ not found"):
        found = accelerate(objective, compiled, trial, mode="on", evaluations=5)
    assert found.engine in ("plain", "nested")
    torch.testing.assert_close(objective.evaluate().gradient, before.gradient, rtol=1e-10, atol=1e-12)


def test_off_tries_nothing(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, compiled, trial = setting
    monkeypatch.setattr(acceleration, "_trial", None)
    assert accelerate(objective, compiled, trial, mode="off", evaluations=10**9).engine == "plain"


def test_a_short_run_does_not_spend_its_time_on_a_trial(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, compiled, trial = setting
    monkeypatch.setattr(acceleration, "_trial", None)
    found = accelerate(objective, compiled, trial, mode="auto", evaluations=10**6, seconds=5.0)
    assert found.engine == "plain" and "5 s" in found.reason


def test_a_run_of_little_work_is_not_decided_by_the_clock(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, compiled, trial = setting
    monkeypatch.setattr(acceleration, "_trial", None)
    found = accelerate(objective, compiled, trial, mode="auto", evaluations=100)
    assert found.engine == "plain" and "100 gradients at 88 points" in found.reason


def test_the_trial_takes_less_than_two_seconds_however_many_points_there_are() -> None:
    compiled = compile_problem(PROBLEM)
    trial = build_trial(PROBLEM, ps.MLP(width=32, depth=3), seed=0, dtype=torch.float64, device="cpu")
    counts = {"heat": 200_000, "initial": 100, "left": 100, "right": 100}
    points = TermPoints(compiled, counts, "uniform", 0, torch.device("cpu")).training()
    objective = Objective(trial, partial(compiled.residuals, trial), points, chunk=20_000)
    start = time.perf_counter()
    found = accelerate(objective, compiled, trial, mode="auto", evaluations=6)
    assert time.perf_counter() - start < 2.0
    assert "ms a gradient" in found.reason or "s a gradient" in found.reason


def test_a_solve_says_how_gradients_were_found_and_refuses_other_words() -> None:
    told: list[str] = []
    training = ps.Training(points={"heat": 50}, phases=[ps.Adam(steps=3)])
    solution = ps.solve(PROBLEM, ps.MLP(width=6, depth=1), training, plots=False, compile="off", notify=told.append)
    assert any(line.startswith("gradients: plain (nothing is tried") for line in told)
    assert solution.record["choices"][-1]["what"] == "gradients"
    with pytest.raises(ps.ProblemError, match=r"compile.*auto, on, off"):
        ps.solve(PROBLEM, compile="maybe")
