"""Stagnation: what counts as stuck, what then begins again, and that it finds what training at once does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, cos, sin, symbols

import pinnsolve as ps
from pinnsolve import stagnation
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.fitting import Limits
from pinnsolve.networks import MLP, Windows
from pinnsolve.stagnation import CausalOnceStuck, Stagnation
from pinnsolve.training.objective import Objective
from pinnsolve.training.weighting import Place

x, t = symbols("x t")


def predators_and_prey(end: float = 10) -> ps.Problem:
    a, b = ps.fields("a b", t)
    return ps.Problem(
        domain=ps.Interval(t, 0, end),
        equations={"prey": Eq(a.diff(t), a * (1 - b)), "predators": Eq(b.diff(t), b * (a - 1))},
        conditions=[Eq(a(0), 2), Eq(b(0), 1)],
    )


def blasius() -> ps.Problem:
    f = ps.fields("f", x)
    slope = f.diff(x)
    return ps.Problem(
        domain=ps.Interval(x, 0, 8),
        equations={"blasius": 2 * f.diff(x, 3) + f * f.diff(x, 2)},
        conditions=[Eq(f(0), 0), Eq(slope.subs(x, 0), 0), Eq(slope.subs(x, 8), 1)],
    )


def burgers() -> ps.Problem:
    u = ps.fields("u", x, t)
    return ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": u.diff(t) + u * u.diff(x) - u.diff(x, 2) / 100},
        conditions=[Eq(u(x, 0), 1 - x**2), Eq(u(-1, t), 0), Eq(u(1, t), 0)],
    )


def pendulum() -> ps.Problem:
    u = ps.fields("u", t)
    return ps.Problem(
        domain=ps.Interval(t, 0, 10),
        equations={"pendulum": Eq(u.diff(t, 2) + 9.81 * sin(u), 0)},
        conditions=[Eq(u(0), 2.5), Eq(u.diff(t).subs(t, 0), 0)],
    )


def van_der_pol() -> ps.Problem:
    u = ps.fields("u", t)
    return ps.Problem(
        domain=ps.Interval(t, 0, 20),
        equations={"oscillator": Eq(u.diff(t, 2) - 2 * (1 - u**2) * u.diff(t) + u, 0)},
        conditions=[Eq(u(0), 2), Eq(u.diff(t).subs(t, 0), 0)],
    )


class Watched:
    """A stagnation of u' = -u with u(0) = 0, whose trial can be made to have residuals of any size."""

    def __init__(self) -> None:
        u = ps.fields("u", t)
        problem = ps.Problem(
            domain=ps.Interval(t, 0, 1), equations={"decay": u.diff(t) + u}, conditions={"start": Eq(u(0), 0)}
        )
        self.compiled = compile_problem(problem)
        self.trial = build_trial(problem, MLP(width=4, depth=1), seed=0, dtype=torch.float64, device="cpu")
        self.told: list[str] = []
        self.stagnation = Stagnation(self.compiled, self.trial, self.told.append)
        self.points = {"decay": torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]}

    def draw(self, factor: float) -> None:
        """Make the network's output so many times as large, and draw points."""
        with torch.no_grad():
            for parameter in list(self.trial.network.parameters())[-2:]:
                parameter.mul_(factor)
        self.stagnation.watch(self.points)


def test_a_residual_that_stays_large_is_stuck_after_fifty_draws_and_the_trial_is_back_at_its_start() -> None:
    watched = Watched()
    start = {name: tensor.clone() for name, tensor in watched.trial.state_dict().items()}
    watched.draw(1.0)
    watched.draw(0.8)
    for _ in range(49):
        assert watched.stagnation.stuck_at is None
        watched.draw(1.0)
    size = float(watched.compiled.residuals(watched.trial, watched.points)["decay"].detach().square().mean().sqrt())
    assert watched.stagnation.stuck_at is not None
    assert watched.stagnation.stuck_at == pytest.approx(0.8 * size, rel=1e-9)
    for name, tensor in watched.trial.state_dict().items():
        assert torch.equal(tensor, start[name])
    assert len(watched.told) == 1
    assert "beginning again" in watched.told[0]
    for _ in range(120):  # and never again
        watched.draw(1.0)
    assert len(watched.told) == 1


@pytest.mark.parametrize("factor", [0.99, 0.9])
def test_a_residual_that_falls_is_not_stuck(factor: float) -> None:
    watched = Watched()
    for _ in range(200):
        watched.draw(factor)
    assert watched.stagnation.stuck_at is None


def test_a_residual_that_is_small_is_solved_and_not_stuck() -> None:
    watched = Watched()
    watched.draw(1.0)
    watched.draw(0.01)
    for _ in range(200):
        watched.draw(1.0)
    assert watched.stagnation.stuck_at is None
    assert not watched.told


def test_weights_are_causal_only_once_training_is_stuck() -> None:
    watched = Watched()
    places = {"decay": Place("equation", {t: 0})}
    objective = Objective(
        watched.trial, lambda points: watched.compiled.residuals(watched.trial, points), watched.points
    )
    weighting = CausalOnceStuck(t, watched.stagnation)
    assert weighting.update(objective, places) is objective.weights
    watched.stagnation.stuck_at = 0.1
    weights = weighting.update(objective, places).points["decay"]
    assert bool((weights.diff() <= 0).all())
    assert float(weights[0]) > 2 * float(weights[-1])


