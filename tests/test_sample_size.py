"""Sample size: few points first, all of them later, and more where the held-out loss has stopped falling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from sympy import Eq, exp, symbols
from torch import Tensor

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.draws import Draws
from pinnsolve.points import TermPoints
from pinnsolve.sample_size import Growing, SampleSize
from pinnsolve.training.progress import Progress

x, t = symbols("x t")
u, v, w = ps.fields("u v w", x, t)

PROBLEM = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"one": Eq(u.diff(t), v), "other": Eq(v.diff(t), -u), "few": Eq(u + v, w)},
    conditions={"initial": [Eq(u(x, 0), exp(-(x**2))), Eq(v(x, 0), 0)]},
)
COUNTS = {"one": 500, "other": 500, "few": 120, "initial[0]": 40, "initial[1]": 40}
GROWING = Growing(("one", "other", "few"), beginning=30)


def told(step: int, held_out: float) -> Progress:
    return Progress("levenberg_marquardt", step, 99, 1.0, {}, held_out, 0.0, step, 1.0, 1.0)


def shares(losses: list[float], *, growing: bool = True) -> list[float]:
    size, found = SampleSize(GROWING), list[float]()
    for step, loss in enumerate(losses):
        size.update(step, growing=growing)
        found.append(size.share)
        size.observe(told(step + 1, loss))
    return found


def test_a_training_begins_with_few_points_and_goes_on_with_all_while_its_loss_falls() -> None:
    found = shares([1 / (1 + step) for step in range(300)])
    assert found == [0.4] * 30 + [1.0] * 270


def test_samples_grow_while_the_loss_does_not_fall_and_stay_where_it_falls_again() -> None:
    found = shares([1.0] * 340 + [0.99**step for step in range(1, 400)])
    assert found[30:] == [1.0] * 150 + [1.5] * 150 + [2.25] * 409
    assert max(shares([1.0] * 2_000)) == 4.0 == shares([1.0] * 800)[-1]
    assert max(shares([float("nan")] * 800)) == 1.0


def test_a_loss_that_scatters_about_its_fall_is_seen_to_fall() -> None:
    noise = np.random.default_rng(0).normal(0, 0.7, 1_000)
    falling = [float(np.exp(-0.006 * step + noise[step])) for step in range(1_000)]
    assert set(shares(falling)) == {0.4, 1.0}
    assert max(shares([float(np.exp(noise[step])) for step in range(1_000)])) > 3


def test_samples_do_not_grow_where_a_training_was_begun_again() -> None:
    assert shares([1.0] * 800, growing=False)[-1] == 1.0


def draws() -> Draws:
    compiled = compile_problem(PROBLEM)
    trial = build_trial(PROBLEM, ps.MLP(width=4, depth=1), seed=0, dtype=torch.float64, device="cpu")
    points = TermPoints(compiled, COUNTS, "sobol", 0, torch.device("cpu"))
    return Draws(points, trial, None, None, None, SampleSize(GROWING))


def counted(points: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: len(rows) for name, rows in points.items()}


def test_equations_alone_change_their_points_and_go_on_sharing_them() -> None:
    drawn = draws()
    first, (observe,) = drawn.first(), drawn.observers
    assert counted(first) == {**COUNTS, "one": 200, "other": 200, "few": 100}
    assert first["one"] is first["other"]
    whole = drawn.redraw(30)
    assert counted(whole) == COUNTS and whole["one"] is whole["other"]
    for step in range(31, 181):
        observe(told(step, 1.0))
    larger = drawn.redraw(180)
    assert counted(larger) == {**COUNTS, "one": 750, "other": 750, "few": 180}


def test_a_size_is_gone_on_with() -> None:
    drawn, again = draws(), draws()
    drawn.first()
    drawn.redraw(50)
    for step in range(51, 191):
        drawn.observers[0](told(step, 1.0))
    drawn.redraw(190)
    again.load(drawn.state())
    for step in range(191, 202):
        for each in (drawn, again):
            each.observers[0](told(step, 1.0))
        assert torch.equal(again.redraw(step)["one"], drawn.redraw(step)["one"])
    assert len(again.current["one"]) == 750
    state = drawn.state()
    with pytest.raises(ValueError, match="750 points of one, of which 500"):
        draws().load({**state, "size": {**state["size"], "share": 1.0}})
    with pytest.raises(ValueError, match="a sample of"):
        draws().load({**state, "size": {**state["size"], "share": -1.0}})
