"""The training loop: phases in order, limits, observers, redrawn points, recovery from divergence, the best state.

The loop knows no algorithm. It moves a stepper on, watches the loss, and keeps the parameters with the lowest loss on
points that are not trained on: the training loss goes on falling when the points are already over-fitted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pinnsolve.training.objective import Objective, Value
from pinnsolve.training.phase import PRECISIONS, Phase, Step, Stepper
from pinnsolve.training.status import Status
from pinnsolve.training.weighting import Place, Weighting

_FIRST_SHARE = 0.3
"""Part of the remaining time that a phase may use when another is to follow it."""

_HELD_OUT_COST = 0.05
"""Largest part of the work that goes into held-out losses."""

_FORWARD_COST = 0.5
"""Cost of a loss relative to a loss with gradient, both per point: an upper bound."""

_DIVERGED = 1e4
"""Rise of the loss over the lowest on the same points that counts as divergence."""

_GOOD = 10.0
"""Largest loss, over the lowest on the same points, of a state that is worth a return."""

_RECOVERIES = 3
"""Returns to a good state without a new lowest loss in between, before the run ends as diverged."""

_DAMPING = 0.5
"""Factor on the steps after each return."""

_CONTINUES = frozenset({Status.STEPS, Status.SHARE, Status.CONVERGED, Status.STALLED, Status.NO_DESCENT})
"""Ends of a phase after which the next one has its turn."""


@dataclass(frozen=True)
class Progress:
    """Where the run is: what observers see after every step, and the history keeps of some.

    Attributes:
        phase: Name of the phase.
        step: Steps made so far, over all phases.
        total_steps: Steps planned, over all phases.
        loss: Training loss.
        terms: Mean square of every term.
        held_out: Last held-out loss; None without held-out points.
        seconds: Time since the start.
        evaluations: Losses with gradients computed so far, over all phases.
        steps_per_second: In this phase.
        rate: Learning rate or step length.
        event: What happened out of the ordinary; else empty.
        window: Number of the window that is trained, where there are several; losses in two of them do not compare.
    """

    phase: str
    step: int
    total_steps: int
    loss: float
    terms: Mapping[str, float]
    held_out: float | None
    seconds: float
    evaluations: int
    steps_per_second: float
    rate: float
    event: str = ""
    window: int = 0


@dataclass(frozen=True)
class PhaseRecord:
    """What became of one phase; `ended` is the value of its status."""

    name: str
    steps: int
    evaluations: int
    seconds: float
    loss: float
    ended: str


@dataclass(frozen=True)
class TrainingResult:
    """How the training went; the objective is left at its best state.

    Attributes:
        status: Why it ended.
        phases: One record for every phase that was begun.
        history: Progress at every check, and at every event.
        best_loss: Lowest held-out loss, or lowest training loss without held-out points; infinite when none was finite.
        best_step: The step it belongs to, over all phases; 0 is the start.
    """

    status: Status
    phases: tuple[PhaseRecord, ...]
    history: tuple[Progress, ...]
    best_loss: float
    best_step: int


Observer = Callable[[Progress], object]
"""Called after every step; ends the run by raising StopIteration, whose value may be a `Status`."""


def train(
    objective: Objective,
    phases: Sequence[Phase],
    *,
    held_out: Objective | None = None,
    resample: Callable[[int], Mapping[str, Tensor]] | None = None,
    weighting: Weighting | None = None,
    places: Mapping[str, Place] | None = None,
    observers: Sequence[Observer] = (),
    max_seconds: float | None = None,
    max_steps: int | None = None,
    stop: Callable[[], Status | None] | None = None,
    check_every: int = 25,
    keep: str = "best",
) -> TrainingResult:
    """Minimise the objective phase by phase and leave it at the best state met.

    Args:
        objective: What to minimise; its parameters are the start, and afterwards the best state.
        phases: What to do, in order.
        held_out: The same module on points that are not trained on; decides which state is best. None: the training
            loss decides.
        resample: From the number of steps made to new points, for phases that ask for it.
        weighting: How the weights of the objective change, from the start of each phase on. Which state is best, and whether
            the loss diverges, is told by the weights given at the start alone. None: they stay.
        places: What the weighting may know of the terms; it leaves the points of others alone.
        observers: Called after every step.
        max_seconds: Limit on the time, overrun by at most one step. A phase that another follows gets at most 30 % of
            what is left of it.
        max_steps: Limit on the steps of all phases together.
        stop: Asked before every step; a status ends the run with it.
        check_every: Least number of steps between two held-out losses. They are spaced further when they would cost
            more than 5 % of the work, counted in points, not seconds: a repeated run checks at the same steps.
        keep: "best", or "last" where no loss tells which state is best, because it may not look at all that is trained on; such a
            loss may rise as it likes, and only one that is not finite counts as divergence.

    Returns:
        Status, records and history.

    Raises:
        ValueError: A phase redraws its points and `resample` is None.
    """
    if resample is None and any(phase.resample for phase in phases):
        raise ValueError("A phase redraws its points, so `resample` must say how.")
    run = _Run(objective, held_out, resample or _unchanged, observers, max_seconds, max_steps, stop, check_every)
    run.use(weighting, places or {})
    run.judged = keep == "best"
    run.total_steps = sum(phase.steps for phase in phases)
    status = Status.STEPS
    records = []
    for number, phase in enumerate(phases):
        record, status = run.phase(phase, last=number == len(phases) - 1)
        records.append(record)
        if status not in _CONTINUES:
            break
    if keep == "last":
        return TrainingResult(status, tuple(records), tuple(run.history), run.loss, run.step)
    objective.vector = run.best
    return TrainingResult(status, tuple(records), tuple(run.history), run.best_loss, run.best_step)


def _unchanged(step: int) -> Mapping[str, Tensor]:
    """Redraw nothing."""
    return {}


class _Run:
    """The state of one call of `train`: counters, the best state, and the last good one."""

    def __init__(
        self,
        objective: Objective,
        held_out: Objective | None,
        resample: Callable[[int], Mapping[str, Tensor]],
        observers: Sequence[Observer],
        max_seconds: float | None,
        max_steps: int | None,
        stop: Callable[[], Status | None] | None,
        check_every: int,
    ) -> None:
        self.objective, self.held_out, self.resample, self.observers = objective, held_out, resample, observers
        self.max_steps = math.inf if max_steps is None else max_steps
        self.stop = stop
        self.start = time.perf_counter()
        self.end = self.start + (math.inf if max_seconds is None else max_seconds)
        self.check_every = check_every
        if held_out is not None:
            cost = _FORWARD_COST * held_out.count / max(objective.count, 1)
            self.check_every = max(check_every, math.ceil(cost / _HELD_OUT_COST))
        self.total_steps = self.step = self.evaluations = 0
        self.history: list[Progress] = []
        self.best, self.best_loss, self.best_step = objective.vector, math.inf, 0
        self.held_out_loss: float | None = None
        self.good = self.best
        self.lowest = self.loss = math.inf
        self.recoveries = 0
        self.weighting: Weighting | None = None
        self.judged = True

    def use(self, weighting: Weighting | None, places: Mapping[str, Place]) -> None:
        """Change the weights so, from the next phase on."""
        self.weighting, self.places = weighting, places
        if weighting is not None:
            changing = self.objective.weights.terms
            self.given = {name: weight / changing.get(name, 1.0) for name, weight in self.objective.terms.items()}

    def phase(self, phase: Phase, *, last: bool) -> tuple[PhaseRecord, Status]:
        """Run one phase to its end."""
        began, evaluations = time.perf_counter(), self.evaluations
        deadline = self.end if last else began + _FIRST_SHARE * (self.end - began)
        self._enter(phase)
        stepper = phase.start(self.objective)
        made, status = 0, self._limit(phase, 0, deadline)
        while status is None:
            if phase.resample and made and made % phase.resample == 0:
                self._redraw(stepper)
            if self.weighting is not None and made % self.weighting.every == 0:
                self._weigh(self.weighting, stepper)
            outcome = stepper.step(self.objective, expired=lambda: time.perf_counter() >= deadline)
            made += 1
            self.step += 1
            self.evaluations += outcome.evaluations
            status, event = self._judge(outcome, stepper)
            status = status or self._limit(phase, made, deadline)
            redraws = phase.resample and made % phase.resample == 0
            check = status is not None or made % self.check_every == 0 or redraws
            if check or self.held_out is None:
                self._consider(self._fixed(outcome))
            speed = made / max(time.perf_counter() - began, 1e-9)
            status = self._tell(phase, outcome, speed, event, keep=bool(check or event)) or status
        seconds = time.perf_counter() - began
        record = PhaseRecord(phase.name, made, self.evaluations - evaluations, seconds, self.loss, status.value)
        return record, status

    def _enter(self, phase: Phase) -> None:
        """Change the precision and learn the loss to start from."""
        if phase.dtype is not None:
            self.objective.to(PRECISIONS[phase.dtype])
            if self.held_out is not None:
                self.held_out.to(PRECISIONS[phase.dtype])
        value = self.objective.value()
        self.loss, self.lowest = value.loss, self._fixed(value)
        self.good, self.recoveries = self.objective.vector, 0
        self._consider(self.lowest)

    def _limit(self, phase: Phase, made: int, deadline: float) -> Status | None:
        """Return why no further step may be made."""
        now = time.perf_counter()
        if self.stop is not None and (status := self.stop()) is not None:
            return status
        if now >= self.end:
            return Status.TIME
        if made >= phase.steps:
            return Status.STEPS
        if self.step >= self.max_steps:
            return Status.LIMIT
        return Status.SHARE if now >= deadline else None

    def _redraw(self, stepper: Stepper) -> None:
        """Replace the points; losses on the old ones no longer tell what is high."""
        weights, before = self.objective.weights, self.objective.points
        self.objective.replace_points(self.resample(self.step))
        if weights.points:
            self.objective.weights = weights.moved(before, self.objective.points)
        stepper.restart(self.objective)
        self.lowest = math.inf

    def _weigh(self, weighting: Weighting, stepper: Stepper) -> None:
        """Update the weights."""
        weights = weighting.update(self.objective, self.places)
        if weights is not self.objective.weights:
            self.objective.weights = weights
            stepper.restart(self.objective)

    def _fixed(self, found: Value | Step) -> float:
        """Return a loss with the weights given at the start: losses with others do not compare."""
        if self.weighting is None or not math.isfinite(found.loss):
            return found.loss
        return sum(self.given[name] * mean for name, mean in found.terms.items())

    def _judge(self, outcome: Step, stepper: Stepper) -> tuple[Status | None, str]:
        """Accept a step, or undo it: return the reason to end and the event to log."""
        loss = self._fixed(outcome)
        if math.isfinite(loss) and not (self.judged and loss > _DIVERGED * self.lowest):
            self.loss = outcome.loss
            if loss < self.lowest:
                self.lowest, self.recoveries = loss, 0
            if loss <= _GOOD * self.lowest or not self.judged:
                self.good = self.objective.vector
            return outcome.status, ""
        self.objective.vector = self.good
        if self.recoveries == _RECOVERIES:
            return Status.DIVERGED, f"gave up: the loss was {outcome.loss:.3g} after {_RECOVERIES} returns"
        self.recoveries += 1
        stepper.damp(self.objective, _DAMPING)
        return (
            None,
            f"the loss was {outcome.loss:.3g}: returned to the last good state, with steps {_DAMPING} times as long",
        )

    def _consider(self, loss: float) -> None:
        """Keep the present parameters if they are the best so far, by the held-out loss where there is one."""
        if self.held_out is not None:
            loss = self.held_out_loss = self.held_out.value().loss
        if loss < self.best_loss:  # never true for NaN
            self.best, self.best_loss, self.best_step = self.objective.vector, loss, self.step

    def _tell(self, phase: Phase, outcome: Step, speed: float, event: str, *, keep: bool) -> Status | None:
        """Tell the observers where the run is, and write it down; return the status with which one of them ends it."""
        progress = Progress(
            phase=phase.name,
            step=self.step,
            total_steps=self.total_steps,
            loss=outcome.loss,
            terms=outcome.terms,
            held_out=self.held_out_loss,
            seconds=time.perf_counter() - self.start,
            evaluations=self.evaluations,
            steps_per_second=speed,
            rate=outcome.rate,
            event=event,
        )
        if keep:
            self.history.append(progress)
        try:
            for observer in self.observers:
                observer(progress)
        except StopIteration as request:
            return request.value if isinstance(request.value, Status) else Status.STOPPED
        return None