def test_what_begins_again_follows_the_problem() -> None:
    cut, once = ps.Training(windows={t: 3}), ps.Training(windows={t: 1})
    for problem, training, causal, windows, marches in (
        (predators_and_prey(), None, None, 8, False),
        (predators_and_prey(), cut, t, 0, False),
        (predators_and_prey(), once, t, 0, False),
        (burgers(), None, t, 0, False),
        (blasius(), None, None, 0, True),
    ):
        plan = choose(compile_problem(problem), None, training)
        assert plan.causal == causal
        assert (plan.marching is not None) == marches
        assert "if training is stuck" in {choice.what for choice in plan.choices}
        again = plan.once_stuck
        assert (0 if again is None else len(again.network.edges) - 1) == windows
        assert again is None or (again.causal == t and again.once_stuck is None)
    u = ps.fields("u", x)
    linear = ps.Problem(
        domain=ps.Interval(x, 0, 1), equations=[u.diff(x, 2) + cos(x)], conditions=[Eq(u(0), 0), Eq(u(1), 0)]
    )
    decided = ps.Training(phases=[ps.LevenbergMarquardt(steps=5, resample=1)])
    never = ps.Training(pseudo_time=math.inf)
    weighed = ps.Training(weighting=ps.Causal(t))
    for problem, training in (
        (linear, None),
        (blasius(), decided),
        (blasius(), never),
        (predators_and_prey(), weighed),
    ):
        plan = choose(compile_problem(problem), None, training)
        assert plan.marching is None
        assert plan.causal is None
        assert plan.once_stuck is None


@pytest.mark.thorough
def test_what_is_stuck_begins_again_in_windows_and_stays_one_solution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinnsolve.windows.WINDOWS", 3)
    for name, value in (("_DRAWS", 3), ("_SLOW", 0.0), ("_OF_FIRST", 0.0), ("_OF_PARTS", 0.0)):
        monkeypatch.setattr(stagnation, name, value)
    monkeypatch.setattr("pinnsolve.phases._WINDOW_STEPS", 60)
    monkeypatch.setattr("pinnsolve.referee._FIRST_REPORT", 0.0)
    monkeypatch.setattr("pinnsolve.referee._WATCH_EVERY", 0.0)
    monkeypatch.setattr("pinnsolve.referee._WATCH_COST", math.inf)
    errors: list[float] = []
    solution = ps.solve(
        predators_and_prey(end=3),
        MLP(width=8, depth=2),
        compile="off",
        out=tmp_path / "run",
        watch=lambda found: errors.append(found["a"]),
    )
    assert errors[-1] < 1e-2 * errors[0]
    assert solution.errors["a"]["relative_l2"] < 1e-3
    assert isinstance(solution.network_spec, Windows)
    names = [phase["name"] for phase in solution.record["phases"]]
    assert names[-1].endswith("in window 3")
    assert not names[0].endswith("in window 1"), "what was stuck is part of the record"
    steps = [progress.step for progress in solution.history]
    assert steps == sorted(steps)
    times = np.linspace(0, 3, 7)
    np.testing.assert_array_equal(ps.load(tmp_path / "run")(t=times), solution(t=times))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("problem", [pendulum, van_der_pol])
def test_oscillations_that_are_missed_at_once_are_found_in_windows(problem: Any) -> None:
    at_once = ps.Training(weighting=None, windows={t: 1})
    missed = ps.solve(problem(), None, at_once, compile="off", limits=Limits(seconds=20))
    found = ps.solve(problem(), compile="off", limits=Limits(seconds=60))
    print(missed.errors["u"]["relative_l2"], found.errors["u"]["relative_l2"])
    assert missed.errors["u"]["relative_l2"] > 0.5
    assert found.errors["u"]["relative_l2"] < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("problem", [predators_and_prey, blasius])
def test_what_training_at_once_misses_is_found(problem: Any, seed: int) -> None:
    found = ps.solve(problem(), compile="off", seed=seed, limits=Limits(seconds=30))
    assert max(error["relative_l2"] for error in found.errors.values()) < 1e-5


@pytest.mark.thorough
def test_training_at_once_is_stuck_in_blasius_equation_and_the_march_is_not() -> None:
    network = MLP(width=10, depth=2, activation="sine")
    at_once = ps.Training(
        points={"blasius": 100},
        phases=[ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=60, resample=1)],
        pseudo_time=math.inf,
    )
    stuck = ps.solve(blasius(), network, at_once, compile="off")
    assert stuck.errors["f"]["relative_l2"] > 0.5
    told: list[str] = []
    found = ps.solve(
        blasius(),
        network,
        ps.Training(points={"blasius": 100}),
        compile="off",
        notify=told.append,
        limits=Limits(steps=350),
    )
    assert any("beginning again" in line for line in told)
    assert found.errors["f"]["relative_l2"] < 1e-5
