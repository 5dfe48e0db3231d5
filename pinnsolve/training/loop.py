"""The training loop: phases in order, limits, observers, redrawn points, recovery from divergence, the best state.

The loop knows no algorithm. It moves a stepper on, watches the loss, and keeps the parameters with the lowest loss on
points that are not trained on: the training loss goes on falling when the points are already over-fitted. Between two steps all
that it knows is its `state`, from which another call goes on as if there had been no other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from pinnsolve.training.agreement import agreed
from pinnsolve.training.best import Best
from pinnsolve.training.checkpoint import Keep, fitting, keep_nothing
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.modes import changes, in_training
from pinnsolve.training.objective import Objective, Value
from pinnsolve.training.phase import PRECISIONS, Phase, Step, Stepper
from pinnsolve.training.progress import PhaseRecord, Progress, TrainingResult
from pinnsolve.training.state import State
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

_CONTINUES = frozenset({Status.STEPS, Status.SHARE, Status.CONVERGED, Status.STALLED, Status.NO_DESCENT, Status.EARLY})
"""Ends of a phase after which the next one has its turn."""

_OPEN = frozenset({Status.INTERRUPTED, Status.TIME, Status.LIMIT, Status.STOPPED})
"""Ends that come from outside: whoever goes on later goes on within the phase."""

_COUNTERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("number", "made", "before", "step", "evaluations", "recoveries"), int),
    **dict.fromkeys(("began", "lowest", "loss"), float),
}
"""What a run counts, and the kinds."""

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
    patience: int | None = None,
    seed: int = 0,
    keep: Keep = keep_nothing,
    start: State | None = None,
    judged: bool = True,
    closing: Mapping[str, float] | None = None,
) -> TrainingResult:
    """Minimise the objective phase by phase and leave it at the best state met, or where an observer found it good enough.

    Its module is in evaluation but for the steps of first-order phases.

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
        patience: Steps without a lower held-out loss after which a phase ends; None: any number. Prechelt, Early stopping, but
            when?, 1998.
        seed: Of what layers leave out at random.
        keep: Told after every step how to get at the state, which holds that of objectives and stepper too; due where a phase ends.
        start: Such a state to go on from; parameters, points and the way to gradients must be those of then already.
        judged: Whether losses tell which state is best and what diverges. False where they may not look at all that is trained
            on: the last state is kept then, and only what is not finite counts as divergence.
        closing: Weights of terms in the last phase, in place of those given at the start; states before it are not the best then.

    Returns:
        Status, records and history, of the whole training.

    Raises:
        ValueError: A phase redraws its points and `resample` is None.
        CheckpointError: The state to go on from does not fit.
    """
    if resample is None and any(phase.resample for phase in phases):
        raise ValueError("A phase redraws its points, so `resample` must say how.")
    objective.module.eval()
    resample = resample or (lambda step: {})
    run = _Run(objective, held_out, resample, observers, max_seconds, max_steps, stop, check_every, keep)
    run.patience, run.seed = math.inf if patience is None else patience, seed
    run.use(weighting, places or {})
    run.judged, run.closing = judged, closing or {}
    run.total_steps = sum(phase.steps for phase in phases)
    if start is not None:
        with fitting("training"):
            run.load(start, phases)
    status = run.ended
    while status in _CONTINUES and run.number < len(phases):
        status = run.phase(phases[run.number], last=run.number == len(phases) - 1)
    if not judged:
        return replace(run.result(status), best_loss=run.loss, best_step=run.step)
    if status is not Status.TOLERANCE:  # not the best by the held-out loss then, but the one found good enough
        run.best.restore()
    return run.result(status)


class _Run:
    """The state of one call of `train`: counters, the best state, the last good one, and the phase it is in."""

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
        keep: Keep,
    ) -> None:
        self.objective, self.held_out, self.resample, self.observers = objective, held_out, resample, observers
        self.max_seconds = math.inf if max_seconds is None else max_seconds
        self.max_steps = math.inf if max_steps is None else max_steps
        self.stop, self.keep = stop, keep
        self.start, self.check_every = time.perf_counter(), check_every
        if held_out is not None:
            cost = _FORWARD_COST * held_out.count / max(objective.count, 1)
            self.check_every = max(check_every, math.ceil(cost / _HELD_OUT_COST))
        self.total_steps = self.step = self.evaluations = self.recoveries = 0
        self.history: list[Progress] = []
        self.best = Best(objective)
        self.held_out_loss: float | None = None
        self.good = self.best.vector
        self.lowest = self.loss = math.inf
        self.weighting: Weighting | None = None
        self.closing: Mapping[str, float] = {}
        self.judged, self.patience, self.seed = True, math.inf, 0
        self.given: dict[str, float] = {}
        self.ended, self.records = Status.STEPS, list[PhaseRecord]()
        self.number = self.made = self.before = 0
        self.began = 0.0
        self.stepper: Stepper | None = None

    def use(self, weighting: Weighting | None, places: Mapping[str, Place]) -> None:
        """Change the weights so, from the next phase on."""
        self.weighting, self.places = weighting, places
        if weighting is not None:
            changing = self.objective.weights.terms
            self.given = {name: weight / changing.get(name, 1.0) for name, weight in self.objective.terms.items()}

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on bit for bit, given parameters, points and the way to gradients."""
        vectors = {**self.best.state(), "good": self.good, "held_out_loss": self.held_out_loss}
        counters = {name: getattr(self, name) for name in _COUNTERS}
        stepper = None if self.stepper is None else dict(self.stepper.state())
        history = self.result(self.ended).state()
        return {**vectors, **counters, **history, "given": self.given, "seconds": self.seconds, "stepper": stepper}

    def load(self, state: State, phases: Sequence[Phase]) -> None:
        """Go on from what `state` returned."""
        for name, kind in _COUNTERS.items():
            setattr(self, name, kind(state[name]))
        self.best.load(state)
        self.good = state["good"]
        if self.good.shape != self.best.vector.shape:
            raise ValueError(f"a vector of the shape {tuple(self.good.shape)}, not {tuple(self.best.vector.shape)}")
        self.held_out_loss = None if state["held_out_loss"] is None else float(state["held_out_loss"])
        self.given = {name: float(weight) for name, weight in state["given"].items()}
        result = TrainingResult.load(state)
        self.ended, self.records, self.history = result.status, list(result.phases), list(result.history)
        self.start -= float(state["seconds"])
        if state["stepper"] is not None:
            if self.closing and self.number == len(phases) - 1:
                self._close()
            self.stepper = phases[self.number].start(self.objective)
            self.stepper.load(state["stepper"])

    @property
    def seconds(self) -> float:
        """Time spent, before a resumption too."""
        return time.perf_counter() - self.start

    def result(self, status: Status) -> TrainingResult:
        """Return what came of it so far."""
        return TrainingResult(status, tuple(self.records), tuple(self.history), self.best.loss, self.best.step)

    def phase(self, phase: Phase, *, last: bool) -> Status:
        """Run one phase to its end, or go on within it."""
        if self.stepper is None:
            self.made, self.began, self.before = 0, self.seconds, self.evaluations
            if last and self.closing:
                self.best.restore()
                self._close()
                self.best.loss = math.inf
            self._enter(phase)
            self.stepper = phase.start(self.objective)
        deadline = self.max_seconds if last else self.began + _FIRST_SHARE * (self.max_seconds - self.began)
        status = agreed(self._planned(phase) or self._cut(deadline), self.objective)
        while status is None:
            status = self._advance(phase, self.stepper, deadline)
            if status is None:
                self.keep(self.state, False)
        spent = self.seconds - self.began
        self.records.append(
            PhaseRecord(phase.name, self.made, self.evaluations - self.before, spent, self.loss, status.value)
        )
        if status not in _OPEN:
            self.ended, self.stepper = status, None
            self.number += 1
            self.keep(self.state, True)
        return status

    def _advance(self, phase: Phase, stepper: Stepper, deadline: float) -> Status | None:
        """Make one step; return why it was the last one, if it was."""
        if phase.resample and self.made and self.made % phase.resample == 0:
            self._redraw(stepper)
        if self.weighting is not None and self.made % self.weighting.every == 0:
            self._weigh(self.weighting, stepper)
        with self._mode(phase):
            outcome = stepper.step(self.objective, expired=partial(self._expired, deadline))
        self.made += 1
        self.step += 1
        self.evaluations += outcome.evaluations
        status, event = self._judge(outcome, stepper)
        status = status or self._planned(phase)
        redraws = phase.resample and self.made % phase.resample == 0
        check = (status is not None and status not in _OPEN) or self.made % self.check_every == 0 or redraws
        if check or self.held_out is None:
            self._consider(self._fixed(outcome))
        if self.step - max(self.step - self.made, self.best.step) >= self.patience:
            status = status or Status.EARLY
        progress = self._progress(phase, outcome, event)
        if check or event:
            self.history.append(progress)
        # What one rank alone may know: the only exchange between two steps, and the last thing before the next.
        status = agreed(self._tell(progress) or (None if status else self._cut(deadline)), self.objective) or status
        if status in _OPEN:
            self.keep(self.state, True)  # before the last look, which a training that goes on does not take
        if status is not None and not check:
            self._consider(self._fixed(outcome))
            self.history.append(replace(progress, held_out=self.held_out_loss))
        return status

    def _close(self) -> None:
        """Change to the weights of the last phase."""
        for objective in filter(None, (self.objective, self.held_out)):
            objective.reweigh(self.closing)
        self.use(self.weighting, self.places)

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
        if isinstance(phase, FirstOrder) and changes(self.objective.module):
            self.lowest = math.inf  # losses of thinned networks do not compare with that of the mean one

    def _mode(self, phase: Phase) -> AbstractContextManager[None]:
        """Return what to make a step of the phase in: only averaged gradients bear a network that changes."""
        if not isinstance(phase, FirstOrder):
            return nullcontext()
        return in_training(self.objective.module, seed=self.seed, step=self.step)

    def _planned(self, phase: Phase) -> Status | None:
        """Return why the plan has no further step; whatever else ends it, a phase that is through has had its last look."""
        if self.made >= phase.steps:
            return Status.STEPS
        return Status.LIMIT if self.step >= self.max_steps else None

    def _cut(self, deadline: float) -> Status | None:
        """Return why clock or user let no further step be made."""
        if self.stop is not None and (status := self.stop()) is not None:
            return status
        now = self.seconds
        if now >= self.max_seconds:
            return Status.TIME
        return Status.SHARE if now >= deadline else None

    def _expired(self, deadline: float) -> bool:
        """Whether the time of a phase is up on any rank."""
        return deadline < math.inf and self.objective.group.any(self.seconds >= deadline)

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
        if self.objective.group.any(weights is not self.objective.weights):
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
        event = f"the loss was {outcome.loss:.3g}: returned to the last good state, with steps {_DAMPING} times as long"
        return None, event

    def _consider(self, loss: float) -> None:
        """Keep the present parameters if they are the best so far, by the held-out loss where there is one."""
        if self.held_out is not None:
            loss = self.held_out_loss = self.held_out.value().loss
        self.best.consider(loss, self.step)

    def _progress(self, phase: Phase, outcome: Step, event: str) -> Progress:
        """Return where the run is."""
        return Progress(
            phase=phase.name,
            step=self.step,
            total_steps=self.total_steps,
            loss=outcome.loss,
            terms=outcome.terms,
            held_out=self.held_out_loss,
            seconds=self.seconds,
            evaluations=self.evaluations,
            steps_per_second=self.made / max(self.seconds - self.began, 1e-9),
            rate=outcome.rate,
            event=event,
            phase_number=self.number,
        )

    def _tell(self, progress: Progress) -> Status | None:
        """Tell the observers where the run is; return the status with which one of them ends it."""
        try:
            for observer in self.observers:
                observer(progress)
        except StopIteration as request:
            return request.value if isinstance(request.value, Status) else Status.STOPPED
        return None
