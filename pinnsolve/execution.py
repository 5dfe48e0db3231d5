"""Execution: a run from its inputs to a compared solution, begun or gone on with."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from pinnsolve.archive import finite, require_weights
from pinnsolve.choice import describe
from pinnsolve.choices import Plan, choose
from pinnsolve.compiler.compile import CompiledProblem, compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.errors import ProblemError
from pinnsolve.findings import findings_of
from pinnsolve.fitting import Fitted, Limits
from pinnsolve.inputs import Inputs, write_inputs
from pinnsolve.networks.architectures import Architecture
from pinnsolve.notebook_display import NotebookDisplay, in_notebook
from pinnsolve.outcome import message_of, record_of, status_of
from pinnsolve.privacy import account_choices, open_accounts, private_observations, without_private
from pinnsolve.problem import Problem
from pinnsolve.ranks import require_separable, require_shared
from pinnsolve.referee import Referee
from pinnsolve.run_directory import RunDirectory, versions
from pinnsolve.solution import Solution
from pinnsolve.succession import fit, settled
from pinnsolve.training.checkpoint import EVERY, Checkpoints, Keep, fitting, keep_nothing, never
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.progress import Progress
from pinnsolve.training.schedule import Training
from pinnsolve.training.state import State, digest_of
from pinnsolve.training.weighting import Causal

_SHARE, _LEAST_SECONDS = 0.1, 0.5
"""Time for a classical solver beside a closed form or measurements, as a part of the training's, and what it has at least."""


class Clock:
    """Adds up wall time by what it was spent on."""

    def __init__(self) -> None:
        self.seconds = {"setup": 0.0, "train": 0.0, "reference": 0.0, "plots": 0.0}
        self._last = time.perf_counter()

    def state(self) -> dict[str, float]:
        """Return what the time was spent on, that of the training in progress included."""
        return {**self.seconds, "train": self.seconds["train"] + time.perf_counter() - self._last}

    def load(self, state: Mapping[str, float]) -> None:
        """Add what `state` returned before."""
        for name in self.seconds:
            self.seconds[name] += float(state[name])

    def lap(self, name: str) -> None:
        """Give the time since the last lap to a name."""
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now


@dataclass(frozen=True)
class Saving:
    """When checkpoints are stored.

    Args:
        every: Seconds of training between two.
        asked: Asked after every step; true stores one and goes on.
    """

    every: float = EVERY
    asked: Callable[[], bool] = never


@dataclass(frozen=True)
class Conduct:
    """How a run is carried out, which its numbers do not follow from unless a limit ends it; as for `solve`.

    What is chosen follows from `planned`, the seconds that a run was begun with, whatever they are where it is gone on with.
    """

    directory: RunDirectory | None
    limits: Limits
    saving: Saving
    plots: bool
    observers: tuple[Callable[[Progress], object], ...]
    watch: Callable[[Mapping[str, float]], object] | None
    notify: Callable[[str], object] | None
    argv: tuple[str, ...]
    planned: float | None
    group: Group = ALONE

    @property
    def listeners(self) -> list[Callable[[Progress], object]]:
        """All that are told after every step, the record of the run last."""
        return [*self.observers, *([] if self.directory is None else [self.directory.observe])]

    def tell(self, line: str) -> None:
        """Tell the user, and write it down."""
        if self.notify is not None:
            self.notify(line)
        if self.directory is not None:
            self.directory.log(line)


def carry_out(inputs: Inputs, conduct: Conduct, clock: Clock, *, again: Path | None = None) -> Solution:
    """Train and compare as the inputs say, in a notebook with a display where nobody else is told of the progress.

    Args:
        inputs: What the numbers follow from.
        conduct: How it is carried out.
        clock: Running since the beginning.
        again: The directory of the run to go on with; None to begin.

    Returns:
        The solution; of ranks but the first without a comparison.

    Raises:
        CheckpointError: There is nothing to go on from.
        ProblemError: The ranks do not have the same inputs, or cannot share them.
    """
    if conduct.observers or conduct.watch or conduct.notify or not in_notebook():
        return _carried_out(inputs, conduct, clock, again=again)
    display = NotebookDisplay(limit=conduct.limits.seconds)
    conduct = replace(conduct, observers=(display.observe,), watch=display.watch, notify=display.note)
    solution = _carried_out(inputs, conduct, clock, again=again)
    display.end(solution.message)
    return solution


