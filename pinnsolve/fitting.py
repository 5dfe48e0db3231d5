"""Fitting: a compiled problem, points and a plan become objectives, which are trained, all at once or window by window."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean

import torch
from torch import Tensor

from pinnsolve.acceleration import PLAIN_MEMORY, Acceleration, accelerate, chunk_size
from pinnsolve.choice import Choice, describe
from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial
from pinnsolve.jets import SampledDerivatives
from pinnsolve.networks.windows import Window, WindowedFields
from pinnsolve.points import Span, TermPoints, term_places
from pinnsolve.privacy import Account, private_gradients, public_part
from pinnsolve.pseudo_time import PseudoTime
from pinnsolve.stagnation import CausalOnceStuck, Stagnation
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.krylov import GaussNewtonCG
from pinnsolve.training.loop import Observer, Progress, TrainingResult, train
from pinnsolve.training.natural_gradient import SPRING
from pinnsolve.training.objective import Value
from pinnsolve.training.private_gradients import PrivateObjective
from pinnsolve.training.schedule import Training
from pinnsolve.training.status import Status
from pinnsolve.windows import spans, within

_GOES_ON = frozenset({Status.STEPS, Status.CONVERGED, Status.STALLED, Status.NO_DESCENT, Status.TIME})
"""Ends of a window after which the next one has its turn."""

_BY_JACOBIANS = (LevenbergMarquardt, SPRING, GaussNewtonCG)
"""Phases that ask for no gradient of the loss."""


@dataclass(frozen=True)
class Limits:
    """When to stop before the phases are through.

    Args:
        seconds: Of training; set-up, reference and plots do not count.
        steps: Over all phases.
        tolerance: Relative L2 error against the reference that is good enough, for every field.
        stop: Asked before every step; a status ends the run.
    """

    seconds: float | None = None
    steps: int | None = None
    tolerance: float | None = None
    stop: Callable[[], Status | None] | None = None


@dataclass(frozen=True)
class Fitted:
    """What came of a training.

    Attributes:
        result: How it went; the trial is left at its best state by held-out points.
        value: The loss there on the points trained on; the mean over the windows where there are several.
        choices: How gradients were found.
        releases: How often gradients of private observations were taken, by their names.
    """

    result: TrainingResult
    value: Value
    choices: tuple[Choice, ...]
    releases: Mapping[str, int] = field(default_factory=dict)


def fit(
    compiled: CompiledProblem,
    plan: Plan,
    trial: Trial,
    training: Training,
    *,
    limits: Limits,
    observers: Sequence[Observer],
    seed: int,
    compile: str,
    tell: Callable[[str], object],
    accounts: Mapping[str, Account] | None = None,
) -> Fitted:
    """Train as planned.

    Args:
        compiled: The terms.
        plan: The numerics.
        trial: What is trained, in place.
        training: What the user said of it.
        limits: When to stop early.
        observers: Called after every step.
        seed: Of the points.
        compile: How gradients may be found, as for `solve`.
        tell: Called with one line of text for every choice.
        accounts: How private observations are trained on, by their names.
    """
    one = partial(_fit_one, training=training, seed=seed, compile=compile, tell=tell, accounts=accounts or {})
    if not isinstance(trial.network, WindowedFields):
        return one(compiled, trial, plan=plan, limits=limits, observers=observers)
    fitted: list[Fitted] = []
    starts: list[float] = []
    begin = time.perf_counter()
    ranges = spans(compiled.problem, trial.network.spec)
    # A window starts as the continuation of the one before, which what is good for a start would only spoil.
    onward = replace(plan, phases=plan.phases[-1:])
    total = sum(p.steps for p in plan.phases) + (len(ranges) - 1) * onward.phases[0].steps
    for number, span in enumerate(ranges):
        left = _left(limits, begin, fitted, len(ranges) - number)
        tell(f"window {number + 1} of {len(ranges)}: {span.coordinate} from {span.part[0]:.4g} to {span.part[1]:.4g}")
        window = Window(trial.network, number)
        if number:
            trial.network.go_on(number)
        starts.append(time.perf_counter() - begin)
        place = partial(_placed, number=number, total=total, before=_totals(fitted), seconds=starts[-1])
        with window.alone():
            part = within(compiled, span)
            fitted.append(
                one(
                    part,
                    Trial(window, trial.unknowns),
                    plan=onward if number else plan,
                    limits=left,
                    observers=[_told(o, place) for o in observers],
                    span=span,
                )
            )
        if fitted[-1].result.status not in _GOES_ON:
            break
    return _joined(fitted, total, starts)


def _fit_one(
    compiled: CompiledProblem,
    trial: Trial,
    *,
    plan: Plan,
    training: Training,
    limits: Limits,
    observers: Sequence[Observer],
    seed: int,
    compile: str,
    tell: Callable[[str], object],
    accounts: Mapping[str, Account],
    span: Span | None = None,
) -> Fitted:
    """Train on the whole domain, or in one window."""
    sources = private_gradients(compiled, accounts, trial, plan.weights)
    compiled = public_part(compiled, accounts)
    points = TermPoints(compiled, plan.counts, plan.sampling, seed, plan.device, training.resampling, span)
    sampled = None if plan.directions is None else SampledDerivatives(plan.directions, seed=seed)
    trained = compiled if sampled is None else replace(compiled, differentiate=sampled)
    stagnation, pseudo_time, weighting = None, None, training.weighting
    if plan.causal is not None or (plan.marching is not None and plan.marching.waits):
        stagnation = Stagnation(compiled, trial, tell)
    if plan.marching is not None:
        pseudo_time = PseudoTime(trained, trial, plan.marching, stagnation)
        trained = pseudo_time.compiled
    if plan.causal is not None and stagnation is not None:
        weighting = CausalOnceStuck(plan.causal, stagnation)
    draws = _Draws(points, trial, sampled, stagnation, pseudo_time)
    chunk, places = chunk_size(compiled, trial, memory=PLAIN_MEMORY), term_places(compiled)

    def objective_of(terms: CompiledProblem, drawn: Mapping[str, Tensor]) -> PrivateObjective:
        residuals = partial(terms.residuals, trial)
        return PrivateObjective(trial, residuals, drawn, weights=_of(plan.weights, drawn), chunk=chunk)

    # Held-out residuals are those of the equation itself, whatever is trained on.
    objective, held_out = objective_of(trained, draws.first()), objective_of(compiled, points.held_out())
    start = time.perf_counter()
    # These take derivatives row by row, or products with the Jacobian: no other way to a gradient helps them.
    by_gradients = sum(p.steps for p in plan.phases if not isinstance(p, _BY_JACOBIANS))
    steps = min(by_gradients, limits.steps or sys.maxsize)
    with _threads(plan.threads), _full_float32():
        if weighting is not None:
            # Before gradients are compiled: with weights of points they are another function.
            objective.weights = weighting.update(objective, places)
        if sampled is None:
            found = accelerate(objective, trained, trial, mode=compile, evaluations=steps, seconds=limits.seconds)
        else:
            found = Acceleration("plain", f"{plan.directions} terms of every long sum, others in every draw")
        choice = Choice("gradients", found.engine, found.reason, "--compile off or on")
        tell(*describe([choice]))
        objective.observe(list(sources.values()))  # only now: what finds the fastest way takes gradients as well
        spent = time.perf_counter() - start
        result = train(
            objective,
            plan.phases,
            held_out=held_out,
            resample=draws.redraw,
            weighting=weighting,
            places=places,
            observers=observers,
            max_seconds=None if limits.seconds is None else max(limits.seconds - spent, 0.0),
            max_steps=limits.steps,
            stop=partial(_stop, limits.stop, objective),
            keep="last" if sources else "best",
        )
        value = objective_of(compiled, draws.current).value()
        return Fitted(result, value, (choice,), {name: source.releases for name, source in sources.items()})


def _stop(asked: Callable[[], Status | None] | None, objective: PrivateObjective) -> Status | None:
    """Return why no further step may be made: what the user says, or that nothing private may be asked any more."""
    status = None if asked is None else asked()
    return status or (Status.BUDGET if objective.spent else None)


class _Draws:
    """The points of a training, and what else begins anew with each draw: sampled directions, steps in pseudo-time."""

    def __init__(
        self,
        points: TermPoints,
        trial: Trial,
        sampled: SampledDerivatives | None,
        stagnation: Stagnation | None,
        pseudo_time: PseudoTime | None,
    ) -> None:
        self._points, self._trial, self._sampled = points, trial, sampled
        self._stagnation, self._pseudo_time = stagnation, pseudo_time

    def first(self) -> Mapping[str, Tensor]:
        """Return the points to begin with, as the trained terms read them."""
        self.current = self._points.training()
        return self._extended()

    def redraw(self, number: int) -> Mapping[str, Tensor]:
        """Return others; different numbers give different ones."""
        if self._sampled is not None:
            self._sampled.redraw(number)
        self.current = self._points.redraw(self._trial, number, current=self.current)
        return self._extended()

    def _extended(self) -> Mapping[str, Tensor]:
        if self._stagnation is not None:
            self._stagnation.watch(self.current)
        return self.current if self._pseudo_time is None else self._pseudo_time.advance(self.current)


def _of(weights: Mapping[str, float], points: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if name in points}


def _left(limits: Limits, begin: float, fitted: Sequence[Fitted], windows: int) -> Limits:
    """Return the limits of the next of so many windows: an equal part of the time, and all the steps, that are left."""
    seconds, steps = limits.seconds, limits.steps
    if seconds is not None:
        seconds = max(seconds - (time.perf_counter() - begin), 0.0) / windows
    if steps is not None:
        steps = max(steps - sum(p.steps for f in fitted for p in f.result.phases), 0)
    return replace(limits, seconds=seconds, steps=steps)


def _told(observer: Observer, place: Callable[[Progress], Progress]) -> Observer:
    """Return an observer of one window that is told where the whole run is."""
    return lambda progress: observer(place(progress))


def _totals(fitted: Sequence[Fitted]) -> tuple[int, int]:
    """Return steps and evaluations so far."""
    records = [record for f in fitted for record in f.result.phases]
    return sum(r.steps for r in records), sum(r.evaluations for r in records)


def _placed(progress: Progress, number: int, total: int, before: tuple[int, int], seconds: float) -> Progress:
    return replace(
        progress,
        phase=f"{progress.phase} in window {number + 1}",
        window=number,
        step=before[0] + progress.step,
        total_steps=total,
        evaluations=before[1] + progress.evaluations,
        seconds=seconds + progress.seconds,
    )


def _joined(fitted: Sequence[Fitted], total: int, starts: Sequence[float]) -> Fitted:
    """Return the records of windows as those of one run; losses are means over the windows."""
    history, records = [], []
    for number, (found, seconds) in enumerate(zip(fitted, starts, strict=True)):
        before = _totals(fitted[:number])
        history += [_placed(p, number, total, before, seconds) for p in found.result.history]
        records += [replace(r, name=f"{r.name} in window {number + 1}") for r in found.result.phases]
    results, values = [f.result for f in fitted], [f.value for f in fitted]
    names = {name for value in values for name in value.terms}
    terms = {name: fmean(v.terms[name] for v in values if name in v.terms) for name in sorted(names)}
    joined = replace(
        results[-1],
        phases=tuple(records),
        history=tuple(history),
        best_loss=fmean(r.best_loss for r in results),
        best_step=_totals(fitted[:-1])[0] + results[-1].best_step,
    )
    return Fitted(joined, Value(fmean(v.loss for v in values), terms), fitted[0].choices)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Multiply float32 as float32 inside, not with the ten bits of TF32 that a GPU may be told to use."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use so many threads of torch inside, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
