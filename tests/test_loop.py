"""The training loop: limits, observers, redrawn points, hand-overs, recovery, and the state it ends in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.training.loop import Progress, train
from pinnsolve.training.objective import Objective, Points
from pinnsolve.training.optimizers import Adam, constant
from pinnsolve.training.phase import Expired, State, Step, never
from pinnsolve.training.quasi_newton import LBFGS
from pinnsolve.training.status import Status


class Line(nn.Module):
    """The line a x + b, fitted to the values of a function at points."""

    def __init__(self, target: Callable[[Tensor], Tensor], *, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.target = target
        self.coefficients = nn.Parameter(torch.tensor([5.0, -3.0], dtype=dtype))
        self.seen: list[torch.dtype] = []

    def residuals(self, points: Points) -> dict[str, Tensor]:
        x = points["x"]
        self.seen.append(x.dtype)
        return {"fit": self.coefficients[0] * x + self.coefficients[1] - self.target(x)}

    def objective(self, *points: float) -> Objective:
        return Objective(self, self.residuals, {"x": torch.tensor(points, dtype=torch.float64)})


@dataclass(frozen=True)
class Script:
    """A phase that walks through given parameter vectors and reports given losses: what the loop makes of them."""

    walk: tuple[tuple[float, float], ...]
    losses: tuple[float, ...] | None = None
    seconds: float = 0.0
    last: Status | None = None
    resample: int = 0
    dtype: str | None = None
    name: ClassVar[str] = "script"

    @property
    def steps(self) -> int:
        return len(self.walk)

    def start(self, objective: Objective) -> ScriptStepper:
        return ScriptStepper(self)


class ScriptStepper:
    def __init__(self, script: Script) -> None:
        self.script, self.made, self.log = script, 0, list[str]()

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        time.sleep(self.script.seconds)
        objective.vector = torch.tensor(self.script.walk[self.made]).to(objective.dtype)
        loss = self.script.losses[self.made] if self.script.losses else objective.value().loss
        self.made += 1
        return Step(loss, {}, 1, 1.0, self.script.last if self.made == self.script.steps else None)

    def restart(self, objective: Objective) -> None:
        self.log.append("restart")

    def damp(self, objective: Objective, factor: float) -> None:
        self.log.append(f"damp {factor}")

    def state(self) -> State:
        return {}

    def load(self, state: State) -> None:
        pass


def straight(x: Tensor) -> Tensor:
    return 2 * x + 1


@pytest.fixture
def line() -> Line:
    return Line(straight)


@pytest.fixture
def objective(line: Line) -> Objective:
    return line.objective(0.0, 0.25, 0.5, 1.0)


def test_phases_run_in_order_and_each_leaves_a_record(objective: Objective) -> None:
    result = train(objective, [Adam(30, 0.1), LBFGS(20), Adam(5)])
    adam, lbfgs, again = result.phases
    assert [record.name for record in result.phases] == ["adam", "lbfgs", "adam"]
    assert (adam.steps, adam.evaluations, adam.ended) == (30, 31, "steps")
    assert (lbfgs.ended, again.steps, again.ended) == ("converged", 5, "steps")
    assert adam.loss > lbfgs.loss
    assert lbfgs.loss < 1e-28
    assert result.status is Status.STEPS
    assert torch.allclose(objective.vector, torch.tensor([2.0, 1.0], dtype=torch.float64), rtol=1e-13)


def test_the_best_state_is_restored_and_is_the_one_with_the_lowest_loss(objective: Objective) -> None:
    walk = ((4.0, 1.0), (2.5, 1.0), (3.0, 0.0), (6.0, 6.0))
    result = train(objective, [Script(walk)])
    assert result.best_step == 2
    assert objective.vector.tolist() == [2.5, 1.0]
    assert objective.value().loss == result.best_loss


class Torn(nn.Module):
    """A number that is to be 0 by one term and 1 by another."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))

    def objective(self, weights: Mapping[str, float]) -> Objective:
        points = {name: torch.zeros(1, dtype=torch.float64) for name in ("zero", "one")}
        residuals = lambda _: {"zero": self.number, "one": self.number - 1}  # noqa: E731
        return Objective(self, residuals, points, weights=weights)