def _carried_out(inputs: Inputs, conduct: Conduct, clock: Clock, *, again: Path | None) -> Solution:
    require_shared(inputs, conduct.limits, conduct.group)
    checkpoints, start = (None, None) if again is None else _found(inputs, conduct, again)
    with nullcontext() if again is None else fitting("declaration"):
        compiled = compile_problem(inputs.problem)
        plan, solution = _prepared(compiled, inputs, conduct.planned)
    require_separable(solution.trial, plan.device, conduct.group)
    accounts = open_accounts(inputs.problem, plan.phases, steps=conduct.limits.steps)
    plan = replace(plan, choices=(*plan.choices, *account_choices(accounts)))
    if start is None:
        for line in describe(plan.choices):
            conduct.tell(line)
    clock.lap("setup")
    referee = Referee(solution, inputs.reference, conduct.tell)
    if conduct.group.leads:
        referee.prepare(conduct.limits.tolerance)
    clock.lap("reference")
    if start is None:
        checkpoints = _begun(inputs, conduct, plan)
    else:
        _begun_again(conduct, clock, start)
    fitted = fit(
        compiled,
        plan,
        solution.trial,
        inputs.training or Training(),
        limits=conduct.limits,
        observers=[
            *(_informed(o, solution) for o in conduct.listeners),
            *referee.observers(conduct.limits.tolerance, conduct.watch),
        ],
        seed=inputs.seed,
        compile=inputs.compile,
        tell=conduct.tell,
        keep=keep_nothing if checkpoints is None else _timed(checkpoints, clock),
        start=start,
        accounts=accounts,
        group=conduct.group,
    )
    spent = {name: account.settle(fitted.releases[name]) for name, account in accounts.items()}
    plan = settled(replace(plan, choices=(*plan.choices, *fitted.choices)), solution.trial)
    solution.network_spec = None if isinstance(plan.network, nn.Module) else plan.network
    solution.history = fitted.result.history
    solution.record = {"schema": 1, "problem": inputs.name, "status": status_of(fitted.result)}
    if conduct.group.leads:
        solution.record |= {"privacy": spent} if spent else {}
        _judge(solution, inputs, conduct, clock, referee=referee, compiled=compiled, plan=plan, fitted=fitted)
        if conduct.directory is not None:
            conduct.directory.write(solution, checkpoints=[] if checkpoints is None else checkpoints.listed())
            _finish(solution, conduct.directory, clock, plots=conduct.plots)
    return solution


def _informed(observer: Callable[[Progress], object], solution: Solution) -> Callable[[Progress], object]:
    """Return an observer that is told the unknowns as they are at a step."""
    if not solution.problem.unknowns:
        return observer
    return lambda progress: observer(replace(progress, unknowns=solution.unknowns))


def _judge(
    solution: Solution,
    inputs: Inputs,
    conduct: Conduct,
    clock: Clock,
    *,
    referee: Referee,
    compiled: CompiledProblem,
    plan: Plan,
    fitted: Fitted,
) -> None:
    """Compare a trained solution, and complete its record."""
    clock.lap("train")
    referee.judge()
    beside = referee.beside(max(_LEAST_SECONDS, _SHARE * clock.seconds["train"]))
    clock.lap("reference")
    solution.record |= record_of(solution, plan, fitted, referee, inputs.seed)
    solution.record |= findings_of(compiled, solution, plan, fitted, seed=inputs.seed, tell=conduct.tell)
    solution.record |= {"classical": None if beside is None else finite(asdict(beside))}
    solution.record |= {"wall_seconds": sum(clock.seconds.values()), "seconds": clock.seconds}
    solution.record["message"] = message_of(solution.record, fitted.result)


