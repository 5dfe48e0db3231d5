"""solve(): the one function that knows every layer, from a declaration to a compared solution."""

from __future__ import annotations

import math
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pinnsolve.acceleration import PLAIN_MEMORY, Acceleration, accelerate, chunk_size
from pinnsolve.archive import finite
from pinnsolve.choices import Choice, Plan, choose, describe, meet_conditions
from pinnsolve.comparison import estimate
from pinnsolve.compiler.compile import CompiledProblem, compile_problem
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.errors import ProblemError
from pinnsolve.jets import SampledDerivatives
from pinnsolve.points import TermPoints, term_places
from pinnsolve.problem import Problem
from pinnsolve.referee import Referee
from pinnsolve.reference.solve import FiniteDifferences
from pinnsolve.run_directory import RunDirectory
from pinnsolve.solution import Solution
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.loop import Progress, TrainingResult, train
from pinnsolve.training.objective import Objective
from pinnsolve.training.schedule import Training
from pinnsolve.training.status import Status
from pinnsolve.training.weighting import Causal


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


def solve(
    problem: Problem,
    network: Any = None,
    training: Training | None = None,
    reference: Any = None,
    *,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float64",
    out: str | Path | RunDirectory | None = None,
    threads: int | None = None,
    compile: str = "auto",
    quick: bool = False,
    plots: bool = True,
    limits: Limits | None = None,
    observers: Sequence[Callable[[Progress], object]] = (),
    watch: Callable[[Mapping[str, float]], object] | None = None,
    notify: Callable[[str], object] | None = None,
    name: str = "problem",
    argv: Sequence[str] = (),
) -> Solution:
    """Train a network on a problem and compare it with a reference.

    Args:
        problem: The declaration.
        network: A description such as `MLP(width=32, depth=4)`, or a module from (points, coordinates) to (points, fields).
        training: Points, phases, weights; chosen from the problem where left out.
        reference: `FiniteDifferences`, `Spectral`, `StreamFunction`, `Exact`, `Observations`; finite differences when left out.
        seed: Everything random follows from it; not negative.
        device: "auto", "cpu" or "cuda".
        dtype: "float64", or "float32" for the first phase.
        out: Folder for the results; it must not hold a run already.
        threads: Threads of torch during the training; chosen from the size of the network when left out.
        compile: "auto" for the fastest way to a gradient, by a trial on the problem itself: jets, nested reverse passes, or a
            compiled step where the planned steps repay it; "on" for a compiled step; "off" for jets, which repeats to the last bit.
        quick: Fewer points and steps, to see whether a declaration works.
        plots: Whether pictures are written into `out`.
        limits: When to stop early.
        observers: Called with `Progress` after every step; one may end the run by raising StopIteration.
        watch: Called every few seconds with the relative L2 error of each field against the reference, of the best state so far.
        notify: Called with one line of text for every choice and event.
        name: What the run is called in its record.
        argv: The command line, for the record.

    Returns:
        The solution; a run that failed says so in `solution.status` and `solution.message`.

    Raises:
        ProblemError: The declaration and the numerics do not fit.
    """
    _check(problem, seed, compile)
    limits = limits or Limits()
    directory = out if out is None or isinstance(out, RunDirectory) else RunDirectory(Path(out))
    tell = partial(_tell, notify, directory)
    clock = _Clock()
    problem, exactness = meet_conditions(problem, network)
    compiled = compile_problem(problem)
    plan = choose(compiled, network, training, device=device, dtype=dtype, quick=quick, threads=threads)
    plan = replace(plan, choices=(*exactness, *plan.choices))
    training = training or Training()
    _check_time(training, problem)
    for line in describe(plan.choices):
        tell(line)
    trial = build_trial(problem, plan.network, seed=seed, dtype=plan.dtype, device=plan.device)
    spec = None if isinstance(plan.network, nn.Module) else plan.network
    solution = Solution(problem, trial, spec, {})
    clock.lap("setup")
    referee = Referee(solution, FiniteDifferences() if reference is None else reference, tell)
    referee.prepare(limits.tolerance)
    clock.lap("reference")
    watchers = [
        *observers,
        *([] if directory is None else [directory.observe]),
        *referee.observers(limits.tolerance, watch),
    ]
    objective, plan, result = _fit(
        compiled, plan, trial, training, limits=limits, observers=watchers, seed=seed, compile=compile, tell=tell
    )
    if referee.reached is not None:
        trial.load_state_dict(referee.reached)  # not the best by the held-out loss, but the one found good enough
    solution.history = result.history
    clock.lap("train")
    referee.judge()
    clock.lap("reference")
    solution.record = {"schema": 1, "problem": name, **_record(solution, plan, result, objective, referee, seed)}
    solution.record |= {"wall_seconds": sum(clock.seconds.values()), "seconds": clock.seconds}
    if directory is not None:
        _write(solution, directory, clock, plots=plots, argv=argv)
    return solution