def test_the_weights_of_the_last_phase_decide_where_it_ends() -> None:
    """w a² + (a - 1)² is least at a = 1 / (1 + w); the first phase ends at w = 1, the last at w = 3."""
    torn = Torn()
    objective, held_out = torn.objective({}), torn.objective({})
    seen: list[float] = []
    result = train(
        objective,
        [LBFGS(20), LBFGS(20)],
        held_out=held_out,
        closing={"zero": 3.0},
        observers=[lambda progress: seen.append(torn.number.item())],
        check_every=1,
    )
    assert seen[result.phases[0].steps - 1] == pytest.approx(1 / 2, abs=1e-12)
    assert torn.number.item() == pytest.approx(1 / 4, abs=1e-12)
    assert result.best_loss == pytest.approx(3 / 4) and result.best_step > result.phases[0].steps
    assert objective.terms == held_out.terms == {"zero": 3.0, "one": 1.0}


def test_the_last_phase_begins_at_the_best_state_by_the_weights_before(objective: Objective) -> None:
    walk = ((4.0, 1.0), (2.5, 1.0), (6.0, 6.0))
    train(objective, [Script(walk), Script(((9.0, 9.0),))], closing={"fit": 2.0})
    assert objective.vector.tolist() == [2.5, 1.0]


def test_a_start_that_is_never_improved_on_is_kept(objective: Objective) -> None:
    objective.vector = torch.tensor([2.0, 1.5], dtype=torch.float64)
    result = train(objective, [Script(((9.0, 9.0), (8.0, 9.0)))])
    assert result.best_step == 0
    assert objective.vector.tolist() == [2.0, 1.5]


def test_the_held_out_loss_decides_against_an_over_fitted_state(line: Line) -> None:
    objective, held_out = line.objective(*([0.0] * 30)), line.objective(1.0, 2.0, 3.0)
    walk = ((2.1, 1.1), (1.9, 1.9), (7.0, 1.0))  # the last fits the one point of training exactly
    result = train(objective, [Script(walk)], held_out=held_out, check_every=1)
    assert result.best_step == 1
    assert objective.vector.tolist() == pytest.approx([2.1, 1.1])
    assert result.best_loss == pytest.approx(held_out.value().loss)
    assert result.history[0].held_out == result.best_loss


def test_held_out_losses_are_spaced_so_that_they_cost_a_twentieth(line: Line) -> None:
    objective, held_out = line.objective(0.0, 1.0), line.objective(*[0.1 * k for k in range(8)])
    walk = ((3.0, 1.0),) * 100
    result = train(objective, [Script(walk)], held_out=held_out, check_every=5)
    assert [progress.step for progress in result.history] == [40, 80, 100]


def test_the_precision_changes_at_the_hand_over() -> None:
    line = Line(lambda x: 2 * x + 1 / 3, dtype=torch.float32)
    objective, held_out = line.objective(0.1, 0.7), line.objective(0.2, 0.3)
    result = train(objective, [Adam(20, 0.1), LBFGS(50)], held_out=held_out, check_every=5)
    assert line.seen[0] == torch.float32
    assert line.seen[-1] == torch.float64
    assert line.seen == sorted(line.seen, key=str)
    assert held_out.points["x"].tolist() == [0.2, 0.3]
    assert result.best_loss < 1e-28


def test_points_are_redrawn_at_the_stated_steps_and_trained_on(objective: Objective) -> None:
    drawn: list[int] = []

    def resample(step: int) -> Mapping[str, Tensor]:
        drawn.append(step)
        return {"x": torch.tensor([float(step), 0.0])}

    result = train(objective, [Adam(25, resample=10), LBFGS(4, resample=2)], resample=resample)
    assert drawn == [10, 20, 27]
    assert objective.points["x"].tolist() == [27.0, 0.0]
    assert result.phases[0].evaluations == 25 + 1 + 2


def test_a_phase_that_redraws_needs_to_be_told_how(objective: Objective) -> None:
    with pytest.raises(ValueError, match="resample"):
        train(objective, [Adam(25, resample=10)])


