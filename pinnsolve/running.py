"""One `pinnsolve run` or `resume`: the ranks, the run directory, the display, the signals, and the exit code."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

from pinnsolve.curves import Curves, require_tensorboard
from pinnsolve.display import Display
from pinnsolve.fitting import Limits
from pinnsolve.inputs import read_inputs
from pinnsolve.problem_file import load_problem_file
from pinnsolve.ranks import joined
from pinnsolve.resumption import limits_of, resume
from pinnsolve.run_directory import RunDirectory, default_path
from pinnsolve.solution import Solution
from pinnsolve.solver import solve
from pinnsolve.summary import summarise
from pinnsolve.training.distributed import Group
from pinnsolve.training.status import Status

_DIVERGED, _MISSED, _SIGNALLED = 5, 6, 128


def run_problem_file(
    path: Path,
    *,
    out: Path | None,
    seed: int,
    device: str,
    dtype: str,
    max_time: float | None,
    max_steps: int | None,
    tol: float | None,
    quick: bool,
    threads: int | None,
    compile: str,
    save_every: float,
    no_plots: bool,
    tensorboard: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a problem file and return the exit code; the options are those of the command line."""
    if tensorboard:
        require_tensorboard()
    with joined() as group, ExitStack() as stack:
        file = load_problem_file(path)
        directory = None
        if group.leads:
            place = out or default_path(file.name, seed)
            directory = stack.enter_context(RunDirectory(place, problem_file=file.path, tables=file.tables))
        train = partial(
            solve,
            file.problem,
            file.network,
            file.training,
            file.reference,
            seed=seed,
            device=device,
            dtype=dtype,
            threads=threads,
            compile=compile,
            quick=quick,
            save_every=save_every,
            name=file.name,
            out=directory,
        )
        limits = Limits(max_time, max_steps, tol)
        curves = _curves(directory, stack) if tensorboard else None
        return _carry_out(directory, train, limits, group, curves, plots=not no_plots, as_json=as_json, quiet=quiet)


def resume_run(
    path: Path,
    problem: Path | None,
    *,
    max_time: float | None,
    max_steps: int | None,
    save_every: float | None,
    no_plots: bool,
    tensorboard: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Go on with a run and return the exit code; the options are those of the command line."""
    with joined() as group, ExitStack() as stack:
        directory = stack.enter_context(RunDirectory(path, again=True)) if group.leads else None
        train = partial(resume, path if directory is None else directory, problem, save_every=save_every)
        bounds = limits_of(read_inputs(path / "declaration")[0])
        limits = replace(bounds, seconds=max_time or bounds.seconds, steps=max_steps or bounds.steps)
        curves = _curves(directory, stack) if tensorboard else None
        return _carry_out(directory, train, limits, group, curves, plots=not no_plots, as_json=as_json, quiet=quiet)


def _curves(directory: RunDirectory | None, stack: ExitStack) -> Curves | None:
    """Return what writes curves for TensorBoard; of ranks but the first, nothing."""
    return None if directory is None else stack.enter_context(Curves(directory.path / "tensorboard"))


def _carry_out(
    directory: RunDirectory | None,
    train: Callable[..., Solution],
    limits: Limits,
    group: Group,
    curves: Curves | None,
    *,
    plots: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train with display and signals, print the outcome, and return the exit code."""
    try:
        with Display(quiet=quiet or not group.leads, limit=limits.seconds) as display, caught_signals() as signals:
            solution = train(
                plots=plots,
                limits=replace(limits, stop=signals.status),
                observers=[display.observe, *([] if curves is None else [curves.observe])],
                watch=display.watch if curves is None else _both(display.watch, curves.watch),
                notify=display.note,
                argv=sys.argv,
                save_asked=signals.take_request,
                group=group,
            )
    except BaseException as error:
        if directory is not None:
            with contextlib.suppress(OSError):  # a full disk is told of all the same
                directory.log("".join(traceback.format_exception(error)))
        raise
    if solution.status == "interrupted" and not signals.exit_code:  # by a signal that another rank was sent
        signals.exit_code = _SIGNALLED + signal.SIGTERM
    if directory is None:
        return signals.exit_code or (_DIVERGED if solution.status == "diverged" else 0)
    if as_json:
        click.echo((directory.path / "result.json").read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(summarise(dict(solution.record)))
    display.console.print(Text(f"results in {directory.path}"))
    return signals.exit_code or _outcome(solution, limits.tolerance)


def _both(
    first: Callable[[Mapping[str, float]], object], second: Callable[[Mapping[str, float]], object]
) -> Callable[[Mapping[str, float]], object]:
    return lambda errors: (first(errors), second(errors))


def _outcome(solution: Solution, tolerance: float | None) -> int:
    if solution.status == "diverged":
        return _DIVERGED
    if tolerance is None:
        return 0
    errors = [e["relative_l2"] for e in solution.errors.values()]  # None stands for one that is not finite
    return 0 if errors and all(error is not None and error <= tolerance for error in errors) else _MISSED


class Signals:
    """Remembers a signal until the step in progress is complete; a second SIGINT stops at once.

    A second SIGTERM does not: whoever starts ranks passes on what the system may have sent to each of them already.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._requested = False

    def end(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal to end."""
        if self.exit_code and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.exit_code = self.exit_code or _SIGNALLED + number

    def request(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal to store a checkpoint and go on."""
        self._requested = True

    def status(self) -> Status | None:
        """Return why the run must end, if it must."""
        return Status.INTERRUPTED if self.exit_code else None

    def take_request(self) -> bool:
        """Return whether a checkpoint was asked for since the last time."""
        requested, self._requested = self._requested, False
        return requested


@contextmanager
def caught_signals() -> Iterator[Signals]:
    """Catch the signals to end and to store, and give them back afterwards."""
    signals = Signals()
    previous = {number: signal.signal(number, signals.end) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGUSR1"):
        previous[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, signals.request)
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
