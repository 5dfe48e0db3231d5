"""Succession: a problem trained at once, or window by window, each going on from where the one before ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any, cast

from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.fitting import Fitted, Limits, fit_one
from pinnsolve.networks.windows import Window, WindowedFields
from pinnsolve.privacy import Account, private_gradients, public_part
from pinnsolve.training.checkpoint import Keep, fitting, keep_nothing
from pinnsolve.training.distributed import ALONE, Group, lead
from pinnsolve.training.evaluation import Value
from pinnsolve.training.loop import Observer
from pinnsolve.training.losses import as_residual
from pinnsolve.training.progress import Progress
from pinnsolve.training.schedule import Training
from pinnsolve.training.state import State, on_device
from pinnsolve.training.status import Status
from pinnsolve.windows import spans, within

_GOES_ON = frozenset({Status.STEPS, Status.CONVERGED, Status.STALLED, Status.NO_DESCENT, Status.TIME, Status.EARLY})
"""Ends of a window after which the next one has its turn."""


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
    keep: Keep = keep_nothing,
    start: State | None = None,
    accounts: Mapping[str, Account] | None = None,
    group: Group = ALONE,
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
        keep: Told after every step how to get at the state, with its `step`, `window` and `loss`.
        start: Such a state to go on from.
        accounts: How private observations are trained on, by their names.
        group: Ranks that share the points; all begin with the network of the first.

    Raises:
        CheckpointError: The state to go on from does not fit.
    """
    losses = {t.name: as_residual(t.loss, deviation=t.deviation) for t in compiled.problem.terms if t.loss is not None}
    compiled = replace(compiled, losses=losses)
    sources = private_gradients(compiled, accounts or {}, trial, plan.weights)
    compiled = public_part(compiled, accounts or {})
    released = tuple(sources.values())
    one = partial(fit_one, training=training, seed=seed, compile=compile, tell=tell, sources=released, group=group)
    lead(trial, group)
    start = None if start is None else on_device(start, plan.device)
    in_windows = partial(_fit_windows, compiled, trial, one, limits=limits, observers=observers, tell=tell, keep=keep)
    if isinstance(trial.network, WindowedFields):
        return in_windows(plan=plan, start=start)
    if plan.once_stuck is not None and start is not None and "finished" in start:
        _begin_again(trial, compiled, plan.once_stuck, seed)
        return in_windows(plan=plan.once_stuck, start=start)
    with fitting("training"):
        part = None if start is None else start["part"]
    begin = time.perf_counter()
    fitted = one(
        compiled,
        trial,
        plan=plan,
        limits=limits,
        observers=observers,
        keep=lambda state, due: keep(lambda: _labelled(state(), 0, 0), due),
        start=part,
    )
    if plan.once_stuck is not None and fitted.result.status is Status.STUCK:
        _begin_again(trial, compiled, plan.once_stuck, seed)
        lead(trial, group)
        return in_windows(plan=plan.once_stuck, start=None, stuck=(fitted,), spent=time.perf_counter() - begin)
    return replace(fitted, releases={name: source.releases for name, source in sources.items()})


def settled(plan: Plan, trial: Trial) -> Plan:
    """Return what a trial was trained by: the plan, or the one that took its place once the training was stuck."""
    if plan.once_stuck is None or not isinstance(trial.network, WindowedFields):
        return plan
    return replace(plan.once_stuck, choices=plan.choices)


def _begin_again(trial: Trial, compiled: CompiledProblem, plan: Plan, seed: int) -> None:
    """Put the network of another plan in the place of the trial's."""
    dtype, device = next(trial.parameters()).dtype, plan.device
    trial.network = build_trial(compiled.problem, plan.network, seed=seed, dtype=dtype, device=device).network


