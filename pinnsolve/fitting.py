"""Fitting: a compiled problem, points and a plan become objectives, which are trained.

State flows one way: what a training kept of itself between two steps is put back in place before the training begins, and nothing
else is told of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pinnsolve.acceleration import (
    Acceleration,
    accelerate,
    accelerate_again,
    accelerate_together,
    chunk_size,
)
from pinnsolve.choice import Choice, describe
from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial
from pinnsolve.draws import Draws
from pinnsolve.jets import SampledDerivatives
from pinnsolve.memory import memory_kept
from pinnsolve.points import Span, TermPoints, term_places
from pinnsolve.pseudo_time import PseudoTime
from pinnsolve.sample_size import SampleSize
from pinnsolve.stagnation import CausalOnceStuck, Stagnation
from pinnsolve.training.checkpoint import Keep, fitting, never
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.evaluation import Value
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.krylov import GaussNewtonCG
from pinnsolve.training.loop import Observer, train
from pinnsolve.training.modes import changes
from pinnsolve.training.natural_gradient import SPRING
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import PRECISIONS
from pinnsolve.training.private_gradients import PrivateGradient, PrivateObjective
from pinnsolve.training.progress import TrainingResult
from pinnsolve.training.schedule import Training
from pinnsolve.training.state import State
from pinnsolve.training.status import Status
from pinnsolve.training.weighting import Weighting

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

    Example:
        >>> solution = ps.solve(decay, ps.MLP(width=8, depth=1), training, limits=ps.Limits(steps=3), compile="off")
        >>> solution.record["phases"][0]["steps"]
        3
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

    def state(self) -> dict[str, Any]:
        """Return it for a checkpoint; `load` reads it back."""
        choices = [asdict(choice) for choice in self.choices]
        return {"result": self.result.state(), "value": asdict(self.value), "choices": choices}

    @staticmethod
    def load(state: State) -> Fitted:
        """Read what `state` returned."""
        choices = tuple(Choice(**choice) for choice in state["choices"])
        return Fitted(TrainingResult.load(state["result"]), Value(**state["value"]), choices)


def fit_one(
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
    keep: Keep,
    start: State | None,
    span: Span | None = None,
    sources: Sequence[PrivateGradient] = (),
    group: Group = ALONE,
) -> Fitted:
    """Train on the whole domain, or in one window.

    Args:
        compiled: The terms, those that ask something in the window.
        trial: What is trained, in place.
        plan: The numerics.
        training: What the user said of it.
        limits: When to stop early.
        observers: Called after every step.
        seed: Of the points.
        compile: How gradients may be found, as for `solve`.
        tell: Called with one line of text for every choice.
        keep: Told after every step how to get at the state.
        start: Such a state to go on from.
        span: The window; None for the whole domain.
        sources: Gradients of what is private; the terms are then without it.
        group: Ranks that share the points.

    Raises:
        CheckpointError: The state to go on from does not fit.
    """
    chunk = _network(compiled, trial, start)
    points = TermPoints(compiled, plan.counts, plan.sampling, seed, plan.device, training.resampling, span, group)
    draws, trained, weighting = _draws(compiled, trial, points, plan=plan, training=training, tell=tell)
    places = term_places(compiled)

    def objective_of(terms: CompiledProblem, drawn: Mapping[str, Tensor]) -> PrivateObjective:
        residuals, weights = partial(terms.residuals, trial), _of(plan.opening, drawn)
        return PrivateObjective(trial, residuals, drawn, weights=weights, chunk=chunk, group=group)

    # Held-out residuals are those of the equation itself, whatever is trained on.
    with memory_kept(), _threads(plan.threads), _full_float32(), _random(start, plan.device):
        begin = time.perf_counter()
        if start is None:
            objective, held_out = objective_of(trained, draws.first()), objective_of(compiled, points.held_out())
            if weighting is not None:
                objective.weights = weighting.update(objective, places)  # else what is compiled knows nothing of them
            found = _accelerated(objective, trained, trial, plan, limits, compile)
        else:
            with fitting("points"):
                draws.load(start["draws"])
                objective, held_out = objective_of(trained, draws.current), objective_of(compiled, draws.current)
                objective.load(start["objective"])
                held_out.load(start["held_out"])
                found, begin = Acceleration(**start["gradients"]), begin - float(start["spent"])
                accelerate_again(objective, trained, trial, engine=found.engine, chunk=objective.chunk)
        closing = {n: w for n, w in _of(plan.weights, draws.current).items() if w != plan.opening[n]}
        choice = Choice("gradients", found.engine, found.reason, "--compile off or on")
        if start is None:
            tell(*describe([choice]))
        objective.observe(sources)  # only now: what finds the fastest way takes gradients as well
        spent = time.perf_counter() - begin

        def state(loop: State) -> dict[str, Any]:
            return {
                **{"dtype": str(objective.dtype).removeprefix("torch."), "trial": trial.state_dict(), "chunk": chunk},
                **{"draws": draws.state(), "objective": objective.state(), "held_out": held_out.state()},
                **{"gradients": asdict(found), "spent": spent, "random": _generators(plan.device), "loop": loop},
            }

        result = train(
            objective,
            plan.phases,
            held_out=held_out,
            resample=draws.redraw,
            weighting=weighting,
            places=places,
            observers=[*draws.observers, *observers],
            **_ends(limits, spent, objective, draws.stuck if plan.once_stuck is not None else never),
            patience=plan.patience,
            seed=seed,
            keep=lambda loop, due: keep(lambda: state(loop()), due),
            start=None if start is None else start["loop"],
            judged=not sources,
            closing=closing,
        )
        ended = objective_of(compiled, draws.current)
        ended.reweigh(closing)
        return Fitted(result, ended.value(), (choice,))


def _stop(
    asked: Callable[[], Status | None] | None, objective: PrivateObjective, stuck: Callable[[], bool]
) -> Status | None:
    """Return why no further step may be made: what the user says, nothing private may be asked any more, or none would help."""
    status = None if asked is None else asked()
    return status or (Status.BUDGET if objective.spent else Status.STUCK if stuck() else None)


def _network(compiled: CompiledProblem, trial: Trial, start: State | None) -> int:
    """Put the network back where it was, and return how many points are worked on at once."""
    if start is None:
        return chunk_size(compiled, trial)
    with fitting("network"):
        trial.to(PRECISIONS[start["dtype"]])
        trial.load_state_dict(start["trial"])
        return int(start["chunk"])


def _draws(
    compiled: CompiledProblem,
    trial: Trial,
    points: TermPoints,
    *,
    plan: Plan,
    training: Training,
    tell: Callable[[str], object],
) -> tuple[Draws, CompiledProblem, Weighting | None]:
    """Return the draws of the points, the terms that are trained on them, and how their weights change."""
    sampled = None if plan.directions is None else SampledDerivatives(plan.directions, seed=points.seed)
    trained = compiled if sampled is None else replace(compiled, differentiate=sampled)
    stagnation, pseudo_time, weighting = None, None, training.weighting
    waits = plan.marching is not None and plan.marching.waits
    if plan.causal is not None or plan.once_stuck is not None or waits:
        stagnation = Stagnation(compiled, trial, tell, points.group)
    if plan.marching is not None:
        pseudo_time = PseudoTime(trained, trial, plan.marching, stagnation, points.group)
        trained = pseudo_time.compiled
    if plan.causal is not None and stagnation is not None:
        weighting = CausalOnceStuck(plan.causal, stagnation)
    size = None if plan.growing is None else SampleSize(plan.growing, tell)
    return Draws(points, trial, sampled, stagnation, pseudo_time, size), trained, weighting


def _accelerated(
    objective: Objective, trained: CompiledProblem, trial: Trial, plan: Plan, limits: Limits, compile: str
) -> Acceleration:
    """Choose how gradients are evaluated."""
    if changes(trial):
        return Acceleration("plain", "the network changes from step to step, which a compiled one would not")
    if plan.directions is not None:
        return Acceleration("plain", f"{plan.directions} terms of every long sum, others in every draw")
    # These take derivatives row by row, or products with the Jacobian: no other way to a gradient helps them.
    by_gradients = sum(p.steps for p in plan.phases if not isinstance(p, _BY_JACOBIANS))
    steps = min(by_gradients, limits.steps or sys.maxsize)
    choose = accelerate if objective.group.size == 1 else accelerate_together
    return choose(objective, trained, trial, mode=compile, evaluations=steps, seconds=limits.seconds)


def _ends(limits: Limits, spent: float, objective: PrivateObjective, stuck: Callable[[], bool]) -> dict[str, Any]:
    """Return when a training ends before its phases are through, for the loop."""
    seconds = None if limits.seconds is None else max(limits.seconds - spent, 0.0)
    return {"max_seconds": seconds, "max_steps": limits.steps, "stop": partial(_stop, limits.stop, objective, stuck)}


def _of(weights: Mapping[str, float], points: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if name in points}


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


def _generators(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's own generators, which a module of the user's may draw from."""
    found = {"cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


@contextmanager
def _random(start: State | None, device: torch.device) -> Iterator[None]:
    """Draw inside from where the generators were when a state was stored; the caller's are as they were afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else [], enabled=start is not None):
        if start is not None:
            with fitting("generators"):
                torch.set_rng_state(start["random"]["cpu"].cpu())
                if on_gpu:
                    torch.cuda.set_rng_state(start["random"]["cuda"].cpu(), device)
        yield