def _prepared(compiled: CompiledProblem, inputs: Inputs, seconds: float | None) -> tuple[Plan, Solution]:
    """Return the numerics, complete, and the solution as it is before any training."""
    plan = choose(
        compiled,
        inputs.network,
        inputs.training,
        device=inputs.device,
        dtype=inputs.dtype,
        quick=inputs.quick,
        threads=inputs.threads,
        seconds=seconds,
    )
    plan = replace(plan, choices=(*inputs.exactness, *plan.choices), threads=plan.threads or inputs.ambient)
    _check_time(inputs.training, inputs.problem)
    public = without_private(inputs.problem)  # whitening reads measured values, too
    trial = build_trial(public, plan.network, seed=inputs.seed, dtype=plan.dtype, device=plan.device)
    spec = None if isinstance(plan.network, nn.Module) else plan.network
    return plan, Solution(public, trial, spec, {})


def _begun(inputs: Inputs, conduct: Conduct, plan: Plan) -> Checkpoints | None:
    """Store what the run is resumed from, and return where its states go; nothing where observations are private."""
    directory, limits = conduct.directory, conduct.limits
    if directory is None:
        return None
    directory.begin(seed=inputs.seed, threads=plan.threads or inputs.ambient, choices=plan.choices, argv=conduct.argv)
    if private_observations(inputs.problem):
        conduct.tell("no checkpoints: they would hold the private observations; a run that is killed cannot be resumed")
        return None
    bounds = {"seconds": limits.seconds, "steps": limits.steps, "tolerance": limits.tolerance}
    begun = {"limits": bounds, "every": conduct.saving.every, "versions": versions(), "hashes": directory.hashes}
    run = write_inputs(directory.declaration, inputs, begun=begun)
    return _checkpoints(directory.checkpoints, run, conduct)


def _found(inputs: Inputs, conduct: Conduct, path: Path) -> tuple[Checkpoints | None, State]:
    """Return where the states of a run are stored, and the one to go on from, which the first rank chooses."""
    group = conduct.group
    checkpoints = _checkpoints(path / "checkpoints", digest_of(path / "declaration"), conduct)
    start = checkpoints.load() if group.leads else None
    step = group.most(start["step"] if start is not None else 0)
    start = checkpoints.at(step) if start is None else start
    with fitting("network"):
        weights = sum(tensor.numel() for tensor in start["part"]["trial"].values())
        if isinstance(inputs.network, Architecture):  # before anything of the size that it asks for is allocated
            require_weights(inputs.network, inputs.problem, weights)
    return (checkpoints if group.leads else None), start


def _begun_again(conduct: Conduct, clock: Clock, start: State) -> None:
    """Count the time from the beginning, and forget what was recorded since."""
    with fitting("clock"):
        clock.load(start["clock"])
    conduct.tell(f"going on from step {start['step']}")
    if conduct.directory is not None:
        conduct.directory.begin_again(step=start["step"], seconds=sum(clock.seconds.values()), argv=conduct.argv)


def _checkpoints(folder: Path, run: str, conduct: Conduct) -> Checkpoints:
    saving = conduct.saving
    return Checkpoints(folder, run=run, every=saving.every, asked=saving.asked, tell=conduct.tell)


def _timed(checkpoints: Checkpoints, clock: Clock) -> Keep:
    """Store with every state what the time was spent on."""
    return lambda state, due: checkpoints(lambda: {**state(), "clock": clock.state()}, due)


def _check_time(training: Training | None, problem: Problem) -> None:
    weighting = None if training is None else training.weighting
    if isinstance(weighting, Causal) and weighting.time not in problem.coordinates:
        names = ", ".join(map(str, problem.coordinates))
        raise ProblemError("Causal", f"time={weighting.time!r}, which is no coordinate", f"write one of {names}")


def _finish(solution: Solution, directory: RunDirectory, clock: Clock, *, plots: bool) -> None:
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