def _fit_windows(
    compiled: CompiledProblem,
    trial: Trial,
    one: Callable[..., Fitted],
    *,
    plan: Plan,
    limits: Limits,
    observers: Sequence[Observer],
    tell: Callable[[str], object],
    keep: Keep,
    start: State | None,
    stuck: Sequence[Fitted] = (),
    spent: float = 0.0,
) -> Fitted:
    """Train one window after the other, perhaps after what was stuck for so many seconds."""
    whole = cast(WindowedFields, trial.network)
    ranges = spans(compiled.problem, whole.spec)
    # A window starts as the continuation of the one before, which what is good for a start would only spoil.
    onward = replace(plan, phases=plan.phases[-1:])
    fitted: list[Fitted] = []
    starts: list[float] = []
    begin = time.perf_counter() - spent
    if start is not None:
        with fitting("windows"):
            stuck = [Fitted.load(state) for state in start["stuck"]]
            fitted = [Fitted.load(state) for state in start["finished"]]
            starts = [float(seconds) for seconds in start["starts"]]
            begin -= float(start["elapsed"])

    steps = sum(p.steps for p in plan.phases) + (len(ranges) - 1) * onward.phases[0].steps
    total = _totals(stuck)[0] + steps

    def labelled(part: State) -> dict[str, Any]:
        finished = {"finished": [f.state() for f in fitted], "starts": starts, "elapsed": time.perf_counter() - begin}
        return (
            _labelled(part, _totals([*stuck, *fitted])[0], len(fitted))
            | finished
            | {"stuck": [f.state() for f in stuck]}
        )

    for number in range(len(fitted), len(ranges)):
        span, part = ranges[number], None
        tell(f"window {number + 1} of {len(ranges)}: {span.coordinate} from {span.part[0]:.4g} to {span.part[1]:.4g}")
        if start is not None:
            with fitting("window"):
                part, start = start["part"], None
        else:
            starts.append(time.perf_counter() - begin)
            if number:
                whole.go_on(number)
        place = partial(_placed, number=number, total=total, before=_totals([*stuck, *fitted]), seconds=starts[number])
        window = Window(whole, number)
        with window.alone():
            found = one(
                within(compiled, span),
                Trial(window, trial.unknowns),
                plan=onward if number else plan,
                limits=_left(limits, starts[number], [*stuck, *fitted], len(ranges) - number),
                observers=[_told(o, place) for o in observers],
                span=span,
                keep=lambda state, due: keep(lambda: labelled(state()), due),
                start=part,
            )
        fitted.append(found)
        if fitted[-1].result.status not in _GOES_ON:
            break
    return _joined(stuck, fitted, total, starts)


def _labelled(part: State, before: int, window: int) -> dict[str, Any]:
    """Return the state of a window, or of all there is, with what tells one checkpoint from another."""
    loop = part["loop"]
    loss = loop["loss"] if loop["held_out_loss"] is None else loop["held_out_loss"]
    return {"step": before + loop["step"], "window": window, "loss": loss, "part": part}


def _left(limits: Limits, elapsed: float, fitted: Sequence[Fitted], windows: int) -> Limits:
    """Return the limits of the next of so many windows: an equal part of the time, and all the steps, that are left."""
    seconds, steps = limits.seconds, limits.steps
    if seconds is not None:
        seconds = max(seconds - elapsed, 0.0) / windows
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


def _joined(stuck: Sequence[Fitted], fitted: Sequence[Fitted], total: int, starts: Sequence[float]) -> Fitted:
    """Return the records of windows, and of what was stuck before, as those of one run; losses are means over the windows."""
    history, records = [p for f in stuck for p in f.result.history], [r for f in stuck for r in f.result.phases]
    for number, (found, seconds) in enumerate(zip(fitted, starts, strict=True)):
        before = _totals([*stuck, *fitted[:number]])
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
        best_step=_totals([*stuck, *fitted[:-1]])[0] + results[-1].best_step,
    )
    return Fitted(joined, Value(fmean(v.loss for v in values), terms), fitted[0].choices)