def test_observers_see_every_step_and_the_history_keeps_the_checks(objective: Objective) -> None:
    seen: list[Progress] = []
    result = train(objective, [Adam(20, 0.1), Adam(10, 0.1)], observers=[seen.append], check_every=8)
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert {progress.total_steps for progress in seen} == {30}
    assert [progress.step for progress in result.history] == [8, 16, 20, 28, 30]
    assert all(progress in seen for progress in result.history)
    assert all(a.seconds <= b.seconds for a, b in pairwise(seen))
    assert seen[-1].evaluations == 32
    assert seen[-1].terms == {"fit": seen[-1].loss}


@pytest.mark.parametrize(
    ("request_", "status"),
    [(StopIteration(), Status.STOPPED), (StopIteration(Status.TOLERANCE), Status.TOLERANCE)],
)
def test_an_observer_ends_the_run(objective: Objective, request_: StopIteration, status: Status) -> None:
    def observer(progress: Progress) -> None:
        if progress.step == 7:
            raise request_

    result = train(objective, [Adam(20, 0.1), LBFGS(10)], observers=[observer])
    assert result.status is status
    assert [(record.steps, record.ended) for record in result.phases] == [(7, status.value)]
    assert result.best_step == 7


def test_an_error_in_an_observer_is_not_swallowed(objective: Objective) -> None:
    def observer(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(objective, [Adam(20)], observers=[observer])


def test_a_stop_flag_ends_the_run_between_two_steps(objective: Objective) -> None:
    asked = iter([None, None, None, Status.INTERRUPTED])
    result = train(objective, [Adam(20), LBFGS(10)], stop=lambda: next(asked))
    assert result.status is Status.INTERRUPTED
    assert [record.steps for record in result.phases] == [3]


def test_the_limit_on_steps_bounds_all_phases_together(objective: Objective) -> None:
    result = train(objective, [Adam(5), Adam(5), Adam(5)], max_steps=8)
    assert result.status is Status.LIMIT
    assert [(record.steps, record.ended) for record in result.phases] == [(5, "steps"), (3, "limit")]


def test_the_time_limit_is_overrun_by_at_most_one_step(objective: Objective) -> None:
    result = train(objective, [Script(((3.0, 1.0),) * 100, seconds=0.02)], max_seconds=0.1)
    assert result.status is Status.TIME
    assert 0.1 <= result.phases[0].seconds < 0.1 + 0.02 + 0.05


def test_a_first_phase_leaves_most_of_the_time_to_the_second(objective: Objective) -> None:
    slow = Script(((3.0, 1.0),) * 1000, seconds=0.005)
    result = train(objective, [slow, slow], max_seconds=0.4)
    first, second = result.phases
    assert (first.ended, second.ended, result.status) == ("share", "time", Status.TIME)
    assert first.seconds == pytest.approx(0.3 * 0.4, abs=0.05)
    assert second.seconds == pytest.approx(0.7 * 0.4, abs=0.05)


def test_no_time_means_no_step(objective: Objective) -> None:
    result = train(objective, [Adam(5), LBFGS(5)], max_seconds=0.0)
    assert result.status is Status.TIME
    assert [record.steps for record in result.phases] == [0]
    assert result.best_step == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_a_loss_that_leaps_is_undone_with_smaller_steps_and_logged(objective: Objective, bad: float) -> None:
    walk = ((3.0, 1.0), (2.5, 1.0), (100.0, 100.0), (2.2, 1.0))
    script = Script(walk, losses=(1.0, 0.5, bad, 0.1))
    steppers: list[ScriptStepper] = []
    vectors: list[list[float]] = []

    @dataclass(frozen=True)
    class Watched(Script):
        def start(self, objective: Objective) -> ScriptStepper:
            steppers.append(ScriptStepper(self))
            return steppers[-1]

    watched = Watched(script.walk, script.losses)
    result = train(objective, [watched], observers=[lambda progress: vectors.append(objective.vector.tolist())])
    assert vectors[2] == [2.5, 1.0]
    assert steppers[0].log == ["damp 0.5"]
    assert result.status is Status.STEPS
    assert [progress.step for progress in result.history if progress.event] == [3]
    assert objective.vector.tolist() == pytest.approx([2.2, 1.0])


def test_the_run_ends_as_diverged_after_three_returns_and_keeps_the_best(objective: Objective) -> None:
    walk = ((3.0, 1.0), *(((50.0, 50.0),) * 10))
    result = train(objective, [Script(walk, losses=(1.0, *([math.nan] * 10))), LBFGS(10)])
    assert result.status is Status.DIVERGED
    assert [(record.steps, record.ended) for record in result.phases] == [(5, "diverged")]
    assert result.phases[0].loss == 1.0
    assert len([progress for progress in result.history if progress.event]) == 4
    assert objective.vector.tolist() == [3.0, 1.0]


def test_returns_are_forgiven_when_the_loss_falls_again(objective: Objective) -> None:
    losses = tuple(value for k in range(10) for value in (1.0 / (k + 1), math.nan))
    result = train(objective, [Script(((3.0, 1.0),) * 20, losses=losses)])
    assert result.status is Status.STEPS


def test_a_higher_loss_on_new_points_is_no_divergence(objective: Objective) -> None:
    script = Script(((3.0, 1.0),) * 6, losses=(1.0, 1e-6, 1e-9, 1.0, 0.9, 0.8), resample=3)
    result = train(objective, [script], resample=lambda step: {})
    assert not any(progress.event for progress in result.history)


def test_adam_with_a_rate_that_is_far_too_high_recovers() -> None:
    x = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    objective = Objective(nn.ParameterDict({"x": x}), lambda _: {"r": torch.exp(x**2) - 1}, {})
    result = train(objective, [Adam(400, 20.0, decay=constant)])
    assert sum(bool(progress.event) for progress in result.history) == 3
    assert result.status is Status.STEPS
    assert result.best_loss < 1e-3


@pytest.mark.parametrize("phase", [Adam(60, 0.1), LBFGS(60)])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("seed", range(5))
def test_faults_at_random_evaluations_leave_a_finite_best_state(phase: Adam | LBFGS, bad: float, seed: int) -> None:
    faults = (torch.rand(1000, generator=torch.Generator().manual_seed(seed)) < 0.1).tolist()
    line = Line(straight)

    def residuals(points: Points) -> dict[str, Tensor]:
        return {"fit": line.residuals(points)["fit"] * (bad if faults.pop() else 1.0)}

    objective = Objective(line, residuals, {"x": torch.tensor([0.0, 0.5, 1.0])})
    start = line.objective(0.0, 0.5, 1.0).value().loss

    def check(progress: Progress) -> None:
        assert objective.vector.isfinite().all()

    result = train(objective, [phase], observers=[check])
    assert math.isfinite(result.best_loss)
    assert line.objective(0.0, 0.5, 1.0).value().loss == result.best_loss < start


def test_a_problem_that_is_never_finite_ends_as_diverged_at_its_start(line: Line) -> None:
    objective = Objective(line, lambda points: {"fit": line.residuals(points)["fit"] / 0.0}, {"x": torch.ones(2)})
    start = objective.vector
    result = train(objective, [Adam(100), LBFGS(100)])
    assert result.status is Status.DIVERGED
    assert result.best_loss == math.inf
    assert torch.equal(objective.vector, start)


def test_the_same_run_twice_gives_the_same_digits() -> None:
    ends = []
    for _ in range(2):
        line = Line(torch.sin)
        objective = line.objective(0.0, 0.4, 0.9)
        train(objective, [Adam(50, 0.1), LBFGS(5)], held_out=line.objective(0.2, 0.7))
        ends.append(objective.vector)
    assert torch.equal(*ends)


@pytest.mark.parametrize("status", Status)
def test_every_status_is_a_sentence_with_a_short_name_that_reads_back(status: Status) -> None:
    assert Status(status.value) is status
    assert status.value == status.value.lower()
    assert str(status) == status.sentence
    assert status.sentence[0].isupper()
    assert status.sentence.endswith(".")


def test_a_state_whose_loss_is_already_high_is_not_returned_to(objective: Objective) -> None:
    vectors: list[list[float]] = []
    script = Script(((3.0, 1.0), (9.0, 9.0), (50.0, 50.0)), losses=(1.0, 500.0, math.nan))
    train(objective, [script], observers=[lambda progress: vectors.append(objective.vector.tolist())])
    assert vectors == [[3.0, 1.0], [9.0, 9.0], [3.0, 1.0]]


def test_the_state_before_every_redraw_is_checked(objective: Objective) -> None:
    result = train(objective, [Adam(25, resample=10)], resample=lambda step: {}, check_every=100)
    assert [progress.step for progress in result.history] == [10, 20, 25]
