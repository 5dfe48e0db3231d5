"""Sample size: few points first, all of them later, and more where the held-out loss has stopped falling."""

from __future__ import annotations

from collections.abc import Mapping

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


def shares(losses: list[float], *, growing: bool = True, lines: list[str] | None = None) -> list[float]:
    size, found = SampleSize(GROWING, lines.append if lines is not None else len), list[float]()
    for step, loss in enumerate(losses):
        size.update(step, growing=growing)
        found.append(size.share)
        size.observe(told(step + 1, loss))
    return found


def test_a_training_begins_with_few_points_and_goes_on_with_all_while_its_loss_falls() -> None:
    found = shares([1 / (1 + step) for step in range(300)])
    assert found == [0.4] * 30 + [1.0] * 270


def test_the_user_is_told_when_samples_grow_and_why() -> None:
    lines = list[str]()
    shares([1.0] * 400, lines=lines)
    assert lines == [
        "step 30: all points of the equations from now on, 2.5 times those of the first steps",
        "step 70: 1.5 times the points, as 40 steps did not lower the held-out loss",
        "step 110: 2.25 times the points, as 40 steps did not lower the held-out loss",
        "step 150: 3.38 times the points, as 40 steps did not lower the held-out loss",
        "step 190: 4 times the points, as 40 steps did not lower the held-out loss",
    ]


def test_samples_grow_while_the_loss_does_not_fall_and_stay_where_it_falls_again() -> None:
    found = shares([1.0] * 120 + [0.5**step for step in range(1, 100)])
    assert (
        found[30:70] == [1.0] * 40
        and found[70:110] == [1.5] * 40
        and found[110:121] == [2.25] * 11
        and found[121:] == [2.25] * 98
    )
    assert shares([1.0] * 300)[-1] == 4.0 and max(shares([1.0] * 900)) == 4.0
    assert max(shares([float("nan")] * 300)) == 4.0


def test_samples_do_not_grow_where_a_training_was_begun_again() -> None:
    assert shares([1.0] * 300, growing=False)[-1] == 1.0


def draws() -> Draws:
    compiled = compile_problem(PROBLEM)
    trial = build_trial(PROBLEM, ps.MLP(width=4, depth=1), seed=0, dtype=torch.float64, device="cpu")
    points = TermPoints(compiled, COUNTS, "sobol", 0, torch.device("cpu"))
    return Draws(points, trial, None, None, None, SampleSize(GROWING, len))


def counted(points: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: len(rows) for name, rows in points.items()}


def test_equations_alone_change_their_points_and_go_on_sharing_them() -> None:
    drawn = draws()
    first, (observe,) = drawn.first(), drawn.observers
    assert counted(first) == {**COUNTS, "one": 200, "other": 200, "few": 100}
    assert first["one"] is first["other"]
    whole = drawn.redraw(30)
    assert counted(whole) == COUNTS and whole["one"] is whole["other"]
    observe(told(31, 1.0))
    larger = drawn.redraw(80)
    assert counted(larger) == {**COUNTS, "one": 750, "other": 750, "few": 180}


def test_a_size_is_gone_on_with() -> None:
    drawn, again = draws(), draws()
    drawn.first()
    drawn.observers[0](told(1, 0.25))
    drawn.redraw(50)
    drawn.redraw(90)
    again.load(drawn.state())
    assert len(again.current["one"]) == 750
    for number in (91, 130):
        assert torch.equal(again.redraw(number)["one"], drawn.redraw(number)["one"])
    state = drawn.state()
    with pytest.raises(ValueError, match="1125 points of one, of which 500"):
        draws().load({**state, "size": {**state["size"], "share": 1.0}})
    with pytest.raises(ValueError, match="a sample of"):
        draws().load({**state, "size": {**state["size"], "share": -1.0}})