def _check(problem: Problem, seed: int, compile: str) -> None:
    if not isinstance(problem, Problem):
        raise ProblemError("solve(...)", f"{problem!r} is not a problem", "write ps.solve(ps.Problem(...), ...)")
    if not 0 <= seed <= _LARGEST_SEED:
        raise ProblemError("seed", f"{seed!r}", f"write a whole number from 0 to {_LARGEST_SEED}")
    if compile not in _COMPILE:
        raise ProblemError("compile", f"{compile!r}", f"write one of {', '.join(_COMPILE)}")


def _check_time(training: Training, problem: Problem) -> None:
    weighting = training.weighting
    if isinstance(weighting, Causal) and weighting.time not in problem.coordinates:
        names = ", ".join(map(str, problem.coordinates))
        raise ProblemError("Causal", f"time={weighting.time!r}, which is no coordinate", f"write one of {names}")


def _fit(
    compiled: CompiledProblem,
    plan: Plan,
    trial: Trial,
    training: Training,
    *,
    limits: Limits,
    observers: Sequence[Callable[[Progress], object]],
    seed: int,
    compile: str,
    tell: Callable[[str], object],
) -> tuple[Objective, Plan, TrainingResult]:
    """Train as planned; the trial ends at the best state by held-out points, and the plan knows how gradients were found."""
    points = TermPoints(compiled, plan.counts, plan.sampling, seed, plan.device, training.resampling)
    # Held-out residuals are those of the equation itself, whatever is trained on.
    sampled = None if plan.directions is None else SampledDerivatives(plan.directions, seed=seed)
    trained = compiled if sampled is None else replace(compiled, differentiate=sampled)
    chunk = chunk_size(compiled, trial, memory=PLAIN_MEMORY)
    current, places = points.training(), term_places(compiled)
    objective, held_out = (
        Objective(trial, partial(terms.residuals, trial), drawn, weights=plan.weights, chunk=chunk)
        for terms, drawn in ((trained, current), (compiled, points.held_out()))
    )

    def redraw(number: int) -> Mapping[str, Tensor]:
        nonlocal current
        if sampled is not None:
            sampled.redraw(number)
        current = points.redraw(trial, number, current=current)
        return current

    start = time.perf_counter()
    # Gauss-Newton steps take their derivatives row by row: no other way to a gradient helps them.
    by_gradients = sum(p.steps for p in plan.phases if not isinstance(p, LevenbergMarquardt))
    steps = min(by_gradients, limits.steps or sys.maxsize)
    with _threads(plan.threads), _full_float32():
        if training.weighting is not None:
            # Before gradients are compiled: with weights of points they are another function.
            objective.weights = training.weighting.update(objective, places)
        if sampled is None:
            found = accelerate(objective, compiled, trial, mode=compile, evaluations=steps, seconds=limits.seconds)
        else:
            found = Acceleration("plain", f"{plan.directions} terms of every long sum, others in every draw")
        choice = Choice("gradients", found.engine, found.reason, "--compile off or on")
        tell(*describe([choice]))
        spent = time.perf_counter() - start
        result = train(
            objective,
            plan.phases,
            held_out=held_out,
            resample=redraw,
            weighting=training.weighting,
            places=places,
            observers=observers,
            max_seconds=None if limits.seconds is None else max(limits.seconds - spent, 0.0),
            max_steps=limits.steps,
            stop=limits.stop,
        )
    return objective, replace(plan, choices=(*plan.choices, choice)), result


