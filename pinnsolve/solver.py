"""solve(): the one function that knows every layer, from a declaration to a compared solution."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pinnsolve.archive import finite
from pinnsolve.choice import describe
from pinnsolve.choices import Plan, choose, meet_conditions
from pinnsolve.comparison import estimate
from pinnsolve.compiler.compile import CompiledProblem, compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.diagnosis import find_diagnosis
from pinnsolve.errors import ProblemError
from pinnsolve.fitting import Fitted, Limits, fit
from pinnsolve.problem import Problem
from pinnsolve.referee import Referee
from pinnsolve.residuals import held_out_residuals
from pinnsolve.run_directory import RunDirectory
from pinnsolve.solution import Solution
from pinnsolve.summary import beside_text, brief, brief_seconds
from pinnsolve.training.loop import Progress, TrainingResult
from pinnsolve.training.schedule import Training
from pinnsolve.training.status import Status
from pinnsolve.training.weighting import Causal
from pinnsolve.uncertainty import find_uncertainty


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
        reference: `FiniteDifferences`, `Spectral`, `StreamFunction`, `Exact`, `Observations`; when left out finite differences, or
            a stream function where these cannot be.
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
    referee = Referee(solution, reference, tell)
    referee.prepare(limits.tolerance)
    clock.lap("reference")
    watchers = [
        *observers,
        *([] if directory is None else [directory.observe]),
        *referee.observers(limits.tolerance, watch),
    ]
    fitted = fit(
        compiled, plan, trial, training, limits=limits, observers=watchers, seed=seed, compile=compile, tell=tell
    )
    plan, result = replace(plan, choices=(*plan.choices, *fitted.choices)), fitted.result
    if referee.reached is not None:
        trial.load_state_dict(referee.reached)  # not the best by the held-out loss, but the one found good enough
    solution.history = result.history
    clock.lap("train")
    referee.judge()
    beside = referee.beside(max(_LEAST_SECONDS, _SHARE * clock.seconds["train"]))
    clock.lap("reference")
    solution.record = {"schema": 1, "problem": name, **_record(solution, plan, fitted, referee, seed)}
    solution.record |= _diagnosis(solution, plan, fitted, tell)
    solution.record |= _uncertainty(compiled, solution, plan, seed, tell)
    solution.record |= {"classical": None if beside is None else finite(asdict(beside))}
    solution.record |= {"wall_seconds": sum(clock.seconds.values()), "seconds": clock.seconds}
    solution.record["message"] = _message(solution.record, result)
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


def _tell(notify: Callable[[str], object] | None, directory: RunDirectory | None, line: str) -> None:
    if notify is not None:
        notify(line)
    if directory is not None:
        directory.log(line)


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
        _report(solution, directory)
    directory.finish(dict(solution.record))


def _report(solution: Solution, directory: RunDirectory) -> None:
    from pinnsolve.report import write_report

    try:
        write_report(directory.path, record=solution.record, problem=solution.problem)
    except Exception as error:  # nor a page that cannot be written
        directory.log("".join(traceback.format_exception(error)))
        warnings.warn(f"there is no report ({error}); the run is complete. See log.txt", stacklevel=2)


def _record(
    solution: Solution,
    plan: Plan,
    fitted: Fitted,
    referee: Referee,
    seed: int,
) -> dict[str, Any]:
    """Return the outcome in the form of result.json."""
    record: dict[str, Any] = {
        "status": _STATUS.get(fitted.result.status, "done"),
        "message": "",
        "seed": seed,
        "device": plan.device.type,
        "threads": plan.threads or torch.get_num_threads(),
        "dtype": str(next(solution.trial.parameters()).dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in solution.trial.network.parameters()),
        "points": dict(plan.counts),
        "phases": [asdict(phase) for phase in fitted.result.phases],
        "loss": {"total": fitted.value.loss, "terms": dict(fitted.value.terms)},
        "reference": {"kind": "none"},
        "errors": referee.errors,
        "residuals": held_out_residuals(solution, seed=seed),
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
    return finite(record)


def _diagnosis(solution: Solution, plan: Plan, fitted: Fitted, tell: Callable[[str], object]) -> dict[str, Any]:
    """Return where the error that is left sits and what to try next, for the record."""
    try:
        found = find_diagnosis(solution, loss=fitted.value.loss, weights=plan.weights, history=fitted.result.history)
    except (ProblemError, ValueError, ArithmeticError, LookupError) as error:  # must not lose the run
        tell(f"no diagnosis: {error}")
        return {}
    return {"diagnosis": finite(found.as_record())}


def _uncertainty(
    compiled: CompiledProblem, solution: Solution, plan: Plan, seed: int, tell: Callable[[str], object]
) -> dict[str, Any]:
    """Return how well the measurements determine the unknowns, for the record; nothing where that cannot be said."""
    try:
        found = find_uncertainty(compiled, solution.trial, plan, seed=seed)
    except RuntimeError as error:  # a decomposition that does not converge, at a state that is not finite
        tell(f"no uncertainty of the unknowns: {error}")
        return {}
    return {} if found is None else {"uncertainty": finite(found.as_record())}


def _message(record: dict[str, Any], result: TrainingResult) -> str:
    """Return the outcome in one sentence, and why the run ended in another."""
    own = record["reference"].get("estimated_relative_l2")
    parts = []
    for name, error in record["errors"].items():
        if own is not None and own > 0 and error["relative_l2"] is not None and error["relative_l2"] <= own:
            parts.append(f"{name}: at or below the reference's own error of {own:.1e}")
        else:
            parts.append(f"{name}: relative L2 error {brief(error['relative_l2'])}")
    found = [f"{name} = {value:.6g}" for name, value in record["unknowns"].items()]
    kind = record["reference"]["kind"].replace("_", " ")
    compared = f"{', '.join(parts)} (against {kind})" if parts else "no reference to compare with"
    trained = f"after {brief_seconds(record['seconds']['train'])} of training"
    beside = beside_text(record["classical"])
    return f"{'; '.join([f'{compared} {trained}', beside, *found])}. {result.status.sentence}"


_COMPILE = ("auto", "on", "off")

_SHARE, _LEAST_SECONDS = 0.1, 0.5
"""Time for a classical solver beside a closed form or measurements, as a part of the training's, and what it has at least."""

_LARGEST_SEED = 2**63 - 1
"""What torch and NumPy both take."""

_STATUS = {Status.DIVERGED: "diverged", Status.INTERRUPTED: "interrupted"}