@contextmanager
def _full_float32() -> Iterator[None]:
    """Multiply float32 as float32 inside, not with the ten bits of TF32 that a GPU may be told to use."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _tell(notify: Callable[[str], object] | None, directory: RunDirectory | None, line: str) -> None:
    if notify is not None:
        notify(line)
    if directory is not None:
        directory.log(line)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use so many threads of torch inside, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Adds up wall time by what it was spent on."""

    def __init__(self) -> None:
        self.seconds = {"setup": 0.0, "train": 0.0, "reference": 0.0, "plots": 0.0}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Give the time since the last lap to a name."""
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now


def _write(solution: Solution, directory: RunDirectory, clock: _Clock, *, plots: bool, argv: Sequence[str]) -> None:
    directory.write(solution, argv=argv)
    if plots:
        from pinnsolve.plotting import write_plots  # here, because matplotlib is slow to import

        try:
            write_plots(solution, directory.path / "plots")
        except Exception as error:  # a picture that cannot be drawn must not lose the run
            directory.log("".join(traceback.format_exception(error)))
            warnings.warn(f"the pictures are incomplete ({error}); the run is not. See log.txt", stacklevel=2)
        clock.lap("plots")
        solution.record |= {"wall_seconds": sum(clock.seconds.values()), "seconds": clock.seconds}
    directory.finish(dict(solution.record))


def _record(
    solution: Solution,
    plan: Plan,
    result: TrainingResult,
    objective: Objective,
    referee: Referee,
    seed: int,
) -> dict[str, Any]:
    """Return the outcome in the form of result.json."""
    value = objective.value()
    record: dict[str, Any] = {
        "status": _STATUS.get(result.status, "done"),
        "message": "",
        "seed": seed,
        "device": plan.device.type,
        "threads": plan.threads or torch.get_num_threads(),
        "dtype": str(objective.dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in solution.trial.network.parameters()),
        "points": dict(plan.counts),
        "phases": [asdict(phase) for phase in result.phases],
        "loss": {"total": value.loss, "terms": dict(value.terms)},
        "reference": {"kind": "none"},
        "errors": referee.errors,
        "unknowns": dict(solution.unknowns),
        "choices": [asdict(choice) for choice in plan.choices],
    }
    if referee.reference is not None:
        record["reference"] = {
            "kind": referee.reference.kind,
            "estimated_relative_l2": estimate(solution, referee.reference),
            "seconds": referee.reference.seconds,
            "method": referee.reference.method,
        }
    record["message"] = _message(record, result)
    return finite(record)


def _message(record: dict[str, Any], result: TrainingResult) -> str:
    """Return the outcome in one sentence, and why the run ended in another."""
    own = record["reference"].get("estimated_relative_l2", math.nan)
    parts = []
    for name, error in record["errors"].items():
        if own > 0 and error["relative_l2"] <= own:
            parts.append(f"{name}: at or below the reference's own error of {own:.1e}")
        else:
            parts.append(f"{name}: relative L2 error {error['relative_l2']:.1e}")
    found = [f"{name} = {value:.6g}" for name, value in record["unknowns"].items()]
    kind = record["reference"]["kind"].replace("_", " ")
    compared = f"{', '.join(parts)} (against {kind})" if parts else "no reference to compare with"
    return f"{'; '.join([compared, *found])}. {result.status.sentence}"


_COMPILE = ("auto", "on", "off")

_LARGEST_SEED = 2**63 - 1
"""What torch and NumPy both take."""

_STATUS = {Status.DIVERGED: "diverged", Status.INTERRUPTED: "interrupted"}
